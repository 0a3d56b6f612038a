"""Conditions that no result may depend on, as reproducible-builds' reprotest varies them.

Used by `locatable reproduce --vary`.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from .hermetic import Conditions

# A file system that lists the newest file first; others list by name or by hash, whatever came first.
MEMORY = Path("/dev/shm")  # noqa: S108
# How often all of the clone must fit in there: a stage gets a copy, and writes.
ROOM = 3


def conditions(work: Path) -> dict[str, Conditions]:
    """What can be changed on this machine, by name.

    Args:
        work: a folder to run in.
    """
    tried = {
        "hash seed": Conditions(variables={"PYTHONHASHSEED": "0"}),
        "time zone": Conditions(variables={"TZ": "GMT-14"}),
        "home and working folder": Conditions(folder=str(work / "another folder" / "further down")),
        "umask": Conditions(umask=0o077),
    }
    listed = ""
    if shutil.which("locale"):
        listed = subprocess.run(["locale", "-a"], capture_output=True, text=True, check=False).stdout
    if other := [name for name in listed.split() if not name.startswith(("C", "POSIX"))]:
        tried["locale"] = Conditions(variables={"LC_ALL": other[0]})
    if hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) > 1:
        tried["CPU count"] = Conditions(cpus=1)
    if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM * _size(work / "clone"):
        tried["file order"] = Conditions(folder=str(MEMORY / work.name), last_file_first=True)
    return tried


def _size(folder: Path) -> int:
    """Bytes of all files below a folder; links are not followed."""
    return sum(path.lstat().st_size for path in folder.rglob("*"))


def varied(
    work: Path, usual: Mapping[str, str | None], attempt: Callable[[Conditions], Mapping]
) -> tuple[list[str], list[str]]:
    """Run a stage with all conditions changed at once; if an output changes, with one after the other.

    Args:
        work: a folder to run in.
        usual: hashes of the outputs under the usual conditions.
        attempt: runs the stage and returns the hashes.

    Returns:
        The outputs that changed, and the conditions that change them.
    """
    tried = conditions(work)
    try:
        other = attempt(_together(list(tried.values())))
        changed = [name for name, hashed in usual.items() if other[name] != hashed]
        if not changed:
            return [], []
        if attempt(Conditions()) != usual:
            return changed, ["run, whatever the conditions"]
        guilty = [name for name, given in tried.items() if attempt(given) != usual]
        # Leave the usual outputs in place for the stages that follow.
        attempt(Conditions())
        return changed, guilty or [f"{', '.join(tried)} together"]
    finally:
        shutil.rmtree(MEMORY / work.name, ignore_errors=True)


def _together(given: list[Conditions]) -> Conditions:
    variables = {name: value for each in given for name, value in each.variables.items()}
    cpus = 1 if any(each.cpus for each in given) else None
    folder = [each.folder for each in given if each.folder][-1]
    return Conditions(variables, cpus=cpus, umask=0o077, last_file_first=True, folder=folder)
