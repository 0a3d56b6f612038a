"""Numbers that a text quotes, and the results with a metric or param that prints so."""

import math
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal, InvalidOperation
from functools import cached_property
from itertools import islice
from typing import Any

from ..errors import NotFoundError, UnreadableError
from ..repository.reader import TOGETHER, Reader
from ..repository.snapshot import Snapshot
from ..results.values import NamedValue, ValueKind, preload_values, values_of
from .by_content import Commits
from .result import Located, Result, ValueRole, hints, shortened

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
NUMBER = rf"\$?(?P<sign>[-+]?)\s?(?P<mantissa>(?!0\d){_MANTISSA})(?:{_EXPONENT})?\s?(?P<percent>\\?%)?\$?"
# A name comes before, as in `valid.log_loss 0.133` or `valid.log_loss=0.133`.
_QUOTED = re.compile(rf"(?:(?P<key>\S.*?)\s*[\s=]\s*)??{NUMBER}", re.DOTALL)
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
        """Return true where a value, or a text that is a number, prints so, rounded to as many digits."""
        real = number_in(value)
        if real is None:
            return False
        return any(low <= real <= high and _rounds_to(real, number) for number, low, high in self._ranges)

    @cached_property
    def _ranges(self) -> list[tuple[Decimal, float, float]]:
        """Each number, and bounds of the values that can round to it: a quick test for thousands."""
        ranges = []
        for number in self.numbers:
            middle = float(number)
            # Whole numbers have digits that floats have not.
            digit = float(f"1e{last_place(number)}") + 2 * math.ulp(middle)
            ranges.append((number, middle - digit, middle + digit))
        return ranges

    def is_exact(self, value: Any) -> bool:
        """Return true where a value is the number itself."""
        real = number_in(value)
        return real is not None and Decimal(repr(real)) in self.numbers

    def as_written(self, value: Any, like: Any) -> str:
        """Return another value with as many digits, in percent where the number is a percentage of `like`."""
        real, other = number_in(value), number_in(like)
        if real is None or other is None or not math.isfinite(real):
            return str(value)
        for position, number in enumerate(self.numbers):
            if _rounds_to(other, number):
                digit = Decimal((0, (1,), last_place(number)))
                rounded = Decimal(repr(real)).quantize(digit, ROUND_HALF_EVEN, _CONTEXT)
                is_fraction = position < len(self.numbers) - 1
                return str(_CONTEXT.scaleb(rounded, 2) if is_fraction else rounded)
        return str(value)

    def names(self, key: str) -> bool:
        """Return true where a key can be meant: its last words are those that were given."""
        asked = _words(self.key)
        return not asked or _words(key)[-len(asked) :] == asked


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
    """Return the digits with a decimal point, and nothing between thousands."""
    if _THOUSANDS.fullmatch(mantissa):
        return re.sub(rf"[,'’_{_SPACE}]", "", mantissa)
    if "," in mantissa:  # as people write who have points between thousands
        return mantissa.replace(".", "").replace(",", ".")
    return mantissa


def last_place(number: Decimal) -> int:
    """Return the place of the last digit: -2 for 0.13."""
    exponent = number.as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0


def number_in(value: Any) -> int | float | None:
    """Return a number; also that of a text, as MLflow shows it; None where there is none."""
    if isinstance(value, str) and len(value) <= MOST_CHARACTERS:
        # A whole number of many digits is not what its float is.
        for kind in (int, float):
            with suppress(ValueError):
                return kind(value)
    # True is a number for Python alone.
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _rounds_to(value: float, number: Decimal) -> bool:
    if not math.isfinite(value):
        return False
    digit = Decimal((0, (1,), last_place(number)))
    # Programs round the shortest text of a float or its exact value, half up or half to even.
    shortest = Decimal(repr(value))
    return number in (
        shortest.quantize(digit, ROUND_HALF_UP, _CONTEXT),
        shortest.quantize(digit, ROUND_HALF_EVEN, _CONTEXT),
        Decimal(value).quantize(digit, ROUND_HALF_EVEN, _CONTEXT),
    )


def _words(key: str) -> list[str]:
    return list(filter(None, _BETWEEN_WORDS.split(key.casefold())))


# Numbers in a text

# Significant digits that a number needs to say which result it is of, and one with a power of ten.
FEWEST_DIGITS = 3
FEWEST_WITH_POWER = 2
_NUMBERED = (
    r"fig(?:ures?|s?\.)|tab(?:les?|s?\.)|sec(?:tions?|s?\.)|chap(?:ters?|\.)|equations?|eqn?s?\.|appendix|"
    r"algorithm|theorem|lemma|listing|lines?|pages?|pp?\.|vol(?:ume|\.)|nos?\.|issue|grant|refs?\."
)
# Digits that are no measured number. Each pattern takes time in proportion to the text.
_NOT_MEASURED = {
    # https://example.org/0.951, www.example.org/123
    "URL": r"https?://\S+|www\.\S+",
    # group123@example.org
    "e-mail address": r"\S{1,80}@\S{1,80}\.\w+",
    # 10.1234/567.891, arXiv:2103.00020, ISBN 978-3-16-148410-0
    "identifier": r"\b10\.\d{4,9}/\S+|\barxiv:?\s*\S+|\b(?:doi|isbn|issn|orcid)\b:?\s*[\d\w./-]+",
    # 2026-11-30, 30.11.2026, 11/30/26
    "date": r"\b\d{4}-\d{1,2}-\d{1,2}\b|\b\d{1,2}[./]\d{1,2}[./]\d{2,4}\b",
    # 12:34, 12:34:56
    "time": r"\b\d{1,2}:\d{2}(?::\d{2})?\b",
    # 1.26.4, v3.141, Python 3.11
    "version": r"\bv?\d+\.\d+\.\d+[\w.+-]*|\bv\d[\w.]*"
    r"|\b(?:version|release|python|pytorch|numpy|cuda)\s+v?\d[\w.]*",
    # +49 30 1234567, 555-123-4567, 030 1234567
    "phone number": r"\+\d[\d\s()/-]{6,20}\d|\b\d{3}[-.\s]\d{3}[-.\s]\d{4}\b|\b0\d{1,5}[/\s-]\d[\d\s-]{4,12}",
    # Fig. 3, Eq. (3.14), Figs. 123 and 124, Table A1, §2.1, #123
    "numbered reference": rf"(?:\b(?:{_NUMBERED})|[§#])\s*\(?[A-Z]?\d[\d.]*\)?"
    r"(?:\s*(?:[-–,]|and|to)\s*\(?\d{1,4}(?:\.\d{1,2})?\)?(?![\d.%]))*",
}
_NO_NUMBER = re.compile("|".join(_NOT_MEASURED.values()), re.IGNORECASE)
# Not a part of a word, a path or a longer number.
NUMBER_IN_TEXT = re.compile(rf"(?<![\w@#\\^])(?<![A-Za-z]-)(?<!\d[.,:])(?![-+]\s){NUMBER}(?![\w^]|[.,]\d)")
YEAR = re.compile(r"(?:19|20)\d\d")
# Not the dashes, which stand between numbers in a text.
_TEXT_MINUS = str.maketrans("−﹣－", "---")


def only_measured(text: str) -> str:
    """Return a text of the same length with blanks for digits that are no measured number."""
    return _NO_NUMBER.sub(lambda match: " " * len(match[0]), text.translate(_TEXT_MINUS))


def bare_number(number: str) -> str:
    """Return the characters of a number without the blanks, dollar signs and full stop around them."""
    return number.strip(" \u00a0\u2009\u202f\n\t$").rstrip(".,")


def significant(text: str) -> QuotedNumber | None:
    """Return a number that is no year and has enough digits; None for others."""
    text = bare_number(text)
    quoted = None if YEAR.fullmatch(text) else parse_quoted(text)
    if quoted is None:
        return None
    number = quoted.numbers[-1]
    digits = "".join(map(str, number.as_tuple().digits))
    if re.search(r"[eE×x*·^]", text):
        return quoted if len(digits) >= FEWEST_WITH_POWER else None
    if "." not in text and last_place(number) == 0:
        digits = digits.rstrip("0")  # 1000 is a round number
    return quoted if len(digits) >= FEWEST_DIGITS else None


# Results


@dataclass
class _Group:
    """Revisions with the same results.

    Attributes:
        values: that match, the likeliest first.
        result: the oldest revision, which made the results.
        is_current: true if HEAD has the same results.
        is_committed: true if a commit, and not only an experiment, has them.
    """

    values: list[NamedValue]
    result: Result
    is_current: bool = False
    is_committed: bool = False


def find_value(reader: Reader, quoted: QuotedNumber) -> Located:
    """Find the results with a metric or param that prints as a number that was quoted, the likeliest first.

    Revisions that have the same results count once; the oldest one is given, which made them.

    Raises:
        NotFoundError: there are none.
    """
    commits = Commits(reader)
    left_out: list[str] = []
    groups: dict[tuple[object, ...], _Group] = {}
    other_names = 0
    for snapshot in loaded(commits.snapshots()):
        printed = list(_printed(snapshot, quoted, left_out))
        values = [value for value in printed if quoted.names(value.key)]
        if printed and not values:
            other_names += 1
        if not values:
            continue
        values.sort(key=lambda value: _likelihood(quoted, value))
        experiment = commits.experiments.get(snapshot.rev)
        roles = {value.key: ValueRole(value.kind, value.value) for value in values}
        result = Result(snapshot, experiment, roles)
        group = groups.setdefault((frozenset(snapshot.locks.items()), *values), _Group(values, result))
        if snapshot.time <= group.result.snapshot.time:  # of two at the same time, newer ones came first
            group.result = result
        group.is_current |= snapshot.rev == commits.head
        group.is_committed |= experiment is None
    if groups:
        ordered = sorted(groups.values(), key=lambda group: _order(quoted, group))
        return Located([group.result for group in ordered], shortened(left_out), is_number=True)
    what = f"metric or param {quoted.key}" if quoted.key else "metric or param"
    reasons = hints(left_out)
    if other_names:
        having = "1 revision has" if other_names == 1 else f"{other_names} revisions have"
        reasons.append(f"{having} this number under other names")
    raise NotFoundError(f"no {what} that rounds to this number", hint="; ".join(reasons))


def loaded(snapshots: Iterator[Snapshot]) -> Iterator[Snapshot]:
    """Yield the same snapshots, with their values in memory."""
    while together := list(islice(snapshots, TOGETHER)):
        preload_values(together)
        yield from together


def _printed(snapshot: Snapshot, quoted: QuotedNumber, left_out: list[str]) -> Iterator[NamedValue]:
    """Yield the values of a revision that print so."""
    try:
        for value in values_of(snapshot, left_out):
            if quoted.is_printed(value.value):
                yield value
    except UnreadableError as error:
        left_out.append(str(error))


def _likelihood(quoted: QuotedNumber, value: NamedValue) -> tuple[bool, int, bool, str]:
    """Sort what has just the name that was asked for first; then metrics, then params with all digits."""
    other_name = quoted.key not in ("", value.key, value.dotted)
    # A param is quoted as it was set.
    is_rounded = value.kind is ValueKind.PARAM and not quoted.is_exact(value.value)
    return other_name, list(ValueKind).index(value.kind), is_rounded, value.key


def _order(quoted: QuotedNumber, group: _Group) -> tuple[object, ...]:
    """Sort by the likeliest value; then HEAD's results, other commits', experiments'; newer ones first."""
    best = _likelihood(quoted, group.values[0])[:3]
    return *best, not group.is_current, not group.is_committed, -group.result.snapshot.time, group.result.rev
