"""Clones that people have: each row of `KINDS` is one; what they show and do is the same in all."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from shlex import quote

import pytest
import squares
import tiny_dvc
import tiny_git
from tiny_git import git

from locatable.clones.checkout import Checkout
from locatable.clones.trial_clone import Clone, read_project
from locatable.errors import CannotTryError, GitError, NotFoundError, ProjectError
from locatable.git import leave_hook
from locatable.locate import locate, render, report_on
from locatable.mlflow.plan import gone_revisions, wanted_runs
from locatable.repository.reader import Reader, resolve

# A file that Git LFS keeps: what a commit has of it, and its content.
PICTURE = b"\x89PNG picture"
OID = hashlib.sha256(PICTURE).hexdigest()
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize {len(PICTURE)}\n"
FILES = {
    **squares.files("data/raw.bin"),
    "notes/one.txt": "a note\n",
    ".dvcignore": "*.tmp\n/notes/\n",
    ".gitattributes": "*.png filter=lfs\n",
    "logo.png": POINTER,
}
EXPERIMENTS = "refs/exps/*:refs/exps/*"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with two commits that have results, the first of them tagged, then one that has not its own.

    An experiment of the second is named `ten`.
    """
    root = tmp_path_factory.mktemp("source") / "project"
    tiny_dvc.init(root)
    tiny_git.write(root, FILES)
    keep_picture(root)
    with tiny_dvc.dvc(root) as repo:
        repo.add("data/raw.bin")
        repo.reproduce()
    git(root, "tag", "three", tiny_dvc.commit(root, "Three"))
    tiny_git.write(root, {"params.yaml": "x: 4\n"})
    with tiny_dvc.dvc(root) as repo:
        repo.reproduce()
    git(root, "tag", "four", tiny_dvc.commit(root, "Four"))
    run_trial(root, "ten", 10)
    tiny_git.write(root, {"make.py": squares.MAKE + "# changed\n"})
    tiny_dvc.commit(root, "Change code and do not run it")
    git(root, "config", "uploadpack.allowFilter", "true")
    git(root, "config", "uploadpack.allowAnySHA1InWant", "true")
    return root


def run_trial(root: Path, name: str, x: int, place: Path | None = None) -> str:
    """Run an experiment as a search does; returns its commit."""
    head = git(root, "rev-parse", "HEAD")
    clone = Clone((place or root.parent) / f"clone-{name}", read_project(root).clone_setup(head))
    rev = clone.run(name, {"x": x}, ["m.json"])
    clone.push(name, rev)
    return rev


def clone_of(source: Path, place: Path, *options: str, experiments: bool = True) -> Path:
    """A clone with data and DVC's cache, and with experiments if it is to have any."""
    git(place, "clone", "--quiet", "--template=", *options, source.as_uri(), "clone")
    if experiments:
        git(place / "clone", "fetch", "--quiet", "origin", EXPERIMENTS)
    return place / "clone"


def sparse(source: Path, place: Path, *patterns: str) -> Path:
    clone = clone_of(source, place)
    git(clone, "sparse-checkout", "set", *patterns)
    return clone


def worktree(source: Path, place: Path) -> Path:
    git(clone_of(source, place), "worktree", "add", "--quiet", str(place / "linked"))
    return place / "linked"


def worktree_of_bare(source: Path, place: Path) -> Path:
    git(place, "clone", "--quiet", "--bare", source.as_uri(), "bare.git")
    git(place / "bare.git", "fetch", "--quiet", "origin", EXPERIMENTS)
    git(place / "bare.git", "worktree", "add", "--quiet", str(place / "linked"))
    return place / "linked"


def submodule(source: Path, place: Path) -> Path:
    git(place, "init", "--quiet", "around")
    allowed = ("-c", "protocol.file.allow=always")
    git(place / "around", *allowed, "submodule", "--quiet", "add", source.as_uri(), "ours")
    git(place / "around/ours", "fetch", "--quiet", "origin", EXPERIMENTS)
    return place / "around/ours"


KINDS: dict[str, Callable[[Path, Path], Path]] = {
    "a usual one": clone_of,
    "one branch": lambda source, place: clone_of(source, place, "--single-branch"),
    "no contents of files": lambda source, place: clone_of(source, place, "--filter=blob:none"),
    "small files only": lambda source, place: clone_of(source, place, "--filter=blob:limit=60"),
    "no folders": lambda source, place: clone_of(source, place, "--filter=tree:0"),
    "Git's folder elsewhere": lambda source, place: clone_of(
        source, place, f"--separate-git-dir={place / 'elsewhere.git'}"
    ),
    "a part without other folders": lambda source, place: sparse(source, place, "data", ".dvc"),
    "a part without notes": lambda source, place: sparse(source, place, "--no-cone", "/*", "!/notes/"),
    "a linked worktree": worktree,
    "a worktree of a bare repository": worktree_of_bare,
    "a submodule of another": submodule,
}


@pytest.fixture(params=KINDS)
def clone(request: pytest.FixtureRequest, source: Path, tmp_path: Path) -> Path:
    """A clone of each kind, with what DVC and Git LFS keep beside it."""
    return with_cache(KINDS[request.param](source, tmp_path), source)


def with_cache(clone: Path, source: Path) -> Path:
    (clone / ".dvc").mkdir(exist_ok=True)
    shutil.copytree(source / ".dvc/cache", clone / ".dvc/cache")
    shutil.copy(source / ".dvc/config.local", clone / ".dvc")
    keep_picture(clone)
    return clone


def keep_picture(root: Path) -> None:
    """Put the picture where Git LFS keeps what this machine has."""
    common = root / git(root, "rev-parse", "--git-common-dir")
    tiny_git.write(common, {f"lfs/objects/{OID[:2]}/{OID[2:4]}/{OID}": PICTURE})


@pytest.fixture
def shallow(source: Path, tmp_path: Path) -> Path:
    """A clone of the last commit alone."""
    return with_cache(clone_of(source, tmp_path, "--depth=1", experiments=False), source)


def names_of(root: Path, target: object) -> list[str]:
    """What located revisions are called: name of the experiment, or subject of the commit."""
    with Reader(root) as reader:
        results = locate(reader, str(target)).results
    return [one.experiment.name if one.experiment else subject(root, one.rev) for one in results]


def subject(root: Path, rev: str) -> str:
    return git(root, "show", "-s", "--format=%s", rev)


def text_of(root: Path, target: object) -> str:
    with Reader(root) as reader:
        return "\n".join(
            render.to_text(report_on(reader, result, None)) for result in locate(reader, str(target)).results
        )


def test_what_git_dvc_and_git_lfs_keep_is_located_and_so_is_a_name(clone, tmp_path):
    figure = tmp_path / "figure"
    figure.write_text('{"m": 100}')
    assert names_of(clone, figure) == ["ten"]
    figure.write_text("3")
    assert names_of(clone, figure) == ["Three"]
    figure.write_bytes(PICTURE)
    assert "Three" in names_of(clone, figure)
    assert names_of(clone, "ten") == ["ten"]


def test_the_commit_of_stale_results_is_found(clone, source):
    four = git(source, "rev-parse", "four")
    assert f"these results are of {four[:7]}" in text_of(clone, "HEAD")


def test_all_commits_and_experiments_get_a_run(clone, source):
    with Reader(clone) as reader:
        wanted = wanted_runs(reader, all_commits=True)
        values = {one.rev: one.params["x"] for one in reader.snapshots(wanted)}
    commits = git(source, "rev-list", "HEAD", "--glob=refs/exps/*/*/*").split()
    assert values == {rev: int(git(source, "show", f"{rev}:params.yaml").split()[1]) for rev in commits}


def test_a_proof_has_the_whole_commit_and_what_git_lfs_keeps_of_it(clone, tmp_path, monkeypatch):
    monkeypatch.chdir(clone)
    with Checkout(clone, resolve("ten"), tmp_path / "proof", tmp_path / "dvc") as checkout:
        assert (checkout.root / "m.json").read_text() == '{"m": 100}'
        assert git(checkout.tree, "status", "--porcelain", ":!*.png") == ""
        assert (checkout.root / "logo.png").read_bytes() == PICTURE


def test_a_search_adds_its_trial(clone, tmp_path):
    rev = run_trial(clone, "six", 6, tmp_path)
    assert json.loads(git(clone, "show", f"{rev}:m.json")) == {"m": 36}
    assert rev in git(clone, "for-each-ref", "--format=%(objectname)", "refs/exps/*/*/six")


def fetches(clone: Path, monkeypatch: pytest.MonkeyPatch, work: Callable[[], object]) -> int:
    """How often Git asks a remote while something is done."""
    trace = clone.parent / "trace"
    monkeypatch.setenv("GIT_TRACE2_EVENT", str(trace))
    work()
    monkeypatch.delenv("GIT_TRACE2_EVENT")
    events = [json.loads(line) for line in trace.read_text().splitlines()]
    return sum(event.get("event") == "cmd_name" and event.get("name") == "fetch" for event in events)


@pytest.mark.parametrize(("kind", "most"), [("no contents of files", 3), ("no folders", 4)])
def test_a_partial_clone_fetches_what_it_lacks_together(source, tmp_path, monkeypatch, kind, most):
    many = Path(shutil.copytree(source, tmp_path / "many"))
    for number in range(20):
        tiny_git.write(many, {"params.yaml": f"x: {number}\n", "m.json": f'{{"m": {number}}}'})
        stages = {f"make{number}": squares.stage("data/raw.bin")}
        tiny_git.write(many, {"dvc.yaml": json.dumps({"stages": stages})})
        tiny_dvc.commit(many, f"Commit {number}")
    clone = KINDS[kind](many, tmp_path)

    def read() -> None:
        with Reader(clone) as reader:
            assert len(list(reader.snapshots(wanted_runs(reader, all_commits=True)))) == 24

    assert fetches(clone, monkeypatch, read) <= most


@pytest.fixture
def cut_off(source: Path, tmp_path: Path) -> Path:
    """A partial clone whose remote is gone."""
    clone = with_cache(KINDS["no contents of files"](source, tmp_path), source)
    git(clone, "remote", "set-url", "origin", "file:///nowhere")
    return clone


REASON = r"left out: .* is missing from this partial clone, and origin does not give it: git fetch: "


def test_what_a_partial_clone_cannot_get_is_left_out_with_the_reason(cut_off, tmp_path, capfd):
    (tmp_path / "figure").write_text("3")
    with Reader(cut_off) as reader, pytest.raises(NotFoundError) as refused:
        locate(reader, str(tmp_path / "figure"))
    assert re.match(REASON, refused.value.hint)
    assert capfd.readouterr().err == ""


def test_a_commit_that_a_partial_clone_cannot_get_is_not_proven(cut_off, tmp_path):
    expected = "files of it are missing from this partial clone, and origin does not give them: git fetch: "
    with pytest.raises(GitError, match=expected):
        Checkout(cut_off, git(cut_off, "rev-parse", "three"), tmp_path / "proof", tmp_path / "dvc")


def test_stale_results_in_a_partial_clone_that_is_cut_off(cut_off):
    lines = text_of(cut_off, "HEAD").splitlines()
    assert "  no commit of its history in this clone has the files that made these results" in lines
    assert any("of them cannot be read, such as " in line for line in lines)


def test_in_a_shallow_clone_not_all_of_a_history_is_known(shallow):
    lines = text_of(shallow, "HEAD").splitlines()
    place = lines.index("  no commit of its history in this clone has the files that made these results")
    assert lines[place + 1] == "  this clone is shallow: `git fetch --unshallow` gets the rest of its history"


def test_after_the_advice_for_a_shallow_clone_it_is(shallow, source):
    git(shallow, "fetch", "--quiet", "--unshallow")
    assert f"these results are of {git(source, 'rev-parse', 'four')[:7]}" in text_of(shallow, "HEAD")


UNSHALLOW = "this clone is shallow: `git fetch --unshallow` gets the rest of its history"
BRANCHES = (
    "this clone does not follow all branches of origin: "
    "`git remote set-branches origin '*' && git fetch origin` gets the others"
)
EXPERIMENTS_OF_ORIGIN = (
    "this clone has no experiments: `dvc exp pull --all-commits origin` gets those that origin has"
)
LIMITS = {
    "a shallow clone": (("--depth=1",), [UNSHALLOW, BRANCHES, EXPERIMENTS_OF_ORIGIN]),
    "one of all branches": (("--depth=1", "--no-single-branch"), [UNSHALLOW, EXPERIMENTS_OF_ORIGIN]),
    "one of a branch": (("--single-branch",), [BRANCHES, EXPERIMENTS_OF_ORIGIN]),
    "a usual one": ((), [EXPERIMENTS_OF_ORIGIN]),
}


@pytest.mark.parametrize(("options", "sentences"), LIMITS.values(), ids=LIMITS)
def test_what_is_not_found_may_be_what_a_clone_lacks(source, tmp_path, monkeypatch, options, sentences):
    clone = clone_of(source, tmp_path, *options, experiments=False)
    (tmp_path / "figure").write_text("nothing like it")
    monkeypatch.chdir(clone)
    with Reader(clone) as reader:
        with pytest.raises(
            NotFoundError, match="no commit of a branch or tag of this clone has"
        ) as by_content:
            locate(reader, str(tmp_path / "figure"))
        with pytest.raises(NotFoundError) as by_name:
            locate(reader, "ten")
    with pytest.raises(CannotTryError) as in_proof:
        resolve("ten")
    hints = [refused.value.hint for refused in (by_content, by_name, in_proof)]
    assert hints == ["; ".join(sentences)] * 3


def test_in_a_whole_clone_nothing_can_be_lacking(source, tmp_path):
    clone = clone_of(source, tmp_path)
    (tmp_path / "figure").write_text("nothing like it")
    with Reader(clone) as reader, pytest.raises(NotFoundError) as refused:
        locate(reader, str(tmp_path / "figure"))
    assert refused.value.hint == ""


def test_a_shallow_clone_is_proven(shallow, tmp_path):
    with Checkout(
        shallow, git(shallow, "rev-parse", "HEAD"), tmp_path / "proof", tmp_path / "dvc"
    ) as checkout:
        assert (checkout.root / "m.json").read_text() == '{"m": 16}'


def test_a_shallow_clone_is_searched(shallow, tmp_path):
    rev = run_trial(shallow, "six", 6, tmp_path)
    assert json.loads(git(shallow, "show", f"{rev}:m.json")) == {"m": 36}


def test_in_a_shallow_clone_no_commit_is_gone(source, tmp_path):
    origin = Path(shutil.copytree(source, tmp_path / "origin"))
    clone = clone_of(origin, tmp_path, "--depth=1")
    before = git(clone, "rev-parse", "HEAD")
    tiny_dvc.commit(origin, "Another")
    git(clone, "fetch", "--quiet", "--depth=1")
    git(clone, "reset", "--quiet", "--hard", "origin/HEAD")
    with Reader(clone) as reader:
        # The clone has it, and does not see that it is of the branch.
        assert gone_revisions(reader, [before]) == frozenset()


@pytest.mark.parametrize(
    "patterns", [("notes",), ("--no-cone", "/*", "!/.dvc/"), ("--no-cone", "/*", "!/data/")]
)
def test_a_workspace_without_some_records_has_nothing_uncommitted(source, tmp_path, patterns):
    clone = sparse(source, tmp_path, *patterns)
    (tmp_path / "figure").write_text('{"m": 16}')
    assert set(names_of(clone, tmp_path / "figure")) == {"Four", "Change code and do not run it"}
    assert "UNCOMMITTED" not in text_of(clone, tmp_path / "figure")


def test_a_proof_without_dvc_s_settings_is_refused(source, tmp_path):
    clone = sparse(source, tmp_path, "data")
    expected = r"leaves out \.dvc/\.?\w+, which DVC reads: `git sparse-checkout add \.dvc`$"
    with pytest.raises(CannotTryError, match=expected):
        Checkout(clone, git(clone, "rev-parse", "HEAD"), tmp_path / "proof", tmp_path / "dvc")


@pytest.mark.parametrize(
    ("left_out", "advice"), [("/.dvc/", ".dvc"), ("/data/", "data"), ("/dvc.yaml", "dvc.yaml")]
)
def test_a_search_without_files_of_dvc_is_refused(source, tmp_path, left_out, advice):
    clone = sparse(source, tmp_path, "--no-cone", "/*", f"!{left_out}")
    with pytest.raises(ProjectError, match=rf"which DVC reads: `git sparse-checkout add {advice}`$"):
        read_project(clone)
    git(clone, "sparse-checkout", "add", advice)
    assert read_project(with_cache(clone, source)).params_files == {"params.yaml": {"x": 4}}


def test_a_project_in_a_folder_that_is_checked_out_without_dvc_s(tmp_path):
    tiny_dvc.init(tmp_path / "whole/part", subdir=False)
    shutil.move(tmp_path / "whole/part/.git", tmp_path / "whole/.git")
    tiny_git.commit(tmp_path / "whole", {"part/dvc.lock": "schema: '2.0'\nstages: {}\n", "part/a/b": ""})
    git(tmp_path / "whole", "sparse-checkout", "set", "--no-cone", "/*", "!.dvc")
    with Reader(tmp_path / "whole/part/a") as reader:
        assert reader.prefix == "part"


HOOK = f"""\
import os, sys
sys.path[:0] = {sys.path!r}
from locatable.cli import main
os.environ.pop("GIT_TRACE", None)
sys.exit(main(["locate", "four", "--check"]) or main(["locate", "HEAD", "--check"]) - 1)
"""


@pytest.mark.parametrize("kind", ["a usual one", "a linked worktree", "a submodule of another"])
def test_a_hook_reads_its_own_repository(source, tmp_path, kind):
    clone = KINDS[kind](source, tmp_path)
    hook = Path(clone / git(clone, "rev-parse", "--git-path", "hooks")) / "pre-push"
    hook.parent.mkdir(exist_ok=True)
    hook.with_suffix(".py").write_text(HOOK)
    hook.write_text(f'#!/bin/sh\nexec {quote(sys.executable)} "$0.py"\n')
    hook.chmod(0o755)
    done = subprocess.run(
        ("git", "push", "--quiet", "origin", "HEAD:refs/heads/pushed"),
        cwd=clone,
        capture_output=True,
        text=True,
    )
    pushed = git(source, "for-each-ref", "refs/heads/pushed")
    git(source, "update-ref", "-d", "refs/heads/pushed")
    assert pushed, done.stderr


def test_programs_that_a_command_starts_find_their_own_repository(tmp_path, monkeypatch):
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_WORK_TREE"):
        monkeypatch.setenv(name, str(tmp_path / "other"))
    leave_hook()
    tiny_git.commit(tmp_path / "here", {"file": ""})
    top = subprocess.check_output(("git", "rev-parse", "--show-toplevel"), cwd=tmp_path / "here", text=True)
    assert top == f"{tmp_path / 'here'}\n"
