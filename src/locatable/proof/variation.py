"""Runs a stage of a proof under other conditions, and says what makes a difference to it."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..repository.checkout_stages import Output
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
        """Lines that say what depends on which conditions; the usual outputs are in the clone afterwards.

        Args:
            runner: runs the stage.
            usual: its run under the usual conditions, whose outputs are in the clone.
        """
        available = available_conditions(self.work, runner.checkout.tree, self.processor, self.recorded)
        self.varied |= dict.fromkeys(available)
        copies = {output: self._copy_of(output, runner) for output in runner.stage.outputs}
        for output, copy in copies.items():
            _move(output.path, copy)

        def observe(conditions: Conditions) -> Observation:
            attempt = runner.attempt(RunOptions(conditions=conditions))
            return self._compare(attempt, usual, copies, runner.checkout.root / RECORD)

        try:
            return find_dependence(runner.stage.address, usual.hashes, available, observe)
        finally:
            remove_from_memory(self.work)
            for output, copy in copies.items():
                remove(output.path)
                _move(copy, output.path)

    def _copy_of(self, output: Output, runner: StageRunner) -> Path:
        return self.work / "usual" / output.path.relative_to(runner.checkout.tree)

    def _compare(
        self, attempt: Attempt, usual: Attempt, copies: Mapping[Output, Path], record: Path
    ) -> Observation:
        """What an attempt did; what the tolerance accepts counts as the usual output.

        Args:
            attempt: the run.
            usual: the run under the usual conditions.
            copies: the outputs of that.
            record: the file that says under which settings results were made, where a stage writes one.
        """
        hashes = dict(attempt.hashes)
        largest = 0.0
        for output, copy in copies.items():
            if hashes[output.name] == usual.hashes[output.name]:
                continue
            if not (copy.exists() and output.path.exists()):
                continue
            found = compare_contents(copy, output.path, self.rtol)
            largest = max(largest, found.largest)
            tolerated = self.rtol > 0 and found.within_rtol and not found.opaque
            if tolerated or (output.path == record and _notes_variables(found)):
                hashes[output.name] = usual.hashes[output.name]
        return Observation(attempt.failed, hashes, largest)


def _notes_variables(found: Differences) -> bool:
    """Whether a record of the environment differs in the variables that were varied: it is there for that."""
    return not found.opaque and all(line.startswith("variables") for line in found.changed)


def _move(source: Path, target: Path) -> None:
    """Move an output, if the stage wrote it."""
    if source.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(source, target)
