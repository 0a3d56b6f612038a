"""Finds results by a number that a text quotes: a metric or param that prints so."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from ..errors import UnreadableError
from ..model import Experiment
from ..repository.reader import TOGETHER, Reader
from ..repository.revisions import commit_id
from ..repository.snapshot import Snapshot
from ..results.values import NamedValue, ValueKind, preload_values, values_of
from .by_content import progress, revisions_to_search
from .number import QuotedNumber
from .result import Result, ValueRole

# What is most often quoted comes first.
_KINDS = list(ValueKind)


@dataclass(frozen=True)
class ValueSearch:
    """What a search for a number found.

    Attributes:
        results: best first.
        other_names: how many results have the number under other names than the one that was asked for.
        left_out: lines about what could not be read.
    """

    results: list[Result]
    other_names: int
    left_out: list[str]


@dataclass
class _Group:
    """Revisions with the same results: the oldest, and what is known of all.

    Attributes:
        result: the oldest.
        values: that match, the likeliest first.
        is_current: whether HEAD has the same results.
        is_committed: whether a commit, and not only an experiment, has them.
    """

    result: Result
    values: list[NamedValue]
    is_current: bool = False
    is_committed: bool = False


def find_value(reader: Reader, quoted: QuotedNumber) -> ValueSearch:
    """Find the results with a metric or param that prints as a number that was quoted.

    Revisions that have the same results count once; the oldest one is given, which made them.
    """
    experiments: dict[str, Experiment] = {}
    for experiment in reader.experiments():
        experiments.setdefault(experiment.rev, experiment)
    head = commit_id(reader, "HEAD")
    left_out: list[str] = []
    groups: dict[tuple[object, ...], _Group] = {}
    other_names = 0
    revisions = revisions_to_search(reader, experiments, head)
    for snapshot in _loaded(progress(reader.snapshots(revisions), len(revisions))):
        printed = list(_printed(snapshot, quoted, left_out))
        values = [value for value in printed if quoted.names(value.key)]
        other_names += bool(printed) and not values
        if values:
            values.sort(key=lambda value: _value_order(quoted, value))
            group = _group(groups, snapshot, values, experiments.get(snapshot.rev))
            group.is_current |= snapshot.rev == head
            group.is_committed |= snapshot.rev not in experiments
    ordered = sorted(groups.values(), key=lambda group: _order(quoted, group))
    return ValueSearch([group.result for group in ordered], other_names, left_out)


def _loaded(snapshots: Iterator[Snapshot]) -> Iterator[Snapshot]:
    """Snapshots whose values are in memory."""
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


def _group(
    groups: dict[tuple[object, ...], _Group],
    snapshot: Snapshot,
    values: list[NamedValue],
    experiment: Experiment | None,
) -> _Group:
    """Return the group of revisions with the same results, with its oldest one for a result."""
    locks = [(path, blob) for path, blob in snapshot.blobs.items() if path.endswith("dvc.lock")]
    same = (frozenset(locks), tuple(values))
    known = groups.get(same)
    if known is None or snapshot.time <= known.result.snapshot.time:  # newer ones come first
        roles = {value.key: ValueRole(value.kind, value.value) for value in values}
        result = Result(snapshot, experiment, roles)
        if known is None:
            groups[same] = _Group(result, values)
        else:
            known.result = result
    return groups[same]


def _value_order(quoted: QuotedNumber, value: NamedValue) -> tuple[bool, int, bool, str]:
    """Return what has just the name that was asked for, then metrics.

    A param is quoted with all its digits.
    """
    other_name = quoted.key not in ("", value.key, value.dotted)
    is_rounded = value.kind is ValueKind.PARAM and not quoted.is_exact(value.value)
    return other_name, _KINDS.index(value.kind), is_rounded, value.key


def _order(quoted: QuotedNumber, group: _Group) -> tuple[object, ...]:
    """Return the likeliest value; then HEAD's results before other commits', these before experiments'."""
    best = _value_order(quoted, group.values[0])[:3]
    return *best, not group.is_current, not group.is_committed, -group.result.snapshot.time, group.result.rev
