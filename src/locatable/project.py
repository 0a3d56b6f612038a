"""Finds the DVC project that a command works on."""

from pathlib import Path

from .errors import GitError, UsageError
from .git import git, top_folder


def find_project(folder: Path) -> Path:
    """The root of the DVC project around a folder: where `.dvc` is, as for DVC itself.

    Args:
        folder: any folder of the project.

    Raises:
        UsageError: there is no DVC project, or no Git repository around it.
        GitError: Git refuses to read the repository.
    """
    folder = folder.resolve()
    for candidate in (folder, *folder.parents):
        if (candidate / ".dvc").is_dir():
            _require_repository(candidate)
            return candidate
    sparse = _sparse_project(folder)
    if sparse is None:
        raise UsageError(f"not inside a DVC project: {folder}")
    return sparse


def _require_repository(root: Path) -> None:
    try:
        top_folder(root)
    except GitError:
        if _has_repository(root):
            raise  # Git's own words say why it cannot be used.
        raise UsageError(f"not inside a Git repository: {root}") from None


def _has_repository(folder: Path) -> bool:
    return any((candidate / ".git").exists() for candidate in (folder, *folder.parents))


def _sparse_project(folder: Path) -> Path | None:
    """The root of a project whose `.dvc` Git has, but a sparse checkout leaves out."""
    if not _has_repository(folder):
        return None
    top = top_folder(folder)
    for candidate in (folder, *folder.parents):
        if not candidate.is_relative_to(top):
            break
        if git(candidate, "ls-files", "--", ".dvc"):
            return candidate
    return None
