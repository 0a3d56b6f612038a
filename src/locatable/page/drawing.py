"""The picture of a pipeline, as SVG."""

from collections.abc import Sequence
from itertools import pairwise

from .elements import Markup, element
from .graph import Graph, Node
from .layout import Box, Layout, Point, arrange

HEIGHT = 36.0
LEAST_WIDTH = 76.0
# Of a character, and of the room beside a name.
CHARACTER, PADDING = 7.3, 26.0
MOST_CHARACTERS = 30
MARGIN = 6.0
# More layers than these are drawn from top to bottom.
MOST_ACROSS = 6
# Of a picture that somebody can read.
MOST_NODES = 80


def draw_pipeline(graph: Graph) -> Markup | None:
    """The picture; None where there is nothing to draw, or far too much."""
    if not graph.nodes or len(graph.nodes) > MOST_NODES:
        return None
    boxes = {name: Box(_width(name), HEIGHT) for name in graph.nodes}
    layout = arrange(boxes, graph.edges, MOST_ACROSS)
    if layout is None:
        return None
    width, height = layout.width + 2 * MARGIN, layout.height + 2 * MARGIN
    return element(
        "svg",
        element("title", "The pipeline"),
        element("defs", _arrowhead("arrow"), _arrowhead("arrow-lit")),
        element("g", _arrows(graph, layout), transform=f"translate({MARGIN:g} {MARGIN:g})"),
        element(
            "g",
            [_node(node, layout.boxes[name]) for name, node in graph.nodes.items()],
            transform=f"translate({MARGIN:g} {MARGIN:g})",
        ),
        class_="pipeline",
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        width=f"{width:.0f}",
        height=f"{height:.0f}",
        role="img",
    )


def _shown(name: str) -> str:
    """A name that fits: its end tells more than its beginning."""
    return name if len(name) <= MOST_CHARACTERS else f"…{name[1 - MOST_CHARACTERS :]}"


def _width(name: str) -> float:
    return max(LEAST_WIDTH, len(_shown(name)) * CHARACTER + PADDING)


def _arrowhead(name: str) -> Markup:
    return element(
        "marker",
        element("path", d="M0 0 L8 4 L0 8 z"),
        id=name,
        class_=name,
        viewBox="0 0 8 8",
        refX="7",
        refY="4",
        markerWidth="7",
        markerHeight="7",
        orient="auto",
    )


def _arrows(graph: Graph, layout: Layout) -> list[Markup]:
    """All arrows, those that are lit last, over the others."""
    drawn = []
    for edge in graph.edges:
        lit = graph.nodes[edge[0]].made_target and graph.nodes[edge[1]].made_target
        drawn.append((lit, _arrow(layout.arrows[edge], layout.is_horizontal, lit)))
    return [arrow for lit, arrow in sorted(drawn, key=lambda pair: pair[0])]


def _arrow(points: Sequence[Point], is_horizontal: bool, lit: bool) -> Markup:
    steps = [f"M{_pair(points[0])}"]
    for start, end in pairwise(points):
        if is_horizontal:
            middle = (start[0] + end[0]) / 2
            first, second = (middle, start[1]), (middle, end[1])
        else:
            middle = (start[1] + end[1]) / 2
            first, second = (start[0], middle), (end[0], middle)
        steps.append(f"C{_pair(first)} {_pair(second)} {_pair(end)}")
    name = "arrow-lit" if lit else "arrow"
    return element("path", d=" ".join(steps), class_=f"edge {name}", marker_end=f"url(#{name})")


def _pair(point: Point) -> str:
    return f"{point[0]:.1f} {point[1]:.1f}"


def _node(node: Node, box: Box) -> Markup:
    kind = "data" if node.is_data else "stage"
    return element(
        "g",
        element("title", f"{node.name}{', made this' if node.made_target else ''}"),
        element(
            "rect",
            x=box.x - box.width / 2,
            y=box.y - box.height / 2,
            width=box.width,
            height=box.height,
            rx=box.height / 2 if node.is_data else 7.0,
        ),
        element("text", _shown(node.name), x=box.x, y=box.y + 4.5, text_anchor="middle"),
        class_=f"node {kind} lit" if node.made_target else f"node {kind}",
    )
