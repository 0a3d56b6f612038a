"""Compare a rebuilt output with what is recorded of it. Nothing here reads a file."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from ..dvc.stages import Output
from ..keys import flatten

Values = Mapping[str, Any]


class Verdict(StrEnum):
    """What came of an output."""

    IDENTICAL = "identical"
    WITHIN_RTOL = "within rtol"
    DIFFERS = "differs"
    MISSING = "missing"
    NOT_TRIED = "not tried"


AS_RECORDED = frozenset({Verdict.IDENTICAL, Verdict.WITHIN_RTOL})


@dataclass(frozen=True)
class Rebuilt:
    """An output as a stage wrote it.

    Attributes:
        hash: as DVC computes it, None where the stage wrote no such output.
        values: of a JSON, YAML or TOML output, by dotted key; None for any other.
    """

    hash: str | None
    values: Values | None = None


@dataclass(frozen=True)
class OutputVerdict:
    """One output of a stage: what is recorded, what was rebuilt, and how they compare.

    Attributes:
        stage: the stage's address.
        output: the output's name.
        path: where it is, absolute.
        recorded: its hash in dvc.lock, None where there is none.
        rebuilt: its hash after the rebuild, None where there is no output.
        verdict: how they compare.
        changed: one line per value that differs, where values can be compared.
    """

    stage: str
    output: str
    path: Path
    recorded: str | None
    rebuilt: str | None
    verdict: Verdict
    changed: tuple[str, ...] = ()

    @property
    def as_recorded(self) -> bool:
        """Whether nothing is wrong with the output."""
        return self.verdict in AS_RECORDED

    def to_json(self) -> dict[str, Any]:
        """The verdict as a report in JSON has it."""
        return {
            "stage": self.stage,
            "output": self.output,
            "recorded": self.recorded,
            "rebuilt": self.rebuilt,
            "verdict": str(self.verdict),
            "changed": list(self.changed),
        }


def compare(
    address: str, output: Output, recorded: Values | None, rebuilt: Rebuilt | None, rtol: float
) -> OutputVerdict:
    """Compare one output.

    Args:
        address: of the stage that writes it.
        output: the output, with its recorded hash.
        recorded: its recorded values by dotted key, None where it has none.
        rebuilt: the output as rebuilt, None where the stage did not run.
        rtol: relative difference up to which numbers count as equal, see `changed_values`.
    """
    changed: list[str] = []
    if rebuilt is None:
        verdict = Verdict.NOT_TRIED
    elif rebuilt.hash is None:
        verdict = Verdict.MISSING
    elif rebuilt.hash == output.recorded:
        verdict = Verdict.IDENTICAL
    elif recorded is None or rebuilt.values is None:
        verdict = Verdict.DIFFERS
    else:
        changed = changed_values(recorded, rebuilt.values, rtol)
        tolerated = rtol > 0 and not changed
        verdict = Verdict.WITHIN_RTOL if tolerated else Verdict.DIFFERS
    return OutputVerdict(
        stage=address,
        output=output.name,
        path=output.path,
        recorded=output.recorded,
        rebuilt=rebuilt.hash if rebuilt else None,
        verdict=verdict,
        changed=tuple(changed),
    )


def changed_values(recorded: Values, rebuilt: Values, rtol: float) -> list[str]:
    """One line per value that differs, numbers by more than `rtol` times the larger one."""
    lines = []
    for key in sorted(recorded.keys() | rebuilt.keys()):
        if not _equal(recorded.get(key), rebuilt.get(key), rtol):
            lines.append(f"{key} {recorded.get(key, 'nothing')} -> {rebuilt.get(key, 'nothing')}")
    return lines


def values_by_key(content: Any) -> Values:
    """All values in the content of a file by dotted key, those of lists by their position."""
    if isinstance(content, list):
        content = dict(enumerate(content)) or content
    if isinstance(content, Mapping) and content:
        return flatten(content, lists=True)
    # A file that holds a single value, or none.
    return {"": content}


def _equal(one: Any, other: Any, rtol: float) -> bool:
    if _is_nan(one) and _is_nan(other):
        return True
    if _is_number(one) and _is_number(other):
        return math.isclose(one, other, rel_tol=rtol)
    return bool(one == other)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
