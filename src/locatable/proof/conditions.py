"""Runs a stage under conditions that must not change its result, and reports those that do.

As in reprotest, these are the time zone, the locale, the umask, the order of files and more. Others make
numerical libraries behave as on another processor.
"""

import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ..results.processor import Processor
from .attempts import Attempt, StageRunner, remove
from .comparison import compare_contents, largest_in_words
from .environment import ENVIRONMENT_RECORD
from .sandbox import USUAL, Conditions

# This file system lists the newest file first. Others list files by name or by hash, so on those the order in
# which files are created changes nothing.
MEMORY = Path("/dev/shm")  # noqa: S108
# The memory must hold this many copies of the clone: a stage gets copies of its inputs, and writes outputs.
COPIES_IN_MEMORY = 3
# OpenBLAS's oldest kernel for each architecture, by the names that systems give it. Every processor of the
# architecture can run it.
OLDEST_KERNELS = {"x86_64": "Prescott", "AMD64": "Prescott", "aarch64": "ARMV8", "arm64": "ARMV8"}
# The number of OpenMP threads to try, unless the machine has exactly this number of processors.
FEW_THREADS = 3

Hashes = Mapping[str, str | None]


@dataclass(frozen=True)
class Observation:
    """The outcome of a stage under some conditions.

    Attributes:
        failed: true if the stage failed.
        hashes: the hash of each output, by path.
        largest: the largest relative difference between a number in an output and the usual number.
    """

    failed: bool
    hashes: Hashes
    largest: float = 0.0


def vary(runner: StageRunner, usual: Attempt, processor: Processor) -> tuple[list[str], list[str]]:
    """Run a stage under other conditions, and find out which of them change its outputs.

    Args:
        runner: runs the stage.
        usual: the run under the usual conditions. Its outputs are in the clone, and are put back there.
        processor: the processor of this machine.

    Returns:
        The names of the conditions that were changed, and lines that say which outputs depend on them.
    """
    work = runner.sandbox.work
    available = available_conditions(work, runner.checkout.tree, processor, runner.sandbox.recorded_variables)
    copies = {path: work / "usual" / path for path in runner.stage.outs}
    for path, copy in copies.items():
        _move(runner.path_of(path), copy)

    observe = partial(_observe, runner, usual, copies)
    try:
        lines = find_dependence(runner.stage.address, usual.hashes, available, observe)
    finally:
        # Runs with another file order leave their folders in memory.
        shutil.rmtree(MEMORY / work.name, ignore_errors=True)
        for path, copy in copies.items():
            remove(runner.path_of(path))
            _move(copy, runner.path_of(path))
    return list(available), lines


def _observe(
    runner: StageRunner, usual: Attempt, copies: Mapping[str, Path], conditions: Conditions
) -> Observation:
    """Run the stage and return the outcome, with the usual hash for an output within the tolerance."""
    attempt = runner.attempt(conditions)
    rtol = runner.recorded.rtol
    hashes = dict(attempt.hashes)
    largest = 0.0
    for path, copy in copies.items():
        place = runner.path_of(path)
        is_usual = hashes[path] == usual.hashes[path]
        if is_usual or not copy.exists() or not place.exists():
            continue
        differences = compare_contents(copy, place, rtol)
        largest = max(largest, differences.largest)
        if differences.opaque:
            continue
        # The record of the environment contains the varied variables, and is meant to change with them.
        only_variables = all(line.startswith("variables") for line in differences.changed)
        is_expected = path == ENVIRONMENT_RECORD and only_variables
        if is_expected or (rtol > 0 and differences.within_rtol):
            hashes[path] = usual.hashes[path]
    return Observation(attempt.failed, hashes, largest)


def _move(source: Path, target: Path) -> None:
    """Move an output, if it exists. A stage that failed has not written it."""
    if source.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(source, target)


def available_conditions(
    work: Path, tree: Path, processor: Processor, recorded_variables: Mapping[str, str]
) -> dict[str, Conditions]:
    """Return the conditions that can be changed on this machine, by name.

    Args:
        work: the folder in which each run creates its own folder.
        tree: the clone, whose size decides whether a run fits into memory.
        processor: the processor of this machine.
        recorded_variables: the environment variables that are recorded for the results.
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
    available |= _other_processors(processor, recorded_variables)
    # A variable that was recorded with the results is a part of how they were made, so it is not varied.
    for name, conditions in list(available.items()):
        if conditions.variables.keys() & recorded_variables.keys():
            del available[name]
    return available


def runs_programs(folder: Path) -> bool:
    """Return whether programs in a folder can be run, which a mount can forbid (`noexec`)."""
    return not os.statvfs(folder).f_flag & getattr(os, "ST_NOEXEC", 0)


def _has_room(folder: Path, size: int) -> bool:
    """Return whether a folder exists, is writable, and has more than `size` bytes free."""
    return os.access(folder, os.W_OK) and shutil.disk_usage(folder).free > size


def _size(folder: Path) -> int:
    """Return the total size in bytes of everything below a folder. Links are not followed."""
    return sum(path.lstat().st_size for path in folder.rglob("*"))


def _other_locale() -> str | None:
    """Return an installed locale that is neither C nor POSIX, or None if there is none."""
    if not shutil.which("locale"):
        return None
    listed = subprocess.run(["locale", "-a"], capture_output=True, text=True, check=False).stdout
    for name in listed.split():
        if not name.startswith(("C", "POSIX")):
            return name
    return None


def _other_processors(processor: Processor, recorded_variables: Mapping[str, str]) -> dict[str, Conditions]:
    """Return conditions under which numerical libraries behave as on another processor, by name."""
    others = {}
    kernel = OLDEST_KERNELS.get(platform.machine())
    # If OpenBLAS uses its oldest kernel here already, there is no other kernel to try.
    if kernel and not processor.blas.upper().endswith(f" {kernel.upper()}"):
        others["OpenBLAS kernel"] = Conditions(
            variables={"OPENBLAS_CORETYPE": kernel}, processor=f"OpenBLAS's {kernel} kernel"
        )
    if processor.numpy_features:
        names = " ".join(processor.numpy_features)
        # NumPy does not start if both variables are set, so the other one is emptied.
        others["set of NumPy's processor features"] = Conditions(
            variables={"NPY_DISABLE_CPU_FEATURES": names, "NPY_ENABLE_CPU_FEATURES": ""},
            processor=f"NumPy's {names} disabled",
        )
    # Libraries without a setting of their own follow OMP_NUM_THREADS.
    if "OMP_NUM_THREADS" not in recorded_variables:
        # OpenMP can use more threads than there are processors. OpenBLAS and MKL cannot, so they get one.
        number = 5 if processor.cpus == FEW_THREADS else FEW_THREADS
        threads = {"OMP_NUM_THREADS": str(number), "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        others["number of threads"] = Conditions(
            variables={name: value for name, value in threads.items() if name not in recorded_variables},
            processor="another number of threads",
        )
    return others


def combine(conditions: Sequence[Conditions]) -> Conditions:
    """Combine several conditions into one. If two of them set the same thing, the later one wins."""
    variables: dict[str, str] = {}
    changed: dict[str, Any] = {}
    for each in conditions:
        variables |= each.variables
        for name in ("cpus", "umask", "last_file_first", "parent"):
            value = getattr(each, name)
            if value != getattr(USUAL, name):
                changed[name] = value
    return Conditions(variables=variables, **changed)


def find_dependence(
    address: str,
    usual: Hashes,
    available: Mapping[str, Conditions],
    observe: Callable[[Conditions], Observation],
) -> list[str]:
    """Run a stage with all conditions changed at once. If that changes an output, change them one by one.

    Args:
        address: address of the stage.
        usual: hashes of the outputs under the usual conditions.
        available: the conditions, by name.
        observe: runs the stage under some conditions.

    Returns:
        Lines that name the outputs and the conditions that change them. Empty if no output changes.
    """
    together = observe(combine(list(available.values())))
    if together.hashes == usual:
        return []
    unchanged = observe(USUAL)
    if unchanged.hashes != usual:
        if together.failed or unchanged.failed:
            return [f"{address} fails in one run and not in another, whatever the conditions"]
        return [f"{address}: {_changed(usual, [together])} changes with the run, whatever the conditions"]
    # Conditions that stand for another processor are reported in a sentence of their own.
    by_condition: dict[str, Observation] = {}
    by_processor: dict[str, Observation] = {}
    for name, conditions in available.items():
        observed = observe(conditions)
        if observed.hashes == usual:
            continue
        if conditions.processor:
            by_processor[conditions.processor] = observed
        else:
            by_condition[name] = observed
    if not by_condition and not by_processor:
        by_condition[f"{', '.join(available)} together"] = together
    lines = []
    if by_condition:
        lines.append(_sentence(address, usual, by_condition))
    if by_processor:
        lines.append(_processor_sentence(address, usual, by_processor))
    return lines


def _sentence(address: str, usual: Hashes, observed: Mapping[str, Observation]) -> str:
    """Return the finding about conditions, given the outcome under each of them by name."""
    names = ", ".join(observed)
    if any(each.failed for each in observed.values()):
        return f"{address} fails with another {names}"
    return f"{address}: {_changed(usual, observed.values())} changes with the {names}"


def _processor_sentence(address: str, usual: Hashes, observed: Mapping[str, Observation]) -> str:
    """Return the finding about imitated processors, given the outcome on each of them by name."""
    names = ", ".join(observed)
    if any(each.failed for each in observed.values()):
        return f"{address} depends on the processor: it fails with {names}"
    changed = _changed(usual, observed.values())
    sentence = f"{address} depends on the processor: {changed} differs with {names}"
    largest = max(each.largest for each in observed.values())
    return f"{sentence} ({largest_in_words(largest)})" if largest else sentence


def _changed(usual: Hashes, observations: Collection[Observation]) -> str:
    """Return the paths of the outputs that changed in at least one of the runs, joined by commas."""
    changed = []
    for path, hashed in usual.items():
        if any(each.hashes[path] != hashed for each in observations):
            changed.append(path)
    return ", ".join(changed)
