"""Runs the commands that install packages, without settings of the user's that would redirect them."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import CannotTryError
from ..results.locks import reason_of_uv

# What is said of packages that are built, or have scripts: installers need the network meanwhile.
RUNS_CODE = ", which may run code with the network"
# Characters of what an installer says of its failure.
LONGEST_REASON = 400

# These would have Python look for packages elsewhere, or are those of an active environment.
DROPPED_VARIABLES = ("PYTHON", "VIRTUAL_ENV")
# Of the variables of installers, those that say where packages come from. Others can redirect an installation
# (UV_SYSTEM_PYTHON, PIP_TARGET, CONDA_PREFIX), change it (UV_CONSTRAINT, CONDA_SUBDIR) or weaken it
# (UV_NO_VERIFY_HASHES, CONDA_SAFETY_CHECKS).
KEPT_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "UV_": (
        "UV_CACHE_DIR",
        "UV_CONCURRENT_",
        "UV_CONFIG_FILE",
        "UV_CREDENTIALS_DIR",
        "UV_DEFAULT_INDEX",
        "UV_EXTRA_INDEX_URL",
        "UV_FIND_LINKS",
        "UV_HTTP_",
        "UV_INDEX",
        "UV_INSECURE_HOST",
        "UV_KEYRING_PROVIDER",
        "UV_NATIVE_TLS",
        "UV_NO_CACHE",
        "UV_NO_CONFIG",
        "UV_NO_INDEX",
        "UV_OFFLINE",
        "UV_PYTHON_INSTALL_DIR",
        "UV_PYTHON_PREFERENCE",
        "UV_REQUEST_TIMEOUT",
        "UV_SYSTEM_CERTS",
    ),
    "PIP_": (
        "PIP_CACHE_DIR",
        "PIP_CERT",
        "PIP_CLIENT_CERT",
        "PIP_CONFIG_FILE",
        "PIP_DEFAULT_TIMEOUT",
        "PIP_EXTRA_INDEX_URL",
        "PIP_FIND_LINKS",
        "PIP_INDEX_URL",
        "PIP_KEYRING_PROVIDER",
        "PIP_NO_INDEX",
        "PIP_PROXY",
        "PIP_RETRIES",
        "PIP_TIMEOUT",
        "PIP_TRUSTED_HOST",
    ),
    "CONDA_": (
        "CONDA_CHANNEL_ALIAS",
        "CONDA_OFFLINE",
        "CONDA_PKGS_DIRS",
        "CONDA_PROXY_SERVERS",
        "CONDA_REMOTE_",
        "CONDA_SSL_VERIFY",
    ),
    "MAMBA_": (
        "MAMBA_CACERT_PATH",
        "MAMBA_CHANNEL_ALIAS",
        "MAMBA_MIRRORED_CHANNELS",
        "MAMBA_OFFLINE",
        "MAMBA_PROXY_SERVERS",
        "MAMBA_REMOTE_",
        "MAMBA_ROOT_PREFIX",
        "MAMBA_SSL_",
    ),
}

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
    """Where conda and its kind say why they failed: after warnings, before a traceback of conda-lock."""
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
    """

    command: list[str]
    problem: str
    reason: Callable[[str], str] = first_words
    runs_packages: bool = False


def installer_variables(variables: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return environment variables for an installer: without those that install elsewhere, or something else.

    Args:
        variables: the user's.
        folder: the environment to install into.
    """
    kept = {name: value for name, value in variables.items() if _is_kept(name)}
    return {**kept, "VIRTUAL_ENV": str(folder)}


def _is_kept(name: str) -> bool:
    if name.startswith(DROPPED_VARIABLES):
        return False
    for beginning, kept in KEPT_VARIABLES.items():
        if name.startswith(beginning):
            return name.startswith(kept)
    return True


def isolated_variables(variables: Mapping[str, str], folder: Path, home: Path) -> dict[str, str]:
    """Return the variables that an isolated installer needs to find packages, and no others.

    Args:
        variables: the user's.
        folder: the environment to install into.
        home: takes the place of the user's home, with its caches.
    """
    kept = {}
    for name, value in variables.items():
        of_installer = name.startswith(tuple(KEPT_VARIABLES)) and _is_kept(name)
        if name.upper() in NETWORK_VARIABLES or (of_installer and name not in CACHES):
            kept[name] = value
    places = {"HOME": str(home), "TMPDIR": str(home), "MAMBA_ROOT_PREFIX": str(home / "mamba")}
    return {**kept, **places, "VIRTUAL_ENV": str(folder)}


def run_installer(step: Step, folder: Path, variables: Mapping[str, str] | None = None) -> None:
    """Run one command of an installation.

    It runs beside the environment: uv would take settings from a project around its working folder.

    Args:
        step: what to run.
        folder: the environment that it is about.
        variables: of its own, None for the user's as far as they suit an installer.

    Raises:
        CannotTryError: it failed.
    """
    if variables is None:
        variables = installer_variables(os.environ, folder)
    try:
        process = subprocess.Popen(
            step.command,
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
    if process.returncode:
        reason = step.reason(stderr) or f"{step.command[0]} ended with {process.returncode}"
        raise CannotTryError(f"{step.problem}: {reason}")


def programs_in(folder: Path) -> Path:
    """Return the folder of programs of an environment."""
    return folder / ("Scripts" if os.name == "nt" else "bin")
