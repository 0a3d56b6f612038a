"""Environments from conda-lock.yml, which micromamba and mamba install, or conda by conda-lock."""

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import CannotTryError
from ..results.locks import CONDA_LOCK
from .conda_prefix import altered_file, conda_packages
from .installer import RUNS_CODE, Step, last_words

PROGRAMS = ("micromamba", "conda-lock", "mamba", "conda")
# Where the shell functions of micromamba, mamba and conda find the program, which need not be in PATH.
EXECUTABLES = ("MAMBA_EXE", "CONDA_EXE")
# What can be done where a lock cannot be installed.
CURRENT = "try with the packages installed here: --env current"


@dataclass(frozen=True)
class CondaLock:
    """conda-lock.yml of a revision; it locks Python, too.

    Attributes:
        allow_build: whether packages may run what they hold while they are installed.
    """

    allow_build: bool = False

    @property
    def name(self) -> str:
        """The lock, in the root of the project."""
        return CONDA_LOCK

    @property
    def source(self) -> str:
        """What is installed, and where it comes from, in words."""
        return f"packages of {CONDA_LOCK} from their channels{RUNS_CODE}"

    def steps(self, project: Path, folder: Path) -> Iterator[Step]:
        """Yield the command that builds the environment in a folder.

        Raises:
            CannotTryError: no program is here that could, or packages may not run anything.
        """
        if not self.allow_build:
            raise CannotTryError(
                f"packages of {CONDA_LOCK} can run scripts while they are installed: allow it by "
                f"`--allow-build`, or {CURRENT}"
            )
        yield install_step(folder, project / CONDA_LOCK, find_programs(os.environ))

    def check(self, folder: Path) -> None:
        """See that packages are there, and as they were released.

        Raises:
            CannotTryError: they are not.
        """
        if not conda_packages(folder):
            raise CannotTryError(f"{CONDA_LOCK} has no packages for this platform; {CURRENT}")
        altered = altered_file(folder)
        if altered:
            # conda links files from its cache into environments, as uv does.
            file, package = altered
            raise CannotTryError(
                f"{file} is not as {package} was released: remove {package} from the folder of packages "
                "that `conda info` or `micromamba info` names, then again"
            )


def find_programs(variables: Mapping[str, str]) -> dict[str, str]:
    """Return path by name of each program that is here and has to do with conda-lock.yml.

    Args:
        variables: the user's environment variables.
    """
    here = os.pathsep.join([str(Path(sys.executable).parent), variables.get("PATH", "")])
    found = {name: shutil.which(name, path=here) for name in PROGRAMS}
    for variable in EXECUTABLES:
        program = variables.get(variable, "")
        name = Path(program).name
        if name in PROGRAMS and not found[name]:
            found[name] = shutil.which(program)
    # An entry of PATH can be relative to the working folder, which is another one for an installer.
    return {name: os.path.abspath(path) for name, path in found.items() if path}


def install_step(folder: Path, lock: Path, programs: Mapping[str, str]) -> Step:
    """The command that makes an environment with what the lock has for this platform, development aside.

    Args:
        folder: where.
        lock: the file.
        programs: path by name of what there is, see `find_programs`.

    Raises:
        CannotTryError: there is nothing that reads the lock.
    """
    problem = f"{CONDA_LOCK} cannot be installed"
    if "micromamba" in programs:
        return Step(_create(programs["micromamba"], folder, lock), problem, last_words, runs_packages=True)
    conda = programs.get("mamba") or programs.get("conda")
    if "conda-lock" in programs and conda:
        command = [programs["conda-lock"], "install", "--log-level", "ERROR", "--no-dev"]
        command += ["--conda", conda, "--prefix", str(folder), str(lock)]
        return Step(command, problem, last_words, runs_packages=True)
    # Since its version 2, it reads the lock itself.
    if "mamba" in programs:
        return Step(_create(programs["mamba"], folder, lock), problem, last_words, runs_packages=True)
    raise CannotTryError(
        f"{CONDA_LOCK} needs micromamba, or mamba 2, or conda with conda-lock, and this machine has none "
        f"of these: install micromamba, or {CURRENT}"
    )


def _create(program: str, folder: Path, lock: Path) -> list[str]:
    return [program, "create", "--yes", "--quiet", "--prefix", str(folder), "--file", str(lock)]
