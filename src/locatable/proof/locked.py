"""The environment of a proof: built anew from the lock of a revision.

Used by `locatable reproduce`.
"""

import base64
import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from ..errors import CannotTryError

LOCK = "requirements.lock"


def environment(project: Path, folder: Path) -> Path:
    """Build a virtual environment from a revision's lock.

    Args:
        project: a checkout of the revision.
        folder: where to build it.

    Returns:
        Its folder of programs.

    Raises:
        CannotTryError: there is no lock, or it cannot be installed, or its Python is not here.
    """
    if not (project / LOCK).is_file():
        raise CannotTryError(
            f"this revision has no {LOCK}; try with the packages installed here: --env current"
        )
    programs, python = folder / ("Scripts" if os.name == "nt" else "bin"), _version(project)
    here = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    options = ["--quiet", "--require-hashes"]
    if uv := shutil.which("uv", path=here):
        options += ["--compile-bytecode"]
        make = [uv, "venv", "--quiet", "--no-python-downloads", "--python", python or sys.executable, folder]
        install = [uv, "pip", "sync", *options, LOCK]
    else:
        make = [f"python{python}" if python else sys.executable, "-m", "venv", folder]
        options += ["--disable-pip-version-check", "--requirement"]
        install = [programs / "python", "-m", "pip", "install", *options, LOCK]
    _run(make, project, folder, f"the result was made with Python {python}" if python else "no environment")
    _run(install, project, folder, f"{LOCK} cannot be installed")
    _untouched(folder)
    return programs


def _version(project: Path) -> str:
    """The recorded version of Python, if it is not the one that runs."""
    try:
        recorded = json.loads((project / "environment.json").read_text())["python"]
    except (FileNotFoundError, KeyError, ValueError):
        return ""
    return "" if recorded == f"{sys.version_info.major}.{sys.version_info.minor}" else recorded


def _run(command: list[str | Path], project: Path, folder: Path, problem: str) -> None:
    dropped = ("PYTHON", "VIRTUAL_ENV", "CONDA_PREFIX")
    env = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    env["VIRTUAL_ENV"] = str(folder)
    try:
        process = subprocess.Popen(
            command, cwd=project, env=env, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
    except FileNotFoundError:
        raise CannotTryError(f"{problem}: there is no {command[0]} here") from None
    try:
        _, said = process.communicate()
    finally:
        # uv's byte-code workers, too, when someone stops the proof.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    if process.returncode:
        said = " ".join(re.sub("[×│╰─▶]", " ", said).split())
        raise CannotTryError(f"{problem}: {said[:400]}")


def _untouched(folder: Path) -> None:
    # uv links files from its cache into environments: one edited in place there is edited in every later one.
    site = [str(path) for path in folder.glob("lib/python*/site-packages")]
    for package in metadata.distributions(path=site):
        for file in package.files or []:
            if file.hash and file.suffix == ".py":
                content = Path(package.locate_file(file)).read_bytes()
                digest = base64.urlsafe_b64encode(hashlib.new(file.hash.mode, content).digest()).decode()
                if digest.rstrip("=") != file.hash.value:
                    name = package.name
                    raise CannotTryError(
                        f"{file} is not as {name} was released: `uv cache clean {name}`, then again"
                    )
