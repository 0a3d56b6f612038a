"""A file is written as a whole or not at all."""

import os
import stat
from pathlib import Path

import pytest

from locatable.output import mode_of_new_files, replacing


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o750])
def test_a_file_has_the_mode_that_was_asked_for(tmp_path: Path, mode: int) -> None:
    with replacing(tmp_path / "file", mode) as file:
        file.write(b"new")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode


def test_a_file_without_a_mode_is_for_its_owner_alone(tmp_path: Path) -> None:
    with replacing(tmp_path / "file") as file:
        file.write(b"new")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600


def test_the_mode_of_new_files_is_that_of_one(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    assert stat.S_IMODE((tmp_path / "plain").stat().st_mode) == mode_of_new_files()


def interrupt_writing(path: Path) -> None:
    with replacing(path) as file:
        file.write(b"new")
        raise KeyboardInterrupt


def test_what_is_interrupted_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    with pytest.raises(KeyboardInterrupt):
        interrupt_writing(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_name_can_be_as_long_as_any(tmp_path: Path) -> None:
    name = "n" * os.pathconf(tmp_path, "PC_NAME_MAX")
    with replacing(tmp_path / name) as file:
        file.write(b"new")
    assert os.listdir(tmp_path) == [name]
