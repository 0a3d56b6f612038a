"""Resolves a project's pyproject.toml into its lock files, with uv.

One resolution comes first and holds everything that the project may install. Each lock is then a part of it,
so that one environment can hold all locks together: `requirements.lock` is what stages may import,
`tools.lock` what the tools add to that, and `extras/NAME.lock` what the extra NAME adds to both.
"""

import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from ..errors import ProjectError
from ..results.locks import CONDA_LOCK, REQUIREMENTS, reason_of_uv

PYPROJECT = "pyproject.toml"
TOOLS = "tools.lock"
EXTRAS = "extras"
# The groups of pyproject.toml that become tools.lock.
TOOL_GROUPS = ("tools", "dev")
# Where the wheels lie that travel with a project.
VENDOR = "vendor"
FIND_LINKS = f"--find-links {VENDOR}\n"
# Without an address of a package index: a lock works with any.
COMPILE = (
    *("uv", "pip", "compile", "--quiet", "--universal", "--generate-hashes"),
    *("--no-emit-index-url", "--no-header", "--no-annotate"),
)
LONGEST_REASON = 1000


@dataclass(frozen=True)
class Lock:
    """A lock file to be resolved.

    Attributes:
        name: its path in the project.
        options: what `uv pip compile` has to be asked for to get all that it and the locks below it pin.
        base: the name of the lock whose pins it leaves out; empty where there is none.
    """

    name: str
    options: tuple[str, ...]
    base: str = ""


@dataclass(frozen=True)
class Change:
    """What became of a package in a lock.

    Attributes:
        package: its name.
        before, after: its versions: several where they depend on the platform, none where it is not pinned.
    """

    package: str
    before: tuple[str, ...]
    after: tuple[str, ...]

    def sentence(self) -> str:
        """Said to the user, for example `pandas 3.0.1 -> 3.0.2`."""
        if not self.before:
            return f"{self.package} {', '.join(self.after)} added"
        if not self.after:
            return f"{self.package} {', '.join(self.before)} removed"
        if self.before == self.after:
            return f"{self.package} {', '.join(self.after)} has other hashes"
        return f"{self.package} {', '.join(self.before)} -> {', '.join(self.after)}"


def plan_locks(pyproject: str) -> list[Lock]:
    """The locks of a project, each after the one that it builds on.

    Args:
        pyproject: text of pyproject.toml.

    Raises:
        ProjectError: it is no TOML.
    """
    try:
        settings = tomllib.loads(pyproject)
    except tomllib.TOMLDecodeError as error:
        raise ProjectError(f"{PYPROJECT}: {error}") from None
    groups: list[str] = []
    for name in TOOL_GROUPS:
        if name in settings.get("dependency-groups", {}):
            groups += ["--group", name]
    locks = [Lock(REQUIREMENTS, ()), Lock(TOOLS, tuple(groups), REQUIREMENTS)]
    for extra in settings.get("project", {}).get("optional-dependencies", {}):
        locks.append(Lock(f"{EXTRAS}/{extra}.lock", (*groups, "--extra", extra), TOOLS))
    return locks


def oldest_python(pyproject: str) -> str:
    """The oldest version of Python that the project supports, for example `3.11`; empty if it names none."""
    bound = str(tomllib.loads(pyproject).get("project", {}).get("requires-python", ""))
    match = re.search(r">=\s*(\d+\.\d+)", bound)
    return match[1] if match else ""


def resolve(project: Path) -> dict[str, str]:
    """Resolve the locks of a project, and write nothing.

    Versions that are locked already stay, wherever pyproject.toml allows them, and a lock that pins the same
    as before keeps its text.

    Args:
        project: its root.

    Returns:
        The text of each lock, by its path in the project.

    Raises:
        ProjectError: there is no pyproject.toml or no uv, or no versions fit together.
    """
    try:
        pyproject = (project / PYPROJECT).read_text()
    except FileNotFoundError:
        raise ProjectError(f"{project} has no {PYPROJECT}, which says what to lock") from None
    locks = plan_locks(pyproject)
    before = read_locks(project)
    options = [PYPROJECT]
    if oldest_python(pyproject):
        options += ["--python-version", oldest_python(pyproject)]
    if (project / VENDOR).is_dir():
        options += ["--find-links", VENDOR]
    with TemporaryDirectory() as name:
        together = Path(name) / "all.txt"
        together.write_text("".join(before.values()).replace(FIND_LINKS, ""))
        _compile(project, [*options, *locks[1].options, "--all-extras"], together)
        options += ["--constraint", str(together)]
        complete = {}
        for lock in locks:
            output = Path(name) / lock.name.replace("/", "-")
            _compile(project, [*options, *lock.options], output)
            complete[lock.name] = output.read_text()
    texts = {}
    for lock in locks:
        if lock.name == REQUIREMENTS and is_locked_by_conda(project):
            continue
        text = added_blocks(complete.get(lock.base, ""), complete[lock.name])
        if lock.name == TOOLS and (project / VENDOR).is_dir():
            text = FIND_LINKS + text
        texts[lock.name] = keep_if_equal(before.get(lock.name), text)
    return texts


def is_locked_by_conda(project: Path) -> bool:
    """Whether conda-lock.yml alone says what stages may import; the tools have their locks all the same."""
    return (project / CONDA_LOCK).is_file() and not (project / REQUIREMENTS).is_file()


def keep_if_equal(before: str | None, after: str) -> str:
    """The text of a lock: the one that there was where the new one pins the same."""
    if before is None or compare(before, after) or (FIND_LINKS in before) != (FIND_LINKS in after):
        return after
    return before


def read_locks(project: Path) -> dict[str, str]:
    """The text of each lock that a project has, by its path in the project."""
    paths = [project / REQUIREMENTS, project / TOOLS, *sorted((project / EXTRAS).glob("*.lock"))]
    return {path.relative_to(project).as_posix(): path.read_text() for path in paths if path.is_file()}


def write_locks(project: Path, before: Iterable[str], texts: dict[str, str]) -> None:
    """Write new locks in place of those that there were.

    Args:
        project: its root.
        before: paths of the locks that there were.
        texts: of the new ones, by their paths in the project.
    """
    for name, text in texts.items():
        path = project / name
        path.parent.mkdir(exist_ok=True)
        unfinished = path.with_suffix(".new")
        unfinished.write_text(text)
        unfinished.replace(path)
    for name in set(before) - set(texts):
        (project / name).unlink()


def compare(before: str, after: str) -> list[Change]:
    """What differs between two texts of a lock, by package."""
    old, new = _versions(before), _versions(after)
    changed = {_package(block) for block in set(_blocks(before)) ^ set(_blocks(after))}
    return [Change(name, old.get(name, ()), new.get(name, ())) for name in sorted(changed)]


def added_blocks(base: str, text: str) -> str:
    """A lock without what another one pins already.

    Args:
        base: text of the other one.
        text: of the lock that holds both.
    """
    known = set(_blocks(base))
    return "".join(block for block in _blocks(text) if block not in known)


def _blocks(text: str) -> list[str]:
    """The lines of each package: its pin, and below that its hashes."""
    return re.findall(r"^\w.*\n(?:[ \t].*\n)*", text, flags=re.MULTILINE)


def _package(block: str) -> str:
    return re.split(r"[^\w.-]", block, maxsplit=1)[0]


def _versions(text: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for block in _blocks(text):
        match = re.search(r"==(\S+)", block.splitlines()[0])
        version = match[1] if match else "?"
        found[_package(block)] = (*found.get(_package(block), ()), version)
    return found


def _compile(project: Path, options: list[str], output: Path) -> None:
    if not shutil.which("uv"):
        raise ProjectError("locks are resolved by uv, which is not installed", hint="pip install uv")
    command = [*COMPILE, *options, "--output-file", str(output)]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = reason_of_uv(done.stderr, LONGEST_REASON)
        raise ProjectError(f"{PYPROJECT} cannot be resolved, and no lock was changed: {reason}")
