"""Environments from the locks that a revision can have, one class for each kind of lock."""

import base64
import hashlib
import os
import re
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

from ..errors import CannotTryError
from ..model import Stage
from ..results.rebuild import CONDA_LOCK, ENVIRONMENT_LOCKS, REQUIREMENTS, choose_lock
from .environment import (
    EnvironmentLock,
    Step,
    conda_records,
    distributions,
    last_words,
    recorded_python,
)

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
# The programs that install conda-lock.yml, alone or together.
CONDA_PROGRAMS = ("micromamba", "conda-lock", "mamba", "conda")
# Where the shell functions of micromamba, mamba and conda find the program, which need not be in PATH.
CONDA_EXECUTABLES = ("MAMBA_EXE", "CONDA_EXE")
# What can be done where a lock cannot be installed.
CURRENT = "try with the packages installed here: --env current"
# Said of packages that are built, or have scripts: installers need the network meanwhile.
RUNS_CODE = ", which may run code with the network"


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
    name = choose_lock(present, [name for name in present if name in read])
    if name == REQUIREMENTS:
        servers = servers_in(project / REQUIREMENTS)
        return HashedLock(recorded_python(project), wheels, allow_build, servers)
    if name == CONDA_LOCK:
        return CondaLock(allow_build)
    raise CannotTryError(f"this revision has no {' and no '.join(ENVIRONMENT_LOCKS)}; {CURRENT}")


@dataclass(frozen=True)
class HashedLock:
    """requirements.lock: a list of packages with hashes, which uv installs, or pip where uv is not here.

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
    name: ClassVar[str] = REQUIREMENTS

    @property
    def source(self) -> str:
        """The packages to install and where they come from, in words."""
        places = ", ".join([str(self.wheels or "the package index"), *self.servers])
        if self.allow_build:
            return f"packages of {REQUIREMENTS} from {places}{RUNS_CODE}"
        return f"wheels of {REQUIREMENTS} from {places}"

    def steps(self, project: Path, folder: Path) -> Iterator[Step]:
        """Yield the commands that build the environment in a folder."""
        servers_in(project / REQUIREMENTS)
        uv = shutil.which("uv", path=_search_path(os.environ))
        yield make_step(folder, self.version, uv)
        # Before anything is installed: a package can bring a program of this name.
        python = (folder / "bin/python").resolve()
        lock = project / REQUIREMENTS
        command = fill_command(folder, lock, uv, self.wheels)
        problem = f"{REQUIREMENTS} cannot be installed"
        if self.allow_build:
            yield Step(command, problem, runs_packages=True)
        else:
            command += wheels_alone(lock.read_text())
            yield Step(command, f"{problem} from wheels alone (`--allow-build` lets packages run code)")
        if uv:
            # pip does it by itself. Without `site`: `.pth` files run code at the start of Python.
            compileall = ["-I", "-S", "-m", "compileall", "-q", "-j", "0", str(folder / "lib")]
            yield Step([str(python), *compileall], "the packages cannot be compiled")

    def check(self, folder: Path) -> None:
        """See that packages are as they were released.

        Raises:
            CannotTryError: one is not.
        """
        # uv links files from its cache into environments: one that is edited is edited in all later ones.
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
    """Return the command that makes a virtual environment without packages, also where there is no uv."""
    problem = f"the result was made with Python {version}" if version else "no environment"
    if uv:
        python = version or sys.executable
        options = ("--quiet", "--no-python-downloads", "--python", python)
        return Step([uv, "venv", *options, str(folder)], problem)
    python = f"python{version}" if version else sys.executable
    return Step([python, "-m", "venv", str(folder)], problem)


def fill_command(folder: Path, lock: Path, uv: str | None, wheels: Path | None) -> list[str]:
    """Return the command that installs a lock, and nothing else, into a folder; by pip if there is no uv."""
    source = ["--no-index", "--find-links", str(wheels)] if wheels else []
    if uv:
        options = ["--quiet", "--python", str(folder), "--require-hashes"]
        return [uv, "pip", "sync", *options, *source, str(lock)]
    command = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "--require-hashes"]
    return [*command, "--disable-pip-version-check", *source, "--requirement", str(lock)]


def wheels_alone(lock: str) -> list[str]:
    """Return options by which uv and pip build no package of a lock, since that would run what it holds."""
    options = []
    for name, hashes in PACKAGE.findall(lock):
        known = KNOWN_SOURCES.get(name)
        if known is None or re.findall(r"--hash=(\S+)", hashes) != [known]:
            options += ["--only-binary", name]
    return options


@dataclass(frozen=True)
class CondaLock:
    """conda-lock.yml, which micromamba and mamba install, or conda by conda-lock; it locks Python, too.

    Attributes:
        allow_build: whether packages may run what they hold while they are installed.
    """

    allow_build: bool = False
    name: ClassVar[str] = CONDA_LOCK

    @property
    def source(self) -> str:
        """The packages to install and where they come from, in words."""
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
        command = conda_command(folder, project / CONDA_LOCK, find_programs(os.environ))
        yield Step(command, f"{CONDA_LOCK} cannot be installed", last_words, runs_packages=True)

    def check(self, folder: Path) -> None:
        """See that packages are there, and as they were released.

        Raises:
            CannotTryError: they are not.
        """
        records = list(conda_records(folder))
        if not records:
            raise CannotTryError(f"{CONDA_LOCK} has no packages for this platform; {CURRENT}")
        # Several packages can bring the same file; the last one that was installed has its way.
        released: dict[str, set[str]] = defaultdict(set)
        owners: dict[str, str] = {}
        for record in records:
            for entry in record.get("paths_data", {}).get("paths", ()):
                expected = entry.get("sha256_in_prefix") or entry.get("sha256")
                if expected and entry["_path"].endswith(".py"):
                    released[entry["_path"]].add(expected)
                    owners[entry["_path"]] = record["name"]
        for path, hashes in released.items():
            file = folder / path
            if file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() not in hashes:
                # conda links files from its cache into environments, as uv does.
                package = owners[path]
                raise CannotTryError(
                    f"{path} is not as {package} was released: remove {package} from the folder of packages "
                    "that `conda info` or `micromamba info` names, then again"
                )


def find_programs(variables: Mapping[str, str]) -> dict[str, str]:
    """Return path by name of each program that is here and has to do with conda-lock.yml."""
    here = _search_path(variables)
    found = {name: shutil.which(name, path=here) for name in CONDA_PROGRAMS}
    for variable in CONDA_EXECUTABLES:
        program = variables.get(variable, "")
        name = Path(program).name
        if name in CONDA_PROGRAMS and not found[name]:
            found[name] = shutil.which(program)
    # An entry of PATH can be relative to the working folder, which is another one for an installer.
    return {name: os.path.abspath(path) for name, path in found.items() if path}


def _search_path(variables: Mapping[str, str]) -> str:
    """Return the PATH with the programs of our own environment first, which need not be active."""
    return os.pathsep.join([str(Path(sys.executable).parent), variables.get("PATH", "")])


def conda_command(folder: Path, lock: Path, programs: Mapping[str, str]) -> list[str]:
    """Return the command that makes an environment of what the lock has for this platform.

    Raises:
        CannotTryError: there is nothing that reads the lock.
    """
    conda = programs.get("mamba") or programs.get("conda")
    # mamba reads the lock itself since its version 2; conda-lock helps an older one, too.
    if "micromamba" not in programs and "conda-lock" in programs and conda:
        options = ["--log-level", "ERROR", "--no-dev", "--conda", conda]
        return [programs["conda-lock"], "install", *options, "--prefix", str(folder), str(lock)]
    program = programs.get("micromamba") or programs.get("mamba")
    if program:
        return [program, "create", "--yes", "--quiet", "--prefix", str(folder), "--file", str(lock)]
    raise CannotTryError(
        f"{CONDA_LOCK} needs micromamba, or mamba 2, or conda with conda-lock, and this machine has none "
        f"of these: install micromamba, or {CURRENT}"
    )
