"""Figures of a PDF: pictures, and vector figures that were placed on its pages."""

import io
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar, cast

from PIL import Image
from pypdf import PdfReader
from pypdf.errors import DependencyError, FileNotDecryptedError
from pypdf.generic import ArrayObject, DictionaryObject, StreamObject

from ..errors import UnreadableError
from .figure import Drawing, Encoded, Figure, Form, Pixels
from .formats import read_bounded
from .pdf_drawing import Canvas
from .pdf_picture import decoded
from .raster import require_size

# Pages of a result's own PDF, which are compared with figures.
MOST_PAGES = 20
# Pixels and points: what is smaller in both directions is a bullet or an icon.
SMALLEST_PIXELS = 48
SMALLEST_POINTS = 72
# Figures in figures in figures.
MOST_LEVELS = 6

Value = TypeVar("Value")


def read(path: Path) -> Iterator[Figure]:
    """Figures of a PDF, page by page.

    Raises:
        UnreadableError: it is broken, or encrypted with a password.
    """
    document = _opened(read_bounded(path), f"{path}: ")
    count = _guarded(f"{path}: not a PDF that can be read", lambda: len(document.pages))
    for number in range(count):
        yield from _figures_on(document, number)


def drawings_of(content: bytes) -> list[Drawing]:
    """The drawings that the pages of a result's PDF are.

    Raises:
        UnreadableError: it cannot be read.
    """
    document = _opened(content)

    def read_pages() -> list[Drawing]:
        pages = document.pages[:MOST_PAGES]
        canvases = [Canvas.of_page(page) for page in pages]
        return [canvas.drawing() for canvas in canvases if canvas.operators.strip()]

    return _guarded("not a PDF that can be read", read_pages)


def _opened(content: bytes, prefix: str = "") -> PdfReader:
    """A PDF; what an error says begins with `prefix`."""
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # It warns of every oddity of a broken file.
    document = _guarded(f"{prefix}not a PDF that can be read", lambda: PdfReader(io.BytesIO(content)))
    if not document.is_encrypted:
        return document
    try:
        # Many are encrypted with an empty password, to forbid copying.
        if document.decrypt(""):
            return document
    except (DependencyError, FileNotDecryptedError, NotImplementedError, ValueError):
        pass
    raise UnreadableError(f"{prefix}encrypted; save it without a password")


def _guarded(problem: str, read: Callable[[], Value]) -> Value:
    """What a function returns that reads a PDF, whose faults are as many as there are ways to break one."""
    try:
        return read()
    except UnreadableError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:80] or type(error).__name__
        raise UnreadableError(f"{problem}: {reason}") from None


def _figures_on(document: PdfReader, number: int) -> list[Figure]:
    """Figures of one page; or the page itself, where all of it may be one."""
    place = f"page {number + 1}"
    try:
        problem = "not a page that can be read"
        canvas = _guarded(problem, lambda: Canvas.of_page(document.pages[number]))
        parts = _guarded(problem, lambda: list(_placed_on(canvas, place, MOST_LEVELS)))
    except UnreadableError as error:
        return [Figure(place, problem=str(error))]
    return [Figure(place, "", (canvas.drawing(),), parts=tuple(parts), is_incidental=True)]


def _placed_on(canvas: Canvas, place: str, levels: int, is_mirrored: bool = False) -> Iterator[Figure]:
    for placed in canvas.placed():
        kind = placed.content.get("/Subtype")
        turned = placed.is_mirrored != is_mirrored
        if kind == "/Image":
            yield _picture(place, placed.content, turned)
        elif kind == "/Form" and levels:
            inner = Canvas.of_form(placed.content, canvas.resources)
            parts = tuple(_placed_on(inner, place, levels - 1, turned))
            is_small = not _is_large(placed.content)
            yield Figure(place, "", (inner.drawing(),), parts=parts, is_incidental=is_small)


def _is_large(form: DictionaryObject) -> bool:
    left, lower, right, upper = (float(value) for value in cast(ArrayObject, form["/BBox"]))
    return abs(right - left) >= SMALLEST_POINTS and abs(upper - lower) >= SMALLEST_POINTS


def _picture(place: str, image: StreamObject, is_mirrored: bool) -> Figure:
    width, height = int(image["/Width"]), int(image["/Height"])  # type: ignore[call-overload]
    try:
        require_size(width, height)
    except UnreadableError as error:
        return Figure(place, problem=str(error))
    forms: list[Form] = []
    if _is_jpeg(image) and not is_mirrored:
        forms.append(Encoded(image.get_data()))
    forms.append(
        Pixels(lambda: _guarded("not a picture that can be read", lambda: _decoded(image, is_mirrored)))
    )
    is_small = width < SMALLEST_PIXELS and height < SMALLEST_PIXELS
    return Figure(place, "", tuple(forms), is_incidental=is_small)


def _decoded(image: StreamObject, is_mirrored: bool) -> Image.Image:
    picture = decoded(image)
    return picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM) if is_mirrored else picture


def _is_jpeg(image: StreamObject) -> bool:
    """Whether a picture is a JPEG file, and nothing else in the PDF changes how it looks."""
    filters = image.get("/Filter")
    names = filters if isinstance(filters, list) else [filters]
    return names[-1] == "/DCTDecode" and "/SMask" not in image and "/Decode" not in image
