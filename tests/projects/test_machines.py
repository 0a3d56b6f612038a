"""Every command on machines that people have: one row a machine, and on each all that a user does in a day.

The pipeline is a small one. test_setup.py has `make setup` on such machines, tests/unit/test_git_clone.py
each setting of Git by itself, tests/unit/test_refused.py machines on which no command can do anything.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from small_pipeline import FILES
from support import ODD, run

IDENTITY = "[user]\nname = Ada\nemail = ada@example.org\n"
SEARCH = """
study: s
metric: metrics.json:total
direction: minimize
space: {make.factor: {type: int, low: 1, high: 9}}
"""
ADDED = {
    "data/in.csv": "1\n2\n3\n",
    "search.yaml": SEARCH,
    # As a generated project has them.
    ".gitattributes": "* text=auto eol=lf\n",
    ".gitignore": "__pycache__\n/optuna.db*\n/mlflow.db*\n/mlartifacts\n!*.dvc\n!*.lock\n!/data/\n",
}


@dataclass
class Machine:
    """A project on some machine.

    Attributes:
        folder: for this machine alone.
        project: a checkout with results.
        env: the user's variables.
        start: what comes before each command.
    """

    folder: Path
    project: Path
    env: dict[str, str]
    start: tuple[str, ...] = ()

    def run(self, *command: str) -> str:
        """What a command prints."""
        return run(*self.start, *command, cwd=self.project, env=self.env).stdout

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace text that must be there."""
        text = (self.project / name).read_text()
        assert old in text
        (self.project / name).write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def rebuilt_once(tmp_path_factory: pytest.TempPathFactory, env: dict[str, str]) -> Path:
    """The small pipeline with its results; copy it."""
    folder = tmp_path_factory.mktemp("machines") / "project"
    for name, text in {**FILES, **ADDED}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text.lstrip())
    for command in (
        "git init --quiet",
        "dvc init --quiet",
        "dvc config core.autostage true",
        "dvc add --quiet data/in.csv",
        "dvc repro --quiet",
        "git add --all",
        "git commit --quiet -m Results",
        "git config user.name Ada",
        "git config user.email ada@example.org",
    ):
        run(*command.split(), cwd=folder, env=env)
    return folder


@pytest.fixture
def machine(rebuilt_once: Path, env: dict[str, str], tmp_path: Path) -> Machine:
    """An ordinary one."""
    project = Path(shutil.copytree(rebuilt_once, tmp_path / "project", symlinks=True))
    own = {"HOME": str(tmp_path / "home"), "DVC_SITE_CACHE_DIR": str(tmp_path / "site")}
    (tmp_path / "home").mkdir()
    return Machine(tmp_path, project, env | own)


def have_odd_names(machine: Machine) -> None:
    """The folders of project and user have names that mean something to programs."""
    (machine.folder / ODD).mkdir()
    machine.project = machine.project.rename(machine.folder / ODD / "project")
    machine.env["HOME"] = str((machine.folder / "home").rename(machine.folder / ODD / "home"))


def have_no_home(machine: Machine) -> None:
    """No variable says where the user's home is, and it is not there."""
    machine.env.pop("HOME")


def have_a_home_that_cannot_be_written_to(machine: Machine) -> None:
    """Nothing can be made in the user's home, not by root either."""
    machine.env["HOME"] = "/proc/home"


def have_temporary_files_elsewhere(machine: Machine) -> None:
    """Temporary files are on another file system, as far as there is one."""
    place = Path("/dev/shm")  # noqa: S108 (a file system that every Linux has)
    if place.is_dir():
        machine.env["TMPDIR"] = str(place)


def have_no_folder_for_temporary_files(machine: Machine) -> None:
    """TMPDIR names a folder that is gone, as after a job on a cluster."""
    machine.env["TMPDIR"] = str(machine.folder / "gone")


def have_settings_of_git(machine: Machine) -> None:
    """Git signs without a key, converts line ends, runs hooks that fail, and ignores what a project needs."""
    hook = machine.folder / "hooks/pre-commit"
    hook.parent.mkdir()
    for name in ("pre-commit", "post-checkout", "pre-push", "reference-transaction"):
        hook.with_name(name).write_text("#!/bin/sh\nexit 1\n")
        hook.with_name(name).chmod(0o755)
    (machine.folder / "ignored").write_text("*.lock\n*.dvc\ndata/\n")
    (machine.folder / "home/.gitconfig").write_text(
        f"{IDENTITY}[commit]\ngpgSign = true\n[gpg]\nprogram = false\n"
        f"[core]\nautocrlf = true\nhooksPath = {hook.parent}\nexcludesFile = {machine.folder / 'ignored'}\n"
    )


def be_a_bare_container(machine: Machine) -> None:
    """No locale, new files for nobody else, an ordinary user without an account, and a read-only home."""
    home = machine.env["HOME"]
    user = ("bwrap", "--dev-bind", "/", "/", "--ro-bind", home, home, "--unshare-user", "--uid", "54321")
    if subprocess.run((*user, "true"), capture_output=True, check=False).returncode:
        pytest.skip("bubblewrap cannot make another user here")
    machine.start = (*user, "sh", "-c", 'umask 077; exec "$@"', "sh")
    for name in ("LANG", "LC_CTYPE"):
        machine.env.pop(name, None)
    # `dvc repro` itself ends where neither an account nor a variable gives the user a name.
    machine.env |= {"LC_ALL": "C", "LOGNAME": "user"}


def have_odd_names_and_settings_and_temporary_files_elsewhere(machine: Machine) -> None:
    """Three of the above at once."""
    have_settings_of_git(machine)
    have_odd_names(machine)
    have_temporary_files_elsewhere(machine)


def have_neither_home_nor_folder_for_temporary_files(machine: Machine) -> None:
    """Two of the above at once."""
    have_no_home(machine)
    have_no_folder_for_temporary_files(machine)


# Several at once each day, and each by itself in `make weekly`.
DAILY: list[Callable[[Machine], None]] = [
    have_odd_names_and_settings_and_temporary_files_elsewhere,
    have_neither_home_nor_folder_for_temporary_files,
    be_a_bare_container,
]
ALONE: list[Callable[[Machine], None]] = [
    have_odd_names,
    have_no_home,
    have_a_home_that_cannot_be_written_to,
    have_temporary_files_elsewhere,
    have_no_folder_for_temporary_files,
    have_settings_of_git,
]


def commit_results(machine: Machine) -> str:
    """Run what is out of date after a change, and commit it; returns the commit."""
    machine.edit("params.yaml", "factor: 2", "factor: 3")
    machine.run("dvc", "repro")
    # A user whose hooks and keys fail has to say so.
    machine.run(
        "git", "-c", "commit.gpgSign=false", "-c", f"core.hooksPath={os.devnull}", "commit", "-qam", "More"
    )
    return machine.run("git", "rev-parse", "HEAD").strip()


@pytest.mark.parametrize(
    "change",
    [*DAILY, *(pytest.param(change, marks=pytest.mark.weekly) for change in ALONE)],
    ids=lambda change: change.__name__,
)
def test_a_day_s_work(machine: Machine, change: Callable[[Machine], None]) -> None:
    change(machine)
    commit = commit_results(machine)
    (located,) = json.loads(machine.run("locatable", "locate", "rows.csv", "--json"))
    mirrored = machine.run("locatable", "mirror")
    machine.run("locatable", "search", "--trials", "1", "--workers", "1")
    proof = json.loads(machine.run("locatable", "reproduce", "--env", "current", "--json"))
    machine.run("locatable", "archive")
    elsewhere = json.loads(machine.run("locatable", "reproduce", "result.zip", "--env", "current", "--json"))
    declared = (machine.project / "dvc.yaml").read_text()
    machine.edit("dvc.yaml", ", pkg/make.py", "")
    machine.run("locatable", "declare")
    assert {
        "results": json.loads((machine.project / "metrics.json").read_text()),
        "located": located["rev"],
        "mirrored": mirrored.splitlines()[-1],
        "trials": len(machine.run("git", "for-each-ref", "refs/exps").splitlines()),
        "proven": {output["verdict"] for report in (proof, elsewhere) for output in report["outputs"]},
        "declared": (machine.project / "dvc.yaml").read_text() == declared,
    } == {
        "results": {"total": 18},
        "located": commit,
        "mirrored": "mirrored 1 new, 0 already there, 0 failed",
        "trials": 1,
        "proven": {"identical"},
        "declared": True,
    }


@pytest.mark.weekly
@pytest.mark.parametrize("change", [*ALONE, be_a_bare_container], ids=lambda change: change.__name__)
def test_prefect_rebuilds(
    machine: Machine, extras_env: dict[str, str], change: Callable[[Machine], None]
) -> None:
    machine.env["PATH"] = extras_env["PATH"]
    change(machine)
    # Prefect writes to the user's home unless it is told otherwise.
    machine.env["PREFECT_HOME"] = str(machine.project.parent / "prefect")
    told = machine.run("locatable", "flow", "-S", "make.factor=5")
    assert "2 of 2 stages ran, experiment flow-" in told.splitlines()[-1]
