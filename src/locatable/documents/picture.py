"""Pictures as pixels: opened within limits, brought to a form in which copies are equal, and compared.

A copy of a picture can be scaled, stretched, compressed, cropped, or drawn upon, and be a part of another
picture or of a page. So pictures are cut into blocks, which blank lines separate. A block is aligned with one
of an original, and then both are compared pixel by pixel: copying explains small differences, and no others.
"""

import hashlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError, features

from ..errors import UnreadableError, joined_lines

# Formats that are read. Not EPS: Pillow starts Ghostscript for it.
FORMATS = ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "JPEG2000"]
if features.check("avif"):
    FORMATS.append("AVIF")
# Pixels of a picture that is opened: 400 MB in memory as four bytes each, for a moment.
MOST_PIXELS = 100_000_000
TOO_LARGE = f"pictures of more than {MOST_PIXELS // 1_000_000} megapixels are not opened"
# Side of the square that a block is reduced to, to find similar ones.
SIDE = 48
# How far a pixel is from the background's grey where something is drawn; JPEG's noise is below.
FOREGROUND = 40
# Longer side at which a picture is cut into blocks, and the shorter side of a block there.
CUT_AT = 1_800
SMALLEST_BLOCK = 80
# Shorter side of any picture that is compared.
SMALLEST = 40
# Width of the margin, of one, whose commonest grey is the background.
MARGIN = 0.08
# Share of a block's margin that has one grey where the block is a figure with its own background.
PLAIN = 0.8
# Cuts within a block that was cut out.
MOST_CUTS = 12

# Columns and rows at which blocks are aligned, and at which they are compared.
COARSE = 160
FINE = 480
# Share of an original that a copy must show, and how many times more it may be scaled across than down, or
# less: a straight line is like any other one that is stretched enough.
LEAST_SHOWN = 0.6
MOST_STRETCHED = 2.0
# Steps of an alignment, as shares of a block's width and height: coarse ones, and at the finer size.
STEPS = (0.01, 0.004, 0.0015)
FINE_STEPS = (0.002, 0.0008)
# Columns and rows at which a copy is compared in the end, and steps of the alignment for this: digits of a
# table are told apart there.
CLOSE = 1_000
CLOSE_STEPS = (0.0025, 0.001, 0.0004)
# Pixels of a tile that are absent there, at most: 13 were measured of copies, and 18 of changed digits.
MOST_ABSENT_CLOSELY = 15
# Samples of a profile, and the sizes of an original beside the copy that are tried.
SAMPLES = 200
SCALES = np.geomspace(0.62, 1.3, 75)

# Grey values. Pixels are off where they are further from each pixel around their place than this:
# JPEG at quality 20, printing colours and every usual scaling leave fewer.
OFF = 60
# Two results' figures differ where they are further apart than this.
DIFFERENT = 24
# Pixels in which they must differ, for a copy to tell which it is of.
ENOUGH_DIFFERENT = 16
# Pixels around a place whose colours the original has there, and how far another colour is from these.
AROUND = 4
COVERING = 30
# Side of the tiles.
TILE = 16
# Share of an original's drawing that is in each copy of it: 0.951 and more were measured, of other figures of
# the same kind 0.84 and less. Where only digits of a table differ, it is 0.97.
LEAST_FOUND = 0.96
# Share of a copy's drawing that is in the original, and share of that which an arrow, a box or a letter may
# cover: a box around a curve has as many pixels as the curve.
LEAST_EXPLAINED = 0.5
MOST_COVERED = 0.15
# A changed digit leaves at least 16 pixels of a tile absent, JPEG at quality 20 at most 12; of pictures at
# least so wide or high.
MOST_ABSENT = 12
TILES_AT = 240
# Beside an aligned block, the share of its width and height in which its lines are looked for.
BESIDE = 0.03
# Pixels to the sides with which a line contrasts, and the share of a column or row that it has, at least.
# Less contrast, and a smaller share, are enough in the other picture: a copy may be blurred, or drawn upon.
SIDES = 6
LINE = 0.6
FAINT = 13
FAINT_LINE = 0.3
# Share of an original that is drawn, without straight lines, for a copy to tell anything: of a cell of a
# confusion matrix, with its number, it is 0.008, and many look alike. Of a single thin curve it is 0.024.
LEAST_DRAWN = 0.015

Box = tuple[int, int, int, int]
FullBox = tuple[float, float, float, float]
Values = np.ndarray


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
    except UnidentifiedImageError:
        # Its message names an object in memory, not the picture.
        raise UnreadableError("not a picture that can be read") from None
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


def pixel_digest(image: Image.Image) -> bytes:
    """Return what pictures with the same size and pixels have in common."""
    hasher = hashlib.sha256(b"%d %d\0" % image.size)
    # A few lines at a time: all of a large picture's bytes would need twice its memory.
    for top in range(0, image.height, 256):
        lines = image.crop((0, top, image.width, min(top + 256, image.height)))
        hasher.update(lines.tobytes())
    return hasher.digest()[:16]


def small_enough(picture: Image.Image, longer_side: int) -> Image.Image:
    """Return a picture at a size at which many fit into memory."""
    scale = longer_side / max(picture.size)
    if scale >= 1:
        return picture
    size = max(1, round(scale * picture.width)), max(1, round(scale * picture.height))
    return picture.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)


def blocks(picture: Image.Image) -> list[Box]:
    """Return the boxes of what a picture shows: of all of it, then of blocks that white lines separate.

    The axes of a plot are such a block, without titles and labels; so is each figure of several in a picture.
    """
    values = np.asarray(picture.convert("L"), dtype=np.int16)
    background = _background(values)
    drawn = np.abs(values - background) > FOREGROUND
    whole = _trimmed(drawn, (0, 0, *picture.size))
    if whole is None:
        return []
    found = list(_cut(drawn, whole, MOST_CUTS))
    if found == [whole]:
        found += _cut(drawn, _without_frame(drawn, whole), MOST_CUTS)
    for box in list(found):
        found += _cut_on_own_background(values, box, background)
    found.sort(key=area, reverse=True)
    return list(dict.fromkeys([whole, *found]))


def _background(values: Values) -> int:
    """Return the commonest grey of a picture's margin; a frame around it is narrower."""
    return int(np.bincount(_margin(values), minlength=256).argmax())


def _margin(values: Values) -> Values:
    height, width = values.shape
    rows = max(1, round(MARGIN * height))
    columns = max(1, round(MARGIN * width))
    margin = [values[:rows], values[-rows:], values[:, :columns], values[:, -columns:]]
    return np.concatenate([part.ravel() for part in margin])


def _cut_on_own_background(values: Values, box: Box, background: int) -> Iterator[Box]:
    """Yield the blocks in a box that is a figure of another background, such as a dark one on white paper."""
    left, upper, right, lower = box
    part = values[upper:lower, left:right]
    own = _background(part)
    is_plain = np.abs(_margin(part) - own) <= FOREGROUND
    if abs(own - background) <= FOREGROUND or is_plain.mean() < PLAIN:
        return
    drawn = np.abs(part - own) > FOREGROUND
    for block in _cut(drawn, (0, 0, right - left, lower - upper), MOST_CUTS):
        yield left + block[0], upper + block[1], left + block[2], upper + block[3]


def _trimmed(drawn: Values, box: Box) -> Box | None:
    """Return a box without blank lines around what is drawn; None for a blank one."""
    left, upper, right, lower = box
    part = drawn[upper:lower, left:right]
    rows = np.flatnonzero(part.any(axis=1))
    columns = np.flatnonzero(part.any(axis=0))
    if not len(rows):
        return None
    return (
        left + int(columns[0]),
        upper + int(rows[0]),
        left + int(columns[-1]) + 1,
        upper + int(rows[-1]) + 1,
    )


def _cut(drawn: Values, box: Box, cuts: int) -> Iterator[Box]:
    """Yield the blocks in a box: it is cut at blank rows and columns until none is left."""
    trimmed = _trimmed(drawn, box)
    if trimmed is None or shorter_side(trimmed) < SMALLEST_BLOCK:
        return
    left, upper, right, lower = trimmed
    part = drawn[upper:lower, left:right]
    rows = _runs(np.asarray(part.any(axis=1)))
    columns = _runs(np.asarray(part.any(axis=0)))
    if len(rows) > 1 and cuts:
        for start, stop in rows:
            yield from _cut(drawn, (left, upper + start, right, upper + stop), cuts - 1)
    elif len(columns) > 1 and cuts:
        for start, stop in columns:
            yield from _cut(drawn, (left + start, upper, left + stop, lower), cuts - 1)
    else:
        yield trimmed


def _runs(line: Values) -> list[tuple[int, int]]:
    """Return start and stop of each run of true values that is as long as a block."""
    edges = np.flatnonzero(np.diff(line.astype(np.int8), prepend=0, append=0))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _without_frame(drawn: Values, box: Box) -> Box:
    """Return a box without the frame around it, which is at most a tenth of it wide."""
    left, upper, right, lower = box
    part = drawn[upper:lower, left:right]
    most = min(part.shape) // 10
    for width in range(most):
        sides = (part[width], part[-1 - width], part[:, width], part[:, -1 - width])
        if min(side.mean() for side in sides) < 0.9:
            return left + width, upper + width, right - width, lower - width
    return box


def shorter_side(box: FullBox) -> float:
    """Return the length of the shorter side of a box."""
    return min(box[2] - box[0], box[3] - box[1])


def area(box: FullBox) -> float:
    """Return the area of a box."""
    return (box[2] - box[0]) * (box[3] - box[1])


def covers(outer: FullBox, inner: FullBox) -> bool:
    """Return true where most of a box lies in another."""
    width = min(outer[2], inner[2]) - max(outer[0], inner[0])
    height = min(outer[3], inner[3]) - max(outer[1], inner[1])
    return width > 0 and height > 0 and width * height >= 0.8 * area(inner)


def scaled(box: FullBox, across: float, down: float) -> FullBox:
    """Return a box in other units of width and height."""
    return box[0] * across, box[1] * down, box[2] * across, box[3] * down


def square(picture: Image.Image, box: FullBox) -> Values:
    """Return a part of a picture, reduced to a grey square."""
    return np.asarray(picture.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX, box=box))


def square_shown(picture: Image.Image, box: FullBox) -> tuple[Values, Values]:
    """Return the same of a box that may lie beyond the picture, and true where it does not."""
    left, upper, right, lower = (round(value) for value in box)
    part = picture.convert("L").crop((left, upper, right, lower))
    is_shown = Image.new("L", picture.size, 255).crop((left, upper, right, lower))
    reduced = [np.asarray(one.resize((SIDE, SIDE), Image.Resampling.BOX)) for one in (part, is_shown)]
    return reduced[0], reduced[1] == 255


def nearest(inside: Values, squares: Values, is_shown: Values | None = None) -> Values:
    """Return the mean distance in grey values of a reduced block from each of many, where it is shown."""
    # Bytes without a sign would wrap around below zero.
    difference = np.abs(squares.astype(np.int16) - inside.astype(np.int16))
    if is_shown is None:
        return np.asarray(difference.mean(axis=(1, 2)))
    return np.asarray(difference[:, is_shown].mean(axis=1))


def says_something(inside: Values) -> bool:
    """Return true where a reduced block shows anything; blank ones are all alike."""
    return float(inside.std()) > 2.0


class Part:
    """A part of a picture that is aligned with others.

    Attributes:
        picture: all of it.
        box: of the part.
    """

    def __init__(self, picture: Image.Image, box: FullBox) -> None:
        self.picture = picture
        self.box = box
        self._reduced: dict[int, Image.Image] = {}

    def reduced(self, columns: int) -> tuple[Image.Image, int]:
        """Return the picture in grey, reduced as far as the part keeps so many columns, and the factor."""
        factor = max(1, int(shorter_side(self.box) // columns))
        if factor not in self._reduced:
            grey = self.picture.convert("L")
            self._reduced[factor] = grey.reduce(factor) if factor > 1 else grey
        return self._reduced[factor], factor


@dataclass(frozen=True)
class Alignment:
    """Where an original is in a copy.

    Attributes:
        box: the part of the original.
        placed: the same part in the copy; a cropped copy does not hold all of it.
    """

    box: FullBox
    placed: FullBox

    @property
    def stretched(self) -> float:
        """How many times more the copy is scaled in one direction than in the other."""
        across = (self.placed[2] - self.placed[0]) / (self.box[2] - self.box[0])
        down = (self.placed[3] - self.placed[1]) / (self.box[3] - self.box[1])
        return max(across, down) / min(across, down)

    def in_copy(self, box: FullBox) -> FullBox:
        """Return where a box of the original is in the copy."""
        return _carried(box, self.box, self.placed)

    def in_original(self, box: FullBox) -> FullBox:
        """Return where a box of the copy is in the original."""
        return _carried(box, self.placed, self.box)

    def moved(self, edges: tuple[int, int, int, int], step: float) -> "Alignment":
        """Return an alignment of which some edges are moved by a share of the width or height."""
        left, upper, right, lower = self.placed
        across = step * (right - left)
        down = step * (lower - upper)
        placed = (
            left + edges[0] * across,
            upper + edges[1] * down,
            right + edges[2] * across,
            lower + edges[3] * down,
        )
        return Alignment(self.box, placed)


def _carried(box: FullBox, source: FullBox, target: FullBox) -> FullBox:
    across = (target[2] - target[0]) / (source[2] - source[0])
    down = (target[3] - target[1]) / (source[3] - source[1])
    return (
        target[0] + (box[0] - source[0]) * across,
        target[1] + (box[1] - source[1]) * down,
        target[0] + (box[2] - source[0]) * across,
        target[1] + (box[3] - source[1]) * down,
    )


def _within(box: FullBox, outer: FullBox) -> FullBox:
    left, upper = max(box[0], outer[0]), max(box[1], outer[1])
    return left, upper, min(box[2], outer[2]), min(box[3], outer[3])


# Both edges, or one, of each direction.
_MOVES = ((1, 0, 1, 0), (0, 1, 0, 1), (1, 0, 0, 0), (0, 0, 1, 0), (0, 1, 0, 0), (0, 0, 0, 1))


def align(copy: Part, original: Part) -> tuple[Alignment, float]:
    """Align two parts that may show the same; return their mean distance, too."""
    return _refined(copy, original, Alignment(original.box, copy.box), STEPS[:2])


def align_by_profiles(copy: Part, original: Part) -> tuple[Alignment, float]:
    """Align two parts of which one may show more than the other, by what is drawn in each row and column."""
    best = Alignment(original.box, copy.box)
    least = _distance(copy, original, best, COARSE)
    left, upper, right, lower = copy.box
    placings = []
    for one, other in zip(_profiles(copy), _profiles(original), strict=True):
        placings.append(_placings(one, other))
    for start, stop in placings[0]:
        for top, bottom in placings[1]:
            width = right - left
            height = lower - upper
            placed = (
                left + start * width,
                upper + top * height,
                left + stop * width,
                upper + bottom * height,
            )
            tried = Alignment(original.box, placed)
            distance = _distance(copy, original, tried, COARSE)
            if distance < least:
                best, least = tried, distance
    return _refined(copy, original, best, STEPS[1:])


def align_finely(copy: Part, original: Part, alignment: Alignment) -> Alignment:
    """Return an alignment at a finer size."""
    return _refined(copy, original, alignment, FINE_STEPS, FINE // 2)[0]


def _refined(
    copy: Part, original: Part, alignment: Alignment, steps: tuple[float, ...], columns: int = COARSE
) -> tuple[Alignment, float]:
    """Move the edges of an alignment while that brings the two closer."""
    least = _distance(copy, original, alignment, columns)
    for step in steps:
        for _ in range(4):
            before = least
            for edges in _MOVES:
                for signed in (-step, step):
                    tried = alignment.moved(edges, signed)
                    distance = _distance(copy, original, tried, columns)
                    if distance < least:
                        alignment, least = tried, distance
            if least > 0.99 * before:
                break
    return alignment, least


def _distance(copy: Part, original: Part, alignment: Alignment, columns: int) -> float:
    """Return the mean distance in grey values of two aligned parts; infinity where too little is shown."""
    shown = _shown(copy, original, alignment)
    if shown is None:
        return float("inf")
    one, factor = copy.reduced(columns)
    ours = scaled(shown[0], 1 / factor, 1 / factor)
    other, factor = original.reduced(columns)
    theirs = scaled(shown[1], 1 / factor, 1 / factor)
    size = _common_size(ours, theirs, columns)
    values = np.asarray(_resized(one, ours, size), dtype=np.int16)
    difference = values - np.asarray(_resized(other, theirs, size), dtype=np.int16)
    return float(np.abs(difference).mean())


def _shown(copy: Part, original: Part, alignment: Alignment) -> tuple[FullBox, FullBox] | None:
    """Return the parts of a copy and of its original that show the same; None where these are too small."""
    seen = _within(alignment.placed, (0, 0, *copy.picture.size))
    if seen[2] - seen[0] < 8 or seen[3] - seen[1] < 8:
        return None
    back = _within(alignment.in_original(seen), (0, 0, *original.picture.size))
    if area(back) < LEAST_SHOWN * area(alignment.box):
        return None
    return seen, back


def _common_size(one: FullBox, other: FullBox, most: int) -> tuple[int, int]:
    """Return the size at which two parts are compared: enlarging the smaller adds nothing to compare."""
    width, height = one[2] - one[0], one[3] - one[1]
    scale = min(1.0, (other[2] - other[0]) / width, most / width, most / height)
    return max(8, round(scale * width)), max(8, round(scale * height))


def _resized(picture: Image.Image, box: FullBox, size: tuple[int, int]) -> Image.Image:
    left, upper, right, lower = box
    # Rounding may carry a box beyond the last pixel.
    box = max(left, 0), max(upper, 0), min(right, picture.width), min(lower, picture.height)
    is_larger = box[2] - box[0] > size[0]
    return picture.resize(size, Image.Resampling.BOX if is_larger else Image.Resampling.BICUBIC, box=box)


def _profiles(part: Part) -> list[Values]:
    """Return how much is drawn in each column of a part, and in each row."""
    picture, factor = part.reduced(COARSE)
    left, upper, right, lower = (round(value / factor) for value in part.box)
    values = np.asarray(picture, dtype=np.float32)[upper:lower, left:right]
    drawn = np.minimum(np.abs(values - np.median(values)), 128)
    return [drawn.mean(axis=0), drawn.mean(axis=1)]


def _placings(copy: Values, original: Values) -> list[tuple[float, float]]:
    """Return the two likeliest starts and stops of an original's profile, as shares of the copy's.

    They are where the normalized cross-correlation is highest, of all sizes and shifts.
    """
    template = _sampled(original, SAMPLES)
    template -= template.mean()
    ones = np.ones(SAMPLES)
    found = []
    for scale in SCALES:
        count = round(SAMPLES / scale)
        # The original may begin before the copy, and end behind it.
        beside = max(SAMPLES // 4, SAMPLES - count)
        signal = np.pad(_sampled(copy, count), beside)
        is_inside = np.pad(np.ones(count), beside)
        number = np.maximum(np.correlate(is_inside, ones), 1)
        total = np.correlate(signal, ones)
        expected = np.correlate(is_inside, template)
        covariance = np.correlate(signal, template) - total * expected / number
        variance = np.correlate(signal**2, ones) - total**2 / number
        of_template = np.correlate(is_inside, template**2) - expected**2 / number
        correlation = covariance / np.sqrt(np.maximum(variance * of_template, 1e-6))
        correlation[number < LEAST_SHOWN * SAMPLES] = -1
        best = int(correlation.argmax())
        start = (best - beside) / count
        found.append((float(correlation[best]), start, start + SAMPLES / count))
    found.sort(reverse=True)
    return [(start, stop) for _, start, stop in found[:2]]


def _sampled(profile: Values, count: int) -> Values:
    """Return a profile in a number of samples, each the mean of what it covers."""
    sums = np.concatenate([[0.0], np.cumsum(profile)])
    places = np.linspace(0, len(profile), count + 1)
    between = np.interp(places, np.arange(len(profile) + 1), sums)
    return np.asarray(np.diff(between) * (count / len(profile)))


@dataclass(frozen=True)
class Comparison:
    """An original and a copy, brought to one size, each as brightness and colours.

    Attributes:
        copy: what it shows of the original.
        original: the same part.
        found: share of the original's drawing that is in the copy, or that something was drawn upon.
        explained: share of the copy's drawing that is in the original.
        covered: share of the original's drawing that something was drawn upon.
        most_absent: pixels of the original that are not in the copy, in the tile with the most of them.
        drawn: share of the original in which anything but straight lines is drawn.
        lines_agree: true where the copy has the original's axes and grid lines, at their places.
    """

    copy: Values
    original: Values
    found: float
    explained: float
    covered: float
    most_absent: int
    drawn: float
    lines_agree: bool = True

    @property
    def is_copy(self) -> bool:
        """True where copying explains what differs, and what is the same is not so on many figures."""
        if self.drawn < LEAST_DRAWN or not self.lines_agree:
            return False
        if self.found < LEAST_FOUND or self.explained < LEAST_EXPLAINED or self.covered > MOST_COVERED:
            return False
        # In a smaller copy, what differs is smaller, too.
        scale = min(1.0, max(self.copy.shape) / TILES_AT)
        return bool(self.most_absent <= MOST_ABSENT * scale)


def compare(copy: Part, original: Part, alignment: Alignment, columns: int = FINE) -> Comparison | None:
    """Compare a copy with an original that is aligned with it.

    Returns:
        None where the copy shows too little of it, or would be stretched too much.
    """
    shown = _shown(copy, original, alignment)
    if shown is None or alignment.stretched > MOST_STRETCHED:
        return None
    size = _common_size(*shown, columns)
    one = _resized(copy.picture, shown[0], size)
    other = _resized(original.picture, shown[1], size)
    if _is_grey(one):
        one, other = one.convert("L").convert("RGB"), other.convert("L").convert("RGB")
    ours, theirs = _channels(one), _channels(other)
    straight = _straight_lines(theirs)
    explained = 1 - _share(_excess(ours, theirs) > OFF, ours, straight)
    # JPEG halves the resolution of colours, in which a thin line then loses half of its own. A copy that was
    # no JPEG still agrees: each colour is compared with the range of those around its place.
    missing = _excess(_with_halved_colours(theirs), ours) > OFF
    # Where something was drawn upon it, the copy has another colour than the original has around that place.
    covered = _excess(ours, theirs, AROUND) > COVERING
    absent = missing & ~covered
    found = 1 - _share(absent, theirs, straight)
    most = _most_in_tile(absent & ~straight)
    drawn_upon = _share(missing & covered, theirs, straight)
    drawn = ((_drawn(theirs) | _edges(theirs)) & ~straight).mean()
    return Comparison(ours, theirs, found, explained, drawn_upon, most, float(drawn))


def _channels(picture: Image.Image) -> Values:
    """Return a picture as brightness and two values of colour, each with rows and columns."""
    return np.ascontiguousarray(np.moveaxis(np.asarray(picture.convert("YCbCr")), 2, 0))


def _with_halved_colours(values: Values) -> Values:
    """Return a picture with its two channels of colour at half of the resolution, as JPEG keeps them."""
    brightness, *colours = values
    rows, columns = brightness.shape
    halved = [brightness]
    for colour in colours:
        reduced = Image.fromarray(colour).resize(((columns + 1) // 2, (rows + 1) // 2), Image.Resampling.BOX)
        halved.append(np.asarray(reduced.resize((columns, rows), Image.Resampling.BILINEAR)))
    return np.stack(halved)


def _share(of: Values, picture: Values, left_out: Values) -> float:
    """Return the share that some pixels have of what is drawn in a picture, or of its edges if more."""
    share = 0.0
    for drawn in (_drawn(picture), _edges(picture)):
        counted = drawn & ~left_out
        if counted.any():
            share = max(share, float(of[counted].mean()))
    return share


def _most_in_tile(pixels: Values) -> int:
    """Return the largest number of pixels in any of the tiles that a picture consists of."""
    height, width = pixels.shape
    rows = np.add.reduceat(pixels, range(0, height, TILE), axis=0, dtype=np.int32)
    return int(np.add.reduceat(rows, range(0, width, TILE), axis=1).max())


def _excess(one: Values, other: Values, around: int = 1) -> Values:
    """Return how far each pixel is from the range of those around its place in another picture."""
    low = high = other
    for _ in range(around):
        low, high = _range_around(low)[0], _range_around(high)[1]
    # JPEG halves the resolution of colours.
    low, high = low.copy(), high.copy()
    low[1:], high[1:] = _range_around(low[1:])[0], _range_around(high[1:])[1]
    # Bytes without a sign would wrap around below zero.
    below = np.maximum(low, one) - one
    above = one - np.minimum(high, one)
    # In the colour in which it is furthest.
    return np.asarray(np.maximum(below, above).max(axis=0))


def _range_around(values: Values) -> tuple[Values, Values]:
    """Return the least and the greatest of the nine values around each place, in rows and columns."""
    low = high = values
    for axis in (1, 2):
        low = np.minimum(np.minimum(low, np.roll(low, 1, axis)), np.roll(low, -1, axis))
        high = np.maximum(np.maximum(high, np.roll(high, 1, axis)), np.roll(high, -1, axis))
    return low, high


def _is_grey(picture: Image.Image) -> bool:
    colours = _channels(picture)[1:].astype(np.int16)
    return float((np.abs(colours - 128) > DIFFERENT).mean()) < 0.001


def _drawn(values: Values) -> Values:
    """Return true for the pixels that have not the colour of the background, which is the commonest one."""
    brightness = values[0].ravel()
    commonest = np.bincount(brightness, minlength=256).argmax()
    background = values.reshape(3, -1)[:, (brightness == commonest).argmax()].astype(np.int16)
    return np.asarray((np.abs(values - background[:, None, None]) > FOREGROUND).any(axis=0))


def _edges(values: Values) -> Values:
    """Return true for the pixels around which a colour changes."""
    low, high = _range_around(values)
    return np.asarray((high - low).max(axis=0) > FOREGROUND)


def _straight_lines(values: Values) -> Values:
    """Return true for the rows and columns that a line fills: axes and grids, which many figures share."""
    edges = _edges(values)
    lines = np.zeros_like(edges)
    lines[edges.mean(axis=1) > 0.5] = True
    lines[:, edges.mean(axis=0) > 0.5] = True
    # Of a picture full of details, no line is told from what is drawn.
    return lines if lines.mean() < 0.3 else np.zeros_like(edges)


def agree_closely(copy: Part, original: Part, alignment: Alignment) -> bool:
    """Return true where two aligned parts agree also at the size that they have, which shows small things."""
    alignment, _ = _refined(copy, original, alignment, CLOSE_STEPS, FINE)
    comparison = compare(copy, original, alignment, CLOSE)
    return comparison is not None and comparison.most_absent <= MOST_ABSENT_CLOSELY


def lines_agree(copy: Part, original: Part, alignment: Alignment) -> bool:
    """Return true where a copy and an aligned original have the same axes and grid lines, at their places.

    Curves of another figure can be moved and stretched until they agree with the original's; the axes are
    elsewhere then.
    """
    left, upper, right, lower = alignment.box
    width, height = BESIDE * (right - left), BESIDE * (lower - upper)
    wider = (left - width, upper - height, right + width, lower + height)
    box = _within(wider, (0, 0, *original.picture.size))
    shown = _shown(copy, original, Alignment(box, alignment.in_copy(box)))
    if shown is None:
        return False
    size = _common_size(*shown, FINE)
    ours = np.asarray(_resized(copy.picture, shown[0], size).convert("L"), dtype=np.int16)
    theirs = np.asarray(_resized(original.picture, shown[1], size).convert("L"), dtype=np.int16)
    for one, other in ((ours, theirs), (theirs, ours), (ours.T, theirs.T), (theirs.T, ours.T)):
        if not _has_lines(one, other):
            return False
    return True


def _has_lines(copy: Values, original: Values) -> bool:
    """Return true where one picture has each vertical line of another."""
    lines = _line_shares(original, FOREGROUND) > LINE
    # Half a pixel further, one at the edge is outside of what is compared.
    lines[[0, -1]] = False
    # Half a pixel beside it, a line is in two columns.
    beside = np.pad(_line_shares(copy, FAINT), 1)
    shares = np.maximum(np.maximum(beside[:-2], beside[2:]), beside[1:-1])
    return bool((shares[lines] > FAINT_LINE).all())


def _line_shares(values: Values, contrast: int) -> Values:
    """Return in which share of each column, but those at the edges, pixels differ alike from both sides."""
    left, middle, right = values[:, : -2 * SIDES], values[:, SIDES:-SIDES], values[:, 2 * SIDES :]
    darker = np.minimum(left, right) - middle > contrast
    lighter = middle - np.maximum(left, right) > contrast
    return np.asarray((darker | lighter).mean(axis=0))


def times_closer(closer: Comparison, other: Comparison) -> float:
    """Return how many times closer a copy is to one original than to another, where these two differ.

    It is 1.0 where they differ in too little, at the size of the copy, to tell.
    """
    ours = closer.original
    theirs = _at_size(other.original, ours)
    differ = np.maximum(_excess(ours, theirs), _excess(theirs, ours)) > DIFFERENT
    if int(differ.sum()) < ENOUGH_DIFFERENT:
        return 1.0
    copy = _at_size(other.copy, ours)
    near = np.maximum(_excess(closer.copy, ours), _excess(ours, closer.copy))
    far = np.maximum(_excess(copy, theirs), _excess(theirs, copy))
    return float(far[differ].mean()) / max(float(near[differ].mean()), 1.0)


def _at_size(values: Values, like: Values) -> Values:
    """Return a picture at another's size: alignments differ by a pixel."""
    if values.shape == like.shape:
        return values
    size = like.shape[2], like.shape[1]
    return np.stack([np.asarray(Image.fromarray(channel).resize(size)) for channel in values])
