"""Pictures as pixels: opened within limits, and brought to a form in which copies are equal."""

import hashlib
import io
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops

from ..errors import UnreadableError

# Formats that are read. Not EPS: Pillow starts Ghostscript for it.
FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "JPEG2000")
# Pixels of a picture that is opened: 400 MB in memory as four bytes each, for a moment.
MOST_PIXELS = 100_000_000
TOO_LARGE = f"pictures of more than {MOST_PIXELS // 1_000_000} megapixels are not opened"
# Side of the square that a picture is reduced to, to find similar ones.
SIDE = 48
# How far a pixel is from the background's grey where the figure begins; JPEG's noise is below.
FOREGROUND = 40

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Fingerprint:
    """What is kept of a picture to find copies of it.

    Attributes:
        width: in pixels.
        height: in pixels.
        pixels: digest of size and pixels, as seen on white paper.
        inside: the picture without its margins, reduced to a grey square, `SIDE` by `SIDE`.
        box: where the picture is without its margins: left, upper, right, lower.
    """

    width: int
    height: int
    pixels: bytes
    inside: np.ndarray
    box: Box


def opened(content: bytes) -> Image.Image:
    """A picture as it is seen on white paper, in RGB.

    Raises:
        UnreadableError: it is too large, broken, or not of a format that is read.
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
    except Exception as error:  # whatever a decoder makes of broken bytes
        raise UnreadableError(f"not a picture that can be read: {_reason(error)}") from None


def require_size(width: int, height: int) -> None:
    """Refuse a picture that would take too much memory.

    Raises:
        UnreadableError: it would.
    """
    if width * height > MOST_PIXELS:
        raise UnreadableError(TOO_LARGE)


def flattened(image: Image.Image) -> Image.Image:
    """A picture in RGB, on white where it is transparent: what its copies in other formats show."""
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, dtype=float)
        top = 65535.0 if values.max(initial=0) > 255 else 255.0
        image = Image.fromarray((values.clip(0, top) * (255 / top)).astype(np.uint8))
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
    """The fingerprint of a picture that `opened` returned."""
    grey = image.convert("L")
    box = content_box(grey)
    size = b"%d %d\0" % image.size
    return Fingerprint(
        width=image.width,
        height=image.height,
        pixels=hashlib.sha256(size + image.tobytes()).digest()[:16],
        inside=_square(grey, box),
        box=box,
    )


def content_box(grey: Image.Image) -> Box:
    """Where a grey picture is without margins of one colour, that of its corner; else all of it."""
    background = grey.getpixel((0, 0))
    difference = ImageChops.difference(grey, Image.new("L", grey.size, background))
    table = [0] * FOREGROUND + [255] * (256 - FOREGROUND)
    return difference.point(table).getbbox() or (0, 0, *grey.size)


def _square(grey: Image.Image, box: Box) -> "np.ndarray":
    reduced = grey.resize((SIDE, SIDE), Image.Resampling.BOX, box=box)
    return np.asarray(reduced)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:80] or type(error).__name__
