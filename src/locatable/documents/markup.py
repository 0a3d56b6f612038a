"""What formats that are XML or text share: parsing within limits, and figures that a text links to."""

import base64
import binascii
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from urllib.parse import unquote, unquote_to_bytes

from ..errors import UnreadableError
from .figure import Encoded, Figure
from .formats import MOST_BYTES, read_bounded

_DATA = re.compile(r"data:(?P<type>[^,;]*)(?P<parameters>[^,]*),(?P<data>.*)", re.DOTALL | re.IGNORECASE)
NOT_FETCHED = "a link to another server, which is not fetched"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")


def parse_xml(content: bytes, where: str) -> ET.Element:
    """The root of an XML document, which may not define entities: these can expand without limit.

    Args:
        content: of the document.
        where: what an error is to begin with.

    Raises:
        UnreadableError: it is not XML, or defines entities.
    """
    if b"<!ENTITY" in content:
        raise UnreadableError(f"{where}: XML with entities of its own is not read")
    try:
        return ET.fromstring(content)  # noqa: S314 - without entities, expat needs no more memory than this
    except (ET.ParseError, ValueError, LookupError) as error:
        raise UnreadableError(f"{where}: not XML: {error}") from None


def local_name(name: str) -> str:
    """The name of an element or attribute without its namespace."""
    return name.rpartition("}")[2]


def linked_figure(place: str, link: str, folder: Path | None) -> Figure:
    """The figure that a document refers to: the file beside it, or the data in the link itself.

    Args:
        place: of the figure in the document.
        link: a path, a `data:` URI, or another URL, which is not fetched.
        folder: what paths are relative to; None where nothing on the disk counts.
    """
    if match := _DATA.match(link):
        try:
            return Figure(place, match["type"], (Encoded(_data(match)),))
        except (binascii.Error, ValueError):
            return Figure(place, match["type"], problem="its data: URI is broken")
    name = link.partition("?")[0].partition("#")[0]
    if link.startswith("//") or (_SCHEME.match(link) and not link.lower().startswith("file:")):
        return Figure(place, name, problem=NOT_FETCHED)
    if folder is None:
        return Figure(place, name, problem="not in the document")
    return file_figure(place, name, folder / unquote(re.sub("^file:(//)?", "", name, flags=re.IGNORECASE)))


def file_figure(place: str, name: str, path: Path, *others: Path) -> Figure:
    """The figure that a file is; one with a problem where there is no such file, at this or other paths."""
    try:
        if not path.is_file():
            return Figure(place, name, problem="there is no such file", missing=(path, *others))
        return Figure(place, name, (Encoded(read_bounded(path)),))
    except (UnreadableError, OSError, ValueError) as error:
        return Figure(place, name, problem=str(error).removeprefix(f"{path}: "))


def _data(match: re.Match[str]) -> bytes:
    if len(match["data"]) > MOST_BYTES:
        raise ValueError("too large")
    raw = unquote_to_bytes(match["data"])
    return base64.b64decode(raw) if ";base64" in match["parameters"].lower() else raw


def read_text(path: Path) -> str:
    """A text, whatever its encoding: letters beside figures do not matter."""
    return read_bounded(path).decode("utf-8-sig", errors="replace")
