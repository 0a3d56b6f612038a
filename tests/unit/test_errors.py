"""Errors that users see."""

import pytest

from locatable import errors
from locatable.errors import CannotTryError, GitError, LocatableError, UsageError

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type)]


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
