"""Reads the figures of a page: the pictures of a result, and the curves of its plots and series.

DVC itself reads the points of a plot, and matplotlib draws them together with those of the baseline.
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

# A pattern for the first bytes of each kind of picture that browsers show, by its media type.
_TYPES = {
    "image/png": rb"\x89PNG\r\n\x1a\n",
    "image/jpeg": rb"\xff\xd8\xff",
    "image/gif": rb"GIF8[79]a",
    "image/webp": rb"RIFF....WEBP",
    "image/svg+xml": rb"(\xef\xbb\xbf)?\s*(<svg|(<\?xml|<!--|<!DOCTYPE svg).{,2000}<svg)",
}
_ENDINGS = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg")
# The limits for the size of a figure in bytes, and for the number of figures. Within these limits, a browser
# opens a page without delay.
MOST_BYTES = 10_000_000
MOST_FIGURES = 24
DATA_FILES = (".csv", ".tsv", ".json", ".yaml", ".yml")
UNREADABLE = (csv.Error, ValueError, yaml.YAMLError)
# The most charts on a page: drawing one takes a fifth of a second.
MOST_CHARTS = 24
# The most classes in a table that people can read.
MOST_CLASSES = 50
# The most points of a scatter plot that become shapes in the SVG; more points become a bitmap.
MOST_DOTS = 2_000
# The most characters of a label that fit beside an axis. A longer one is cut at its beginning, because
# its end says more.
MOST_CHARACTERS = 40
# The largest value for which matplotlib can compute the range of an axis.
LARGEST = 1e300
COLOURS = ("#0b63b5", "#c2410c", "#15803d", "#a21caf", "#a16207", "#475569")
# The labels of two axes whose diagonal means a perfect prediction, or one that is no better than chance.
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
    """A picture of a page.

    Attributes:
        path: the path of the file.
        uri: the picture itself as a `data:` address; empty if it is too large for a page.
        size: the size of the file in bytes.
    """

    path: str
    uri: str
    size: int


def is_image(path: str) -> bool:
    """Return whether a file has the name of a picture that browsers show."""
    return path.lower().endswith(_ENDINGS)


def image_type(content: bytes) -> str | None:
    """Return the media type of a picture; None if the content is not a picture that browsers show."""
    for kind, beginning in _TYPES.items():
        if re.match(beginning, content, re.DOTALL):
            return kind
    return None


def figure(path: str, content: bytes) -> Figure | None:
    """Return a picture for a page; None if the content is not a picture that browsers show."""
    kind = image_type(content)
    if kind is None:
        return None
    if len(content) > MOST_BYTES:
        return Figure(path, "", len(content))
    return Figure(path, data_uri(kind, content), len(content))


def data_uri(kind: str, content: bytes) -> str:
    """Return a `data:` address that contains a file of this media type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def figures(contents: Mapping[str, bytes]) -> list[Figure]:
    """Return all pictures among the files."""
    found = []
    for path, content in contents.items():
        if is_image(path) and (picture := figure(path, content)):
            found.append(picture)
    return found


@dataclass(frozen=True)
class Chart:
    """A chart of lines or points over two axes.

    Attributes:
        title: the title of the chart.
        x_label: the label of the horizontal axis.
        y_label: the label of the vertical axis.
        lines: the points of each line by name.
        baseline: the points of the lines that differ in the baseline, by name.
        is_scatter: true if the points are not joined.
    """

    title: str
    x_label: str
    y_label: str
    lines: dict[str, Points]
    baseline: dict[str, Points] = field(default_factory=dict)
    is_scatter: bool = False

    @property
    def colours(self) -> dict[str, str]:
        """The colour of each line by name; a line of the baseline has the same colour."""
        names = dict.fromkeys([*self.lines, *self.baseline])
        return dict(zip(names, cycle(COLOURS), strict=False))


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix: a table that counts how often each pair of classes occurs.

    Attributes:
        title: the title of the table.
        x_label: the label of the columns.
        y_label: the label of the rows.
        counts: the counts by the class of the row and the class of the column.
    """

    title: str
    x_label: str
    y_label: str
    counts: Counter[tuple[str, str]]

    @property
    def classes(self) -> list[str]:
        """The names of all classes, sorted."""
        return sorted(set(chain.from_iterable(self.counts)))


@dataclass(frozen=True)
class Curves:
    """The charts and tables of a page; `undrawn` has the reasons why plots are not drawn, by their names."""

    charts: list[Chart] = field(default_factory=list)
    confusions: list[Confusion] = field(default_factory=list)
    undrawn: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Plot:
    """A plot to draw: its name, its settings as in dvc.yaml, and the files that contain its points."""

    name: str
    settings: Mapping[str, Any]
    paths: list[str]


def read_curves(snapshot: Snapshot, contents: Mapping[str, bytes], baseline: Mapping[str, bytes]) -> Curves:
    """Read the charts and tables of a revision, and the curves of the baseline to draw beside them.

    Args:
        snapshot: the snapshot of the revision.
        contents: the contents of the revision's outputs by path.
        baseline: the contents of the baseline's outputs by path.
    """
    curves = Curves()
    for plot in _plots(snapshot, contents):
        try:
            data = _read_points(plot, contents)
        except UNREADABLE as error:
            curves.undrawn[plot.name] = joined_lines(error)
            continue
        before = None
        if baseline.keys() >= set(plot.paths):
            with suppress(*UNREADABLE):
                before = _read_points(plot, baseline)
        if data.template.startswith("confusion"):
            _add_confusion(curves, data)
        else:
            _add_chart(curves, data, before)
    return curves


def _plots(snapshot: Snapshot, contents: Mapping[str, bytes]) -> list[_Plot]:
    """Return the plots of dvc.yaml, and then the series that none of them draws."""
    plots = []
    drawn: set[str] = set()
    for name, settings in _plot_settings(snapshot, contents).items():
        files: list[str] = []
        for axis in (settings.get("y"), settings.get("x")):
            if isinstance(axis, dict):
                files += axis
        paths = [path for path in dict.fromkeys(files or [name]) if path in contents]
        if paths:
            plots.append(_Plot(name, settings, paths))
            drawn.update(paths)
    # Series with the same name share a chart, even if they are in different folders.
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


def _plot_settings(snapshot: Snapshot, contents: Mapping[str, bytes]) -> dict[str, Mapping[str, Any]]:
    """Return the settings of the declared plots by name; a folder declares one plot for each data file."""
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


def _read_points(plot: _Plot, contents: Mapping[str, bytes]) -> PlotData:
    """Return the points of a plot, as DVC reads them.

    Raises:
        csv.Error, ValueError or yaml.YAMLError: a file does not have the format that its name says.
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
    """Add a confusion matrix to the curves, or the reason why it is not drawn."""
    table = Confusion(data.title, data.x_label, data.y_label, Counter())
    for points in data.lines.values():
        for x, y in points:
            table.counts[str(y), str(x)] += 1
    if len(table.classes) > MOST_CLASSES:
        curves.undrawn[data.title] = f"it has more than {MOST_CLASSES} classes"
    else:
        curves.confusions.append(table)


def _add_chart(curves: Curves, data: PlotData, before: PlotData | None) -> None:
    """Add a chart to the curves, or the reason why it is not drawn."""
    lines = _numeric_points(data)
    if not any(lines.values()):
        curves.undrawn[data.title] = "its values are no numbers"
        return
    if len(curves.charts) == MOST_CHARTS:
        curves.undrawn[data.title] = f"a page has at most {MOST_CHARTS} charts"
        return
    is_scatter = data.template.startswith("scatter")
    differing: dict[str, Points] = {}
    if before and not is_scatter:
        for name, points in _numeric_points(before).items():
            if points and points != lines.get(name):
                differing[name] = points
    curves.charts.append(Chart(data.title, data.x_label, data.y_label, lines, differing, is_scatter))


def _numeric_points(data: PlotData) -> dict[str, Points]:
    """Return the points of each line, without those that are not numbers."""
    lines: dict[str, Points] = {}
    for name, points in data.lines.items():
        lines[name] = []
        for pair in points:
            x, y = map(_finite_number, pair)
            if x is not None and y is not None:
                lines[name].append((x, y))
    return lines


def _finite_number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and abs(number) <= LARGEST else None


def draw(chart: Chart) -> str:
    """Draw a chart as SVG without title and legend, and return it as a `data:` address.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    import matplotlib.figure

    # matplotlib warns about letters that its font lacks, but the browser draws the labels with its own fonts.
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
            axes.autoscale(False)  # the diagonal must not change the range of the axes
            axes.axline((0, 0), slope=1, color="#8a94a0", linestyle=":", linewidth=1)
        content = io.BytesIO()
        canvas.savefig(content, format="svg", metadata={"Creator": None, "Date": None})
    return data_uri("image/svg+xml", content.getvalue())


def _label(text: str) -> str:
    shown = visible(redact_urls(text))
    return shown if len(shown) <= MOST_CHARACTERS else f"…{shown[1 - MOST_CHARACTERS :]}"
