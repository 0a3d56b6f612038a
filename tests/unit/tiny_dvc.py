"""Tiny DVC repositories for unit tests, made by DVC in this process: its commands take seconds to start."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from dvc.repo import Repo
from tiny_git import git, write


@contextlib.contextmanager
def dvc(root: Path) -> Iterator[Repo]:
    """DVC in a repository, which is the current folder meanwhile: DVC takes paths from there."""
    with contextlib.chdir(root), Repo(str(root)) as repo:
        yield repo


def init(root: Path, subdir: bool = False) -> None:
    """Make a folder a DVC repository, and a Git repository where it is not in one."""
    root.mkdir(parents=True, exist_ok=True)
    if not subdir:
        git(root, "init", "--quiet", "--template=")
    # What DVC's own `init` and `config` write, in a fraction of their time.
    write(
        root,
        {
            ".dvc/.gitignore": "/config.local\n/tmp\n/cache\n",
            ".dvc/config": "[core]\n    autostage = true\n    analytics = false\n",
            ".dvc/config.local": f'[core]\n    site_cache_dir = "{root.parent / "site"}"\n',
            ".dvcignore": "",
        },
    )


def commit(root: Path, message: str = "Next") -> str:
    """Commit all that Git does not ignore, and return the commit."""
    git(root, "add", "--all")
    # After DVC staged something, Git can miss what a test then changed within the same second.
    git(root, "add", "--renormalize", ".")
    git(root, "commit", "--quiet", "--allow-empty", "-m", message)
    return git(root, "rev-parse", "HEAD")


def with_results(root: Path, files: Mapping[str, str], *data: str) -> str:
    """Make a repository of these files, run all its pipelines, and return the commit of all of it.

    Args:
        root: a folder, which need not be there.
        files: text by path.
        data: those of them that DVC tracks.
    """
    init(root)
    write(root, files)
    with dvc(root) as repo:
        for path in data:
            repo.add(path)
        repo.reproduce(all_pipelines=True)
    return commit(root)
