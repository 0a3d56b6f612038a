"""Describe the processor of a machine, and how NumPy and BLAS use it: both decide how numbers are rounded."""

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from ..errors import GitError
from ..git import git

CPU_INFO = Path("/proc/cpuinfo")
# Seconds after which a Python that hangs while it starts is given up.
LONGEST_START = 60
# This runs in the Python of the stages, because the libraries that are installed there matter.
PROBE = """
import json
try:
    from numpy._core import _multiarray_umath as numpy
except ImportError:
    from numpy.core import _multiarray_umath as numpy
found = [name for name in numpy.__cpu_dispatch__ if numpy.__cpu_features__.get(name)]
blas, threads = "", None
try:
    from threadpoolctl import threadpool_info
    library = next(each for each in threadpool_info() if each["user_api"] == "blas")
    name = library.get("internal_api"), library.get("version"), library.get("architecture")
    blas, threads = " ".join(part for part in name if part), library["num_threads"]
except (ImportError, StopIteration):
    pass
print(json.dumps({"numpy_features": found, "blas": blas, "threads": threads}))
"""


@dataclass(frozen=True)
class Processor:
    """The processor of a machine, and what the libraries choose for it by default.

    Attributes:
        name: the name of the processor according to the operating system.
        cpus: the number of CPUs that this process may use.
        blas: NumPy's BLAS with its version and kernel; empty if unknown.
        threads: the number of threads that BLAS uses, or None if unknown.
        numpy_features: the processor features for which NumPy uses specialized code.
    """

    name: str
    cpus: int
    blas: str = ""
    threads: int | None = None
    numpy_features: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [self.name, f"{self.cpus} CPUs"]
        if self.blas:
            parts.append(self.blas)
        if self.threads is not None:
            parts.append(f"{self.threads} BLAS threads")
        return ", ".join(parts)

    def to_json(self) -> dict[str, Any]:
        """Return all fields as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the processor from the values of `to_json`.

        Raises:
            TypeError: the values do not describe a processor.
        """
        features = tuple(values.get("numpy_features", ())) if isinstance(values, Mapping) else ()
        return cls(**{**values, "numpy_features": features})


def count_cpus() -> int:
    """Return the number of CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def describe_processor(python: Sequence[str], variables: Mapping[str, str]) -> Processor:
    """Return the processor of this machine, and how the libraries of the stages' Python use it.

    Args:
        python: the command that starts the Python of the stages. If NumPy is not installed there, the fields
            about libraries stay unknown.
        variables: the environment variables that are set for stages.
    """
    found = _run_probe(python, variables)
    return Processor(
        name=_name(),
        cpus=count_cpus(),
        blas=found.get("blas", ""),
        threads=found.get("threads"),
        numpy_features=tuple(found.get("numpy_features", ())),
    )


def _run_probe(python: Sequence[str], variables: Mapping[str, str]) -> dict[str, Any]:
    """Return what PROBE prints, or an empty dict if it fails, for example because NumPy is missing."""
    try:
        done = subprocess.run(
            [*python, "-I", "-c", PROBE],
            env={"PATH": os.environ.get("PATH", ""), **variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=LONGEST_START,
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    if done.returncode:
        return {}
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _name() -> str:
    """Return the name of the processor, or its architecture and the numbers that Linux knows it by."""
    try:
        lines = CPU_INFO.read_text().splitlines()
    except OSError:
        lines = []
    facts = {}
    for line in lines:
        key, _, value = line.partition(":")
        facts[key.strip()] = value.strip()
    if "model name" in facts:
        return facts["model name"]
    parts = [platform.processor() or platform.machine()]
    # For ARM processors, /proc/cpuinfo has numbers instead of a name.
    for key in ("CPU implementer", "CPU part"):
        if key in facts:
            parts.append(f"{key} {facts[key]}")
    return " ".join(parts)


# Processors are recorded as Git notes under refs/notes/locatable.
REF = "locatable"
# Git needs an author for each note. It is not the user, who may not have set a name.
AUTHOR = {"user.name": "locatable", "user.email": "locatable@localhost"}


def write_processor(root: Path, rev: str, processor: Processor) -> None:
    """Attach a Git note to a commit that says which processor its results were computed on.

    Raises:
        GitError: Git cannot write the note, for example because another process is writing one.
    """
    text = json.dumps(processor.to_json(), sort_keys=True)
    git(root, "notes", "--ref", REF, "add", "--force", "--message", text, rev, settings=AUTHOR)


def read_processor(root: Path, rev: str) -> Processor | None:
    """Return the processor that the results of a commit were computed on, or None if it has no such note."""
    try:
        note = json.loads(git(root, "notes", "--ref", REF, "show", rev))
        return Processor.from_json(note)
    except (GitError, TypeError, ValueError):
        return None
