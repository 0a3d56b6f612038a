"""The numbers of a document, compared with one result, and with the others where that one differs.

A number is of another result only where that result's value of a metric prints so, the value of the compared
result does not, and the words name the metric. Where the sentence or table also has the compared result's
value, cites others' work, or names a param in which both results differ, it is meant to be another one. What
equals some result's metric without such words is equal by chance.
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
from .by_value import QuotedNumber, last_place, loaded, number_in
from .result import ComparedNumbers, LocatedFigure, LocatedNumber, Result
from .wording import Names, Unit, Written, units_of, words_of_key

# Numbers of a document that are looked at: with more, it is data.
MOST_NUMBERS = 5_000
# A value that is so many powers of ten away from the last digit of a number is far from all numbers.
FAR = 30


def read_units(path: Path) -> list[Unit]:
    """Return the sentences and tables of a document that have numbers.

    Raises:
        UnreadableError: it is broken, or has too many numbers.
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
    """Compare the numbers of a document with the values of one result, and of the others.

    Args:
        reader: of the repository.
        units: sentences and tables of the document.
        figures: of it, which say of which result its numbers should be.
        rev: the result to compare with; None for that of the most figures, then of the most numbers.
        left_out: gets a line for what cannot be read.

    Raises:
        NotFoundError: there is no such revision.
    """
    wanted = _revision(reader, rev) if rev else None
    written: list[Written] = []
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


def _revision(reader: Reader, rev: str) -> str:
    named = revisions_named(reader, rev)
    if not named:
        raise NotFoundError(f"{rev}: no experiment or Git revision of that name")
    return named[0].rev


@dataclass
class _Candidate:
    """A revision, and the values of it that print as numbers of the manuscript, by the text of these."""

    snapshot: Snapshot
    experiment: Experiment | None
    position: int
    printed: dict[str, list[NamedValue]] = field(default_factory=dict)

    @property
    def age(self) -> tuple[int, int]:
        """More for older ones: of commits of the same second, Git lists newer ones first."""
        return -self.snapshot.time, self.position


def _read_candidates(
    commits: Commits, lookup: "_NumberLookup", wanted: str | None, left_out: list[str]
) -> tuple[dict[str, _Candidate], set[str]]:
    """Return revisions by id, commits first and older ones before newer ones, and keys of their metrics."""
    found: list[_Candidate] = []
    keys: set[str] = set()
    for position, snapshot in enumerate(loaded(commits.snapshots())):
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
            found.append(candidate)
    found.sort(key=lambda one: one.age, reverse=True)
    found.sort(key=lambda one: one.experiment is not None)
    return {one.snapshot.rev: one for one in found}, keys


class _NumberLookup:
    """The distinct numbers of a manuscript, among which those that a value prints as are found quickly."""

    def __init__(self, written: Iterable[Written]) -> None:
        # By the place of the last digit, and all digits as a whole number.
        self._by_digits: dict[tuple[int, int], dict[str, QuotedNumber]] = {}
        self._known: dict[Any, list[str]] = {}
        for one in written:
            for number in one.quoted.numbers:
                place = last_place(number)
                whole = int(number.scaleb(-place))
                self._by_digits.setdefault((place, whole), {})[one.text] = one.quoted
        self._places = {place for place, _ in self._by_digits}

    def texts_of(self, value: Any) -> list[str]:
        """Return the texts of the numbers that a value prints as."""
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
            # Rounded in any way, it is one of these.
            for whole in (middle - 1, middle, middle + 1):
                for text, quoted in self._by_digits.get((place, whole), {}).items():
                    if quoted.is_printed(real):
                        texts[text] = None
        return list(texts)


def _likeliest(
    candidates: Iterable[_Candidate], figures: Iterable[LocatedFigure], head: str | None
) -> _Candidate:
    """Return the revision of the most figures, then of the most numbers; then HEAD, a commit, the newest."""
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
    """Compares the numbers of sentences and tables with one result, and where they differ with the others."""

    def __init__(self, chosen: _Candidate, candidates: list[_Candidate], names: Names) -> None:
        self._chosen = chosen
        self._candidates = candidates
        self._names = names
        # Of the metrics of the chosen result.
        self._values: dict[str, Any] = {}
        for value in values_of(chosen.snapshot, []):
            if value.kind is not ValueKind.PARAM and number_in(value.value) is not None:
                self._values[value.key] = value.value

    def compare(self, unit: Unit) -> Iterator[LocatedNumber]:
        """Yield the numbers of a sentence or table, each with what it is of."""
        named = list(unit.named(self._names))
        # Where the value of a metric is there, another one beside it is there to be compared with it.
        shown: set[str] = set()
        for written, keys in named:
            shown.update(value.key for value in self._own(written, keys))
        for written, keys in named:
            if written.is_cited:
                yield _located(written)
                continue
            own = self._own(written, keys)
            # What the words name counts more than what happens to print so.
            of_another = None if own else self._of_another(written, keys - shown, unit.around)
            printed = self._chosen.printed.get(written.text, [])
            yield of_another or _located(written, own or printed)

    def _own(self, written: Written, keys: frozenset[str]) -> list[NamedValue]:
        """Return the values of the chosen result that a number prints, of some metrics."""
        printed = self._chosen.printed.get(written.text, [])
        return [value for value in printed if value.key in keys]

    def _of_another(
        self, written: Written, keys: frozenset[str], around: frozenset[str]
    ) -> LocatedNumber | None:
        """Return a number as that of the oldest commit, or else experiment, that has it; None without any."""
        for key in sorted(keys & self._values.keys()):
            for candidate in self._candidates:
                for value in candidate.printed.get(written.text, ()):
                    if value.key == key and not self._is_named(candidate, around):
                        return self._located_in(candidate, written, value)
        return None

    def _located_in(self, candidate: _Candidate, written: Written, value: NamedValue) -> LocatedNumber:
        current = self._values[value.key]
        sign = re.search(r"\s*%$", written.text)
        return replace(
            _located(written, [value]),
            result=Result(candidate.snapshot, candidate.experiment),
            current=current,
            current_text=written.quoted.as_written(current, value.value) + (sign[0] if sign else ""),
            is_older=candidate.age >= self._chosen.age,
        )

    def _is_named(self, candidate: _Candidate, around: frozenset[str]) -> bool:
        """Return true where the words name a param that the other result has and this one has not."""
        params = self._chosen.snapshot.params
        for key, value in candidate.snapshot.params.items():
            if same_value(value, params.get(key)):
                continue
            words = words_of_key(str(value))
            if isinstance(value, str) and words and around.issuperset(words):
                return True
            leaf = words_of_key(key.rpartition(".")[2])
            if str(value) in around and around.intersection(leaf):
                return True
        return False


def _located(written: Written, values: Iterable[NamedValue] = ()) -> LocatedNumber:
    """Return a number as the likeliest of some values that print so; as of no result where there are none."""
    located = LocatedNumber(written.place, written.text, written.words)
    kinds = list(ValueKind)
    likeliest = min(values, key=lambda value: (kinds.index(value.kind), value.key), default=None)
    if likeliest is None:
        return located
    return replace(located, key=likeliest.key, value=likeliest.value)
