"""Revisions and experiments of a repository."""

import json
from pathlib import Path

import pytest
from tiny_git import commit, git, write

from locatable.errors import GitError, NotFoundError
from locatable.model import Experiment
from locatable.repository import reader as reader_module
from locatable.repository.reader import Reader

LOCK = "schema: '2.0'\nstages:\n  train:\n    cmd: x\n"


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A DVC repository `ml` in a Git repository."""
    commit(tmp_path, {"README.md": "", "ml/.dvc/config": "", "ml/sub/a.txt": "", "ml/dvc.lock": LOCK})
    return tmp_path / "ml"


def experiment(repo: Path, name: str, subject: str, time: int) -> str:
    """Commit an experiment on HEAD."""
    base = git(repo, "rev-parse", "HEAD")
    text = git(repo, "cat-file", "commit", "HEAD").split("\n")
    header = [f"tree {git(repo, 'rev-parse', 'HEAD^{tree}')}", f"parent {base}"]
    header += [f"author Ada <a@b> {time} +0000", f"committer Ada <a@b> {time} +0000"]
    assert text[0] == header[0]
    write(repo, {".git-commit": "\n".join([*header, "", subject])})
    rev = git(repo, "hash-object", "-t", "commit", "-w", ".git-commit")
    git(repo, "update-ref", f"refs/exps/{base[:2]}/{base[2:]}/{name}", rev)
    return rev


@pytest.mark.parametrize(
    ("files", "folder", "root", "prefix"),
    [
        ({"ml/.dvc/config": "", "ml/sub/a.txt": ""}, "ml/sub", "ml", "ml"),
        ({".dvc/config": ""}, ".", ".", ""),
        ({"sub/a.txt": ""}, "sub", ".", ""),
    ],
    ids=["below them", "DVC at the top", "no DVC"],
)
def test_the_roots_are_found(
    tmp_path: Path, files: dict[str, str], folder: str, root: str, prefix: str
) -> None:
    commit(tmp_path, files)
    with Reader(tmp_path / folder) as reader:
        assert (reader.top, reader.root, reader.prefix) == (tmp_path, tmp_path / root, prefix)


def test_a_dvc_repository_around_the_git_repository_is_not_its_root(tmp_path: Path) -> None:
    write(tmp_path, {".dvc/config": ""})
    commit(tmp_path / "git", {})
    with Reader(tmp_path / "git") as reader:
        assert reader.root == tmp_path / "git"


def test_a_folder_outside_of_git_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GitError, match="not a git repository"):
        Reader(tmp_path)


def test_a_link_to_a_repository_is_followed(repo: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(repo)
    with Reader(tmp_path / "link") as reader:
        assert reader.root == repo


def test_an_experiment_has_a_name_a_commit_a_baseline_and_a_time(repo: Path) -> None:
    rev = experiment(repo, "first", "dvc: commit experiment 0", 7)
    with Reader(repo) as reader:
        assert reader.experiments() == [Experiment("first", rev, git(repo, "rev-parse", "HEAD"), 7)]


def test_experiments_come_oldest_first(repo: Path) -> None:
    for name, time in (("c", 3), ("b", 2), ("a", 2)):
        experiment(repo, name, "x", time)
    with Reader(repo) as reader:
        assert [one.name for one in reader.experiments()] == ["a", "b", "c"]


def test_an_experiment_whose_baseline_is_on_no_branch_is_there(repo: Path) -> None:
    experiment(repo, "first", "x", 1)
    git(repo, "commit", "--quiet", "--amend", "-m", "Amended")
    with Reader(repo) as reader:
        assert [one.name for one in reader.experiments()] == ["first"]


@pytest.mark.parametrize(
    ("subject", "study"),
    [
        ("search: wide-search-12", "wide-search"),
        ("search: 12", None),
        ("search: wide", None),
        ("dvc: commit experiment 0", None),
        ("about search: wide-1", None),
    ],
)
def test_a_trial_belongs_to_the_study_of_its_subject(repo: Path, subject: str, study: str | None) -> None:
    experiment(repo, "renamed", subject, 1)
    with Reader(repo) as reader:
        assert [one.study for one in reader.experiments()] == [study]


@pytest.mark.parametrize("name", ["näme@1", "12", "a.b-c"])
def test_an_experiment_can_have_any_name(repo: Path, name: str) -> None:
    experiment(repo, name, "a subject\u2028of two lines", 1)
    with Reader(repo) as reader:
        assert [one.name for one in reader.experiments()] == [name]


@pytest.mark.parametrize(
    "ref", ["exec/EXEC_HEAD", "stash", "apply/ORIG_HEAD", "celery/stash", "temp/ab/{}/x"]
)
def test_notes_of_dvc_are_no_experiments(repo: Path, ref: str) -> None:
    git(repo, "update-ref", f"refs/exps/{ref.format('1' * 38)}", "HEAD")
    with Reader(repo) as reader:
        assert reader.experiments() == []


def test_a_snapshot_is_found_by_any_name(repo: Path) -> None:
    git(repo, "tag", "v1")
    with Reader(repo) as reader:
        revs = {reader.snapshot(name).rev for name in ("HEAD", "v1", git(repo, "rev-parse", "HEAD")[:9])}
    assert revs == {git(repo, "rev-parse", "HEAD")}


def test_snapshots_come_in_the_order_that_was_asked_for(repo: Path) -> None:
    revs = [
        git(repo, "rev-parse", "HEAD"),
        commit(repo.parent, {"ml/b": ""}),
        commit(repo.parent, {"ml/c": ""}),
    ]
    wanted = [revs[2], revs[0], revs[1], revs[0]]
    with Reader(repo) as reader:
        assert [snapshot.rev for snapshot in reader.snapshots(wanted)] == wanted


def test_more_snapshots_than_are_read_together(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "TOGETHER", 2)
    with Reader(repo) as reader:
        assert len(list(reader.snapshots(["HEAD"] * 5))) == 5


def test_an_unknown_revision_is_named(repo: Path) -> None:
    with Reader(repo) as reader, pytest.raises(NotFoundError, match=f"^nowhere: no such revision in {repo}$"):
        list(reader.snapshots(["HEAD", "nowhere"]))


def test_a_snapshot_holds_the_files_of_dvc_below_its_root(repo: Path) -> None:
    files = {"dvc.yaml": "", "sub/dvc.lock": "", "a.txt.dvc": "", "environment.json": "", "b.txt": ""}
    commit(repo.parent, {f"ml/{path}": text for path, text in files.items()})
    commit(repo.parent, {"dvc.lock": "", "ml/nested/.dvc/config": "", "ml/nested/dvc.lock": ""})
    with Reader(repo) as reader:
        found = reader.snapshot("HEAD").files.keys()
    assert found == {"dvc.lock", "dvc.yaml", "sub/dvc.lock", "a.txt.dvc", "environment.json"}


def test_a_commit_from_before_the_dvc_repository_is_empty(tmp_path: Path) -> None:
    first = commit(tmp_path, {"README.md": ""})
    commit(tmp_path, {"ml/.dvc/config": ""})
    with Reader(tmp_path / "ml") as reader:
        snapshot = reader.snapshot(first)
        assert (snapshot.tree, snapshot.files, snapshot.git_files("")) == ("", {}, {})


def test_a_folder_lists_its_files_where_it_is_cached_and_else_is_its_only_one(repo: Path) -> None:
    folder, file = "a" * 32 + ".dir", "b" * 32
    with Reader(repo) as reader:
        assert reader.folder_files("data", {"md5": folder}) == {"data": folder}
        assert reader.folder_files("data.csv", {"md5": file}) == {"data.csv": file}
    listing = json.dumps([{"md5": file, "relpath": "x/y.txt"}])
    write(repo, {f".dvc/cache/files/md5/aa/{folder[2:]}": listing})
    with Reader(repo) as reader:
        assert reader.folder_files("data", {"md5": folder}) == {"data/x/y.txt": file}


def test_the_cache_is_where_dvcs_settings_say(repo: Path) -> None:
    write(repo, {".dvc/config": "[cache]\ndir = ../shared\n", "shared/files/md5/aa/" + "a" * 30: "x"})
    with Reader(repo) as reader:
        assert reader.cached_file("a" * 32) == repo / "shared/files/md5/aa" / ("a" * 30)
