"""Hashes of files and folders, as Git and DVC compute them."""

from pathlib import Path

import pytest
from tiny_git import git, write

from locatable.history.hashes import hash_of, md5_of


def test_a_file_has_its_md5(tmp_path: Path) -> None:
    write(tmp_path, {"a": "one\n"})
    assert md5_of(tmp_path / "a") == "5bbf5a52328e7439ae6e719dfe712200"


def test_a_folder_has_the_hash_of_dvc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dvc.repo import Repo

    monkeypatch.chdir(tmp_path)
    write(tmp_path, {"data/b.txt": "1", "data/a/c.txt": "2", "data/a-b.txt": "3", "data/ü.txt": ""})
    with Repo.init(no_scm=True) as repo:
        (stage,) = repo.add("data")
    assert md5_of(tmp_path / "data") == stage.outs[0].hash_info.value


def test_a_header_comes_before_the_content(tmp_path: Path) -> None:
    write(tmp_path, {"a": "one\n"})
    git(tmp_path, "init", "--quiet")
    assert hash_of(tmp_path / "a", "sha1", b"blob 4\0") == git(tmp_path, "hash-object", "a")


def test_a_file_longer_than_what_is_read_at_a_time(tmp_path: Path) -> None:
    write(tmp_path, {"a": b"\0" * 3_000_000})
    assert md5_of(tmp_path / "a") == "c9fc2d3dd83ab67a129ac10b09c9ebbb"
