"""A revision in words."""

from typing import Any

import pytest

from locatable.mlflow.revision import revision_note
from locatable.results.coordinates import Coordinate, Coordinates


def note(**contents: Any) -> str:
    """The note of a revision with these coordinates."""
    found = {
        "data": {"data/raw.csv": "a" * 32},
        "code": {"commit": "c0ffee", "files": {"train.py": "b" * 32}},
        "params": {"train.alpha": 0.1},
        "environment": {"files": {"requirements.lock": "c" * 32}, "record": {}},
        "execution": {"commit": "c0ffee", "stages": {"train": {"cmd": "x", "outs": {"m.bin": "d" * 32}}}},
        **contents,
    }
    digests = {name: Coordinate(content, name.ljust(32, "0")) for name, content in found.items()}
    return revision_note("c0ffee", Coordinates(**digests), ["git clone https://ada:secret@host/x project"])


@pytest.mark.parametrize(
    "line",
    [
        "#### Data `data00000000`: which snapshot?",
        "| data/raw.csv | `aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa` |",
        "Git commit `c0ffee`",
        "| train.alpha | `0.1` |",
        "| train → m.bin | `dddddddddddddddddddddddddddddddd` |",
    ],
)
def test_each_coordinate_is_told(line: str) -> None:
    assert line in note().splitlines()


def test_commands_that_rebuild_it_come_first_and_hold_no_password() -> None:
    assert note().startswith("#### Rebuild it\n```console\ngit clone https://host/x project\n```\n")


def test_the_recorded_python_and_its_drift_are_told() -> None:
    record = {"python": "3.11", "drift": {"numpy": {}}}
    found = note(environment={"files": {"environment.json": "e" * 32}, "record": record})
    assert "Python 3.11, 1 packages differ from the lock" in found


def test_an_environment_without_a_record_is_told_by_its_files() -> None:
    found = note(environment={"files": {"requirements.txt": "e" * 32}, "record": {}})
    assert "which packages?\n| | |\n|---|---|\n| requirements.txt |" in found


def test_an_environment_of_which_nothing_is_known_says_so() -> None:
    assert "which packages?\nnothing that is recognised records the environment\n" in note(
        environment={"files": {}, "record": {}}
    )


def test_an_empty_coordinate_says_so() -> None:
    assert "which snapshot?\nnone\n" in note(data={})


def test_a_long_table_is_cut_and_says_so() -> None:
    assert "| … and 3 more | |" in note(params={f"p{n}": n for n in range(15)})


def test_a_cell_stays_in_its_table() -> None:
    assert "| a\\|b | `'x' y` |" in note(params={"a|b": "`x`\ny"})


def test_a_long_cell_is_cut() -> None:
    assert f"`{'x' * 77}…`" in note(params={"p": "x" * 100})
