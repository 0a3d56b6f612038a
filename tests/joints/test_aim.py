# /// script
# dependencies = ["aim==3.29.1"]
#
# [tool.joint]
# question = "Tracking"
# tool = "Aim"
# joint = "examples/trackers/aim_runs.py"
# ///
"""Aim: what the example writes, as Aim's Repo reads it."""

from pathlib import Path

import aim
import pytest
import tracked

EXAMPLE = "aim_runs"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("aim") / "repo"


@pytest.fixture(scope="module")
def rev(root: Path) -> str:
    """The commit of a repository, mirrored."""
    commit = tracked.repository(root)
    assert tracked.mirror(root, EXAMPLE, "runs") == [f"wrote baseline {commit[:7]}"]
    return commit


def runs(folder: Path) -> list[aim.Run]:
    """All runs, as a reader that was not there when they were written sees them."""
    return list(aim.Repo(str(folder)).iter_runs())


@pytest.fixture(scope="module")
def run(root: Path, rev: str) -> aim.Run:
    """The only run."""
    (found,) = runs(root / "runs")
    return found


def values(run: aim.Run, name: str) -> list[tuple[int, str]]:
    """Steps and values; the latter as text, so that NaN is equal to NaN."""
    (metric,) = (each for each in run.metrics() if each.name == name)
    steps, (numbers, _, _) = metric.data.items_list()
    return sorted((step, str(number)) for step, number in zip(steps, numbers, strict=True))


def artifact(run: aim.Run, path: str) -> str:
    return Path(run.artifacts[path].uri.removeprefix("file://")).read_text()


def test_metrics_have_each_of_their_values(run: aim.Run) -> None:
    assert values(run, "train/loss") == [(0, "0.5"), (1, "0.25"), (2, "nan")]
    assert values(run, "acc") == [(0, "0.75")]


def test_params_have_their_types_and_what_no_float_holds_is_text(run: aim.Run) -> None:
    assert (run["params", "rate"], run["params", "on"], run["params", "layers"]) == (0.1, True, "[3, 4]")
    assert run["params", "exact"] == "123456789012345678901"


def test_runs_are_found_by_the_commit(root: Path, rev: str) -> None:
    query = aim.Repo(str(root / "runs")).query_runs(f"run.dvc['dvc.rev'] == '{rev}'", report_mode=0)
    assert [found.run.name for found in query.iter_runs()] == [f"baseline {rev[:7]}"]


def test_a_run_says_where_it_came_from(run: aim.Run, root: Path) -> None:
    assert run["inputs", "dataset raw.csv"] == tracked.data_hash(root)
    assert "dvc repro" in run.description
    assert artifact(run, "params.yaml") == tracked.PARAMS


def test_a_name_that_is_too_long_is_told_with_its_own(run: aim.Run) -> None:
    assert "x" * 300 in artifact(run, "mirror/kept.json")


def test_mirroring_again_adds_nothing(root: Path, run: aim.Run) -> None:
    assert tracked.mirror(root, EXAMPLE, "runs") == []
    assert [found.hash for found in runs(root / "runs")] == [run.hash]


@pytest.fixture
def interrupted(root: Path, rev: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of Aim whose mirror was stopped half-way."""
    with monkeypatch.context() as patch:
        patch.setattr(aim.Run, "track", tracked.interrupt)
        with pytest.raises(KeyboardInterrupt):
            write(root, tmp_path)
    return tmp_path


def write(root: Path, folder: Path) -> None:
    repo = aim.Repo.from_path(str(folder), init=True)
    tracked.load(EXAMPLE).write(tracked.only_run(root), repo, "project")


def test_an_interrupted_mirror_leaves_nothing_that_counts(interrupted: Path) -> None:
    assert tracked.load(EXAMPLE).known(aim.Repo(str(interrupted))) == set()


def test_the_next_mirror_replaces_what_is_left_of_it(interrupted: Path, root: Path, rev: str) -> None:
    write(root, interrupted)
    assert [found["dvc", "dvc.rev"] for found in runs(interrupted)] == [rev]
    assert len(list((interrupted / ".aim/meta/chunks").iterdir())) == 1
