"""Read lock files of packages, and compare them with the packages that are installed.

`scripts/environment.py` of a generated project has its own copy of `drift`, because stages of a project must
not import this package.
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
    """A package whose installed version differs from the locked version.

    Attributes:
        name: the name of the package.
        locked: the version that the lock pins.
        installed: the installed version, or None if the package is missing.
    """

    name: str
    locked: str
    installed: str | None


def locked_versions(path: str, content: bytes) -> dict[str, str]:
    """Return the version of each package that a lock file of any known tool pins, by name.

    If a file pins several versions of a package, for example for several platforms, commas join them. The
    result is empty for a file of an unknown format.
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


# A package and its version in a requirements file of pip.
_PINNED = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?\s*((?:[=<>!~]=?=?)[^\s;#\\]+)", re.MULTILINE)


def _as_known(name: str) -> str:
    """Return a file name with the ending of its format, because `.lock` files can be TOML or JSON."""
    if name in ("renv.lock", "Pipfile.lock", "flake.lock"):
        return f"{name}.json"
    return f"{name}.toml" if name.endswith(".lock") else name


def _pairs(content: Any) -> Iterator[tuple[str, str]]:
    """Yield name and version of each package in a lock of Poetry, uv, PDM, pylock, conda, Pipenv or renv."""
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
    """Yield name and version of each package in the `dependencies` of conda's environment.yml.

    They can contain a separate list of packages for pip.
    """
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
    """Return the packages whose installed version is not the locked one.

    Args:
        lock: the text of a pip requirements file that pins packages with `==`.
    """
    # Imported here because most commands compare no packages.
    from packaging.requirements import InvalidRequirement, Requirement

    drifted = []
    # Comments and options do not start with a word character. Continued lines hold hashes, which are cut off.
    for line in re.findall(r"^\w.*", re.sub(r"\\\n", " ", lock), re.MULTILINE):
        try:
            pin = Requirement(line.split(" --hash=")[0].strip())
        except InvalidRequirement:
            continue  # The file is of a different tool.
        if not str(pin.specifier).startswith("=="):
            continue  # The package is not pinned.
        if pin.marker and not pin.marker.evaluate():
            continue  # The package is for other platforms.
        locked = str(pin.specifier).removeprefix("==")
        installed = _installed_version(pin.name)
        if installed != locked:
            drifted.append(Drift(pin.name, locked, installed))
    return drifted


def reason_of_uv(stderr: str, longest: int) -> str:
    """Return an error message of uv as one line, without the characters of the tree that uv draws it as.

    Args:
        stderr: the standard error of uv.
        longest: the maximum number of characters to return.
    """
    return " ".join(re.sub("[×│╰─▶]", " ", stderr).split())[:longest]


def _installed_version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
