"""Figures of an HTML page: linked files, `data:` URIs, and SVG in the page itself."""

from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

from .figure import Encoded, Figure
from .markup import linked_figure, read_text

# Attributes, by element, that name a picture.
_SOURCES = {"img": "src", "embed": "src", "image": "href", "object": "data", "input": "src"}
# What `object` and `embed` also show.
_NOT_PICTURES = ("text/html", "application/xhtml", "video/", "audio/", "application/x-")


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
    for line, link, drawing in _found_in(text):
        if drawing:
            figure = Figure(place(line), "svg", (Encoded(drawing.encode()),))
        else:
            figure = linked_figure(place(line), link, folder)
        figures.append((line, figure))
    return figures


def links_of(text: str) -> list[tuple[str, str]]:
    """For readers that keep pages with files of their own: each link, or the SVG in its place."""
    return [(link, drawing) for _, link, drawing in _found_in(text)]


def _found_in(text: str) -> list[tuple[int, str, str]]:
    parser = _Parser(text)
    parser.feed(text)
    parser.close()
    return parser.found


class _Parser(HTMLParser):
    """Collects line, link and SVG of each figure."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[int, str, str]] = []
        lines = text.split("\n")
        self._starts = [0]
        for line in lines:
            self._starts.append(self._starts[-1] + len(line) + 1)
        self._text = text
        self._depth = 0
        self._drawing_start = 0, 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an SVG's beginning, or a link."""
        if tag == "svg":
            if not self._depth:
                self._drawing_start = self.getpos()
            self._depth += 1
        elif not self._depth:
            self._note_link(tag, dict(attrs))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a link; an SVG with nothing in it is no figure."""
        if not self._depth:
            self._note_link(tag, dict(attrs))

    def handle_endtag(self, tag: str) -> None:
        """Note an SVG."""
        if tag != "svg" or not self._depth:
            return
        self._depth -= 1
        if not self._depth:
            line = self._drawing_start[0]
            start, end = self._offset(self._drawing_start), self._offset(self.getpos())
            self.found.append((line, "", self._text[start:end] + "</svg>"))

    def _note_link(self, tag: str, attributes: dict[str, str | None]) -> None:
        kind = attributes.get("type") or ""
        link = attributes.get(_SOURCES.get(tag, "")) or attributes.get("xlink:href") or ""
        if tag in _SOURCES and link and not kind.startswith(_NOT_PICTURES):
            if tag in ("object", "embed") and link.lower().endswith((".html", ".htm", ".mp4")):
                return
            self.found.append((self.getpos()[0], link.strip(), ""))

    def _offset(self, position: tuple[int, int]) -> int:
        line, column = position
        return self._starts[line - 1] + column
