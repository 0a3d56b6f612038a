"""Lock files of packages: whether what is installed is what they pin.

`scripts/environment.py` of a generated project does the same for itself: a stage imports nothing of ours.
"""

import re
from dataclasses import dataclass
from importlib import metadata


@dataclass(frozen=True)
class Drift:
    """A package whose installed version is not the locked one; `installed` is None where it is missing."""

    name: str
    locked: str
    installed: str | None


def drift(lock: str) -> list[Drift]:
    """Packages that are not installed as locked.

    Args:
        lock: text of a pip requirements file, every package pinned with `==`.
    """
    from packaging.requirements import Requirement

    # One requirement for each logical line; hashes are for pip.
    logical_lines = re.sub(r"\\\n", " ", lock).splitlines()
    found = []
    for line in logical_lines:
        if not re.match(r"\w", line):
            continue
        pin = Requirement(line.split(" --hash=")[0].strip())
        if pin.marker and not pin.marker.evaluate():
            continue
        locked = str(pin.specifier).removeprefix("==")
        installed = _installed_version(pin.name)
        if installed != locked:
            found.append(Drift(pin.name, locked, installed))
    return found


def _installed_version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
