"""Runs a stage of a proof under other conditions, and says what makes a difference to it."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..results.processor import Processor
from .attempts import Attempt, StageRunner
from .conditions import Conditions, Observation, available_conditions, find_dependence, remove_from_memory
from .contents import compare_contents
from .differences import Differences
from .environment import RECORD
from .recorded import remove
from .sandbox import RunOptions


@dataclass
class Variation:
    """Other conditions for the stages of a proof.

    Attributes:
        work: the folder that stages run in.
        processor: of this machine.
        recorded: environment variables that a proof sets as recorded.
        rtol: relative difference up to which numbers count as equal.
        varied: names of the conditions that were changed so far.
    """

    work: Path
    processor: Processor
    recorded: Mapping[str, str]
    rtol: float
    varied: dict[str, None] = field(default_factory=dict)

    def findings(self, runner: StageRunner, usual: Attempt) -> list[str]:
        """Return lines that say what depends on which conditions.

        The usual outputs are in the clone afterwards.

        Args:
            runner: runs the stage.
            usual: its run under the usual conditions, whose outputs are in the clone.
        """
        available = available_conditions(self.work, runner.checkout.tree, self.processor, self.recorded)
        self.varied |= dict.fromkeys(available)
        root = runner.checkout.root
        copies = {path: self.work / "usual" / path for path in runner.stage.outs}
        for path, copy in copies.items():
            _move(root / path, copy)

        def observe(conditions: Conditions) -> Observation:
            attempt = runner.attempt(RunOptions(conditions=conditions))
            return self._compare(attempt, usual, copies, root)

        try:
            return find_dependence(runner.stage.address, usual.hashes, available, observe)
        finally:
            remove_from_memory(self.work)
            for path, copy in copies.items():
                remove(root / path)
                _move(copy, root / path)

    def _compare(
        self, attempt: Attempt, usual: Attempt, copies: Mapping[str, Path], root: Path
    ) -> Observation:
        """Return what an attempt did; what the tolerance accepts counts as the usual output.

        Args:
            attempt: the run.
            usual: the run under the usual conditions.
            copies: the outputs of that, by path.
            root: the DVC root in the clone.
        """
        hashes = dict(attempt.hashes)
        largest = 0.0
        for path, copy in copies.items():
            if hashes[path] == usual.hashes[path]:
                continue
            if not (copy.exists() and (root / path).exists()):
                continue
            found = compare_contents(copy, root / path, self.rtol)
            largest = max(largest, found.largest)
            tolerated = self.rtol > 0 and found.within_rtol and not found.opaque
            if tolerated or (path == RECORD and _notes_variables(found)):
                hashes[path] = usual.hashes[path]
        return Observation(attempt.failed, hashes, largest)


def _notes_variables(found: Differences) -> bool:
    """Whether a record of the environment differs in the variables that were varied: it is there for that."""
    return not found.opaque and all(line.startswith("variables") for line in found.changed)


def _move(source: Path, target: Path) -> None:
    """Move an output, if the stage wrote it."""
    if source.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(source, target)
