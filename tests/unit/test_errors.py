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


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_a_locatable_error(kind: type) -> None:
    assert issubclass(kind, LocatableError)


def test_the_picture_names_every_kind() -> None:
    assert all(kind.__name__ in (errors.__doc__ or "") for kind in KINDS)


def test_an_error_ends_a_command_with_1() -> None:
    assert LocatableError("no").exit_code == 1


def test_a_wrong_command_line_ends_a_command_with_2() -> None:
    assert UsageError("no").exit_code == 2


def test_an_error_can_have_an_exit_code_of_its_own() -> None:
    assert LocatableError("no", exit_code=7).exit_code == 7


def test_an_error_prints_its_message_without_the_hint() -> None:
    assert str(LocatableError("no", hint="try yes")) == "no"


def test_git_errors_keep_all_that_git_said() -> None:
    assert GitError("no", "one\ntwo").stderr == "one\ntwo"


def test_what_a_proof_lacks_begins_with_cannot_try() -> None:
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
