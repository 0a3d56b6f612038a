"""Setting up and recording the environment, where all is well and where it is not."""

import json
import subprocess
import sys
from pathlib import Path
from shlex import quote

import pytest
from support import checks_of_answers, generate, run


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A project just generated, with no environment yet."""
    return generate(tmp_path)


def python_that_says(version: str, folder: Path) -> Path:
    """An interpreter of another version, as far as a program can tell from `sys.version_info`."""
    numbers = tuple(map(int, version.split(".")))
    wrapper = folder / f"python{version}"
    pretend = f"import runpy, sys; sys.version_info = {(*numbers, 0)!r}; runpy.run_path(sys.argv[1])"
    wrapper.write_text(f'#!/bin/sh\nexec {quote(sys.executable)} -c {quote(pretend)} "$@"\n')
    wrapper.chmod(0o755)
    return wrapper


@pytest.mark.parametrize("version", ["3.10", "3.14"])
def test_a_python_that_does_not_fit_is_named_and_nothing_is_made(fresh, bare_env, version):
    python = python_that_says(version, fresh.parent)
    done = run("make", "--silent", "setup", f"PYTHON={python}", cwd=fresh, env=bare_env, code=2)
    said = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert said == [
        f"This project needs Python 3.11, 3.12 or 3.13, and {sys.executable} is {version}; "
        "name another one: make setup PYTHON=python3.11"
    ]
    assert not (fresh / ".venv").exists()


def test_setup_without_a_lock_says_how_to_get_it_back(fresh, bare_env):
    (fresh / "tools.lock").unlink()
    done = run("make", "--silent", "setup", cwd=fresh, env=bare_env, code=2)
    said = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert len(said) == 1
    assert "git checkout tools.lock" in said[0]
    assert not (fresh / ".venv").exists()


def test_an_unknown_extra_is_refused_and_nothing_is_installed(fresh, bare_env):
    done = run("make", "--silent", "setup", "EXTRAS=prefect rya", cwd=fresh, env=bare_env, code=2)
    said = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert said == ["error: Requested extra not found: rya"]
    assert not (fresh / ".venv/bin/dvc").exists()


def test_an_extra_is_added_and_the_record_of_the_environment_stays(project, env, extras_env):
    record = (project / "environment.json").read_bytes()
    run("python", "-m", "scripts.environment", cwd=project, env=extras_env)
    assert (project / "environment.json").read_bytes() == record
    assert json.loads(record)["drift"] == {}
    # The server is what does not import with every FastAPI.
    run("python", "-c", "import prefect.server.api.server", cwd=project, env=extras_env)
    run("python", "-c", "import prefect", cwd=project, env=env, code=1)
    status = run("dvc", "status", cwd=project, env=extras_env).stdout
    assert "changed deps" not in status


def test_a_target_before_setup_says_so(fresh, bare_env):
    done = run("make", "--silent", "repro", cwd=fresh, env=bare_env, code=2)
    assert done.stderr.splitlines()[0] == ".venv is not there yet: run 'make setup' first"


def test_setup_compiles_what_it_installs(env):
    (sklearn,) = Path(env["VIRTUAL_ENV"]).glob("lib/python*/site-packages/sklearn")
    assert list(sklearn.glob("__pycache__/*.pyc"))


def test_no_package_of_the_environment_can_be_hidden_by_the_projects_own(bare_env, extras_env, tmp_path):
    """Whatever can be imported there is refused as a name, or the project would import itself instead."""
    listing = (
        "from importlib import metadata\n"
        "print(*sorted({n for n in metadata.packages_distributions() if n.isidentifier() and n[0] != '_'}))"
    )
    names = run("python", "-c", listing, cwd=tmp_path, env=extras_env).stdout.split()
    assert {"dvc", "sklearn", "psutil", "ray", "prefect"} <= set(names)
    # Two packages bring modules that nobody needs.
    assert [name for name in names if checks_of_answers()["package_name"](name) is None] == [
        "example",
        "test",
    ]


def test_drift_is_recorded_and_stops_nothing(project, sh):
    lock = project / "requirements.lock"
    text = lock.read_text()
    installed = sh("python", "-c", "import tqdm; print(tqdm.__version__)").stdout.strip()
    lock.write_text(
        text.replace(f"tqdm=={installed}", "tqdm==4.0.0")
        + "not-installed==1.0\n"
        + "only-elsewhere==1.0 ; sys_platform == 'plan9'\n"
    )
    sh("python", "-m", "scripts.environment")
    assert json.loads((project / "environment.json").read_text())["drift"] == {
        "not-installed": {"installed": None, "locked": "1.0"},
        "tqdm": {"installed": installed, "locked": "4.0.0"},
    }


def test_a_package_that_pyproject_asks_for_and_the_lock_lacks_is_named(project, sh):
    pyproject, lock = project / "pyproject.toml", project / "requirements.lock"
    address = "pluggy @ https://example.org/pluggy.whl"
    asked = f'dependencies = ["PyTest>=9", "{address}", "absent", '
    pyproject.write_text(pyproject.read_text().replace("dependencies = [", asked, 1))
    lock.write_text(f"{lock.read_text()}{address}\n")
    said = sh("python", "-m", "scripts.environment").stdout
    assert said == "Not as in requirements.lock: pytest; after `uv add`: `make lock`, else `make setup`\n"
    found = json.loads((project / "environment.json").read_text())["drift"]
    assert found["pytest"]["locked"] is None


def recorded_variables(project: Path) -> dict[str, str]:
    """What environment.json says of settings of numerical libraries."""
    return json.loads((project / "environment.json").read_text())["variables"]


def test_a_setting_that_changes_numbers_is_recorded_and_said(project, env):
    done = run("python", "-m", "scripts.environment", cwd=project, env={**env, "MKL_CBWR": "AVX2"})
    assert recorded_variables(project) == {"MKL_CBWR": "AVX2"}
    assert done.stdout == "environment.json: MKL_CBWR was not set, is AVX2\n"


def test_results_under_another_setting_are_out_of_date(project, env):
    run("dvc", "repro", "environment", cwd=project, env={**env, "MKL_CBWR": "AVX2"})
    assert "changed deps" in run("dvc", "status", "train", cwd=project, env=env).stdout


def test_a_setting_that_the_package_makes_itself_is_not_recorded(project, env):
    run("python", "-m", "scripts.environment", cwd=project, env={**env, "OMP_NUM_THREADS": "7"})
    assert recorded_variables(project) == {}


def test_nothing_is_recorded_of_settings_that_are_not_set(rebuilt):
    assert recorded_variables(rebuilt) == {}


def test_a_setting_counts_that_the_package_leaves_alone(project, env):
    package = project / "tumour_classifier/__init__.py"
    package.write_text('"""The science, on this machine\'s own kernels."""\n')
    run("python", "-m", "scripts.environment", cwd=project, env={**env, "OPENBLAS_CORETYPE": "Prescott"})
    assert recorded_variables(project) == {"OPENBLAS_CORETYPE": "Prescott"}


def test_the_record_is_the_same_wherever_the_lock_has_other_line_ends(project, sh):
    before = (project / "environment.json").read_bytes()
    lock = project / "requirements.lock"
    lock.write_bytes(lock.read_bytes().replace(b"\n", b"\r\n"))
    sh("python", "-m", "scripts.environment")
    assert (project / "environment.json").read_bytes() == before


def test_a_python_without_the_packages_is_told_what_to_do(project, bare_env):
    done = subprocess.run(
        [sys.executable, "-S", "-m", "scripts.environment"],
        cwd=project,
        env=bare_env,
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    assert "make setup" in done.stderr
    assert len(done.stderr.splitlines()) == 1
