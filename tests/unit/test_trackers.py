"""Other trackers than MLflow: what each is given, which runs are written, and what `--to` may say."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_dvc
import tiny_git

from locatable import cli
from locatable.errors import ProjectError, StoreError, UsageError
from locatable.mlflow.content import Content, Dataset, Model
from locatable.repository.reader import Reader
from locatable.results.outputs import Point
from locatable.trackers.mirror import mirror_to
from locatable.trackers.run import TrackedRun, tracked_run
from locatable.trackers.targets import KINDS, new_folder, open_tracker

PIPELINE = "stages:\n  make:\n    cmd: echo 1 > m.json\n    metrics: [m.json: {cache: false}]\n"
DESCRIBE = """from locatable.mlflow import RunContent

def describe(run: RunContent) -> None:
    run.name = "mine"
"""


class Memory:
    """A tracker that holds runs by commit."""

    def __init__(self) -> None:
        self.runs: dict[str, TrackedRun] = {}

    def complete_runs(self) -> set[str]:
        """Those that were written."""
        return set(self.runs)

    def write(self, run: TrackedRun) -> None:
        """Hold a run; no run comes twice."""
        assert run.rev not in self.runs
        self.runs[run.rev] = run


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


def test_values_are_by_step_in_order() -> None:
    series = {"loss": [Point(1, "0.5", 0), Point(0, "1", 0)], "acc": [Point(1, "2", 0)]}
    assert list(tracked_run(content(series=series)).steps.items()) == [
        (0, {"loss": 1.0}),
        (1, {"loss": 0.5, "acc": 2.0}),
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
    tiny_dvc.init(root)
    tiny_git.write(root, {"dvc.yaml": PIPELINE})
    with tiny_dvc.dvc(root) as repo:
        repo.reproduce()
    tiny_dvc.commit(root)
    return root


@pytest.fixture
def reader(results: Path) -> Iterator[Reader]:
    with Reader(results) as opened:
        yield opened


def test_a_commit_with_results_gets_a_run(reader: Reader) -> None:
    tracker = Memory()
    assert mirror_to(tracker, reader).summary == "mirrored 1 new, 0 already there, 0 failed"
    assert [run.name for run in tracker.runs.values()] == [f"baseline {rev[:7]}" for rev in tracker.runs]


def test_a_run_that_is_there_is_left_alone(reader: Reader) -> None:
    tracker = Memory()
    mirror_to(tracker, reader)
    assert mirror_to(tracker, reader).summary == "mirrored 0 new, 1 already there, 0 failed"


def test_an_error_of_the_tracker_is_one_line(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = Memory()
    monkeypatch.setattr(tracker, "write", full)
    with pytest.raises(StoreError, match="--to: OSError: the disk is full"):
        mirror_to(tracker, reader)


def full(_: TrackedRun) -> None:
    raise OSError("the disk\nis full")


def test_a_commit_without_results_gets_none(tmp_path: Path) -> None:
    tiny_dvc.init(tmp_path / "repo")
    tiny_dvc.commit(tmp_path / "repo")
    with Reader(tmp_path / "repo") as reader:
        assert mirror_to(Memory(), reader).summary == "mirrored 0 new, 0 already there, 0 failed"


def test_the_project_s_own_script_describes_runs(results: Path, reader: Reader) -> None:
    (results / "scripts").mkdir(exist_ok=True)
    (results / "scripts/mirror.py").write_text(DESCRIBE)
    tracker = Memory()
    mirror_to(tracker, reader)
    (results / "scripts/mirror.py").unlink()
    assert [run.name for run in tracker.runs.values()] == ["mine"]


@pytest.mark.parametrize("target", ["neptune", "tensorboard", "aim:", ""])
def test_a_tracker_that_cannot_be_is_refused_with_those_that_can(target: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="tensorboard:FOLDER"):
        open_tracker(target, tmp_path, "project")


@pytest.mark.parametrize("name", KINDS)
def test_a_tracker_that_is_not_installed_is_named_with_what_installs_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.import_module", missing)
    with pytest.raises(ProjectError, match=f"--to {name} needs .*: pip install {KINDS[name].package}"):
        open_tracker(f"{name}:{tmp_path}", tmp_path, "project")


def missing(name: str) -> None:
    raise ModuleNotFoundError(name=name)


@pytest.mark.parametrize("option", ["--prune", "--copy-models", "--experiment=e", "--tracking-uri=u"])
def test_options_of_mlflow_are_refused_with_another_tracker(
    results: Path, option: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(results)
    assert cli.main(["mirror", "--to", "wandb", option]) == 2
    assert (
        capsys.readouterr().err == f"{option.partition('=')[0]} is for MLflow, and cannot be used with --to\n"
    )


def test_a_new_folder_is_neither_git_s_nor_dvc_s(tmp_path: Path) -> None:
    folder = new_folder(tmp_path / "a/b")
    assert {file.name: file.read_text() for file in folder.iterdir()} == {
        ".gitignore": "*\n",
        ".dvcignore": "*\n",
    }


def test_a_folder_that_was_there_is_left_as_it_is(tmp_path: Path) -> None:
    assert list(new_folder(tmp_path).iterdir()) == []


def test_no_tracker_is_imported_before_it_is_asked_for() -> None:
    code = (
        "import sys; import locatable.trackers.mirror, locatable.trackers.targets; "
        "print(sorted({'wandb', 'tensorboard', 'aim', 'comet_ml', 'mlflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
