"""What differs between two contents, gathered value by value. Nothing here reads a file."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..model import flatten_all

Values = Mapping[str, Any]

# Relative difference up to which numbers count as equal up to rounding: that of `math.isclose`.
ROUNDING = 1e-9
# So many values that differ are kept for the report.
MOST_LINES = 20


class Nothing:
    """What stands where only the other content has a value."""

    def __str__(self) -> str:
        return "nothing"


NOTHING = Nothing()


@dataclass
class Differences:
    """What differs between a recorded and a rebuilt output.

    Attributes:
        rtol: relative difference up to which numbers count as equal.
        largest: the largest relative difference between two numbers at the same place.
        only_rounding: whether all values are equal, numbers up to rounding.
        within_rtol: whether all values are equal, numbers up to `rtol`.
        changed: one line for each of the first values that differ by more than that.
        opaque: files whose bytes differ and whose values cannot be compared.
    """

    rtol: float = 0.0
    largest: float = 0.0
    only_rounding: bool = True
    within_rtol: bool = True
    changed: list[str] = field(default_factory=list)
    opaque: list[str] = field(default_factory=list)

    def add(self, place: str, recorded: Any, rebuilt: Any) -> None:
        """Compare the two values at one place."""
        if _equal(recorded, rebuilt):
            return
        relative = relative_difference(recorded, rebuilt)
        if relative is None:
            self.only_rounding = False
        else:
            self.largest = max(self.largest, relative)
            # A whole number is not rounded.
            whole = isinstance(recorded, int) and isinstance(rebuilt, int)
            if whole or relative > ROUNDING:
                self.only_rounding = False
            if relative <= self.rtol:
                return
        self.within_rtol = False
        if len(self.changed) < MOST_LINES:
            self.changed.append(f"{place} {recorded} -> {rebuilt}")

    def add_all(self, prefix: str, recorded: Values, rebuilt: Values) -> None:
        """Compare all values of two contents by their keys."""
        for key in sorted(recorded.keys() | rebuilt.keys()):
            self.add(f"{prefix}{key}", recorded.get(key, NOTHING), rebuilt.get(key, NOTHING))

    def add_opaque(self, place: str) -> None:
        """Note a file whose bytes differ and whose values cannot be compared."""
        self.opaque.append(place)


def relative_difference(one: Any, other: Any) -> float | None:
    """Return how far two numbers are apart, relative to the larger one.

    None where they are not finite numbers.
    """
    if not (is_number(one) and is_number(other)):
        return None
    try:
        if not (math.isfinite(one) and math.isfinite(other)):
            return None
        larger = max(abs(one), abs(other))
        return float(abs(one - other) / larger) if larger else 0.0
    except OverflowError:
        # Whole numbers beyond the range of floats.
        return None


def in_words(largest: float) -> str:
    """Return the largest relative difference as a user reads it."""
    return f"largest relative difference {largest:.1g}"


def values_by_key(content: Any) -> Values:
    """Return all values in the content of a file by dotted key, those of lists by their position."""
    if isinstance(content, list):
        content = dict(enumerate(content)) or content
    if isinstance(content, Mapping) and content:
        return flatten_all(content, lists=True)
    # A file that holds a single value, or none.
    return {"": content}


def is_number(value: Any) -> bool:
    """Return whether a value is a number; truth values are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _equal(one: Any, other: Any) -> bool:
    if _is_nan(one) and _is_nan(other):
        return True
    if isinstance(one, bool) != isinstance(other, bool):
        return False
    return bool(one == other)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
