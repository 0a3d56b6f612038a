"""Pictures as pixels: opened within limits, brought to a form in which copies are equal, and compared.

A copy of a picture can be scaled, compressed, or cut out of a screen. Two are compared at one size, with and
without their margins: copying explains small differences, and no others.
"""

import hashlib
import io
import warnings
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from PIL import Image, ImageChops, ImageFilter, features

from ..errors import UnreadableError, joined_lines

# Formats that are read. Not EPS: Pillow starts Ghostscript for it.
FORMATS = ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "JPEG2000"]
if features.check("avif"):
    FORMATS.append("AVIF")
# Pixels of a picture that is opened: 400 MB in memory as four bytes each, for a moment.
MOST_PIXELS = 100_000_000
TOO_LARGE = f"pictures of more than {MOST_PIXELS // 1_000_000} megapixels are not opened"
# Side of the square that a picture is reduced to, to find similar ones.
SIDE = 48
# How far a pixel is from the background's grey where the figure begins; JPEG's noise is below.
FOREGROUND = 40

Box = tuple[int, int, int, int]
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
class Fingerprint:
    """A picture reduced to what finds copies of it.

    Attributes:
        width: in pixels.
        height: in pixels.
        pixels: digest of size and pixels, as seen on white paper.
        inside: the picture without its margins, reduced to a grey square, `SIDE` by `SIDE`.
    """

    width: int
    height: int
    pixels: bytes
    inside: np.ndarray


def opened(content: bytes) -> Image.Image:
    """Open a picture as it is seen on white paper, in RGB."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(content), formats=FORMATS)
            require_size(*image.size)
            return flattened(image)
    except Image.DecompressionBombError:
        raise UnreadableError(TOO_LARGE) from None
    except UnreadableError:
        raise
    except Exception as error:
        # Decoders raise whatever broken bytes make of them.
        reason = joined_lines(error)[:80] or type(error).__name__
        raise UnreadableError(f"not a picture that can be read: {reason}") from None


def require_size(width: int, height: int) -> None:
    """Refuse a picture that would take too much memory."""
    if width * height > MOST_PIXELS:
        raise UnreadableError(TOO_LARGE)


def flattened(image: Image.Image) -> Image.Image:
    """Return a picture in RGB, on white where it is transparent: what its copies in other formats show."""
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, dtype=float)
        # Numbers above 255 are of 16 bits, of which Pillow would keep the lower ones.
        top = 65535.0 if values.max(initial=0) > 255 else 255.0
        grey = values.clip(0, top) * (255 / top)
        image = Image.fromarray(grey.astype(np.uint8))
    if not image.has_transparency_data:
        return image.convert("RGB")
    layers = image.convert("RGBA")
    alpha = layers.getchannel("A")
    if alpha.getextrema() == (255, 255):
        return layers.convert("RGB")
    paper = Image.new("RGB", layers.size, "white")
    paper.paste(layers, mask=alpha)
    return paper


def fingerprint(image: Image.Image) -> Fingerprint:
    """Return the fingerprint of a picture that `opened` returned."""
    grey = image.convert("L")
    box = content_box(grey)
    hasher = hashlib.sha256(b"%d %d\0" % image.size)
    # A few lines at a time: all of a large picture's bytes would need twice its memory.
    for top in range(0, image.height, 256):
        lines = image.crop((0, top, image.width, min(top + 256, image.height)))
        hasher.update(lines.tobytes())
    inside = grey.resize((SIDE, SIDE), Image.Resampling.BOX, box=box)
    return Fingerprint(image.width, image.height, hasher.digest()[:16], np.asarray(inside))


def content_box(grey: Image.Image) -> Box:
    """Return the box of a grey picture without its margins, which have the colour of its corner."""
    background = grey.getpixel((0, 0))
    difference = ImageChops.difference(grey, Image.new("L", grey.size, background))
    table = [0] * FOREGROUND + [255] * (256 - FOREGROUND)
    # A picture of one colour has no box of its own.
    return difference.point(table).getbbox() or (0, 0, *grey.size)


@dataclass(frozen=True)
class Comparison:
    """A copy and an original, brought to one size, with the share of pixels that copying does not explain."""

    copy: Values
    original: Values
    further_off: float

    @property
    def is_copy(self) -> bool:
        """True where the pixels differ by no more than copying leaves."""
        return self.further_off <= MOST_FURTHER_OFF

    @property
    def mean(self) -> float:
        """Mean distance of a pixel."""
        return float(_distance(self.copy, self.original).mean())


def small_enough(picture: Image.Image) -> Image.Image:
    """Return a picture at a size at which many fit into memory."""
    factor = picture.width // (2 * MOST_COLUMNS)
    return picture.reduce(factor) if factor > 1 else picture


def compare_all(copy: Image.Image, originals: Mapping[Name, Image.Image]) -> dict[Name, Comparison]:
    """Compare a picture with others as a whole; then, where it is a copy of none, without margins.

    Pictures of another shape are left out. The result is that of the first way in which it is a copy of one.
    """
    whole_boxes: dict[Name, FullBox] = {}
    inner_boxes: dict[Name, FullBox] = {}
    for name, original in originals.items():
        whole_boxes[name] = (0, 0, *original.size)
        inner_boxes[name] = content_box(original.convert("L"))
    whole = _compare_by(copy, (0, 0, *copy.size), originals, whole_boxes)
    if _holds_copy(whole):
        return whole
    box: FullBox = content_box(copy.convert("L"))
    inside = _compare_by(copy, box, originals, inner_boxes)
    best = closest(inside)
    if best is not None and not inside[best].is_copy:
        # Who cuts a figure out of a screen does not meet its margins exactly.
        box = _refined(copy, box, originals[best], inner_boxes[best])
        inside = _compare_by(copy, box, originals, inner_boxes)
    if _holds_copy(inside):
        return inside
    return whole or inside


def _compare_by(
    copy: Image.Image, box: FullBox, originals: Mapping[Name, Image.Image], boxes: Mapping[Name, FullBox]
) -> dict[Name, Comparison]:
    """Compare a part of a picture with parts of others that have its shape."""
    compared = {}
    for name, original in originals.items():
        if _same_shape(box, boxes[name]):
            compared[name] = _compare(copy, box, original, boxes[name])
    return compared


def _holds_copy(compared: Mapping[Name, Comparison]) -> bool:
    best = closest(compared)
    return best is not None and compared[best].is_copy


def closest(compared: Mapping[Name, Comparison]) -> Name | None:
    """Return the original that a picture is closest to, by the pixels in which originals differ."""
    by_mean = sorted(compared, key=lambda name: compared[name].mean)
    if not by_mean:
        return None
    best = by_mean[0]
    for name in by_mean[1:]:
        if times_closer(compared[best], compared[name]) < 1:
            best = name
    return best


def _compare(copy: Image.Image, box: FullBox, original: Image.Image, original_box: FullBox) -> Comparison:
    """Compare a part of a picture with the part of another of which it may be a copy."""
    width, height = _size(box)
    original_width, _ = _size(original_box)
    # At the size of the smaller one: enlarging adds nothing to compare.
    columns = min(width, original_width, MOST_COLUMNS)
    size = max(1, round(columns)), max(1, round(columns * height / width))
    one = _reduced(copy, box, size)
    other = _reduced(original, original_box, size)
    distance = _distance(one, other)
    at_edges = _edges(other)
    typical = float(np.median(distance[at_edges])) if at_edges.any() else 0.0
    # What was copied without a loss is not off by as much as what was compressed.
    limit = min(max(8 * typical, DIFFERENT), OFF_BY_COPYING)
    further_off = float((distance > limit).sum()) / max(1, int(at_edges.sum()))
    return Comparison(one, other, further_off)


def times_closer(closer: Comparison, other: Comparison) -> float:
    """Return how many times closer a copy is to one original than to another, where these two differ.

    It is 1.0 where they differ in too little, at the size of the copy, to tell.
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
    """Return the mean distance in grey values of a reduced picture from each of many."""
    # Bytes without a sign would wrap around below zero.
    difference = squares.astype(np.int16) - square.astype(np.int16)
    return np.asarray(np.abs(difference).mean(axis=(1, 2)))


def says_something(square: Values) -> bool:
    """Return true where a reduced picture shows anything; blank ones are all alike."""
    return float(square.std()) > 2.0


def _same_shape(one: FullBox, other: FullBox) -> bool:
    width, height = _size(one)
    other_width, other_height = _size(other)
    if min(height, other_height) < 1 or min(width, other_width) < FEWEST_COLUMNS:
        return False
    ratio = (width / height) / (other_width / other_height)
    rounding = 2 / min(width, height)
    return abs(ratio - 1) <= SHAPE_TOLERANCE + rounding


def _size(box: FullBox) -> tuple[float, float]:
    return box[2] - box[0], box[3] - box[1]


def _refined(copy: Image.Image, box: FullBox, original: Image.Image, original_box: FullBox) -> FullBox:
    """Return the box of the copy with its edges moved by up to a pixel and a half, to fit best."""
    best = _compare(copy, box, original, original_box)
    for step in (1.0, 0.5):
        for edge in range(4):
            for move in (-step, step):
                moved = _moved(box, edge, move, copy.size)
                tried = _compare(copy, moved, original, original_box)
                if tried.mean < best.mean:
                    best = tried
                    box = moved
    return box


def _moved(box: FullBox, edge: int, by: float, size: tuple[int, int]) -> FullBox:
    moved = list(box)
    moved[edge] = min(max(moved[edge] + by, 0.0), float(size[edge % 2]))
    return moved[0], moved[1], moved[2], moved[3]


def _reduced(image: Image.Image, box: FullBox | Box, size: tuple[int, int]) -> Values:
    """Return a part of a picture at a size, slightly blurred: ways of scaling differ in finer details."""
    is_larger = box[2] - box[0] > size[0]
    method = Image.Resampling.BOX if is_larger else Image.Resampling.BICUBIC
    exact = image.resize(size, method, box=box)
    return np.asarray(exact.filter(ImageFilter.BoxBlur(1)), dtype=np.int16)


def _distance(one: Values, other: Values) -> Values:
    """Return how far pixels are apart, in the colour in which they are furthest."""
    apart = np.abs(one - other)
    # Ten times as fast as `max(axis=2)`.
    return np.asarray(np.maximum(np.maximum(apart[..., 0], apart[..., 1]), apart[..., 2]))


def _edges(values: Values) -> Values:
    """Return true for the pixels that differ clearly from their neighbour above or on the left."""
    grey = values.mean(axis=2)
    down = np.abs(np.diff(grey, axis=0, prepend=grey[:1]))
    across = np.abs(np.diff(grey, axis=1, prepend=grey[:, :1]))
    return np.asarray(down + across > EDGE / 2)
