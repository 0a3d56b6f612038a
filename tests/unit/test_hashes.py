"""Hashes of files and folders, as Git and DVC compute them."""

from pathlib import Path

import pytest
from tiny_git import commit, git, write

from locatable.git.objects import git_hash, hash_of
from locatable.repository.hashes import HashKind, md5_of


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


# Three in ten characters that are of no text, and one more.
ODD, ODDER = b"\r\n" * 35 + b"\x80" * 30, b"\r\n" * 34 + b"a" + b"\x80" * 31


@pytest.mark.parametrize(
    "content", [b"a\r\nb\r\n", b"a\nb\n", b"a\rb", b"\0\r\n", b"", b"x\r\n" * 400_000, ODD, ODDER]
)
def test_older_hashes_are_those_of_dvc(tmp_path: Path, content: bytes) -> None:
    from dvc_data.hashfile.hash import file_md5

    write(tmp_path, {"a": content})
    assert md5_of(tmp_path / "a", HashKind.MD5_OF_TEXT) == file_md5(str(tmp_path / "a"), name="md5-dos2unix")


def test_an_entry_says_which_hash_it_has(tmp_path: Path) -> None:
    write(tmp_path, {"data/a.txt": "one\r\n", "same/a.txt": "one\n"})
    assert md5_of(tmp_path / "data", HashKind.of_entry({"md5": ""})) == md5_of(tmp_path / "same")
    assert md5_of(tmp_path / "data", HashKind.of_entry({"md5": "", "hash": "md5"})) == md5_of(
        tmp_path / "data"
    )


def test_a_folder_has_the_hash_of_git(tmp_path: Path) -> None:
    commit(
        tmp_path, {"net/a/c.txt": "2", "net/a-b": "3", "net/a.txt": "4", "net/ü.txt": "", "net/run.sh": "x"}
    )
    (tmp_path / "net/run.sh").chmod(0o755)
    (tmp_path / "net/empty/folder").mkdir(parents=True)
    commit(tmp_path, {})
    assert git_hash(tmp_path / "net", 40) == git(tmp_path, "rev-parse", "HEAD:net")
