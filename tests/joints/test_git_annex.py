# /// script
# dependencies = ["git-annex==10.20261026", "datalad==1.7.1"]
# [tool.joint]
# question = "Versioning"
# tool = "git-annex, DataLad"
# joint = "src/locatable/git/pointers.py"
# ///
"""A stage reads a table that git-annex keeps, whose content is in a special remote."""

import contextlib
import json
import subprocess
from pathlib import Path

import pytest
import tiny_dvc
from tiny_git import git, write

from locatable import read_coordinates
from locatable.errors import CannotTryError
from locatable.git.pointers import annex_file
from locatable.proof.reproduce import ProofOptions, Report, reproduce
from locatable.repository.reader import Reader
from locatable.results.rebuild import rebuild_commands
from locatable.results.staleness import differences

TABLE = "a,b\n1,2\n"
# By `md5sum`.
MD5 = "e5ebd4c02cefbe7955977c67ada242b7"
STAGE = {"cmd": "cat raw.csv > copy.csv", "deps": ["raw.csv"], "outs": ["copy.csv"]}


def annex(root: Path, *command: str) -> str:
    return git(root, "annex", *command)


def make_results(root: Path) -> None:
    """Have DVC run a stage that reads the table."""
    write(root, {"dvc.yaml": json.dumps({"stages": {"make": STAGE}})})
    with tiny_dvc.dvc(root) as repo:
        repo.reproduce()
    tiny_dvc.commit(root)


@pytest.fixture
def special(tmp_path: Path) -> Path:
    """The folder of a special remote."""
    folder = tmp_path / "special"
    folder.mkdir()
    return folder


@pytest.fixture(params=["lock", "unlock"])
def root(tmp_path: Path, special: Path, request: pytest.FixtureRequest) -> Path:
    """A project whose table is an annexed file, also kept by the special remote."""
    root = tmp_path / "project"
    tiny_dvc.init(root)
    annex(root, "init", "here")
    write(root, {"raw.csv": TABLE})
    annex(root, "add", "raw.csv")
    annex(root, str(request.param), "raw.csv")
    store = ("store", "type=directory", f"directory={special}", "encryption=none")
    annex(root, "initremote", *store)
    tiny_dvc.commit(root)
    annex(root, "copy", "--to", "store", "raw.csv")
    make_results(root)
    return root


def proof(root: Path) -> Report:
    with contextlib.chdir(root):
        return reproduce(ProofOptions(rev="HEAD", fresh_environment=False), lambda line: None)


def test_a_content_is_found_where_git_annex_has_it(root: Path) -> None:
    key = annex(root, "lookupkey", "raw.csv")
    assert annex_file(root / ".git", key) == root / annex(root, "contentlocation", key)


def test_the_coordinates_have_the_hash_of_the_content(root: Path) -> None:
    assert read_coordinates(root, "HEAD").code.content["files"] == {"raw.csv": MD5}


def test_a_result_is_rebuilt(root: Path) -> None:
    assert proof(root).proven


def test_a_table_that_was_dropped_is_named(root: Path) -> None:
    annex(root, "drop", "raw.csv")
    with pytest.raises(CannotTryError, match=r"raw\.csv on this machine: `git annex get raw\.csv`$"):
        proof(root)


def test_the_special_remote_gives_it_to_the_proof(root: Path) -> None:
    annex(root, "drop", "raw.csv")
    annex(root, "get", "raw.csv")
    assert proof(root).proven


def test_no_change_is_seen_where_there_is_none(root: Path) -> None:
    with Reader(root) as reader:
        assert differences(reader.snapshot("HEAD")) == []


def test_the_commands_that_rebuild_get_it(root: Path) -> None:
    with Reader(root) as reader:
        assert "git annex get raw.csv" in rebuild_commands(reader.snapshot("HEAD"), None, None)


def test_a_file_of_a_special_remote_is_a_source_of_dvc(root: Path, special: Path) -> None:
    (content,) = (path for path in special.rglob("*") if path.is_file())
    with tiny_dvc.dvc(root) as repo:
        repo.imp_url(str(content), "imported.csv")
    tiny_dvc.commit(root)
    assert read_coordinates(root, "HEAD").data.content == {"imported.csv": MD5}


def test_a_data_set_of_datalad_is_read_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"):
        monkeypatch.setenv(name, "Ada")
    for name in ("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"):
        monkeypatch.setenv(name, "ada@example.org")
    root = tmp_path / "project"
    subprocess.run(("datalad", "create", str(root)), check=True)
    write(root, {"raw.csv": TABLE})
    subprocess.run(("datalad", "save", "-d", str(root)), check=True)
    tiny_dvc.init(root, subdir=True)
    make_results(root)
    assert (root / "raw.csv").is_symlink()
    assert proof(root).proven
