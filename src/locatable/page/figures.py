"""Figures of a page: pictures of the result itself, and its plots and series as DVC finds their points.

Curves are drawn by matplotlib beside those of the baseline.
"""

import base64
import csv
import io
import math
import posixpath
import re
import warnings
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, cycle
from pathlib import Path
from typing import Any

import yaml

from ..errors import joined_lines
from ..model import is_in, is_series
from ..output import redact_urls, visible
from ..repository import parsing
from ..repository.dvc_repo import PlotData, plot_data
from ..repository.snapshot import Snapshot

# How pictures that browsers show begin, by their media types.
_TYPES = {
    "image/png": rb"\x89PNG\r\n\x1a\n",
    "image/jpeg": rb"\xff\xd8\xff",
    "image/gif": rb"GIF8[79]a",
    "image/webp": rb"RIFF....WEBP",
    "image/svg+xml": rb"(\xef\xbb\xbf)?\s*(<svg|(<\?xml|<!--|<!DOCTYPE svg).{,2000}<svg)",
}
_ENDINGS = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg")
# Of one figure, and of all of a page: a browser opens it without pause.
MOST_BYTES = 10_000_000
MOST_FIGURES = 24
DATA_FILES = (".csv", ".tsv", ".json", ".yaml", ".yml")
UNREADABLE = (csv.Error, ValueError, yaml.YAMLError)
# Charts of a page, each of which takes a fifth of a second.
MOST_CHARTS = 24
# Classes of a table that somebody can read.
MOST_CLASSES = 50
# Points of a scatter plot that are drawn one by one; more become one picture.
MOST_DOTS = 2_000
# Characters of a label that fit beside an axis; its end tells more than its beginning.
MOST_CHARACTERS = 40
# Larger values have no range that matplotlib can divide.
LARGEST = 1e300
COLOURS = ("#0b63b5", "#c2410c", "#15803d", "#a21caf", "#a16207", "#475569")
# Axes on whose diagonal a prediction is right, or no better than chance.
DIAGONALS = (
    {"predicted", "observed"},
    {"predicted", "actual"},
    {"prob_pred", "prob_true"},
    {"false_positive_rate", "true_positive_rate"},
    {"fpr", "tpr"},
)
STYLE = Path(__file__).parent / "templates/chart.mplstyle"
Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Figure:
    """A picture with its name; `uri` is empty where it is too large to be put into a page."""

    path: str
    uri: str
    size: int


def is_image(path: str) -> bool:
    """Return true for the name of a picture that browsers show."""
    return path.lower().endswith(_ENDINGS)


def image_type(content: bytes) -> str | None:
    """Return the media type of a picture that browsers show, None where the content is none."""
    for kind, beginning in _TYPES.items():
        if re.match(beginning, content, re.DOTALL):
            return kind
    return None


def figure(path: str, content: bytes) -> Figure | None:
    """Return a picture for a page, None where the content is none."""
    kind = image_type(content)
    if kind is None:
        return None
    if len(content) > MOST_BYTES:
        return Figure(path, "", len(content))
    return Figure(path, data_uri(kind, content), len(content))


def data_uri(kind: str, content: bytes) -> str:
    """Return an address that holds a file of this media type itself."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def figures(contents: Mapping[str, bytes]) -> list[Figure]:
    """Return all pictures among some files."""
    found = []
    for path, content in contents.items():
        if is_image(path) and (picture := figure(path, content)):
            found.append(picture)
    return found


@dataclass(frozen=True)
class Chart:
    """A chart of lines or points over two axes.

    Attributes:
        title: of the chart.
        x_label: of the axis below.
        y_label: of the other one.
        lines: points by name.
        baseline: the same of the baseline, where they differ.
        is_scatter: true where points are not joined.
    """

    title: str
    x_label: str
    y_label: str
    lines: dict[str, Points]
    baseline: dict[str, Points] = field(default_factory=dict)
    is_scatter: bool = False

    @property
    def colours(self) -> dict[str, str]:
        """Colour of each line; that of the baseline shares it."""
        names = dict.fromkeys([*self.lines, *self.baseline])
        return dict(zip(names, cycle(COLOURS), strict=False))


@dataclass(frozen=True)
class Confusion:
    """A table of how often each pair of classes occurs.

    Attributes:
        title: of the table.
        x_label: of its columns.
        y_label: of its rows.
        counts: by the classes of the row and the column.
    """

    title: str
    x_label: str
    y_label: str
    counts: Counter[tuple[str, str]]

    @property
    def classes(self) -> list[str]:
        """Names of all classes, sorted."""
        return sorted(set(chain.from_iterable(self.counts)))


@dataclass(frozen=True)
class Curves:
    """Charts and tables of a page; `undrawn` says why something is not, by its name."""

    charts: list[Chart] = field(default_factory=list)
    confusions: list[Confusion] = field(default_factory=list)
    undrawn: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Plot:
    """A plot to draw: its name, its settings as dvc.yaml has them, and the files that have its points."""

    name: str
    settings: Mapping[str, Any]
    paths: list[str]


def read_curves(snapshot: Snapshot, contents: Mapping[str, bytes], baseline: Mapping[str, bytes]) -> Curves:
    """Return what to draw of a revision."""
    curves = Curves()
    for plot in _plots(snapshot, contents):
        try:
            data = _points(plot, contents)
        except UNREADABLE as error:
            curves.undrawn[plot.name] = joined_lines(error)
            continue
        before = None
        if baseline.keys() >= set(plot.paths):
            with suppress(*UNREADABLE):
                before = _points(plot, baseline)
        if data.template.startswith("confusion"):
            _add_confusion(curves, data)
        else:
            _add_chart(curves, data, before)
    return curves


def _plots(snapshot: Snapshot, contents: Mapping[str, bytes]) -> list[_Plot]:
    """Return the plots of dvc.yaml, then series that none of them draws."""
    plots = []
    drawn: set[str] = set()
    for name, settings in _definitions(snapshot, contents).items():
        files: list[str] = []
        for axis in (settings.get("y"), settings.get("x")):
            if isinstance(axis, dict):
                files += axis
        paths = [path for path in dict.fromkeys(files or [name]) if path in contents]
        if paths:
            plots.append(_Plot(name, settings, paths))
            drawn.update(paths)
    # Series of one name share a chart, whatever folders they are in.
    series: dict[str, list[str]] = {}
    for path in contents:
        if is_series(path) and path.endswith(".tsv") and path not in drawn:
            name = posixpath.basename(path).removesuffix(".tsv")
            series.setdefault(name, []).append(path)
    for name, paths in series.items():
        columns = dict.fromkeys(paths, name)
        settings = {"title": name, "x": "step", "y": columns, "y_label": name}
        plots.append(_Plot(name, settings, paths))
    return plots


def _definitions(snapshot: Snapshot, contents: Mapping[str, bytes]) -> dict[str, Mapping[str, Any]]:
    """Return the settings of each declared plot of data; a folder is one for each data file in it."""
    definitions: dict[str, Mapping[str, Any]] = {}
    for pipeline in snapshot.pipelines.values():
        for name, settings in pipeline.plot_definitions.items():
            if isinstance(settings.get("y"), dict):
                definitions[name] = settings
                continue
            for path in contents:
                if not path.endswith(DATA_FILES) or is_image(path):
                    continue
                if path == name:
                    definitions[path] = settings
                elif is_in(path, name) and not is_series(path):
                    definitions.setdefault(path, settings)
    return definitions


def _points(plot: _Plot, contents: Mapping[str, bytes]) -> PlotData:
    """Return the points of a plot, as DVC finds them.

    Raises:
        csv.Error, ValueError or yaml.YAMLError: a file is not what its name says.
    """
    parsed: dict[str, Any] = {}
    for path in plot.paths:
        if path.endswith((".csv", ".tsv")):
            text = io.StringIO(contents[path].decode())
            delimiter = "\t" if path.endswith(".tsv") else ","
            parsed[path] = list(csv.DictReader(text, delimiter=delimiter))
        else:
            parsed[path] = parsing.parse(path, contents[path])
    return plot_data(plot.name, plot.settings, parsed)


def _add_confusion(curves: Curves, data: PlotData) -> None:
    """Add a table of classes to what is drawn, or say why it is not."""
    table = Confusion(data.title, data.x_label, data.y_label, Counter())
    for points in data.lines.values():
        for x, y in points:
            table.counts[str(y), str(x)] += 1
    if len(table.classes) > MOST_CLASSES:
        curves.undrawn[data.title] = f"it has more than {MOST_CLASSES} classes"
    else:
        curves.confusions.append(table)


def _add_chart(curves: Curves, data: PlotData, before: PlotData | None) -> None:
    """Add a chart to what is drawn, or say why it is not."""
    lines = _numbers(data)
    if not any(lines.values()):
        curves.undrawn[data.title] = "its values are no numbers"
        return
    if len(curves.charts) == MOST_CHARTS:
        curves.undrawn[data.title] = f"a page has at most {MOST_CHARTS} charts"
        return
    is_scatter = data.template.startswith("scatter")
    differing: dict[str, Points] = {}
    if before and not is_scatter:
        for name, points in _numbers(before).items():
            if points and points != lines.get(name):
                differing[name] = points
    curves.charts.append(Chart(data.title, data.x_label, data.y_label, lines, differing, is_scatter))


def _numbers(data: PlotData) -> dict[str, Points]:
    """Return the points of each line, as far as they are numbers."""
    lines: dict[str, Points] = {}
    for name, points in data.lines.items():
        lines[name] = []
        for pair in points:
            x, y = map(_number, pair)
            if x is not None and y is not None:
                lines[name].append((x, y))
    return lines


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and abs(number) <= LARGEST else None


def draw(chart: Chart) -> str:
    """Return the address of a chart's picture, an SVG without title and legend.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    import matplotlib.figure

    # The font may lack letters of a label; a browser has them.
    with matplotlib.rc_context(fname=STYLE), warnings.catch_warnings(action="ignore"):
        canvas = matplotlib.figure.Figure()
        axes = canvas.subplots()
        axes.set(xlabel=_label(chart.x_label), ylabel=_label(chart.y_label))
        for style, lines in (("--", chart.baseline), ("-", chart.lines)):
            for name, points in lines.items():
                is_dotted = chart.is_scatter or len(points) == 1
                axes.plot(
                    *zip(*points, strict=True),
                    color=chart.colours[name],
                    linestyle="none" if is_dotted else style,
                    marker="." if is_dotted else None,
                    rasterized=chart.is_scatter and len(points) > MOST_DOTS,
                )
        if {chart.x_label, chart.y_label} in DIAGONALS:
            axes.autoscale_view()
            axes.autoscale(False)  # the diagonal belongs to no data
            axes.axline((0, 0), slope=1, color="#8a94a0", linestyle=":", linewidth=1)
        content = io.BytesIO()
        canvas.savefig(content, format="svg", metadata={"Creator": None, "Date": None})
    return data_uri("image/svg+xml", content.getvalue())


def _label(text: str) -> str:
    shown = visible(redact_urls(text))
    return shown if len(shown) <= MOST_CHARACTERS else f"…{shown[1 - MOST_CHARACTERS :]}"
