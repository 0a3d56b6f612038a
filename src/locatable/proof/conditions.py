"""Conditions that no result may depend on, as reproducible-builds' reprotest varies them."""

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

# A file system that lists the newest file first; others list by name or by hash, whatever was written first.
MEMORY = Path("/dev/shm")  # noqa: S108
# How many times the clone must fit in there: a stage gets a copy of what it reads, and writes.
COPIES_IN_MEMORY = 3

Hashes = Mapping[str, str | None]


@dataclass(frozen=True)
class Conditions:
    """What a run of a stage is like; the defaults are those of every rebuild.

    Attributes:
        variables: environment variables to set.
        cpus: how many processors it may use, None for all.
        umask: permissions that new files do not get.
        last_file_first: create the files that the stage sees in reverse order.
        parent: where the folder of the run is made, None for the usual place.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    cpus: int | None = None
    umask: int = 0o022
    last_file_first: bool = False
    parent: Path | None = None


USUAL = Conditions()


@dataclass(frozen=True)
class Observation:
    """What a stage did under some conditions: whether it failed, and the hashes of its outputs by name."""

    failed: bool
    hashes: Hashes


def available_conditions(work: Path, tree: Path) -> dict[str, Conditions]:
    """Conditions that can be changed on this machine, by name.

    Args:
        work: a folder to run in.
        tree: the clone that stages get their files from.
    """
    available = {
        "hash seed": Conditions(variables={"PYTHONHASHSEED": "0"}),
        "time zone": Conditions(variables={"TZ": "GMT-14"}),
        "home and working folder": Conditions(parent=work / "another folder" / "further down"),
        "umask": Conditions(umask=0o077),
    }
    locale = _other_locale()
    if locale:
        available["locale"] = Conditions(variables={"LC_ALL": locale})
    if hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) > 1:
        available["CPU count"] = Conditions(cpus=1)
    if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > COPIES_IN_MEMORY * _size(tree):
        available["file order"] = Conditions(parent=MEMORY / work.name, last_file_first=True)
    return available


def _other_locale() -> str | None:
    """A locale of this machine that is neither C nor POSIX."""
    if not shutil.which("locale"):
        return None
    listed = subprocess.run(["locale", "-a"], capture_output=True, text=True, check=False).stdout
    others = [name for name in listed.split() if not name.startswith(("C", "POSIX"))]
    return others[0] if others else None


def _size(folder: Path) -> int:
    """Bytes of all files below a folder; links are not followed."""
    return sum(path.lstat().st_size for path in folder.rglob("*"))


def combine(conditions: list[Conditions]) -> Conditions:
    """All of these at once; where two set the same, the later one counts."""
    variables: dict[str, str] = {}
    cpus = None
    umask = USUAL.umask
    last_file_first = False
    parent = None
    for each in conditions:
        variables.update(each.variables)
        cpus = each.cpus or cpus
        parent = each.parent or parent
        last_file_first = each.last_file_first or last_file_first
        if each.umask != USUAL.umask:
            umask = each.umask
    return Conditions(variables, cpus, umask, last_file_first, parent)


def find_dependence(
    address: str,
    usual: Hashes,
    available: Mapping[str, Conditions],
    observe: Callable[[Conditions], Observation],
) -> list[str]:
    """Run a stage with all conditions changed at once; if an output changes, with one after the other.

    Args:
        address: of the stage.
        usual: hashes of its outputs under the usual conditions.
        available: conditions by name.
        observe: runs the stage.

    Returns:
        A line that says what depends on which conditions; none where nothing does.
    """
    together = observe(combine(list(available.values())))
    changed = [name for name, hashed in usual.items() if together.hashes[name] != hashed]
    if not changed:
        return []
    outputs = ", ".join(changed)
    again = observe(USUAL)
    if again.hashes != usual:
        if together.failed or again.failed:
            return [f"{address} fails in one run and not in another, whatever the conditions"]
        return [f"{address}: {outputs} changes with the run, whatever the conditions"]
    observed = {name: observe(conditions) for name, conditions in available.items()}
    # The usual outputs have to be in place for the stages that follow.
    observe(USUAL)
    guilty = [name for name, observation in observed.items() if observation.hashes != usual]
    names = ", ".join(guilty or [f"{', '.join(available)} together"])
    if together.failed or any(observation.failed for observation in observed.values()):
        return [f"{address} fails with another {names}"]
    return [f"{address}: {outputs} changes with the {names}"]


def remove_from_memory(work: Path) -> None:
    """Delete what runs in another file order left behind."""
    shutil.rmtree(MEMORY / work.name, ignore_errors=True)
