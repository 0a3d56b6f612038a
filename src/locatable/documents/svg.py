"""SVG drawings, by a digest that is equal where files draw the same, whatever their ids and metadata."""

import hashlib
import re
import xml.etree.ElementTree as ET

from . import Drawing
from .package import local_name, parse_xml

# Bytes of an SVG that is compared; larger ones are known by their bytes only.
MOST_BYTES = 30_000_000
_REFERENCE = re.compile(r"#([\w.:-]+)")
# Attributes that say how large a drawing is shown, and nothing about the figure.
_OF_THE_PAGE = ("width", "height", "class", "style", "id", "version", "preserveAspectRatio")


def is_svg(content: bytes) -> bool:
    """Return true for the content of an SVG, which its beginning tells."""
    start = content[:2000].lstrip(b"\xef\xbb\xbf \t\r\n")
    return start.startswith(b"<") and b"<svg" in start


def drawing_of(content: bytes) -> Drawing:
    """Return the drawing that an SVG is."""
    root = parse_xml(content[: MOST_BYTES + 1], "SVG")
    numbers: dict[str, str] = {}
    for element in root.iter():
        if "id" in element.attrib:
            numbers.setdefault(element.attrib["id"], str(len(numbers)))
    hasher = hashlib.sha256()
    for name, value in sorted(root.attrib.items()):
        if local_name(name) not in _OF_THE_PAGE:
            hasher.update(f"{local_name(name)}={value}\0".encode())
    for child in root:
        for text in _texts(child, numbers):
            hasher.update(text.encode() + b"\0")
    digest = hasher.digest()[:16]
    return Drawing(digest, lambda: digest)


def _texts(root: ET.Element, numbers: dict[str, str]) -> list[str]:
    """Return the names, attributes and texts of an element and those below it, in order, with ids by number.

    Programs number ids in ways of their own, so that only which elements refer to each other counts.
    """

    def numbered(reference: re.Match[str]) -> str:
        return "#" + numbers.get(reference[1], reference[1])

    texts: list[str] = []
    # A text waits for the end of the element that it comes after.
    waiting: list[ET.Element | str] = [root]
    while waiting:
        element = waiting.pop()
        if isinstance(element, str):
            texts.append(element)
            continue
        if local_name(element.tag) == "metadata":
            continue
        texts.append(f"<{local_name(element.tag)}")
        for name, value in sorted(element.attrib.items()):
            if name == "id":
                value = numbers[value]
            value = _REFERENCE.sub(numbered, value)
            texts.append(f"{local_name(name)}={value}")
        texts.append((element.text or "").strip())
        waiting.append(f">{(element.tail or '').strip()}")
        waiting += reversed(element)
    return texts
