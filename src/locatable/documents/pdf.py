"""Figures of a PDF: pictures, and vector figures, known by the operators and objects that draw them.

Most pictures are stored as a PNG file stores them: the same compression, the same filters of lines. Given the
header of a PNG, Pillow decodes them, far quicker than pypdf, and also where a byte holds several pixels.
"""

import hashlib
import io
import logging
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, TypeVar, cast

from PIL import Image
from pypdf import PageObject, PdfReader
from pypdf.errors import DependencyError, FileNotDecryptedError
from pypdf.generic import (
    ArrayObject,
    ByteStringObject,
    DictionaryObject,
    FloatObject,
    IndirectObject,
    NumberObject,
    StreamObject,
)

from ..errors import UnreadableError, joined_lines
from . import Drawing, Encoded, Figure, Form, Pixels, read_bounded
from .picture import flattened, require_size
from .vector import rendered

# Pages of a result's own PDF, which are compared with figures.
MOST_PAGES = 20
# Pixels and points: what is smaller in both directions is a bullet or an icon.
SMALLEST_PIXELS = 48
SMALLEST_POINTS = 72
# Bytes of operators that are split into words at a time.
TOGETHER = 1_000_000
# Figures in figures in figures.
MOST_LEVELS = 6

_PNG = b"\x89PNG\r\n\x1a\n"
# Colour types of PNG: one grey value a pixel, three colours, an index into a palette.
_GREY, _COLOURS, _PALETTE = 0, 2, 3
# Predictors of PDF from this on are the filters of PNG.
_FIRST_PNG_PREDICTOR = 10

# Entries that differ between copies of an object that draw the same.
_BESIDE = frozenset(
    "/Length /Filter /DecodeParms /Type /Name /Parent /P /StructParent /StructParents /Metadata /PieceInfo "
    "/LastModified /OC /PTEX.FileName /PTEX.PageNumber /PTEX.InfoDict".split()
)
# Objects in objects: a figure has about ten, a damaged or hostile file no end.
_MOST_LEVELS = 40
_STRING = re.compile(rb"\((?:\\.|[^\\()])*\)", re.DOTALL)
_NAME = re.compile(rb"/([^\s()<>\[\]{}/%]+)")
# Operators that save and restore the coordinates, change them, and place an object.
_PLACING = re.compile(
    rb"(?P<state>\b[qQ]\b)|(?P<matrix>(?:[-+]?[\d.]{1,20}\s+){6})cm\b|/(?P<name>[^\s()<>\[\]{}/%]+)\s+Do\b"
)

Value = TypeVar("Value")
# How coordinates are changed: x to ax + cy + e, y to bx + dy + f.
Matrix = tuple[float, float, float, float, float, float]
_IDENTITY: Matrix = (1, 0, 0, 1, 0, 0)


@dataclass(frozen=True)
class Canvas:
    """A page, or a form that is placed on one: its operators, and the resources that they name."""

    operators: bytes
    resources: DictionaryObject

    @classmethod
    def of_page(cls, page: PageObject) -> "Canvas":
        """Return the canvas that a page is."""
        contents = page.get_contents()
        # An object of pypdf without keys is false.
        operators = contents.get_data() if contents is not None else b""
        return cls(operators, _resources(page, DictionaryObject()))

    @classmethod
    def of_form(cls, form: StreamObject, around: DictionaryObject) -> "Canvas":
        """Return the canvas that a form is; one without resources of its own uses those around it."""
        return cls(form.get_data(), _resources(form, around))

    def placed(self) -> Iterator[tuple[StreamObject, Matrix]]:
        """Yield each picture and form that the operators place, once, and how its coordinates are changed."""
        objects = _dictionary(self.resources.get("/XObject"))
        for name, matrix in self._placements().items():
            placed = objects.get(f"/{name}")
            placed = placed.get_object() if placed is not None else None
            if isinstance(placed, StreamObject):
                yield placed, matrix

    def _placements(self) -> dict[str, Matrix]:
        """Return the names of the objects that are placed, each with the matrix at its first place."""
        found: dict[str, Matrix] = {}
        matrix = _IDENTITY
        saved: list[Matrix] = []
        for match in _PLACING.finditer(_STRING.sub(b"()", self.operators)):
            if match["name"]:
                found.setdefault(match["name"].decode("latin-1"), matrix)
            elif match["matrix"]:
                a, b, c, d, e, f = map(float, match["matrix"].split())
                matrix = _product((a, b, c, d, e, f), matrix)
            elif match["state"] == b"q":
                saved.append(matrix)
            elif saved:
                matrix = saved.pop()
        return found

    def drawing(self, render: Callable[[], Image.Image | None] | None = None) -> Drawing:
        """Return the drawing that all of it is; that of a page can be rendered."""
        return Drawing(_hash_of_words(self.operators).digest()[:16], self._complete, render)

    def _complete(self) -> bytes:
        """Return the digest of the operators and of all that they use."""
        hasher = _hash_of_words(self.operators)
        used = {name.decode("latin-1") for name in _NAME.findall(self.operators)}
        try:
            for kind in sorted(self.resources):
                group = _dictionary(self.resources[kind])
                # Of resources that pages share, those alone that this one names.
                for name in sorted(name for name in group if name[1:] in used):
                    hasher.update(f"\0{kind}{name}".encode())
                    _feed(hasher, group[name], _MOST_LEVELS)
        except UnreadableError:
            raise
        except Exception as error:  # as many faults as there are ways to break a PDF
            raise UnreadableError(f"not a figure that can be read: {error!r:.80}") from None
        return hasher.digest()[:16]


def read(path: Path, roots: Sequence[Path]) -> Iterator[Figure]:
    """Yield the figures of a PDF, page by page; none is in another file."""
    document = _opened(read_bounded(path), f"{path}: ")
    count = _guarded(f"{path}: not a PDF that can be read", lambda: len(document.pages))
    for number in range(count):
        yield from _figures_on(document, number, partial(rendered, str(path), number))


def drawings_of(content: bytes) -> list[Drawing]:
    """Return the drawing that each page of a result's PDF is, blank ones left out."""
    document = _opened(content)

    def read_pages() -> list[Drawing]:
        drawings = []
        for number, page in enumerate(document.pages[:MOST_PAGES]):
            canvas = Canvas.of_page(page)
            if canvas.operators.strip():
                drawings.append(canvas.drawing(partial(rendered, content, number)))
        return drawings

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
        reason = joined_lines(error)[:80] or type(error).__name__
        raise UnreadableError(f"{problem}: {reason}") from None


def _figures_on(document: PdfReader, number: int, render: Callable[[], Image.Image | None]) -> list[Figure]:
    """Return a page as a figure, which all of it may be; its parts are the figures placed on it."""
    place = f"page {number + 1}"

    def read_page() -> Figure:
        page = document.pages[number]
        canvas = Canvas.of_page(page)
        left, lower, right, upper = (float(value) for value in page.mediabox)
        # So that the page is a square of one, from its upper left corner on.
        to_page = _product(
            (1, 0, 0, 1, -left, -upper), (1 / (right - left), 0, 0, -1 / (upper - lower), 0, 0)
        )
        parts = tuple(_placed_on(canvas, place, MOST_LEVELS, to_page))
        return Figure(place, "", (canvas.drawing(render),), parts=parts, is_incidental=True)

    try:
        return [_guarded("not a page that can be read", read_page)]
    except UnreadableError as error:
        return [Figure(place, problem=str(error))]


def _placed_on(canvas: Canvas, place: str, levels: int, to_page: Matrix) -> Iterator[Figure]:
    """Yield the pictures and forms on a page or form, each form with what is placed on it in turn."""
    for content, placing in canvas.placed():
        kind = content.get("/Subtype")
        matrix = _product(placing, to_page)
        if kind == "/Image":
            yield _picture(place, content, matrix)
        elif kind == "/Form" and levels:
            inner = Canvas.of_form(content, canvas.resources)
            own = content.get("/Matrix")
            if own is not None:
                matrix = _product(cast(Matrix, tuple(float(value) for value in own)), matrix)
            parts = tuple(_placed_on(inner, place, levels - 1, matrix))
            box = tuple(float(value) for value in cast(ArrayObject, content["/BBox"]))
            is_small = not _is_large(content)
            yield Figure(
                place, "", (inner.drawing(),), parts=parts, box=_box_of(box, matrix), is_incidental=is_small
            )


def _product(first: Matrix, second: Matrix) -> Matrix:
    """Return the matrix that changes coordinates by one, then by another."""
    a, b, c, d, e, f = first
    g, h, i, j, k, m = second
    return (
        *(a * g + b * i, a * h + b * j),
        *(c * g + d * i, c * h + d * j),
        *(e * g + f * i + k, e * h + f * j + m),
    )


def _box_of(box: tuple[float, ...], matrix: Matrix) -> tuple[float, float, float, float]:
    """Return the box around a box whose coordinates are changed."""
    a, b, c, d, e, f = matrix
    corners = list(product(box[::2], box[1::2]))
    across = [a * x + c * y + e for x, y in corners]
    down = [b * x + d * y + f for x, y in corners]
    return min(across), min(down), max(across), max(down)


def _is_large(form: DictionaryObject) -> bool:
    left, lower, right, upper = (float(value) for value in cast(ArrayObject, form["/BBox"]))
    return abs(right - left) >= SMALLEST_POINTS and abs(upper - lower) >= SMALLEST_POINTS


def _picture(place: str, image: StreamObject, matrix: Matrix) -> Figure:
    width = _int(image, "/Width", 0)
    height = _int(image, "/Height", 0)
    # Programs that draw from top to bottom place pictures mirrored: left is turned into right. Coordinates of
    # a page are mirrored once already.
    is_mirrored = matrix[0] * matrix[3] > matrix[1] * matrix[2]
    try:
        if min(width, height) < 1:
            raise UnreadableError("not a picture that can be read: without a size")
        require_size(width, height)
    except UnreadableError as error:
        return Figure(place, problem=str(error))

    def load() -> Image.Image:
        return _guarded("not a picture that can be read", lambda: _decoded(image, is_mirrored))

    reference = image.indirect_reference
    forms: list[Form] = [Pixels(load, (reference, is_mirrored) if reference else None)]
    if _is_jpeg(image) and not is_mirrored:
        # The file that was placed can be known by its bytes, which is quicker.
        forms.insert(0, Encoded(lambda: _guarded("not a picture that can be read", image.get_data)))
    is_small = width < SMALLEST_PIXELS and height < SMALLEST_PIXELS
    box = _box_of((0, 0, 1, 1), matrix)
    return Figure(place, "", tuple(forms), box=box, is_incidental=is_small)


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


def _resources(owner: DictionaryObject, otherwise: DictionaryObject) -> DictionaryObject:
    found = owner.get("/Resources")
    return _dictionary(found) if found is not None else otherwise


def _dictionary(value: Any) -> DictionaryObject:
    found = value.get_object() if value is not None else None
    return found if isinstance(found, DictionaryObject) else DictionaryObject()


def _hash_of_words(content: bytes) -> "hashlib._Hash":
    """Hash words with one space between them, a few at a time: in memory, all are many times the content."""
    hasher = hashlib.sha256()
    separator = b""
    rest = b""
    for start in range(0, len(content), TOGETHER):
        words = (rest + content[start : start + TOGETHER]).split(None)
        # The last word may go on.
        ends_here = content[start + TOGETHER - 1 : start + TOGETHER].isspace()
        rest = b"" if ends_here or not words else words.pop()
        if words:
            hasher.update(separator + b" ".join(words))
            separator = b" "
    if rest:
        hasher.update(separator + rest)
    return hasher


def _feed(hasher: "hashlib._Hash", value: Any, levels: int) -> None:
    """Hash an object and those that it refers to by their values, however these are written."""
    if not levels:
        raise UnreadableError("not a figure that can be read: objects nested too deeply")
    value = value.get_object() if isinstance(value, IndirectObject) else value
    if isinstance(value, DictionaryObject):
        hasher.update(b"<")
        for key in sorted(key for key in value if key not in _BESIDE):
            hasher.update(key.encode())
            _feed(hasher, value.raw_get(key), levels - 1)
        if isinstance(value, StreamObject):
            hasher.update(b" ".join(value.get_data().split()))
        hasher.update(b">")
    elif isinstance(value, ArrayObject):
        hasher.update(b"[")
        for item in value:
            _feed(hasher, item, levels - 1)
        hasher.update(b"]")
    elif isinstance(value, FloatObject | NumberObject):
        # Programs write the same number with more digits or fewer.
        hasher.update(b"%.5g " % float(value))
    else:
        hasher.update(f"{value!r} ".encode())
