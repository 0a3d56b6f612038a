"""Figures of a PDF: pictures, and vector figures that were placed on its pages."""

import io
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TypeVar, cast

from pypdf import PageObject, PdfReader
from pypdf.errors import DependencyError, FileNotDecryptedError
from pypdf.generic import ArrayObject, DictionaryObject, StreamObject

from ..errors import UnreadableError
from .figure import Drawing, Encoded, Figure, Form, Pixels
from .pdf_drawing import Canvas
from .raster import flattened, require_size

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
    try:
        with path.open("rb") as file:
            document = _opened(file, str(path))
            count = _guarded(str(path), lambda: len(document.pages))
            for number in range(count):
                yield from _figures_on(document, number)
    except OSError as error:
        raise UnreadableError(f"{path}: {error.strerror}") from None


def drawings_of(content: bytes) -> list[Drawing]:
    """The drawings that the pages of a result's PDF are.

    Raises:
        UnreadableError: it cannot be read.
    """
    document = _opened(io.BytesIO(content), "PDF")

    def read_pages() -> list[Drawing]:
        pages = document.pages[:MOST_PAGES]
        canvases = [Canvas.of_page(page) for page in pages]
        return [canvas.drawing() for canvas in canvases if canvas.operators.strip()]

    return _guarded("PDF", read_pages)


def _opened(file: IO[bytes], name: str) -> PdfReader:
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # It warns of every oddity of a broken file.
    document = _guarded(name, lambda: PdfReader(file))
    if not document.is_encrypted:
        return document
    try:
        # Many are encrypted with an empty password, to forbid copying.
        if document.decrypt(""):
            return document
    except (DependencyError, FileNotDecryptedError, NotImplementedError, ValueError):
        pass
    raise UnreadableError(f"{name}: encrypted; save it without a password")


def _guarded(name: str, read: Callable[[], Value]) -> Value:
    """What a function returns that reads a PDF, whose faults are as many as there are ways to break one."""
    try:
        return read()
    except UnreadableError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:80] or type(error).__name__
        raise UnreadableError(f"{name}: not a PDF that can be read: {reason}") from None


def _figures_on(document: PdfReader, number: int) -> list[Figure]:
    """Figures of one page; or the page itself, where all of it may be one."""
    place = f"page {number + 1}"
    try:
        page: PageObject = _guarded(place, lambda: document.pages[number])
        canvas = _guarded(place, lambda: Canvas.of_page(page))
        parts = _guarded(place, lambda: list(_placed_on(canvas, place, MOST_LEVELS)))
    except UnreadableError as error:
        return [Figure(place, problem=str(error).removeprefix(f"{place}: "))]
    return [Figure(place, "", (canvas.drawing(),), parts=tuple(parts), is_incidental=True)]


def _placed_on(canvas: Canvas, place: str, levels: int) -> Iterator[Figure]:
    for name, placed in canvas.placed():
        kind = placed.get("/Subtype")
        if kind == "/Image":
            yield _picture(place, name, placed)
        elif kind == "/Form" and levels:
            inner = Canvas.of_form(placed, canvas.resources)
            parts = tuple(_placed_on(inner, place, levels - 1))
            is_small = not _is_large(placed)
            yield Figure(place, name, (inner.drawing(),), parts=parts, is_incidental=is_small)


def _is_large(form: DictionaryObject) -> bool:
    left, lower, right, upper = (float(value) for value in cast(ArrayObject, form["/BBox"]))
    return abs(right - left) >= SMALLEST_POINTS and abs(upper - lower) >= SMALLEST_POINTS


def _picture(place: str, name: str, image: StreamObject) -> Figure:
    width, height = int(image["/Width"]), int(image["/Height"])  # type: ignore[call-overload]
    try:
        require_size(width, height)
    except UnreadableError as error:
        return Figure(place, name, problem=str(error))
    forms: list[Form] = []
    if _is_jpeg(image):
        forms.append(Encoded(image.get_data()))
    forms.append(Pixels(lambda: _guarded("picture", lambda: flattened(image.decode_as_image()))))
    is_small = width < SMALLEST_PIXELS and height < SMALLEST_PIXELS
    return Figure(place, name, tuple(forms), is_incidental=is_small)


def _is_jpeg(image: StreamObject) -> bool:
    """Whether a picture is a JPEG file, and nothing else in the PDF changes how it looks."""
    filters = image.get("/Filter")
    names = filters if isinstance(filters, list) else [filters]
    return names[-1] == "/DCTDecode" and "/SMask" not in image and "/Decode" not in image
