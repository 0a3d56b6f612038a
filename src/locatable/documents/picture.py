"""Open pictures within limits, convert them to a form in which copies are equal, and compare them.

A copy of a picture may be scaled, stretched, compressed, cropped or annotated, and may be part of a larger
picture or a page. So pictures are cut at blank rows and columns into blocks. A block is aligned with a block
of an original, and then the two are compared pixel by pixel. A difference is accepted only if copying
explains it.

The constants below are tuned by measurements: after a change, run `make documents`, which scores a corpus.
"""

import hashlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError, features

from ..errors import UnreadableError, joined_lines

# The formats that are opened. EPS is left out because Pillow would run Ghostscript for it.
FORMATS = ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "JPEG2000"]
if features.check("avif"):
    FORMATS.append("AVIF")
# The most pixels of a picture that is opened. With four bytes each, they briefly take 400 MB of memory.
MOST_PIXELS = 100_000_000
TOO_LARGE = f"pictures of more than {MOST_PIXELS // 1_000_000} megapixels are not opened"
# The side of the square to which a block is reduced in order to find similar blocks.
SIDE = 48
# Grey values by which a pixel must differ from the background to count as drawn. JPEG's noise is below this.
FOREGROUND = 40
# The longer side of a picture when it is cut into blocks, and the least shorter side of such a block.
CUT_AT = 1_800
SMALLEST_BLOCK = 80
# The least shorter side of any picture that is compared.
SMALLEST = 40
# The width of the margin as a share of the picture. The most common grey value in it is the background's.
MARGIN = 0.08
# The least share of a block's margin with the same grey value if the block has a background of its own.
PLAIN = 0.8
# The most levels of cuts: a block that was cut out can be cut again.
MOST_CUTS = 12

# The columns or rows at which blocks are aligned, and at which they are compared.
COARSE = 160
FINE = 480
# The share of an original that a copy must show, and the most by which a copy may be stretched in one
# direction relative to the other: any two straight lines look alike if one is stretched enough.
LEAST_SHOWN = 0.6
MOST_STRETCHED = 2.0
# The steps by which an alignment is improved, as shares of the block's width and height, at the coarse and
# at the fine size.
STEPS = (0.01, 0.004, 0.0015)
FINE_STEPS = (0.002, 0.0008)
# The columns or rows of a final comparison, at which the digits of a table can be distinguished, and the
# steps of its alignment.
CLOSE = 1_000
CLOSE_STEPS = (0.0025, 0.001, 0.0004)
# The most pixels of a tile that may be absent there. Copies lack up to 13; a changed digit leaves 18 or more
# absent.
MOST_ABSENT_CLOSELY = 15
# The samples of a profile, and the sizes of an original, relative to the copy, that are tried.
SAMPLES = 200
SCALES = np.geomspace(0.62, 1.3, 75)

# Grey values by which a pixel must differ from all pixels around the same place in the other picture to
# count as different. JPEG at quality 20, print colours and all usual kinds of scaling leave few such pixels.
OFF = 60
# Grey values by which the figures of two results must differ at a pixel to count as different there.
DIFFERENT = 24
# The least number of pixels in which they must differ, so that a copy of one can be assigned to it.
ENOUGH_DIFFERENT = 16
# A colour covers the original if it differs by more than COVERING from all of the original's colours within
# AROUND pixels.
AROUND = 4
COVERING = 30
# The side of a tile, in which absent pixels are counted.
TILE = 16
# The least share of an original's drawing that must be in a copy. Copies were measured at 0.951 and more,
# different figures of the same kind at 0.84 and less. If only digits of a table differ, it is 0.97.
LEAST_FOUND = 0.96
# The least share of a copy's drawing that must be in the original, and the most of the original's drawing
# that annotations such as arrows, boxes and letters may cover. A box around a curve has as many pixels as
# the curve.
LEAST_EXPLAINED = 0.5
MOST_COVERED = 0.15
# The most pixels of a tile that may be absent, for pictures at least TILES_AT wide or high. A changed digit
# leaves at least 16 absent; JPEG at quality 20 leaves at most 12 absent.
MOST_ABSENT = 12
TILES_AT = 240
# The border around an aligned block in which its lines are also searched, as a share of its width and height.
BORDER = 0.03
# A line contrasts with the pixels at this distance on both sides, over at least this share of a column or
# row. Less contrast and a smaller share are enough in the other picture, because a copy may be blurred or
# annotated.
SIDES = 6
LINE = 0.6
FAINT = 13
FAINT_LINE = 0.3
# The least share of an original that must be drawn, without straight lines, so that its copies can be
# recognized. A cell of a confusion matrix with its number has 0.008, and many look alike. A single thin
# curve has 0.024.
LEAST_DRAWN = 0.015

Box = tuple[int, int, int, int]
FullBox = tuple[float, float, float, float]
Values = np.ndarray


def opened(content: bytes) -> Image.Image:
    """Return a picture on white paper, in RGB.

    Raises:
        UnreadableError: the picture cannot be decoded, or is too large.
    """
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
        # The message of this exception names an object in memory, which says nothing to a user.
        raise UnreadableError("not a picture that can be read") from None
    except Exception as error:
        # Decoders raise exceptions of many kinds for broken files.
        reason = joined_lines(error)[:80] or type(error).__name__
        raise UnreadableError(f"not a picture that can be read: {reason}") from None


def require_size(width: int, height: int) -> None:
    """Raise `UnreadableError` if a picture of this size would take too much memory."""
    if width * height > MOST_PIXELS:
        raise UnreadableError(TOO_LARGE)


def flattened(image: Image.Image) -> Image.Image:
    """Return a picture in RGB, with white in place of transparency, as its copies in other formats look."""
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, dtype=float)
        # Values above 255 have 16 bits, of which Pillow's conversion would keep only the lower eight.
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
    """Return a digest that is equal for pictures with the same size and pixels."""
    hasher = hashlib.sha256(b"%d %d\0" % image.size)
    # Only some lines at a time, because the bytes of a whole picture would double its memory.
    for top in range(0, image.height, 256):
        lines = image.crop((0, top, image.width, min(top + 256, image.height)))
        hasher.update(lines.tobytes())
    return hasher.digest()[:16]


def small_enough(picture: Image.Image, longer_side: int) -> Image.Image:
    """Return a picture reduced to at most this longer side, so that many pictures fit into memory."""
    scale = longer_side / max(picture.size)
    if scale >= 1:
        return picture
    size = max(1, round(scale * picture.width)), max(1, round(scale * picture.height))
    return picture.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)


def blocks(picture: Image.Image) -> list[Box]:
    """Return the boxes of a picture's blocks, which blank rows and columns separate, the largest first.

    The first box contains everything that is drawn. A plot's axes without titles and labels are a block, and
    so is each figure if a picture contains several.
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
    """Return the grey value of the background: the most common one in the margin, which no frame fills."""
    return int(np.bincount(_margin(values), minlength=256).argmax())


def _margin(values: Values) -> Values:
    height, width = values.shape
    rows = max(1, round(MARGIN * height))
    columns = max(1, round(MARGIN * width))
    sides = [values[:rows], values[-rows:], values[:, :columns], values[:, -columns:]]
    return np.concatenate([side.ravel() for side in sides])


def _cut_on_own_background(values: Values, box: Box, background: int) -> Iterator[Box]:
    """Yield the blocks in a box if it has a different background, such as a dark figure on white paper."""
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
    """Return a box without the blank rows and columns around its content, or None if it is blank."""
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
    """Yield the blocks in a box, which is cut at blank rows and columns over at most `cuts` levels."""
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
    """Return the start and stop of each run of true values."""
    edges = np.flatnonzero(np.diff(line.astype(np.int8), prepend=0, append=0))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _without_frame(drawn: Values, box: Box) -> Box:
    """Return a box without the frame around it, which is at most a tenth as wide as the box."""
    left, upper, right, lower = box
    part = drawn[upper:lower, left:right]
    widest = min(part.shape) // 10
    for width in range(widest):
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
    """Return true if most of the inner box lies in the outer one."""
    width = min(outer[2], inner[2]) - max(outer[0], inner[0])
    height = min(outer[3], inner[3]) - max(outer[1], inner[1])
    return width > 0 and height > 0 and width * height >= 0.8 * area(inner)


def scaled(box: FullBox, across: float, down: float) -> FullBox:
    """Return a box in different units of width and height."""
    return box[0] * across, box[1] * down, box[2] * across, box[3] * down


def square(picture: Image.Image, box: FullBox) -> Values:
    """Return a part of a picture reduced to a grey square with `SIDE` rows and columns."""
    return np.asarray(picture.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX, box=box))


def square_shown(picture: Image.Image, box: FullBox) -> tuple[Values, Values]:
    """Return the square of a box that may extend beyond the picture, and true where it is in the picture."""
    left, upper, right, lower = (round(value) for value in box)
    part = picture.convert("L").crop((left, upper, right, lower))
    is_shown = Image.new("L", picture.size, 255).crop((left, upper, right, lower))
    reduced = [np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX)) for image in (part, is_shown)]
    return reduced[0], reduced[1] == 255


def nearest(inside: Values, squares: Values, is_shown: Values | None = None) -> Values:
    """Return the mean distance in grey values between a reduced block and each of many squares.

    Args:
        inside: the reduced block.
        squares: squares with which it is compared.
        is_shown: true for the pixels that count; by default all.
    """
    # Unsigned bytes would wrap around below zero.
    difference = np.abs(squares.astype(np.int16) - inside.astype(np.int16))
    if is_shown is None:
        return np.asarray(difference.mean(axis=(1, 2)))
    return np.asarray(difference[:, is_shown].mean(axis=1))


def says_something(inside: Values) -> bool:
    """Return true if a reduced block shows anything: blank blocks are all alike."""
    return float(inside.std()) > 2.0


class Part:
    """A part of a picture that is aligned with parts of other pictures.

    Attributes:
        picture: the whole picture.
        box: the box of the part in the picture.
    """

    def __init__(self, picture: Image.Image, box: FullBox) -> None:
        self.picture = picture
        self.box = box
        self._reduced: dict[int, Image.Image] = {}

    def reduced(self, columns: int) -> tuple[Image.Image, int]:
        """Return the whole picture in grey, reduced by an integer factor, and the factor.

        The factor is the largest for which the part keeps at least this many columns and rows.
        """
        factor = max(1, int(shorter_side(self.box) // columns))
        if factor not in self._reduced:
            grey = self.picture.convert("L")
            self._reduced[factor] = grey.reduce(factor) if factor > 1 else grey
        return self._reduced[factor], factor


@dataclass(frozen=True)
class Alignment:
    """The place of an original in a copy.

    Attributes:
        box: the box of the part in the original.
        placed: the box of the same part in the copy. It extends beyond a copy that is cropped.
    """

    box: FullBox
    placed: FullBox

    @property
    def stretched(self) -> float:
        """The factor by which the copy is scaled more in one direction than in the other."""
        across = (self.placed[2] - self.placed[0]) / (self.box[2] - self.box[0])
        down = (self.placed[3] - self.placed[1]) / (self.box[3] - self.box[1])
        return max(across, down) / min(across, down)

    def in_copy(self, box: FullBox) -> FullBox:
        """Return the box in the copy that corresponds to a box in the original."""
        return _mapped(box, self.box, self.placed)

    def in_original(self, box: FullBox) -> FullBox:
        """Return the box in the original that corresponds to a box in the copy."""
        return _mapped(box, self.placed, self.box)

    def moved(self, edges: tuple[int, int, int, int], step: float) -> "Alignment":
        """Return an alignment with some edges of `placed` moved by a share of its width or height.

        Args:
            edges: 1 for each edge that moves, 0 for the others, in the order left, upper, right, lower.
            step: share of the width or height, negative for a move to the left or up.
        """
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


def _mapped(box: FullBox, source: FullBox, target: FullBox) -> FullBox:
    """Return a box after the transformation that maps the source box to the target box."""
    across = (target[2] - target[0]) / (source[2] - source[0])
    down = (target[3] - target[1]) / (source[3] - source[1])
    return (
        target[0] + (box[0] - source[0]) * across,
        target[1] + (box[1] - source[1]) * down,
        target[0] + (box[2] - source[0]) * across,
        target[1] + (box[3] - source[1]) * down,
    )


def _intersection(box: FullBox, outer: FullBox) -> FullBox:
    left, upper = max(box[0], outer[0]), max(box[1], outer[1])
    return left, upper, min(box[2], outer[2]), min(box[3], outer[3])


# The edges that are moved in one step: both edges of a direction, or a single one.
_MOVES = ((1, 0, 1, 0), (0, 1, 0, 1), (1, 0, 0, 0), (0, 0, 1, 0), (0, 1, 0, 0), (0, 0, 0, 1))


def align(copy: Part, original: Part) -> tuple[Alignment, float]:
    """Return the alignment of two parts that may show the same, and their mean distance in grey values."""
    return _refined(copy, original, Alignment(original.box, copy.box), STEPS[:2])


def align_by_profiles(copy: Part, original: Part) -> tuple[Alignment, float]:
    """Return the alignment of two parts of which one may show more than the other, and their mean distance.

    Candidates for the place come from the profiles: how much is drawn in each row and in each column.
    """
    best = Alignment(original.box, copy.box)
    least = _distance(copy, original, best, COARSE)
    left, upper, right, lower = copy.box
    width = right - left
    height = lower - upper
    across, down = map(_likely_places, _profiles(copy), _profiles(original))
    for start, stop in across:
        for top, bottom in down:
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
    """Return the alignment, improved at a finer size."""
    return _refined(copy, original, alignment, FINE_STEPS, FINE // 2)[0]


def _refined(
    copy: Part, original: Part, alignment: Alignment, steps: tuple[float, ...], columns: int = COARSE
) -> tuple[Alignment, float]:
    """Return an alignment whose edges were moved while that reduces the distance, and this distance."""
    least = _distance(copy, original, alignment, columns)
    for step in steps:
        for _ in range(4):
            previous_least = least
            for edges in _MOVES:
                for signed in (-step, step):
                    tried = alignment.moved(edges, signed)
                    distance = _distance(copy, original, tried, columns)
                    if distance < least:
                        alignment, least = tried, distance
            if least > 0.99 * previous_least:
                break
    return alignment, least


def _distance(copy: Part, original: Part, alignment: Alignment, columns: int) -> float:
    """Return the mean distance in grey values of two aligned parts, or infinity if they share too little."""
    shared = _shared_boxes(copy, original, alignment)
    if shared is None:
        return float("inf")
    copy_picture, factor = copy.reduced(columns)
    copy_box = scaled(shared[0], 1 / factor, 1 / factor)
    original_picture, factor = original.reduced(columns)
    original_box = scaled(shared[1], 1 / factor, 1 / factor)
    size = _common_size(copy_box, original_box, columns)
    copy_values = np.asarray(_resized(copy_picture, copy_box, size), dtype=np.int16)
    original_values = np.asarray(_resized(original_picture, original_box, size), dtype=np.int16)
    return float(np.abs(copy_values - original_values).mean())


def _shared_boxes(copy: Part, original: Part, alignment: Alignment) -> tuple[FullBox, FullBox] | None:
    """Return the boxes in a copy and in its original that show the same, or None if they are too small."""
    in_copy = _intersection(alignment.placed, (0, 0, *copy.picture.size))
    if shorter_side(in_copy) < 8:
        return None
    in_original = _intersection(alignment.in_original(in_copy), (0, 0, *original.picture.size))
    if area(in_original) < LEAST_SHOWN * area(alignment.box):
        return None
    return in_copy, in_original


def _common_size(copy: FullBox, original: FullBox, most: int) -> tuple[int, int]:
    """Return the size at which two parts are compared, which is at most that of the smaller part."""
    width, height = copy[2] - copy[0], copy[3] - copy[1]
    scale = min(1.0, (original[2] - original[0]) / width, most / width, most / height)
    return max(8, round(scale * width)), max(8, round(scale * height))


def _resized(picture: Image.Image, box: FullBox, size: tuple[int, int]) -> Image.Image:
    """Return a part of a picture at a different size."""
    left, upper, right, lower = box
    # Because of rounding, a box may extend beyond the last pixel.
    box = max(left, 0), max(upper, 0), min(right, picture.width), min(lower, picture.height)
    is_larger = box[2] - box[0] > size[0]
    # Other programs blur a picture when they reduce it. A box filter can keep the stroke of a letter within
    # one pixel, so that a true copy would seem to lack it.
    method = Image.Resampling.HAMMING if is_larger else Image.Resampling.BICUBIC
    return picture.resize(size, method, box=box)


def _profiles(part: Part) -> list[Values]:
    """Return two profiles of a part: how much is drawn in each column, and in each row."""
    picture, factor = part.reduced(COARSE)
    left, upper, right, lower = (round(value / factor) for value in part.box)
    values = np.asarray(picture, dtype=np.float32)[upper:lower, left:right]
    drawn = np.minimum(np.abs(values - np.median(values)), 128)
    return [drawn.mean(axis=0), drawn.mean(axis=1)]


def _likely_places(copy: Values, original: Values) -> list[tuple[float, float]]:
    """Return the two likeliest places of an original's profile in a copy's: start and stop, as shares of it.

    They are the places with the highest normalized cross-correlation among all sizes and shifts.
    """
    template = _sampled(original, SAMPLES)
    template -= template.mean()
    ones = np.ones(SAMPLES)
    found = []
    for scale in SCALES:
        count = round(SAMPLES / scale)
        # The copy's profile is padded, because the original may begin before it or end after it.
        padding = max(SAMPLES // 4, SAMPLES - count)
        signal = np.pad(_sampled(copy, count), padding)
        is_inside = np.pad(np.ones(count), padding)
        number = np.maximum(np.correlate(is_inside, ones), 1)
        total = np.correlate(signal, ones)
        expected = np.correlate(is_inside, template)
        covariance = np.correlate(signal, template) - total * expected / number
        variance = np.correlate(signal**2, ones) - total**2 / number
        template_variance = np.correlate(is_inside, template**2) - expected**2 / number
        correlation = covariance / np.sqrt(np.maximum(variance * template_variance, 1e-6))
        correlation[number < LEAST_SHOWN * SAMPLES] = -1
        best = int(correlation.argmax())
        start = (best - padding) / count
        found.append((float(correlation[best]), start, start + SAMPLES / count))
    found.sort(reverse=True)
    return [(start, stop) for _, start, stop in found[:2]]


def _sampled(profile: Values, count: int) -> Values:
    """Return a profile resampled to `count` samples, each the mean of the values that it covers."""
    sums = np.concatenate([[0.0], np.cumsum(profile)])
    borders = np.linspace(0, len(profile), count + 1)
    sums_at_borders = np.interp(borders, np.arange(len(profile) + 1), sums)
    return np.asarray(np.diff(sums_at_borders) * (count / len(profile)))


@dataclass(frozen=True)
class Comparison:
    """The comparison of a copy and an original, which were scaled to the same size.

    Attributes:
        copy: the part of the copy that shows the original, as brightness and two colour values.
        original: the same part of the original.
        found: the share of the original's drawing that is in the copy or covered there.
        explained: the share of the copy's drawing that is in the original.
        covered: the share of the original's drawing that is covered in the copy, for example by an arrow.
        most_absent: the largest number of pixels in a tile of the original that are absent from the copy.
        drawn: the share of the original in which anything but straight lines is drawn.
        lines_agree: true if the copy has the axes and grid lines of the original at the same places.
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
        """True if copying explains all differences, and the original shows enough to be recognized."""
        if self.drawn < LEAST_DRAWN or not self.lines_agree:
            return False
        if self.found < LEAST_FOUND or self.explained < LEAST_EXPLAINED or self.covered > MOST_COVERED:
            return False
        # In a smaller copy, a difference has fewer pixels too.
        scale = min(1.0, max(self.copy.shape) / TILES_AT)
        return bool(self.most_absent <= MOST_ABSENT * scale)


def compare(copy: Part, original: Part, alignment: Alignment, columns: int = FINE) -> Comparison | None:
    """Compare a copy with an original that is aligned with it.

    Returns:
        The comparison, or None if the copy shows too little of the original or is stretched too much.
    """
    shared = _shared_boxes(copy, original, alignment)
    if shared is None or alignment.stretched > MOST_STRETCHED:
        return None
    size = _common_size(*shared, columns)
    in_copy = _resized(copy.picture, shared[0], size)
    in_original = _resized(original.picture, shared[1], size)
    if _is_grey(in_copy):
        in_copy = in_copy.convert("L").convert("RGB")
        in_original = in_original.convert("L").convert("RGB")
    copy_values = _channels(in_copy)
    original_values = _channels(in_original)
    straight = _straight_lines(original_values)
    unexplained = _distance_from_range(copy_values, original_values) > OFF
    # JPEG halves the resolution of colours, so that a thin line loses half of its colour. The original is
    # compared as JPEG would store it. A copy in a different format still agrees, because each colour is
    # compared with the range of the colours around its place.
    missing = _distance_from_range(_with_halved_colours(original_values), copy_values) > OFF
    # Where an annotation covers the original, the copy has a colour that the original has nowhere nearby.
    covered = _distance_from_range(copy_values, original_values, AROUND) > COVERING
    absent = missing & ~covered
    drawn = (_drawn(original_values) | _edges(original_values)) & ~straight
    return Comparison(
        copy=copy_values,
        original=original_values,
        found=1 - _share(absent, original_values, straight),
        explained=1 - _share(unexplained, copy_values, straight),
        covered=_share(missing & covered, original_values, straight),
        most_absent=_most_in_a_tile(absent & ~straight),
        drawn=float(drawn.mean()),
    )


def _channels(picture: Image.Image) -> Values:
    """Return a picture as three channels, brightness and two colour values, each with rows and columns."""
    return np.ascontiguousarray(np.moveaxis(np.asarray(picture.convert("YCbCr")), 2, 0))


def _with_halved_colours(values: Values) -> Values:
    """Return a picture whose two colour channels have half of their resolution, as JPEG stores them."""
    brightness, *colours = values
    rows, columns = brightness.shape
    halved = [brightness]
    for colour in colours:
        reduced = Image.fromarray(colour).resize(((columns + 1) // 2, (rows + 1) // 2), Image.Resampling.BOX)
        halved.append(np.asarray(reduced.resize((columns, rows), Image.Resampling.BILINEAR)))
    return np.stack(halved)


def _share(pixels: Values, picture: Values, left_out: Values) -> float:
    """Return the share of a picture's drawing, or of its edges if that is larger, for which `pixels` is true.

    Args:
        pixels: true for each pixel that contributes to the share.
        picture: channels of the picture whose drawing and edges are counted.
        left_out: true for each pixel that is not counted at all.
    """
    share = 0.0
    for drawn in (_drawn(picture), _edges(picture)):
        counted = drawn & ~left_out
        if counted.any():
            share = max(share, float(pixels[counted].mean()))
    return share


def _most_in_a_tile(pixels: Values) -> int:
    """Return the number of true pixels in the tile with the most of them."""
    height, width = pixels.shape
    rows = np.add.reduceat(pixels, range(0, height, TILE), axis=0, dtype=np.int32)
    return int(np.add.reduceat(rows, range(0, width, TILE), axis=1).max())


def _distance_from_range(picture: Values, other: Values, radius: int = 1) -> Values:
    """Return the distance of each pixel from the range of the pixels around its place in another picture."""
    low = high = other
    for _ in range(radius):
        low, high = _range_around(low)[0], _range_around(high)[1]
    # Colours get a range one pixel wider, because JPEG halves their resolution.
    low = low.copy()
    high = high.copy()
    low[1:] = _range_around(low[1:])[0]
    high[1:] = _range_around(high[1:])[1]
    # Minimum and maximum come first, because unsigned bytes would wrap around below zero.
    below = np.maximum(low, picture) - picture
    above = picture - np.minimum(high, picture)
    # The channel with the largest distance counts.
    return np.asarray(np.maximum(below, above).max(axis=0))


def _range_around(values: Values) -> tuple[Values, Values]:
    """Return the minimum and the maximum of the nine values in and around each place, in each channel."""
    low = high = values
    for axis in (1, 2):
        low = np.minimum(np.minimum(low, np.roll(low, 1, axis)), np.roll(low, -1, axis))
        high = np.maximum(np.maximum(high, np.roll(high, 1, axis)), np.roll(high, -1, axis))
    return low, high


def _is_grey(picture: Image.Image) -> bool:
    """Return true if hardly any pixel has a colour."""
    colours = _channels(picture)[1:].astype(np.int16)
    return float((np.abs(colours - 128) > DIFFERENT).mean()) < 0.001


def _drawn(values: Values) -> Values:
    """Return true for the pixels that differ from the background, which has the most common brightness."""
    brightness = values[0].ravel()
    commonest = np.bincount(brightness, minlength=256).argmax()
    background = values.reshape(3, -1)[:, (brightness == commonest).argmax()].astype(np.int16)
    return np.asarray((np.abs(values - background[:, None, None]) > FOREGROUND).any(axis=0))


def _edges(values: Values) -> Values:
    """Return true for the pixels around which any channel changes."""
    low, high = _range_around(values)
    return np.asarray((high - low).max(axis=0) > FOREGROUND)


def _straight_lines(values: Values) -> Values:
    """Return true for the rows and columns that a line fills: axes and grids, which many figures share."""
    edges = _edges(values)
    lines = np.zeros_like(edges)
    lines[edges.mean(axis=1) > 0.5] = True
    lines[:, edges.mean(axis=0) > 0.5] = True
    # In a picture full of details, lines cannot be distinguished from the drawing.
    return lines if lines.mean() < 0.3 else np.zeros_like(edges)


def agree_closely(copy: Part, original: Part, alignment: Alignment) -> bool:
    """Return true if two aligned parts also agree at a larger size, which shows small differences."""
    alignment, _ = _refined(copy, original, alignment, CLOSE_STEPS, FINE)
    comparison = compare(copy, original, alignment, CLOSE)
    return comparison is not None and comparison.most_absent <= MOST_ABSENT_CLOSELY


def lines_agree(copy: Part, original: Part, alignment: Alignment) -> bool:
    """Return true if a copy and an aligned original have the same axes and grid lines at the same places.

    The curves of a different figure can be moved and stretched until they agree with those of the original,
    but then the axes do not.
    """
    left, upper, right, lower = alignment.box
    width, height = BORDER * (right - left), BORDER * (lower - upper)
    wider = (left - width, upper - height, right + width, lower + height)
    box = _intersection(wider, (0, 0, *original.picture.size))
    shared = _shared_boxes(copy, original, Alignment(box, alignment.in_copy(box)))
    if shared is None:
        return False
    size = _common_size(*shared, FINE)
    copy_values = np.asarray(_resized(copy.picture, shared[0], size).convert("L"), dtype=np.int16)
    original_values = np.asarray(_resized(original.picture, shared[1], size).convert("L"), dtype=np.int16)
    # Vertical lines are compared first, then horizontal ones.
    for one, other in ((copy_values, original_values), (copy_values.T, original_values.T)):
        if not _has_lines(one, other) or not _has_lines(other, one):
            return False
    return True


def _has_lines(picture: Values, other: Values) -> bool:
    """Return true if a picture has each vertical line of another picture."""
    lines = _line_shares(other, FOREGROUND) > LINE
    # A line in the first or last column may be shifted out of the compared part, so it is not required.
    lines[[0, -1]] = False
    # A line that is shifted by half a pixel is spread over two columns, so the neighbours count too.
    shares = _line_shares(picture, FAINT)
    shares[1:-1] = np.maximum(np.maximum(shares[:-2], shares[2:]), shares[1:-1])
    return bool((shares[lines] > FAINT_LINE).all())


def _line_shares(values: Values, contrast: int) -> Values:
    """Return the share of pixels in each column that are darker, or lighter, than the pixels on both sides.

    The outermost `SIDES` columns on each side are left out.
    """
    left = values[:, : -2 * SIDES]
    middle = values[:, SIDES:-SIDES]
    right = values[:, 2 * SIDES :]
    darker = np.minimum(left, right) - middle > contrast
    lighter = middle - np.maximum(left, right) > contrast
    return np.asarray((darker | lighter).mean(axis=0))


def times_closer(closer: Comparison, other: Comparison) -> float:
    """Return how many times closer a copy is to one original than to another, where these two differ.

    The result is 1.0 if the originals differ too little at the size of the copy.
    """
    original = closer.original
    other_original = _at_size(other.original, original)
    differ = _mutual_distance(original, other_original) > DIFFERENT
    if int(differ.sum()) < ENOUGH_DIFFERENT:
        return 1.0
    near = _mutual_distance(closer.copy, original)
    far = _mutual_distance(_at_size(other.copy, original), other_original)
    return float(far[differ].mean()) / max(float(near[differ].mean()), 1.0)


def _mutual_distance(picture: Values, other: Values) -> Values:
    """Return the distance of each pixel of either picture from the other picture, whichever is larger."""
    return np.asarray(np.maximum(_distance_from_range(picture, other), _distance_from_range(other, picture)))


def _at_size(values: Values, like: Values) -> Values:
    """Return a picture at the size of another: sizes can differ by a pixel between alignments."""
    if values.shape == like.shape:
        return values
    size = like.shape[2], like.shape[1]
    return np.stack([np.asarray(Image.fromarray(channel).resize(size)) for channel in values])
