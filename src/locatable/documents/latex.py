"""Figures of a LaTeX source: the files that it and the files it inputs include."""

import re
from collections.abc import Iterator
from pathlib import Path

from .figure import Figure
from .markup import file_figure, read_text

# As pdfTeX and XeTeX try them for a name without one.
_ENDINGS = ("", ".pdf", ".png", ".jpg", ".jpeg", ".svg", ".PDF", ".PNG", ".JPG", ".JPEG", ".eps")
_COMMENT = re.compile(r"(?<!\\)((?:\\\\)*)%.*")
_COMMAND = re.compile(
    r"\\(?P<command>includegraphics|includesvg|includepdf|pgfimage|input|include|subfile|begin\s*\{overpic\})"
    r"\s*\*?\s*(?:\[[^][]*(?:\[[^][]*\][^][]*)*\]\s*)*(?:\{\s*(?P<name>[^{}]*?)\s*\})"
)
_GRAPHICS_PATH = re.compile(r"\\graphicspath\s*\{((?:\s*\{[^{}]*\})+)\s*\}")
_INPUTS = ("input", "include", "subfile")
MOST_FILES = 500


def read(path: Path) -> Iterator[Figure]:
    """Figures of a LaTeX source, in its order, those of the files that it inputs among them.

    Raises:
        UnreadableError: it is too large.
    """
    text = read_text(path)
    folders = [path.parent, *(path.parent / one for one in _graphics_path(text))]
    yield from _figures_of(text, "", folders, {path.resolve()})


def _figures_of(text: str, file: str, folders: list[Path], read_before: set[Path]) -> Iterator[Figure]:
    """Figures of a file; `file` is how the document calls it, empty for the document itself."""
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
    """Lines without comments; a command that goes on in later lines is all in its first."""
    lines = [_COMMENT.sub(r"\1", line) for line in text.split("\n")]
    for index, line in enumerate(lines):
        last = index
        while _is_open(line) and last + 1 < len(lines) and last < index + 20:
            last += 1
            line += " " + lines[last]
            lines[last] = ""
        lines[index] = line
    return lines


def _is_open(line: str) -> bool:
    """Whether an include in a line has no end in it."""
    start = line.rfind("\\include")
    start = max(start, line.rfind("\\graphicspath"))
    if start < 0:
        return False
    rest = line[start:]
    return rest.count("{") == 0 or rest.count("{") > rest.count("}")


def _figure(place: str, name: str, folders: list[Path]) -> Figure:
    if "\\" in name or "#" in name:
        return Figure(place, name, problem="its name is made by a macro")
    found = _existing(folders, name, _ENDINGS)
    return file_figure(place, name, *([found] if found else _paths(folders, name, _ENDINGS)))


def _existing(folders: list[Path], name: str, endings: tuple[str, ...]) -> Path | None:
    return next((path for path in _paths(folders, name, endings) if path.is_file()), None)


def _paths(folders: list[Path], name: str, endings: tuple[str, ...]) -> list[Path]:
    return [folder / f"{name}{ending}" for folder in folders for ending in endings]


def _graphics_path(text: str) -> list[str]:
    plain = "\n".join(_COMMENT.sub(r"\1", line) for line in text.split("\n"))
    match = _GRAPHICS_PATH.search(plain)
    return re.findall(r"\{\s*([^{}]*?)\s*\}", match[1]) if match else []
