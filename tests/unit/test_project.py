"""Which project a command works on, from any folder of it."""

from pathlib import Path

import pytest
from tiny_git import commit, git

from locatable.errors import UsageError
from locatable.repository import find_project


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with DVC in its root, and a folder below it."""
    root = tmp_path / "project"
    commit(root, {".dvc/config": "", "data/raw.txt": "raw"})
    return root


def test_the_nearest_of_the_folders_around(project: Path) -> None:
    assert find_project(project) == find_project(project / "data") == project
    (project / "data/.dvc").mkdir()
    assert find_project(project / "data") == project / "data"


def test_through_a_link(project: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(project / "data")
    assert find_project(tmp_path / "link") == project


def test_in_a_linked_worktree(project: Path, tmp_path: Path) -> None:
    git(project, "worktree", "add", "--quiet", str(tmp_path / "other"))
    assert find_project(tmp_path / "other/data") == tmp_path / "other"


def test_in_a_sparse_checkout_without_dvc_s_folder(project: Path) -> None:
    git(project, "sparse-checkout", "set", "data")
    assert not (project / ".dvc").exists()
    assert find_project(project / "data") == project


def test_a_repository_without_dvc_is_refused(tmp_path: Path) -> None:
    commit(tmp_path / "plain", {"file": ""})
    with pytest.raises(UsageError, match=f"^not inside a DVC project: {tmp_path / 'plain'}$"):
        find_project(tmp_path / "plain")


def test_a_folder_above_a_project_is_told_where_it_is(tmp_path: Path) -> None:
    commit(tmp_path / "all", {"models/a/.dvc/config": "", "models/b/.dvc/config": "", "file": ""})
    with pytest.raises(UsageError) as caught:
        find_project(tmp_path / "all/models")
    assert caught.value.hint == "there is one in a, b"


def test_dvc_without_git_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    with pytest.raises(UsageError, match=f"^not inside a Git repository: {tmp_path}$"):
        find_project(tmp_path)
