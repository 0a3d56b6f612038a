"""Figures of an HTML page: linked files, `data:` URIs, and SVG in the page itself."""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path

from .figure import Encoded, Figure
from .markup import linked_figure, read_text

# Attributes, by element, that name a picture.
_SOURCES = {"img": "src", "embed": "src", "image": "href", "object": "data", "input": "src"}
# What `object` and `embed` also show.
_NOT_PICTURES = ("text/html", "application/xhtml", "video/", "audio/", "application/x-")
_NOT_PICTURE_FILES = (".html", ".htm", ".mp4")
# Not `html.parser`: what it needs for a page without an end of its tags grows with the square of its length.
# These patterns never go back.
_TOKEN = re.compile(
    r"<!--.*?(?:-->|\Z)"
    r"|<(?P<other>script|style|textarea|title)\b.*?(?:</(?P=other)|\Z)"
    r"|<(?P<end>/?)(?P<tag>svg|img|embed|image|object|input)\b"
    r"(?P<attributes>(?:[^>\"']|\"[^\"]*\"|'[^']*')*+)>?",
    re.DOTALL | re.IGNORECASE,
)
_ATTRIBUTE = re.compile(
    r"(?<![\w:.-])(?P<name>[\w:.-]++)\s*+=\s*+(?:\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)'|(?P<bare>[^\s\"'>]++))"
)


@dataclass(frozen=True)
class Found:
    """A figure of a page: the line, and a link or the text of an SVG."""

    line: int
    link: str = ""
    drawing: str = ""


def read(path: Path) -> Iterator[Figure]:
    """Figures of an HTML page, in its order.

    Raises:
        UnreadableError: it is too large.
    """
    yield from figures_of(read_text(path), lambda line: f"line {line}", path.parent)


def figures_of(text: str, place: Callable[[int], str], folder: Path | None) -> list[Figure]:
    """Figures of a text in HTML.

    Args:
        text: all of it.
        place: says where a line is.
        folder: what links are relative to; None where nothing on the disk counts.
    """
    return [figure for _, figure in figures_by_line(text, place, folder)]


def figures_by_line(text: str, place: Callable[[int], str], folder: Path | None) -> list[tuple[int, Figure]]:
    """The same, each with its line."""
    figures = []
    for found in find(text):
        if found.drawing:
            figure = Figure(place(found.line), "svg", (Encoded(found.drawing.encode()),))
        else:
            figure = linked_figure(place(found.line), found.link, folder)
        figures.append((found.line, figure))
    return figures


def find(text: str) -> Iterator[Found]:
    """The figures of a page, as it has them."""
    starts = [match.end() for match in re.finditer("\n", text)]
    depth = 0
    drawing_start = 0
    for match in _TOKEN.finditer(text):
        tag = (match["tag"] or "").lower()
        if tag == "svg" and match["end"]:
            if depth == 1:
                yield Found(
                    bisect_right(starts, drawing_start) + 1, drawing=text[drawing_start : match.end()]
                )
            depth = max(0, depth - 1)
        elif tag == "svg" and not match["attributes"].endswith("/"):
            drawing_start = match.start() if depth == 0 else drawing_start
            depth += 1
        elif tag and not depth and not match["end"]:
            link = _link_of(tag, match["attributes"])
            if link:
                yield Found(bisect_right(starts, match.start()) + 1, link)


def _link_of(tag: str, text: str) -> str:
    """The picture that an element names; empty where it names none."""
    attributes: dict[str, str] = {}
    for match in _ATTRIBUTE.finditer(text):
        value = match["double"] or match["single"] or match["bare"] or ""
        attributes.setdefault(match["name"].lower(), unescape(value).strip())
    link = attributes.get(_SOURCES[tag]) or attributes.get("xlink:href", "")
    is_embedded = tag in ("object", "embed")
    if is_embedded and link.lower().endswith(_NOT_PICTURE_FILES):
        return ""
    return "" if attributes.get("type", "").startswith(_NOT_PICTURES) else link
