"""What of a machine decides how numbers are rounded: its processor, and what NumPy and BLAS make of it."""

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
# A program that hangs at its start must not hold up what asks.
LONGEST_START = 60
# Run by the Python that stages use: what is installed there decides.
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
    """A machine's processor, and what libraries choose by it where nothing else is set.

    Attributes:
        name: of the processor, as the machine has it.
        cpus: how many processors this process may use.
        blas: NumPy's BLAS with its version and kernel; empty where it is not known.
        threads: how many threads it uses, None where that is not known.
        numpy_features: features of the processor for which NumPy has code of its own.
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
        """Return all of it as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the processor that `to_json` made plain values of.

        Raises:
            TypeError: it is none.
        """
        features = tuple(values.get("numpy_features", ())) if isinstance(values, Mapping) else ()
        return cls(**{**values, "numpy_features": features})


def count_cpus() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def describe_processor(python: Sequence[str], variables: Mapping[str, str]) -> Processor:
    """Return the processor of this machine, and what the libraries of a Python make of it.

    Args:
        python: the command that runs the Python of stages; without NumPy in it, the libraries are not known.
        variables: environment variables that are set for stages.
    """
    found = _ask_libraries(python, variables)
    return Processor(
        name=_name(),
        cpus=count_cpus(),
        blas=found.get("blas", ""),
        threads=found.get("threads"),
        numpy_features=tuple(found.get("numpy_features", ())),
    )


def _ask_libraries(python: Sequence[str], variables: Mapping[str, str]) -> dict[str, Any]:
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
    """Return the processor's name; where it has none, its kind and the numbers that Linux has for it."""
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
    # An ARM processor has numbers in place of a name.
    for key in ("CPU implementer", "CPU part"):
        if key in facts:
            parts.append(f"{key} {facts[key]}")
    return " ".join(parts)


REF = "locatable"
# Git needs a name for every commit, and a note is nobody's work.
AUTHOR = {"user.name": "locatable", "user.email": "locatable@localhost"}


def write_processor(root: Path, rev: str, processor: Processor) -> None:
    """Note on a commit which processor its results were computed on.

    Raises:
        GitError: Git refuses; another process may be writing a note.
    """
    text = json.dumps(processor.to_json(), sort_keys=True)
    git(root, "notes", "--ref", REF, "add", "--force", "--message", text, rev, settings=AUTHOR)


def read_processor(root: Path, rev: str) -> Processor | None:
    """Return which processor the results of a commit were computed on; None where nobody noted it."""
    try:
        noted = json.loads(git(root, "notes", "--ref", REF, "show", rev))
        return Processor.from_json(noted)
    except (GitError, TypeError, ValueError):
        return None
