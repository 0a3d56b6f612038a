"""What can go wrong for a user, as types.

    LocatableError
    ├── UsageError          the command line asks for something that does not make sense
    ├── GitError            Git refused
    ├── NotFoundError       nothing of that name or content
    ├── UnreadableError     a file of a revision cannot be understood
    ├── ProjectError        the project is not in a state that allows it
    ├── SettingsError       search.yaml or pyproject.toml is wrong
    ├── StoreError          MLflow's or Optuna's storage cannot be used
    └── CannotTryError      a proof cannot even begin

Only the command line turns them into text and an exit code. A traceback is a fault of ours.
"""

import contextlib
import re
from collections.abc import Iterator

# What shells report for programs that SIGINT ended.
INTERRUPTED = 130
# How systems, Git and SQLite say that there is no space left.
DISK_FULL = re.compile(r"no space left|out of disk ?space|disk is full|disk quota", re.IGNORECASE)


class LocatableError(Exception):
    """One line for the user: what is wrong, where, and what to do.

    Attributes:
        message: the line.
        hint: what to do about it, where that is not part of the message.
        exit_code: what the command ends with.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "", exit_code: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if exit_code is not None:
            self.exit_code = exit_code


class UsageError(LocatableError):
    """The command line asks for something that does not make sense."""

    exit_code = 2


class GitError(LocatableError):
    """Git refused.

    Attributes:
        stderr: all that Git said.
    """

    def __init__(self, message: str, stderr: str = "") -> None:
        super().__init__(message)
        self.stderr = stderr


class NotFoundError(LocatableError):
    """Nothing of that name or content."""


class UnreadableError(LocatableError):
    """A file of a revision cannot be understood; the message says which one and why."""


class ProjectError(LocatableError):
    """The project is not in a state that allows what was asked for."""


class SettingsError(LocatableError):
    """search.yaml or pyproject.toml is wrong."""


class StoreError(LocatableError):
    """MLflow's or Optuna's storage cannot be used."""


class CannotTryError(LocatableError):
    """Something that a proof needs is not available."""

    exit_code = 2

    def __str__(self) -> str:
        return f"cannot try: {self.message}"


def joined_lines(said: object) -> str:
    """Return what an error, or anything else, says in several lines as one."""
    return " ".join(str(said).split())


def disk_full() -> str:
    """Return a sentence for a disk that is full, where nobody knows which one is."""
    from tempfile import gettempdir

    return (
        f"a disk is full, and `df` shows which (temporary files are in {gettempdir()}): "
        "free some space, then run the same command again"
    )


@contextlib.contextmanager
def disk_full_errors() -> Iterator[None]:
    """Turn what any library raises where a disk is full into one line for the user.

    Raises:
        ProjectError: a disk is full.
    """
    try:
        yield
    except Exception as error:
        # Of ours, only Git's own words do not say what to do.
        is_told = isinstance(error, LocatableError) and not isinstance(error, GitError)
        if is_told or not DISK_FULL.search(str(error)):
            raise
        raise ProjectError(disk_full()) from error
