"""Pictures of a PDF as pixels.

Most are there as a PNG file has them: the same compression, the same filters of lines. Given the header of a
PNG, Pillow decodes them, far quicker than pypdf and also where a byte holds several pixels.
"""

import io
import struct
import zlib
from typing import Any, cast

from PIL import Image
from pypdf.generic import ArrayObject, ByteStringObject, DictionaryObject, StreamObject

from .raster import flattened

# Colour types of PNG: one grey value a pixel, three colours, an index into a palette.
_GREY, _COLOURS, _PALETTE = 0, 2, 3
_FIRST_PNG_PREDICTOR = 10


def decoded(image: StreamObject) -> Image.Image:
    """A picture as it is seen on white paper, in RGB; raises whatever Pillow and pypdf do."""
    mask = image.get("/SMask")
    picture = _from_png(image)
    alpha = _from_png(cast(StreamObject, mask.get_object())) if mask is not None else None
    if picture is None or (mask is not None and (alpha is None or alpha.size != picture.size)):
        return flattened(image.decode_as_image())
    picture = picture.convert("RGB")
    if alpha is not None:
        picture.putalpha(alpha.convert("L"))
    return flattened(picture)


def _from_png(image: StreamObject) -> Image.Image | None:
    """A picture that is compressed as PNG does; None for others."""
    settings = _first(image.get("/DecodeParms"))
    if _first(image.get("/Filter")) != "/FlateDecode" or not isinstance(settings, DictionaryObject):
        return None
    if "/Decode" in image or "/Mask" in image or _int(settings, "/Predictor", 1) < _FIRST_PNG_PREDICTOR:
        return None
    kind, palette = _colours(image.get("/ColorSpace"))
    if kind is None or _int(settings, "/Colors", 1) != (3 if kind == _COLOURS else 1):
        return None
    header = struct.pack(
        ">IIBBBBB",
        *(_int(image, "/Width", 0), _int(image, "/Height", 0), _int(image, "/BitsPerComponent", 8)),
        *(kind, 0, 0, 0),
    )
    chunks = [(b"IHDR", header), (b"IDAT", image._data), (b"IEND", b"")]
    if kind == _PALETTE:
        chunks.insert(1, (b"PLTE", palette))
    png = b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, content) for name, content in chunks)
    return Image.open(io.BytesIO(png), formats=("PNG",))


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _colours(space: Any) -> tuple[int | None, bytes]:
    """Colour type of PNG, and palette, that stand for a colour space; None where none does."""
    space = space.get_object() if space is not None else None
    if not isinstance(space, ArrayObject):
        return {"/DeviceGray": _GREY, "/DeviceRGB": _COLOURS}.get(str(space)), b""
    name = space[0]
    if name == "/ICCBased":
        number = _int(cast(DictionaryObject, space[1].get_object()), "/N", 0)
        return {1: _GREY, 3: _COLOURS}.get(number), b""
    if name == "/Indexed" and _colours(space[1])[0] == _COLOURS:
        return _PALETTE, _bytes_of(space[3].get_object())
    return {"/CalGray": _GREY, "/CalRGB": _COLOURS}.get(str(name)), b""


def _bytes_of(table: Any) -> bytes:
    if isinstance(table, StreamObject):
        return table.get_data()
    if isinstance(table, ByteStringObject):
        return bytes(table)
    return cast(bytes, table.original_bytes)


def _first(value: Any) -> Any:
    """The only filter or settings of a stream; None where there are several."""
    value = value.get_object() if value is not None else None
    if isinstance(value, ArrayObject):
        return value[0].get_object() if len(value) == 1 else None
    return value


def _int(values: DictionaryObject, name: str, otherwise: int) -> int:
    value = values.get(name)
    return otherwise if value is None else int(cast(Any, value.get_object()))
