"""Judges rebuilt outputs by what is recorded of them. Nothing here reads a file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from ..model import Output, Stage, overlaps
from .contents import Differences, in_words


class Verdict(StrEnum):
    """The outcome for an output, as a user reads it."""

    IDENTICAL = "identical"
    WITHIN_RTOL = "within rtol"
    NUMBERS_AFTER = "differs, numbers after it within rtol"
    CLOSE = "close"
    DIFFERS = "differs"
    MISSING = "missing"
    NOT_TRIED = "not tried"
    FROZEN = "frozen, not proven"


AS_RECORDED = frozenset({Verdict.IDENTICAL, Verdict.WITHIN_RTOL, Verdict.NUMBERS_AFTER})


@dataclass(frozen=True)
class OutputVerdict:
    """One output of a stage: what is recorded, what was rebuilt, and how they compare.

    Attributes:
        stage: the stage's address.
        output: the path of the output, relative to the DVC root.
        recorded: its hash in dvc.lock, None where there is none.
        rebuilt: its hash after the rebuild, None where there is no output.
        verdict: how they compare.
        differences: in their values, None where these were not or could not be compared.
    """

    stage: str
    output: str
    recorded: str | None
    rebuilt: str | None
    verdict: Verdict
    differences: Differences | None = None

    @property
    def as_recorded(self) -> bool:
        """True if nothing is wrong with the output."""
        return self.verdict in AS_RECORDED

    @property
    def changed(self) -> tuple[str, ...]:
        """One line for each of the first values that differ, where values can be compared."""
        return tuple(self.differences.changed) if self.differences else ()

    @property
    def largest(self) -> float | None:
        """The largest relative difference of two numbers; None where no numbers are known to differ."""
        return self.differences.largest or None if self.differences else None

    @property
    def only_opaque(self) -> bool:
        """True if it differs, as far as is known, only in files whose values cannot be compared."""
        found = self.differences
        if self.verdict is not Verdict.DIFFERS or found is None:
            return False
        return bool(found.opaque) and found.within_rtol

    def __str__(self) -> str:
        """Return the verdict as a table shows it."""
        figure = f" ({in_words(self.largest)})" if self.largest else ""
        return f"{self.verdict}{figure}"

    def to_json(self) -> dict[str, Any]:
        """Return the verdict as a report in JSON has it."""
        return {
            "stage": self.stage,
            "output": self.output,
            "recorded": self.recorded,
            "rebuilt": self.rebuilt,
            "verdict": str(self.verdict),
            "changed": list(self.changed),
            "largest_relative_difference": self.largest,
            "not_compared": list(self.differences.opaque) if self.differences else [],
        }


def compare(
    address: str, output: Output, rebuilt: str | None, differences: Differences | None = None
) -> OutputVerdict:
    """Compare one output of a stage that ran.

    Args:
        address: of the stage.
        output: the output, with its recorded hash.
        rebuilt: its hash as DVC computes it, None where the stage wrote no such output.
        differences: from the recorded output, None where the two were not or could not be compared.
    """
    verdict = Verdict.DIFFERS
    if rebuilt is None:
        verdict = Verdict.MISSING
    elif rebuilt == output.recorded:
        verdict = Verdict.IDENTICAL
    elif differences and not differences.opaque:
        if differences.rtol > 0 and differences.within_rtol:
            verdict = Verdict.WITHIN_RTOL
        elif differences.only_rounding:
            verdict = Verdict.CLOSE
    return OutputVerdict(address, output.path, output.recorded, rebuilt, verdict, differences)


def unproven(stage: Stage, verdict: Verdict) -> list[OutputVerdict]:
    """Return this verdict on each output of a stage that does not run."""
    verdicts = []
    for output in stage.outs.values():
        verdicts.append(OutputVerdict(stage.address, output.path, output.recorded, None, verdict))
    return verdicts


def accept_by_what_follows(
    verdicts: Sequence[OutputVerdict], stages: Sequence[Stage], has_numbers: Callable[[str], bool]
) -> list[OutputVerdict]:
    """Return the verdicts of a proof with a tolerance, once all its stages have run.

    Of an output without numbers, such as a model, all that can be said is what comes of it. Where its bytes
    differ it is accepted if every stage that reads it was rebuilt, wrote nothing but what is as recorded or
    within the tolerance, and if numbers are among that.

    Args:
        verdicts: one for each output.
        stages: all stages of the revision, each after those that it depends on.
        has_numbers: whether numbers can be read from the output at a path.
    """
    judged = list(verdicts)
    # The last stages first: a model can be made of a model.
    for stage in reversed(stages):
        for position, verdict in enumerate(judged):
            if verdict.stage != stage.address or not verdict.only_opaque:
                continue
            readers = {each.address for each in stages if overlaps(verdict.output, each.deps)}
            after = [each for each in judged if each.stage in readers]
            # A reader that was not rebuilt, or writes nothing, leaves it open.
            all_known = readers == {each.stage for each in after}
            if all_known and _are_accepted_numbers(after, has_numbers):
                judged[position] = replace(verdict, verdict=Verdict.NUMBERS_AFTER)
    return judged


def _are_accepted_numbers(verdicts: list[OutputVerdict], has_numbers: Callable[[str], bool]) -> bool:
    """Return whether all of some outputs are accepted, and numbers are among them or follow from them."""
    seen_numbers = False
    for each in verdicts:
        if not each.as_recorded:
            return False
        if each.verdict is Verdict.NUMBERS_AFTER or has_numbers(each.output):
            seen_numbers = True
    return seen_numbers
