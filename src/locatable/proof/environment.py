"""The environment of a proof, built anew from a lock of the revision; what is recorded of the one before."""

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from ..errors import CannotTryError
from ..model import Stage
from ..results.coordinates import read_record
from ..results.locks import CONDA_LOCK, ENVIRONMENT_LOCKS, REQUIREMENTS, choose_lock
from .bubblewrap import python_folders, software_around
from .conda_lock import CURRENT, CondaLock
from .hashed_lock import HashedLock, servers_in
from .installer import Step, isolated_variables, programs_in, run_installer
from .sandbox import Sandbox, installer_isolation

# What results were made with: Python, packages, and under `variables` the settings that were set.
RECORD = "environment.json"


class EnvironmentLock(Protocol):
    """What an environment is built from: a lock of a revision, and how it is installed."""

    @property
    def name(self) -> str:
        """The lock, in the root of the project."""

    @property
    def source(self) -> str:
        """What is installed, and where it comes from, in words."""

    def steps(self, project: Path, folder: Path) -> Iterator[Step]:
        """Yield the commands that build the environment in a folder, from a checkout of the project.

        Raises:
            CannotTryError: what they need is not here.
        """

    def check(self, folder: Path) -> None:
        """See that what was installed is what the lock asks for.

        Raises:
            CannotTryError: it is not.
        """


def current_programs() -> Path:
    """Return the folder of programs of the environment that this process runs in."""
    return Path(sys.prefix) / "bin"


def find_lock(
    project: Path, stages: Iterable[Stage], wheels: Path | None = None, *, allow_build: bool = False
) -> EnvironmentLock:
    """Return the lock that the environment of a revision is built from, see `choose_lock`.

    Args:
        project: a checkout of the revision.
        stages: of the revision.
        wheels: a folder with all packages of requirements.lock; None to ask the package index for them.
        allow_build: whether packages may run what they hold while they are installed.

    Raises:
        CannotTryError: there is none.
    """
    present = [name for name in ENVIRONMENT_LOCKS if (project / name).is_file()]
    read = {path for stage in stages for path in stage.deps}
    declared = [name for name in present if name in read]
    name = choose_lock(present, declared)
    if name == CONDA_LOCK:
        return CondaLock(allow_build)
    if name == REQUIREMENTS:
        return HashedLock(recorded_python(project), wheels, allow_build, servers_in(project / REQUIREMENTS))
    raise CannotTryError(f"this revision has no {' and no '.join(ENVIRONMENT_LOCKS)}; {CURRENT}")


def build_environment(lock: EnvironmentLock, project: Path, folder: Path, sandbox: Sandbox) -> Path:
    """Build an environment from a revision's lock, and from nothing else.

    Args:
        lock: what it is built from.
        project: a checkout of the revision.
        folder: where to build it.
        sandbox: where what packages hold is run, if that is allowed.

    Returns:
        Its folder of programs.

    Raises:
        CannotTryError: the lock cannot be installed, or its Python is not here.
    """
    for step in lock.steps(project, folder):
        if step.runs_packages:
            _run_isolated(step, folder, sandbox)
        else:
            run_installer(step, folder)
    lock.check(folder)
    return programs_in(folder)


def _run_isolated(step: Step, folder: Path, sandbox: Sandbox) -> None:
    """Run an installer where what packages run finds no home and no cache of the user's."""
    home = folder.parent / "installer"
    home.mkdir()
    variables = isolated_variables(os.environ, folder, home)
    # The lock, the program, folders of packages, certificates.
    named = [Path(word) for word in (*step.command, *variables.values()) if word.startswith("/")]
    # A program such as conda needs the environment that it is in.
    for path in tuple(named):
        if path.is_file() and os.access(path, os.X_OK):
            for software in software_around(path.resolve().parent):
                named += [software, *python_folders(software / "bin", sandbox.hidden)]
    isolation = installer_isolation(sandbox, [path for path in named if path.exists()])
    run_installer(replace(step, command=[*isolation, *step.command]), folder, variables)


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
    """Return content of environment.json.

    Nothing where there is none, or another tool's file has that name.
    """
    file = project / RECORD
    return read_record(file.read_bytes() if file.is_file() else None)
