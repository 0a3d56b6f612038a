"""Lock files of packages: whether what is installed is what they pin.

`scripts/environment.py` of a generated project does the same for itself: a stage imports nothing of ours.
"""

import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import yaml

from ..repository import parsing


@dataclass(frozen=True)
class Drift:
    """A package whose installed version is not the locked one.

    Attributes:
        name: of the package.
        locked: the version that the lock pins.
        installed: the version that is installed, None where the package is missing.
    """

    name: str
    locked: str
    installed: str | None


def locked_versions(path: str, content: bytes) -> dict[str, str]:
    """Return the version by name of each package that a file pins, whatever tool reads it; none if unknown.

    Several versions of one package, as for several platforms, are joined by commas.
    """
    name = posixpath.basename(path)
    try:
        if name.startswith("requirements"):
            pairs = _PINNED.findall(content.decode())
        else:
            pairs = list(_pairs(parsing.parse(_as_known(name), content)))
    except (AttributeError, KeyError, TypeError, ValueError, yaml.YAMLError):
        return {}
    versions: dict[str, set[str]] = {}
    for package, version in pairs:
        versions.setdefault(package.lower().replace("_", "-"), set()).add(version.lstrip("="))
    return {package: ", ".join(sorted(found)) for package, found in versions.items()}


# A package and its version, as pip's lists have them.
_PINNED = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?\s*((?:[=<>!~]=?=?)[^\s;#\\]+)", re.MULTILINE)


def _as_known(name: str) -> str:
    """Return a name with the ending of its format: `.lock` is TOML for some tools and JSON for others."""
    if name in ("renv.lock", "Pipfile.lock", "flake.lock"):
        return f"{name}.json"
    return f"{name}.toml" if name.endswith(".lock") else name


def _pairs(content: Any) -> Iterator[tuple[str, str]]:
    """Yield name and version of the packages in a lock of poetry, uv, PDM, pylock, conda, Pipenv or renv."""
    for key in ("package", "packages"):
        for package in content.get(key) or ():
            if "name" in package and "version" in package:
                yield package["name"], str(package["version"])
    for section in ("default", "Packages"):
        for package, entry in (content.get(section) or {}).items():
            version = entry.get("version") or entry.get("Version")
            if version:
                yield package, str(version)
    yield from _conda_pairs(content.get("dependencies") or ())


def _conda_pairs(dependencies: Iterable[Any]) -> Iterator[tuple[str, str]]:
    """Yield the same of an environment.yml of conda, in which pip can have a list of its own."""
    pins: list[str] = []
    for line in dependencies:
        if isinstance(line, dict):
            pins += line.get("pip") or ()
        else:
            pins.append(line)
    for pin in pins:
        package, _, version = pin.partition("=")
        if version:
            yield package.rstrip("<>!~ "), version.lstrip("=")


def drift(lock: str) -> list[Drift]:
    """Return packages that are not installed as locked.

    Args:
        lock: text of a pip requirements file, every package pinned with `==`.
    """
    # Imported here: most commands compare no packages.
    from packaging.requirements import InvalidRequirement, Requirement

    drifted = []
    # The lines without hashes, which are for pip; comments and options begin with other characters.
    for line in re.findall(r"^\w.*", re.sub(r"\\\n", " ", lock), re.MULTILINE):
        try:
            pin = Requirement(line.split(" --hash=")[0].strip())
        except InvalidRequirement:
            continue  # a file of another tool
        if not str(pin.specifier).startswith("=="):
            continue  # pins nothing
        if pin.marker and not pin.marker.evaluate():
            continue  # not for this platform
        locked = str(pin.specifier).removeprefix("==")
        installed = _installed_version(pin.name)
        if installed != locked:
            drifted.append(Drift(pin.name, locked, installed))
    return drifted


def reason_of_uv(stderr: str, longest: int) -> str:
    """Return what uv says of a failure, in one line: it draws its errors as a tree."""
    return " ".join(re.sub("[×│╰─▶]", " ", stderr).split())[:longest]


def _installed_version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
