"""Compare the numbers of a document with one result, and report numbers that are those of other results.

A number is attributed to another result only if all of this is true: the other result's value of a metric
rounds to the number, the compared result's value does not, and the text names the metric. Without such words
a number may equal some result's metric by chance. The author means another result on purpose, and nothing is
reported, if the sentence or table also has the compared result's value of the metric, cites the work of
others, or names a param in which the two results differ.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from ..documents.passages import read_passages
from ..errors import NotFoundError, UnreadableError
from ..model import Experiment, same_value
from ..repository.reader import Reader, revisions_named
from ..repository.snapshot import Snapshot
from ..results.values import NamedValue, ValueKind, values_of
from .by_content import Commits
from .by_value import QuotedNumber, last_place, number_in, preloaded
from .result import ComparedNumbers, LocatedFigure, LocatedNumber, Result
from .wording import Names, Unit, WrittenNumber, units_of, words_of_key

# A document with more numbers is data, and not compared.
MOST_NUMBERS = 5_000
# A value that is so many powers of ten larger or smaller than a number's last digit cannot round to it.
FAR = 30


def read_units(path: Path) -> list[Unit]:
    """Return the sentences and tables of a document that have numbers.

    Raises:
        UnreadableError: the document is broken, or has too many numbers.
    """
    units = []
    count = 0
    for unit in units_of(read_passages(path)):
        if unit.numbers:
            units.append(unit)
            count += len(unit.numbers)
        if count > MOST_NUMBERS:
            raise UnreadableError(f"{path}: more than {MOST_NUMBERS:,} numbers are data, and not looked at")
    return units


def locate_numbers(
    reader: Reader, units: list[Unit], figures: Iterable[LocatedFigure], rev: str | None, left_out: list[str]
) -> ComparedNumbers:
    """Compare the numbers of a document with the values of one result, and of all others.

    Args:
        reader: the reader of the repository.
        units: the sentences and tables of the document.
        figures: the located figures of the document, which suggest the result to compare with.
        rev: the result to compare with; None for the result of the most figures, then of the most numbers.
        left_out: a list to which a line is added for each file or revision that cannot be read.

    Raises:
        NotFoundError: there is no such revision.
    """
    wanted = None
    if rev:
        revisions = revisions_named(reader, rev)
        if not revisions:
            raise NotFoundError(f"{rev}: no experiment or Git revision of that name")
        wanted = revisions[0].rev
    written: list[WrittenNumber] = []
    for unit in units:
        written += unit.numbers
    if not written:
        return ComparedNumbers(result=Result(reader.snapshot(wanted)) if wanted else None, name=rev or "")
    commits = Commits(reader)
    candidates, keys = _read_candidates(commits, _NumberLookup(written), wanted, left_out)
    if not candidates:
        return ComparedNumbers()
    if wanted in candidates:
        chosen = candidates[wanted]
    else:
        chosen = _likeliest(candidates.values(), figures, commits.head)
    comparison = _Comparison(chosen, list(candidates.values()), Names(keys))
    numbers: list[LocatedNumber] = []
    for unit in units:
        numbers += comparison.compare(unit)
    name = rev or _name(chosen, commits.head)
    return ComparedNumbers(numbers, Result(chosen.snapshot, chosen.experiment), name)


@dataclass
class _Candidate:
    """A revision that may be the source of numbers in the document.

    Attributes:
        snapshot: the revision.
        experiment: the DVC experiment that the revision is, if any.
        position: its position in the list of all commits, which has newer commits first.
        printed: the values of the revision that round to a number of the document, by the number's text.
    """

    snapshot: Snapshot
    experiment: Experiment | None
    position: int
    printed: dict[str, list[NamedValue]] = field(default_factory=dict)

    @property
    def age(self) -> tuple[int, int]:
        """A sort key, greater for older revisions. With equal times, the position in Git's list decides."""
        return -self.snapshot.time, self.position


def _read_candidates(
    commits: Commits, lookup: "_NumberLookup", wanted: str | None, left_out: list[str]
) -> tuple[dict[str, _Candidate], set[str]]:
    """Return the candidates by revision, and the keys of all metrics; commits and older revisions come first.

    A revision is a candidate if one of its values rounds to a number of the document. The wanted revision and
    HEAD are always candidates.
    """
    candidates: list[_Candidate] = []
    keys: set[str] = set()
    for position, snapshot in enumerate(preloaded(commits.snapshots())):
        candidate = _Candidate(snapshot, commits.experiments.get(snapshot.rev), position)
        try:
            for value in values_of(snapshot, left_out):
                if value.kind is not ValueKind.PARAM:
                    keys.add(value.key)
                for text in lookup.texts_of(value.value):
                    candidate.printed.setdefault(text, []).append(value)
        except UnreadableError as error:
            left_out.append(str(error))
        if candidate.printed or snapshot.rev in (wanted, commits.head):
            candidates.append(candidate)
    candidates.sort(key=lambda candidate: candidate.age, reverse=True)
    candidates.sort(key=lambda candidate: candidate.experiment is not None)
    return {candidate.snapshot.rev: candidate for candidate in candidates}, keys


class _NumberLookup:
    """The distinct numbers of a document, with a fast lookup of those that a value rounds to."""

    def __init__(self, written: Iterable[WrittenNumber]) -> None:
        # The numbers by the power of ten of their last digit, and by all their digits as a whole number.
        self._by_digits: dict[tuple[int, int], dict[str, QuotedNumber]] = {}
        self._known: dict[Any, list[str]] = {}
        for number in written:
            for meant in number.quoted.numbers:
                place = last_place(meant)
                whole = int(meant.scaleb(-place))
                self._by_digits.setdefault((place, whole), {})[number.text] = number.quoted
        self._places = {place for place, _ in self._by_digits}

    def texts_of(self, value: Any) -> list[str]:
        """Return the texts of the numbers that a value rounds to."""
        real = number_in(value)
        if real is None or not math.isfinite(real):
            return []
        if real not in self._known:
            self._known[real] = self._texts(real)
        return self._known[real]

    def _texts(self, real: int | float) -> list[str]:
        exact = Decimal(real)
        texts: dict[str, None] = {}
        for place in self._places:
            if exact and abs(exact.adjusted() - place) > FAR:
                continue
            middle = int(exact.scaleb(-place))
            # Every way of rounding gives one of these three.
            for whole in (middle - 1, middle, middle + 1):
                for text, quoted in self._by_digits.get((place, whole), {}).items():
                    if quoted.is_printed(real):
                        texts[text] = None
        return list(texts)


def _likeliest(
    candidates: Iterable[_Candidate], figures: Iterable[LocatedFigure], head: str | None
) -> _Candidate:
    """Return the revision with the most figures; among equals that with the most numbers.

    If these are equal, too, HEAD is preferred, then commits to experiments, then newer revisions.
    """
    shown: Counter[str] = Counter()
    for figure in figures:
        if figure.is_traced:
            shown.update(result.rev for result in figure.results)

    def rank(candidate: _Candidate) -> tuple[int, int, bool, bool, int]:
        rev = candidate.snapshot.rev
        is_commit = candidate.experiment is None
        return shown[rev], len(candidate.printed), rev == head, is_commit, candidate.snapshot.time

    return max(candidates, key=rank)


def _name(candidate: _Candidate, head: str | None) -> str:
    if candidate.snapshot.rev == head:
        return "HEAD"
    return candidate.experiment.name if candidate.experiment else candidate.snapshot.rev[:7]


class _Comparison:
    """Compares numbers with the values of the chosen result, and if they differ with those of all others."""

    def __init__(self, chosen: _Candidate, candidates: list[_Candidate], names: Names) -> None:
        self._chosen = chosen
        self._candidates = candidates
        self._names = names
        # The values of the chosen result's metrics, by key.
        self._values: dict[str, Any] = {}
        for value in values_of(chosen.snapshot, []):
            if value.kind is not ValueKind.PARAM and number_in(value.value) is not None:
                self._values[value.key] = value.value

    def compare(self, unit: Unit) -> Iterator[LocatedNumber]:
        """Yield the numbers of a sentence or table, each with the result and value that it belongs to."""
        named = list(unit.named(self._names))
        # If the unit shows the chosen result's value of a metric, values of the same metric from other
        # results are there for comparison.
        shown: set[str] = set()
        for written, keys in named:
            shown.update(value.key for value in self._named_values(written, keys))
        for written, keys in named:
            if written.is_cited:
                yield _located(written)
                continue
            # A metric that the text names is more likely than an unnamed value that happens to be equal.
            values = self._named_values(written, keys)
            elsewhere = None
            if not values:
                elsewhere = self._in_other_result(written, keys - shown, unit.context)
                values = self._chosen.printed.get(written.text, [])
            yield elsewhere or _located(written, values)

    def _named_values(self, written: WrittenNumber, keys: frozenset[str]) -> list[NamedValue]:
        """Return the values of the chosen result that round to a number and whose key is among `keys`."""
        printed = self._chosen.printed.get(written.text, [])
        return [value for value in printed if value.key in keys]

    def _in_other_result(
        self, written: WrittenNumber, keys: frozenset[str], context: frozenset[str]
    ) -> LocatedNumber | None:
        """Return a number with the oldest commit, or else experiment, that has it; None if there is none.

        Args:
            written: the number.
            keys: the metrics that it can be.
            context: the words of its sentence or table, which may name the params of another result.
        """
        for key in sorted(keys & self._values.keys()):
            for candidate in self._candidates:
                for value in candidate.printed.get(written.text, ()):
                    if value.key == key and not self._is_named(candidate, context):
                        return self._located_in(candidate, written, value)
        return None

    def _located_in(self, candidate: _Candidate, written: WrittenNumber, value: NamedValue) -> LocatedNumber:
        current = self._values[value.key]
        percent = re.search(r"\s*%$", written.text)
        text = written.quoted.as_written(current, value.value)
        return replace(
            _located(written, [value]),
            result=Result(candidate.snapshot, candidate.experiment),
            current=current,
            current_text=text + percent[0] if percent else text,
            is_older=candidate.age >= self._chosen.age,
        )

    def _is_named(self, candidate: _Candidate, context: frozenset[str]) -> bool:
        """Return true if the text names a param of a candidate that differs from the chosen result's."""
        params = self._chosen.snapshot.params
        for key, value in candidate.snapshot.params.items():
            if same_value(value, params.get(key)):
                continue
            # A text value is named by its words alone, as in "with resnet". Any other value is named only
            # together with a word of its key, as in "a depth of 8".
            words = words_of_key(str(value))
            if isinstance(value, str) and words and context.issuperset(words):
                return True
            words_of_name = words_of_key(key.rpartition(".")[2])
            if str(value) in context and context.intersection(words_of_name):
                return True
        return False


def _located(written: WrittenNumber, values: Iterable[NamedValue] = ()) -> LocatedNumber:
    """Return a number with the likeliest of the values that round to it; without a key if there are none."""
    kinds = list(ValueKind)
    likeliest = min(values, key=lambda value: (kinds.index(value.kind), value.key), default=None)
    if likeliest is None:
        return LocatedNumber(written.place, written.text, written.words)
    return LocatedNumber(written.place, written.text, written.words, likeliest.key, likeliest.value)
