r"""Read manuscripts that are texts: the files that they include, their pictures, and the paths of these.

One reader serves TeX, Markdown, HTML, notebooks and any other markup; `references` finds the pictures' names.
Texts are untrusted, so everything takes linear time in their length.
"""

import base64
import binascii
import heapq
import json
import os
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

from ..errors import UnreadableError
from . import (
    MOST_BYTES,
    NOT_FETCHED,
    PICTURES,
    Encoded,
    Figure,
    Form,
    forget_content,
    is_allowed,
    read_bounded,
)
from .references import ARGUMENT, OPTION, TEX_ENDINGS, Mention, mentions_in, shows_picture, visible

# The most texts that are read for one document, and the most levels of texts that include each other.
MOST_FILES = 500
MOST_LEVELS = 40
# The most characters to which all macros together expand, and the most levels of macros that use each other.
MOST_EXPANDED = 1_000_000
_MACRO_LEVELS = 4
# The most characters of the name of an included text.
_LONGEST_NAME = 300
# The most folders that a text may name for its pictures.
MOST_FOLDERS = 40


@dataclass(frozen=True)
class Chunk:
    """A part of a document's text between two inclusions of other texts, without comments and macros.

    Attributes:
        name: the name of the included text that contains it; empty for the document itself.
        line: the number of its first line.
        text: its content.
        folders: the folders to which its paths are relative.
        problem: why a text that is included here is not read; empty if there is no such problem.
    """

    name: str
    line: int
    text: str
    folders: tuple[Path, ...]
    problem: str = ""

    def place(self, line: int) -> str:
        """Return the place of a line in words."""
        return f"{self.name} line {line}".lstrip()


# Texts that a text includes

# \input{name}, \input name, \import{folder/}{name}
_INPUT = re.compile(
    r"\\(?P<command>input|include|subfile|subfileinclude|SweaveInput|includestandalone|usepackage|documentclass)"
    r"\s*+(?:\[[^]]{0,500}\]\s*+)?\{(?P<names>[^{}#\\]{1,300})\}"
)
_PLAIN_INPUT = re.compile(r"\\(?P<command>input)\s+(?P<names>[\w./-]{1,300})")
_IMPORT = re.compile(
    r"\\(?:sub)?(?P<command>import|inputfrom|includefrom)\*?"
    r"\s*\{(?P<folder>[^{}#\\]{0,300})\}\s*\{(?P<names>[^{}#\\]{1,300})\}"
)
# Patterns before the name of an included text in other markups.
_PREFIXES = (
    r"\{\{<\s*include\b",  # {{< include a.qmd >}} of Quarto
    r"\{include\}",  # ```{include} a.md of MyST
    r"^[ \t]*\.\.[ ]include::",  # of reStructuredText
    r"^include::",  # of AsciiDoc
    r"^[ \t]*#\+include:",  # of Org
    r"#(?:include|import)\b",  # of Typst
    r"\bchild\s*=(?:\s*c\()?|\bknit_child\(",  # of knitr
)
_INCLUDE = re.compile(
    rf"(?:{'|'.join(_PREFIXES)})[ \t]*[\"']?(?P<names>[^\s\"'\[>]{{1,300}})", re.MULTILINE | re.IGNORECASE
)
_TEX_TEXTS = (".tex", "", ".ltx", ".Rnw", ".sty", ".cls")
# Commands whose text must exist for a paper to be complete, if its name has no macro in it, and is not the
# name of a file that TeX brings along or generates.
_REQUIRED_COMMANDS = ("input", "include", "subfile", "subfileinclude", "import", "inputfrom", "includefrom")
_PLAIN_NAME = re.compile(r"[\w./ -]+")
_TEX_FILES = re.compile(r"glyphtounicode|epsf|xy|xypic|pstricks|.*\.(?:sty|cls|clo|def|cfg|fd|bbl)")
# The beginning of a condition, after which a text may be missing: \IfFileExists{name}{\input{name}}{}
_IF_EXISTS = re.compile(r"\\IfFileExists\s*\{[^{}]*\}\s*\{\s*\Z")


@dataclass(frozen=True)
class Include:
    r"""A command that includes other texts.

    Attributes:
        start: offset of its first character.
        end: offset after its last character.
        names: the names of the texts, which may lack their extension.
        folder: the folder that `\import` names, to which paths in these texts are relative; otherwise empty.
        endings: the extensions that the names may lack.
        is_needed: true if the document is incomplete without these texts.
    """

    start: int
    end: int
    names: list[str]
    folder: str
    endings: tuple[str, ...]
    is_needed: bool


def _includes(text: str) -> Iterator[Include]:
    """Yield the commands of a text that include other texts, in order."""
    patterns = (_INPUT, _PLAIN_INPUT, _IMPORT, _INCLUDE)
    matches = heapq.merge(*(pattern.finditer(text) for pattern in patterns), key=re.Match.start)
    for match in matches:
        groups = match.groupdict()
        names = [name.strip(' "') for name in match["names"].split(",")]
        command = groups.get("command")
        endings = _TEX_TEXTS if command else ("",)
        start = match.start()
        is_optional = _IF_EXISTS.search(text, max(0, start - _LONGEST_NAME), start) is not None
        is_needed = command in _REQUIRED_COMMANDS and not is_optional
        yield Include(*match.span(), names, groups.get("folder") or "", endings, is_needed)


# Macros of TeX

_DEFINITION = re.compile(
    r"\\(?P<command>(?:re)?newcommand|providecommand|DeclareRobustCommand|[gex]?def|(?:re)?newenvironment"
    r"|(?:New|Renew|Provide|Declare)Document(?:Command|Environment))\b\*?"
    r"\s*+\{?\s*+(?P<name>\\?[A-Za-z@]++)\s*+\}?"
)
# The parameters of a macro: [2][3cm], where the first one has a default; #1#2; {O{3cm} m}
_PARAMETER_COUNT = re.compile(r"\s*\[(\d)\](?:\s*\[([^][]{0,300})\])?")
_PARAMETER_MARKS = re.compile(r"\s*((?:#\d){1,9})")
_PARAMETER_TYPE = re.compile(r"O\{([^{}]*)\}|[mos]")
_USE = re.compile(r"\\begin\s*\{\s*(?P<environment>[A-Za-z@]+)\s*\}|(?P<command>\\[A-Za-z@]+)[ \t]*")


@dataclass(frozen=True)
class Macro:
    """A command that a text defines.

    Attributes:
        parameters: the default of each parameter, or None if the parameter is required.
        body: the text to which the command expands.
    """

    parameters: list[str | None]
    body: str


class Macros:
    """The macros that a text defines.

    The length of all expansions together is bounded, because macros can use each other.
    """

    def __init__(self) -> None:
        self._known: dict[str, Macro] = {}
        self._remaining = MOST_EXPANDED

    def define(self, text: str) -> str:
        """Store the macros that a text defines, and return it without them; lines keep their numbers."""
        parts = []
        start = 0
        position = 0
        while match := _DEFINITION.search(text, position):
            parameters, position = _parameters(text, match)
            body = ARGUMENT.match(text, position)
            # A redefinition of a command such as \includegraphics is ignored: it still shows the picture.
            if body is None or shows_picture(match["name"][1:]):
                continue
            self._known[match["name"]] = Macro(parameters, body[1][1:-1])
            position = body.end()
            parts += [text[start : match.start()], "\n" * text.count("\n", match.start(), position)]
            start = position
        return "".join([*parts, text[start:]])

    def expand(self, text: str, levels: int = _MACRO_LEVELS) -> str:
        """Return a text with its macros expanded, each into a single line; lines keep their numbers."""
        if not self._known or not levels:
            return text
        parts = []
        start = 0
        for match in _USE.finditer(text):
            macro = self._known.get(match["environment"] or match["command"])
            if macro is None or match.start() < start or self._remaining < 0:
                continue
            values, end = _values(macro, text, match.end())
            if len(values) == len(macro.parameters):
                body = self.expand(self._fill_in(macro, values), levels - 1)
                parts += [text[start : match.start()], body, "\n" * text.count("\n", match.start(), end)]
                start = end
        return "".join([*parts, text[start:]])

    def _fill_in(self, macro: Macro, values: list[str]) -> str:
        """Return the body of a macro with the values of its parameters; its length counts for the bound."""
        body = macro.body.replace("\n", " ")
        self._remaining -= len(body) + 1
        for number, value in enumerate(values, start=1):
            if self._remaining < 0:
                break
            body = body.replace(f"#{number}", value.replace("\n", " "))
            self._remaining -= len(body)
        return body


def _parameters(text: str, definition: re.Match[str]) -> tuple[list[str | None], int]:
    """Return the parameters of a macro, and the offset of its body."""
    position = definition.end()
    if "Document" in definition["command"]:
        types = ARGUMENT.match(text, position)
        if types is None:
            return [], position
        parameters = []
        for parameter_type in _PARAMETER_TYPE.finditer(types[1]):
            is_required = parameter_type[0] == "m"
            parameters.append(None if is_required else parameter_type[1] or "")
        return parameters, types.end()
    if count := _PARAMETER_COUNT.match(text, position):
        parameters = [None] * int(count[1])
        if count[2] is not None:
            parameters[:1] = [count[2]]
        return parameters, count.end()
    if marks := _PARAMETER_MARKS.match(text, position):
        return [None] * (len(marks[1]) // 2), marks.end()
    return [], position


def _values(macro: Macro, text: str, position: int) -> tuple[list[str], int]:
    """Return the values of a macro's parameters, up to the first missing one, and the offset after them."""
    values = []
    for default in macro.parameters:
        pattern = ARGUMENT if default is None else OPTION
        if match := pattern.match(text, position):
            position = match.end()
            values.append((match[1] or "").removeprefix("{").removesuffix("}"))
        elif default is None:
            break
        else:
            values.append(default)
    return values, position


# Manuscripts

# Commands that name folders of pictures: \graphicspath{{a/}{b/}}, :imagesdir: a, <base href="a/">
_GRAPHICS_PATH = re.compile(r"\\(?:graphics|svg)path\s*\{((?:\s*\{[^{}]{0,300}\})++)")
_FOLDER = re.compile(r"\{\s*([^{}]*?)\s*\}")
_IMAGES_FOLDER = re.compile(r"^:imagesdir:[ \t]*(\S+)", re.MULTILINE)
_BASE = re.compile(r"<base\b[^>]{0,300}?\bhref\s*=\s*[\"']?([^\"'\s>]+)", re.IGNORECASE)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_FILE_URL = re.compile("^file:(//)?", re.IGNORECASE)


class Manuscript:
    """A text with all texts that it includes, in reading order, which resolves the paths in them."""

    def __init__(self, path: Path, roots: Sequence[Path]) -> None:
        self._path = Path(os.path.abspath(path))
        self.folder = self._path.parent
        self._roots = [Path(os.path.realpath(root)) for root in roots]
        self._parents = []
        for folder in self._path.parents:
            if any(folder.is_relative_to(root) for root in roots):
                self._parents.append(folder)
        # Folders that the text names for its pictures, relative to each folder where its paths begin.
        self._picture_folders = [""]
        self._macros = Macros()
        self._included: set[Path] = set()
        self._missing: set[tuple[str, str, tuple[Path, ...]]] = set()
        self._shown: set[str] = set()
        # One object for each file, so that a picture is compared only once, however often it is named.
        self._files: dict[Path, Encoded] = {}

    def chunks(self) -> Iterator[Chunk]:
        """Yield the text in parts, with the included texts at the places of their inclusion."""
        return self._chunks_of(self._path, (), 0)

    def figures(self) -> Iterator[Figure]:
        """Yield the figures in reading order, and one with the problem of each text that is not read."""
        for chunk in self.chunks():
            if chunk.problem:
                yield Figure(chunk.place(chunk.line), problem=chunk.problem)
            yield from self.figures_in(chunk, chunk.place)

    def figures_in(self, chunk: Chunk, place: Callable[[int], str]) -> Iterator[Figure]:
        """Yield the figures of a chunk; `place` returns the place of a line in words."""
        line = chunk.line
        previous_start = 0
        for mention in mentions_in(chunk.text):
            line += chunk.text.count("\n", previous_start, mention.start)
            previous_start = mention.start
            if mention.drawing:
                # Pictures inside the SVG are parts of its figure.
                inside = replace(chunk, line=line, text=mention.drawing.removeprefix("<svg"))
                parts = tuple(self.figures_in(inside, place))
                yield Figure(place(line), "svg", (Encoded(mention.drawing.encode()),), parts=parts)
            elif mention.links:
                yield from self._figure_of_mention(place(line), mention, chunk.folders)

    def _figure_of_mention(self, place: str, mention: Mention, folders: Iterable[Path]) -> Iterator[Figure]:
        """Yield the figure of a mention, if it is certain or names a file that no markup has shown before."""
        figures = [self.linked(place, link, folders, mention.endings) for link in mention.links]
        existing = [figure for figure in figures if figure.forms]
        if not mention.is_certain:
            if existing and existing[0].name not in self._shown:
                yield existing[0]
            return
        self._shown.update(mention.links)
        forms: list[Form] = []
        for figure in existing:
            forms += figure.forms
        first = existing[0] if existing else figures[0]
        yield replace(first, forms=tuple(dict.fromkeys(forms)))

    def linked(
        self, place: str, link: str, folders: Iterable[Path], endings: tuple[str, ...] = ("",)
    ) -> Figure:
        """Return the figure to which a link leads: a file that may be read, or data in the link itself.

        Args:
            place: the place of the link in words.
            link: a path, a URL or a `data:` URI.
            folders: the folders to which a path is relative.
            endings: the extensions that a path may lack.
        """
        if link[:5].lower() == "data:":
            return _figure_in_link(place, link)
        if endings == TEX_ENDINGS and ("\\" in link or "#" in link):
            return Figure(place, link, problem="its name is made by a macro")
        name = link.partition("?")[0].partition("#")[0]
        is_file_url = _FILE_URL.match(link) is not None
        if link.startswith("//") or (_SCHEME.match(link) and not is_file_url):
            return Figure(place, name, problem=NOT_FETCHED)
        paths = self._paths(unquote(_FILE_URL.sub("", name)), folders, self._picture_folders, endings)
        try:
            for path in paths:
                if is_allowed(path, self._roots):
                    file = self._files.setdefault(path, Encoded(partial(read_bounded, path)))
                    return Figure(place, name, (file,))
        except UnreadableError as error:
            return Figure(place, name, problem=error.message)
        problem = "there is no such file" if paths else "not in the document"
        return Figure(place, name, problem=problem, missing=tuple(paths))

    def _paths(
        self, name: str, folders: Iterable[Path], subfolders: Iterable[str], endings: Iterable[str]
    ) -> list[Path]:
        """Return the files to which a path may lead, in the order in which they are tried.

        A path from the root begins at the root of a site, which is a folder above the text or its `static`
        folder, or at the root of the file system.
        """
        bases = []
        for subfolder in subfolders:
            bases += [folder / subfolder for folder in folders]
        if bases and name.startswith("/"):
            bases = [*self._parents, *(folder / "static" for folder in self._parents), Path("/")]
        paths = []
        for base in bases:
            paths += [base / f"{name.lstrip('/')}{ending}" for ending in endings]
        return list(dict.fromkeys(paths))

    def _chunks_of(self, path: Path, folders: tuple[Path, ...], level: int) -> Iterator[Chunk]:
        self._included.add(path)
        name = "" if level == 0 else os.path.relpath(path, self.folder).removesuffix(".tex")
        folders = tuple(dict.fromkeys((*folders, self.folder, path.parent)))
        return self._split(Chunk(name, 1, text_of(path), folders), level)

    def _split(self, chunk: Chunk, level: int) -> Iterator[Chunk]:
        """Yield a chunk in parts, with the included texts between them."""
        start = 0
        line = chunk.line
        for include in _includes(chunk.text):
            part = replace(chunk, line=line, text=chunk.text[start : include.start])
            yield from self._expanded(part, level)
            line += chunk.text.count("\n", start, include.end)
            start = include.end
            for name in include.names:
                try:
                    yield from self._included_chunks(include, name, chunk.folders, level)
                except UnreadableError as error:
                    yield replace(chunk, line=line, text="", problem=error.message)
        yield from self._expanded(replace(chunk, line=line, text=chunk.text[start:]), level)

    def _included_chunks(
        self, include: Include, name: str, folders: tuple[Path, ...], level: int
    ) -> Iterator[Chunk]:
        """Yield the chunks of a text that a command includes, unless it was read before.

        Raises:
            UnreadableError: the text is needed and missing, may not be read, or exceeds a bound.
        """
        key = (include.folder, name, folders)
        if key in self._missing:
            return
        if len(self._missing) == MOST_FILES:
            raise UnreadableError(f"{name}: too many included texts")
        for folder in folders:
            start = folder / include.folder
            for path in self._paths(name, (start,), ("",), include.endings):
                if path.suffix.lower() in (*PICTURES, ".pdf") or not is_allowed(path, self._roots):
                    continue
                path = Path(os.path.normpath(path))
                if path in self._included:
                    return
                if level == MOST_LEVELS or len(self._included) == MOST_FILES:
                    raise UnreadableError(f"{name}: too many included texts")
                # In a text that `\import` includes, paths are relative to the folder which it names.
                inner_folders = (start, *folders) if include.folder else folders
                yield from self._chunks_of(path, inner_folders, level + 1)
                return
        self._missing.add(key)
        if include.is_needed and _PLAIN_NAME.fullmatch(name) and not _TEX_FILES.fullmatch(name):
            shown = name if Path(name).suffix else f"{name}.tex"
            raise UnreadableError(f"{shown} is included, but was not found")

    def _expanded(self, chunk: Chunk, level: int) -> Iterator[Chunk]:
        """Yield a chunk with its macros expanded, in several parts if the expanded macros include texts."""
        text = self._macros.define(chunk.text)
        expanded = self._macros.expand(text)
        self._store_folders(expanded)
        chunk = replace(chunk, text=expanded)
        if expanded != text and level < MOST_LEVELS and any(_includes(expanded)):
            yield from self._split(chunk, level + 1)
        else:
            yield chunk

    def _store_folders(self, text: str) -> None:
        """Store the folders that a text names for its pictures."""
        for match in _GRAPHICS_PATH.finditer(text):
            self._picture_folders += _FOLDER.findall(match[1])
        for match in _IMAGES_FOLDER.finditer(text):
            self._picture_folders.insert(0, match[1])
        for match in _BASE.finditer(text):
            self._picture_folders.insert(0, posixpath.dirname(match[1]))
        del self._picture_folders[MOST_FOLDERS:]


def read(path: Path, roots: Sequence[Path]) -> Iterator[Figure]:
    """Yield the figures of a text and of the texts that it includes.

    Args:
        path: path of the text.
        roots: folders outside of which no file is opened.
    """
    return Manuscript(path, roots).figures()


def text_of(path: Path) -> str:
    """Return the text of a file without its comments and the code that it shows; lines keep their numbers."""
    content = read_bounded(path)
    coding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    # Bytes that cannot be decoded are replaced: they rarely belong to a figure's path.
    text = content.decode(coding, errors="replace").replace("\r\n", "\n")
    forget_content()
    return visible(text, path.suffix)


def _figure_in_link(place: str, link: str) -> Figure:
    """Return the figure in a link such as `data:image/png;base64,iVBORw0KGgo=`."""
    head, _, data = link[len("data:") :].partition(",")
    kind = head.partition(";")[0]
    try:
        if not data or len(data) > MOST_BYTES:
            raise ValueError("nothing, or too large")
        content = unquote_to_bytes(data)
        if ";base64" in head.lower():
            content = base64.b64decode(content)
    except (binascii.Error, ValueError):
        return Figure(place, kind, problem="its data: URI is broken")
    return Figure(place, kind, (Encoded(content),))


# Notebooks

# Formats of outputs that are figures: their names in nbformat 4, then in nbformat 3.
_IMAGES = (
    "image/svg+xml application/pdf image/png image/jpeg image/gif image/webp image/bmp svg pdf png jpeg"
).split()


def read_notebook(path: Path, roots: Sequence[Path]) -> Iterator[Figure]:
    """Yield the figures of a notebook, cell by cell. Cells are numbered from 1."""
    manuscript = Manuscript(path, roots)
    try:
        for number, cell in enumerate(cells_of(path), start=1):
            yield from _figures_of_cell(manuscript, cell, f"cell {number}")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UnreadableError(f"{path}: not a notebook in nbformat 4 or 3") from None


def cells_of(path: Path) -> list[dict[str, Any]]:
    """Return the cells of a notebook in format 4 or 3.

    Other content raises a `ValueError`, `KeyError`, `TypeError` or similar, which the caller has to handle.
    """
    notebook = json.loads(read_bounded(path))
    if "worksheets" not in notebook:
        return list(notebook["cells"])
    cells = []
    for sheet in notebook["worksheets"]:
        cells += sheet["cells"]
    return cells


def _figures_of_cell(manuscript: Manuscript, cell: dict[str, Any], place: str) -> Iterator[Figure]:
    """Yield the figures of a cell: its attachments, then those to which its text refers, then its outputs."""

    def figures_in(text: str, suffix: str) -> Iterator[Figure]:
        chunk = Chunk("", 1, visible(text, suffix), (manuscript.folder,))
        return manuscript.figures_in(chunk, lambda line: place)

    for name, bundle in (cell.get("attachments") or {}).items():
        yield from _figure_of_bundle(bundle, place, name)
    if cell.get("cell_type") == "markdown":
        for figure in figures_in(_joined(cell.get("source", "")), ".md"):
            if not figure.name.startswith("attachment:"):
                yield figure
    for output in cell.get("outputs") or ():
        bundle = output.get("data") or output
        figures = _figure_of_bundle(bundle, place, "")
        yield from figures
        if not figures:
            yield from figures_in(_joined(bundle.get("text/html") or bundle.get("html") or ""), ".html")


def _figure_of_bundle(bundle: dict[str, Any], place: str, name: str) -> list[Figure]:
    """Return the figure that a bundle contains in several formats, or an empty list if it contains none."""
    kinds = [kind for kind in _IMAGES if kind in bundle]
    if not kinds:
        return []
    forms: list[Form] = []
    for kind in kinds:
        text = _joined(bundle[kind])
        if "svg" in kind:
            forms.append(Encoded(text.encode()))
            continue
        try:
            forms.append(Encoded(base64.b64decode(text)))
        except (binascii.Error, ValueError):
            continue
    problem = "" if forms else "its data are broken"
    return [Figure(place, name or kinds[0], tuple(forms), problem)]


def _joined(value: str | list[str]) -> str:
    """Return a text of a notebook, which can be stored as a list of lines."""
    return value if isinstance(value, str) else "".join(value)
