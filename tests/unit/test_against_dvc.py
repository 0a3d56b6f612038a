"""What is read of a generated variety of repositories, compared with what DVC itself says, value by value."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tiny_dvc import dvc
from varied_repositories import FEATURES, build, choose

from locatable.diff.changes import Side
from locatable.diff.compare import compare as differ
from locatable.locate.result import Result
from locatable.repository.reader import Reader
from locatable.results.staleness import Kind, differences
from tools.comparison.compare import Comparison, compare
from tools.comparison.dvc_side import open_repo

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
    place, features = CHOICES[request.param]
    folder = tmp_path_factory.mktemp("varied") / "repo"
    root, commits = build(folder, place, features)
    return Repository(root, commits, compare(root, commits))


def test_each_feature_is_there() -> None:
    chosen = {feature.name for _, features in CHOICES for feature in features}
    assert chosen == {feature.name for feature in FEATURES}


def test_every_value_is_the_one_that_dvc_has(repository: Repository) -> None:
    assert [str(mismatch) for mismatch in repository.comparison.mismatches] == []


def test_every_commit_is_compared(repository: Repository) -> None:
    assert repository.comparison.compared == len(repository.commits)


def test_what_dvc_cannot_say_is_what_no_stage_has_written_yet(repository: Repository) -> None:
    left_out = repository.comparison.not_compared
    # Of the first commit alone; and DVC shows no params of files outside of the project.
    others = {reason for reason, times in left_out.items() if times > 1 or "FileNotFoundError" not in reason}
    assert {reason for reason in others if not reason.startswith("params ../")} == set()


def test_two_commits_differ_in_what_dvc_diff_says(repository: Repository) -> None:
    # The first one has no results.
    for old, new in pairwise(repository.commits[1:]):
        with open_repo(repository.root) as repo:
            said = repo.diff(old, new)
        named = {str(entry["path"]).rstrip("/") for entry in said.get("modified", [])}
        with Reader(repository.root) as reader:
            a, b = (Side(Result(snapshot)) for snapshot in reader.snapshots([old, new]))
            found = differ(a, b)
            tracked = {*a.snapshot.sources, *a.snapshot.outs}
        ours = {change.name for change in found.changes["data"]} | found.outputs.keys()
        assert ours & tracked == named & tracked


def test_what_has_changed_is_what_dvc_status_says(repository: Repository) -> None:
    with dvc(repository.root) as repo:
        status = repo.status()
    with Reader(repository.root) as reader:
        found = differences(reader.snapshot("HEAD"))
        theirs = {(stage, seen_from_root(path, reader)) for stage, path in changed(status)}
    ours = set()
    for one in found:
        name = one.name.partition(":")[0] if one.kind is Kind.PARAM and ":" in one.name else one.name
        ours.add((one.stage, "" if one.kind is Kind.COMMAND else name))
    # What is in no commit, ours cannot tell.
    assert ours == {
        (stage, path) for stage, path in theirs if path is not None and not stage.endswith(".dvc")
    }


def changed(status: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Stage and path of each dependency that has changed; of a command, no path."""
    for stage, entries in status.items():
        for entry in entries:
            if isinstance(entry, dict):
                yield from ((stage, path) for path in entry.get("changed deps", {}))
            elif entry != "always changed":
                yield stage, ""


def seen_from_root(path: str, reader: Reader) -> str | None:
    """A path as the package has it; None for what is not in the Git repository."""
    if "://" in path or (os.path.isabs(path) and not Path(path).is_relative_to(reader.top)):
        return None
    return os.path.relpath(path, reader.root) if os.path.isabs(path) else path
