"""Conditions that no result may depend on, as reproducible-builds' reprotest varies them."""

import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..results.processor import Processor
from .differences import in_words

# A file system that lists the newest file first; others list by name or by hash, whatever was written first.
MEMORY = Path("/dev/shm")  # noqa: S108
# How many times the clone must fit in there: a stage gets a copy of what it reads, and writes.
COPIES_IN_MEMORY = 3
X86_64 = ("x86_64", "AMD64")
# The oldest kernel of OpenBLAS for these processors, which each of them can run.
OLDEST_KERNEL = "Prescott"
# As OpenMP's other number of threads.
FEW_THREADS = 3

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
        processor: what of another processor it stands for; empty where no processor decides it.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    cpus: int | None = None
    umask: int = 0o022
    last_file_first: bool = False
    parent: Path | None = None
    processor: str = ""


USUAL = Conditions()


@dataclass(frozen=True)
class Observation:
    """What a stage did under some conditions.

    Attributes:
        failed: whether it failed.
        hashes: of its outputs by name.
        largest: the largest relative difference between a number in them and the usual one.
    """

    failed: bool
    hashes: Hashes
    largest: float = 0.0


def available_conditions(
    work: Path, tree: Path, processor: Processor, recorded: Mapping[str, str]
) -> dict[str, Conditions]:
    """Conditions that can be changed on this machine, by name.

    Args:
        work: a folder to run in.
        tree: the clone that stages get their files from.
        processor: of this machine.
        recorded: environment variables that a proof sets as recorded: these are the same everywhere.
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
    if hasattr(os, "sched_getaffinity") and processor.cpus > 1:
        available["CPU count"] = Conditions(cpus=1, processor="1 CPU")
    if _has_room(MEMORY, COPIES_IN_MEMORY * _size(tree)) and runs_programs(MEMORY):
        available["file order"] = Conditions(parent=MEMORY / work.name, last_file_first=True)
    available |= _other_processors(processor, recorded)
    return {name: each for name, each in available.items() if not each.variables.keys() & recorded.keys()}


def runs_programs(folder: Path) -> bool:
    """Return whether programs and compiled libraries in a folder can be used.

    Some mounts forbid it (`noexec`).
    """
    return not os.statvfs(folder).f_flag & getattr(os, "ST_NOEXEC", 0)


def _has_room(folder: Path, size: int) -> bool:
    """Return whether a folder is there, can be written to, and so many bytes are free in it."""
    return os.access(folder, os.W_OK) and shutil.disk_usage(folder).free > size


def _other_processors(processor: Processor, recorded: Mapping[str, str]) -> dict[str, Conditions]:
    """Return what another processor would do, as far as libraries can be made to behave as if on it."""
    others = {}
    # A processor that OpenBLAS gives the oldest kernel can run no other one.
    if platform.machine() in X86_64 and not processor.blas.endswith(f" {OLDEST_KERNEL}"):
        others["OpenBLAS kernel"] = Conditions(
            variables={"OPENBLAS_CORETYPE": OLDEST_KERNEL}, processor=f"OpenBLAS's {OLDEST_KERNEL} kernel"
        )
    if processor.numpy_features:
        names = " ".join(processor.numpy_features)
        # NumPy does not start with both set.
        others["set of NumPy's processor features"] = Conditions(
            variables={"NPY_DISABLE_CPU_FEATURES": names, "NPY_ENABLE_CPU_FEATURES": ""},
            processor=f"NumPy's {names} disabled",
        )
    # All others follow OMP_NUM_THREADS where they have no setting of their own.
    if "OMP_NUM_THREADS" not in recorded:
        # OpenBLAS and MKL use no more threads than there are processors; OpenMP itself does.
        threads = {"OMP_NUM_THREADS": "5" if processor.cpus == FEW_THREADS else str(FEW_THREADS)}
        threads |= {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        others["number of threads"] = Conditions(
            variables={name: number for name, number in threads.items() if name not in recorded},
            processor="another number of threads",
        )
    return others


def _other_locale() -> str | None:
    """Return a locale of this machine that is neither C nor POSIX."""
    if not shutil.which("locale"):
        return None
    listed = subprocess.run(["locale", "-a"], capture_output=True, text=True, check=False).stdout
    others = [name for name in listed.split() if not name.startswith(("C", "POSIX"))]
    return others[0] if others else None


def _size(folder: Path) -> int:
    """Return bytes of all files below a folder; links are not followed."""
    return sum(path.lstat().st_size for path in folder.rglob("*"))


def combine(conditions: list[Conditions]) -> Conditions:
    """Return all of these at once; where two set the same, the later one counts."""
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
    if together.hashes == usual:
        return []
    again = observe(USUAL)
    if again.hashes != usual:
        if together.failed or again.failed:
            return [f"{address} fails in one run and not in another, whatever the conditions"]
        return [f"{address}: {_changed(usual, [together])} changes with the run, whatever the conditions"]
    observed = {name: observe(conditions) for name, conditions in available.items()}
    guilty = {name: each for name, each in observed.items() if each.hashes != usual}
    if not guilty:
        return [_sentence(address, f"{', '.join(available)} together", usual, [together])]
    lines = []
    others = [name for name in guilty if not available[name].processor]
    if others:
        lines.append(_sentence(address, ", ".join(others), usual, [guilty[name] for name in others]))
    names = [name for name in guilty if available[name].processor]
    if names:
        processors = ", ".join(available[name].processor for name in names)
        lines.append(_processor_sentence(address, processors, usual, [guilty[name] for name in names]))
    return lines


def _changed(usual: Hashes, observations: list[Observation]) -> str:
    """Return names of the outputs that changed in any of some runs."""
    changed = []
    for name, hashed in usual.items():
        if any(each.hashes[name] != hashed for each in observations):
            changed.append(name)
    return ", ".join(changed)


def _sentence(address: str, names: str, usual: Hashes, observations: list[Observation]) -> str:
    if any(each.failed for each in observations):
        return f"{address} fails with another {names}"
    return f"{address}: {_changed(usual, observations)} changes with the {names}"


def _processor_sentence(address: str, names: str, usual: Hashes, observations: list[Observation]) -> str:
    if any(each.failed for each in observations):
        return f"{address} depends on the processor: it fails with {names}"
    largest = max(each.largest for each in observations)
    figure = f" ({in_words(largest)})" if largest else ""
    outputs = _changed(usual, observations)
    return f"{address} depends on the processor: {outputs} differs with {names}{figure}"


def remove_from_memory(work: Path) -> None:
    """Delete what runs in another file order left behind."""
    shutil.rmtree(MEMORY / work.name, ignore_errors=True)
