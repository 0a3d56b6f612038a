"""The exceptions of the package, each one a kind of failure that a user can act on.

    LocatableError
    ├── UsageError          the command line asks for something that does not make sense
    ├── GitError            a Git command failed
    ├── NotFoundError       nothing has that name, content or value
    ├── UnreadableError     a file of a revision cannot be understood
    ├── ProjectError        the project is not in a state that allows it
    ├── SettingsError       search.yaml, pyproject.toml or another setting is wrong
    ├── StoreError          MLflow's or Optuna's storage cannot be used
    └── CannotTryError      a proof cannot even begin

Only the command line turns them into text and an exit code. A traceback is always a bug of ours.
"""

import contextlib
import re
from collections.abc import Iterator

# The exit code shells report for a program that was ended by SIGINT.
INTERRUPTED = 130
# Messages by which operating systems, Git and SQLite report that no space is left.
DISK_FULL = re.compile(r"no space left|out of disk ?space|disk is full|disk quota", re.IGNORECASE)


class LocatableError(Exception):
    """An error that the user can act on, explained in one line: what is wrong, where, and what to do.

    Attributes:
        message: the line.
        hint: what to do about it, unless the message says so itself.
        exit_code: the exit code of the command.
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
    """A Git command failed.

    Attributes:
        stderr: everything that Git printed to its standard error.
    """

    def __init__(self, message: str, stderr: str = "") -> None:
        super().__init__(message)
        self.stderr = stderr


class NotFoundError(LocatableError):
    """Nothing has the name, content or value that the user asked for."""


class UnreadableError(LocatableError):
    """A file of a revision cannot be understood; the message says which one and why."""


class ProjectError(LocatableError):
    """The project is not in a state that allows the requested operation."""


class SettingsError(LocatableError):
    """A setting is wrong: in search.yaml, pyproject.toml, scripts/mirror.py or an environment variable."""


class StoreError(LocatableError):
    """MLflow's or Optuna's storage cannot be used."""


class CannotTryError(LocatableError):
    """Something that a proof needs is not available."""

    exit_code = 2

    def __str__(self) -> str:
        return f"cannot try: {self.message}"


def joined_lines(message: object) -> str:
    """Return the text of an error, or of any other object, with its lines joined into one."""
    return " ".join(str(message).split())


def disk_full() -> str:
    """Return the message for a full disk. It does not name the disk, because the error does not say which."""
    from tempfile import gettempdir

    return (
        f"a disk is full, and `df` shows which (temporary files are in {gettempdir()}): "
        "free some space, then run the same command again"
    )


@contextlib.contextmanager
def disk_full_errors() -> Iterator[None]:
    """Turn the exception that any library raises when a disk is full into one line for the user.

    Raises:
        ProjectError: a disk is full.
    """
    try:
        yield
    except Exception as error:
        # Our own errors already say what to do, except GitError, which holds Git's words.
        says_what_to_do = isinstance(error, LocatableError) and not isinstance(error, GitError)
        if says_what_to_do or not DISK_FULL.search(str(error)):
            raise
        raise ProjectError(disk_full()) from error
