"""Runs the installers that build a proof's environment, and reads what environments contain.

Code in a package runs only in a sandbox, and only if the user allows it. No setting of the user can redirect
an installation or change its content.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from ..errors import CannotTryError
from ..output import redact_urls
from ..results.coordinates import read_record
from ..results.locks import reason_of_uv
from .sandbox import Sandbox, installer_isolation, python_folders, software_around

# The file that records how results were made: Python, packages, and environment variables (`variables`).
ENVIRONMENT_RECORD = "environment.json"
# Longest error message of an installer, in characters. The user reads it in one line.
LONGEST_REASON = 400
# If the stage imports none of the differing packages, at most this many of them are named.
MOST_PACKAGES = 5
# conda records each installed package in one JSON file.
CONDA_RECORDS = "conda-meta/*.json"

# Variables of installers can redirect an installation (UV_SYSTEM_PYTHON, PIP_TARGET, CONDA_PREFIX), change it
# (UV_CONSTRAINT, CONDA_SUBDIR) or weaken it (UV_NO_VERIFY_HASHES, CONDA_SAFETY_CHECKS). PYTHON* would make
# Python look for packages elsewhere, and VIRTUAL_ENV belongs to an active environment.
DROPPED_VARIABLES = ("UV_", "PIP_", "CONDA_", "MAMBA_", "PYTHON", "VIRTUAL_ENV")
# The variables of installers that only say where packages come from. They are kept.
SOURCE_VARIABLES = (
    *("UV_CACHE_DIR", "UV_NO_CACHE", "UV_CONCURRENT_", "UV_CONFIG_FILE", "UV_NO_CONFIG"),
    *("UV_DEFAULT_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_INDEX", "UV_NO_INDEX"),
    *("UV_CREDENTIALS_DIR", "UV_KEYRING_PROVIDER", "UV_INSECURE_HOST", "UV_OFFLINE"),
    *("UV_HTTP_", "UV_REQUEST_TIMEOUT", "UV_NATIVE_TLS", "UV_SYSTEM_CERTS"),
    *("UV_PYTHON_INSTALL_DIR", "UV_PYTHON_PREFERENCE"),
    *("PIP_CACHE_DIR", "PIP_CONFIG_FILE", "PIP_CERT", "PIP_CLIENT_CERT"),
    *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX"),
    *("PIP_KEYRING_PROVIDER", "PIP_TRUSTED_HOST", "PIP_PROXY"),
    *("PIP_DEFAULT_TIMEOUT", "PIP_RETRIES", "PIP_TIMEOUT"),
    *("CONDA_CHANNEL_ALIAS", "CONDA_OFFLINE", "CONDA_PKGS_DIRS"),
    *("CONDA_PROXY_SERVERS", "CONDA_REMOTE_", "CONDA_SSL_VERIFY"),
    *("MAMBA_CHANNEL_ALIAS", "MAMBA_MIRRORED_CHANNELS", "MAMBA_OFFLINE", "MAMBA_ROOT_PREFIX"),
    *("MAMBA_PROXY_SERVERS", "MAMBA_REMOTE_", "MAMBA_CACERT_PATH", "MAMBA_SSL_"),
)
# Variables that name the user's package caches. Code of a package must not change these caches.
CACHES = ("CONDA_PKGS_DIRS", "MAMBA_ROOT_PREFIX", "PIP_CACHE_DIR", "UV_CACHE_DIR")
# The other variables that an isolated installer needs. They are compared in upper case.
NETWORK_VARIABLES = (
    *("PATH", "LANG", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
)


def pip_reason(stderr: str) -> str:
    """Return the reason for a failure from the error output of uv or pip."""
    return reason_of_uv(stderr, LONGEST_REASON)


def conda_reason(stderr: str) -> str:
    """Return the reason for a failure from the error output of conda, mamba, micromamba, conda-lock or pixi.

    They print it at the end, after warnings. Only a traceback of conda-lock can follow.
    """
    message = stderr.partition("\nTraceback (most recent call last):")[0]
    return " ".join(message.replace("ERROR:root:", "").split())[-LONGEST_REASON:]


@dataclass(frozen=True)
class Step:
    """One command of an installation.

    Attributes:
        command: the program and its arguments.
        problem: the first words of the error message if the command fails.
        reason: returns the reason for a failure, given the error output of the program.
        runs_packages: true if the command runs code of packages, such as builds and scripts.
        optional: true if the environment also works if the command fails.
    """

    command: list[str]
    problem: str
    reason: Callable[[str], str] = pip_reason
    runs_packages: bool = False
    optional: bool = False


def run_isolated(step: Step, folder: Path, sandbox: Sandbox) -> None:
    """Run an installer that runs code of packages, without access to the user's home and caches.

    Raises:
        CannotTryError: the installer failed.
    """
    home = folder.parent / "installer"
    home.mkdir()
    variables = isolated_variables(os.environ, folder, home)
    # These are the lock, the program, folders with packages, certificates and the like.
    mentioned = map(Path, (*step.command, *variables.values()))
    readable = [path for path in mentioned if path.is_absolute() and path.exists()]
    for path in list(readable):
        # A program such as conda needs the environment that it is installed in.
        if path.is_file() and os.access(path, os.X_OK):
            for software in software_around(path.resolve().parent):
                readable += [software, *python_folders(software / "bin", sandbox.hidden)]
    command = [*installer_isolation(sandbox, readable), *step.command]
    run_installer(replace(step, command=command), folder, variables)


def run_installer(step: Step, folder: Path, variables: Mapping[str, str] | None = None) -> None:
    """Run one command of an installation.

    Args:
        step: the command.
        folder: the folder of the environment.
        variables: environment variables of the command, None for those of `installer_variables`.

    Raises:
        CannotTryError: the command failed, and it is not optional.
    """
    if variables is None:
        variables = installer_variables(os.environ, folder)
    try:
        process = subprocess.Popen(
            step.command,
            # Not in the project: uv would read the settings of a project around its working folder.
            cwd=folder.parent,
            env=variables,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
    except FileNotFoundError:
        raise CannotTryError(f"{step.problem}: there is no {step.command[0]} here") from None
    try:
        _, stderr = process.communicate()
    finally:
        # If the user stops the proof, this also ends the workers with which uv compiles byte code.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    if process.returncode and not step.optional:
        reason = step.reason(stderr) or f"{step.command[0]} ended with {process.returncode}"
        # The reason can contain a URL of the lock, and the URL a login.
        raise CannotTryError(f"{step.problem}: {redact_urls(reason)}")


def installer_variables(variables: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return the user's variables without those that redirect or change an installation.

    Args:
        variables: the user's environment variables.
        folder: the folder of the environment.
    """
    kept = {}
    for name, value in variables.items():
        if name.startswith(SOURCE_VARIABLES) or not name.startswith(DROPPED_VARIABLES):
            kept[name] = value
    # UV_PROJECT_ENVIRONMENT keeps uv from running the Python of an environment in the project.
    return {**kept, "VIRTUAL_ENV": str(folder), "UV_PROJECT_ENVIRONMENT": str(folder)}


def isolated_variables(variables: Mapping[str, str], folder: Path, home: Path) -> dict[str, str]:
    """Return the variables of an isolated installer: the user's package sources, and a separate home.

    Args:
        variables: the user's environment variables.
        folder: the folder of the environment.
        home: the folder for the installer's home and temporary files.
    """
    kept = {}
    for name, value in variables.items():
        is_source = name.startswith(SOURCE_VARIABLES) and name not in CACHES
        if is_source or name.upper() in NETWORK_VARIABLES:
            kept[name] = value
    return {
        **kept,
        "HOME": str(home),
        "TMPDIR": str(home),
        "MAMBA_ROOT_PREFIX": str(home / "mamba"),
        "VIRTUAL_ENV": str(folder),
    }


def current_programs() -> Path:
    """Return the folder with the programs of the environment that this process runs in."""
    return Path(sys.prefix) / "bin"


def recorded_python(project: Path) -> str | None:
    """Return the version of Python that a revision records, or None if it runs here or is not recorded."""
    recorded = _record(project).get("python", "")
    if not re.fullmatch(r"\d+\.\d+(\.\d+)?", recorded):
        return None
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    return None if recorded == running else str(recorded)


def recorded_variables(project: Path) -> dict[str, str]:
    """Return the recorded environment variables, which can change numbers."""
    recorded = _record(project).get("variables")
    if not isinstance(recorded, Mapping):
        return {}
    variables = {}
    for name, value in recorded.items():
        # Skip names and values that no variable can have: another tool can have written the file.
        if re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) and "\0" not in str(value):
            variables[name] = str(value)
    return variables


def _record(project: Path) -> Mapping[str, Any]:
    """Return the content of environment.json, empty if there is no such file or another tool wrote it."""
    file = project / ENVIRONMENT_RECORD
    return read_record(file.read_bytes() if file.is_file() else None)


def distributions(folder: Path) -> Iterable[metadata.Distribution]:
    """Return the Python packages that are installed in an environment."""
    site_packages = folder.glob("lib/python*/site-packages")
    return metadata.distributions(path=list(map(str, site_packages)))


def conda_records(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield conda's record of each package that it installed in an environment."""
    for file in sorted(folder.glob(CONDA_RECORDS)):
        try:
            record = json.loads(file.read_bytes())
        except ValueError:
            continue  # An interrupted installation leaves incomplete files.
        # The folder also contains a file `state`, which is not a record of a package.
        if isinstance(record, dict) and "name" in record and "version" in record:
            yield record


def installed_versions(folder: Path, packages: Iterable[metadata.Distribution]) -> dict[str, str]:
    """Return the version of each installed package by name, including packages of conda that are not Python.

    Args:
        folder: the folder of the environment.
        packages: its Python packages.
    """
    # An interrupted installation leaves folders that name no package.
    versions = {package.name: package.version for package in packages if package.name}
    known = set(map(canonicalize_name, versions))
    for record in conda_records(folder):
        # conda can write the version of a Python package differently, so Python's own metadata is used.
        name = str(record["name"])
        if canonicalize_name(name) not in known:
            versions[name] = str(record["version"])
    return versions


def packages_not_as_locked(programs: Path, text: str) -> str:
    """Return packages installed here that the locked environment lacks or has in another version.

    Args:
        programs: the folder with the programs of the locked environment.
        text: the printed lines of the stage and its code. Packages that it imports are preferred.
    """
    folder = programs.parent
    locked = installed_versions(folder, distributions(folder))
    here = installed_versions(Path(sys.prefix), metadata.distributions())
    return name_packages(here, locked, metadata.packages_distributions(), text)


def name_packages(
    here: Mapping[str, str], locked: Mapping[str, str], owners: Mapping[str, list[str]], text: str
) -> str:
    """Return the packages that most likely explain why a stage succeeds with the packages installed here.

    Args:
        here: the version of each package installed here, by name.
        locked: the version of each package of the locked environment, by name.
        owners: names of the packages that provide a module, by name of the module.
        text: the printed lines of the stage and its code.

    Returns:
        Names and versions, joined by commas.
    """
    locked_versions = {canonicalize_name(name): version for name, version in locked.items()}
    differing = {}
    for name, version in here.items():
        if locked_versions.get(canonicalize_name(name)) != version:
            differing[name] = version
    imported: set[str] = set()
    for module, packages in owners.items():
        if not re.search(rf"(?:import|from|module named)\s+'?{re.escape(module)}\b", text):
            continue
        candidates = [name for name in packages if name in differing]
        # Several packages can share a module. The one with the module's name depends on the others.
        module_name = canonicalize_name(module)
        namesakes = [name for name in candidates if canonicalize_name(name) == module_name]
        imported.update(namesakes or candidates)
    names = sorted(imported) or sorted(differing)[:MOST_PACKAGES]
    return ", ".join(f"{name} {differing[name]}" for name in names)
