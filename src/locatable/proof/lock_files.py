"""Builds environments from the lock of a revision, with one class for each kind of lock.

`find_lock` returns the lock of a revision as an `EnvironmentLock`. `build_environment` runs its steps.
"""

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
    conda_reason,
    conda_records,
    distributions,
    pip_reason,
    recorded_python,
    run_installer,
    run_isolated,
)
from .sandbox import Sandbox

# DVC depends on this package, which is published only as source. Every user of DVC has already built this
# file, so building it runs no code that is new to the machine.
KNOWN_SOURCES = {
    "antlr4-python3-runtime": "sha256:f224469b4168294902bb1efa80a8bf7855f24c99aef99cbefc1bcd3cce77881b"
}
# A package in requirements.lock, with its hashes in continuation lines (after a backslash).
PACKAGE = re.compile(r"^([A-Za-z0-9][\w.-]*)[^\n\\]*((?:\\\n[^\n\\]*)*)", re.MULTILINE)
# Comments and continued line breaks, which are removed before a lock is searched.
COMMENT = re.compile(r"(?:^|\s)#.*|\\\n", re.MULTILINE)
# A comment that declares another encoding. pip would decode the lock differently from us.
OTHER_ENCODING = re.compile(r"^#.*coding[:=]\s*(?!utf-?8\b)", re.MULTILINE | re.IGNORECASE)
# Another file of requirements or constraints that a lock includes.
INCLUDED = re.compile(r"^\s*(?:-r|-c|--requirements?|--constraints?)[\s=]*(\S+)", re.MULTILINE)
# The URL of a server.
URL = re.compile(r"\b(?:https?|ssh)://[^\s'\"]+", re.IGNORECASE)
# The position where the section of a package begins in pylock.toml.
PACKAGE_START = re.compile(r"^(?=\[\[packages\]\])", re.MULTILINE)
# The first version of uv that reads and writes pylock.toml.
OLDEST_UV = Version("0.6.15")
# A version, and a range of versions. Only these are passed to uv as a Python, because it also accepts the
# path of a program to run.
VERSION = re.compile(r"\d+\.\d+(\.\d+)?")
PYTHON_RANGE = re.compile(r"[\d\s.,*<>=!~]+")
# The name of a file, but not a path.
FILE_NAME = re.compile(r"\w[\w.+!-]*", re.ASCII)
# Code that runs a command of a package: it calls the function of the entry point `module:function`.
CALL_ENTRY_POINT = (
    "import sys; from importlib.metadata import EntryPoint; del sys.argv[0], sys.path[0]; "
    "sys.exit(EntryPoint('', {function!r}, '').load()())"
)
# The programs that can install conda-lock.yml, alone or together.
CONDA_PROGRAMS = ("micromamba", "conda-lock", "mamba", "conda")
# Variables that hold the paths of micromamba, mamba and conda. These programs are often not in PATH, because
# they are called through shell functions.
CONDA_EXECUTABLES = ("MAMBA_EXE", "CONDA_EXE")
# The advice for a lock that cannot be installed.
ADVICE = "try with the packages installed here: --env current"
# A remark on packages that run code while they are installed. Installers need the network at that time.
RUNS_CODE = ", which may run code with the network"


def find_lock(
    project: Path, stages: Sequence[Stage], wheels: Path | None = None, *, allow_build: bool = False
) -> "EnvironmentLock":
    """Return the lock from which the environment of a revision is built, see `choose_lock`.

    Args:
        project: the DVC root of a checkout of the revision.
        stages: the stages of the revision.
        wheels: a folder with all packages of requirements.lock, or None to download them.
        allow_build: true if packages may run their own code while they are installed.

    Raises:
        CannotTryError: the revision has no lock, or its requirements.lock is refused by `servers_in`.
    """
    present = present_locks(project)
    declared = [lock for lock in present if any(lock in stage.deps for stage in stages)]
    name = choose_lock(present, declared)
    if name == REQUIREMENTS:
        servers = servers_in(project / REQUIREMENTS)
        return HashedLock(recorded_python(project), wheels, allow_build, servers)
    if name in (UV_LOCK, PYLOCK):
        text = present[name].read_text(encoding="utf-8", errors="replace")
        version = python_for(project, text)
        kind = UvLock if name == UV_LOCK else PyLock
        return kind(version, allow_build=allow_build, servers=_servers(text))
    if name == CONDA_LOCK:
        return CondaLock(allow_build)
    if name == PIXI_LOCK:
        return PixiLock(allow_build)
    *names, last = ENVIRONMENT_LOCKS
    raise CannotTryError(f"the root of this project has no {', '.join(names)} or {last}; {ADVICE}")


def present_locks(project: Path) -> dict[str, Path]:
    """Return the paths of a project's locks by name, in the order of preference.

    Locks are in the root of the project. If it has none, it can be a member of a uv workspace, with uv.lock
    in a folder around it.
    """
    present = {}
    for name in ENVIRONMENT_LOCKS:
        if (project / name).is_file():
            present[name] = project / name
    if present:
        return present
    folder = project
    # Do not leave the repository: a lock outside of it belongs to something else.
    while not (folder / ".git").exists() and folder != folder.parent:
        folder = folder.parent
        if (folder / UV_LOCK).is_file():
            return {UV_LOCK: folder / UV_LOCK}
    return {}


def build_environment(lock: "EnvironmentLock", project: Path, folder: Path, sandbox: Sandbox) -> Path:
    """Build an environment from a revision's lock alone, and return the folder with its programs.

    Raises:
        CannotTryError: the lock cannot be installed, or its Python is not on this machine.
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
    """requirements.lock, a list of packages with hashes. uv installs it, or pip if there is no uv.

    Attributes:
        version: the version of Python, None for the running one.
        wheels: a folder with all packages of the lock, or None to download them.
        allow_build: true if packages without a wheel may be built, which runs their code.
        servers: the servers that the lock itself names, see `servers_in`.
    """

    version: str | None = None
    wheels: Path | None = None
    allow_build: bool = False
    servers: tuple[str, ...] = ()
    name: ClassVar[str] = REQUIREMENTS

    @property
    def places(self) -> list[str]:
        """The places that the packages come from, in words."""
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
        # Refuse a dangerous lock here, too, since this is where it is passed to an installer.
        servers_in(lock)
        uv = shutil.which("uv", path=_installer_path(os.environ))
        yield venv_step(folder, self.version, uv)
        compiling = _compile_step(folder)
        command = install_command(folder, lock, uv, self.wheels)
        yield self._install_step(command, only_binary_options(lock.read_text()))
        # pip compiles packages itself.
        if uv:
            yield compiling

    def _install_step(self, command: list[str], only_binary: list[str]) -> Step:
        """Return the step that installs the packages, with these options unless packages may be built."""
        problem = f"{self.name} cannot be installed"
        if self.allow_build:
            return Step(command, problem, runs_packages=True)
        problem += " from wheels alone (`--allow-build` lets packages run code)"
        return Step([*command, *only_binary], problem)

    def check(self, folder: Path) -> None:
        """Check that the Python files of all packages are as they were released.

        Raises:
            CannotTryError: a file was changed.
        """
        # uv links files from its cache into environments. If such a file is edited in one environment, every
        # later environment contains the edited file.
        for package in distributions(folder):
            for file in package.files or []:
                if not file.hash or file.suffix != ".py":
                    continue
                content = Path(str(package.locate_file(file))).read_bytes()
                digest = hashlib.new(file.hash.mode, content).digest()
                # Hashes in the metadata of a package are encoded in this way.
                encoded = base64.urlsafe_b64encode(digest).decode().rstrip("=")
                if encoded != file.hash.value:
                    remedy = f"`uv cache clean {package.name}`, then again"
                    raise CannotTryError(f"{file} is not as {package.name} was released: {remedy}")


def servers_in(lock: Path) -> tuple[str, ...]:
    """Return the servers that a lock names, including the servers in files that it includes.

    Raises:
        CannotTryError: the lock includes a file that cannot be read, or refers to environment variables.
            uv and pip would insert their values, and could send them to any server that the lock names.
    """
    servers: dict[str, None] = {}
    seen: set[Path] = set()
    files = [lock]
    while files:
        file = files.pop()
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
        text = COMMENT.sub("", text)
        servers.update(dict.fromkeys(_servers(text)))
        for name in INCLUDED.findall(text):
            files.append(Path(os.path.normpath(file.parent / name)))
    return tuple(servers)


def _servers(text: str) -> tuple[str, ...]:
    """Return the servers that a text names. Logins are left out, but it is said that there is one."""
    has_login: dict[str, bool] = {}
    for url in URL.findall(text):
        parts = urlsplit(url)
        login, _, host = parts.netloc.rpartition("@")
        server = f"{parts.scheme}://{host}"
        # A URL of ssh contains only a user name, which is not secret.
        is_secret = bool(login) and parts.scheme != "ssh"
        has_login[server] = is_secret or has_login.get(server, False)
    servers = []
    for server, is_secret in has_login.items():
        servers.append(f"{server} (its login is in the lock)" if is_secret else server)
    return tuple(servers)


def _compile_step(folder: Path) -> Step:
    """Return the command that compiles packages to byte code after uv installed them, as pip does by itself.

    The command is optional, because packages can contain files ending in `.py` that do not compile, such as
    templates or files for another version of Python. pip ignores them, too.
    """
    # Look up Python before anything is installed, because a package can bring a program named `python`.
    python = (folder / "bin/python").resolve()
    # `-S` skips `site`, which would run code in the `.pth` files of the installed packages.
    command = [str(python), "-I", "-S", "-m", "compileall", "-qq", "-j", "0", str(folder / "lib")]
    return Step(command, "the packages cannot be compiled", optional=True)


def venv_step(folder: Path, version: str | None, uv: str | None) -> Step:
    """Return the command that creates a virtual environment without the packages of the lock.

    Args:
        folder: the folder of the environment.
        version: the version of Python, None for the running one.
        uv: the path of uv, None to use Python's own `venv`.
    """
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


def install_command(folder: Path, lock: Path, uv: str | None, wheels: Path | None) -> list[str]:
    """Return the command that installs the packages of requirements.lock, and no others.

    Args:
        folder: the folder of the environment.
        lock: the lock.
        uv: the path of uv, None to use the environment's pip.
        wheels: a folder with all packages of the lock, or None to download them.
    """
    options = ["--quiet", "--require-hashes"]
    if wheels:
        options += ["--no-index", "--find-links", str(wheels)]
    if uv:
        return [uv, "pip", "sync", *options, "--python", str(folder), str(lock)]
    pip = [str(folder / "bin/python"), "-m", "pip", "install"]
    return [*pip, *options, "--disable-pip-version-check", "--requirement", str(lock)]


def only_binary_options(lock: str) -> list[str]:
    """Return the options that keep uv and pip from building packages, which would run their code."""
    options = []
    for name, hashes in PACKAGE.findall(lock):
        if re.findall(r"--hash=(\S+)", hashes) != [KNOWN_SOURCES.get(name)]:
            options += ["--only-binary", name]
    return options


@dataclass(frozen=True)
class PyLock(HashedLock):
    """pylock.toml, a list of the files of packages with URLs and hashes, which uv installs.

    Packages that are folders of the repository are not built. Stages import them from the files that they
    declare, see `link_packages`.
    """

    name: ClassVar[str] = PYLOCK

    @property
    def places(self) -> list[str]:
        """The places that the packages come from, in words. The lock itself has all URLs."""
        return list(self.servers) or ["the revision itself"]

    def steps(self, project: Path, folder: Path) -> Iterator[Step]:
        """Yield the commands that build the environment in a folder, from a checkout of the project.

        Raises:
            CannotTryError: there is no suitable uv, or the lock cannot be read.
        """
        uv = find_uv(self.name)
        yield self._venv_step(folder, uv)
        text = (project / PYLOCK).read_text(encoding="utf-8", errors="replace")
        yield from self._install_steps(uv, text, project, folder)

    def _venv_step(self, folder: Path, uv: str) -> Step:
        """Return the step that creates the environment. If it fails, the lock is named as the reason."""
        step = venv_step(folder, self.version, uv)
        if self.version:
            return replace(step, problem=f"{self.name} is for Python {self.version}")
        return step

    def _install_steps(self, uv: str, text: str, project: Path, folder: Path) -> Iterator[Step]:
        """Yield the commands that install the packages of a pylock.toml, given its text."""
        try:
            listed, local = _split_packages(text, project)
            only_binary = _only_binary_of_pylock(listed)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise CannotTryError(f"{self.name} cannot be read: {error}; {ADVICE}") from None
        for name, place in local.items():
            if not place.is_dir() or not place.resolve().is_relative_to(folder.parent):
                raise CannotTryError(
                    f"{self.name} has {name} in {os.path.relpath(place, project)}, "
                    f"and this revision has no such folder; {ADVICE}"
                )
        compiling = _compile_step(folder)
        lock = _new_pylock(project)
        lock.write_text(listed, encoding="utf-8")
        # `uv sync` cannot be used: it builds the project, and reads more of its settings than the lock.
        command = [uv, "pip", "sync", "--quiet", "--allow-empty-requirements"]
        command += ["--python", str(folder), "--require-hashes", str(lock)]
        yield self._install_step(command, only_binary)
        lock.unlink()
        yield compiling
        link_packages(local, project, folder)


def _new_pylock(project: Path) -> Path:
    """Return an unused path for a pylock.toml. It is in the project, because the lock has relative paths."""
    return project / f"pylock.{token_hex(8)}.toml"


@dataclass(frozen=True)
class UvLock(PyLock):
    """uv.lock, from which the packages are installed that `uv sync` installs: default groups, and no extras.

    Stages ran with these packages, in `.venv` or by `uv run`. In the root of a workspace, they ran with the
    packages of all members, by `uv run --package`. uv itself decides which packages these are: it exports
    them as pylock.toml.
    """

    name: ClassVar[str] = UV_LOCK

    def steps(self, project: Path, folder: Path) -> Iterator[Step]:
        """Yield the commands that build the environment in a folder, from a checkout of the project.

        Raises:
            CannotTryError: there is no suitable uv, or the lock cannot be read.
        """
        uv = find_uv(self.name)
        yield self._venv_step(folder, uv)
        exported = _new_pylock(project)
        command = [uv, "export", "--quiet", "--project", str(project)]
        # The project can bring a Python and name a cache. These options keep uv from running the one and
        # writing to the other.
        command += ["--frozen", "--offline", "--no-cache", "--python", str(folder)]
        command += ["--format", PYLOCK, "--output-file", str(exported)]
        if _table(_settings(project / "pyproject.toml"), "tool", "uv", "workspace"):
            command.append("--all-packages")
        yield Step(command, f"{self.name} cannot be used", _reason_of_export)
        text = exported.read_text(encoding="utf-8")
        exported.unlink()
        yield from self._install_steps(uv, text, project, folder)


def find_uv(lock: str) -> str:
    """Return the path of uv.

    Args:
        lock: name of the lock that needs uv, for the error message.

    Raises:
        CannotTryError: there is no uv, or it is too old.
    """
    uv = shutil.which("uv", path=_installer_path(os.environ))
    if not uv:
        raise CannotTryError(f"{lock} needs uv, and this machine has none: install it, or {ADVICE}")
    done = subprocess.run([uv, "--version"], capture_output=True, text=True, check=False)
    version = VERSION.search(done.stdout)
    if version and Version(version[0]) < OLDEST_UV:
        raise CannotTryError(f"{lock} needs uv {OLDEST_UV} or later, and {uv} is {version[0]}: update it")
    return os.path.abspath(uv)


def _reason_of_export(stderr: str) -> str:
    """Return the reason why uv cannot read a lock, without the hint that follows."""
    return pip_reason(stderr.partition("\nhint:")[0]).removeprefix("error: ")


def python_for(project: Path, lock: str) -> str | None:
    """Return the version of Python, or a range of versions, for which a revision's lock was made.

    Args:
        project: a checkout of the revision.
        lock: the text of the lock, which can contain `requires-python`.

    Returns:
        None if the running Python suits, or the revision does not say.
    """
    recorded = recorded_python(project)
    if recorded:
        return recorded
    version_file = project / ".python-version"
    if version_file.is_file():
        pinned = version_file.read_text(errors="replace").strip()
        if VERSION.fullmatch(pinned):
            return pinned
    required = re.search(r'^requires-python = "([^"]*)"', lock, re.MULTILINE)
    if required and PYTHON_RANGE.fullmatch(required[1]):
        with contextlib.suppress(InvalidSpecifier):
            if platform.python_version() not in SpecifierSet(required[1]):
                return required[1]
    return None


def _split_packages(text: str, project: Path) -> tuple[str, dict[str, Path]]:
    """Split a pylock.toml into the packages to install and the packages that are folders of the project.

    Args:
        text: the text of the lock.
        project: the folder that the paths in the lock are relative to.

    Returns:
        The text without packages that are folders, and these folders by name of the package.
    """
    # Raise if the text as a whole is not TOML.
    parse_toml(text)
    listed = []
    local: dict[str, Path] = {}
    # Split the text instead of writing TOML, which takes a library seconds for a long lock.
    head, *sections = PACKAGE_START.split(text)
    for section in sections:
        (package,) = parse_toml(section)["packages"]
        if "directory" in package:
            local[canonicalize_name(package["name"])] = project / package["directory"]["path"]
        else:
            listed.append(section)
    if local and not listed:
        # uv rejects a file without the key `packages`.
        head = f"packages = []\n{head}"
    return "".join([head, *listed]), local


def _only_binary_of_pylock(lock: str) -> list[str]:
    """Return the options that keep uv from building packages of a pylock.toml, see `only_binary_options`."""
    options = []
    for package in parse_toml(lock).get("packages", ()):
        hashes = package.get("sdist", {}).get("hashes", {})
        if f"sha256:{hashes.get('sha256')}" != KNOWN_SOURCES.get(package["name"]):
            options += ["--only-binary", package["name"]]
    return options


def link_packages(packages: Mapping[str, Path], project: Path, folder: Path) -> None:
    """Make packages of the repository importable, and their commands available, without building them.

    This is like an editable installation, but a stage imports the packages from its own folder. So it sees
    only the files of them that it declares.

    Args:
        packages: the folder of each package in the checkout, by name.
        project: the DVC root of the checkout.
        folder: the folder of the environment.
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
            # Do not overwrite a program of the environment, such as Python.
            if not FILE_NAME.fullmatch(command) or os.path.lexists(script):
                continue
            code = CALL_ENTRY_POINT.format(function=str(function))
            call = join(["exec", str(folder / "bin/python"), "-c", code])
            # A `#!` line with the path of Python could be too long for the kernel, so a shell starts it.
            script.write_text(f'#!/bin/sh\n{call} "$0" "$@"\n')
            script.chmod(0o755)
    # Python runs these lines when it starts in a stage. The folder of the stage is not known before.
    (site_packages / "of_this_repository.pth").write_text("".join(lines))


def _describe_package(name: str, settings: dict[str, Any], site_packages: Path) -> None:
    """Write a package's metadata for `importlib.metadata`, unless only a build would know its version."""
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
    """Return the content of a pyproject.toml, empty if it cannot be read."""
    with contextlib.suppress(OSError, ValueError):
        return parse_toml(pyproject.read_text(encoding="utf-8"))
    return {}


def _table(settings: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return a nested table of TOML by its names from outside in, empty if there is no such table."""
    for name in names:
        table = settings.get(name)
        settings = table if isinstance(table, dict) else {}
    return settings


@dataclass(frozen=True)
class CondaLock:
    """conda-lock.yml, which micromamba, mamba or conda-lock installs. It locks Python as well.

    Attributes:
        allow_build: true if packages may run their own code while they are installed.
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
            CannotTryError: this machine has no program for it, or packages may not run code.
        """
        if not self.allow_build:
            raise CannotTryError(
                f"packages of {self.name} can run scripts while they are installed: allow it by "
                f"`--allow-build`, or {ADVICE}"
            )
        command = self._command(project, folder)
        yield Step(command, f"{self.name} cannot be installed", conda_reason, runs_packages=True)

    def _command(self, project: Path, folder: Path) -> list[str]:
        """Return the command that builds the environment."""
        return conda_command(folder, project / CONDA_LOCK, find_programs(os.environ))

    def check(self, folder: Path) -> None:
        """Check that there are packages, and that their Python files are as they were released.

        Raises:
            CannotTryError: there are no packages, or a file was changed.
        """
        records = list(conda_records(folder))
        if not records:
            raise CannotTryError(f"{self.name} has no packages for this platform; {ADVICE}")
        # If several packages contain the same file, the one installed last wins: accept any of their hashes.
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
                # As uv does, conda links files from its cache: an edited file is in every later environment.
                package = owners[path]
                raise CannotTryError(
                    f"{path} is not as {package} was released: remove {package} from the folder of packages "
                    "that `conda info` or `micromamba info` names, then again"
                )


@dataclass(frozen=True)
class PixiLock(CondaLock):
    """pixi.lock, from which pixi installs the environment `default`."""

    name: ClassVar[str] = PIXI_LOCK

    def steps(self, project: Path, folder: Path) -> Iterator[Step]:
        """Yield the command that builds the environment."""
        yield from super().steps(project, folder)
        # pixi creates the environment in the project. It cannot be moved, because its files contain its path.
        folder.symlink_to(project / ".pixi/envs/default")

    def _command(self, project: Path, folder: Path) -> list[str]:
        pixi = shutil.which("pixi", path=_installer_path(os.environ))
        if not pixi:
            raise CannotTryError(
                f"{self.name} needs pixi, and this machine has none: install it, or {ADVICE}"
            )
        options = ["--frozen", "--quiet", "--environment", "default", "--manifest-path", str(project)]
        return [os.path.abspath(pixi), "install", *options]


EnvironmentLock = HashedLock | CondaLock


def find_programs(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the paths of the installed programs of `CONDA_PROGRAMS`, by name."""
    outside_path = {}
    for variable in CONDA_EXECUTABLES:
        program = variables.get(variable, "")
        outside_path[Path(program).name] = program
    programs = {}
    for name in CONDA_PROGRAMS:
        path = shutil.which(name, path=_installer_path(variables))
        if not path:
            path = shutil.which(outside_path.get(name, ""))
        if path:
            # Make the path absolute: PATH can have relative entries, and an installer runs in another folder.
            programs[name] = os.path.abspath(path)
    return programs


def _installer_path(variables: Mapping[str, str]) -> str:
    """Return PATH with the programs of our own environment first, which may not be the active one."""
    return os.pathsep.join([str(Path(sys.executable).parent), variables.get("PATH", "")])


def conda_command(folder: Path, lock: Path, programs: Mapping[str, str]) -> list[str]:
    """Return the command that creates an environment with the packages of conda-lock.yml for this platform.

    Raises:
        CannotTryError: no program on this machine reads the lock.
    """
    conda = programs.get("mamba") or programs.get("conda")
    # Only mamba 2 reads the lock itself. With conda-lock, an older mamba will do as well.
    if "micromamba" not in programs and "conda-lock" in programs and conda:
        options = ["--log-level", "ERROR", "--no-dev", "--conda", conda]
        return [programs["conda-lock"], "install", *options, "--prefix", str(folder), str(lock)]
    program = programs.get("micromamba") or programs.get("mamba")
    if program:
        return [program, "create", "--yes", "--quiet", "--prefix", str(folder), "--file", str(lock)]
    raise CannotTryError(
        f"{CONDA_LOCK} needs micromamba, or mamba 2, or conda with conda-lock, and this machine has none "
        f"of these: install micromamba, or {ADVICE}"
    )
