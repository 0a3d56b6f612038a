"""The environment of a proof, built anew from the lock of a revision; how it differs from the one here."""

import base64
import contextlib
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from ..coordinates import read_record
from ..errors import CannotTryError
from ..locks import reason_of_uv

# Characters of what an installer says of its failure.
LONGEST_REASON = 400
# What stages may import; the tools have a lock of their own, which no result depends on.
LOCK = "requirements.lock"
# What results were made with: Python, packages, and under `variables` the settings that were set.
RECORD = "environment.json"
# Without a package that the stage imports, so many of those that differ are named.
MOST_PACKAGES = 5

# These would have Python look for packages elsewhere.
DROPPED_VARIABLES = ("CONDA_PREFIX", "PYTHON", "VIRTUAL_ENV")
# Of the variables of uv and pip, those that say where packages come from. Others can redirect an
# installation (UV_SYSTEM_PYTHON, PIP_TARGET), change it (UV_CONSTRAINT) or weaken it (UV_NO_VERIFY_HASHES).
KEPT_UV_VARIABLES = (
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
)
KEPT_PIP_VARIABLES = (
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
)


@dataclass(frozen=True)
class Installation:
    """The commands that build an environment, one that makes it and one that fills it."""

    make: list[str]
    fill: list[str]


def current_programs() -> Path:
    """The folder of programs of the environment that this process runs in."""
    return Path(sys.prefix) / "bin"


def build_environment(
    project: Path, folder: Path, version: str | None = None, wheels: Path | None = None
) -> Path:
    """Build a virtual environment from a revision's lock, and from nothing else.

    Args:
        project: a checkout of the revision.
        folder: where to build it.
        version: of Python, None for the one that runs.
        wheels: a folder with all packages of the lock; None to ask the package index for them.

    Returns:
        Its folder of programs.

    Raises:
        CannotTryError: there is no lock, or it cannot be installed, or its Python is not here.
    """
    if not (project / LOCK).is_file():
        raise CannotTryError(
            f"this revision has no {LOCK}; try with the packages installed here: --env current"
        )
    here = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    installation = plan_installation(folder, version, shutil.which("uv", path=here), wheels)
    problem = f"the result was made with Python {version}" if version else "no environment"
    run_installer(installation.make, project, folder, problem)
    run_installer(installation.fill, project, folder, f"{LOCK} cannot be installed")
    _check_untouched(folder)
    return _programs(folder)


def recorded_python(project: Path) -> str | None:
    """The version of Python that a revision records, None where it is the one that runs, or unknown."""
    recorded = _record(project).get("python", "")
    if not re.fullmatch(r"\d+\.\d+(\.\d+)?", recorded):
        return None
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    return None if recorded == running else str(recorded)


def recorded_variables(project: Path) -> dict[str, str]:
    """The environment variables that were set when a revision's results were made and can change numbers."""
    recorded = _record(project).get("variables")
    if not isinstance(recorded, Mapping):
        return {}
    return {str(name): str(value) for name, value in recorded.items()}


def _record(project: Path) -> Mapping[str, Any]:
    """Content of environment.json; nothing where there is none, or another tool's file has that name."""
    file = project / RECORD
    return read_record(file.read_bytes() if file.is_file() else None)


def plan_installation(
    folder: Path, version: str | None, uv: str | None, wheels: Path | None = None
) -> Installation:
    """The commands that build an environment.

    Args:
        folder: where to build it.
        version: of Python, None for the one that runs.
        uv: path of uv, None where pip has to do.
        wheels: a folder with all packages of the lock, None to ask the package index for them.
    """
    source = ["--no-index", "--find-links", str(wheels)] if wheels else []
    if uv:
        python = version or sys.executable
        return Installation(
            make=[uv, "venv", "--quiet", "--no-python-downloads", "--python", python, str(folder)],
            fill=[
                *(uv, "pip", "sync", "--quiet", "--python", str(folder)),
                *("--require-hashes", "--compile-bytecode", *source, LOCK),
            ],
        )
    python = f"python{version}" if version else sys.executable
    pip = [str(_programs(folder) / "python"), "-m", "pip", "install", "--quiet", "--require-hashes"]
    return Installation(
        make=[python, "-m", "venv", str(folder)],
        fill=[*pip, "--disable-pip-version-check", *source, "--requirement", LOCK],
    )


def _programs(folder: Path) -> Path:
    return folder / ("Scripts" if os.name == "nt" else "bin")


def installer_variables(variables: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Environment variables for uv and pip: without those that install elsewhere, or something else.

    Args:
        variables: the user's.
        folder: the virtual environment to install into.
    """
    kept = {}
    for name, value in variables.items():
        if name.startswith(DROPPED_VARIABLES):
            continue
        if name.startswith("UV_") and not name.startswith(KEPT_UV_VARIABLES):
            continue
        if name.startswith("PIP_") and not name.startswith(KEPT_PIP_VARIABLES):
            continue
        kept[name] = value
    return {**kept, "VIRTUAL_ENV": str(folder)}


def run_installer(command: list[str], project: Path, folder: Path, problem: str) -> None:
    """Run uv, pip or venv.

    Args:
        command: what to run.
        project: where.
        folder: the virtual environment that it is about.
        problem: what it means if it fails, in words.

    Raises:
        CannotTryError: it failed.
    """
    variables = installer_variables(os.environ, folder)
    try:
        process = subprocess.Popen(
            command, cwd=project, env=variables, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
    except FileNotFoundError:
        raise CannotTryError(f"{problem}: there is no {command[0]} here") from None
    try:
        _, stderr = process.communicate()
    finally:
        # uv's byte-code workers, too, when someone stops the proof.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    if process.returncode:
        reason = reason_of_uv(stderr, LONGEST_REASON)
        raise CannotTryError(f"{problem}: {reason}")


def _check_untouched(folder: Path) -> None:
    # uv links files from its cache into environments: one edited in place there is edited in every later one.
    for package in _installed(folder):
        for file in package.files or []:
            if not file.hash or file.suffix != ".py":
                continue
            content = Path(str(package.locate_file(file))).read_bytes()
            digest = base64.urlsafe_b64encode(hashlib.new(file.hash.mode, content).digest()).decode()
            if digest.rstrip("=") != file.hash.value:
                name = package.name
                raise CannotTryError(
                    f"{file} is not as {name} was released: `uv cache clean {name}`, then again"
                )


def _installed(folder: Path) -> Iterable[metadata.Distribution]:
    site_packages = [str(path) for path in folder.glob("lib/python*/site-packages")]
    return metadata.distributions(path=site_packages)


def packages_not_as_locked(programs: Path, text: str) -> str:
    """Packages installed here that the locked environment has not, or in another version.

    Args:
        programs: folder of programs of the locked environment.
        text: what the stage printed, and its code; packages that it imports are named rather than others.
    """
    locked = _versions(_installed(programs.parent))
    here = _versions(metadata.distributions())
    return name_packages(here, locked, metadata.packages_distributions(), text)


def _versions(packages: Iterable[metadata.Distribution]) -> dict[str, str]:
    # An interrupted installation leaves folders that name no package.
    return {package.name: package.version for package in packages if package.name}


def name_packages(
    here: Mapping[str, str], locked: Mapping[str, str], owners: Mapping[str, list[str]], text: str
) -> str:
    """Name the packages that are most likely the reason why a stage does better here.

    Args:
        here: version by name of each package installed here.
        locked: the same, of the locked environment.
        owners: names of the packages that a module can come from, by name of the module.
        text: what the stage printed, and its code.

    Returns:
        Names and versions, joined by commas.
    """
    locked_versions = {_normalized(name): version for name, version in locked.items()}
    differing = {
        name: version for name, version in here.items() if locked_versions.get(_normalized(name)) != version
    }
    suspects: set[str] = set()
    for module, packages in owners.items():
        if not re.search(rf"(?:import|from|module named)\s+'?{re.escape(module)}\b", text):
            continue
        found = [name for name in packages if name in differing]
        # Several packages can share a module; the one of its name brings the others.
        namesakes = [name for name in found if _normalized(name) == _normalized(module)]
        suspects.update(namesakes or found)
    named = sorted(suspects) or sorted(differing)[:MOST_PACKAGES]
    return ", ".join(f"{name} {differing[name]}" for name in named)


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
