"""Code in Git submodules, and files that Git LFS keeps, are in the clones of a proof and of a search."""

import hashlib
import json
import shutil
import sys
from pathlib import Path
from shlex import quote

import pytest
import tiny_dvc
import tiny_git
from tiny_proof import clone_of, proof

from locatable.errors import CannotTryError, ProjectError
from locatable.git import clone_git, make_clone
from locatable.git.pointers import fill_in_lfs, lfs_storage
from locatable.git.submodules import checkout_submodules, fetch_submodules
from locatable.search.run import SearchOptions, plan_search
from locatable.search.settings import load
from locatable.search.worker import remark_on

SQUARE = "import sys, yaml\nx = yaml.safe_load(open('params.yaml'))['x']\nprint('m:', x * x)\n"
STAGE = {
    "cmd": f"{quote(sys.executable)} vendor/lib/square.py > m.yaml",
    "deps": ["vendor/lib/square.py"],
    "params": ["x"],
    "metrics": [{"m.yaml": {"cache": False}}],
}
SEARCH = "study: s\nmetric: m.yaml:m\ndirection: minimize\nspace: {x: {type: int, low: 1, high: 9}}\n"
HERE = ("-c", "protocol.file.allow=always")


def add_submodule(repository: Path, source: Path, path: str) -> None:
    tiny_git.git(repository, *HERE, "submodule", "--quiet", "add", str(source), path)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose stage runs code of a submodule, which has a submodule of its own."""
    tiny_git.identify(tmp_path, monkeypatch)
    tiny_git.commit(tmp_path / "inner", {"inner.txt": "1\n"})
    tiny_git.commit(tmp_path / "lib", {"square.py": SQUARE})
    add_submodule(tmp_path / "lib", tmp_path / "inner", "deep/inner")
    tiny_git.git(tmp_path / "lib", "commit", "--quiet", "-m", "Inner")
    root = tmp_path / "project"
    tiny_dvc.init(root)
    add_submodule(root, tmp_path / "lib", "vendor/lib")
    tiny_git.git(root, *HERE, "submodule", "--quiet", "update", "--init", "--recursive")
    tiny_git.write(root, {"dvc.yaml": json.dumps({"stages": {"make": STAGE}}), "params.yaml": "x: 3\n"})
    with tiny_dvc.dvc(root) as repo:
        repo.reproduce()
    tiny_dvc.commit(root)
    # Nothing but this checkout is asked.
    for name in ("lib", "inner"):
        shutil.rmtree(tmp_path / name)
    return root


def test_a_proof_has_the_code_of_submodules(root: Path) -> None:
    assert proof(root).proven


def test_a_whole_submodule_can_be_a_dependency(root: Path) -> None:
    stage = {**STAGE, "deps": ["vendor/lib"]}
    tiny_git.write(root, {"dvc.yaml": json.dumps({"stages": {"make": stage}})})
    with tiny_dvc.dvc(root) as repo:
        repo.reproduce()
    tiny_dvc.commit(root)
    assert (proof(root).findings, proof(root).proven) == ((), True)


def test_a_trial_has_the_code_of_submodules_and_leaves_nothing_in_them(root: Path) -> None:
    clone = clone_of(root)
    assert (clone.folder / "vendor/lib/deep/inner/inner.txt").read_text() == "1\n"
    rev = clone.run("s-0", {"x": 5}, ["m.yaml"])
    assert clone.read(rev, "m.yaml:m") == 25
    links = [
        tiny_git.git(place, "ls-tree", at, "vendor/lib")
        for place, at in ((clone.folder, rev), (root, "HEAD"))
    ]
    assert links[0] == links[1]
    tiny_git.write(clone.folder / "vendor/lib", {"left.txt": "", "square.py": ""})
    clone.reset()
    assert not (clone.folder / "vendor/lib/left.txt").exists()
    assert (clone.folder / "vendor/lib/square.py").read_text() == SQUARE


def test_a_linked_worktree_needs_no_submodules_of_its_own(root: Path) -> None:
    tiny_git.git(root, "worktree", "add", "--quiet", "--detach", str(root.parent / "linked"))
    assert proof(root.parent / "linked").proven


def test_an_old_commit_has_its_own_submodule(root: Path) -> None:
    tiny_git.commit(root / "vendor/lib", {"square.py": "other"})
    tiny_dvc.commit(root)
    tiny_git.git(root, "rm", "--quiet", "-r", "--force", "vendor/lib")
    tiny_dvc.commit(root)
    assert not (root / "vendor/lib").exists()
    assert proof(root, "HEAD~2").proven


def test_a_submodule_that_was_never_checked_out_is_named(root: Path) -> None:
    commit = tiny_git.git(root, "rev-parse", "HEAD:vendor/lib")
    tiny_git.git(root, "submodule", "--quiet", "deinit", "--force", "vendor/lib")
    shutil.rmtree(root / ".git/modules")
    with pytest.raises(CannotTryError) as raised:
        proof(root)
    assert str(raised.value) == (
        f"cannot try: make depends on vendor/lib/square.py: commit {commit[:10]} of submodule vendor/lib "
        "is not on this machine: `git submodule update --init --recursive`"
    )


def test_a_stage_that_fails_without_an_undeclared_submodule_says_so(root: Path) -> None:
    stage = {**STAGE, "deps": []}
    tiny_git.write(root, {"dvc.yaml": json.dumps({"stages": {"make": stage}})})
    with tiny_dvc.dvc(root) as repo:
        repo.reproduce()
    tiny_dvc.commit(root)
    tiny_git.git(root, "submodule", "--quiet", "deinit", "--force", "vendor/lib")
    shutil.rmtree(root / ".git/modules")
    (finding,) = proof(root).findings
    assert finding.startswith("make fails (exit 2): ")
    assert finding.endswith("vendor/lib is not on this machine: `git submodule update --init --recursive`")


def test_a_trial_that_fails_without_a_submodule_says_so(root: Path) -> None:
    shutil.rmtree(root / "vendor/lib")
    (root / "vendor/lib").mkdir()
    shutil.rmtree(root / ".git/modules")
    assert remark_on(clone_of(root), "").endswith(
        "of submodule vendor/lib is not on this machine: `git submodule update --init --recursive`"
    )


@pytest.mark.parametrize("name", ["{folder}/private/.git", "../../../private/.git"])
def test_no_name_of_a_submodule_leads_to_another_repository(tmp_path: Path, name: str) -> None:
    rev = tiny_git.commit(tmp_path / "private", {"secret": "1\n"})
    section = f'[submodule "{name.format(folder=tmp_path)}"]\n\tpath = sub\n\turl = /nowhere\n'
    tiny_git.commit(tmp_path / "sent", {".gitmodules": section})
    tiny_git.git(tmp_path / "sent", "update-index", "--add", "--cacheinfo", f"160000,{rev},sub")
    tiny_git.git(tmp_path / "sent", "commit", "--quiet", "-m", "Link")
    (tmp_path / "sent/.git/modules").mkdir()
    make_clone(tmp_path / "sent", tmp_path / "clone")
    clone_git(tmp_path / "clone", "checkout", "--quiet", "HEAD")
    (submodule,) = checkout_submodules(tmp_path / "clone", tmp_path / "sent")
    assert "is not on this machine" in submodule.problem
    assert not list(tmp_path.glob("clone/sub/*"))


def test_a_commit_that_a_submodule_lacks_is_to_be_fetched(root: Path) -> None:
    tiny_git.git(root, "update-index", "--cacheinfo", f"160000,{'1' * 40},vendor/lib")
    (found, *_) = checkout_submodules(root, root)
    assert found.problem == (
        "commit 1111111111 of submodule vendor/lib is not on this machine: `git -C vendor/lib fetch`"
    )


def test_a_submodule_that_no_stage_needs_can_be_missing(root: Path) -> None:
    tiny_git.git(root, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},docs/theme")
    tiny_git.git(root, "commit", "--quiet", "-m", "Theme")
    assert proof(root).proven


@pytest.fixture
def elsewhere(root: Path) -> Path:
    """A clone as another machine has it, and where its submodules come from."""
    bare = root.parent / "lib"
    tiny_git.git(root, "clone", "--quiet", "--bare", "vendor/lib", str(bare))
    tiny_git.git(root, "clone", "--quiet", str(root), str(root.parent / "elsewhere"))
    return root.parent / "elsewhere"


def test_another_machine_fetches_submodules(elsewhere: Path) -> None:
    config = '[user]\nname = Ada\nemail = ada@example.org\n[protocol "file"]\nallow = always\n'
    tiny_git.write(elsewhere.parent, {"gitconfig": config})
    fetch_submodules(elsewhere)
    assert (elsewhere / "vendor/lib/square.py").read_text() == SQUARE


def test_a_submodule_is_not_fetched_from_where_the_user_forbids(elsewhere: Path) -> None:
    (found,) = fetch_submodules(elsewhere)
    assert "transport 'file' not allowed" in found.problem
    assert not (elsewhere / "vendor/lib/square.py").exists()


def test_a_search_does_not_begin_from_a_submodule_that_differs(root: Path) -> None:
    tiny_git.git(root, "config", "--file", ".gitmodules", "submodule.vendor/lib.ignore", "all")
    tiny_git.git(root, "config", "diff.ignoreSubmodules", "all")
    tiny_dvc.commit(root)
    tiny_git.write(root, {"search.yaml": SEARCH, "vendor/lib/square.py": "other"})
    with pytest.raises(ProjectError, match=r"^not committed: vendor/lib;"):
        plan_search(root, load(root / "search.yaml"), SearchOptions(trials=1))


PICTURE = b"a,b\n"
OID = hashlib.sha256(PICTURE).hexdigest()
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize {len(PICTURE)}\n"
READER = {"cmd": "cat table.csv > copy.csv", "deps": ["table.csv"], "outs": ["copy.csv"]}


@pytest.fixture
def lfs_project(tmp_path: Path) -> Path:
    """A project with a table that Git LFS keeps, made where Git LFS was installed; here it is not."""
    root = tmp_path / "project"
    tiny_dvc.init(root)
    pipeline = json.dumps({"stages": {"make": READER}})
    tiny_git.write(root, {"dvc.yaml": pipeline, ".gitattributes": "*.csv filter=lfs\n", "table.csv": PICTURE})
    with tiny_dvc.dvc(root) as repo:
        repo.reproduce()
    tiny_git.write(root, {"table.csv": POINTER})
    tiny_dvc.commit(root)
    return root


def test_a_proof_has_what_git_lfs_keeps(lfs_project: Path) -> None:
    tiny_git.write(lfs_storage(lfs_project), {f"objects/{OID[:2]}/{OID[2:4]}/{OID}": PICTURE})
    assert proof(lfs_project).proven


def test_a_content_that_this_machine_lacks_is_named(lfs_project: Path) -> None:
    with pytest.raises(CannotTryError) as raised:
        proof(lfs_project)
    assert str(raised.value) == (
        "cannot try: make depends on table.csv: this machine has only a Git LFS pointer to table.csv: "
        "`git lfs pull`"
    )


def test_only_files_of_git_lfs_are_filled_in(lfs_project: Path) -> None:
    tiny_git.commit(lfs_project, {".gitattributes": "*.png filter=lfs\n"})
    assert fill_in_lfs(lfs_project, lfs_storage(lfs_project)) == []


def test_a_content_of_another_commit_is_fetched_by_its_commit(lfs_project: Path) -> None:
    rev = tiny_git.git(lfs_project, "rev-parse", "HEAD")
    tiny_git.git(lfs_project, "remote", "add", "up", "https://example.org/project.git")
    tiny_git.commit(lfs_project, {"README.md": "Next"})
    with pytest.raises(CannotTryError, match=rf"pointer to table\.csv: `git lfs fetch up {rev[:10]}`$"):
        proof(lfs_project, rev)


@pytest.fixture
def lfs_submodule(root: Path) -> Path:
    """A project whose stage reads a table that Git LFS keeps of a submodule."""
    tables = {".gitattributes": "*.csv filter=lfs\n", "table.csv": POINTER}
    tiny_git.commit(root.parent / "tables", tables)
    add_submodule(root, root.parent / "tables", "tables")
    reader = READER | {"cmd": "cat tables/table.csv > copy.csv", "deps": ["tables/table.csv"]}
    tiny_git.write(root, {"dvc.yaml": json.dumps({"stages": {"make": reader}}), "tables/table.csv": PICTURE})
    with tiny_dvc.dvc(root) as repo:
        repo.reproduce()
    tiny_git.write(root, {"tables/table.csv": POINTER})
    tiny_dvc.commit(root)
    return root


def test_a_proof_has_what_git_lfs_keeps_of_a_submodule(lfs_submodule: Path) -> None:
    kept = {f"objects/{OID[:2]}/{OID[2:4]}/{OID}": PICTURE}
    tiny_git.write(lfs_storage(lfs_submodule / "tables"), kept)
    assert proof(lfs_submodule).proven


def test_a_content_of_a_submodule_that_this_machine_lacks_is_named(lfs_submodule: Path) -> None:
    rev = tiny_git.git(lfs_submodule / "tables", "rev-parse", "HEAD")
    advice = rf"pointer to tables/table\.csv: `git -C tables lfs fetch origin {rev[:10]}`$"
    with pytest.raises(CannotTryError, match=advice):
        proof(lfs_submodule)


def test_a_trial_has_what_git_lfs_keeps_of_a_submodule(lfs_submodule: Path) -> None:
    kept = {f"objects/{OID[:2]}/{OID[2:4]}/{OID}": PICTURE}
    tiny_git.write(lfs_storage(lfs_submodule / "tables"), kept)
    clone = clone_of(lfs_submodule)
    clone.reset()
    assert (clone.folder / "tables/table.csv").read_bytes() == PICTURE
