"""A chart as SVG: axes, lines or points, and a legend."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .elements import Markup, element
from .plots import Chart, Point

WIDTH, HEIGHT = 440.0, 270.0
LEFT, RIGHT, TOP, BOTTOM = 58.0, 12.0, 12.0, 44.0
# Points of a line that are drawn; more cannot be told apart.
MOST_POINTS = 800
# Colours that the style sheet has.
COLOURS = 6
# Axes on whose diagonal a prediction is right, or no better than chance.
DIAGONALS = (
    {"predicted", "observed"},
    {"predicted", "actual"},
    {"prob_pred", "prob_true"},
    {"false_positive_rate", "true_positive_rate"},
    {"fpr", "tpr"},
)
# Ticks of an axis, about.
TICKS = 5


@dataclass(frozen=True)
class Axis:
    """A range of values, what is marked in it, and where it lies in the picture."""

    low: float
    high: float
    ticks: list[float]
    start: float
    end: float

    def place(self, value: float) -> float:
        """Where a value lies in the picture."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def draw_chart(chart: Chart, baseline_name: str = "") -> Markup:
    """A chart with its title and legend.

    Args:
        chart: what to draw.
        baseline_name: what the legend calls the baseline.
    """
    points = [point for line in (*chart.lines.values(), *chart.baseline.values()) for point in line]
    x_axis = axis((x for x, _ in points), LEFT, WIDTH - RIGHT)
    y_axis = axis((y for _, y in points), HEIGHT - BOTTOM, TOP)
    names = list(dict.fromkeys([*chart.lines, *chart.baseline]))
    colours = {name: f"c{index % COLOURS}" for index, name in enumerate(names)}
    drawn: list[Markup | None] = []
    if {chart.x_label, chart.y_label} in DIAGONALS:
        drawn.append(_diagonal(x_axis, y_axis))
    for name, line in chart.baseline.items():
        drawn.append(_line(line, x_axis, y_axis, f"curve before {colours[name]}"))
    for name, line in chart.lines.items():
        if chart.is_scatter:
            drawn += _dots(line, x_axis, y_axis, colours[name])
        else:
            drawn.append(_line(line, x_axis, y_axis, f"curve {colours[name]}"))
    picture = element(
        "svg",
        element("title", chart.title),
        _grid(x_axis, y_axis),
        drawn,
        element("text", chart.x_label, x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 6, class_="label"),
        element(
            "text",
            chart.y_label,
            transform=f"translate(12 {(TOP + HEIGHT - BOTTOM) / 2:g}) rotate(-90)",
            class_="label",
        ),
        viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}",
        class_="chart",
        role="img",
    )
    return element(
        "figure",
        element("figcaption", chart.title),
        picture,
        _legend(chart, colours, baseline_name),
        class_="plot",
    )


def _legend(chart: Chart, colours: dict[str, str], baseline_name: str) -> Markup | None:
    entries = []
    if len(colours) > 1 or chart.baseline:
        for name, colour in colours.items():
            shown = name if len(colours) > 1 else "this result"
            entries.append(element("span", element("i", class_=f"swatch {colour}"), shown))
    if chart.baseline:
        entries.append(
            element("span", element("i", class_="swatch before"), f"baseline {baseline_name}".strip())
        )
    return element("p", entries, class_="legend") if entries else None


def axis(values: Iterable[float], start: float, end: float) -> Axis:
    """An axis on which all values lie, with round numbers for marks."""
    found = list(values)
    low, high = min(found), max(found)
    if low == high:  # one value has no range of its own
        reach = abs(low) / 2 or 1.0
        low, high = low - reach, high + reach
    step = _round_step(high / TICKS - low / TICKS)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    # Digits that tell the marks apart; a sum of steps has more.
    ticks = [number * step for number in range(first, last + 1)]
    return Axis(min(low, ticks[0]), max(high, ticks[-1]), ticks, start, end)


def _round_step(step: float) -> float:
    """The next of 1, 2, 5, 10 and so on that is not smaller."""
    if not step > 0 or not math.isfinite(step):
        return 1.0
    power = 10.0 ** math.floor(math.log10(step))
    for factor in (1, 2, 5):
        if step <= factor * power * (1 + 1e-9):
            return factor * power
    return 10 * power


def tick_label(value: float, ticks: Sequence[float]) -> str:
    """A mark with as many digits as tell it from the next."""
    step = ticks[1] - ticks[0] if len(ticks) > 1 else abs(value) or 1.0
    if abs(value) < step / 1e6:
        return "0"
    largest = max(abs(tick) for tick in ticks)
    if largest >= 1e6 or largest < 1e-3:
        return f"{value:.{1 + max(0, math.ceil(math.log10(largest / step) - 1e-9))}g}"
    return f"{value:.{max(0, -math.floor(math.log10(step) + 1e-9))}f}"


def _grid(x_axis: Axis, y_axis: Axis) -> list[Markup]:
    parts = []
    for tick in y_axis.ticks:
        y = y_axis.place(tick)
        parts.append(element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="grid"))
        label = tick_label(tick, y_axis.ticks)
        parts.append(element("text", label, x=LEFT - 6, y=y + 4, class_="tick y"))
    for tick in x_axis.ticks:
        x = x_axis.place(tick)
        parts.append(element("line", x1=x, x2=x, y1=HEIGHT - BOTTOM, y2=HEIGHT - BOTTOM + 4, class_="grid"))
        label = tick_label(tick, x_axis.ticks)
        parts.append(element("text", label, x=x, y=HEIGHT - BOTTOM + 17, class_="tick"))
    return parts


def _diagonal(x_axis: Axis, y_axis: Axis) -> Markup | None:
    """Return the line of equal values; None if the axes have none in common."""
    low, high = max(x_axis.low, y_axis.low), min(x_axis.high, y_axis.high)
    if low >= high:
        return None
    return element(
        "line",
        x1=x_axis.place(low),
        y1=y_axis.place(low),
        x2=x_axis.place(high),
        y2=y_axis.place(high),
        class_="diagonal",
    )


def _thinned(points: Sequence[Point]) -> Sequence[Point]:
    """Not more points than can be seen; the last one stays."""
    stride = -(-len(points) // MOST_POINTS) or 1
    thinned = list(points[::stride])
    if points and thinned[-1] != points[-1]:
        thinned.append(points[-1])
    return thinned


def _line(points: Sequence[Point], x_axis: Axis, y_axis: Axis, class_: str) -> Markup:
    places = [f"{x_axis.place(x):.1f},{y_axis.place(y):.1f}" for x, y in _thinned(points)]
    if len(places) == 1:
        (x, y) = points[0]
        return element("circle", cx=x_axis.place(x), cy=y_axis.place(y), r=3.0, class_=f"{class_} dot")
    return element("polyline", points=" ".join(places), class_=class_)


def _dots(points: Sequence[Point], x_axis: Axis, y_axis: Axis, colour: str) -> list[Markup]:
    return [
        element("circle", cx=x_axis.place(x), cy=y_axis.place(y), r=2.2, class_=f"dot {colour}")
        for x, y in _thinned(points)
    ]
