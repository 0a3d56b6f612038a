"""Which runs should be there, read from Git."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_git import commit, git

from locatable.mlflow.plan import gone_revisions, needs_run, wanted_runs
from locatable.repository.reader import Reader

LOCK = "schema: '2.0'\nstages:\n  train:\n    cmd: python train.py\n"


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository whose second commit has results."""
    commit(tmp_path, {"README.md": ""}, "First")
    commit(tmp_path, {"dvc.lock": LOCK}, "Results")
    return tmp_path


@pytest.fixture
def reader(repo: Path) -> Iterator[Reader]:
    with Reader(repo) as reader:
        yield reader


def experiment(repo: Path, name: str, subject: str = "dvc: commit experiment") -> str:
    """Add an experiment to HEAD, and return its commit."""
    head = git(repo, "rev-parse", "HEAD")
    rev = git(repo, "commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", f"{subject} {name}".strip())
    git(repo, "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/{name}", rev)
    return rev


def names(reader: Reader, all_commits: bool = False) -> list[str]:
    return [run.name for run in wanted_runs(reader, all_commits).values()]


def test_head_is_wanted(repo: Path, reader: Reader) -> None:
    assert names(reader) == [f"baseline {git(repo, 'rev-parse', 'HEAD')[:7]}"]


def test_all_commits_are_wanted_where_they_are_asked_for(repo: Path, reader: Reader) -> None:
    revs = git(repo, "rev-list", "HEAD").split()
    assert names(reader, all_commits=True) == [f"baseline {rev[:7]}" for rev in revs]


def test_commits_of_other_branches_are_among_them(repo: Path, reader: Reader) -> None:
    git(repo, "checkout", "--quiet", "-b", "side")
    rev = commit(repo, {"more": ""})
    git(repo, "checkout", "--quiet", "-")
    assert rev in wanted_runs(reader, all_commits=True)


def test_an_experiment_is_wanted_below_its_baseline(repo: Path, reader: Reader) -> None:
    rev = experiment(repo, "forest")
    run = wanted_runs(reader)[rev]
    head = git(repo, "rev-parse", "HEAD")
    assert (run.name, run.parent) == ("forest", head)
    assert run.identity_tags == {"dvc.exp": "forest", "dvc.baseline": head}


def test_trials_are_wanted_below_their_study(repo: Path, reader: Reader) -> None:
    rev = experiment(repo, "wide-0", "search:")
    run = wanted_runs(reader)[rev]
    assert run.parent == "study wide"
    head = git(repo, "rev-parse", "HEAD")
    assert run.identity_tags == {"dvc.exp": "wide-0", "dvc.baseline": head, "dvc.study": "wide"}


def test_a_study_knows_its_trials(repo: Path, reader: Reader) -> None:
    experiment(repo, "wide-0", "search:")
    study = wanted_runs(reader)["study wide"]
    assert ([trial.name for trial in study.trials], study.is_study) == (["wide-0"], True)


def test_parents_come_before_their_children(repo: Path, reader: Reader) -> None:
    experiment(repo, "forest")
    experiment(repo, "wide-0", "search:")
    wanted = wanted_runs(reader)
    keys = list(wanted)
    assert all(keys.index(run.parent) < keys.index(run.key) for run in wanted.values() if run.parent)


def test_a_baseline_that_is_on_no_branch_any_more_is_wanted(repo: Path, reader: Reader) -> None:
    experiment(repo, "forest")
    before = git(repo, "rev-parse", "HEAD")
    git(repo, "commit", "--quiet", "--amend", "-m", "Other")
    assert before in wanted_runs(reader)


def test_a_baseline_that_this_clone_has_not_is_not_wanted(repo: Path, reader: Reader) -> None:
    rev = git(repo, "rev-parse", "HEAD")
    git(repo, "update-ref", f"refs/exps/{'a' * 2}/{'a' * 38}/forest", rev)
    assert "a" * 40 not in wanted_runs(reader)


def test_a_repository_without_commits_wants_nothing(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    with Reader(tmp_path) as reader:
        assert wanted_runs(reader, all_commits=True) == {}


def test_commits_that_no_stage_ran_in_have_no_results(repo: Path, reader: Reader) -> None:
    wanted = wanted_runs(reader, all_commits=True)
    snapshots = reader.snapshots(git(repo, "rev-list", "HEAD").split())
    assert [needs_run(wanted[snapshot.rev], snapshot) for snapshot in snapshots] == [True, False]


def test_a_commit_with_a_broken_lock_may_have_results(repo: Path, reader: Reader) -> None:
    broken = commit(repo, {"dvc.lock": "<<<<<<< HEAD\n"})
    assert needs_run(wanted_runs(reader)[broken], reader.snapshot(broken))


def test_a_commit_of_no_branch_is_gone(repo: Path, reader: Reader) -> None:
    before = git(repo, "rev-parse", "HEAD")
    git(repo, "commit", "--quiet", "--amend", "-m", "Other")
    assert gone_revisions(reader, [before]) == {before}


def test_a_commit_of_a_branch_is_not_gone(repo: Path, reader: Reader) -> None:
    assert gone_revisions(reader, git(repo, "rev-list", "HEAD").split()) == frozenset()


@pytest.mark.parametrize("key", ["a" * 40, "study wide"])
def test_what_this_clone_never_had_is_not_gone(reader: Reader, key: str) -> None:
    assert gone_revisions(reader, [key]) == frozenset()
