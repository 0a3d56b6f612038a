"""Compare a rebuilt output with what is recorded of it. Nothing here reads a file."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ..model import Output
from .differences import Differences, in_words


class Verdict(StrEnum):
    """What came of an output."""

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
class Rebuilt:
    """An output as a stage wrote it.

    Attributes:
        hash: as DVC computes it, None where the stage wrote no such output.
        differences: from the recorded output, None where the two were not or could not be compared.
    """

    hash: str | None
    differences: Differences | None = None


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
        """Whether nothing is wrong with the output."""
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
        """Whether it differs, as far as is known, only in files whose values cannot be compared."""
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
    address: str, output: Output, rebuilt: Rebuilt | None, unproven: Verdict = Verdict.NOT_TRIED
) -> OutputVerdict:
    """Compare one output.

    Args:
        address: of the stage that writes it.
        output: the output, with its recorded hash.
        rebuilt: the output as rebuilt, None where the stage did not run.
        unproven: the verdict in that case.
    """
    return OutputVerdict(
        stage=address,
        output=output.path,
        recorded=output.recorded,
        rebuilt=rebuilt.hash if rebuilt else None,
        verdict=_judge(output, rebuilt) if rebuilt else unproven,
        differences=rebuilt.differences if rebuilt else None,
    )


def _judge(output: Output, rebuilt: Rebuilt) -> Verdict:
    if rebuilt.hash is None:
        return Verdict.MISSING
    if rebuilt.hash == output.recorded:
        return Verdict.IDENTICAL
    found = rebuilt.differences
    if found is None or found.opaque:
        return Verdict.DIFFERS
    if found.rtol > 0 and found.within_rtol:
        return Verdict.WITHIN_RTOL
    return Verdict.CLOSE if found.only_rounding else Verdict.DIFFERS
