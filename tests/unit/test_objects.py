"""Git's objects, many at a time."""

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from tiny_git import commit, git

from locatable.errors import GitError, UnreadableError
from locatable.git import objects as objects_module
from locatable.git.objects import GitObjects, PartialClone, fetch_commit

FILES = {
    "README.md": "same\n",
    "a/copy.md": "same\n",
    "a/b/dvc.lock": "deep\n",
    "a/other.md": "other\n",
    "dvc.lock": "root\n",
    "nested/.dvc/config": "",
    "nested/dvc.lock": "another repository's\n",
}
ENDINGS = ("dvc.lock",)


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository with a file of the same content twice, and another DVC repository in it."""
    commit(tmp_path / "repo", FILES)
    return tmp_path / "repo"


@pytest.fixture
def objects(repo: Path) -> Iterator[GitObjects]:
    """The objects of `repo`."""
    with closing(GitObjects(repo, ENDINGS)) as reader:
        yield reader


@pytest.fixture
def tree(repo: Path) -> str:
    """Id of the root's tree."""
    return git(repo, "rev-parse", "HEAD^{tree}")


def blob(repo: Path, path: str) -> str:
    return git(repo, "rev-parse", f"HEAD:{path}")


def test_answers_come_in_the_order_of_the_questions(repo: Path, objects: GitObjects) -> None:
    answers = objects.read(["HEAD:dvc.lock", "nowhere", "HEAD:README.md"])
    assert answers == [(blob(repo, "dvc.lock"), b"root\n"), None, (blob(repo, "README.md"), b"same\n")]


@pytest.mark.parametrize("name", ["nowhere", "HEAD:nowhere", "0" * 40, "a b c", "a b 3"])
def test_what_is_not_there_has_no_answer(objects: GitObjects, name: str) -> None:
    assert objects.read([name, "HEAD:dvc.lock"])[0] is None


def test_many_more_than_a_pipe_holds_are_read(objects: GitObjects) -> None:
    answers = objects.read(["HEAD:dvc.lock"] * 10_000)
    assert len(answers) == 10_000


def test_content_by_id(repo: Path, objects: GitObjects) -> None:
    ids = [blob(repo, "README.md"), blob(repo, "dvc.lock")]
    assert objects.blobs(ids) == dict(zip(ids, (b"same\n", b"root\n"), strict=True))
    with pytest.raises(UnreadableError, match=f"object {'0' * 40} is missing"):
        objects.blobs(["0" * 40])


def test_a_partial_clone_that_cannot_reach_its_remote_has_what_it_has(repo: Path, tmp_path: Path) -> None:
    git(repo, "config", "uploadpack.allowFilter", "true")
    url = repo.as_uri()
    git(tmp_path, "clone", "--quiet", "--no-checkout", "--filter=blob:none", url, "partial")
    here, elsewhere = blob(repo, "README.md"), blob(repo, "dvc.lock")
    git(tmp_path / "partial", "cat-file", "-e", here)
    shutil.rmtree(repo)
    with closing(GitObjects(tmp_path / "partial", ENDINGS)) as objects:
        assert objects.present_blobs([elsewhere, here]) == {here: b"same\n"}


def test_a_remote_that_reports_no_error_and_sends_nothing_is_asked_once(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(repo, "config", "uploadpack.allowFilter", "true")
    git(tmp_path, "clone", "--quiet", "--no-checkout", "--filter=blob:none", repo.as_uri(), "partial")
    monkeypatch.setattr(PartialClone, "fetch", lambda self, names: set(names))
    with pytest.raises(GitError, match="origin does not give them: it reports no error"):
        fetch_commit(tmp_path / "partial", git(repo, "rev-parse", "HEAD"))


def test_files_are_found_by_the_ending_of_their_name(repo: Path, objects: GitObjects, tree: str) -> None:
    expected = {"dvc.lock": blob(repo, "dvc.lock"), "a/b/dvc.lock": blob(repo, "a/b/dvc.lock")}
    assert objects.matching_files(tree) == expected


def test_the_empty_id_is_a_folder_without_files(objects: GitObjects) -> None:
    assert objects.matching_files("") == {}
    assert objects.files("", "") == {}
    assert objects.names("") == []


def test_names_of_files_in_a_folder(objects: GitObjects, tree: str) -> None:
    assert objects.names(tree) == ["README.md", "dvc.lock"]


@pytest.mark.parametrize("path", ["dvc.lock", "a", "a/b/dvc.lock"])
def test_an_entry_is_a_file_or_a_folder(repo: Path, objects: GitObjects, tree: str, path: str) -> None:
    assert objects.entry(tree, path) == blob(repo, path)


@pytest.mark.parametrize("path", ["nowhere", "a/nowhere", "dvc.lock/below", "a/b/dvc.lock/below", "../x"])
def test_there_is_no_entry_where_git_keeps_nothing(objects: GitObjects, tree: str, path: str) -> None:
    assert objects.entry(tree, path) is None


def test_what_a_submodule_holds_is_no_entry(repo: Path, objects: GitObjects) -> None:
    git(repo, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},module")
    git(repo, "commit", "--quiet", "-m", "Add a submodule")
    tree = git(repo, "rev-parse", "HEAD^{tree}")
    assert objects.entry(tree, "module") is None
    assert "module" not in objects.files(tree, "")


def test_files_have_their_whole_path(repo: Path, objects: GitObjects, tree: str) -> None:
    paths = ["a/b/dvc.lock", "a/copy.md", "a/other.md"]
    assert objects.files(tree, "a") == {path: blob(repo, path) for path in paths}
    assert objects.files(tree, "dvc.lock") == {"dvc.lock": blob(repo, "dvc.lock")}
    assert objects.files(tree, "").keys() == FILES.keys()


def test_a_content_is_found_at_every_path(repo: Path, objects: GitObjects, tree: str) -> None:
    assert objects.paths_of_blob(tree, blob(repo, "README.md")) == ["README.md", "a/copy.md"]


def test_folders_that_were_forgotten_are_read_again(
    repo: Path, objects: GitObjects, tree: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = objects.files(tree, ""), objects.paths_of_blob(tree, blob(repo, "README.md"))
    monkeypatch.setattr(objects_module, "MOST_TREES", 0)
    commit(repo, {"new/file": ""})
    objects.load_trees([git(repo, "rev-parse", "HEAD:new")])
    assert (objects.files(tree, ""), objects.paths_of_blob(tree, blob(repo, "README.md"))) == before


def test_names_that_are_not_utf8_are_read(repo: Path, objects: GitObjects) -> None:
    commit(repo, {b"\xff.txt".decode(errors="surrogateescape"): "odd\n"})
    tree = git(repo, "rev-parse", "HEAD^{tree}")
    assert "\udcff.txt" in objects.names(tree)


def test_a_git_that_ends_is_started_again_and_not_for_ever(objects: GitObjects) -> None:
    for times in range(objects_module.MOST_RESTARTS + 1):
        for child in psutil.Process().children():
            if "cat-file" in child.cmdline():
                child.kill()
                child.wait()
        if times < objects_module.MOST_RESTARTS:
            lost, there = objects.read(["HEAD:dvc.lock", "HEAD:README.md"])
            assert lost is None
            assert there is not None
    with pytest.raises(GitError, match="it ended before it had read everything"):
        objects.read(["HEAD:dvc.lock"])


def test_a_repository_of_sha256_is_read(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--object-format=sha256", ".")
    commit(tmp_path, FILES)
    tree = git(tmp_path, "rev-parse", "HEAD^{tree}")
    with closing(GitObjects(tmp_path, ENDINGS)) as objects:
        assert objects.files(tree, "").keys() == FILES.keys()
