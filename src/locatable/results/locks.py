"""Lock files of packages: whether what is installed is what they pin.

`scripts/environment.py` of a generated project does the same for itself: a stage imports nothing of ours.
"""

import re
from dataclasses import dataclass
from importlib import metadata


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


def drift(lock: str) -> list[Drift]:
    """Return packages that are not installed as locked.

    Args:
        lock: text of a pip requirements file, every package pinned with `==`.
    """
    # Imported here: most commands compare no packages.
    from packaging.requirements import InvalidRequirement, Requirement

    drifted = []
    for line in _requirements(lock):
        try:
            pin = Requirement(line)
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
    """Return what uv says of a failure, in one line: it draws its errors as a tree.

    Args:
        stderr: all that it printed there.
        longest: characters to keep.
    """
    return " ".join(re.sub("[×│╰─▶]", " ", stderr).split())[:longest]


def _requirements(lock: str) -> list[str]:
    """Return the requirements in a lock, without their hashes, which are for pip."""
    lines = re.sub(r"\\\n", " ", lock).splitlines()
    # Comments and options, such as `--find-links`, begin with other characters.
    return [line.split(" --hash=")[0].strip() for line in lines if re.match(r"\w", line)]


def _installed_version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
