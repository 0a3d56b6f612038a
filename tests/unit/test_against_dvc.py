"""What is read of a generated variety of repositories, compared with what DVC itself says, value by value."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from tiny_dvc import dvc
from varied_repositories import FEATURES, PLACES, build, choose

from locatable.history.reader import Reader
from locatable.staleness import Kind, differences
from tools.comparison.compare import Comparison, compare

SEED = 16
CHOICES = choose(7, SEED)


@dataclass(frozen=True)
class Repository:
    """A repository, and what came of comparing its commits."""

    root: Path
    commits: list[str]
    comparison: Comparison


@pytest.fixture(scope="module", params=range(len(CHOICES)))
def repository(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """Each repository of the variety in turn; do not change it."""
    number = request.param
    folder = tmp_path_factory.mktemp("varied") / "repo"
    root, commits = build(folder, PLACES[number % len(PLACES)], CHOICES[number])
    return Repository(root, commits, compare(root, commits))


def test_each_feature_is_there() -> None:
    chosen = {feature.name for choice in CHOICES for feature in choice}
    assert chosen == {feature.name for feature in FEATURES}


def test_every_value_is_the_one_that_dvc_has(repository: Repository) -> None:
    assert [str(mismatch) for mismatch in repository.comparison.mismatches] == []


def test_every_commit_is_compared(repository: Repository) -> None:
    assert repository.comparison.compared == len(repository.commits)


def test_what_dvc_cannot_say_is_what_no_stage_has_written_yet(repository: Repository) -> None:
    left_out = repository.comparison.not_compared
    # Of the first commit alone.
    others = {reason for reason, times in left_out.items() if times > 1 or "FileNotFoundError" not in reason}
    assert others == set()


def test_what_has_changed_is_what_dvc_status_says(repository: Repository) -> None:
    with dvc(repository.root) as repo:
        status = repo.status()
    with Reader(repository.root) as reader:
        found = differences(reader.snapshot("HEAD"))
    theirs, ours = set(), set()
    for stage, entries in status.items():
        for entry in entries:
            changed = entry.get("changed deps", {}) if isinstance(entry, dict) else {"": entry}
            theirs |= {(stage, path) for path in changed if entry != "always changed" and _is_inside(path)}
    for one in found:
        name = one.name.partition(":")[0] if one.kind is Kind.PARAM and ":" in one.name else one.name
        ours.add((one.stage, "" if one.kind is Kind.COMMAND else name))
    assert ours == {(stage, path) for stage, path in theirs if not stage.endswith(".dvc")}


def _is_inside(path: str) -> bool:
    """Whether a path is in the repository: what is not, no commit tells."""
    return "://" not in path and not path.startswith("/")
