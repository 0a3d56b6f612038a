"""Figures of a PDF: pictures, and vector figures, identified by the operators and objects that draw them.

Most PDFs store pictures as PNG files do, with the same compression and the same filters. Once such data are
wrapped into a PNG file, Pillow decodes them far faster than pypdf does, even with several pixels in a byte.
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
from .picture import FullBox, flattened, require_size
from .vector import rendered

# The number of pages of a result's PDF that are compared with figures.
MOST_PAGES = 20
# The smallest sides of a figure. A picture is a bullet or an icon if both of its sides are shorter, a form if
# either side is.
SMALLEST_PIXELS = 48
SMALLEST_POINTS = 72
# The number of bytes of operators that are split into words at a time.
CHUNK_BYTES = 1_000_000
# The most levels of forms that contain other forms.
MOST_FORM_LEVELS = 6

_PNG = b"\x89PNG\r\n\x1a\n"
# The colour types of PNG: one grey value, three colours, or an index into a palette for each pixel.
_GREY, _RGB, _PALETTE = 0, 2, 3
# In PDF, predictors with this number and higher ones are the filters of PNG.
_FIRST_PNG_PREDICTOR = 10

# Entries that may differ between two copies of an object that draw the same.
_IGNORED_ENTRIES = frozenset(
    "/Length /Filter /DecodeParms /Type /Name /Parent /P /StructParent /StructParents /Metadata /PieceInfo "
    "/LastModified /OC /PTEX.FileName /PTEX.PageNumber /PTEX.InfoDict".split()
)
# The most levels of nested objects. A figure has about ten; a damaged or hostile file can have any number.
_MOST_OBJECT_LEVELS = 40
_STRING = re.compile(rb"\((?:\\.|[^\\()])*\)", re.DOTALL)
_NAME = re.compile(rb"/([^\s()<>\[\]{}/%]+)")
# Operators that save or restore the coordinate system, change it, or place an object.
_PLACING = re.compile(
    rb"(?P<state>\b[qQ]\b)|(?P<matrix>(?:[-+]?[\d.]{1,20}\s+){6})cm\b|/(?P<name>[^\s()<>\[\]{}/%]+)\s+Do\b"
)

Value = TypeVar("Value")
# A transformation of coordinates (a, b, c, d, e, f), which maps x to ax + cy + e, and y to bx + dy + f.
Matrix = tuple[float, float, float, float, float, float]
_IDENTITY: Matrix = (1, 0, 0, 1, 0, 0)


@dataclass(frozen=True)
class Canvas:
    """A page, or a form placed on a page: its operators, and the resources to which they refer by name."""

    operators: bytes
    resources: DictionaryObject

    @classmethod
    def of_page(cls, page: PageObject) -> "Canvas":
        """Return the canvas of a page."""
        contents = page.get_contents()
        # Compared with None, because an object of pypdf without keys is falsy.
        operators = contents.get_data() if contents is not None else b""
        return cls(operators, _resources(page, DictionaryObject()))

    @classmethod
    def of_form(cls, form: StreamObject, around: DictionaryObject) -> "Canvas":
        """Return the canvas of a form, which uses the resources `around` it if it has none itself."""
        return cls(form.get_data(), _resources(form, around))

    def placed(self) -> Iterator[tuple[StreamObject, Matrix]]:
        """Yield each picture and form that the operators place, once, with its transformation."""
        objects = _dictionary(self.resources.get("/XObject"))
        for name, matrix in self._placements().items():
            placed = objects.get(f"/{name}")
            placed = placed.get_object() if placed is not None else None
            if isinstance(placed, StreamObject):
                yield placed, matrix

    def _placements(self) -> dict[str, Matrix]:
        """Return the names of the placed objects, each with the transformation at its first place."""
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
        """Return the whole canvas as a drawing, which `render` renders if it is a page."""
        return Drawing(_hash_words(self.operators).digest()[:16], self._complete, render)

    def _complete(self) -> bytes:
        """Return the digest of the operators and of all resources that they use."""
        hasher = _hash_words(self.operators)
        used = {name.decode("latin-1") for name in _NAME.findall(self.operators)}
        try:
            for kind in sorted(self.resources):
                group = _dictionary(self.resources[kind])
                # Pages can share their resources, so only those that this page names count.
                for name in sorted(name for name in group if name[1:] in used):
                    hasher.update(f"\0{kind}{name}".encode())
                    _hash_object(hasher, group[name], _MOST_OBJECT_LEVELS)
        except UnreadableError:
            raise
        except Exception as error:  # pypdf raises exceptions of many kinds for broken files
            raise UnreadableError(f"not a figure that can be read: {error!r:.80}") from None
        return hasher.digest()[:16]


def read(path: Path, roots: Sequence[Path]) -> Iterator[Figure]:
    """Yield the figures of a PDF, page by page. `roots` is unused: a PDF refers to no other files."""
    document = _opened(read_bounded(path), f"{path}: ")
    count = _guarded(f"{path}: not a PDF that can be read", lambda: len(document.pages))
    for number in range(count):
        yield _figure_of_page(document, number, partial(rendered, str(path), number))


def drawings_of(content: bytes) -> list[Drawing]:
    """Return the drawing of each page of a result's PDF, without blank pages."""
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
    """Open a PDF; error messages begin with `prefix`."""
    # pypdf logs a warning for each fault of a broken file.
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    document = _guarded(f"{prefix}not a PDF that can be read", lambda: PdfReader(io.BytesIO(content)))
    if not document.is_encrypted:
        return document
    try:
        # Many PDFs are encrypted with an empty password, only to forbid copying.
        if document.decrypt(""):
            return document
    except (DependencyError, FileNotDecryptedError, NotImplementedError, ValueError):
        pass
    raise UnreadableError(f"{prefix}encrypted; save it without a password")


def _guarded(problem: str, read: Callable[[], Value]) -> Value:
    """Call a function that reads a PDF, and raise any exception as `UnreadableError`.

    Every kind is caught, because pypdf raises exceptions of many kinds for broken files.
    """
    try:
        return read()
    except UnreadableError:
        raise
    except Exception as error:
        reason = joined_lines(error)[:80] or type(error).__name__
        raise UnreadableError(f"{problem}: {reason}") from None


def _figure_of_page(document: PdfReader, number: int, render: Callable[[], Image.Image | None]) -> Figure:
    """Return a page as a figure, which the whole page may be; its parts are the figures placed on it."""
    place = f"page {number + 1}"

    def read_page() -> Figure:
        page = document.pages[number]
        canvas = Canvas.of_page(page)
        left, lower, right, upper = (float(value) for value in page.mediabox)
        # Maps the page to the unit square, with the origin at its upper left corner.
        scale = (1 / (right - left), 0.0, 0.0, -1 / (upper - lower), 0.0, 0.0)
        to_page = _product((1, 0, 0, 1, -left, -upper), scale)
        parts = tuple(_placed_on(canvas, place, MOST_FORM_LEVELS, to_page))
        return Figure(place, "", (canvas.drawing(render),), parts=parts, is_incidental=True)

    try:
        return _guarded("not a page that can be read", read_page)
    except UnreadableError as error:
        return Figure(place, problem=str(error))


def _placed_on(canvas: Canvas, place: str, levels: int, to_page: Matrix) -> Iterator[Figure]:
    """Yield the pictures and forms on a page or form; each form has the figures placed on it as parts."""
    for content, placing in canvas.placed():
        kind = content.get("/Subtype")
        matrix = _product(placing, to_page)
        if kind == "/Image":
            yield _picture(place, content, matrix)
        elif kind == "/Form" and levels:
            inner = Canvas.of_form(content, canvas.resources)
            form_matrix = content.get("/Matrix")
            if form_matrix is not None:
                matrix = _product(cast(Matrix, tuple(float(value) for value in form_matrix)), matrix)
            parts = tuple(_placed_on(inner, place, levels - 1, matrix))
            left, lower, right, upper = (float(value) for value in cast(ArrayObject, content["/BBox"]))
            is_large = abs(right - left) >= SMALLEST_POINTS and abs(upper - lower) >= SMALLEST_POINTS
            box = _bounding_box((left, lower, right, upper), matrix)
            yield Figure(place, "", (inner.drawing(),), parts=parts, box=box, is_incidental=not is_large)


def _product(first: Matrix, second: Matrix) -> Matrix:
    """Return the transformation that applies the first matrix, then the second."""
    a, b, c, d, e, f = first
    g, h, i, j, k, m = second
    return (
        a * g + b * i,
        a * h + b * j,
        c * g + d * i,
        c * h + d * j,
        e * g + f * i + k,
        e * h + f * j + m,
    )


def _bounding_box(box: FullBox, matrix: Matrix) -> FullBox:
    """Return the bounding box of a box after a transformation."""
    a, b, c, d, e, f = matrix
    corners = list(product(box[::2], box[1::2]))
    across = [a * x + c * y + e for x, y in corners]
    down = [b * x + d * y + f for x, y in corners]
    return min(across), min(down), max(across), max(down)


def _picture(place: str, image: StreamObject, matrix: Matrix) -> Figure:
    """Return a picture as a figure; `matrix` transforms its unit square to the page's."""
    width = _int(image, "/Width", 0)
    height = _int(image, "/Height", 0)
    # Programs that draw from top to bottom store a picture upside down and place it mirrored. The
    # determinant is positive then, because `matrix` mirrors the vertical axis of the page as well.
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
        # The bytes of the JPEG file that was placed may be those of a result, and comparing them is faster.
        forms.insert(0, Encoded(lambda: _guarded("not a picture that can be read", image.get_data)))
    is_small = width < SMALLEST_PIXELS and height < SMALLEST_PIXELS
    box = _bounding_box((0, 0, 1, 1), matrix)
    return Figure(place, "", tuple(forms), box=box, is_incidental=is_small)


def _is_jpeg(image: StreamObject) -> bool:
    """Return true if a picture is stored as a JPEG file, and nothing else in the PDF changes its look."""
    filters = image.get("/Filter")
    names = filters if isinstance(filters, list) else [filters]
    return names[-1] == "/DCTDecode" and "/SMask" not in image and "/Decode" not in image


def _decoded(image: StreamObject, is_mirrored: bool) -> Image.Image:
    """Return a picture on white paper, in RGB; raises any exception of Pillow and pypdf."""
    layers = _from_png(image)
    mask = image.get("/SMask")
    if layers is not None and mask is not None:
        layers = _with_alpha(layers, _from_png(cast(StreamObject, mask.get_object())))
    picture = flattened(image.decode_as_image() if layers is None else layers)
    if is_mirrored:
        return picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    return picture


def _with_alpha(picture: Image.Image, alpha: Image.Image | None) -> Image.Image | None:
    """Return a picture with its transparency; None if the mask has a different size, which pypdf handles."""
    if alpha is None or alpha.size != picture.size:
        return None
    picture = picture.convert("RGB")
    picture.putalpha(alpha.convert("L"))
    return picture


def _from_png(image: StreamObject) -> Image.Image | None:
    """Return a picture that is compressed as in a PNG file; None for other pictures."""
    settings = _only(image.get("/DecodeParms"))
    if _only(image.get("/Filter")) != "/FlateDecode" or not isinstance(settings, DictionaryObject):
        return None
    if "/Decode" in image or "/Mask" in image or _int(settings, "/Predictor", 1) < _FIRST_PNG_PREDICTOR:
        return None
    kind, palette = _png_colours(image.get("/ColorSpace"))
    channels = 3 if kind == _RGB else 1
    if kind is None or _int(settings, "/Colors", 1) != channels:
        return None
    width = _int(image, "/Width", 0)
    height = _int(image, "/Height", 0)
    bits = _int(image, "/BitsPerComponent", 8)
    # The three zeros stand for the only compression and filter methods of PNG, and for "not interlaced".
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


def _png_colours(space: Any) -> tuple[int | None, bytes]:
    """Return the PNG colour type, or None if PNG has no such type, and the palette of a colour space."""
    space = space.get_object() if space is not None else None
    if not isinstance(space, ArrayObject):
        return {"/DeviceGray": _GREY, "/DeviceRGB": _RGB}.get(str(space)), b""
    name = space[0]
    if name == "/ICCBased":
        number = _int(cast(DictionaryObject, space[1].get_object()), "/N", 0)
        return {1: _GREY, 3: _RGB}.get(number), b""
    if name == "/Indexed":
        base, _ = _png_colours(space[1])
        if base == _RGB:
            return _PALETTE, _palette_bytes(space[3].get_object())
    return {"/CalGray": _GREY, "/CalRGB": _RGB}.get(str(name)), b""


def _palette_bytes(table: Any) -> bytes:
    """Return the bytes of a palette, which is stored as a stream or as a string."""
    if isinstance(table, StreamObject):
        return table.get_data()
    if isinstance(table, ByteStringObject):
        return bytes(table)
    return cast(bytes, table.original_bytes)


def _only(value: Any) -> Any:
    """Return the only filter, or its settings, of a stream; None if there are several or none."""
    if value is None:
        return None
    value = value.get_object()
    if not isinstance(value, ArrayObject):
        return value
    return value[0].get_object() if len(value) == 1 else None


def _int(values: DictionaryObject, name: str, default: int) -> int:
    """Return an entry of a dictionary as an integer."""
    value = values.get(name)
    return default if value is None else int(cast(Any, value.get_object()))


def _resources(owner: DictionaryObject, default: DictionaryObject) -> DictionaryObject:
    """Return the resources of a page or form."""
    resources = owner.get("/Resources")
    return default if resources is None else _dictionary(resources)


def _dictionary(value: Any) -> DictionaryObject:
    """Return the dictionary to which a value refers; an empty one for any other value."""
    value = None if value is None else value.get_object()
    return value if isinstance(value, DictionaryObject) else DictionaryObject()


def _hash_words(content: bytes) -> "hashlib._Hash":
    """Hash the words of the content with a single space between them.

    Only a part is split at a time, because all words together would take many times the memory of the
    content.
    """
    hasher = hashlib.sha256()
    separator = b""
    rest = b""
    for start in range(0, len(content), CHUNK_BYTES):
        words = (rest + content[start : start + CHUNK_BYTES]).split(None)
        # The last word may continue in the next part.
        ends_here = content[start + CHUNK_BYTES - 1 : start + CHUNK_BYTES].isspace()
        rest = b"" if ends_here or not words else words.pop()
        if words:
            hasher.update(separator + b" ".join(words))
            separator = b" "
    if rest:
        hasher.update(separator + rest)
    return hasher


def _hash_object(hasher: "hashlib._Hash", value: Any, levels: int) -> None:
    """Hash an object and all objects to which it refers by their values, however the file spells them."""
    if not levels:
        raise UnreadableError("not a figure that can be read: objects nested too deeply")
    value = value.get_object() if isinstance(value, IndirectObject) else value
    if isinstance(value, DictionaryObject):
        hasher.update(b"<")
        for key in sorted(key for key in value if key not in _IGNORED_ENTRIES):
            hasher.update(key.encode())
            _hash_object(hasher, value.raw_get(key), levels - 1)
        if isinstance(value, StreamObject):
            hasher.update(b" ".join(value.get_data().split()))
        hasher.update(b">")
    elif isinstance(value, ArrayObject):
        hasher.update(b"[")
        for item in value:
            _hash_object(hasher, item, levels - 1)
        hasher.update(b"]")
    elif isinstance(value, FloatObject | NumberObject):
        # Programs write the same number with different numbers of digits.
        hasher.update(b"%.5g " % float(value))
    else:
        hasher.update(f"{value!r} ".encode())
