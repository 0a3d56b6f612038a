"""The wheel of `locatable` that travels with the template: what it holds, and how it is installed."""

import re
import shutil
import subprocess
import sys
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest
from support import TEMPLATE, generate, run

GENERATED = TEMPLATE / "{{cookiecutter.project_slug}}"
PROGRAMS = Path(sys.executable).parent


def build(folder: Path) -> Path:
    """Build the wheel of this repository's sources."""
    code = "import pathlib, sys; from tools.wheel import build; print(build(pathlib.Path(sys.argv[1])))"
    run(sys.executable, "-c", code, folder, cwd=TEMPLATE, env={"PYTHONPATH": str(TEMPLATE), "PATH": ""})
    (wheel,) = folder.glob("*.whl")
    return wheel


def members(wheel: Path) -> dict[str, bytes]:
    """Content by name of all files in a wheel; how they are compressed depends on the machine."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that was just generated."""
    return generate(tmp_path)


def alone(lock: Path) -> str:
    """The lines of a lock that pin locatable."""
    pin = re.search(r"^locatable==.*\n    --hash.*\n", lock.read_text(), re.MULTILINE)
    assert pin
    return pin[0]


def test_the_committed_wheel_is_what_the_sources_give(tmp_path):
    (committed,) = (GENERATED / "vendor").iterdir()
    built = build(tmp_path)
    assert built.name == committed.name
    assert members(built) == members(committed), "make wheel"


def test_the_same_sources_give_the_same_bytes(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    assert build(tmp_path / "one").read_bytes() == build(tmp_path / "two").read_bytes()


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_the_wheel_is_installed_by_its_hash_without_a_network(installer, project, tmp_path, bare_env):
    # What it needs comes from the package index; here is the wheel alone.
    (project / "one.lock").write_text("--find-links vendor\n" + alone(project / "tools.lock"))
    run(PROGRAMS / "uv", "venv", "--quiet", "--seed", tmp_path / "venv", cwd=project, env=bare_env)
    python = tmp_path / "venv/bin/python"
    command = {
        "uv": (PROGRAMS / "uv", "pip", "install", "--offline", "--python", python),
        "pip": (python, "-m", "pip", "install", "--no-index"),
    }[installer]
    run(*command, "--no-deps", "--require-hashes", "-r", "one.lock", cwd=project, env=bare_env)
    said = run(python, "-c", "import locatable; print(locatable.__version__)", cwd=project, env=bare_env)
    assert said.stdout == "0.2.0\n"


def refused(project: Path, bare_env: dict[str, str]) -> str:
    """What `make setup` says, having done nothing."""
    done = run("make", "--silent", "setup", cwd=project, env=bare_env, code=2)
    assert not (project / ".venv").exists()
    (line, _) = done.stderr.splitlines()  # the second one is make's own
    return line


def remove(wheel: Path) -> None:
    wheel.unlink()


def alter(wheel: Path) -> None:
    wheel.write_bytes(wheel.read_bytes() + b"more")


def relock(wheel: Path) -> None:
    """Have the lock name the wheel of another version."""
    lock = wheel.parents[1] / "tools.lock"
    digest = sha256(wheel.read_bytes()).hexdigest()
    pins = lock.read_text().replace(digest, "0" * 64)
    lock.write_text(pins.replace("locatable==0.2.0", "locatable==0.3.0"))


@pytest.mark.parametrize("change", [remove, alter, relock])
def test_a_wheel_that_the_lock_does_not_name_is_said_before_anything_is_installed(change, project, bare_env):
    change(project / "vendor/locatable-0.2.0-py3-none-any.whl")
    assert refused(project, bare_env) == (
        "vendor/ lacks the wheel that tools.lock names: get both back with 'git checkout vendor tools.lock'"
    )


def test_the_wheel_alone_locates_a_file_of_a_plain_dvc_repository(tmp_path, small, bare_env):
    (wheel,) = (GENERATED / "vendor").iterdir()
    repository = small({})
    copy = Path(shutil.copy(repository / "model.bin", tmp_path / "copy.bin"))
    tool = (PROGRAMS / "uv", "tool", "run", "--quiet", "--from", wheel, "locatable")
    done = run(*tool, "locate", copy, cwd=repository, env=bare_env)
    commits = subprocess.check_output(("git", "rev-list", "HEAD"), cwd=repository, text=True).split()
    (line,) = [line for line in done.stdout.splitlines() if "  model.bin (output of train)" in line]
    named = {word for word in line.split() if word in {commit[:7] for commit in commits}}
    assert f"in {len(commits)} commits, from " in line
    assert named == {commits[0][:7], commits[-1][:7]}
