"""Files that Git keeps by Git LFS."""

import hashlib
from pathlib import Path

import pytest
from tiny_git import commit, git, write

from locatable.clones.trial_clone import Clone, CloneSetup
from locatable.errors import ProjectError
from locatable.git.pointers import lfs_id
from locatable.locate import locate
from locatable.repository.reader import Reader
from locatable.results.coordinates import coordinates_of
from locatable.results.values import OutputFiles, read_outputs

PICTURE = b"\x89PNG picture"
OID = hashlib.sha256(PICTURE).hexdigest()
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize {len(PICTURE)}\n".encode()
LOCK = (
    "schema: '2.0'\nstages:\n  draw:\n    cmd: x\n    outs:\n    - path: fig.png\n      hash: md5\n"
    f"      md5: {hashlib.md5(PICTURE, usedforsecurity=False).hexdigest()}\n      size: 1\n"
)
FILES = {".dvc/config": "", "dvc.lock": LOCK, "fig.png": POINTER, "other.png": POINTER}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    commit(tmp_path / "project", FILES)
    return tmp_path / "project"


def outputs(root: Path) -> OutputFiles:
    with Reader(root) as reader:
        return read_outputs(reader.snapshot("HEAD"))


@pytest.mark.parametrize(
    ("content", "oid"),
    [
        (POINTER, OID),
        (POINTER.replace(b"oid", b"ext-0-foo sha256:1\noid"), OID),
        (b"version https://git-lfs.github.com/spec/v1\n", None),
        (POINTER + b"x" * 1024, None),
        (PICTURE, None),
        (b"", None),
    ],
)
def test_a_pointer_is_told_from_other_contents(content: bytes, oid: str | None) -> None:
    assert lfs_id(content) == oid


def test_a_picture_is_shown_and_not_its_pointer_wherever_its_content_is(root: Path) -> None:
    write(root, {f".git/lfs/objects/{OID[:2]}/{OID[2:4]}/{OID}": PICTURE})
    assert outputs(root) == OutputFiles({"fig.png": PICTURE}, [])
    git(root, "config", "lfs.storage", str(root / "elsewhere"))
    write(root, {f"elsewhere/objects/{OID[:2]}/{OID[2:4]}/{OID}": PICTURE})
    assert outputs(root) == OutputFiles({"fig.png": PICTURE}, [])


def test_a_picture_that_this_machine_lacks_is_missing(root: Path) -> None:
    assert outputs(root) == OutputFiles({}, ["fig.png (Git LFS)"])


def test_a_file_is_located_that_no_stage_knows(root: Path, tmp_path: Path) -> None:
    write(root, {".git/lfs/x": ""})
    commit(root, {"dvc.lock": ""})
    write(tmp_path, {"copied": PICTURE})
    with Reader(root) as reader:
        roles = locate(reader, str(tmp_path / "copied")).results[-1].roles
    assert {path: str(role) for path, role in roles.items()} == {
        "fig.png": "kept in Git",
        "other.png": "kept in Git",
    }


@pytest.mark.parametrize("path", ["vendor/lib", "vendor/lib/square.py"])
def test_code_of_a_submodule_is_code(tmp_path: Path, path: str) -> None:
    lock = f"schema: '2.0'\nstages:\n  a:\n    cmd: x\n    deps:\n    - path: {path}\n      md5: {'a' * 32}\n"
    head = commit(tmp_path, {"ml/.dvc/config": "", "ml/dvc.lock": lock})
    git(tmp_path, "update-index", "--add", "--cacheinfo", f"160000,{head},ml/vendor/lib")
    git(tmp_path, "commit", "--quiet", "-m", "Next")
    with Reader(tmp_path / "ml") as reader:
        found = coordinates_of(reader.snapshot("HEAD"))
    assert (found.data.content, found.code.content["files"]) == ({}, {path: "a" * 32})


def test_a_search_says_how_to_get_a_content_that_git_lfs_does_not_find(tmp_path: Path) -> None:
    """Git LFS is imitated: it fails, as it does for a content that neither this machine nor a server has."""
    head = commit(tmp_path / "project", {**FILES, ".gitattributes": "*.png filter=lfs\n"})
    git(tmp_path / "project", "config", "filter.lfs.smudge", "false")
    git(tmp_path / "project", "config", "filter.lfs.required", "true")
    setup = CloneSetup(head, str(tmp_path / "project"), "", {}, {}, shared=True)
    with pytest.raises(ProjectError) as refused:
        Clone(tmp_path / "clone", setup)
    assert refused.value.message == "this machine has only a Git LFS pointer to fig.png: `git lfs pull`"
