"""Errors that users see."""

import errno
import os
import sqlite3

import pytest

from locatable import errors
from locatable.errors import (
    CannotTryError,
    GitError,
    LocatableError,
    ProjectError,
    StoreError,
    UsageError,
    disk_full_errors,
)

KINDS = [
    kind for kind in vars(errors).values() if isinstance(kind, type) and kind.__module__ == errors.__name__
]


def test_every_kind_is_a_locatable_error_and_in_the_picture() -> None:
    assert all(issubclass(kind, LocatableError) for kind in KINDS)
    assert all(kind.__name__ in (errors.__doc__ or "") for kind in KINDS)


@pytest.mark.parametrize(
    ("error", "code"),
    [(LocatableError("no"), 1), (UsageError("no"), 2), (LocatableError("no", exit_code=7), 7)],
)
def test_an_error_ends_a_command_with_the_code_of_its_kind_or_its_own(
    error: LocatableError, code: int
) -> None:
    assert error.exit_code == code


def test_an_error_prints_its_message_without_the_hint_and_all_that_git_said() -> None:
    assert str(LocatableError("no", hint="try yes")) == "no"
    assert GitError("no", "one\ntwo").stderr == "one\ntwo"
    assert str(CannotTryError("no cache")) == "cannot try: no cache"


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/data/file"),
        sqlite3.OperationalError("database or disk is full"),
        GitError("git checkout: fatal: sha1 file 'index.lock' write error. Out of diskspace"),
    ],
)
def test_a_full_disk_is_told_whatever_finds_it(error: Exception) -> None:
    with pytest.raises(ProjectError) as told, disk_full_errors():
        raise error
    assert told.value.message.startswith("a disk is full, and `df` shows which (temporary files are in ")
    assert told.value.message.endswith(": free some space, then run the same command again")


@pytest.mark.parametrize("error", [OSError("no such file"), StoreError("the disk of the store is full: x")])
def test_what_is_no_full_disk_or_is_told_already_stays_as_it_is(error: Exception) -> None:
    with pytest.raises(type(error)) as told, disk_full_errors():
        raise error
    assert told.value is error
