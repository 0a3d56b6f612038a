"""Environments from requirements.lock: a list of packages with hashes, which uv and pip install."""

import base64
import hashlib
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from ..errors import CannotTryError
from ..locks import REQUIREMENTS
from .installed import distributions
from .installer import Step, programs_in


@dataclass(frozen=True)
class HashedLock:
    """requirements.lock of a revision.

    Attributes:
        version: of Python, None for the one that runs.
        wheels: a folder with all packages of the lock, None to ask the package index for them.
    """

    version: str | None = None
    wheels: Path | None = None

    @property
    def name(self) -> str:
        """The lock, in the root of the project."""
        return REQUIREMENTS

    def steps(self, folder: Path) -> list[Step]:
        """The commands that build the environment in a folder, by uv where it is here."""
        here = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        uv = shutil.which("uv", path=here)
        return [make_step(folder, self.version, uv), fill_step(folder, uv, self.wheels)]

    def check(self, folder: Path) -> None:
        """See that packages are as they were released.

        uv links files from its cache into environments: one that is edited there is edited in all later ones.

        Raises:
            CannotTryError: one is not.
        """
        for package in distributions(folder):
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


def make_step(folder: Path, version: str | None, uv: str | None) -> Step:
    """The command that makes a virtual environment without packages.

    Args:
        folder: where.
        version: of Python, None for the one that runs.
        uv: path of uv, None where pip has to do.
    """
    problem = f"the result was made with Python {version}" if version else "no environment"
    if uv:
        python = version or sys.executable
        options = ("--quiet", "--no-python-downloads", "--python", python)
        return Step([uv, "venv", *options, str(folder)], problem)
    python = f"python{version}" if version else sys.executable
    return Step([python, "-m", "venv", str(folder)], problem)


def fill_step(folder: Path, uv: str | None, wheels: Path | None) -> Step:
    """The command that installs the lock, and nothing else, into a virtual environment.

    Args:
        folder: where that is.
        uv: path of uv, None where pip has to do.
        wheels: a folder with all packages of the lock, None to ask the package index for them.
    """
    problem = f"{REQUIREMENTS} cannot be installed"
    source = ["--no-index", "--find-links", str(wheels)] if wheels else []
    if uv:
        command = [uv, "pip", "sync", "--quiet", "--python", str(folder)]
        command += ["--require-hashes", "--compile-bytecode", *source, REQUIREMENTS]
        return Step(command, problem)
    command = [str(programs_in(folder) / "python"), "-m", "pip", "install", "--quiet", "--require-hashes"]
    command += ["--disable-pip-version-check", *source, "--requirement", REQUIREMENTS]
    return Step(command, problem)
