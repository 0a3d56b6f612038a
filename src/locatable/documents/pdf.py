"""Figures of a PDF: pictures, and vector figures that were placed on its pages.

Most pictures are stored as a PNG file stores them: the same compression, the same filters of lines. Given the
header of a PNG, Pillow decodes them, far quicker than pypdf, and also where a byte holds several pixels.
"""

import io
import logging
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

from PIL import Image
from pypdf import PdfReader
from pypdf.errors import DependencyError, FileNotDecryptedError
from pypdf.generic import ArrayObject, ByteStringObject, DictionaryObject, StreamObject

from ..errors import UnreadableError
from .figure import Drawing, Encoded, Figure, Form, Pixels, read_bounded
from .pdf_drawing import Canvas
from .picture import flattened, require_size

# Pages of a result's own PDF, which are compared with figures.
MOST_PAGES = 20
# Pixels and points: what is smaller in both directions is a bullet or an icon.
SMALLEST_PIXELS = 48
SMALLEST_POINTS = 72
# Figures in figures in figures.
MOST_LEVELS = 6

_PNG = b"\x89PNG\r\n\x1a\n"
# Colour types of PNG: one grey value a pixel, three colours, an index into a palette.
_GREY, _COLOURS, _PALETTE = 0, 2, 3
# Predictors of PDF from this on are the filters of PNG.
_FIRST_PNG_PREDICTOR = 10

Value = TypeVar("Value")


def read(path: Path) -> Iterator[Figure]:
    """Yield the figures of a PDF, page by page.

    Raises:
        UnreadableError: it is broken, or encrypted with a password.
    """
    document = _opened(read_bounded(path), f"{path}: ")
    count = _guarded(f"{path}: not a PDF that can be read", lambda: len(document.pages))
    for number in range(count):
        yield from _figures_on(document, number)


def drawings_of(content: bytes) -> list[Drawing]:
    """Return the drawing that each page of a result's PDF is, blank ones left out.

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
    """Open a PDF; messages of errors begin with `prefix`."""
    # pypdf warns of every oddity of a broken file.
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
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
    """Call a function that reads a PDF, and raise whatever it raises as UnreadableError.

    pypdf raises exceptions of many kinds: there are as many as ways to break a file.
    """
    try:
        return read()
    except UnreadableError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:80] or type(error).__name__
        raise UnreadableError(f"{problem}: {reason}") from None


def _figures_on(document: PdfReader, number: int) -> list[Figure]:
    """Return a page as a figure, which all of it may be; its parts are the figures placed on it."""
    place = f"page {number + 1}"
    try:
        problem = "not a page that can be read"
        canvas = _guarded(problem, lambda: Canvas.of_page(document.pages[number]))
        parts = _guarded(problem, lambda: list(_placed_on(canvas, place, MOST_LEVELS)))
    except UnreadableError as error:
        return [Figure(place, problem=str(error))]
    return [Figure(place, "", (canvas.drawing(),), parts=tuple(parts), is_incidental=True)]


def _placed_on(canvas: Canvas, place: str, levels: int, is_mirrored: bool = False) -> Iterator[Figure]:
    """Yield the pictures and forms on a page or form, each form with what is placed on it in turn."""
    for placed in canvas.placed():
        kind = placed.content.get("/Subtype")
        # What is mirrored twice is not mirrored.
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
    width = _int(image, "/Width", 0)
    height = _int(image, "/Height", 0)
    try:
        if min(width, height) < 1:
            raise UnreadableError("not a picture that can be read: without a size")
        require_size(width, height)
    except UnreadableError as error:
        return Figure(place, problem=str(error))

    def load() -> Image.Image:
        return _guarded("not a picture that can be read", lambda: _decoded(image, is_mirrored))

    forms: list[Form] = [Pixels(load)]
    if _is_jpeg(image) and not is_mirrored:
        # The file that was placed can be known by its bytes, which is quicker.
        forms.insert(0, Encoded(image.get_data()))
    is_small = width < SMALLEST_PIXELS and height < SMALLEST_PIXELS
    return Figure(place, "", tuple(forms), is_incidental=is_small)


def _is_jpeg(image: StreamObject) -> bool:
    """Return true where a picture is a JPEG file, and nothing else in the PDF changes how it looks."""
    filters = image.get("/Filter")
    names = filters if isinstance(filters, list) else [filters]
    return names[-1] == "/DCTDecode" and "/SMask" not in image and "/Decode" not in image


def _decoded(image: StreamObject, is_mirrored: bool) -> Image.Image:
    """Return a picture as it is seen on white paper, in RGB; raises whatever Pillow and pypdf do."""
    layers = _from_png(image)
    mask = image.get("/SMask")
    if layers is not None and mask is not None:
        layers = _with_alpha(layers, _from_png(cast(StreamObject, mask.get_object())))
    picture = flattened(image.decode_as_image() if layers is None else layers)
    if is_mirrored:
        return picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    return picture


def _with_alpha(picture: Image.Image, alpha: Image.Image | None) -> Image.Image | None:
    """Return a picture with its transparency; None where that has another size, which pypdf scales."""
    if alpha is None or alpha.size != picture.size:
        return None
    picture = picture.convert("RGB")
    picture.putalpha(alpha.convert("L"))
    return picture


def _from_png(image: StreamObject) -> Image.Image | None:
    """Return a picture that is compressed as PNG does; None for others."""
    settings = _first(image.get("/DecodeParms"))
    if _first(image.get("/Filter")) != "/FlateDecode" or not isinstance(settings, DictionaryObject):
        return None
    if "/Decode" in image or "/Mask" in image or _int(settings, "/Predictor", 1) < _FIRST_PNG_PREDICTOR:
        return None
    kind, palette = _colours(image.get("/ColorSpace"))
    channels = 3 if kind == _COLOURS else 1
    if kind is None or _int(settings, "/Colors", 1) != channels:
        return None
    width = _int(image, "/Width", 0)
    height = _int(image, "/Height", 0)
    bits = _int(image, "/BitsPerComponent", 8)
    # The three zeros are the only methods of compression and filtering that PNG has, and "not interlaced".
    png = _PNG + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0))
    if kind == _PALETTE:
        png += _chunk(b"PLTE", palette)
    png += _chunk(b"IDAT", image._data) + _chunk(b"IEND", b"")
    return Image.open(io.BytesIO(png), formats=("PNG",))


def _chunk(name: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG file: length, name, content, checksum."""
    length = struct.pack(">I", len(content))
    checksum = struct.pack(">I", zlib.crc32(name + content))
    return length + name + content + checksum


def _colours(space: Any) -> tuple[int | None, bytes]:
    """Return the colour type of PNG, and the palette, for a colour space; None where PNG has no such type."""
    space = space.get_object() if space is not None else None
    if not isinstance(space, ArrayObject):
        return {"/DeviceGray": _GREY, "/DeviceRGB": _COLOURS}.get(str(space)), b""
    name = space[0]
    if name == "/ICCBased":
        number = _int(cast(DictionaryObject, space[1].get_object()), "/N", 0)
        return {1: _GREY, 3: _COLOURS}.get(number), b""
    if name == "/Indexed":
        base, _ = _colours(space[1])
        if base == _COLOURS:
            return _PALETTE, _bytes_of(space[3].get_object())
    return {"/CalGray": _GREY, "/CalRGB": _COLOURS}.get(str(name)), b""


def _bytes_of(table: Any) -> bytes:
    if isinstance(table, StreamObject):
        return table.get_data()
    if isinstance(table, ByteStringObject):
        return bytes(table)
    return cast(bytes, table.original_bytes)


def _first(value: Any) -> Any:
    """Return the only filter or settings of a stream; None where there are several."""
    if value is None:
        return None
    value = value.get_object()
    if not isinstance(value, ArrayObject):
        return value
    return value[0].get_object() if len(value) == 1 else None


def _int(values: DictionaryObject, name: str, otherwise: int) -> int:
    value = values.get(name)
    return otherwise if value is None else int(cast(Any, value.get_object()))
