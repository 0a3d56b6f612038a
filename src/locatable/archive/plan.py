"""What belongs into an archive, and what is refused; decided before anything is read or written."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from shlex import quote

from ..errors import ProjectError, UsageError
from ..model import Output
from ..proof.plan import ProofPlan
from ..repository.snapshot import Snapshot
from ..results.locks import CONDA_LOCK
from .format import is_safe
from .privacy import Concern

GIGABYTE = 1_000_000_000
_UNITS = {"B": 1, "KB": 1_000, "MB": 1_000_000, "GB": GIGABYTE, "TB": 1_000 * GIGABYTE}
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([KMGT]?)B?", re.IGNORECASE)
# What cannot leave is named in one line.
_MOST_NAMED = 8
LOCKS = ("requirements.lock", "tools.lock")
# Beside the pipeline: what a reader without Git wants to see first.
_FILES = (*LOCKS, CONDA_LOCK, "environment.json", "params.yaml", "pyproject.toml")
LICENCE = re.compile(r"(LICEN[CS]E|COPYING)(\.(md|rst|txt))?", re.IGNORECASE)


@dataclass(frozen=True)
class ArchivePlan:
    """What an archive holds beside the history.

    Attributes:
        sources: what stages depend on and DVC keeps: tracked data, and outputs of frozen stages.
        outputs: what DVC keeps of what stages write.
        files: paths of files that Git keeps and of which there are copies.
    """

    sources: tuple[Output, ...]
    outputs: tuple[Output, ...]
    files: tuple[str, ...]

    @property
    def kept_by_dvc(self) -> tuple[Output, ...]:
        """All that comes out of DVC's cache or remote."""
        return (*self.sources, *self.outputs)


def plan_archive(proof: ProofPlan, snapshot: Snapshot, with_outputs: bool) -> ArchivePlan:
    """Decide what an archive holds.

    Args:
        proof: what the proof of the same revision needs.
        snapshot: the revision.
        with_outputs: whether recorded outputs are in it, which a rebuild does not need.
    """
    sources = dict.fromkeys(output for planned in proof.stages for output in planned.fetched)
    outputs = [output for output in proof.rebuilt if output.cached and output.recorded]
    files = [path for path in snapshot.files if path.rpartition("/")[2] in ("dvc.yaml", "dvc.lock")]
    files += [file for stage in snapshot.records.values() for file in stage.params]
    files += _FILES
    files += [name for name in snapshot.root_files() if LICENCE.fullmatch(name)]
    if with_outputs:
        files += [output.path for output in proof.rebuilt if not output.cached]
    return ArchivePlan(
        sources=tuple(sources),
        outputs=tuple(outputs) if with_outputs else (),
        # Of a file outside of the project there is no copy, nor of one whose name Windows cannot have.
        files=tuple(path for path in sorted(set(files)) if is_safe(path)),
    )


def planned_size(plan: ArchivePlan, history: int) -> int:
    """About how many bytes an archive takes, as far as that is recorded.

    Args:
        plan: what it holds.
        history: bytes of the history.
    """
    return history + sum(output.size for output in plan.kept_by_dvc)


def refusal(concerns: Sequence[Concern]) -> ProjectError:
    """The error that names what may have to stay here."""
    named = "; ".join(str(concern) for concern in concerns[:_MOST_NAMED])
    more = len(concerns) - _MOST_NAMED
    rest = f"; and {more} more" if more > 0 else ""
    names = dict.fromkeys(concern.name for concern in concerns[:_MOST_NAMED])
    options = " ".join(f"--include {quote(name)}" for name in names)
    return ProjectError(f"not for others, perhaps: {named}{rest}", f"if they may have it: {options}")


def too_large(size: int, limit: int) -> ProjectError:
    """The error for an archive that nobody has agreed to."""
    return ProjectError(
        f"the archive would take {show_size(size)}, and the limit is {show_size(limit)}",
        f"`--max-size {show_size(size * 11 // 10)}` raises it, `--no-outputs` leaves out what can be rebuilt",
    )


def parse_size(text: str) -> int:
    """A number of bytes, as `500MB`.

    Raises:
        UsageError: it is none.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text}: a size is a number with KB, MB, GB or TB, such as 5GB")
    return int(float(match[1]) * _UNITS[f"{match[2].upper()}B"])


def show_size(size: int) -> str:
    """A number of bytes as a person reads it, and `parse_size` too."""
    for unit in ("TB", "GB", "MB", "KB"):
        if size >= _UNITS[unit]:
            return f"{size / _UNITS[unit]:.1f}{unit}"
    return f"{size}B"


def unanswered(include: Iterable[str], concerns: Iterable[Concern]) -> list[str]:
    """What `--include` names and nothing holds back."""
    names = {concern.name for concern in concerns}
    return [name for name in include if name not in names]
