"""Environments from requirements.lock: a list of packages with hashes, which uv and pip install."""

import base64
import hashlib
import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from ..errors import CannotTryError
from ..results.locks import REQUIREMENTS
from .installed import distributions
from .installer import RUNS_CODE, Step, programs_in

# DVC needs this package, which is published as source alone. Who installed DVC has built this file before.
KNOWN_SOURCES = {
    "antlr4-python3-runtime": "sha256:f224469b4168294902bb1efa80a8bf7855f24c99aef99cbefc1bcd3cce77881b"
}
# A package of a lock with its hashes, which lines that end in a backslash join.
PACKAGE = re.compile(r"^([A-Za-z0-9][\w.-]*)[^\n\\]*((?:\\\n[^\n\\]*)*)", re.MULTILINE)

# What a lock holds beside packages: comments, line breaks within a line, other lists, addresses.
NO_PART = re.compile(r"(?:^|\s)#.*|\\\n", re.MULTILINE)
# In which pip would see other letters.
OTHER_ENCODING = re.compile(r"^#.*coding[:=]\s*(?!utf-?8\b)", re.MULTILINE | re.IGNORECASE)
INCLUDED = re.compile(r"^\s*(?:-r|-c|--requirements?|--constraints?)[\s=]*(\S+)", re.MULTILINE)
ADDRESS = re.compile(r"\bhttps?://[^\s'\"]+", re.IGNORECASE)


@dataclass(frozen=True)
class HashedLock:
    """requirements.lock of a revision.

    Attributes:
        version: of Python, None for the one that runs.
        wheels: a folder with all packages of the lock, None to ask the package index for them.
        allow_build: whether packages without a wheel are built, which runs what they hold.
        servers: that it names itself, see `servers_in`.
    """

    version: str | None = None
    wheels: Path | None = None
    allow_build: bool = False
    servers: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The lock, in the root of the project."""
        return REQUIREMENTS

    @property
    def source(self) -> str:
        """What is installed, and where it comes from, in words."""
        kind = "packages" if self.allow_build else "wheels"
        means = RUNS_CODE if self.allow_build else ""
        places = ", ".join([str(self.wheels or "the package index"), *self.servers])
        return f"{kind} of {REQUIREMENTS} from {places}{means}"

    def steps(self, project: Path, folder: Path) -> Iterator[Step]:
        """Yield the commands that build the environment in a folder, by uv where it is here."""
        servers_in(project / REQUIREMENTS)
        here = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        uv = shutil.which("uv", path=here)
        yield make_step(folder, self.version, uv)
        # Before anything is installed: a package can bring a program of this name.
        python = (programs_in(folder) / "python").resolve()
        lock = project / REQUIREMENTS
        step = fill_step(folder, lock, uv, self.wheels)
        if self.allow_build:
            yield replace(step, runs_packages=True)
        else:
            command = [*step.command, *wheels_alone(lock.read_text())]
            yield Step(command, f"{step.problem} from wheels alone (`--allow-build` lets packages run code)")
        if uv:
            yield compile_step(folder, python)

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


def servers_in(lock: Path) -> tuple[str, ...]:
    """Return the servers that a lock names, itself or in a list that it includes.

    Raises:
        CannotTryError: uv and pip would put a variable of the environment into it, and could send that to
            any of them; or it includes a list that cannot be looked at.
    """
    servers: dict[str, None] = {}
    seen: set[Path] = set()
    waiting = [lock]
    while waiting:
        file = waiting.pop()
        if file in seen:
            continue
        seen.add(file)
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, ValueError):
            raise CannotTryError(f"{lock.name} includes {file.name}, which cannot be read here") from None
        if "${" in text or OTHER_ENCODING.search(text):
            raise CannotTryError(
                f"{file.name} asks for variables of your environment (${{...}}), and they could be sent to "
                "anyone: say in your own settings where packages come from, and take them out"
            )
        text = NO_PART.sub("", text)
        for address in map(urlsplit, ADDRESS.findall(text)):
            servers[f"{address.scheme}://{address.netloc.rpartition('@')[2]}"] = None
        waiting += [Path(os.path.normpath(file.parent / name)) for name in INCLUDED.findall(text)]
    return tuple(servers)


def make_step(folder: Path, version: str | None, uv: str | None) -> Step:
    """Return the command that makes a virtual environment without packages.

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


def fill_step(folder: Path, lock: Path, uv: str | None, wheels: Path | None) -> Step:
    """Return the command that installs a lock, and nothing else, into a virtual environment.

    Args:
        folder: where that is.
        lock: the file.
        uv: path of uv, None where pip has to do.
        wheels: a folder with all packages of the lock, None to ask the package index for them.
    """
    problem = f"{REQUIREMENTS} cannot be installed"
    source = ["--no-index", "--find-links", str(wheels)] if wheels else []
    if uv:
        command = [
            uv,
            "pip",
            "sync",
            "--quiet",
            "--python",
            str(folder),
            "--require-hashes",
            *source,
            str(lock),
        ]
        return Step(command, problem)
    command = [str(programs_in(folder) / "python"), "-m", "pip", "install", "--quiet", "--require-hashes"]
    command += ["--disable-pip-version-check", *source, "--requirement", str(lock)]
    return Step(command, problem)


def wheels_alone(lock: str) -> list[str]:
    """Return the options by which uv and pip build no package of a lock, since that would run what it holds.

    Args:
        lock: its text.
    """
    options = []
    for name, hashes in PACKAGE.findall(lock):
        known = KNOWN_SOURCES.get(name)
        if known is None or re.findall(r"--hash=(\S+)", hashes) != [known]:
            options += ["--only-binary", name]
    return options


def compile_step(folder: Path, python: Path) -> Step:
    """Return the command that compiles what is installed, without running any of it.

    Python runs code in `.pth` files at its start, unless it is told to leave out `site`.

    Args:
        folder: the virtual environment.
        python: the program that the environment was made from.
    """
    command = [str(python), "-I", "-S", "-m", "compileall", "-q", "-j", "0", str(folder / "lib")]
    return Step(command, "the packages cannot be compiled")
