"""Other trackers than MLflow: what each is given, and which runs it should get."""

import shutil
from pathlib import Path

import pytest
import tiny_dvc
import tiny_git

from locatable import tracked_runs
from locatable.errors import UnreadableError
from locatable.mlflow.content import Content, Dataset, Model
from locatable.mlflow.tracked import tracked_run
from locatable.results.values import Point

PIPELINE = "stages:\n  make:\n    cmd: echo 1 > m.json\n    metrics: [m.json: {cache: false}]\n"
DESCRIBE = """from locatable.mlflow import RunContent

def describe(run: RunContent) -> None:
    run.name = "mine"
"""


def content(**fields: object) -> Content:
    return Content(key="a" * 40, name="exp", start=1000, end=1000, **fields)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.1, 0.1),
        (True, True),
        (2**53, 2**53),
        (2**53 + 1, str(2**53 + 1)),
        (float("nan"), "NaN"),
        ([1, {"a": None}], '[1, {"a": null}]'),
        (None, "null"),
        ("größe", "größe"),
    ],
)
def test_a_param_keeps_its_type_where_all_trackers_hold_it_exactly(value: object, shown: object) -> None:
    params = tracked_run(content(params={"key": value})).params
    assert (params["key"], type(params["key"])) == (shown, type(shown))


@pytest.mark.parametrize("name", ["x" * 101, "a\nb", "_step", " ", "\udcff"])
def test_a_name_that_a_tracker_refuses_is_changed_and_told_with_its_own(name: str) -> None:
    run = tracked_run(content(metrics={name: 1.0}))
    assert [point.key for point in run.points] != [name]
    assert "metrics" in run.artifacts["mirror/kept.json"].decode()


def test_two_long_names_do_not_become_the_same() -> None:
    run = tracked_run(content(metrics={"x" * 101: 1.0, "x" * 102: 2.0}))
    assert len({point.key for point in run.points}) == 2


def test_values_are_in_the_order_of_steps() -> None:
    series = {"loss": [Point(1, "0.5", 0), Point(0, "1", 0)], "acc": [Point(1, "2", 0)]}
    points = tracked_run(content(series=series)).points
    assert [(point.step, point.key, point.value) for point in points] == [
        (0, "loss", 1.0),
        (1, "loss", 0.5),
        (1, "acc", 2.0),
    ]


def test_tags_of_mlflow_stay_there() -> None:
    run = tracked_run(content(tags={"mlflow.user": "Ada", "mlflow.note.content": "how", "dvc.exp": "e"}))
    assert (run.tags, run.note) == ({"dvc.exp": "e"}, "how")


def test_what_is_missing_is_told() -> None:
    assert "plot.png" in tracked_run(content(lacking=["plot.png"])).tags["mirror.missing"]


def test_source_data_and_models_are_named_with_their_hashes() -> None:
    run = tracked_run(
        content(datasets=[Dataset("raw", "d1", {})], models=[Model("m", "m.bin", {"dvc.md5": "d2"})])
    )
    assert run.inputs == {"dataset raw": "d1", "model m": "d2"}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with one commit that has results."""
    root = tmp_path_factory.mktemp("trackers") / "repo"
    tiny_dvc.with_results(root, {"dvc.yaml": PIPELINE})
    return root


@pytest.fixture
def copied(results: Path, tmp_path: Path) -> Path:
    """That repository, to be changed."""
    return Path(shutil.copytree(results, tmp_path / "copy"))


def test_a_commit_with_results_gets_a_run(results: Path) -> None:
    rev = tiny_git.git(results, "rev-parse", "HEAD").strip()
    assert [(run.rev, run.name) for run in tracked_runs(results)] == [(rev, f"baseline {rev[:7]}")]


def test_a_run_that_is_known_is_left_alone(results: Path) -> None:
    known = {run.rev for run in tracked_runs(results)}
    assert list(tracked_runs(results, known)) == []


def test_a_commit_without_results_gets_none(tmp_path: Path) -> None:
    tiny_dvc.init(tmp_path / "repo")
    tiny_dvc.commit(tmp_path / "repo")
    assert list(tracked_runs(tmp_path / "repo")) == []


def test_the_project_s_own_script_describes_runs(copied: Path) -> None:
    tiny_git.write(copied, {"scripts/mirror.py": DESCRIBE})
    assert [run.name for run in tracked_runs(copied)] == ["mine"]


def test_what_cannot_be_read_is_told_after_all_others(copied: Path) -> None:
    rev = tiny_git.commit(copied, {"dvc.lock": "schema: '2.0'\nstages: [broken"})
    runs = tracked_runs(copied, all_commits=True)
    assert next(runs).rev != rev
    with pytest.raises(UnreadableError, match=rf"baseline {rev[:7]}: .*dvc\.lock"):
        next(runs)
