"""Files that git-annex keeps, made as it makes them; here it need not be installed."""

import json
import shutil
from pathlib import Path

import pytest
import tiny_dvc
import tiny_git
from tiny_proof import clone_of, proof

from locatable.errors import CannotTryError, ProjectError
from locatable.git.pointers import annex_file, annex_key
from locatable.repository.reader import Reader
from locatable.results.rebuild import rebuild_commands
from locatable.results.staleness import differences

TABLE = b"a,b\n1,2\n"
KEY = "SHA256E-s8--492d5ea496056f1a6a6592241032fab764c321596317930b4fa0e1e8bc3b7470.csv"
# By `git annex examinekey --format='${hashdirmixed}${key}'`, and the same with hashdirlower.
MIXED = f"annex/objects/QW/GM/{KEY}/{KEY}"
LOWER = f"annex/objects/9ca/df7/{KEY}/{KEY}"
POINTER = f"/annex/objects/{KEY}\n"
STAGE = {
    "cmd": "cat table.csv params.yaml > copy.csv",
    "deps": ["table.csv"],
    "params": ["x"],
    "outs": [{"copy.csv": {"cache": False}}],
}
PIPELINE = json.dumps({"stages": {"make": STAGE}})


def annex(root: Path, unlocked: bool) -> None:
    """Have git-annex keep the table."""
    (root / "table.csv").unlink()
    if unlocked:
        tiny_git.write(root, {"table.csv": POINTER})
    else:
        (root / "table.csv").symlink_to(f".git/{MIXED}")
    tiny_git.write(root / ".git", {MIXED: TABLE})


@pytest.fixture(params=[False, True], ids=["locked", "unlocked"])
def root(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A project whose stage reads a table that git-annex keeps."""
    root = tmp_path / "project"
    tiny_dvc.init(root)
    tiny_git.write(root, {"dvc.yaml": PIPELINE, "params.yaml": "x: 1\n", "table.csv": TABLE})
    with tiny_dvc.dvc(root) as repo:
        repo.reproduce()
    annex(root, request.param)
    tiny_dvc.commit(root)
    tiny_git.git(root, "branch", "git-annex")
    return root


@pytest.mark.parametrize(
    ("content", "key"),
    [
        (POINTER.encode(), KEY),
        (POINTER.removesuffix("\n").encode(), KEY),
        (f"../.git/{MIXED}".encode(), KEY),
        (b"../.git/annex/objects/", None),
        (b"/annex/objects/a\nand a text\n", None),
        (TABLE, None),
    ],
)
def test_a_link_or_pointer_names_its_key(content: bytes, key: str | None) -> None:
    assert annex_key(content) == key


@pytest.mark.parametrize("place", [MIXED, LOWER])
def test_a_content_is_where_git_annex_keeps_it(tmp_path: Path, place: str) -> None:
    tiny_git.write(tmp_path, {place: TABLE})
    assert annex_file(tmp_path, KEY) == tmp_path / place


def test_a_proof_has_what_git_annex_keeps(root: Path) -> None:
    assert proof(root).proven


def test_a_trial_has_what_git_annex_keeps_and_leaves_it_there(root: Path) -> None:
    clone = clone_of(root)
    clone.reset()
    rev = clone.run("trial", {"x": 2})
    assert tiny_git.git(clone.folder, "show", f"{rev}:copy.csv") == f"{TABLE.decode()}x: 2"
    changed = tiny_git.git(clone.folder, "diff", "--name-only", "HEAD", rev).split()
    assert changed == ["copy.csv", "dvc.lock", "params.yaml"]


def test_a_trial_reads_no_pointer(root: Path) -> None:
    shutil.rmtree(root / ".git/annex")
    with pytest.raises(ProjectError, match=r"table\.csv"):
        clone_of(root).run("trial", {"x": 2})


def test_a_content_that_this_machine_lacks_is_named(root: Path) -> None:
    shutil.rmtree(root / ".git/annex")
    with pytest.raises(CannotTryError) as raised:
        proof(root)
    assert str(raised.value) == (
        "cannot try: make depends on table.csv: git-annex has no content of table.csv on this machine: "
        "`git annex get table.csv`"
    )


def test_a_content_of_another_commit_is_fetched_by_its_key(root: Path) -> None:
    shutil.rmtree(root / ".git/annex")
    rev = tiny_git.git(root, "rev-parse", "HEAD")
    tiny_git.commit(root, {"README.md": "Next"})
    with pytest.raises(CannotTryError, match=rf"`git annex get --key={KEY}`$"):
        proof(root, rev)


def test_a_pointer_is_not_taken_for_the_file_and_a_rebuild_gets_what_stages_read(root: Path) -> None:
    with Reader(root) as reader:
        snapshot = reader.snapshot("HEAD")
        assert differences(snapshot) == []
        assert "git annex get table.csv" in rebuild_commands(snapshot, None, None)


def test_a_link_to_nowhere_is_a_missing_dependency(tmp_path: Path) -> None:
    root = tmp_path / "project"
    tiny_dvc.init(root)
    tiny_git.write(root, {"dvc.yaml": PIPELINE, "params.yaml": "x: 1\n", "table.csv": TABLE})
    with tiny_dvc.dvc(root) as repo:
        repo.reproduce()
    (root / "table.csv").unlink()
    (root / "table.csv").symlink_to("nowhere.csv")
    tiny_dvc.commit(root)
    assert any("table.csv" in line and "missing" in line for line in proof(root).findings)
