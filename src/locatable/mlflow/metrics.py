"""Metrics and series out of the files that stages wrote."""

import posixpath
import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from ..model import flatten_all, holder
from ..repository import parsing
from ..results.outputs import SERIES_FOLDER, Point, number, read_series

# A dot between names; one before a digit belongs to a number.
SEPARATOR = re.compile(r"\.(?=\D)")


@dataclass(frozen=True)
class Values:
    """What stages measured.

    Attributes:
        metrics: final value by key.
        series: values over steps by key.
        unread: why a file could not be read, by path.
    """

    metrics: dict[str, Any]
    series: dict[str, list[Point]]
    unread: dict[str, str]


@dataclass(frozen=True)
class Name:
    """The name of a value, and the place (a folder or a file) that tells it from others of that name.

    Attributes:
        place: empty, or a path that ends with a slash.
        own: the name itself.
    """

    place: str
    own: str

    @property
    def full(self) -> str:
        """Place and name."""
        return self.place + self.own


def read_values(contents: Mapping[str, bytes], metric_files: Collection[str], time: int) -> Values:
    """Every step of every DVCLive series; and final values, where they are not a series' last step.

    Args:
        contents: content by path of what stages wrote.
        metric_files: files, and folders of files, that dvc.yaml calls metrics.
        time: of the revision, in milliseconds since 1970.
    """
    series: dict[Name, list[Point]] = {}
    finals: dict[str, dict[str, Any]] = {}
    unread: dict[str, str] = {}
    for path, content in contents.items():
        place, found, own = path.rpartition(SERIES_FOLDER)
        try:
            if found and own.endswith(".tsv"):
                series[Name(place, own.removesuffix(".tsv"))] = read_series(content, time)
            elif holder(metric_files, path):
                finals[path] = read_metrics(path, content)
        except (ValueError, OverflowError, yaml.YAMLError) as error:
            unread[path] = str(error)
    return _with_keys(series, _named_by_place(finals), unread)


def read_metrics(path: str, content: bytes) -> dict[str, Any]:
    """Return flattened values of a metrics file; a file that is one value has the key of its own name.

    Raises:
        ValueError or yaml.YAMLError: it has no such values.
    """
    values = parsing.parse(path, content)
    if isinstance(values, int | float | str):
        return {posixpath.splitext(posixpath.basename(path))[0]: values}
    if not isinstance(values, dict):
        raise ValueError(f"expected keys and values, found {values!r:.60}")
    flat = flatten_all(values)
    times = Counter(slashed(dotted) for dotted in flat)
    named = {}
    for dotted, value in flat.items():
        # `x.y` keeps DVC's own key beside `x/y`.
        key = slashed(dotted) if times[slashed(dotted)] == 1 else dotted
        named[key] = value
    return named


def slashed(dotted: str) -> str:
    """Return a metric's name with slashes, by which MLflow groups, where DVC has dots."""
    return SEPARATOR.sub("/", dotted)


def _named_by_place(finals: dict[str, dict[str, Any]]) -> dict[Name, Any]:
    """Return final values by name; the same name in two files of a folder: each with its file for a place."""
    times: Counter[tuple[str, str]] = Counter()
    for path, values in finals.items():
        times.update((posixpath.dirname(path), own) for own in values)
    named = {}
    for path, values in finals.items():
        folder = posixpath.dirname(path)
        for own, value in values.items():
            place = folder if times[folder, own] == 1 else path
            named[Name(f"{place}/" if place else "", own)] = value
    return named


def _with_keys(series: dict[Name, list[Point]], finals: dict[Name, Any], unread: dict[str, str]) -> Values:
    """Return the key of a value is its name; where two places have that name, its place and its name."""
    places: dict[str, set[str]] = {}
    for name in [*series, *finals]:
        places.setdefault(name.own, set()).add(name.place)
    keys = _Keys(places)
    values = Values({}, {}, unread)
    for name, points in series.items():
        key = keys.choose(name)
        values.series[key] = points
        if name in finals and points and not _is_last(finals[name], points):
            values.metrics[f"final/{key}"] = finals[name]
    for name, value in finals.items():
        if name not in series:
            values.metrics[keys.choose(name)] = value
    return values


def _is_last(final: Any, points: list[Point]) -> bool:
    """Return whether a final value is what the series ends with."""
    last = points[-1].value
    return str(final) == last or final == number(last)


class _Keys:
    """Chooses keys: the name alone where it is unique, and never the same key twice."""

    def __init__(self, places: Mapping[str, Collection[str]]) -> None:
        self._places = places
        self._taken: set[str] = set()

    def choose(self, name: Name) -> str:
        key = name.own if len(self._places[name.own]) == 1 else name.full
        number_of_same = 1
        while key in self._taken:
            number_of_same += 1
            key = f"{name.full} {number_of_same}"
        self._taken.add(key)
        return key
