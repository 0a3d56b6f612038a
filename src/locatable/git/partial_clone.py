"""What a partial clone (`git clone --filter=…`) lacks, fetched many objects at a time.

Git itself fetches each object when it is asked for it, in a connection of its own: to read the files of a
thousand commits, it would make thousands.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from ..errors import GitError
from . import git, missing_objects

_FULL_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class PartialClone:
    """A clone that has some objects of its remote, and can get the others.

    Args:
        repo: a folder of it.
        remote: where the others are.
        lacks_trees: whether its filter leaves out folders, too, not only files.

    Attributes:
        problem: why the remote cannot be asked; empty as long as it can.
    """

    def __init__(self, repo: Path, remote: str, lacks_trees: bool) -> None:
        self._repo = repo
        self.remote = remote
        self.lacks_trees = lacks_trees
        self.problem = ""

    @classmethod
    def of(cls, repo: Path) -> Self | None:
        """Return the clone around a folder; None where it is not a partial one."""
        try:
            listed = git(repo, "config", "-z", "--get-regexp", r"^remote\..*\.(promisor|partialclonefilter)$")
        except GitError:
            return None  # no such setting
        settings = dict(entry.partition("\n")[::2] for entry in listed.split("\0") if entry)
        for key, value in settings.items():
            if key.endswith(".promisor") and value == "true":
                section = key.removesuffix(".promisor")
                lacks_trees = not settings.get(f"{section}.partialclonefilter", "").startswith("blob:")
                return cls(repo, section.removeprefix("remote."), lacks_trees)
        return None

    def fetch(self, names: Iterable[str]) -> set[str]:
        """Fetch objects that this clone lacks, all in one connection.

        Args:
            names: of objects; those that are not full ids are left to Git.

        Returns:
            Ids of what it still lacks.
        """
        missing = missing_objects(self._repo, {name for name in names if _FULL_ID.fullmatch(name)})
        if not missing or self.problem:
            return missing
        # As Git does for one object. Of a folder, all folders in it come with it.
        quietly = ("--quiet", "--no-tags", "--no-write-fetch-head", "--recurse-submodules=no")
        command = ("fetch", *quietly, "--filter=blob:none", "--stdin", self.remote)
        lines = "".join(f"{name}\n" for name in missing)
        try:
            git(self._repo, *command, text=lines, settings={"fetch.negotiationAlgorithm": "noop"})
        except GitError as error:
            self.problem = error.message
        return missing_objects(self._repo, missing)


def fetch_commit(repo: Path, commit: str) -> None:
    """Get whatever a checkout of a commit needs, where `repo` is a partial clone.

    Raises:
        GitError: it cannot be had.
    """
    _fetch_missing(repo, commit, "--no-walk")


def fetch_history(repo: Path, commit: str) -> None:
    """Get all objects of a commit and its history, where `repo` is a partial clone.

    Raises:
        GitError: they cannot be had.
    """
    _fetch_missing(repo, commit)


def _fetch_missing(repo: Path, commit: str, *options: str) -> None:
    partial = PartialClone.of(repo)
    if partial is None:
        return
    missing = _missing_from(repo, commit, *options)
    while missing:
        partial.fetch(missing)
        if partial.problem:
            raise GitError(
                f"{commit[:7]}: files of it are missing from this partial clone, "
                f"and {partial.remote} does not give them: {partial.problem}"
            )
        # What is in a folder shows when the folder is there.
        missing = _missing_from(repo, commit, *options)


def _missing_from(repo: Path, commit: str, *options: str) -> list[str]:
    listed = git(repo, "rev-list", "--objects", *options, "--missing=print", commit)
    return [line.removeprefix("?") for line in listed.splitlines() if line.startswith("?")]
