"""Figures of a LaTeX source: the picture files that it includes, and those of the sources that it inputs."""

import re
from collections.abc import Iterator
from pathlib import Path

from . import Figure
from .text import file_figure, read_text

# Endings that pdfTeX and XeTeX try for a name without one, in their order.
_ENDINGS = ("", ".pdf", ".png", ".jpg", ".jpeg", ".svg", ".PDF", ".PNG", ".JPG", ".JPEG", ".eps")
_COMMENT = re.compile(r"(?<!\\)((?:\\\\)*)%.*")
_COMMAND = re.compile(
    r"\\(?P<command>includegraphics|includesvg|includepdf|pgfimage|input|include|subfile|begin\s*\{overpic\})"
    r"\s*\*?\s*(?:\[[^][]*(?:\[[^][]*\][^][]*)*\]\s*)*(?:\{\s*(?P<name>[^{}]*?)\s*\})"
)
_GRAPHICS_PATH = re.compile(r"\\graphicspath\s*\{((?:\s*\{[^{}]*\})+)\s*\}")
_INPUTS = ("input", "include", "subfile")
# Sources that are read for one document, and lines that one command can go on for.
MOST_FILES = 500
MOST_LINES = 20


def read(path: Path) -> Iterator[Figure]:
    """Yield the figures of a LaTeX source in its order, with those of the sources that it inputs.

    Raises:
        UnreadableError: it is too large.
    """
    text = read_text(path)
    folders = [path.parent, *(path.parent / one for one in _graphics_path(text))]
    yield from _figures_of(text, "", folders, {path.resolve()})


def _figures_of(text: str, file: str, folders: list[Path], read_before: set[Path]) -> Iterator[Figure]:
    """Yield the figures of a source; `file` is its name in the document, empty for the document itself."""
    for number, line in enumerate(_logical_lines(text), start=1):
        for match in _COMMAND.finditer(line):
            name = match["name"].strip('"')
            if match["command"] not in _INPUTS:
                yield _figure(f"{file} line {number}".lstrip(), name, folders)
                continue
            below = _existing(folders[:1], name, (".tex", ""))
            if below and below.resolve() not in read_before and len(read_before) < MOST_FILES:
                read_before.add(below.resolve())
                yield from _figures_of(read_text(below), name, folders, read_before)


def _logical_lines(text: str) -> list[str]:
    """Return the lines without comments, each command that spans several joined in the first of them."""
    lines = [_COMMENT.sub(r"\1", line) for line in text.split("\n")]
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


def _figure(place: str, name: str, folders: list[Path]) -> Figure:
    if "\\" in name or "#" in name:
        return Figure(place, name, problem="its name is made by a macro")
    found = _existing(folders, name, _ENDINGS)
    if found:
        return file_figure(place, name, found)
    return file_figure(place, name, *_paths(folders, name, _ENDINGS))


def _existing(folders: list[Path], name: str, endings: tuple[str, ...]) -> Path | None:
    """Return the first file that TeX would find for a name."""
    for path in _paths(folders, name, endings):
        if path.is_file():
            return path
    return None


def _paths(folders: list[Path], name: str, endings: tuple[str, ...]) -> list[Path]:
    return [folder / f"{name}{ending}" for folder in folders for ending in endings]


def _graphics_path(text: str) -> list[str]:
    """Return the folders that the source names for its figures."""
    # A comment ends with its line: the pattern has no newline in it.
    match = _GRAPHICS_PATH.search(_COMMENT.sub(r"\1", text))
    if not match:
        return []
    return re.findall(r"\{\s*([^{}]*?)\s*\}", match[1])
