"""`make setup` on machines that people have: variables that redirect, folders that move, no network.

The project's lock is cut to two packages: `packaging`, as it is locked, and a made-up `dvc` in `vendor/`,
which has a program of this name and nothing else. Where packages go does not depend on how many there are.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest
from support import generate, run

PROGRAMS = Path(sys.executable).parent
PROGRAM = "import sys\n\ndef main():\n    print(sys.prefix)\n    print(*sys.argv, file=sys.stderr)\n"
# No port that anything listens on: what wants the network fails at once.
NOWHERE = "http://127.0.0.1:9"
# A folder whose name means something to shells, Makefiles, URLs and Python.
ODD = "a #1 100% 'wörk'? {now}"


def write_program(folder: Path, name: str) -> str:
    """Write a wheel of a package that is a program and prints where it runs; returns its line for a lock."""
    info = f"{name}-0.0.1.dist-info"
    files = {
        f"{name}.py": PROGRAM,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.0.1\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    wheel = folder / f"{name}-0.0.1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return f"{name}==0.0.1 \\\n    --hash=sha256:{sha256(wheel.read_bytes()).hexdigest()}\n"


def generate_with_few_packages(folder: Path) -> Path:
    """Generate a project whose lock holds two packages."""
    project = generate(folder)
    lock = project / "tools.lock"
    (packaging,) = re.findall(r"^packaging==.*\n(?:    --hash.*\n)+", lock.read_text(), flags=re.MULTILINE)
    lock.write_text("--find-links vendor\n" + write_program(project / "vendor", "dvc") + packaging)
    return project


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """A project with two packages, and no environment yet."""
    return generate_with_few_packages(tmp_path / ODD)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory, bare_env: dict[str, str]) -> Path:
    """An environment as the project's script makes it, before anything is installed."""
    project = generate(tmp_path_factory.mktemp("empty"))
    run(sys.executable, "scripts/setup.py", ".venv", cwd=project, env=bare_env)
    return project / ".venv"


@pytest.fixture
def begun(few: Path, empty: Path) -> Path:
    """A project with two packages, and an environment without them: to make one takes two seconds."""
    shutil.copytree(empty, few / ".venv", symlinks=True)
    made = few / ".venv/made"
    made.write_text(made.read_text().replace(str(empty), str(few / ".venv")))
    return few


@pytest.fixture(scope="module")
def with_uv(bare_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a user who has uv."""
    programs = tmp_path_factory.mktemp("programs")
    (programs / "uv").symlink_to(PROGRAMS / "uv")
    return {**bare_env, "PATH": f"{programs}{os.pathsep}{bare_env['PATH']}"}


@pytest.fixture(scope="module")
def set_up(
    with_uv: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A project with two packages that is set up, and what that printed."""
    project = generate_with_few_packages(tmp_path_factory.mktemp("ready"))
    # Tests run by make themselves would have it name folders.
    command = "env -u MAKELEVEL -u MAKEFLAGS make setup".split()
    return project, run(*command, cwd=project, env=with_uv)


@pytest.fixture
def ready(set_up: tuple[Path, subprocess.CompletedProcess[str]]) -> Path:
    """The project that is set up; each test leaves it so."""
    return set_up[0]


@pytest.fixture
def without_uv(bare_env: dict[str, str]) -> dict[str, str]:
    """The environment of a user who has no uv and cannot get it."""
    folders = bare_env["PATH"].split(os.pathsep)
    path = os.pathsep.join(folder for folder in folders if not Path(folder, "uv").exists())
    return {**bare_env, "PATH": path, "UV": "uv==0.0.0"}


def runs_in(project: Path) -> Path:
    """The environment that the project's own program says it runs in."""
    done = subprocess.run((project / ".venv/bin/dvc",), text=True, capture_output=True, check=True)
    return Path(done.stdout.strip())


@pytest.fixture
def another(tmp_path: Path) -> dict[str, str]:
    """Variables of another Python, as a module of a cluster sets them; it has a package that is locked."""
    (tmp_path / "packages/packaging-99.dist-info").mkdir(parents=True)
    (tmp_path / "packages/packaging-99.dist-info/METADATA").write_text("Name: packaging\nVersion: 99\n")
    return {"PYTHONPATH": str(tmp_path / "packages"), "PYTHONHOME": str(tmp_path)}


def test_uv_installs_into_the_project_whatever_the_machine_says(few, with_uv, another, tmp_path):
    active = tmp_path / "active"
    run(sys.executable, "-m", "venv", "--without-pip", active, cwd=tmp_path, env=with_uv)
    before = sorted(active.rglob("*"))
    variables = {
        **dict.fromkeys(("CONDA_PREFIX", "UV_PYTHON", "VIRTUAL_ENV"), str(active)),
        "CONDA_DEFAULT_ENV": "active",
        "PATH": f"{active}/bin:{with_uv['PATH']}",
        "UV_SYSTEM_PYTHON": "1",
    }
    run("make", "setup", cwd=few, env=with_uv | variables | another)
    assert runs_in(few) == few / ".venv"
    assert list((few / ".venv").glob("lib/python*/site-packages/packaging/__init__.py"))
    assert sorted(active.rglob("*")) == before


def test_pip_installs_into_the_project_whatever_the_machine_says(few, without_uv, another, tmp_path):
    elsewhere = {name: str(tmp_path / "elsewhere") for name in ("PIP_TARGET", "PIP_PREFIX", "PIP_PYTHON")}
    (tmp_path / "pip.conf").write_text("[install]\nuser = true\n")
    settings = {"PIP_CONFIG_FILE": str(tmp_path / "pip.conf"), "PIP_USER": "1"}
    run("make", "setup", cwd=few, env={**without_uv, **elsewhere, **settings, **another})
    assert runs_in(few) == few / ".venv"
    assert list((few / ".venv").glob("lib/python*/site-packages/packaging/__init__.py"))
    assert not (tmp_path / "elsewhere").exists()


def pythons() -> dict[str, str]:
    """Programs by version of the other Pythons that this machine has; nothing is downloaded."""
    installed = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    found = {}
    for version in {"3.11", "3.12", "3.13"} - {f"{sys.version_info.major}.{sys.version_info.minor}"}:
        places = [shutil.which(f"python{version}"), *map(str, installed.glob(f"{version}.*/bin/python"))]
        # What is on the path can be pyenv's, which refuses a version that is not chosen.
        works = [place for place in places if place and runs(place)]
        if works:
            found[version] = works[0]
    return found


def runs(python: str) -> bool:
    return subprocess.run((python, "-c", ""), capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(("version", "python"), sorted(pythons().items()))
def test_every_python_of_the_machine_will_do(few, with_uv, version, python):
    run("make", "setup", f"PYTHON={python}", cwd=few, env=with_uv)
    assert runs_in(few) == few / ".venv"
    assert list((few / ".venv").glob(f"lib/python{version}/site-packages/packaging/__init__.py"))


def test_the_same_environment_is_kept_when_nothing_has_changed(ready, with_uv):
    (ready / ".venv/kept").touch()
    run("make", "setup", cwd=ready, env=with_uv)
    assert (ready / ".venv/kept").exists()


def test_a_second_environment_needs_no_network(ready, with_uv):
    shutil.rmtree(ready / ".venv")
    blocked = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"), NOWHERE)
    done = run("make", "setup", cwd=ready, env={**with_uv, **blocked})
    assert runs_in(ready) == ready / ".venv"
    assert "Going on without uv" not in done.stdout


def test_what_uv_lacks_on_this_machine_is_asked_of_the_index(begun, with_uv, tmp_path):
    program = tmp_path / "uv"  # what it knows of a package can be here, and the package not
    real = shlex.quote(str(PROGRAMS / "uv"))
    program.write_text(
        f'#!/bin/sh\ncase "$*" in *--dry-run*) exit;; *--offline*) exit 2;; *) exec {real} "$@";; esac\n'
    )
    program.chmod(0o755)
    env = {**with_uv, "PATH": f"{tmp_path}{os.pathsep}{with_uv['PATH']}"}
    done = run("make", "setup", cwd=begun, env=env)
    assert "Not all are on this machine, hence the error: getting them from the package index" in done.stdout
    assert runs_in(begun) == begun / ".venv"


def test_where_uv_is_too_old_pip_installs(begun, with_uv):
    project = begun / "pyproject.toml"
    project.write_text(project.read_text().replace('required-version = ">=', 'required-version = ">=99'))
    done = run("make", "setup", cwd=begun, env=with_uv)
    assert len([line for line in done.stderr.splitlines() if line.startswith("error: ")]) == 1
    assert "Going on without uv" in done.stdout
    assert runs_in(begun) == begun / ".venv"


def test_a_python_that_is_gone_is_replaced(ready, with_uv):
    # As if the environment had been made by a Python that was removed since.
    made = ready / ".venv/made"
    made.write_text(made.read_text().replace(os.path.realpath(sys.executable), "/opt/gone/python"))
    for python in (ready / ".venv/bin").glob("python*"):
        python.unlink()
        python.symlink_to("/opt/gone/python")
    run("make", "setup", cwd=ready, env=with_uv)
    assert runs_in(ready) == ready / ".venv"


def test_a_project_that_was_moved_gets_a_new_environment(ready, with_uv, tmp_path):
    moved = Path(shutil.copytree(ready, tmp_path / "moved", symlinks=True))
    run("make", "setup", cwd=moved, env=with_uv)
    assert runs_in(moved) == moved / ".venv"


@pytest.fixture
def with_extra(begun: Path) -> Path:
    """A project with two packages, and an extra that is a third."""
    pyproject = """
        [project]
        name = "few"
        version = "1"
        [project.optional-dependencies]
        more = ["more"]
        [tool.uv]
        package = false
        find-links = ["vendor"]
    """
    (begun / "pyproject.toml").write_text(pyproject)
    (begun / "extras.lock").write_text(write_program(begun / "vendor", "more"))
    return begun


def test_an_extra_is_added_on_request_and_taken_out_again(with_extra, with_uv):
    run("make", "setup", "EXTRAS=more", cwd=with_extra, env=with_uv)
    assert runs_in(with_extra) == with_extra / ".venv"
    assert (with_extra / ".venv/bin/more").exists()
    run("make", "setup", cwd=with_extra, env=with_uv)
    assert not (with_extra / ".venv/bin/more").exists()


def test_an_extra_that_is_not_as_its_lock_says_is_refused(with_extra, with_uv):
    lock = with_extra / "extras.lock"
    lock.write_text(re.sub(r"sha256:\w+", f"sha256:{'0' * 64}", lock.read_text()))
    done = run("make", "setup", "EXTRAS=more", cwd=with_extra, env=with_uv, code=2)
    assert "Hash mismatch for `more==0.0.1`" in done.stderr
    assert not (with_extra / ".venv/bin/dvc").exists()


def test_on_a_terminal_uv_shows_what_it_does(begun, with_uv):
    command = ["script", "--quiet", "--return", "--command", "make setup", os.devnull]
    if not shutil.which("script"):
        pytest.skip("script (util-linux or bsdutils) gives a terminal")
    shown = run(*command, cwd=begun, env=with_uv).stdout
    assert "packages into" in shown
    assert "Installed" in shown
    assert runs_in(begun) == begun / ".venv"


def test_elsewhere_a_line_for_each_step_is_enough(set_up):
    _, done = set_up
    first, second, *_, last = done.stdout.splitlines()
    assert [line.split()[0] for line in (first, second, last)] == ["Creating", "Installing", ".venv"]
    assert "Installed" not in done.stderr
