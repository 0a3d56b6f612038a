"""Places the boxes of a graph in layers, so that arrows lead one way and cross seldom.

The usual steps of Sugiyama's method: layers, order in each, places, and arrows that go around boxes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

# Between boxes of a layer, and between layers.
GAP = 18.0
LAYER_GAP = 44.0
SWEEPS = 8

Point = tuple[float, float]
Edge = tuple[str, str]


@dataclass(frozen=True)
class Box:
    """The size of a box, and then the place of its centre.

    Attributes:
        width: along x.
        height: along y.
        x: of the centre.
        y: of the centre.
    """

    width: float
    height: float
    x: float = 0.0
    y: float = 0.0


@dataclass(frozen=True)
class Layout:
    """Where everything is.

    Attributes:
        boxes: by name.
        arrows: the points that each edge passes, from the border of one box to that of the other.
        width: of the picture.
        height: of it.
        is_horizontal: whether arrows lead to the right; otherwise they lead down.
    """

    boxes: dict[str, Box]
    arrows: dict[Edge, list[Point]]
    width: float
    height: float
    is_horizontal: bool


@dataclass(frozen=True)
class _Slot:
    """A place in a layer: of a box, or of an edge that passes by."""

    name: str
    passing: Edge | None = None


def arrange(boxes: Mapping[str, Box], edges: Sequence[Edge], most_across: int) -> Layout | None:
    """Place the boxes of a graph; None where it has a circle.

    Args:
        boxes: by name.
        edges: names of two boxes each.
        most_across: arrows lead to the right if there are at most so many layers, and down if there are more.
    """
    edges = [(start, end) for start, end in dict.fromkeys(edges) if start != end]
    try:
        depths = _depths(boxes, edges)
    except CycleError:
        return None
    count = max(depths.values(), default=-1) + 1
    is_horizontal = count <= most_across
    layers, links = _with_passing_edges(boxes, edges, depths, count)
    layers = _order(layers, links)
    breadth = {name: box.height if is_horizontal else box.width for name, box in boxes.items()}
    across = _places(layers, links, breadth)
    depth = {name: box.width if is_horizontal else box.height for name, box in boxes.items()}
    starts, ends = _extents(layers, depth)
    placed = {}
    for number, layer in enumerate(layers):
        for slot in layer:
            if slot.passing is None:
                along = (starts[number] + ends[number]) / 2
                x, y = _turned((along, across[slot]), is_horizontal)
                placed[slot.name] = Box(boxes[slot.name].width, boxes[slot.name].height, x, y)
    arrows = {}
    for edge in edges:
        points = _way(edge, depths, across, depth, starts, ends)
        arrows[edge] = [_turned(point, is_horizontal) for point in points]
    total = max(
        (across[slot] + breadth.get(slot.name, 0) / 2 for layer in layers for slot in layer), default=0.0
    )
    width, height = _turned((ends[-1] if ends else 0.0, total), is_horizontal)
    return Layout(placed, arrows, width, height, is_horizontal)


def _turned(point: Point, is_horizontal: bool) -> Point:
    """A point (along the arrows, across) as x and y."""
    return point if is_horizontal else (point[1], point[0])


def _depths(boxes: Mapping[str, Box], edges: Sequence[Edge]) -> dict[str, int]:
    """The layer of each box: behind all that lead to it; what nothing leads to, next to its first reader."""
    before: dict[str, set[str]] = {name: set() for name in boxes}
    after: dict[str, set[str]] = {name: set() for name in boxes}
    for start, end in edges:
        before[end].add(start)
        after[start].add(end)
    depths: dict[str, int] = {}
    for name in TopologicalSorter(before).static_order():
        depths[name] = max((depths[other] + 1 for other in before[name]), default=0)
    for name in boxes:
        if not before[name] and after[name]:
            depths[name] = min(depths[other] for other in after[name]) - 1
    return depths


def _with_passing_edges(
    boxes: Mapping[str, Box], edges: Sequence[Edge], depths: Mapping[str, int], count: int
) -> tuple[list[list[_Slot]], list[tuple[_Slot, _Slot]]]:
    """Layers with a slot for each edge that passes one, and links between slots of neighbouring layers."""
    layers: list[list[_Slot]] = [[] for _ in range(count)]
    for name in boxes:
        layers[depths[name]].append(_Slot(name))
    links = []
    for start, end in edges:
        previous = _Slot(start)
        for number in range(depths[start] + 1, depths[end]):
            # The same edge has a slot of its own in each layer.
            slot = _Slot(f"\0{number}", (start, end))
            layers[number].append(slot)
            links.append((previous, slot))
            previous = slot
        links.append((previous, _Slot(end)))
    return layers, links


def _order(layers: list[list[_Slot]], links: Sequence[tuple[_Slot, _Slot]]) -> list[list[_Slot]]:
    """Layers in an order with few crossings: each slot near the middle of those that it is linked with."""
    before, after = _neighbours(links)
    best, fewest = [list(layer) for layer in layers], _crossings(layers, links)
    current = [list(layer) for layer in layers]
    for sweep in range(SWEEPS):
        neighbours = after if sweep % 2 else before
        numbers = range(len(layers))
        for number in reversed(numbers) if sweep % 2 else numbers:
            places = {slot: place for layer in current for place, slot in enumerate(layer)}
            current[number].sort(key=lambda slot, n=neighbours, p=places: _mean_place(slot, n, p))  # type: ignore[misc]
        crossings = _crossings(current, links)
        if crossings < fewest:
            best, fewest = [list(layer) for layer in current], crossings
    return best


def _neighbours(
    links: Sequence[tuple[_Slot, _Slot]],
) -> tuple[dict[_Slot, list[_Slot]], dict[_Slot, list[_Slot]]]:
    """Slots that lead to each, and those that each leads to."""
    before: dict[_Slot, list[_Slot]] = {}
    after: dict[_Slot, list[_Slot]] = {}
    for start, end in links:
        before.setdefault(end, []).append(start)
        after.setdefault(start, []).append(end)
    return before, after


def _mean_place(slot: _Slot, neighbours: Mapping[_Slot, list[_Slot]], places: Mapping[_Slot, int]) -> float:
    linked = neighbours.get(slot)
    return sum(places[other] for other in linked) / len(linked) if linked else float(places[slot])


def _crossings(layers: Sequence[Sequence[_Slot]], links: Sequence[tuple[_Slot, _Slot]]) -> int:
    place = {slot: (number, index) for number, layer in enumerate(layers) for index, slot in enumerate(layer)}
    between: dict[int, list[tuple[int, int]]] = {}
    for start, end in links:
        between.setdefault(place[start][0], []).append((place[start][1], place[end][1]))
    crossings = 0
    for pairs in between.values():
        for index, (start_a, end_a) in enumerate(pairs):
            crossings += sum((start_a - start_b) * (end_a - end_b) < 0 for start_b, end_b in pairs[:index])
    return crossings


def _places(
    layers: Sequence[Sequence[_Slot]],
    links: Sequence[tuple[_Slot, _Slot]],
    breadth: Mapping[str, float],
) -> dict[_Slot, float]:
    """Places across the layers: each slot as near as it can be to those that it is linked with."""
    before, after = _neighbours(links)
    places: dict[_Slot, float] = {}
    for layer in layers:
        places |= _spread(layer, [0.0] * len(layer), breadth)
    for sweep in range(SWEEPS):
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            wanted = []
            for slot in layer:
                linked = [*before.get(slot, []), *after.get(slot, [])]
                mean = sum(places[other] for other in linked) / len(linked) if linked else places[slot]
                wanted.append(mean)
            places |= _spread(layer, wanted, breadth)
    margin = min((places[slot] - breadth.get(slot.name, 0) / 2 for slot in places), default=0.0)
    return {slot: place - margin for slot, place in places.items()}


def _spread(
    layer: Sequence[_Slot], wanted: Sequence[float], breadth: Mapping[str, float]
) -> dict[_Slot, float]:
    """Places in the order of a layer, apart from each other, and by least squares next to those wanted."""
    offsets = [0.0]
    for left, right in pairwise(layer):
        apart = (breadth.get(left.name, 0.0) + breadth.get(right.name, 0.0)) / 2 + GAP
        offsets.append(offsets[-1] + apart)
    # Those that would be in the wrong order share the mean of what they want.
    pools: list[tuple[float, int]] = []
    for place, offset in zip(wanted, offsets, strict=False):
        total, members = place - offset, 1
        while pools and pools[-1][0] / pools[-1][1] > total / members:
            total, members = total + pools[-1][0], members + pools[-1][1]
            pools.pop()
        pools.append((total, members))
    means = [total / members for total, members in pools for _ in range(members)]
    return {slot: mean + offset for slot, mean, offset in zip(layer, means, offsets, strict=False)}


def _extents(
    layers: Sequence[Sequence[_Slot]], depth: Mapping[str, float]
) -> tuple[list[float], list[float]]:
    """Where each layer starts and ends along the arrows."""
    starts: list[float] = []
    ends: list[float] = []
    for layer in layers:
        starts.append(ends[-1] + LAYER_GAP if ends else 0.0)
        ends.append(starts[-1] + max(depth.get(slot.name, 0.0) for slot in layer))
    return starts, ends


def _way(
    edge: Edge,
    depths: Mapping[str, int],
    across: Mapping[_Slot, float],
    depth: Mapping[str, float],
    starts: Sequence[float],
    ends: Sequence[float],
) -> list[Point]:
    """The points that an edge passes, along the arrows and across them."""
    start, end = edge
    first, last = depths[start], depths[end]
    points = [((starts[first] + ends[first] + depth[start]) / 2, across[_Slot(start)])]
    for number in range(first + 1, last):
        place = across[_Slot(f"\0{number}", edge)]
        points += [(starts[number], place), (ends[number], place)]
    return [*points, ((starts[last] + ends[last] - depth[end]) / 2, across[_Slot(end)])]
