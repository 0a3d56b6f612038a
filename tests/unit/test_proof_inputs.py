"""What a stage can need is recognized in its code, and named in one sentence."""

from pathlib import Path

import pytest

from locatable.model import Stage, overlaps
from locatable.proof.inputs import (
    Input,
    InputKind,
    declared_files,
    is_mentioned,
    text_of,
    undeclared_finding,
    unset_variables,
)

CLONE = Path("/clone")


def stage(*commands: str, reads: tuple[Path, ...] = ()) -> Stage:
    """A stage in the root of a clone."""
    return Stage("make", ".", list(commands), deps=tuple(map(str, reads)))


def file(name: str) -> Input:
    """A file of the clone."""
    return Input(InputKind.FILE, name, CLONE / name)


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (file("data/extra.csv"), "open('data/extra.csv')"),
        (file("pkg/helpers.py"), "from .helpers import times"),
        (file("pkg/__init__.py"), "import pkg"),
        (Input(InputKind.PARAM, "train.lr", CLONE / "params.yaml"), "params['train']['lr']"),
        (Input(InputKind.VARIABLE, "SHIFT"), "os.environ['SHIFT']"),
    ],
)
def test_an_input_is_recognized_by_the_name_that_code_uses(item, text):
    assert is_mentioned(item, text)


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (file("data/extra.csv"), "open('data/no-extra.csv')"),
        (file("pkg/helpers.py"), "from .helpers2 import times"),
        (Input(InputKind.PARAM, "train.lr", CLONE / "params.yaml"), "params['lr']"),
        (Input(InputKind.VARIABLE, "SHIFT"), "SHIFT_OF_ROWS"),
    ],
)
def test_a_part_of_another_word_is_no_mention(item, text):
    assert not is_mentioned(item, text)


def test_a_module_is_imported():
    sentence = undeclared_finding(stage("true"), file("pkg/helpers.py"), CLONE, CLONE)
    assert sentence == "make imports pkg/helpers.py, which dvc.yaml does not declare"


def test_a_file_is_read():
    sentence = undeclared_finding(stage("true"), file("data/extra.csv"), CLONE, CLONE)
    assert sentence == "make reads data/extra.csv, which dvc.yaml does not declare"


def test_a_param_is_read_in_its_file():
    item = Input(InputKind.PARAM, "total.offset", CLONE / "params.yaml")
    assert undeclared_finding(stage("true"), item, CLONE, CLONE) == (
        "make reads total.offset in params.yaml, which dvc.yaml does not declare"
    )


def test_a_file_that_only_the_user_has_is_said_to_be_nowhere_else():
    item = Input(InputKind.FILE, "private.csv", Path("/users/checkout/private.csv"))
    assert undeclared_finding(stage("true"), item, CLONE, CLONE) == (
        "make reads private.csv, which dvc.yaml does not declare, nor does Git or DVC hold it"
    )


def test_a_variable_is_recorded_nowhere():
    sentence = undeclared_finding(stage("true"), Input(InputKind.VARIABLE, "SHIFT"), CLONE, CLONE)
    assert sentence == "make depends on the environment variable SHIFT, which nothing records"


@pytest.mark.parametrize(
    "text", ["os.environ['SHIFT_BY']", 'os.environ.get("SHIFT_BY", 0)', "os.getenv( 'SHIFT_BY')"]
)
def test_a_variable_that_code_asks_for_and_that_is_not_set_is_remarked(text):
    assert unset_variables(stage("true"), text) == "; it asks for SHIFT_BY, which is not set here"


@pytest.mark.parametrize("command", ["echo $SHIFT_BY", "echo ${SHIFT_BY}"])
def test_a_variable_that_a_command_asks_for_and_that_is_not_set_is_remarked(command):
    assert unset_variables(stage("true", command), "") == "; it asks for SHIFT_BY, which is not set here"


def test_a_variable_that_is_set_is_not_remarked(monkeypatch):
    monkeypatch.setenv("SHIFT_BY", "4")
    assert unset_variables(stage("echo $SHIFT_BY"), "") == ""


def test_a_variable_that_every_run_has_is_not_remarked():
    assert unset_variables(stage("true"), "os.environ['DVC_STAGE']") == ""


def test_a_file_overlaps_the_folder_around_it():
    assert overlaps("data/raw.csv", ["data"])


def test_a_folder_overlaps_a_file_in_it():
    assert overlaps("data", ["data/raw.csv"])


def test_a_longer_name_does_not_overlap():
    assert not overlaps("data2", ["data"])


def test_the_text_of_a_stage_is_its_commands_and_its_files(tmp_path):
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg/make.py").write_text("import csv")
    assert (
        text_of(stage("python -m pkg.make", reads=(tmp_path / "pkg",)), tmp_path)
        == "python -m pkg.make\nimport csv"
    )


def test_a_large_file_is_not_searched(tmp_path):
    (tmp_path / "large.csv").write_bytes(b"0" * 1_000_000)
    assert list(declared_files(stage("true", reads=(tmp_path / "large.csv",)), tmp_path)) == []
