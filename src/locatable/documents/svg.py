"""SVG drawings: what is equal in two files that draw the same, whatever their ids and metadata are."""

import hashlib
import re
import xml.etree.ElementTree as ET

from .figure import Drawing
from .markup import local_name, parse_xml

# Bytes of an SVG that is compared; larger ones are known by their bytes only.
MOST_BYTES = 30_000_000
_REFERENCE = re.compile(r"#([\w.:-]+)")
# What says how large it is shown, and nothing about the figure.
_OF_THE_PAGE = ("width", "height", "class", "style", "id", "version", "preserveAspectRatio")


def is_svg(content: bytes) -> bool:
    """Whether a file is an SVG, by how it begins."""
    start = content[:2000].lstrip(b"\xef\xbb\xbf \t\r\n")
    return start.startswith(b"<") and b"<svg" in start


def drawing_of(content: bytes) -> Drawing:
    """The drawing that an SVG is.

    Raises:
        UnreadableError: it is not XML.
    """
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
    """What an element and those below it say, in order; ids by their number."""
    texts: list[str] = []
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
            value = _REFERENCE.sub(lambda match: "#" + numbers.get(match[1], match[1]), value)
            texts.append(f"{local_name(name)}={value}")
        texts.append((element.text or "").strip())
        waiting.append(f">{(element.tail or '').strip()}")
        waiting += reversed(element)
    return texts
