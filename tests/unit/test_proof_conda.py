"""An environment from conda-lock.yml: what builds it, what is in it, what it sets where it is active."""

import hashlib
import json
from pathlib import Path

import pytest

from locatable.errors import CannotTryError
from locatable.proof.environment import (
    conda_reason,
    conda_records,
    distributions,
    installed_versions,
    packages_not_as_locked,
)
from locatable.proof.lock_files import CondaLock, PixiLock, conda_command, find_programs
from locatable.proof.sandbox import Sandbox, active_variables

FOLDER = Path("/scratch/env")
CREATE = ["create", "--yes", "--quiet", "--prefix", str(FOLDER), "--file", "conda-lock.yml"]
INSTALL = ["install", "--log-level", "ERROR", "--no-dev", "--conda"]
SIX = "lib/python3.12/site-packages/six.py"
SHARED = "lib/python3.12/site-packages/tests/__init__.py"


def programs(*names: str) -> dict[str, str]:
    return {name: f"/usr/bin/{name}" for name in names}


@pytest.mark.parametrize(
    "names", [("micromamba",), ("micromamba", "conda-lock", "mamba", "conda"), ("micromamba", "conda")]
)
def test_micromamba_reads_the_lock_itself(names):
    assert conda_command(FOLDER, Path("conda-lock.yml"), programs(*names)) == [
        "/usr/bin/micromamba",
        *CREATE,
    ]


@pytest.mark.parametrize(
    ("names", "conda"), [(("conda-lock", "conda"), "conda"), (("conda-lock", "mamba", "conda"), "mamba")]
)
def test_conda_lock_has_conda_or_mamba_install_the_lock(names, conda):
    expected = [*INSTALL, f"/usr/bin/{conda}", "--prefix", str(FOLDER), "conda-lock.yml"]
    assert conda_command(FOLDER, Path("conda-lock.yml"), programs(*names)) == [
        "/usr/bin/conda-lock",
        *expected,
    ]


def test_mamba_does_without_conda_lock():
    assert conda_command(FOLDER, Path("conda-lock.yml"), programs("mamba", "conda")) == [
        "/usr/bin/mamba",
        *CREATE,
    ]


@pytest.mark.parametrize("names", [(), ("conda",), ("conda-lock",)])
def test_a_machine_without_such_a_program_is_told_what_to_do(names):
    with pytest.raises(
        CannotTryError, match=r"conda-lock\.yml needs .* install micromamba, or .*--env current$"
    ):
        conda_command(FOLDER, Path("conda-lock.yml"), programs(*names))


def test_pixi_is_wanted_for_its_lock(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    expected = r"pixi\.lock needs pixi, and this machine has none: install it, or .*--env current$"
    with pytest.raises(CannotTryError, match=expected):
        list(PixiLock(allow_build=True).steps(tmp_path, FOLDER))


def test_pixi_may_run_scripts_of_packages_only_where_that_is_allowed(tmp_path):
    with pytest.raises(CannotTryError, match=r"packages of pixi\.lock can run scripts .*`--allow-build`"):
        list(PixiLock().steps(tmp_path, FOLDER))


def test_what_conda_said_is_shown_rather_than_the_traceback_of_conda_lock():
    stderr = (
        "ERROR:root:CondaVerificationError: six\n"
        "ERROR:root:Traceback (most recent call last):\n"
        "Traceback (most recent call last):\n  File invoke_conda.py\nCalledProcessError\n"
    )
    assert conda_reason(stderr).startswith("CondaVerificationError: six")
    assert "CalledProcessError" not in conda_reason(stderr)


def test_what_micromamba_said_last_is_shown():
    assert conda_reason("warning  libmamba " + 400 * "x" + "\ncritical libmamba no\n").endswith("libmamba no")


def test_packages_of_conda_are_installed_only_where_they_may_run_scripts(tmp_path):
    with pytest.raises(CannotTryError, match=r"can run scripts while they are installed.*--allow-build"):
        next(CondaLock().steps(tmp_path, FOLDER))


def program(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


def test_programs_are_found_in_the_search_path(tmp_path):
    mamba = program(tmp_path / "bin/mamba")
    assert find_programs({"PATH": str(tmp_path / "bin")})["mamba"] == mamba


def test_programs_are_found_that_only_a_shell_function_calls(tmp_path):
    micromamba = program(tmp_path / "micromamba")
    assert find_programs({"PATH": "", "MAMBA_EXE": micromamba})["micromamba"] == micromamba


def install(prefix: Path, name: str, version: str, files: dict[str, str] | None = None) -> None:
    """Install a package as conda does: its files, and a record of them."""
    paths = []
    for path, text in (files or {}).items():
        (prefix / path).parent.mkdir(parents=True, exist_ok=True)
        (prefix / path).write_text(text)
        paths.append({"_path": path, "sha256_in_prefix": hashlib.sha256(text.encode()).hexdigest()})
    record = {"name": name, "version": version, "paths_data": {"paths": paths, "paths_version": 1}}
    (prefix / "conda-meta").mkdir(exist_ok=True, parents=True)
    (prefix / f"conda-meta/{name}-0.json").write_text(json.dumps(record))


def test_packages_are_read_from_their_records(tmp_path):
    install(tmp_path, "libgdal", "3.11.4")
    (tmp_path / "conda-meta/history").write_text("==> 2026-11-27 <==\n")
    (tmp_path / "conda-meta/state.json").write_text('{"env_vars": {}}')
    (tmp_path / "conda-meta/interrupted-1-0.json").write_text("")
    assert [record["name"] for record in conda_records(tmp_path)] == ["libgdal"]


def test_a_virtual_environment_has_no_packages_of_conda(tmp_path):
    assert list(conda_records(tmp_path)) == []


def test_an_environment_without_packages_is_refused(tmp_path):
    (tmp_path / "conda-meta").mkdir()
    with pytest.raises(
        CannotTryError, match=r"conda-lock\.yml has no packages for this platform; .*current$"
    ):
        CondaLock().check(tmp_path)


def test_files_as_they_were_released_pass(tmp_path):
    install(tmp_path, "six", "1.17.0", {SIX: "VERSION = 1\n"})
    CondaLock().check(tmp_path)


def test_a_file_that_was_edited_in_the_cache_is_refused(tmp_path):
    install(tmp_path, "six", "1.17.0", {SIX: "VERSION = 1\n"})
    (tmp_path / SIX).write_text("VERSION = 2\n")
    with pytest.raises(CannotTryError, match=r"site-packages/six\.py is not as six was released"):
        CondaLock().check(tmp_path)


def test_a_file_that_two_packages_bring_is_that_of_either(tmp_path):
    install(tmp_path, "a", "1", {SHARED: "# a\n"})
    install(tmp_path, "b", "1", {SHARED: "# b\n"})
    CondaLock().check(tmp_path)


def test_a_package_of_conda_that_is_not_as_locked_is_named(tmp_path, monkeypatch):
    locked, here = tmp_path / "locked", tmp_path / "here"
    install(locked, "libgdal", "3.11.4")
    install(here, "libgdal", "3.12.0")
    for prefix in (locked, here):
        install(prefix, "openblas", "0.3.30")
    monkeypatch.setattr("sys.prefix", str(here))
    monkeypatch.setattr("importlib.metadata.distributions", lambda **_: [])
    assert packages_not_as_locked(locked / "bin", "gdalinfo") == "libgdal 3.12.0"


def test_a_package_of_python_has_the_version_that_python_knows(tmp_path):
    install(tmp_path, "libgdal", "3.11.4")
    install(tmp_path, "my-package", "1.0")
    folder = tmp_path / "lib/python3.12/site-packages/my_package-1.0.post1.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: my_package\nVersion: 1.0.post1\n")
    found = installed_versions(tmp_path, distributions(tmp_path))
    assert found == {"libgdal": "3.11.4", "my_package": "1.0.post1"}


def sandbox_of(environment: Path) -> Sandbox:
    """A sandbox for the programs of an environment, where nothing is isolated."""
    return Sandbox(environment, environment / "bin", environment)


def test_what_packages_set_is_set_where_the_environment_is_active(tmp_path):
    script = 'export GDAL_DATA="$CONDA_PREFIX/share/gdal"\n'
    install(tmp_path, "libgdal", "3.11.4", {"etc/conda/activate.d/gdal.sh": script})
    assert active_variables(sandbox_of(tmp_path)) == {
        "CONDA_PREFIX": str(tmp_path),
        "GDAL_DATA": f"{tmp_path}/share/gdal",
    }


def test_a_virtual_environment_sets_nothing(tmp_path):
    assert active_variables(sandbox_of(tmp_path)) == {}


def test_a_script_that_fails_costs_only_what_it_sets(tmp_path):
    install(tmp_path, "a", "1", {"etc/conda/activate.d/a.sh": "exit 1\n"})
    assert active_variables(sandbox_of(tmp_path)) == {"CONDA_PREFIX": str(tmp_path)}
