"""Runs the installers of a proof's environment, and tells what is installed in one.

What a package holds runs only in a sandbox, and only where the user
allows it; no setting of the user's can redirect an installation or change it.
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

# What results were made with: Python, packages, and under `variables` the settings that were set.
RECORD = "environment.json"
# Characters of what an installer says of its failure: all of it is one line for the user.
LONGEST_REASON = 400
# Without a package that the stage imports, so many of those that differ are named.
MOST_PACKAGES = 5
# conda keeps one JSON file for each package.
CONDA_RECORDS = "conda-meta/*.json"

# Variables of installers can redirect an installation (UV_SYSTEM_PYTHON, PIP_TARGET, CONDA_PREFIX), change it
# (UV_CONSTRAINT, CONDA_SUBDIR) or weaken it (UV_NO_VERIFY_HASHES, CONDA_SAFETY_CHECKS). The others would have
# Python look for packages elsewhere, or are those of an active environment.
DROPPED_VARIABLES = ("UV_", "PIP_", "CONDA_", "MAMBA_", "PYTHON", "VIRTUAL_ENV")
# Those of installers that say where packages come from.
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
# Caches of packages are the user's: what a package runs must not change them.
CACHES = ("CONDA_PKGS_DIRS", "MAMBA_ROOT_PREFIX", "PIP_CACHE_DIR", "UV_CACHE_DIR")
# What an installer needs besides, in upper case.
NETWORK_VARIABLES = (
    *("PATH", "LANG", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
)


def first_words(stderr: str) -> str:
    """Return where uv and pip say why they failed."""
    return reason_of_uv(stderr, LONGEST_REASON)


def last_words(stderr: str) -> str:
    """Return where conda and its kind say why they failed: after warnings, before conda-lock's traceback."""
    said = stderr.partition("\nTraceback (most recent call last):")[0]
    return " ".join(said.replace("ERROR:root:", "").split())[-LONGEST_REASON:]


@dataclass(frozen=True)
class Step:
    """One command of an installation.

    Attributes:
        command: the program and its arguments.
        problem: what it means if it fails, in words.
        reason: takes the reason out of what the program prints on stderr.
        runs_packages: whether it runs what packages hold: their builds, their scripts.
        optional: whether the environment works without it, too.
    """

    command: list[str]
    problem: str
    reason: Callable[[str], str] = first_words
    runs_packages: bool = False
    optional: bool = False


def run_isolated(step: Step, folder: Path, sandbox: Sandbox) -> None:
    """Run an installer where what packages run finds no home and no cache of the user's."""
    home = folder.parent / "installer"
    home.mkdir()
    variables = isolated_variables(os.environ, folder, home)
    # The lock, the program, folders of packages, certificates.
    named = map(Path, (*step.command, *variables.values()))
    readable = [path for path in named if path.is_absolute() and path.exists()]
    for path in list(readable):
        # A program such as conda needs the environment that it is in.
        if path.is_file() and os.access(path, os.X_OK):
            for software in software_around(path.resolve().parent):
                readable += [software, *python_folders(software / "bin", sandbox.hidden)]
    command = [*installer_isolation(sandbox, readable), *step.command]
    run_installer(replace(step, command=command), folder, variables)


def run_installer(step: Step, folder: Path, variables: Mapping[str, str] | None = None) -> None:
    """Run one command of an installation, by default with the user's variables as far as they suit it.

    Raises:
        CannotTryError: it failed.
    """
    if variables is None:
        variables = installer_variables(os.environ, folder)
    try:
        process = subprocess.Popen(
            step.command,
            # Beside the environment: uv would take settings from a project around its working folder.
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
        # uv's byte-code workers, too, when someone stops the proof.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    if process.returncode and not step.optional:
        # Addresses in a lock can hold a login.
        reason = redact_urls(step.reason(stderr)) or f"{step.command[0]} ended with {process.returncode}"
        raise CannotTryError(f"{step.problem}: {reason}")


def installer_variables(variables: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return the user's variables without those that have an installer install elsewhere, or otherwise."""
    kept = {}
    for name, value in variables.items():
        if name.startswith(SOURCE_VARIABLES) or not name.startswith(DROPPED_VARIABLES):
            kept[name] = value
    # By the second, uv does not look at an environment of the project's, and run its Python.
    return {**kept, "VIRTUAL_ENV": str(folder), "UV_PROJECT_ENVIRONMENT": str(folder)}


def isolated_variables(variables: Mapping[str, str], folder: Path, home: Path) -> dict[str, str]:
    """Return those of the user's variables by which an installer finds packages, and another home."""
    kept = {}
    for name, value in variables.items():
        says_source = name.startswith(SOURCE_VARIABLES) and name not in CACHES
        if says_source or name.upper() in NETWORK_VARIABLES:
            kept[name] = value
    return {
        **kept,
        "HOME": str(home),
        "TMPDIR": str(home),
        "MAMBA_ROOT_PREFIX": str(home / "mamba"),
        "VIRTUAL_ENV": str(folder),
    }


def current_programs() -> Path:
    """Return the folder of programs of the environment that this process runs in."""
    return Path(sys.prefix) / "bin"


def recorded_python(project: Path) -> str | None:
    """Return the version of Python that a revision records; None where that runs here, or is unknown."""
    recorded = _record(project).get("python", "")
    if not re.fullmatch(r"\d+\.\d+(\.\d+)?", recorded):
        return None
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    return None if recorded == running else str(recorded)


def recorded_variables(project: Path) -> dict[str, str]:
    """Return the environment variables that were set when results were made and can change numbers."""
    recorded = _record(project).get("variables")
    if not isinstance(recorded, Mapping):
        return {}
    variables = {}
    for name, value in recorded.items():
        # Others cannot be set: the record can be another tool's.
        if re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) and "\0" not in str(value):
            variables[name] = str(value)
    return variables


def _record(project: Path) -> Mapping[str, Any]:
    """Return the content of environment.json; nothing where there is none, or it is another tool's."""
    file = project / RECORD
    return read_record(file.read_bytes() if file.is_file() else None)


def distributions(folder: Path) -> Iterable[metadata.Distribution]:
    """Return the Python packages that are installed in an environment."""
    site_packages = folder.glob("lib/python*/site-packages")
    return metadata.distributions(path=list(map(str, site_packages)))


def conda_records(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield what conda recorded of each package in an environment; nothing where it installed none."""
    for file in sorted(folder.glob(CONDA_RECORDS)):
        try:
            record = json.loads(file.read_bytes())
        except ValueError:
            continue  # of an interrupted installation
        # A file of conda's own, `state`, is beside them.
        if isinstance(record, dict) and "name" in record and "version" in record:
            yield record


def installed_versions(folder: Path, packages: Iterable[metadata.Distribution]) -> dict[str, str]:
    """Return version by name of each package, those that are not Python's included."""
    # An interrupted installation leaves folders that name no package.
    versions = {package.name: package.version for package in packages if package.name}
    known = set(map(canonicalize_name, versions))
    for record in conda_records(folder):
        # conda's version of a package of Python can be written in another way; Python's own word counts.
        name = str(record["name"])
        if canonicalize_name(name) not in known:
            versions[name] = str(record["version"])
    return versions


def packages_not_as_locked(programs: Path, text: str) -> str:
    """Return packages installed here that the locked environment has not, or in another version.

    Args:
        programs: folder of programs of the locked environment.
        text: what the stage printed, and its code; packages that it imports are named rather than others.
    """
    folder = programs.parent
    locked = installed_versions(folder, distributions(folder))
    here = installed_versions(Path(sys.prefix), metadata.distributions())
    return name_packages(here, locked, metadata.packages_distributions(), text)


def name_packages(
    here: Mapping[str, str], locked: Mapping[str, str], owners: Mapping[str, list[str]], text: str
) -> str:
    """Return the names of the packages that are most likely the reason why a stage does better here.

    Args:
        here: version by name of each package installed here.
        locked: the same, of the locked environment.
        owners: names of the packages that a module can come from, by name of the module.
        text: what the stage printed, and its code.

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
        found = [name for name in packages if name in differing]
        # Several packages can share a module; the one of its name brings the others.
        own_name = canonicalize_name(module)
        namesakes = [name for name in found if canonicalize_name(name) == own_name]
        imported.update(namesakes or found)
    named = sorted(imported) or sorted(differing)[:MOST_PACKAGES]
    return ", ".join(f"{name} {differing[name]}" for name in named)
