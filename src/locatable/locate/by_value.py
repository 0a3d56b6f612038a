"""Read numbers as a text quotes them, and find the results with a metric or param that rounds to them."""

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

# Longer texts are not parsed as numbers: nobody quotes so many digits.
MOST_CHARACTERS = 200
# The precision is enough for the exact decimal expansion of every float.
_CONTEXT = Context(prec=1_200, Emax=99_999, Emin=-99_999)
_MINUS = str.maketrans(dict.fromkeys("−–‒﹣－", "-"))
_SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺"
_PLAIN = str.maketrans(_SUPERSCRIPTS, "0123456789-+")
# Spaces between thousands: a plain one, a no-break one, a thin one, and a narrow no-break one.
_SPACE = " \u00a0\u2009\u202f"
_MANTISSA = "|".join(
    [
        # 12,345.6 and 12 345.6
        rf"\d{{1,3}}(?:[,'’_{_SPACE}]\d{{3}})+(?:\.\d*)?",
        # 12.345,6
        r"\d{1,3}(?:\.\d{3})+,\d+",
        # 123, 0.123 and 0,123
        r"\d+(?:[.,]\d*)?",
        # .123
        r"[.,]\d+",
    ]
)
_EXPONENT = "|".join(
    [
        # 1e-5
        r"[eE](?P<e>[-+]?\d+)",
        # 1 × 10^-5, 1 \times 10^{-5} and 1 · 10⁻⁵
        r"\s*(?:[×x*·]|\\times|\\cdot)\s*10"
        rf"(?:\^?\{{?(?P<ten>[-+]?\d+)\}}?|(?P<raised>[{_SUPERSCRIPTS}]+))",
    ]
)
# Digits with a leading zero, such as 0007, are a name.
NUMBER = rf"\$?(?P<sign>[-+]?)\s?(?P<mantissa>(?!0\d)(?:{_MANTISSA}))(?:{_EXPONENT})?\s?(?P<percent>\\?%)?\$?"
# A name may come before the number, as in `valid.log_loss 0.133` or `valid.log_loss=0.133`.
_QUOTED = re.compile(rf"(?:(?P<key>\S.*?)\s*[\s=]\s*)??{NUMBER}", re.DOTALL)
_THOUSANDS = re.compile(rf"[1-9]\d{{0,2}}(?:[,'’_{_SPACE}]\d{{3}})+(?:\.\d*)?")
# Separators between the words of a name: `log loss` means `log_loss`, and `valid/log_loss` `valid.log_loss`.
_BETWEEN_WORDS = re.compile(r"[\s_\-./:]+")


@dataclass(frozen=True)
class QuotedNumber:
    """A number with the digits that a text or a user quotes.

    Attributes:
        numbers: the values that it can stand for, the likeliest first: 94.7% is 0.947, or 94.7 if the metric
            is in percent.
        key: the name of the value, or the last words of the name; empty if no name was given.
    """

    numbers: tuple[Decimal, ...]
    key: str = ""

    def is_printed(self, value: Any) -> bool:
        """Return true if a value prints as this number, once it is rounded to the same number of digits.

        The value can also be a text that is a number.
        """
        real = number_in(value)
        if real is None:
            return False
        return any(low <= real <= high and _rounds_to(real, number) for number, low, high in self._ranges)

    @cached_property
    def _ranges(self) -> list[tuple[Decimal, float, float]]:
        """Each number with bounds of the values that can round to it, a fast test for thousands of values."""
        ranges = []
        for number in self.numbers:
            middle = float(number)
            # Two ulps are added because a long whole number loses digits when it becomes a float.
            digit = float(f"1e{last_place(number)}") + 2 * math.ulp(middle)
            ranges.append((number, middle - digit, middle + digit))
        return ranges

    def is_exact(self, value: Any) -> bool:
        """Return true if a value equals the number exactly, without rounding."""
        real = number_in(value)
        return real is not None and Decimal(repr(real)) in self.numbers

    def as_written(self, value: Any, like: Any) -> str:
        """Return a value in the notation of this number, with the same number of decimals.

        Args:
            value: the value to write.
            like: the value that the number was printed from. It decides whether a percentage such as 94.7%
                stands for 0.947, so that `value` is multiplied by 100, or for 94.7.
        """
        real = number_in(value)
        printed = number_in(like)
        if real is None or printed is None or not math.isfinite(real):
            return str(value)
        for position, number in enumerate(self.numbers):
            if _rounds_to(printed, number):
                digit = Decimal((0, (1,), last_place(number)))
                rounded = Decimal(repr(real)).quantize(digit, ROUND_HALF_EVEN, _CONTEXT)
                # The last number is the one that is written. For a percentage, its fraction comes before it.
                is_fraction = position < len(self.numbers) - 1
                return str(_CONTEXT.scaleb(rounded, 2) if is_fraction else rounded)
        return str(value)

    def can_mean(self, key: str) -> bool:
        """Return true if the quoted name can mean a key, because the key ends with its words."""
        quoted = _words(self.key)
        return not quoted or _words(key)[-len(quoted) :] == quoted


def parse_quoted(text: str) -> QuotedNumber | None:
    """Parse a number, optionally preceded by the name of its value; None if the text is no such number."""
    if len(text) > MOST_CHARACTERS:
        return None
    match = _QUOTED.fullmatch(text.strip().translate(_MINUS))
    if not match:
        return None
    exponent = match["e"] or match["ten"] or (match["raised"] or "").translate(_PLAIN) or "0"
    mantissa = _without_separators(match["mantissa"])
    try:
        number = _CONTEXT.create_decimal(f"{match['sign']}{mantissa}e{exponent}")
    except InvalidOperation:
        return None  # the exponent is malformed, such as `+-+`, or has hundreds of digits
    if not number.is_finite():
        return None
    numbers = (_CONTEXT.scaleb(number, -2), number) if match["percent"] else (number,)
    return QuotedNumber(numbers, match["key"] or "")


def _without_separators(mantissa: str) -> str:
    """Return a mantissa with a decimal point and without separators between thousands."""
    if _THOUSANDS.fullmatch(mantissa):
        return re.sub(rf"[,'’_{_SPACE}]", "", mantissa)
    if "," in mantissa:  # a decimal comma, as in 1.234,5
        return mantissa.replace(".", "").replace(",", ".")
    return mantissa


def last_place(number: Decimal) -> int:
    """Return the power of ten of the last digit: -2 for 0.13."""
    exponent = number.as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0


def number_in(value: Any) -> int | float | None:
    """Return a value that is a number or a text of one, as MLflow shows params; None for all other values."""
    if isinstance(value, str) and len(value) <= MOST_CHARACTERS:
        # `int` is tried first because a float cannot hold all digits of a long whole number.
        for kind in (int, float):
            with suppress(ValueError):
                return kind(value)
    # In Python a bool is an int, but nobody quotes True as 1.
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _rounds_to(value: float, number: Decimal) -> bool:
    if not math.isfinite(value):
        return False
    digit = Decimal((0, (1,), last_place(number)))
    # Programs differ in how they round: they start from the shortest text of a float or from its exact value,
    # and round half up or half to even.
    shortest = Decimal(repr(value))
    return number in (
        shortest.quantize(digit, ROUND_HALF_UP, _CONTEXT),
        shortest.quantize(digit, ROUND_HALF_EVEN, _CONTEXT),
        Decimal(value).quantize(digit, ROUND_HALF_EVEN, _CONTEXT),
    )


def _words(key: str) -> list[str]:
    return list(filter(None, _BETWEEN_WORDS.split(key.casefold())))


# Numbers in a text

# Numbers with fewer significant digits are in too many results to tell which one is meant. A number with a
# power of ten needs fewer digits.
FEWEST_DIGITS = 3
FEWEST_WITH_POWER = 2
_NUMBERED = (
    r"fig(?:ures?|s?\.)|tab(?:les?|s?\.)|sec(?:tions?|s?\.)|chap(?:ters?|\.)|equations?|eqn?s?\.|appendix|"
    r"algorithm|theorem|lemma|listing|lines?|pages?|pp?\.|vol(?:ume|\.)|nos?\.|issue|grant|refs?\."
)
# Digits that are not a measured number. Each pattern takes time linear in the length of the text.
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
# A number that is not part of a word, a path or a longer number.
NUMBER_IN_TEXT = re.compile(rf"(?<![\w@#\\^])(?<![A-Za-z]-)(?<!\d[.,:])(?![-+]\s){NUMBER}(?![\w^]|[.,]\d)")
YEAR = re.compile(r"(?:19|20)\d\d")
# Dashes are no minus signs here, because a text puts them between numbers.
_TEXT_MINUS = str.maketrans("−﹣－", "---")


def only_measured(text: str) -> str:
    """Replace digits that are not a measured number, such as dates and URLs, by as many blanks.

    Minus signs of other characters are replaced by hyphens. The length of the text does not change.
    """
    return _NO_NUMBER.sub(lambda match: " " * len(match[0]), text.translate(_TEXT_MINUS))


def bare_number(number: str) -> str:
    """Strip blanks, dollar signs, and a comma or full stop at the end from the characters of a number."""
    return number.strip(" \u00a0\u2009\u202f\n\t$").rstrip(".,")


def significant(text: str) -> QuotedNumber | None:
    """Parse a number that has enough significant digits to identify a result; None for years and others."""
    text = bare_number(text)
    quoted = None if YEAR.fullmatch(text) else parse_quoted(text)
    if quoted is None:
        return None
    number = quoted.numbers[-1]
    digits = "".join(map(str, number.as_tuple().digits))
    if re.search(r"[eE×x*·^]", text):
        return quoted if len(digits) >= FEWEST_WITH_POWER else None
    if "." not in text and last_place(number) == 0:
        digits = digits.rstrip("0")  # the zeros of a round number such as 1000 are not significant
    return quoted if len(digits) >= FEWEST_DIGITS else None


# Results


@dataclass
class _Group:
    """Revisions with the same results.

    Attributes:
        values: the values that match, the likeliest first.
        result: the oldest revision, which made the results.
        is_current: true if HEAD has the same results.
        is_committed: true if a commit has them, and not only experiments.
    """

    values: list[NamedValue]
    result: Result
    is_current: bool = False
    is_committed: bool = False


def find_value(reader: Reader, quoted: QuotedNumber) -> Located:
    """Find the results with a metric or param that rounds to a quoted number, the likeliest first.

    Revisions with the same results count once. The oldest of them is reported, because it made the results.

    Raises:
        NotFoundError: no result has such a value.
    """
    commits = Commits(reader)
    left_out: list[str] = []
    groups: dict[tuple[object, ...], _Group] = {}
    count_of_other_names = 0
    for snapshot in preloaded(commits.snapshots()):
        printed = list(_printed(snapshot, quoted, left_out))
        values = [value for value in printed if quoted.can_mean(value.key)]
        if not values:
            if printed:
                count_of_other_names += 1
            continue
        values.sort(key=lambda value: _likelihood(quoted, value))
        experiment = commits.experiments.get(snapshot.rev)
        roles = {value.key: ValueRole(value.kind, value.value) for value in values}
        result = Result(snapshot, experiment, roles)
        same_results = (frozenset(snapshot.locks.items()), *values)
        group = groups.setdefault(same_results, _Group(values, result))
        # With equal times, the later snapshot is the older one: `git rev-list` lists newer commits first.
        if snapshot.time <= group.result.snapshot.time:
            group.result = result
        if snapshot.rev == commits.head:
            group.is_current = True
        if experiment is None:
            group.is_committed = True
    if groups:
        ordered = sorted(groups.values(), key=lambda group: _order(quoted, group))
        return Located([group.result for group in ordered], shortened(left_out), is_number=True)
    what = f"metric or param {quoted.key}" if quoted.key else "metric or param"
    reasons = hints(left_out)
    if count_of_other_names:
        having = "1 revision has" if count_of_other_names == 1 else f"{count_of_other_names} revisions have"
        reasons.append(f"{having} this number under other names")
    raise NotFoundError(f"no {what} that rounds to this number", hint="; ".join(reasons))


def preloaded(snapshots: Iterator[Snapshot]) -> Iterator[Snapshot]:
    """Yield the same snapshots after reading the files with their values, many revisions at a time."""
    while batch := list(islice(snapshots, TOGETHER)):
        preload_values(batch)
        yield from batch


def _printed(snapshot: Snapshot, quoted: QuotedNumber, left_out: list[str]) -> Iterator[NamedValue]:
    """Yield the values of a revision that round to a number, and note in `left_out` what cannot be read."""
    try:
        for value in values_of(snapshot, left_out):
            if quoted.is_printed(value.value):
                yield value
    except UnreadableError as error:
        left_out.append(str(error))


def _likelihood(quoted: QuotedNumber, value: NamedValue) -> tuple[bool, int, bool, str]:
    """Return a sort key: values with exactly the quoted name come first, then metrics before params."""
    other_name = quoted.key not in ("", value.key, value.dotted)
    # People quote a param as it was set, so one that only rounds to the number is less likely.
    is_rounded = value.kind is ValueKind.PARAM and not quoted.is_exact(value.value)
    return other_name, list(ValueKind).index(value.kind), is_rounded, value.key


def _order(quoted: QuotedNumber, group: _Group) -> tuple[object, ...]:
    """Return a sort key: the likeliest value, then HEAD, other commits and experiments, newer ones first."""
    best = _likelihood(quoted, group.values[0])[:3]
    return *best, not group.is_current, not group.is_committed, -group.result.snapshot.time, group.result.rev
