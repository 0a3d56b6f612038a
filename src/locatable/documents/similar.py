"""Whether a picture is a copy of another: scaled, compressed, cut out of a screen."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from PIL import Image, ImageFilter

from .raster import Box, content_box

# Columns at which pictures are compared.
MOST_COLUMNS = 640
FEWEST_COLUMNS = 40
# How far the shapes of two pictures may be apart, of one.
SHAPE_TOLERANCE = 0.02
# Grey values. Two results' figures differ where they are further apart than this.
DIFFERENT = 24
# Pixels in which they must differ, for a copy to tell which it is of.
ENOUGH_DIFFERENT = 16
# How many times closer than the other a copy must be there.
CLEARLY_CLOSER = 1.5
# JPEG at quality 40 and every usual scaling leave pixels at edges so far off, and few further.
OFF_BY_COPYING = 60
# Of the pixels at edges, the share that may be further off.
MOST_FURTHER_OFF = 0.02
EDGE = 40

FullBox = tuple[float, float, float, float]
Values = np.ndarray
Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True)
class View:
    """Which part of a copy shows which part of an original."""

    copy: FullBox
    original: FullBox


@dataclass(frozen=True)
class Comparison:
    """A copy and an original, brought to one size, with what is left between them."""

    copy: Values
    original: Values
    further_off: float

    @property
    def is_copy(self) -> bool:
        """Whether what is left is what copying leaves."""
        return self.further_off <= MOST_FURTHER_OFF

    @property
    def mean(self) -> float:
        """Mean distance of a pixel."""
        return float(_distance(self.copy, self.original).mean())


def small_enough(picture: Image.Image) -> Image.Image:
    """A picture at a size at which many fit into memory."""
    factor = picture.width // (2 * MOST_COLUMNS)
    return picture.reduce(factor) if factor > 1 else picture


def compare_all(copy: Image.Image, originals: Mapping[Name, Image.Image]) -> dict[Name, Comparison]:
    """Compare a picture with others, in the way in which it shows one of them best.

    Those of another shape are left out.
    """
    whole = {name: View((0, 0, *copy.size), (0, 0, *one.size)) for name, one in originals.items()}
    box = content_box(copy.convert("L"))
    inside = {name: View(box, content_box(one.convert("L"))) for name, one in originals.items()}
    found: dict[Name, Comparison] = {}
    for views in (whole, inside):
        compared = _compare_by(copy, originals, views)
        best = closest(compared)
        if best is not None and not compared[best].is_copy and views is inside:
            moved = _refined(copy, originals[best], views[best])
            moved_views = {name: View(moved, view.original) for name, view in views.items()}
            compared = _compare_by(copy, originals, moved_views)
        found = found or compared
        best = closest(compared)
        if best is not None and compared[best].is_copy:
            return compared
    return found


def _compare_by(
    copy: Image.Image, originals: Mapping[Name, Image.Image], views: Mapping[Name, View]
) -> dict[Name, Comparison]:
    return {
        name: compare(copy, originals[name], view)
        for name, view in views.items()
        if _same_shape(view.copy, view.original)
    }


def closest(compared: Mapping[Name, Comparison]) -> Name | None:
    """The original that a picture is closest to, by the pixels in which originals differ."""
    by_mean = sorted(compared, key=lambda name: compared[name].mean)
    if not by_mean:
        return None
    best = by_mean[0]
    for name in by_mean[1:]:
        if times_closer(compared[best], compared[name]) < 1:
            best = name
    return best


def compare(copy: Image.Image, original: Image.Image, view: View) -> Comparison:
    """Compare a picture with another, of which it may be a copy."""
    columns = min(view.copy[2] - view.copy[0], view.original[2] - view.original[0], MOST_COLUMNS)
    shape = (view.copy[3] - view.copy[1]) / (view.copy[2] - view.copy[0])
    size = max(1, round(columns)), max(1, round(columns * shape))
    one, other = _reduced(copy, view.copy, size), _reduced(original, view.original, size)
    distance = _distance(one, other)
    at_edges = _edges(other)
    typical = float(np.median(distance[at_edges])) if at_edges.any() else 0.0
    # What was copied without a loss is not off by as much as what was compressed.
    limit = min(max(8 * typical, DIFFERENT), OFF_BY_COPYING)
    further_off = float((distance > limit).sum()) / max(1, int(at_edges.sum()))
    return Comparison(one, other, further_off)


def times_closer(closer: Comparison, other: Comparison) -> float:
    """How many times closer a copy is to one original than to another, where these two differ.

    1.0 where they differ in too little, at the size of the copy, to tell.
    """
    if closer.original.shape != other.original.shape:
        return other.mean / max(closer.mean, 0.5)
    differ = _distance(closer.original, other.original) > DIFFERENT
    if int(differ.sum()) < ENOUGH_DIFFERENT:
        return 1.0
    near = float(_distance(closer.copy, closer.original)[differ].mean())
    far = float(_distance(other.copy, other.original)[differ].mean())
    return far / max(near, 1.0)


def nearest(square: Values, squares: Values) -> Values:
    """Mean distance in grey values of a reduced picture from each of many."""
    return np.asarray(np.abs(squares.astype(np.int16) - square.astype(np.int16)).mean(axis=(1, 2)))


def says_something(square: Values) -> bool:
    """Whether a reduced picture shows anything; blank ones are all alike."""
    return float(square.std()) > 2.0


def _same_shape(one: FullBox, other: FullBox) -> bool:
    (width, height), (other_width, other_height) = _size(one), _size(other)
    if min(width, height, other_width, other_height) < 1 or min(width, other_width) < FEWEST_COLUMNS:
        return False
    ratio = (width / height) / (other_width / other_height)
    rounding = 2 / min(width, height)
    return abs(ratio - 1) <= SHAPE_TOLERANCE + rounding


def _size(box: FullBox) -> tuple[float, float]:
    return box[2] - box[0], box[3] - box[1]


def _refined(copy: Image.Image, original: Image.Image, view: View) -> FullBox:
    """A copy's part with edges moved by up to two pixels: cuts are not exact."""
    best, box = compare(copy, original, view), view.copy
    for step in (1.0, 0.5):
        for edge in range(4):
            for move in (-step, step):
                moved = _moved(box, edge, move, copy.size)
                tried = compare(copy, original, View(moved, view.original))
                if tried.mean < best.mean:
                    best, box = tried, moved
    return box


def _moved(box: FullBox, edge: int, by: float, size: tuple[int, int]) -> FullBox:
    moved = list(box)
    moved[edge] = min(max(moved[edge] + by, 0.0), float(size[edge % 2]))
    return moved[0], moved[1], moved[2], moved[3]


def _reduced(image: Image.Image, box: FullBox | Box, size: tuple[int, int]) -> Values:
    """Part of a picture at a size, slightly blurred: ways of scaling differ in what is finer."""
    is_larger = box[2] - box[0] > size[0]
    method = Image.Resampling.BOX if is_larger else Image.Resampling.BICUBIC
    exact = image.resize(size, method, box=box)
    return np.asarray(exact.filter(ImageFilter.BoxBlur(1)), dtype=np.int16)


def _distance(one: Values, other: Values) -> Values:
    """How far pixels are apart, in the colour in which they are furthest."""
    apart = np.abs(one - other)
    # Ten times as fast as `max(axis=2)`.
    return np.asarray(np.maximum(np.maximum(apart[..., 0], apart[..., 1]), apart[..., 2]))


def _edges(values: Values) -> Values:
    grey = values.mean(axis=2)
    down = np.abs(np.diff(grey, axis=0, prepend=grey[:1]))
    across = np.abs(np.diff(grey, axis=1, prepend=grey[:, :1]))
    return np.asarray(down + across > EDGE / 2)
