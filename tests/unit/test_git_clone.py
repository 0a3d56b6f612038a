"""Nothing that a user has set up for their own work acts in the clones of a proof and of a search."""

import json
import subprocess
from pathlib import Path

import pytest
import squares
import tiny_dvc
import tiny_git

from locatable.clones.checkout import Checkout
from locatable.clones.trial_clone import Clone, read_project
from locatable.errors import ProjectError
from locatable.git import REPOSITORY_VARIABLES, clone_git, make_clone

FILES = squares.files("data/raw.txt")
IDENTITY = "[user]\nname = Ada\nemail = ada@example.org\n"
ALL_HOOKS = "post-checkout post-index-change pre-commit pre-push reference-transaction fsmonitor".split()
# What users have in ~/.gitconfig; {place} is a folder with hooks, a template and files that hide others.
SETTINGS = {
    "hooks": "[core]\nhooksPath = {place}/hooks\n",
    "hooks of a template": "[init]\ntemplateDir = {place}/template\n",
    "signatures": "[commit]\ngpgSign = true\n[tag]\ngpgSign = true\n[gpg]\nprogram = false\n",
    "signed pushes": "[push]\ngpgSign = true\n[gpg]\nprogram = false\n",
    "a monitor": "[core]\nfsmonitor = {place}/hooks/fsmonitor\n",
    "indexes of large repositories": "[feature]\nmanyFiles = true\n[core]\nsplitIndex = true\n",
    "no shallow clones": "[clone]\nrejectShallow = true\ndefaultRemoteName = up\n",
    "other listings": "[log]\nshowSignature = true\n[color]\nui = always\n[status]\nshort = true\n",
    "ignored files": "[core]\nexcludesFile = {place}/ignored\n",
    "ignored files of DVC": "[core]\nexcludesFile = {place}/ignored-of-dvc\n",
    "no clones from folders": '[protocol "file"]\nallow = never\n',
    "submodules everywhere": "[submodule]\nrecurse = true\n[push]\nrecurseSubmodules = only\n",
}
SEARCHED = [name for name in SETTINGS if name != "ignored files of DVC"]


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with results."""
    root = tmp_path_factory.mktemp("rebuilt") / "project"
    tiny_dvc.with_results(root, FILES)
    return root


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with what the settings name; each hook notes that it ran, and fails."""
    script = f"#!/bin/sh\necho $PWD $0 $(tr '\\0' ' ' < /proc/$PPID/cmdline) >> {tmp_path}/ran\nexit 1\n"
    for folder in ("hooks", "template/hooks"):
        for name in ALL_HOOKS:
            tiny_git.write(tmp_path, {f"{folder}/{name}": script})
            (tmp_path / folder / name).chmod(0o755)
    tiny_git.write(tmp_path, {"ignored": "*.json\ndata/\nparams.yaml\n", "ignored-of-dvc": "*.lock\n"})
    return tmp_path


def set_in_file(text: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give Git settings of a user, in their own file."""
    tiny_git.write(place, {"gitconfig": IDENTITY + text.format(place=place)})
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(place / "gitconfig"))


def set_in_variables(text: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give Git settings of a user, in variables of the environment."""
    set_in_file(text, place, monkeypatch)
    listed = tiny_git.git(place, "config", "--file", "gitconfig", "--list").splitlines()
    set_in_file("", place, monkeypatch)
    monkeypatch.setenv("GIT_CONFIG_COUNT", str(len(listed)))
    for number, line in enumerate(listed):
        name, _, value = line.partition("=")
        monkeypatch.setenv(f"GIT_CONFIG_KEY_{number}", name)
        monkeypatch.setenv(f"GIT_CONFIG_VALUE_{number}", value)


def proof(root: Path, folder: Path) -> str:
    """What the clone of a proof has as its first stage's recorded metric."""
    head = tiny_git.git(root, "rev-parse", "HEAD")
    with Checkout(root, head, folder / "proof", folder / "dvc") as checkout:
        return (checkout.root / "m.json").read_text()


def search(root: Path, folder: Path) -> object:
    """The metric of a trial that the user's repository has."""
    head = tiny_git.git(root, "rev-parse", "HEAD")
    clone = Clone(folder / "search", read_project(root).clone_setup(head))
    clone.reset()
    rev = clone.run("s-0", {"x": 4}, ["m.json"])
    clone.push("s-0", rev)
    return json.loads(tiny_git.git(root, "show", f"{clone.ref('s-0')}:m.json"))


@pytest.fixture
def root(rebuilt: Path, tmp_path: Path) -> Path:
    """A copy of the project."""
    subprocess.run(("cp", "-r", rebuilt, tmp_path / "project"), check=True)
    return tmp_path / "project"


@pytest.mark.parametrize("text", SETTINGS.values(), ids=SETTINGS)
def test_a_proof_has_its_clone(root, place, monkeypatch, text):
    set_in_file(text, place, monkeypatch)
    assert proof(root, place) == '{"m": 9}'
    assert not (place / "ran").exists(), (place / "ran").read_text()


@pytest.mark.parametrize("text", [SETTINGS[name] for name in SEARCHED], ids=SEARCHED)
def test_a_search_has_its_trial(root, place, monkeypatch, text):
    set_in_file(text, place, monkeypatch)
    assert search(root, place) == {"m": 16}
    assert not (place / "ran").exists(), (place / "ran").read_text()


def test_settings_in_variables_do_not_matter_either(root, place, monkeypatch):
    set_in_variables("".join(SETTINGS[name] for name in SEARCHED), place, monkeypatch)
    assert (proof(root, place), search(root, place)) == ('{"m": 9}', {"m": 16})
    assert not (place / "ran").exists(), (place / "ran").read_text()


def test_variables_that_git_sets_for_hooks_do_not_matter(root, place, monkeypatch):
    set_in_file("", place, monkeypatch)
    head = tiny_git.git(root, "rev-parse", "HEAD")
    for name in REPOSITORY_VARIABLES:
        monkeypatch.setenv(name, str(place / "nowhere"))
    with Checkout(root, head, place / "proof", place / "dvc") as checkout:
        assert (checkout.root / "m.json").read_text() == '{"m": 9}'
    clone = Clone(place / "search", read_project(root).clone_setup(head))
    assert clone.read(clone.run("s-0", {"x": 4}, ["m.json"]), "m.json:m") == 16


def test_what_dvc_refuses_is_one_line(root, place, monkeypatch):
    set_in_file(SETTINGS["ignored files of DVC"], place, monkeypatch)
    with pytest.raises(ProjectError, match=r"^'.*dvc\.lock' is git-ignored\.$"):
        read_project(root)


def test_files_have_the_line_ends_that_the_checkout_has(tmp_path):
    tiny_git.commit(tmp_path / "project", {"a.txt": "1\n2\n"})
    tiny_git.git(tmp_path / "project", "config", "core.autocrlf", "true")
    make_clone(tmp_path / "project", tmp_path / "clone", "--shared")
    clone_git(tmp_path / "clone", "checkout", "--quiet", "HEAD", "--", ".")
    assert (tmp_path / "clone/a.txt").read_bytes() == b"1\r\n2\r\n"


def test_what_git_lfs_keeps_of_a_trial_outlives_its_clone(root, place):
    head = tiny_git.git(root, "rev-parse", "HEAD")
    clone = Clone(place / "search", read_project(root).clone_setup(head))
    assert tiny_git.git(clone.folder, "config", "lfs.storage") == str(root / ".git/lfs")
