"""What the page draws of a result's plots and step series, beside the same of its baseline."""

import csv
import io
import math
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from ..model import is_in
from ..repository import parsing
from ..repository.plot_data import PlotData, plot_data
from ..repository.snapshot import Snapshot
from ..results.outputs import is_series
from .images import is_image

DATA_FILES = (".csv", ".tsv", ".json", ".yaml", ".yml")
Point = tuple[float, float]


@dataclass(frozen=True)
class Chart:
    """Lines or points over two axes.

    Attributes:
        title: of the chart.
        x_label: of the axis below.
        y_label: of the other one.
        lines: points by name.
        baseline: the same of the baseline.
        is_scatter: whether points are not joined.
    """

    title: str
    x_label: str
    y_label: str
    lines: dict[str, list[Point]]
    baseline: dict[str, list[Point]] = field(default_factory=dict)
    is_scatter: bool = False


@dataclass(frozen=True)
class Confusion:
    """How often each pair of classes occurs.

    Attributes:
        title: of the table.
        x_label: of its columns.
        y_label: of its rows.
        counts: by the classes of the row and the column.
    """

    title: str
    x_label: str
    y_label: str
    counts: dict[tuple[str, str], int]

    @property
    def classes(self) -> list[str]:
        """All classes, sorted."""
        return sorted({name for pair in self.counts for name in pair})


@dataclass(frozen=True)
class Drawings:
    """All that there is to draw; `undrawn` says why something is not, by its name."""

    charts: list[Chart]
    confusions: list[Confusion]
    undrawn: dict[str, str]


def drawings(snapshot: Snapshot, contents: Mapping[str, bytes], baseline: Mapping[str, bytes]) -> Drawings:
    """What to draw of a revision.

    Args:
        snapshot: the revision.
        contents: content by path of what its stages wrote.
        baseline: the same of its baseline; empty where it has none.
    """
    found = Drawings([], [], {})
    drawn: set[str] = set()
    for name, settings in _definitions(snapshot, contents).items():
        paths = [path for path in _paths(name, settings) if path in contents]
        drawn.update(paths)
        if not paths:
            continue
        try:
            data = plot_data(name, settings, _parsed(paths, contents))
            before = _baseline_data(name, settings, paths, baseline)
        except (ValueError, yaml.YAMLError) as error:
            found.undrawn[name] = " ".join(str(error).split())
            continue
        _add(found, data, before)
    for settings in _undeclared_series(contents, drawn).values():
        name = str(settings["title"])
        try:
            data = plot_data(name, settings, _parsed(settings["y"], contents))
            before = _baseline_data(name, settings, list(settings["y"]), baseline)
        except (ValueError, yaml.YAMLError) as error:
            found.undrawn[name] = " ".join(str(error).split())
            continue
        _add(found, data, before)
    return found


def _definitions(snapshot: Snapshot, contents: Mapping[str, bytes]) -> dict[str, dict[str, Any]]:
    """Settings of each plot, where it is a folder of each data file in it; step series not among them."""
    definitions: dict[str, dict[str, Any]] = {}
    for pipeline in snapshot.pipelines.values():
        for name, settings in pipeline.plot_definitions.items():
            if isinstance(settings.get("y"), dict) or name in contents:
                definitions[name] = settings
                continue
            for path in contents:
                if is_in(path, name) and not is_series(path):
                    definitions.setdefault(path, settings)
    return {name: one for name, one in definitions.items() if _is_data(name, one)}


def _is_data(name: str, settings: Mapping[str, Any]) -> bool:
    return isinstance(settings.get("y"), dict) or (name.endswith(DATA_FILES) and not is_image(name))


def _paths(name: str, settings: Mapping[str, Any]) -> list[str]:
    """The files that a plot is drawn from."""
    paths = [path for axis in ("y", "x") if isinstance(settings.get(axis), dict) for path in settings[axis]]
    return list(dict.fromkeys(paths)) or [name]


def _undeclared_series(contents: Mapping[str, bytes], drawn: set[str]) -> dict[str, dict[str, Any]]:
    """Settings of plots of step series that dvc.yaml draws nowhere: those of one name together."""
    settings: dict[str, dict[str, Any]] = {}
    for path in contents:
        if is_series(path) and path.endswith(".tsv") and path not in drawn:
            name = posixpath.basename(path).removesuffix(".tsv")
            one = settings.setdefault(name, {"title": name, "x": "step", "y": {}, "y_label": name})
            one["y"][path] = name
    return settings


def _parsed(paths: list[str] | Mapping[str, Any], contents: Mapping[str, bytes]) -> dict[str, Any]:
    return {path: _parse(path, contents[path]) for path in paths}


def _parse(path: str, content: bytes) -> Any:
    """The content of a data file, as DVC reads it.

    Raises:
        ValueError or yaml.YAMLError: it is not what its name says.
    """
    if path.endswith((".csv", ".tsv")):
        delimiter = "\t" if path.endswith(".tsv") else ","
        return list(csv.DictReader(io.StringIO(content.decode()), delimiter=delimiter))
    return parsing.parse(path, content)


def _baseline_data(
    name: str, settings: Mapping[str, Any], paths: list[str], baseline: Mapping[str, bytes]
) -> PlotData | None:
    """The same plot of the baseline; None where it has none, or a broken one."""
    if not all(path in baseline for path in paths):
        return None
    try:
        return plot_data(name, settings, _parsed(paths, baseline))
    except (ValueError, yaml.YAMLError):
        return None


def _add(found: Drawings, data: PlotData, before: PlotData | None) -> None:
    if data.template.startswith("confusion"):
        pairs = [(str(y), str(x)) for points in data.lines.values() for x, y in points]
        counts = {pair: pairs.count(pair) for pair in dict.fromkeys(pairs)}
        found.confusions.append(Confusion(data.title, data.x_label, data.y_label, counts))
        return
    lines = _numbers(data)
    if not any(lines.values()):
        found.undrawn[data.title] = "its values are no numbers"
        return
    chart = Chart(
        data.title, data.x_label, data.y_label, lines, is_scatter=data.template.startswith("scatter")
    )
    if before and not chart.is_scatter:
        older = _numbers(before)
        differing = {name: points for name, points in older.items() if points and points != lines.get(name)}
        chart = replace(chart, baseline=differing)
    found.charts.append(chart)


def _numbers(data: PlotData) -> dict[str, list[Point]]:
    """Points by line, as far as they are numbers."""
    lines = {}
    for name, points in data.lines.items():
        pairs = [(_number(x), _number(y)) for x, y in points]
        lines[name] = [(x, y) for x, y in pairs if x is not None and y is not None]
    return lines


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
