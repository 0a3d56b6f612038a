r"""Figures that texts name, and the texts that these include: TeX, Markdown, HTML, notebooks and any other.

One reader serves all of them. A figure is a reference to a picture. Where the markup shows one for certain, a
picture that is not here is a figure, too; any other words count where they are the path of a picture.
Everything is linear in the length of the text, which somebody else wrote: patterns never go back.
"""

import base64
import binascii
import json
import os
import posixpath
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from html import unescape
from pathlib import Path
from typing import Any, cast
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

# Texts that are read for one document, and how deep these may include each other.
MOST_FILES = 500
MOST_LEVELS = 40
# Characters that macros expand to, and macros in macros.
MOST_EXPANDED = 1_000_000
_MACRO_LEVELS = 4
# Folders that a text names for its pictures, and formats of one of these.
MOST_FOLDERS = 40
MOST_FORMATS = 40
# Characters of a path.
_LONGEST = 300

_FLAGS = re.DOTALL | re.MULTILINE | re.IGNORECASE | re.VERBOSE
# A group in braces, with others in it.
_GROUP = r"\{(?:[^{}\\]++|\\.)*+\}"
for _ in range(5):
    _GROUP = rf"\{{(?:[^{{}}\\]++|\\.|{_GROUP})*+\}}"
_ARGUMENT = re.compile(rf"\s*({_GROUP})", re.DOTALL)
_OPTION = re.compile(
    rf"\s*(?:\*|<[^<>\n]{{0,99}}>|\[((?:[^][{{}}\\]++|\\.|{_GROUP}|\[[^][]*+\])*+)\])", re.DOTALL
)

# What is in a text and not of it: comments, and code that is shown.
_TEX = r"""%[^\n]* | (?P<kept>\\[\\%])
    | \\begin\s*\{(?P<name>verbatim\*?|lstlisting|minted|comment|filecontents\*?)\}
        .*?(?:\\end\s*\{(?P=name)\}|\Z)
    | \\verb\*?(?P<tick>[^\w\s*])[^\n]{0,300}?(?P=tick)
    | \\iffalse\b.*?(?:\\fi\b|\Z) | \\end\s*\{document\}.*"""
_HTML = r"<!--.*?(?:-->|\Z) | <(?P<tag>script|textarea|title|code|pre)\b.*?(?:</(?P=tag)|\Z)"
_MARKDOWN = rf"""^[ \t]*(?P<fence>`{{3,}}|~{{3,}})(?P<info>[^\n]*).*?(?:^[ \t]*(?P=fence)[`~]*[ \t]*$|\Z)
    | (?P<ticks>`{{1,9}})[^`\n](?:[^\n]{{0,2000}}?[^`\n])?(?P=ticks)(?!`) | \{{/\*.*?(?:\*/|\Z) | {_HTML}"""
_ORG = r"""^[ \t]*\#\+begin_(?P<block>src|example|comment)\b.*?(?:^[ \t]*\#\+end_(?P=block)|\Z)
    | ^[ \t]*\#[ ][^\n]*"""
_HIDDEN = {
    "tex": _TEX,
    "html": _HTML,
    "markdown": _MARKDOWN,
    ".org": _ORG,
    ".typ": rf"{_MARKDOWN} | (?<!:)//[^\n]* | /\*.*?(?:\*/|\Z)",
    ".adoc": rf"{_MARKDOWN} | ^//[^\n]* | ^(?P<line>-{{4,}}|\.{{4,}})[ ]*$.*?(?:^(?P=line)[ ]*$|\Z)",
    ".rst": rf"{_MARKDOWN}"
    # Code, or a comment, which is what begins as no directive does; with the lines indented below.
    r" | ^(?P<indent>[ ]*)\.\.(?:[ ]"
    r"(?:(?:code|code-block|sourcecode|parsed-literal)::|(?![\w-]+::|[|_\[]))[^\n]*"
    r"(?:\n[ \t]*$|\n(?P=indent)[ \t]+[^\n]*)*+ | (?:\n(?P=indent)[ \t]+[^\n]*)++)",
}
_KINDS = {
    **dict.fromkeys((".tex", ".ltx", ".latex", ".rnw", ".sty", ".cls"), "tex"),
    **dict.fromkeys((".md", ".markdown", ".qmd", ".rmd", ".mdx"), "markdown"),
    **dict.fromkeys((".html", ".htm", ".xhtml"), "html"),
    ".asciidoc": ".adoc",
}
# Blocks that are not shown as code: directives, and code that is run; of the latter, lines that show nothing.
_DIRECTIVE = re.compile(r"\s*\{(?!code)(?:=|(?P<runs>(?:r|python|julia)\b)|[a-z])", re.IGNORECASE)
_SHOWS_NOTHING = re.compile(r"^\s*#(?!\|).*|^.*(?:save|\b(?:png|pdf|svg|jpeg|tiff)\().*", re.MULTILINE)

_INCLUDE = re.compile(
    r"""\\(?:input|include|subfile|subfileinclude|SweaveInput|includestandalone|usepackage|documentclass)\s*
        (?:\[[^]]{0,500}\]\s*)?\{(?P<names>[^{}\#\\]{1,300})\}
    | \\input\s+(?P<plain>[\w./-]{1,300})
    | \\(?:sub)?(?:import|inputfrom|includefrom)\*?\s*\{(?P<folder>[^{}\#\\]{0,300})\}\s*
        \{(?P<name>[^{}\#\\]{1,300})\}
    | (?:\{\{<\s*include\b|\{include\}|^[ \t]*\.\.[ ]include::|^include::|^[ \t]*\#\+include:
        |\#(?:include|import)\b|\bchild\s*=(?:\s*c\()?|\bknit_child\()[ \t]*
        ["']?(?P<path>[^\s"'\[>]{1,300})""",
    _FLAGS,
)
_TEX_TEXTS = (".tex", "", ".ltx", ".Rnw", ".sty", ".cls")
_FOLDERS = re.compile(
    r"""\\(?:graphics|svg)path\s*\{(?P<paths>(?:\s*\{[^{}]{0,300}\})++) | ^:imagesdir:[ \t]*(?P<images>\S+)
    | <base\b[^>]{0,300}?\bhref\s*=\s*["']?(?P<base>[^"'\s>]+)""",
    _FLAGS,
)
_DEFINITION = re.compile(
    r"""\\(?:(?:re)?newcommand|providecommand|(?:re)?newenvironment|DeclareRobustCommand|[gex]?def
        |(?P<spec>(?:New|Renew|Provide|Declare)Document(?:Command|Environment)))\b\*?\s*
        \{?\s*(?P<name>\\?[A-Za-z@]+)\s*\}?
        (?:\s*\[(?P<number>\d)\](?:\s*\[(?P<default>[^][]{0,300})\])?|\s*(?P<hashes>(?:\#\d)++))?""",
    re.VERBOSE,
)
_PARAMETER = re.compile(r"O\{[^{}]*\}|[mos]")
_COMMAND = re.compile(r"(?:\\begin\s*\{\s*(?P<environment>[A-Za-z@]+)\s*\}|(?P<command>\\[A-Za-z@]+)[ \t]*)")

# Commands that show a picture, and which of their arguments name it, where not the first.
_SHOWS = re.compile(
    r"\w*graphics|includesvg|includepdf|pgfimage|pgfdeclareimage|plotone|plottwo|adjustimage|epsfbox|begin.*overpic"
)
_NAMED_BY = {"plottwo": (0, 1), "adjustimage": (1,), "pgfdeclareimage": (1,)}
# Commands of a class or package that is not here, and may show one.
_MAY_SHOW = re.compile(r"(?!.*(?:ref|label|cite|caption)).*(?:fig|plot|image|img|pic|photo)", re.IGNORECASE)
# A name as an argument of those, and what is around one.
_PLAIN_NAME = re.compile(r"[^{}\\#\n]{1,300}")
_AROUND_NAMES = re.compile(r"\\(?:detokenize|subfix|string)\b|[{}\"]")
# Endings that pdfTeX and XeTeX try for a name without one, in their order.
_TEX_ENDINGS = ("", ".pdf", ".png", ".jpg", ".jpeg", ".svg", ".PDF", ".PNG", ".JPG", ".JPEG", ".eps")

_ENDINGS = "|".join(ending[1:] for ending in (*PICTURES, ".pdf"))
# The description of an image, which can have brackets in it.
_TEXT = r"(?:[^][\\]|\\.|\[[^][]{0,300}\])*+"
# Not `html.parser`: what it needs for a page without an end of its tags grows with the square of its length.
_TOKEN = re.compile(
    rf"""(?P<command>\\(?:begin\s*\{{\s*overpic\*?\s*\}}|[A-Za-z@]+))
    | <(?P<end>/?)(?P<tag>picture|svg|img|embed|iframe|image|object|input|source|a)\b
        (?P<attributes>(?:[^>"']|"[^"]*"|'[^']*')*+)>?
    | !\[\[(?P<wiki>[^]|\n\#]{{1,300}})
    | !\[{_TEXT}\]\(\s*(?:<(?P<angled>[^>\n]*)>|(?P<plain>[^\s()]*(?:\([^\s()]*\)[^\s()]*)*))
    | !\[(?P<text>{_TEXT})\](?:\[(?P<name>[^]\n]*)\])?(?!\()
    | ^[ ]{{0,3}}\[(?!\^)[^]\n]{{1,300}}\]:\s*(?P<definition>\S+)
    | (?:\b(?:image|figure)::|(?:```|:::)\{{(?:image|figure)\}}|\bimage:(?=[^\s\[]{{1,300}}\[))[ \t]*
        (?P<directive>[^\n\[]{{1,300}})
    | (?P<data>data:image/)
    | \.(?:{_ENDINGS})(?!\w|[.-]\w)""",
    _FLAGS,
)
_SVG = re.compile(r"<(/?)svg\b[^>]*>?", re.IGNORECASE)
_ATTRIBUTE = re.compile(
    r"(?<![\w:.-])(?P<name>[\w:.-]++)\s*+=\s*+"
    r"(?:\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)'|(?P<bare>[^\s\"'>]++))"
)
_SOURCES = ("src", "data-src", "data-original", "href", "xlink:href", "data")
_SOURCE_SETS = ("srcset", "data-srcset")
_BETWEEN_SOURCES = re.compile(r"(?:\s+[\d.]+[wx])?\s*(?:,\s+|\Z)")
# What `object` and `embed` show beside pictures.
_NOT_PICTURES = ("text/html", "application/xhtml", "video/", "audio/", "application/x-")
_NOT_PICTURE_FILES = (".html", ".htm", ".mp4")
# Where Obsidian, which finds a picture by its name alone, keeps it.
_VAULT = (
    "",
    *(f"{above}{name}/" for above in ("", "/") for name in ("attachments", "assets", "images", "files")),
)
_NAMES = re.compile(r"^ {0,3}\[(?P<name>[^]\n]+)\]:\s*<?(?P<link>[^\s>]+)", re.MULTILINE)

# What words end at; a path can have spaces in it, so that these are tried, too.
_BESIDE_PATHS = re.compile(r"[\"'`<>(){}\[\]|,;=*\n\t]")
# What is right before the words that show a picture, as in `image("a.png")` or `figure src="a.png"`.
_SHOWN = re.compile(r"(?:image|figure|graphics)s?(?:\(|\s+\w+=|=)\s*(?:\w+\s*=\s*)?[\"']?$", re.IGNORECASE)

_DATA = re.compile(r"data:(?P<type>[^,;]*)(?P<parameters>[^,]*),(?P<data>.*)", re.DOTALL | re.IGNORECASE)
_DATA_ENDS = {'"': '"', "'": "'", "(": ")"}
_BARE = re.compile(r"[^\s\"'<>()]*")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_FILE_URL = re.compile("^file:(//)?", re.IGNORECASE)

# Formats of a notebook's outputs that are figures, by their names in format 4 and in format 3.
_IMAGES = (
    *("image/svg+xml", "application/pdf", "image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp"),
    *("svg", "pdf", "png", "jpeg"),
)


@dataclass(frozen=True)
class Found:
    """A reference to a picture in a text.

    Attributes:
        line: of the text, counted from 1.
        links: to the same picture in several formats; of words, readings of which one at most is a path.
        drawing: the text of an SVG.
        is_certain: true where the markup shows a picture, whether or not it is here.
        endings: what its name may lack.
    """

    line: int
    links: tuple[str, ...] = ()
    drawing: str = ""
    is_certain: bool = True
    endings: tuple[str, ...] = ("",)


@dataclass(frozen=True)
class Chunk:
    """A part of a document's text between two texts that it includes, without comments and macros.

    Attributes:
        name: of the included text that it is of; empty for the document itself.
        line: number of its first line.
        text: its content.
        folders: where its paths begin.
        problem: why a text that is included here is not read; empty where there is none.
    """

    name: str
    line: int
    text: str
    folders: tuple[Path, ...]
    problem: str = ""

    def place(self, line: int) -> str:
        """Return where a line is, in words."""
        return f"{self.name} line {line}".lstrip()


@dataclass(frozen=True)
class Macro:
    """A command that a text defines; a parameter is `m`, a star, or `o` and what it is by default."""

    parameters: list[str]
    body: str


class Manuscript:
    """A text with all that it includes, in reading order, and where its paths lead."""

    def __init__(self, path: Path, roots: Sequence[Path]) -> None:
        self._path = Path(os.path.abspath(path))
        self.folder = self._path.parent
        self._roots = [Path(os.path.realpath(root)) for root in roots]
        self._above = []
        for folder in self._path.parents:
            if any(folder.is_relative_to(root) for root in roots):
                self._above.append(folder)
        # Folders, below any of those where paths begin, that the text names for its pictures.
        self._named = [""]
        self._macros: dict[str, Macro] = {}
        self._expanded = 0
        self._read: set[Path] = set()
        self._shown: set[str] = set()
        # The same picture is one, however often it is named.
        self._files: dict[Path, Encoded] = {}

    def chunks(self) -> Iterator[Chunk]:
        """Yield the text, and at their places those that it includes."""
        return self._chunks_of(self._path, (), 0)

    def figures(self) -> Iterator[Figure]:
        """Yield the figures in reading order."""
        for chunk in self.chunks():
            if chunk.problem:
                yield Figure(chunk.place(chunk.line), problem=chunk.problem)
            yield from self.figures_in(chunk, chunk.place)

    def figures_in(self, chunk: Chunk, place: Callable[[int], str]) -> Iterator[Figure]:
        """Yield the figures of a chunk; `place` says where a line is."""
        for found in scan(chunk.text):
            where = place(chunk.line + found.line - 1)
            if found.drawing:
                inside = replace(chunk, line=chunk.line + found.line - 1, text=found.drawing[len("<svg") :])
                parts = tuple(self.figures_in(inside, place))
                yield Figure(where, "svg", (Encoded(found.drawing.encode()),), parts=parts)
                continue
            figures = [self.linked(where, link, chunk.folders, found.endings) for link in found.links]
            here = [figure for figure in figures if figure.forms]
            if found.is_certain:
                self._shown.update(found.links)
                yield _joined_figure(here or figures[:1])
            elif here and here[0].name not in self._shown:
                yield here[0]

    def linked(
        self, place: str, link: str, folders: Iterable[Path], endings: tuple[str, ...] = ("",)
    ) -> Figure:
        """Return the figure that a link leads to: a file that may be read, or data in the link itself."""
        data = _DATA.match(link)
        if data:
            return _figure_in_link(place, data)
        if endings == _TEX_ENDINGS and ("\\" in link or "#" in link):
            return Figure(place, link, problem="its name is made by a macro")
        name = link.partition("?")[0].partition("#")[0]
        is_file_url = _FILE_URL.match(link) is not None
        if link.startswith("//") or (_SCHEME.match(link) and not is_file_url):
            return Figure(place, name, problem=NOT_FETCHED)
        paths = self._paths(unquote(_FILE_URL.sub("", name)), folders, self._named, endings)
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
        self, name: str, folders: Iterable[Path], below: Iterable[str], endings: Iterable[str]
    ) -> list[Path]:
        """Return where a path may lead; one from the root leads to a site's, which is above the text."""
        bases = [folder / one for one in below for folder in folders]
        if bases and name.startswith("/"):
            bases = [*self._above, *(folder / "static" for folder in self._above), Path("/")]
        paths = [base / f"{name.lstrip('/')}{ending}" for base in bases for ending in endings]
        return list(dict.fromkeys(paths))

    def _chunks_of(self, path: Path, folders: tuple[Path, ...], level: int) -> Iterator[Chunk]:
        self._read.add(path)
        name = "" if level == 0 else os.path.relpath(path, self.folder).removesuffix(".tex")
        chunk = Chunk(name, 1, text_of(path), tuple(dict.fromkeys((*folders, self.folder, path.parent))))
        return self._split(chunk, level)

    def _split(self, chunk: Chunk, level: int) -> Iterator[Chunk]:
        """Yield a chunk in parts, with the texts that it includes between them."""
        start = 0
        line = chunk.line
        for match in _INCLUDE.finditer(chunk.text):
            part = replace(chunk, line=line, text=chunk.text[start : match.start()])
            yield from self._expand_in(part, level)
            line += chunk.text.count("\n", start, match.end())
            start = match.end()
            part = replace(chunk, line=line, text="")
            try:
                yield from self._included(match, part, level)
            except UnreadableError as error:
                yield replace(part, problem=error.message)
        yield from self._expand_in(replace(chunk, line=line, text=chunk.text[start:]), level)

    def _included(self, match: re.Match[str], chunk: Chunk, level: int) -> Iterator[Chunk]:
        """Yield the chunks of the texts that a command includes, of those that are here."""
        endings = ("",) if match["path"] else _TEX_TEXTS
        names = match["names"] or match["plain"] or match["name"] or match["path"]
        for name in names.split(","):
            start, path = self._text_at(name.strip(' "'), chunk.folders, match["folder"] or "", endings)
            if path is None or path in self._read:
                continue
            if level == MOST_LEVELS or len(self._read) == MOST_FILES:
                raise UnreadableError(f"{name}: so many texts in texts are not read")
            # Paths in a text that `\import` includes begin at the folder that it names.
            folders = (start, *chunk.folders) if match["folder"] else chunk.folders
            yield from self._chunks_of(path, folders, level + 1)

    def _text_at(
        self, name: str, folders: tuple[Path, ...], below: str, endings: tuple[str, ...]
    ) -> tuple[Path, Path | None]:
        """Return the text that a name leads to, if it is here, and the folder where its path begins."""
        for folder in folders:
            for path in self._paths(name, (folder / below,), ("",), endings):
                if path.suffix.lower() not in (*PICTURES, ".pdf") and is_allowed(path, self._roots):
                    return folder / below, Path(os.path.normpath(path))
        return self.folder, None

    def _expand_in(self, chunk: Chunk, level: int) -> Iterator[Chunk]:
        """Yield a chunk with its macros expanded: also in more than one, where these include texts."""
        text = self._without_definitions(chunk.text)
        expanded = self._expand(text, _MACRO_LEVELS)
        for match in _FOLDERS.finditer(expanded):
            if match["base"]:
                self._named.insert(0, posixpath.dirname(match["base"]))
            elif match["images"]:
                self._named.insert(0, match["images"])
            else:
                self._named += re.findall(r"\{\s*([^{}]*?)\s*\}", match["paths"])
            del self._named[MOST_FOLDERS:]
        chunk = replace(chunk, text=expanded)
        if expanded != text and level < MOST_LEVELS and _INCLUDE.search(expanded):
            yield from self._split(chunk, level + 1)
        else:
            yield chunk

    def _without_definitions(self, text: str) -> str:
        """Note the macros that a text defines, and return it without them; its lines still count."""
        parts = []
        start = 0
        position = 0
        while match := _DEFINITION.search(text, position):
            position = match.end()
            parameters = ["m"] * (int(match["number"] or 0) or len(match["hashes"] or "") // 2)
            if match["default"] is not None:
                parameters[:1] = ["o" + match["default"]]
            if match["spec"]:
                spec = _ARGUMENT.match(text, position)
                kinds = _PARAMETER.findall(spec[1]) if spec else []
                parameters = [kind.replace("O{", "o").rstrip("}") for kind in kinds]
                position = spec.end() if spec else position
            body = _ARGUMENT.match(text, position)
            # Who wraps a command that shows pictures does not change what it shows.
            if body is None or _SHOWS.fullmatch(match["name"][1:]):
                continue
            self._macros[match["name"]] = Macro(parameters, body[1][1:-1])
            position = body.end()
            parts += [text[start : match.start()], "\n" * text.count("\n", match.start(), position)]
            start = position
        return "".join([*parts, text[start:]])

    def _expand(self, text: str, levels: int) -> str:
        """Return a text with its own macros expanded, each on one line; its lines still count."""
        parts = []
        start = 0
        for match in _COMMAND.finditer(text) if self._macros and levels else ():
            macro = self._macros.get(match["environment"] or match["command"])
            if macro is None or match.start() < start or self._expanded > MOST_EXPANDED:
                continue
            arguments, end = _values(macro, text, match.end())
            if arguments is None:
                continue
            body = macro.body.replace("\n", " ")
            for number, value in enumerate(arguments, start=1):
                body = body.replace(f"#{number}", value.replace("\n", " "))
                self._expanded += len(body)
                if self._expanded > MOST_EXPANDED:
                    break
            body = self._expand(body, levels - 1)
            self._expanded += len(body) + 1
            parts += [text[start : match.start()], body, "\n" * text.count("\n", match.start(), end)]
            start = end
        return "".join([*parts, text[start:]])


def read(path: Path, roots: Sequence[Path]) -> Iterator[Figure]:
    """Yield the figures of a text and of those that it includes.

    Args:
        path: of the text.
        roots: folders outside of which nothing is opened.
    """
    return Manuscript(path, roots).figures()


def text_of(path: Path) -> str:
    """Return a text without its comments and the code that it shows; its lines still count."""
    content = read_bounded(path)
    coding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    # Letters beside figures do not matter.
    text = content.decode(coding, errors="replace").replace("\r\n", "\n")
    forget_content()
    kind = _KINDS.get(path.suffix.lower(), path.suffix.lower())
    if kind not in _HIDDEN:
        is_tex = "\\documentclass" in text or "\\begin{" in text
        is_html = text[:200].lstrip().startswith("<")
        kind = "tex" if is_tex else "html" if is_html else "markdown"
    return _visible(text, kind)


def _visible(text: str, kind: str) -> str:
    return re.compile(_HIDDEN[kind], _FLAGS).sub(_blank, text)


def _blank(match: re.Match[str]) -> str:
    """Return a replacement for what is hidden; its lines still count."""
    groups = match.groupdict()
    directive = _DIRECTIVE.match(groups["info"]) if groups.get("fence") else None
    if groups.get("kept") or (directive and not directive["runs"]):
        return match[0]
    if directive:
        return _SHOWS_NOTHING.sub("", match[0])
    return "\n" * match[0].count("\n")


def _values(macro: Macro, text: str, position: int) -> tuple[list[str] | None, int]:
    """Return the values of a macro's parameters where it is used, and their end; None if one is missing."""
    values = []
    for parameter in macro.parameters:
        match = (_ARGUMENT if parameter == "m" else _OPTION).match(text, position)
        if match:
            position = match.end()
            values.append((match[1] or "").removeprefix("{").removesuffix("}"))
        elif parameter == "m":
            return None, position
        else:
            values.append(parameter[1:])
    return values, position


def scan(text: str) -> Iterator[Found]:
    """Yield the references to pictures in a text, and its outermost SVG elements."""
    starts = [match.end() for match in re.finditer("\n", text)]
    names = {match["name"].lower(): match["link"] for match in _NAMES.finditer(text)}
    drawings = _drawings(text)
    picture: Found | None = None
    position = 0
    while match := _TOKEN.search(text, position):
        before = position
        start, position = match.span()
        line = bisect_right(starts, start) + 1
        tag = (match["tag"] or "").lower()
        if start in drawings:
            position = drawings[start]
            yield Found(line, drawing=text[start:position])
        elif tag == "picture":
            if picture and picture.links:
                yield picture
            picture = None if match["end"] else Found(line)
        elif tag:
            links = _links_of(tag, match)
            if picture:
                picture = replace(picture, links=(*picture.links, *links)[:MOST_FORMATS])
            elif links and tag != "source":
                yield Found(line, links)
            elif tag != "a" and len(match["attributes"]) < _LONGEST:
                position = match.start("attributes")
        else:
            found, position = _reference(text, match, before, line, names)
            yield from found
    if picture and picture.links:
        yield picture


def _drawings(text: str) -> dict[int, int]:
    """Return where the outermost SVG elements of a text begin and end."""
    found = {}
    depth = 0
    start = 0
    for match in _SVG.finditer(text):
        if match[1]:
            if depth == 1:
                found[start] = match.end()
            depth = max(0, depth - 1)
        elif not match[0].endswith("/>"):
            start = start if depth else match.start()
            depth += 1
    return found


def _reference(
    text: str, match: re.Match[str], before: int, line: int, names: Mapping[str, str]
) -> tuple[list[Found], int]:
    """Return what a token of Markdown or TeX, or a word, refers to, and where the text goes on."""
    kind = match.lastgroup
    start, end = match.span()
    if kind is None:
        return _words(text, max(before, start - _LONGEST), end, line), end
    link = match[kind].strip()
    if kind == "command":
        return _shown_by_command(link[1:], text, end, line)
    if kind == "data":
        end = _data_end(text, start)
        link = text[start:end]
    elif kind in ("text", "name"):
        link = names.get((match["name"] or match["text"]).lower(), "")
    elif kind == "directive":
        link = link.strip("\"'")
    if not link or kind == "definition":
        return [], end
    if kind == "wiki":
        return [Found(line, tuple(f"{folder}{link}" for folder in _VAULT))], end
    endings = _TEX_ENDINGS if link.endswith(".*") else ("",)
    return [Found(line, (link.removesuffix(".*"),), endings=endings)], end


def _words(text: str, start: int, end: int, line: int) -> list[Found]:
    """Return a reference by the words before a picture's ending, if they may be a path."""
    path = _BESIDE_PATHS.split(text[start:end])[-1]
    begin = end - len(path)
    if _SHOWN.search(text[max(0, begin - 60) : begin]):
        return [Found(line, (path.strip(),))]
    # A text links to a PDF, and does not show it.
    if path.lower().endswith(".pdf"):
        return []
    return [Found(line, (path.strip(), path.split()[-1]), is_certain=False)]


def _shown_by_command(command: str, text: str, position: int, line: int) -> tuple[list[Found], int]:
    """Return what a command of TeX shows, or may show, and where the text goes on."""
    is_certain = _SHOWS.fullmatch(command.replace(" ", "").rstrip("}*")) is not None
    if not is_certain and not _MAY_SHOW.match(command):
        return [], position
    end = position
    arguments: list[str] = []
    while len(arguments) < 3:
        match = _OPTION.match(text, end) or _ARGUMENT.match(text, end)
        if match is None:
            break
        end = match.end()
        if match.re is _ARGUMENT:
            arguments.append(match[1][1:-1].strip())
    if not is_certain:
        # Words with a picture's ending are found as such.
        names = [name for name in arguments if _PLAIN_NAME.fullmatch(name) and "." not in name]
        return [Found(line, (name,), is_certain=False, endings=_TEX_ENDINGS) for name in names], position
    found = []
    for index in _NAMED_BY.get(command, (0,)):
        for argument in arguments[index : index + 1]:
            name = _AROUND_NAMES.sub("", argument).strip()
            found.append(Found(line, (name,), endings=_TEX_ENDINGS))
    return found, end


def _links_of(tag: str, match: re.Match[str]) -> tuple[str, ...]:
    """Return the links to the picture that an element shows, in its formats and sizes."""
    attributes: dict[str, str] = {}
    # A link is to a picture, and does not show it.
    for attribute in _ATTRIBUTE.finditer("" if match["end"] or tag == "a" else match["attributes"]):
        value = attribute["double"] or attribute["single"] or attribute["bare"] or ""
        attributes.setdefault(attribute["name"].lower(), unescape(value).strip())
    links = [attributes.get(name, "") for name in _SOURCES]
    for name in _SOURCE_SETS:
        links += _BETWEEN_SOURCES.split(attributes.get(name, ""))
    if attributes.get("type", "").startswith(_NOT_PICTURES):
        links = []
    if tag in ("object", "embed"):
        links = [link for link in links if not link.lower().endswith(_NOT_PICTURE_FILES)]
    if tag == "iframe":
        links = [link for link in links if link.lower().endswith((*PICTURES, ".pdf"))]
    # Braces are around what a program fills in.
    return tuple(dict.fromkeys(link for link in links if link and not link.startswith("{")))


def _data_end(text: str, start: int) -> int:
    """Return where a `data:` URI ends: with the quotes or parentheses around it, or with its word."""
    closing = _DATA_ENDS.get(text[start - 1 : start])
    end = text.find(closing, start) if closing else cast("re.Match[str]", _BARE.match(text, start)).end()
    return end if end >= 0 else len(text)


def _figure_in_link(place: str, data: re.Match[str]) -> Figure:
    try:
        if len(data["data"]) > MOST_BYTES:
            raise ValueError("too large")
        content = unquote_to_bytes(data["data"])
        if ";base64" in data["parameters"].lower():
            content = base64.b64decode(content)
    except (binascii.Error, ValueError):
        return Figure(place, data["type"], problem="its data: URI is broken")
    return Figure(place, data["type"], (Encoded(content),))


def _joined_figure(figures: list[Figure]) -> Figure:
    """Return one figure that is there in several formats."""
    forms: list[Form] = []
    for figure in figures:
        forms += figure.forms
    return replace(figures[0], forms=tuple(dict.fromkeys(forms)))


def read_notebook(path: Path, roots: Sequence[Path]) -> Iterator[Figure]:
    """Yield the figures of a notebook, cell by cell; cells are counted from 1."""
    manuscript = Manuscript(path, roots)
    try:
        for number, cell in enumerate(cells_of(path), start=1):
            yield from _figures_of_cell(manuscript, cell, f"cell {number}")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UnreadableError(f"{path}: not a notebook as nbformat 4 or 3 has it") from None


def cells_of(path: Path) -> list[dict[str, Any]]:
    """Return the cells of a notebook of format 4 or 3; of other content, whatever that makes is raised."""
    notebook = json.loads(read_bounded(path))
    if "worksheets" not in notebook:
        return list(notebook["cells"])
    cells = []
    for sheet in notebook["worksheets"]:
        cells += sheet["cells"]
    return cells


def _figures_of_cell(manuscript: Manuscript, cell: dict[str, Any], place: str) -> Iterator[Figure]:
    """Yield the attachments of a cell, then what its text links to, then its outputs."""

    def figures_in(text: str, kind: str) -> Iterator[Figure]:
        chunk = Chunk("", 1, _visible(text, kind), (manuscript.folder,))
        return manuscript.figures_in(chunk, lambda line: place)

    for name, bundle in (cell.get("attachments") or {}).items():
        yield from _figure_of_bundle(bundle, place, name)
    if cell.get("cell_type") == "markdown":
        for figure in figures_in(_joined(cell.get("source", "")), "markdown"):
            if not figure.name.startswith("attachment:"):
                yield figure
    for output in cell.get("outputs") or ():
        bundle = output.get("data") or output
        figures = _figure_of_bundle(bundle, place, "")
        yield from figures
        if not figures:
            yield from figures_in(_joined(bundle.get("text/html") or bundle.get("html") or ""), "html")


def _figure_of_bundle(bundle: dict[str, Any], place: str, name: str) -> list[Figure]:
    """Return the one figure that a bundle holds in several formats, if any."""
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
    """Return a text of a notebook, which can be there as a list of lines."""
    return value if isinstance(value, str) else "".join(value)
