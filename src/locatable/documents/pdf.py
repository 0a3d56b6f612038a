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

    def placed(self) -> Iterator[tuple[StreamObject, bool]]:
        """Yield each picture and form that the operators place, once; true for one that is mirrored.

        Programs that draw from top to bottom place pictures mirrored.
        """
        objects = _dictionary(self.resources.get("/XObject"))
        for name, is_mirrored in self._placements().items():
            placed = objects.get(f"/{name}")
            placed = placed.get_object() if placed is not None else None
            if isinstance(placed, StreamObject):
                yield placed, is_mirrored

    def _placements(self) -> dict[str, bool]:
        """Return the names of the objects that are placed; the value is true for a mirrored one."""
        found: dict[str, bool] = {}
        is_mirrored = False
        saved: list[bool] = []
        for match in _PLACING.finditer(_STRING.sub(b"()", self.operators)):
            if match["name"]:
                found.setdefault(match["name"].decode("latin-1"), is_mirrored)
            elif match["matrix"]:
                a, b, c, d, _, _ = map(float, match["matrix"].split())
                # A negative determinant turns left into right.
                if a * d < b * c:
                    is_mirrored = not is_mirrored
            elif match["state"] == b"q":
                saved.append(is_mirrored)
            elif saved:
                is_mirrored = saved.pop()
        return found

    def drawing(self) -> Drawing:
        """Return the drawing that all of it is."""
        return Drawing(_hash_of_words(self.operators).digest()[:16], self._complete)

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
        yield from _figures_on(document, number)


def drawings_of(content: bytes) -> list[Drawing]:
    """Return the drawing that each page of a result's PDF is, blank ones left out."""
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
        reason = joined_lines(error)[:80] or type(error).__name__
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
    for content, is_turned in canvas.placed():
        kind = content.get("/Subtype")
        # What is mirrored twice is not mirrored.
        turned = is_turned != is_mirrored
        if kind == "/Image":
            yield _picture(place, content, turned)
        elif kind == "/Form" and levels:
            inner = Canvas.of_form(content, canvas.resources)
            parts = tuple(_placed_on(inner, place, levels - 1, turned))
            is_small = not _is_large(content)
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

    reference = image.indirect_reference
    forms: list[Form] = [Pixels(load, (reference, is_mirrored) if reference else None)]
    if _is_jpeg(image) and not is_mirrored:
        # The file that was placed can be known by its bytes, which is quicker.
        forms.insert(0, Encoded(image.get_data))
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
