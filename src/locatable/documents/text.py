"""Figures that a text holds or links to: HTML, Markdown, LaTeX, and notebooks, which hold the first two.

Everything here is linear in the length of the text, which somebody else wrote: patterns never go back.
"""

import base64
import binascii
import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

from ..errors import UnreadableError
from . import MOST_BYTES, NOT_FETCHED, Encoded, Figure, Form, read_bounded

_DATA = re.compile(r"data:(?P<type>[^,;]*)(?P<parameters>[^,]*),(?P<data>.*)", re.DOTALL | re.IGNORECASE)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_FILE_URL = re.compile("^file:(//)?", re.IGNORECASE)

# Attributes, by element, that name a picture.
_SOURCES = {"img": "src", "embed": "src", "image": "href", "object": "data", "input": "src"}
# What `object` and `embed` show beside pictures.
_NOT_PICTURES = ("text/html", "application/xhtml", "video/", "audio/", "application/x-")
_NOT_PICTURE_FILES = (".html", ".htm", ".mp4")
# Not `html.parser`: what it needs for a page without an end of its tags grows with the square of its length.
_TOKEN = re.compile(
    r"<!--.*?(?:-->|\Z)"
    r"|<(?P<other>script|style|textarea|title)\b.*?(?:</(?P=other)|\Z)"
    r"|<(?P<end>/?)(?P<tag>svg|img|embed|image|object|input)\b"
    r"(?P<attributes>(?:[^>\"']|\"[^\"]*\"|'[^']*')*+)>?",
    re.DOTALL | re.IGNORECASE,
)
_ATTRIBUTE = re.compile(
    r"(?<![\w:.-])(?P<name>[\w:.-]++)\s*+=\s*+"
    r"(?:\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)'|(?P<bare>[^\s\"'>]++))"
)

_FENCE = re.compile(
    r"^ {0,3}(?P<fence>`{3,}|~{3,}).*?(?:^ {0,3}(?P=fence)[`~]*\s*$|\Z)", re.MULTILINE | re.DOTALL
)
_CODE = re.compile(r"(?P<ticks>`{1,9})[^`\n](?:[^\n]{0,2000}?[^`\n])?(?P=ticks)(?!`)")
# The description of an image, which can have brackets in it.
_TEXT = r"(?:[^][\\]|\\.|\[[^][]{0,300}\])*+"
_INLINE = re.compile(
    rf"!\[{_TEXT}\]\("
    r"\s*(?:<(?P<angled>[^>\n]*)>|(?P<plain>[^\s()]*(?:\([^\s()]*\)[^\s()]*)*))"
)
_BY_NAME = re.compile(rf"!\[(?P<text>{_TEXT})\](?:\[(?P<name>[^]\n]*)\])?(?!\()")
_NAMES = re.compile(r"^ {0,3}\[(?P<name>[^]\n]+)\]:\s*<?(?P<link>[^\s>]+)", re.MULTILINE)

# Formats of a notebook's outputs that are figures; the same figure can be there in several.
_IMAGES = (
    "image/svg+xml",
    "application/pdf",
    "image/png",
    "image/jpeg",
    "image/gif",
    "image/webp",
    "image/bmp",
)

# Endings that pdfTeX and XeTeX try for a name without one, in their order.
_TEX_ENDINGS = ("", ".pdf", ".png", ".jpg", ".jpeg", ".svg", ".PDF", ".PNG", ".JPG", ".JPEG", ".eps")
_TEX_COMMENT = re.compile(r"(?<!\\)((?:\\\\)*)%.*")
_TEX_COMMAND = re.compile(
    r"\\(?P<command>includegraphics|includesvg|includepdf|pgfimage|input|include|subfile|begin\s*\{overpic\})"
    r"\s*\*?\s*(?:\[[^][]*(?:\[[^][]*\][^][]*)*\]\s*)*(?:\{\s*(?P<name>[^{}]*?)\s*\})"
)
_GRAPHICS_PATH = re.compile(r"\\graphicspath\s*\{((?:\s*\{[^{}]*\})+)\s*\}")
_TEX_INPUTS = ("input", "include", "subfile")
# Sources that are read for one document, and lines that one command can go on for.
MOST_FILES = 500
MOST_LINES = 20

# Says where a line is.
Place = Callable[[int], str]


@dataclass(frozen=True)
class Found:
    """A figure in HTML: its line, and a link or the text of an SVG."""

    line: int
    link: str = ""
    drawing: str = ""


def read_text(path: Path) -> str:
    """Return a text, whatever its encoding: letters beside figures do not matter."""
    return read_bounded(path).decode("utf-8-sig", errors="replace")


def linked_figure(place: str, link: str, folder: Path | None) -> Figure:
    """Return the figure that a link leads to: a file in the folder, if given, or data in the link itself."""
    data = _DATA.match(link)
    if data:
        return _figure_in_link(place, data)
    name = link.partition("?")[0].partition("#")[0]
    is_file_url = _FILE_URL.match(link) is not None
    if link.startswith("//") or (_SCHEME.match(link) and not is_file_url):
        return Figure(place, name, problem=NOT_FETCHED)
    if folder is None:
        return Figure(place, name, problem="not in the document")
    return file_figure(place, name, [folder / unquote(_FILE_URL.sub("", name))])


def _figure_in_link(place: str, data: re.Match[str]) -> Figure:
    kind = data["type"]
    try:
        if len(data["data"]) > MOST_BYTES:
            raise ValueError("too large")
        content = unquote_to_bytes(data["data"])
        if ";base64" in data["parameters"].lower():
            content = base64.b64decode(content)
    except (binascii.Error, ValueError):
        return Figure(place, kind, problem="its data: URI is broken")
    return Figure(place, kind, (Encoded(content),))


def file_figure(place: str, name: str, paths: list[Path]) -> Figure:
    """Return the figure in the first of some files that is there; one with a problem where none is."""
    for path in paths:
        try:
            if path.is_file():
                return Figure(place, name, (Encoded(read_bounded(path)),))
        except (UnreadableError, OSError, ValueError) as error:
            return Figure(place, name, problem=str(error).removeprefix(f"{path}: "))
    return Figure(place, name, problem="there is no such file", missing=tuple(paths))


def read_html(path: Path) -> Iterator[Figure]:
    """Yield the figures of an HTML page, in its order."""
    for _, figure in _figures_in_html(read_text(path), _line, path.parent):
        yield figure


def _line(number: int) -> str:
    return f"line {number}"


def _figures_in_html(text: str, place: Place, folder: Path) -> Iterator[tuple[int, Figure]]:
    """Yield the figures of a text in HTML, each with its line."""
    for found in find_in_html(text):
        where = place(found.line)
        if found.drawing:
            yield found.line, Figure(where, "svg", (Encoded(found.drawing.encode()),))
        else:
            yield found.line, linked_figure(where, found.link, folder)


def find_in_html(text: str) -> Iterator[Found]:
    """Yield the figures of a text in HTML: links to pictures, and outermost SVG elements."""
    line_at = _line_finder(text)
    depth = 0
    drawing_start = 0
    for match in _TOKEN.finditer(text):
        tag = (match["tag"] or "").lower()
        is_end = bool(match["end"])
        if tag == "svg" and is_end:
            if depth == 1:
                yield Found(line_at(drawing_start), drawing=text[drawing_start : match.end()])
            depth = max(0, depth - 1)
        elif tag == "svg" and not match["attributes"].endswith("/"):
            if depth == 0:
                drawing_start = match.start()
            depth += 1
        elif tag and depth == 0 and not is_end:
            link = _link_of(tag, match["attributes"])
            if link:
                yield Found(line_at(match.start()), link)


def _line_finder(text: str) -> Callable[[int], int]:
    """Return a function that gives the line of an offset, counted from 1."""
    starts = [match.end() for match in re.finditer("\n", text)]
    return lambda offset: bisect_right(starts, offset) + 1


def _link_of(tag: str, text: str) -> str:
    """Return the link to the picture that an element shows; empty where it shows none."""
    attributes: dict[str, str] = {}
    for match in _ATTRIBUTE.finditer(text):
        value = match["double"] or match["single"] or match["bare"] or ""
        attributes.setdefault(match["name"].lower(), unescape(value).strip())
    link = attributes.get(_SOURCES[tag]) or attributes.get("xlink:href", "")
    if tag in ("object", "embed") and link.lower().endswith(_NOT_PICTURE_FILES):
        return ""
    if attributes.get("type", "").startswith(_NOT_PICTURES):
        return ""
    return link


def read_markdown(path: Path) -> Iterator[Figure]:
    """Yield the figures of a Markdown file, in its order."""
    yield from _figures_in_markdown(read_text(path), _line, path.parent)


def _figures_in_markdown(text: str, place: Place, folder: Path) -> list[Figure]:
    """Return the figures that a text in Markdown links to, or holds as HTML."""
    text = _FENCE.sub(_blank, text)
    text = _CODE.sub(_blank, text)
    line_at = _line_finder(text)
    names = {}
    for match in _NAMES.finditer(text):
        names[match["name"].lower()] = match["link"]
    links = []
    for match in _INLINE.finditer(text):
        links.append((line_at(match.start()), match["angled"] or match["plain"]))
    for match in _BY_NAME.finditer(text):
        name = match["name"] or match["text"]
        links.append((line_at(match.start()), names.get(name.lower())))
    figures = []
    for line, link in links:
        if link:
            figures.append((line, linked_figure(place(line), link, folder)))
    figures += _figures_in_html(text, place, folder)
    figures.sort(key=lambda figure: figure[0])
    return [figure for _, figure in figures]


def _blank(match: re.Match[str]) -> str:
    """Return a replacement for code, which holds no figure; its lines still count."""
    return "\n" * match[0].count("\n")


def read_notebook(path: Path) -> Iterator[Figure]:
    """Yield the figures of a notebook, cell by cell; cells are counted from 1."""
    try:
        notebook = json.loads(read_bounded(path))
        for number, cell in enumerate(notebook["cells"], start=1):
            yield from _figures_of_cell(cell, f"cell {number}", path.parent)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UnreadableError(f"{path}: not a notebook as nbformat 4 has it") from None


def _figures_of_cell(cell: dict[str, Any], place: str, folder: Path) -> Iterator[Figure]:
    """Yield the attachments of a cell, then what its text links to, then its outputs."""

    def in_cell(line: int) -> str:
        return place

    for name, bundle in (cell.get("attachments") or {}).items():
        yield from _figure_of_bundle(bundle, place, name)
    if cell.get("cell_type") == "markdown":
        for figure in _figures_in_markdown(_joined(cell.get("source", "")), in_cell, folder):
            if not figure.name.startswith("attachment:"):
                yield figure
    for output in cell.get("outputs") or ():
        bundle = output.get("data") or {}
        figures = _figure_of_bundle(bundle, place, "")
        if not figures and "text/html" in bundle:
            found = _figures_in_html(_joined(bundle["text/html"]), in_cell, folder)
            figures = [figure for _, figure in found]
        yield from figures


def _figure_of_bundle(bundle: dict[str, Any], place: str, name: str) -> list[Figure]:
    """Return the one figure that a bundle holds in several formats, if any."""
    kinds = [kind for kind in _IMAGES if kind in bundle]
    if not kinds:
        return []
    forms: list[Form] = []
    for kind in kinds:
        text = _joined(bundle[kind])
        if kind == "image/svg+xml":
            forms.append(Encoded(text.encode()))
            continue
        try:
            forms.append(Encoded(base64.b64decode(text)))
        except (binascii.Error, ValueError):
            continue
    problem = "" if forms else "its data are broken"
    return [Figure(place, name or kinds[0], tuple(forms), problem)]


def _joined(value: str | list[str]) -> str:
    """Return a text of a notebook, which can be there as a list of lines."""
    return value if isinstance(value, str) else "".join(value)


def read_latex(path: Path) -> Iterator[Figure]:
    """Yield the figures of a LaTeX source in its order, with those of the sources that it inputs."""
    text = read_text(path)
    folders = [path.parent, *(path.parent / one for one in _graphics_path(text))]
    yield from _figures_in_latex(text, "", folders, {path.resolve()})


def _figures_in_latex(text: str, file: str, folders: list[Path], read_before: set[Path]) -> Iterator[Figure]:
    """Yield the figures of a source; `file` is its name in the document, empty for the document itself."""
    for number, line in enumerate(_logical_lines(text), start=1):
        for match in _TEX_COMMAND.finditer(line):
            name = match["name"].strip('"')
            if match["command"] not in _TEX_INPUTS:
                yield _tex_figure(f"{file} line {number}".lstrip(), name, folders)
                continue
            inputs = [folders[0] / f"{name}.tex", folders[0] / name]
            below = next((path.resolve() for path in inputs if path.is_file()), None)
            if below and below not in read_before and len(read_before) < MOST_FILES:
                read_before.add(below)
                yield from _figures_in_latex(read_text(below), name, folders, read_before)


def _logical_lines(text: str) -> list[str]:
    """Return the lines without comments, each command that spans several joined in the first of them."""
    lines = [_TEX_COMMENT.sub(r"\1", line) for line in text.split("\n")]
    for index, line in enumerate(lines):
        last = index
        while _is_open(line) and last + 1 < len(lines) and last < index + MOST_LINES:
            last += 1
            line += " " + lines[last]
            lines[last] = ""
        lines[index] = line
    return lines


def _is_open(line: str) -> bool:
    """Return true where a command that includes a file does not end in its line."""
    start = max(line.rfind("\\include"), line.rfind("\\graphicspath"))
    if start < 0:
        return False
    opened = line.count("{", start)
    return opened == 0 or opened > line.count("}", start)


def _tex_figure(place: str, name: str, folders: list[Path]) -> Figure:
    if "\\" in name or "#" in name:
        return Figure(place, name, problem="its name is made by a macro")
    return file_figure(place, name, [folder / f"{name}{end}" for folder in folders for end in _TEX_ENDINGS])


def _graphics_path(text: str) -> list[str]:
    """Return the folders that the source names for its figures."""
    # A comment ends with its line: the pattern has no newline in it.
    match = _GRAPHICS_PATH.search(_TEX_COMMENT.sub(r"\1", text))
    if not match:
        return []
    return re.findall(r"\{\s*([^{}]*?)\s*\}", match[1])
