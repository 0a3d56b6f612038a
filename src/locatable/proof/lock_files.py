"""Builds environments from the locks that a revision can have, one class for each kind of lock."""

import base64
import contextlib
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from secrets import token_hex
from shlex import join
from typing import Any, ClassVar
from urllib.parse import urlsplit

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from ..errors import CannotTryError
from ..model import Stage
from ..repository.parsing import parse_toml
from ..results.coordinates import (
    CONDA_LOCK,
    ENVIRONMENT_LOCKS,
    PIXI_LOCK,
    PYLOCK,
    REQUIREMENTS,
    UV_LOCK,
)
from ..results.rebuild import choose_lock
from .environment import (
    Step,
    conda_records,
    distributions,
    first_words,
    last_words,
    recorded_python,
    run_installer,
    run_isolated,
)
from .sandbox import Sandbox

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
ADDRESS = re.compile(r"\b(?:https?|ssh)://[^\s'\"]+", re.IGNORECASE)
# In pylock.toml, a package begins with this line.
PACKAGES = re.compile(r"^(?=\[\[packages\]\])", re.MULTILINE)
# The first that reads and writes pylock.toml.
OLDEST_UV = Version("0.6.15")
# A version of Python that nothing but a version can be meant by: uv also takes paths of programs.
PYTHON_VERSION = re.compile(r"\d+\.\d+(\.\d+)?")
PYTHON_RANGE = re.compile(r"[\d\s.,*<>=!~]+")
# What can be the name of a file, and is no path.
FILE_NAME = re.compile(r"\w[\w.+!-]*", re.ASCII)
# Runs a command of a package as the function that its entry, `module:function`, names.
START = (
    "import sys; from importlib.metadata import EntryPoint; del sys.argv[0], sys.path[0]; "
    "sys.exit(EntryPoint('', {function!r}, '').load()())"
)
# The programs that install conda-lock.yml, alone or together.
CONDA_PROGRAMS = ("micromamba", "conda-lock", "mamba", "conda")
# Where the shell functions of micromamba, mamba and conda find the program, which need not be in PATH.
CONDA_EXECUTABLES = ("MAMBA_EXE", "CONDA_EXE")
# What can be done where a lock cannot be installed.
CURRENT = "try with the packages installed here: --env current"
# Said of packages that are built, or have scripts: installers need the network meanwhile.
RUNS_CODE = ", which may run code with the network"


def find_lock(
    project: Path, stages: Sequence[Stage], wheels: Path | None = None, *, allow_build: bool = False
) -> "EnvironmentLock":
    """Return the lock that the environment of a revision is built from, see `choose_lock`.

    Args:
        project: a checkout of the revision.
        stages: of the revision.
        wheels: a folder with all packages of requirements.lock; None to ask the package index for them.
        allow_build: whether packages may run what they hold while they are installed.

    Raises:
        CannotTryError: there is none.
    """
    present = present_locks(project)
    declared = [lock for lock in present if any(lock in stage.deps for stage in stages)]
    name = choose_lock(present, declared)
    if name == REQUIREMENTS:
        servers = servers_in(project / REQUIREMENTS)
        return HashedLock(recorded_python(project), wheels, allow_build, servers)
    if name in (UV_LOCK, PYLOCK):
        kind = UvLock if name == UV_LOCK else PyLock
        text = present[name].read_text(encoding="utf-8", errors="replace")
        return kind(python_for(project, text), None, allow_build, _servers(text))
    if name == CONDA_LOCK:
        return CondaLock(allow_build)
    if name == PIXI_LOCK:
        return PixiLock(allow_build)
    *names, last = ENVIRONMENT_LOCKS
    raise CannotTryError(f"the root of this project has no {', '.join(names)} or {last}; {CURRENT}")


def present_locks(project: Path) -> dict[str, Path]:
    """Return the locks of a project by name, the first to be taken first.

    They are in its root; that of uv can be around it, where the project is a part of a workspace.
    """
    present = {}
    for name in ENVIRONMENT_LOCKS:
        if (project / name).is_file():
            present[name] = project / name
    if present:
        return present
    folder = project
    # No lock around the repository is its own.
    while not (folder / ".git").exists() and folder != folder.parent:
        folder = folder.parent
        if (folder / UV_LOCK).is_file():
            return {UV_LOCK: folder / UV_LOCK}
    return {}


def build_environment(lock: "EnvironmentLock", project: Path, folder: Path, sandbox: Sandbox) -> Path:
    """Build an environment from a revision's lock, and from nothing else; returns its folder of programs.

    Raises:
        CannotTryError: the lock cannot be installed, or its Python is not here.
    """
    for step in lock.steps(project, folder):
        if step.runs_packages:
            run_isolated(step, folder, sandbox)
        else:
            run_installer(step, folder)
    lock.check(folder)
    return folder / "bin"


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
    def places(self) -> list[str]:
        """Where the packages come from, in words."""
        return [str(self.wheels or "the package index"), *self.servers]

    @property
    def source(self) -> str:
        """The packages to install and where they come from, in words."""
        places = ", ".join(self.places)
        if self.allow_build:
            return f"packages of {self.name} from {places}{RUNS_CODE}"
        return f"wheels of {self.name} from {places}"

    def steps(self, project: Path, folder: Path) -> Iterator[Step]:
        """Yield the commands that build the environment in a folder."""
        lock = project / REQUIREMENTS
        servers_in(lock)
        uv = shutil.which("uv", path=_search_path(os.environ))
        yield make_step(folder, self.version, uv)
        compiling = _compile_step(folder)
        command = fill_command(folder, lock, uv, self.wheels)
        yield self._fill_step(command, wheels_alone(lock.read_text()))
        if uv:
            yield compiling

    def _fill_step(self, command: list[str], only_wheels: list[str]) -> Step:
        problem = f"{self.name} cannot be installed"
        if self.allow_build:
            return Step(command, problem, runs_packages=True)
        problem += " from wheels alone (`--allow-build` lets packages run code)"
        return Step([*command, *only_wheels], problem)

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
                digest_bytes = hashlib.new(file.hash.mode, content).digest()
                digest = base64.urlsafe_b64encode(digest_bytes).decode()
                if digest.rstrip("=") != file.hash.value:
                    remedy = f"`uv cache clean {package.name}`, then again"
                    raise CannotTryError(f"{file} is not as {package.name} was released: {remedy}")


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
        servers.update(dict.fromkeys(_servers(text)))
        waiting += [Path(os.path.normpath(file.parent / name)) for name in INCLUDED.findall(text)]
    return tuple(servers)


def _servers(text: str) -> tuple[str, ...]:
    """Return the servers that a text names, without logins: that it holds one is said."""
    has_login: dict[str, bool] = {}
    for address in ADDRESS.findall(text):
        parts = urlsplit(address)
        login, _, host = parts.netloc.rpartition("@")
        server = f"{parts.scheme}://{host}"
        # That of ssh is a user name alone.
        is_secret = bool(login) and parts.scheme != "ssh"
        has_login[server] = is_secret or has_login.get(server, False)
    servers = []
    for server, is_secret in has_login.items():
        servers.append(f"{server} (its login is in the lock)" if is_secret else server)
    return tuple(servers)


def _compile_step(folder: Path) -> Step:
    """Return the command that compiles what uv will have installed; pip does it by itself.

    Packages can have files that are not Python, such as templates, or that are for another version of it:
    pip passes over them, too.
    """
    # Looked up before anything is installed: a package can bring a program of this name.
    python = (folder / "bin/python").resolve()
    # Without `site`: `.pth` files run code at the start of Python.
    command = [str(python), "-I", "-S", "-m", "compileall", "-qq", "-j", "0", str(folder / "lib")]
    return Step(command, "the packages cannot be compiled", optional=True)


def make_step(folder: Path, version: str | None, uv: str | None) -> Step:
    """Return the command that makes a virtual environment without packages, also where there is no uv."""
    problem = "no environment"
    python = sys.executable
    if version:
        problem = f"the result was made with Python {version}"
        python = version if uv else f"python{version}"
    if uv:
        command = [uv, "venv", "--quiet", "--no-python-downloads", "--python", python, str(folder)]
    else:
        command = [python, "-m", "venv", str(folder)]
    return Step(command, problem)


def fill_command(folder: Path, lock: Path, uv: str | None, wheels: Path | None) -> list[str]:
    """Return the command that installs a lock, and nothing else, into a folder; by pip if there is no uv."""
    options = ["--quiet", "--require-hashes"]
    if wheels:
        options += ["--no-index", "--find-links", str(wheels)]
    if uv:
        return [uv, "pip", "sync", *options, "--python", str(folder), str(lock)]
    pip = [str(folder / "bin/python"), "-m", "pip", "install"]
    return [*pip, *options, "--disable-pip-version-check", "--requirement", str(lock)]


def wheels_alone(lock: str) -> list[str]:
    """Return options by which uv and pip build no package of a lock, since that would run what it holds."""
    options = []
    for name, hashes in PACKAGE.findall(lock):
        if re.findall(r"--hash=(\S+)", hashes) != [KNOWN_SOURCES.get(name)]:
            options += ["--only-binary", name]
    return options


@dataclass(frozen=True)
class PyLock(HashedLock):
    """pylock.toml: files of packages with their addresses and hashes, which uv installs.

    Packages of the repository itself are not built, but found by stages where they are declared.
    """

    name: ClassVar[str] = PYLOCK

    @property
    def places(self) -> list[str]:
        """Where the packages come from, in words: the lock has all addresses."""
        return list(self.servers) or ["the revision itself"]

    def steps(self, project: Path, folder: Path) -> Iterator[Step]:
        """Yield the commands that build the environment in a folder, from a checkout of the project.

        Raises:
            CannotTryError: there is no uv, or the lock is none.
        """
        uv = find_uv(self.name)
        yield self._make_step(folder, uv)
        text = (project / PYLOCK).read_text(encoding="utf-8", errors="replace")
        yield from self._fill_steps(uv, text, project, folder)

    def _make_step(self, folder: Path, uv: str) -> Step:
        step = make_step(folder, self.version, uv)
        return replace(step, problem=f"{self.name} is for Python {self.version}") if self.version else step

    def _fill_steps(self, uv: str, text: str, project: Path, folder: Path) -> Iterator[Step]:
        """Yield the commands that install the packages of a pylock.toml, of which this is the text."""
        try:
            listed, local = _split_packages(text, project)
            only_wheels = _only_wheels(listed)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise CannotTryError(f"{self.name} cannot be read: {error}; {CURRENT}") from None
        for name, place in local.items():
            if not place.is_dir() or not place.resolve().is_relative_to(folder.parent):
                raise CannotTryError(
                    f"{self.name} has {name} in {os.path.relpath(place, project)}, "
                    f"and this revision has no such folder; {CURRENT}"
                )
        compiling = _compile_step(folder)
        lock = _new_pylock(project)
        lock.write_text(listed, encoding="utf-8")
        # Not `uv sync`: it builds the project, and takes more from its settings than the lock.
        command = [uv, "pip", "sync", "--quiet", "--allow-empty-requirements"]
        command += ["--python", str(folder), "--require-hashes", str(lock)]
        yield self._fill_step(command, only_wheels)
        lock.unlink()
        yield compiling
        link_packages(local, project, folder)


def _new_pylock(project: Path) -> Path:
    """Return where to write a pylock.toml with paths relative to the project; no file has this name."""
    return project / f"pylock.{token_hex(8)}.toml"


@dataclass(frozen=True)
class UvLock(PyLock):
    """uv.lock: of this, what `uv sync` installs, which is the project's default groups and no extra.

    Stages ran with these, in `.venv` or by `uv run`; in the root of a workspace with those of all its
    members, by `uv run --package`. uv says which they are: it exports them as pylock.toml.
    """

    name: ClassVar[str] = UV_LOCK

    def steps(self, project: Path, folder: Path) -> Iterator[Step]:
        """Yield the commands that build the environment in a folder, from a checkout of the project.

        Raises:
            CannotTryError: there is no uv, or the lock is none.
        """
        uv = find_uv(self.name)
        yield self._make_step(folder, uv)
        exported = _new_pylock(project)
        command = [uv, "export", "--quiet", "--project", str(project)]
        # A project can have a Python of its own and name a cache: none of it is run, or written to.
        command += ["--frozen", "--offline", "--no-cache", "--python", str(folder)]
        command += ["--format", PYLOCK, "--output-file", str(exported)]
        if _table(_settings(project / "pyproject.toml"), "tool", "uv", "workspace"):
            command.append("--all-packages")
        yield Step(command, f"{self.name} cannot be used", _words_of_uv)
        text = exported.read_text(encoding="utf-8")
        exported.unlink()
        yield from self._fill_steps(uv, text, project, folder)


def find_uv(lock: str) -> str:
    """Return the uv that is here.

    Args:
        lock: what it is for.

    Raises:
        CannotTryError: there is none, or it is too old.
    """
    uv = shutil.which("uv", path=_search_path(os.environ))
    if not uv:
        raise CannotTryError(f"{lock} needs uv, and this machine has none: install it, or {CURRENT}")
    done = subprocess.run([uv, "--version"], capture_output=True, text=True, check=False)
    found = PYTHON_VERSION.search(done.stdout)
    if found and Version(found[0]) < OLDEST_UV:
        raise CannotTryError(f"{lock} needs uv {OLDEST_UV} or later, and {uv} is {found[0]}: update it")
    return os.path.abspath(uv)


def _words_of_uv(stderr: str) -> str:
    """Return why uv cannot read a lock, without what it would do."""
    return first_words(stderr.partition("\nhint:")[0]).removeprefix("error: ")


def python_for(project: Path, lock: str) -> str | None:
    """Return the Python that results were made with, as far as the revision says; None for the running one.

    Args:
        project: a checkout of the revision.
        lock: text of a lock that can say `requires-python`.
    """
    recorded = recorded_python(project)
    if recorded:
        return recorded
    pin = project / ".python-version"
    if pin.is_file():
        pinned = pin.read_text(errors="replace").strip()
        if PYTHON_VERSION.fullmatch(pinned):
            return pinned
    found = re.search(r'^requires-python = "([^"]*)"', lock, re.MULTILINE)
    if found and PYTHON_RANGE.fullmatch(found[1]):
        with contextlib.suppress(InvalidSpecifier):
            if platform.python_version() not in SpecifierSet(found[1]):
                return found[1]
    return None


def _split_packages(text: str, project: Path) -> tuple[str, dict[str, Path]]:
    """Return the text of a pylock.toml without packages that are folders, and these folders by name.

    Args:
        text: all of it.
        project: where its relative paths begin.
    """
    parse_toml(text)
    others = []
    local: dict[str, Path] = {}
    # A library that writes TOML would take seconds for a long lock.
    head, *sections = PACKAGES.split(text)
    for section in sections:
        (package,) = parse_toml(section)["packages"]
        if "directory" in package:
            local[canonicalize_name(package["name"])] = project / package["directory"]["path"]
        else:
            others.append(section)
    # uv takes no file without packages.
    start = "" if others or not local else "packages = []\n"
    return "".join([start, head, *others]), local


def _only_wheels(lock: str) -> list[str]:
    """Return options by which uv builds no package of a pylock.toml, see `wheels_alone`."""
    options = []
    for package in parse_toml(lock).get("packages", ()):
        hashes = package.get("sdist", {}).get("hashes", {})
        if f"sha256:{hashes.get('sha256')}" != KNOWN_SOURCES.get(package["name"]):
            options += ["--only-binary", package["name"]]
    return options


def link_packages(packages: Mapping[str, Path], project: Path, folder: Path) -> None:
    """Have stages import packages from the files that they declare, and run their commands.

    It is what an editable installation does, without a build of theirs, and without showing a stage more.

    Args:
        packages: folder by name of each, in the checkout.
        project: the DVC root there.
        folder: the environment.
    """
    (site_packages,) = folder.glob("lib/python*/site-packages")
    lines = []
    for name, place in packages.items():
        settings = _settings(place / "pyproject.toml")
        module_root = _table(settings, "tool", "uv", "build-backend").get("module-root", "src")
        for source in (place / str(module_root), place):
            path = os.path.relpath(source, project)
            lines.append(f"import os, sys; sys.path.append(os.path.join(os.environ['DVC_ROOT'], {path!r}))\n")
        _describe_package(name, settings, site_packages)
        for command, function in _table(settings, "project", "scripts").items():
            script = folder / "bin" / command
            # Nothing that is there, such as Python, is overwritten.
            if not FILE_NAME.fullmatch(command) or os.path.lexists(script):
                continue
            code = START.format(function=str(function))
            start = join(["exec", str(folder / "bin/python"), "-c", code])
            # The first line of a script cannot name a long path.
            script.write_text(f'#!/bin/sh\n{start} "$0" "$@"\n')
            script.chmod(0o755)
    # Python runs such lines at its start: only then is the folder of the stage known.
    (site_packages / "of_this_repository.pth").write_text("".join(lines))


def _describe_package(name: str, settings: dict[str, Any], site_packages: Path) -> None:
    """Write what importlib.metadata reads; nothing where only a build could know the version."""
    project = _table(settings, "project")
    version = str(project.get("version", ""))
    if not FILE_NAME.fullmatch(version):
        return
    module = name.replace("-", "_")
    place = site_packages / f"{module}-{version}.dist-info"
    place.mkdir(exist_ok=True)
    (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    groups = {"console_scripts": _table(project, "scripts"), **_table(project, "entry-points")}
    lines = []
    for group, entries in groups.items():
        lines.append(f"[{group}]")
        for entry, target in entries.items():
            lines.append(f"{entry} = {target}")
    (place / "entry_points.txt").write_text("\n".join(lines))


def _settings(pyproject: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        return parse_toml(pyproject.read_text(encoding="utf-8"))
    return {}


def _table(settings: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return a table of TOML, empty where there is none."""
    for name in names:
        found = settings.get(name)
        settings = found if isinstance(found, dict) else {}
    return settings


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
        return f"packages of {self.name} from their channels{RUNS_CODE}"

    def steps(self, project: Path, folder: Path) -> Iterator[Step]:
        """Yield the command that builds the environment in a folder.

        Raises:
            CannotTryError: no program is here that could, or packages may not run anything.
        """
        if not self.allow_build:
            raise CannotTryError(
                f"packages of {self.name} can run scripts while they are installed: allow it by "
                f"`--allow-build`, or {CURRENT}"
            )
        command = self._command(project, folder)
        yield Step(command, f"{self.name} cannot be installed", last_words, runs_packages=True)

    def _command(self, project: Path, folder: Path) -> list[str]:
        """Return the command that builds the environment."""
        return conda_command(folder, project / CONDA_LOCK, find_programs(os.environ))

    def check(self, folder: Path) -> None:
        """See that packages are there, and as they were released.

        Raises:
            CannotTryError: they are not.
        """
        records = list(conda_records(folder))
        if not records:
            raise CannotTryError(f"{self.name} has no packages for this platform; {CURRENT}")
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


@dataclass(frozen=True)
class PixiLock(CondaLock):
    """pixi.lock: of this, the environment `default`, which pixi installs."""

    name: ClassVar[str] = PIXI_LOCK

    def steps(self, project: Path, folder: Path) -> Iterator[Step]:
        """Yield the command that builds the environment."""
        yield from super().steps(project, folder)
        # pixi makes environments in the project, and their files name that place.
        folder.symlink_to(project / ".pixi/envs/default")

    def _command(self, project: Path, folder: Path) -> list[str]:
        pixi = shutil.which("pixi", path=_search_path(os.environ))
        if not pixi:
            raise CannotTryError(
                f"{self.name} needs pixi, and this machine has none: install it, or {CURRENT}"
            )
        options = ["--frozen", "--quiet", "--environment", "default", "--manifest-path", str(project)]
        return [os.path.abspath(pixi), "install", *options]


EnvironmentLock = HashedLock | CondaLock


def find_programs(variables: Mapping[str, str]) -> dict[str, str]:
    """Return path by name of each program that is here and has to do with conda-lock.yml."""
    named = {}
    for variable in CONDA_EXECUTABLES:
        program = variables.get(variable, "")
        named[Path(program).name] = program
    programs = {}
    for name in CONDA_PROGRAMS:
        path = shutil.which(name, path=_search_path(variables)) or shutil.which(named.get(name, ""))
        if path:
            # An entry of PATH can be relative to the working folder, which is another one for an installer.
            programs[name] = os.path.abspath(path)
    return programs


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
