"""A number as texts quote it, `0.133`, `94.7%` or `1.3×10⁻⁵`, and which values print so.

A value prints so if one of the usual ways to round gives it: half up, half to even, or as Python does, which
rounds the binary number that a decimal one is stored as (`f"{2.675:.2f}"` is 2.67).
"""

import math
import re
from contextlib import suppress
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal, InvalidOperation
from functools import cached_property
from typing import Any

# Longer texts are no numbers that anybody quotes.
MOST_CHARACTERS = 200
# Enough for all digits of every float.
_CONTEXT = Context(prec=1_200, Emax=99_999, Emin=-99_999)
_MINUS = str.maketrans(dict.fromkeys("−–‒﹣－", "-"))
_SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺"
_PLAIN = str.maketrans(_SUPERSCRIPTS, "0123456789-+")
# What can stand between thousands: also a space that does not break, a thin one, and both at once.
_SPACE = " \u00a0\u2009\u202f"
_MANTISSA = (
    rf"(?:\d{{1,3}}(?:[,'’_{_SPACE}]\d{{3}})+(?:\.\d*)?|\d{{1,3}}(?:\.\d{{3}})+,\d+|\d+(?:[.,]\d*)?|[.,]\d+)"
)
_EXPONENT = (
    rf"(?:[eE](?P<e>[-+]?\d+)|\s*(?:[×x*·]|\\times|\\cdot)\s*10(?:\^?\{{?(?P<ten>[-+]?\d+)\}}?|"
    rf"(?P<raised>[{_SUPERSCRIPTS}]+)))"
)
# Nobody writes 0007: that is a name.
_NUMBER = rf"\$?(?P<sign>[-+]?)\s?(?P<mantissa>(?!0\d){_MANTISSA})(?:{_EXPONENT})?\s?(?P<percent>\\?%)?\$?"
# A name comes before, as in `valid.log_loss 0.133` or `valid.log_loss=0.133`.
_QUOTED = re.compile(rf"(?:(?P<key>\S.*?)\s*[\s=]\s*)??{_NUMBER}", re.DOTALL)
_THOUSANDS = re.compile(rf"[1-9]\d{{0,2}}(?:[,'’_{_SPACE}]\d{{3}})+(?:\.\d*)?")
# What parts the words of a name: `log loss` means `log_loss`, and `valid/log_loss` `valid.log_loss`.
_BETWEEN_WORDS = re.compile(r"[\s_\-./:]+")


@dataclass(frozen=True)
class QuotedNumber:
    """A number with the digits that it was quoted with.

    Attributes:
        numbers: what it can stand for, best first: 94.7% is 0.947, and also 94.7 of a metric in percent.
        key: name of the value, or the end of it; empty where none was given.
    """

    numbers: tuple[Decimal, ...]
    key: str = ""

    def is_printed(self, value: Any) -> bool:
        """Return whether a value, or a text that is a number, prints so, rounded to as many digits."""
        real = _number_in(value)
        if real is None:
            return False
        near = [number for number, low, high in self._ranges if low <= real <= high]
        return any(_rounds_to(real, number) for number in near)

    @cached_property
    def _ranges(self) -> list[tuple[Decimal, float, float]]:
        """Each number, and between which values all lie that round to it: a quick test for thousands."""
        ranges = []
        for number in self.numbers:
            middle, digit = float(number), float(f"1e{_exponent(number)}")
            # Whole numbers have digits that floats have not.
            digit += 2 * math.ulp(middle)
            ranges.append((number, middle - digit, middle + digit))
        return ranges

    def is_exact(self, value: Any) -> bool:
        """Return whether a value is the number itself."""
        real = _number_in(value)
        return real is not None and any(Decimal(repr(real)) == number for number in self.numbers)

    def names(self, key: str) -> bool:
        """Whether a key can be meant: its last words are those that were given."""
        asked, words = _words(self.key), _words(key)
        return not asked or words[-len(asked) :] == asked


def parse_quoted(text: str) -> QuotedNumber | None:
    """Read a number with or without the name of the value before it; None where the text has no number."""
    if len(text) > MOST_CHARACTERS:
        return None
    match = _QUOTED.fullmatch(text.strip().translate(_MINUS))
    if not match:
        return None
    exponent = match["e"] or match["ten"] or (match["raised"] or "").translate(_PLAIN) or "0"
    try:
        number = _CONTEXT.create_decimal(
            f"{match['sign']}{_without_separators(match['mantissa'])}e{exponent}"
        )
    except InvalidOperation:
        return None  # an exponent such as `+-+`, or one of hundreds of digits
    if not number.is_finite():
        return None
    numbers = (_CONTEXT.scaleb(number, -2), number) if match["percent"] else (number,)
    return QuotedNumber(numbers, match["key"] or "")


def _without_separators(mantissa: str) -> str:
    """Digits with a decimal point, and nothing between thousands."""
    if _THOUSANDS.fullmatch(mantissa):
        return re.sub(rf"[,'’_{_SPACE}]", "", mantissa)
    if "," in mantissa:  # as people write who have points between thousands
        return mantissa.replace(".", "").replace(",", ".")
    return mantissa


def _exponent(number: Decimal) -> int:
    """The place of the last digit."""
    exponent = number.as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0


def _number_in(value: Any) -> int | float | None:
    """The number that a value is, or that it has as text, as MLflow shows it; None where it is none."""
    if isinstance(value, str) and len(value) <= MOST_CHARACTERS:
        for kind in (int, float):
            with suppress(ValueError):
                return kind(value)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _rounds_to(value: float, number: Decimal) -> bool:
    if not math.isfinite(value):
        return False
    digit = Decimal((0, (1,), _exponent(number)))
    shortest = Decimal(repr(value))
    return number in (
        shortest.quantize(digit, ROUND_HALF_UP, _CONTEXT),
        shortest.quantize(digit, ROUND_HALF_EVEN, _CONTEXT),
        Decimal(value).quantize(digit, ROUND_HALF_EVEN, _CONTEXT),
    )


def _words(key: str) -> list[str]:
    return [word for word in _BETWEEN_WORDS.split(key.casefold()) if word]
