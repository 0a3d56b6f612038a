"""Read the words of a manuscript: its paragraphs and tables, in reading order.

Drawings, the preamble of LaTeX and lists of references are left out. Numbers are not interpreted here. Each
format has a reader below. Texts are untrusted, so everything takes linear time in their length: a pattern
that could fail far from its beginning stops where another match could begin, or is bounded.
"""

import csv
import io
import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from html import unescape
from pathlib import Path
from typing import Any

from ..errors import UnreadableError
from . import ARCHIVES, PACKAGES, is_manuscript, project_of, read_bounded
from .package import Package, local_name, opened, sections, unpacked
from .text import Manuscript, cells_of

# The most rows of a table. A longer table is data, not part of a manuscript.
MOST_ROWS = 2_000
# The text that replaces a citation.
CITED = "[cite]"

# Extensions of tables with a separator between cells, with the possible separators.
_SEPARATED = {".csv": ",;\t", ".tsv": "\t"}
_HTML_NAMES = (".html", ".htm", ".xhtml")
_LATEX_NAMES = (".tex", ".ltx", ".latex", ".rnw")
# The end of LaTeX's preamble, in the text itself or in one that it includes.
_BEGIN_DOCUMENT = r"\begin{document}"


@dataclass(frozen=True)
class Passage:
    """A paragraph, or a table with its caption.

    Attributes:
        place: a page, slide, cell or file; empty if the line is enough.
        line: the line of its beginning, from 1; 0 if the format has no lines.
        text: the text of the paragraph with its line breaks, or the caption of the table.
        rows: the cells of the table, row by row, beginning with the column heads; None for a paragraph.
    """

    place: str
    line: int
    text: str
    rows: tuple[tuple[str, ...], ...] | None = None

    def place_at(self, offset: int) -> str:
        """Return the place of the character of a paragraph at `offset`, or of the beginning of a table."""
        if not self.line:
            return self.place
        lines = 0 if self.rows is not None else self.text.count("\n", 0, offset)
        return f"{self.place} line {self.line + lines}".lstrip()


def has_passages(path: Path) -> bool:
    """Return true if the words of a file can be read."""
    return path.suffix.lower() in _SEPARATED or is_manuscript(path)


def read_passages(path: Path) -> Iterator[Passage]:
    """Yield the paragraphs and tables of a document.

    Raises:
        UnreadableError: the document is broken, encrypted or too large.
    """
    ending = path.suffix.lower()
    if ending == ".pdf":
        yield from _pages(path)
    elif ending in PACKAGES:
        yield from _office(path)
    elif ending == ".ipynb":
        yield from _notebook(path)
    elif ending in _SEPARATED:
        yield from _separated(path)
    elif ending in ARCHIVES:
        with unpacked(path) as (_, manuscripts, _):
            for inside, manuscript in manuscripts.items():
                for passage in read_passages(manuscript):
                    yield replace(passage, place=f"{inside} {passage.place}".rstrip())
    else:
        yield from _texts(path)


def _texts(path: Path) -> Iterator[Passage]:
    """Yield the passages of a text and of the texts that it includes."""
    chunks = list(Manuscript(path, (project_of(path),)).chunks())
    in_preamble = any(_BEGIN_DOCUMENT in chunk.text for chunk in chunks)
    reader = _markdown
    if path.suffix.lower() in _HTML_NAMES:
        reader = _html
    elif in_preamble or path.suffix.lower() in _LATEX_NAMES:
        reader = _latex
    for chunk in chunks:
        text = chunk.text
        if in_preamble and _BEGIN_DOCUMENT in text:
            preamble, _, text = text.partition(_BEGIN_DOCUMENT)
            text = "\n" * preamble.count("\n") + text
            in_preamble = False
        if not in_preamble:
            yield from sorted(reader(text, chunk.name, chunk.line), key=lambda passage: passage.line)


def _line_breaks(match: re.Match[str]) -> str:
    """Return the line breaks of a match, so that the lines below it keep their numbers."""
    return "\n" * match[0].count("\n")


def _numbered(matches: Iterable[re.Match[str]], line: int) -> Iterator[tuple[int, re.Match[str]]]:
    """Yield the matches of a pattern, each with the number of the line in which it begins.

    Args:
        matches: matches in the same text, in order.
        line: number of the text's first line.
    """
    previous_start = 0
    for match in matches:
        line += match.string.count("\n", previous_start, match.start())
        previous_start = match.start()
        yield line, match


# The beginning of a list item: "- so", "\\item so", "1. so"
_ITEM = re.compile(r"\s*(?:[-*+•] |\\item\b|\d{1,2}[.)] )")


def _paragraphs(lines: list[str], first: int) -> Iterator[tuple[int, str]]:
    """Yield each paragraph and list item with the number of its first line; `first` is that of `lines[0]`."""
    paragraph: list[str] = []
    for number, line in enumerate([*lines, ""], start=first):
        is_blank = not line.strip()
        if paragraph and (is_blank or _ITEM.match(line)):
            yield number - len(paragraph), "\n".join(paragraph)
            paragraph = []
        if not is_blank:
            paragraph.append(line)


# The heading of a list of references, and the headings that may follow the list.
_REFERENCES = re.compile(
    r"\W*(?:\d+\.?\s+)?(?:References|Bibliography|Literature|Works cited)\W*", re.IGNORECASE
)
_APPENDIX = re.compile(r"\W*(?:[A-Z\d]\.?\s+)?(?:Appendi(?:x|ces)|Supplement\w*)\b", re.IGNORECASE)


# LaTeX

_TEX_NO_TEXT = re.compile(
    r"\\begin\{(?P<name>tikzpicture|thebibliography)\}"
    r".*?(?:\\end\{(?P=name)\}|\Z)",
    re.DOTALL,
)
_TEX_TABLE = re.compile(
    r"\\begin\{(?P<name>tabular[xy*]?|longtable|tabu|array|tblr)\}(?P<body>.*?)(?:\\end\{(?P=name)\}|\Z)",
    re.DOTALL,
)
# A float, which contains tables and a caption above or below them, or a table outside of a float.
_TEX_FLOAT = re.compile(
    rf"\\begin\{{table\*?\}}.*?(?:\\end\{{table\*?\}}|\Z)|{_TEX_TABLE.pattern}", re.DOTALL
)
_TEX_CAPTION = re.compile(r"\\caption\*?\s*(?:\[[^][]*\])?\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
# A row ends with \\ or \\[2pt]; a cell ends with &, unless it is escaped.
_TEX_ROW_END = re.compile(r"\\\\(?:\s*\[[^][\n]*\])?|\\tabularnewline\b")
_TEX_CELL_END = re.compile(r"(?<!\\)&")
_OPTIONS = r"\*?(?:\s*\[[^][]*\])*"
# A group in braces, which can contain groups up to two levels deep.
_GROUP = r"\s*\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\}"
_TEX_CITATION = re.compile(rf"\\\w{{0,20}}[cC]ite\w{{0,20}}{_OPTIONS}{_GROUP}")
_TEX_WORDLESS = re.compile(
    r"\\(?:\w{0,20}ref|label|url|includegraphics|includesvg|input|include|subfile|bibliography\w*|addbibresource|[vh]space|"
    r"setlength|addtolength|setcounter|c?(?:mid)?rule|cline|cmidrule|begin|end|usepackage|documentclass|graphicspath|"
    rf"(?:row|cell|page|text)?color|definecolor|fontsize|hypersetup){_OPTIONS}(?:\([^()]*\))?(?:{_GROUP})*"
)
_TEX_UNIT = re.compile(rf"\\(?:SI|qty){_OPTIONS}\s*\{{([^{{}}]*)\}}\s*\{{([^{{}}]*)\}}")
_TEX_LENGTH = re.compile(
    r"(?<![\d.])[\d.]++\s*+\\(?!times|cdot|pm|percent|approx|leq|geq)[A-Za-z]*(?:width|height|skip|size|indent|sep)\b"
)
_TEX_MULTICOLUMN = re.compile(
    rf"\\multicolumn\s*\{{(\d{{1,2}})\}}{_GROUP}\s*\{{((?:[^{{}}]|\{{[^{{}}]*\}})*)\}}"
)
_TEX_MULTIROW = re.compile(
    rf"\\multirow{_OPTIONS}\s*\{{[^{{}}]*\}}(?:\s*\[[^][]*\])?(?:{_GROUP}|\s*\*)\s*\{{((?:[^{{}}]|\{{[^{{}}]*\}})*)\}}"
)
# Commands and special characters of LaTeX, with the characters for which they stand.
_SYMBOLS = {
    r"\,": "\u2009",
    r"\;": " ",
    r"\:": " ",
    r"\!": "",
    r"\ ": " ",
    r"\%": "%",
    r"\&": "&",
    r"\_": "_",
    r"\#": "#",
    r"\$": " ",
    r"\\": " ",
    r"\pm": "±",
    r"\times": "×",
    r"\cdot": "·",
    r"\approx": "≈",
    r"\sim": "≈",
    r"\leq": "≤",
    r"\geq": "≥",
    r"\percent": "%",
    "{,}": ",",
    "{.}": ".",
    "~": "\u00a0",
    "$": "",
}
_SYMBOL = re.compile(
    "|".join(rf"{re.escape(key)}{'(?![A-Za-z])' if key[-1:].isalpha() else ''}" for key in _SYMBOLS)
)
# Commands that end a sentence without a full stop.
_TEX_SENTENCE = re.compile(
    rf"\\(?:(?:sub)*section|(?:sub)?paragraph|chapter|caption|title)\*?({_GROUP})|\\end\{{(?:table|figure)\*?\}}"
)
# The digit in a name such as F_1 or R^2, which is not a number of its own.
_INDEX = re.compile(r"(?<=[A-Za-z])\}?\$?[_^]\{?(\d)\}?(?!\d)")


def _latex(text: str, place: str, line: int) -> Iterator[Passage]:
    """Yield the tables and the paragraphs of a LaTeX source."""
    text = _TEX_NO_TEXT.sub(_line_breaks, text)
    for start, block in _numbered(_TEX_FLOAT.finditer(text), line):
        caption = _TEX_CAPTION.search(block[0])
        title = plain_latex(caption[1]) if caption else ""
        for number, table in _numbered(_TEX_TABLE.finditer(block[0]), start):
            yield _table(place, number, title, _latex_rows(table["body"]))
    for start, paragraph in _paragraphs(_TEX_TABLE.sub(_line_breaks, text).split("\n"), line):
        yield Passage(place, start, plain_latex(paragraph))


def _latex_rows(body: str) -> list[list[str]]:
    """Return the cells of a table; a cell that spans several columns is repeated in each of them."""
    rows = []
    for row in _TEX_ROW_END.split(_TEX_CAPTION.sub("", body)):
        row = _TEX_MULTICOLUMN.sub(_repeated, _TEX_MULTIROW.sub(r"\1", row))
        rows.append([plain_latex(cell).strip() for cell in _TEX_CELL_END.split(row)])
    return rows


def _repeated(match: re.Match[str]) -> str:
    """Return a cell that spans several columns, repeated for each of them."""
    return " & ".join([match[2]] * int(match[1]))


def plain_latex(text: str) -> str:
    """Return the plain text of a LaTeX source.

    The arguments of commands stay, except for names of files and labels, lengths and the like.
    """
    text = _TEX_CITATION.sub(CITED, text)
    text = _TEX_SENTENCE.sub(_as_sentence, text)
    text = _TEX_LENGTH.sub("", text)
    text = _TEX_WORDLESS.sub("", text)
    text = _TEX_UNIT.sub(r"\1 \2", text)
    text = _symbols(text)
    text = re.sub(rf"\\[A-Za-z@]+{_OPTIONS}", " ", text)
    return re.sub(r"[{}]", "", text)


def _as_sentence(match: re.Match[str]) -> str:
    """Return a heading or caption without its braces, as a sentence."""
    words = (match[1] or "").strip()
    return f" {words[1:-1]}. "


def _symbols(text: str) -> str:
    """Return a text in which TeX's commands for characters are replaced by these characters."""
    text = _INDEX.sub(r"\1", text)
    return _SYMBOL.sub(lambda match: _SYMBOLS[match[0]], text)


def _table(place: str, line: int, caption: str, rows: list[list[str]]) -> Passage:
    """Return a table without empty rows. A row without a head gets the head of the row above it."""
    filled: list[tuple[str, ...]] = []
    for row in rows[:MOST_ROWS]:
        if not any(row):
            continue
        if not row[0] and len(filled) > 1 and len(row) == len(filled[-1]):
            row = [filled[-1][0], *row[1:]]
        filled.append(tuple(row))
    return Passage(place, line, caption, tuple(filled))


# Markdown and similar markups

_MARKDOWN_NO_TEXT = re.compile(
    r"<!--.*?(?:-->|\Z)"
    r"|!\[[^][\n]*\]\((?:[^()\n]|\([^()\n]*\))*\)"  # ![an image](a.png)
    r"|\A---\n.*?\n---$",  # front matter
    re.DOTALL | re.MULTILINE,
)
_MARKDOWN_LINK = re.compile(r"\[([^][\n]*)\]\([^()\n]*\)")
# [see @doe2020, p. 3] and @doe2020
_MARKDOWN_CITATION = re.compile(r"\[[^][\n@]*@[\w:.-][^][\n]*\]|(?<![\w.])@[A-Za-z][\w:-]+")
# The line between the heads and the rows of a table: |---|:-:|
_MARKDOWN_RULE = re.compile(r"[ \t:|]*-[ \t:|-]*")
_MARKDOWN_CELL_END = re.compile(r"(?<!\\)\|")
_EMPHASIS = re.compile(r"(?<!\w)[_*]+|[_*]+(?!\w)|`")


def _markdown(text: str, place: str, line: int) -> Iterator[Passage]:
    """Yield the tables and the paragraphs of a text in Markdown or a similar markup."""
    text = _MARKDOWN_NO_TEXT.sub(_line_breaks, text)
    text = _MARKDOWN_CITATION.sub(CITED, _MARKDOWN_LINK.sub(r"\1", text))
    lines = text.split("\n")
    _blank_references(lines)
    for start, rows in _markdown_tables(lines):
        yield _table(place, line + start, "", rows)
    for start, paragraph in _paragraphs(lines, line):
        words = re.sub(r"<[^<>\n]*>", "", _EMPHASIS.sub("", paragraph))
        yield Passage(place, start, unescape(_symbols(words)))


def _blank_references(lines: list[str]) -> None:
    """Blank the lines of the list of references, up to an appendix if one follows."""
    headings = [number for number, line in enumerate(lines) if _REFERENCES.fullmatch(line)]
    if not headings:
        return
    for number in range(headings[-1], len(lines)):
        if _APPENDIX.match(lines[number]):
            break
        lines[number] = ""


def _markdown_tables(lines: list[str]) -> Iterator[tuple[int, list[list[str]]]]:
    """Yield the index of each table's first line with the table's cells, and blank the table's lines."""
    number = 1
    while number < len(lines):
        start = number - 1
        is_table = "|" in lines[start] and _MARKDOWN_RULE.fullmatch(lines[number])
        number += 1
        if not is_table:
            continue
        rows = [_markdown_cells(lines[start])]
        while number < len(lines) and "|" in lines[number]:
            rows.append(_markdown_cells(lines[number]))
            number += 1
        lines[start:number] = [""] * (number - start)
        yield start, rows


def _markdown_cells(line: str) -> list[str]:
    cells = _MARKDOWN_CELL_END.split(line.strip().removeprefix("|").removesuffix("|"))
    return [_symbols(_EMPHASIS.sub("", cell)).strip() for cell in cells]


def _separated(path: Path) -> Iterator[Passage]:
    """Yield the table in a CSV or TSV file."""
    text = read_bounded(path).decode("utf-8-sig", errors="replace")
    first_line = text.partition("\n")[0]
    separator = max(_SEPARATED[path.suffix.lower()], key=first_line.count)
    try:
        rows = list(csv.reader(io.StringIO(text), delimiter=separator))
    except csv.Error as error:
        raise UnreadableError(f"{path}: {error}") from None
    if len(rows) > MOST_ROWS:
        raise UnreadableError(f"{path}: more than {MOST_ROWS:,} rows are data, and are not searched")
    yield _table("", 1, "", [[cell.strip() for cell in row] for row in rows])


# HTML, and notebooks, which contain it

_HTML_NO_TEXT = re.compile(
    r"<!--.*?(?:-->|\Z)|<(?P<tag>script|style|svg|head|pre|textarea)\b.*?(?:</(?P=tag)\s*>|\Z)",
    re.DOTALL | re.IGNORECASE,
)
_HTML_TABLE = re.compile(r"<table\b.*?(?:</table\s*>|\Z)", re.DOTALL | re.IGNORECASE)
_HTML_ROW = re.compile(r"<tr\b[^<>]*>", re.IGNORECASE)
_HTML_CELL = re.compile(r"<t[dh]\b([^<>]*)>", re.IGNORECASE)
_HTML_CAPTION = re.compile(r"<caption\b[^<>]*>(.*?)(?:</caption|\Z)", re.DOTALL | re.IGNORECASE)
_HTML_SPAN = re.compile(r"colspan\s*=\s*[\"']?(\d{1,2})", re.IGNORECASE)
_HTML_BLOCK = re.compile(
    r"(</?(?:p|div|li|ul|ol|h[1-6]|section|article|blockquote|figure|figcaption|dt|dd|br)\b[^<>]*>)",
    re.IGNORECASE,
)
_HTML_SUPERSCRIPT = re.compile(r"<sup\b[^<>]*>([^<]*)</sup>", re.IGNORECASE)


def _html(text: str, place: str, line: int) -> Iterator[Passage]:
    """Yield the tables of a page, then the texts between the tags of its blocks."""
    text = _HTML_NO_TEXT.sub(_line_breaks, text)
    for start, table in _numbered(_HTML_TABLE.finditer(text), line):
        caption = _HTML_CAPTION.search(table[0])
        title = _plain_html(caption[1]) if caption else ""
        rows = _HTML_ROW.split(table[0])[1:]
        yield _table(place, start, title, [_html_cells(row) for row in rows])
    passages: list[Passage] = []
    # `split` also returns the tags between the blocks, because the pattern has a group. They have no text.
    for words in _HTML_BLOCK.split(_HTML_TABLE.sub(_line_breaks, text)):
        plain = _plain_html(words).strip()
        if plain:
            blank = words[: len(words) - len(words.lstrip())]
            passages.append(Passage(place, line + blank.count("\n"), plain))
        line += words.count("\n")
    yield from _without_references(passages)


def _html_cells(row: str) -> list[str]:
    """Return the cells of a row; a cell that spans several columns is repeated in each of them."""
    cells: list[str] = []
    # Alternately the attributes of a cell and its content.
    parts = _HTML_CELL.split(row)[1:]
    for attributes, cell in zip(parts[::2], parts[1::2], strict=True):
        span = _HTML_SPAN.search(attributes)
        cells += [_plain_html(cell).strip()] * (int(span[1]) if span else 1)
    return cells


def _plain_html(text: str) -> str:
    """Return the text of HTML without tags. A superscript becomes an exponent, such as ^2."""
    text = _HTML_SUPERSCRIPT.sub(r"^\1", text)
    return _symbols(unescape(re.sub(r"<[^<>]*>", "", text)))


def _notebook(path: Path) -> Iterator[Passage]:
    """Yield the texts of a notebook and the results that its cells display, without what they print."""
    try:
        for number, cell in enumerate(cells_of(path), start=1):
            for passage in _cell(cell, f"cell {number}"):
                yield replace(passage, line=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        raise UnreadableError(f"{path}: not a notebook") from None


def _cell(cell: dict[str, Any], place: str) -> Iterator[Passage]:
    """Yield the passages of a cell: its text, and each output in the most informative of its formats."""
    if cell.get("cell_type") == "markdown":
        yield from _markdown("".join(cell.get("source", "")), place, 1)
    for output in cell.get("outputs") or ():
        shown = output.get("data") or {}
        if "text/html" in shown:
            yield from _html("".join(shown["text/html"]), place, 1)
        else:
            text = shown.get("text/markdown") or shown.get("text/plain", "")
            yield from _markdown("".join(text), place, 1)


# Office formats

_TABLE_ELEMENTS = ("tbl", "table")
_BREAK_ELEMENTS = {"tab": "\t", "br": "\n", "s": " ", "line-break": "\n"}


def _office(path: Path) -> Iterator[Passage]:
    """Yield the passages of an office document or an EPUB."""
    with opened(path, (project_of(path),)) as package:
        passages = list(_section_passages(package))
    yield from _without_references(passages)


def _section_passages(package: Package) -> Iterator[Passage]:
    """Yield the passages of slides, sheets and chapters, or the numbered paragraphs of a continuous text."""
    for section in sections(package):
        if section.root is None:
            text = package.read(section.part).decode("utf-8-sig", errors="replace")
            for passage in _html(text, section.place, 1):
                yield replace(passage, line=0)
        else:
            for number, passage in enumerate(_passages_in(section.root, section.place), start=1):
                yield replace(passage, place=section.place or f"paragraph {number}")


def _passages_in(root: ET.Element, place: str) -> Iterator[Passage]:
    """Yield the paragraphs and tables inside an element, including nested tables."""
    # A stack, not recursion, because an untrusted document can nest elements to any depth.
    stack = [*reversed(root)]
    while stack:
        element = stack.pop()
        name = local_name(element.tag)
        if name in _TABLE_ELEMENTS:
            yield _table(place, 0, "", _rows_of(element))
            stack += reversed(_tables_in(element))
        elif name in ("p", "h"):
            text = _words_of(element)
            if text.strip() and _style_of(element) != "bibliography":
                yield Passage(place, 0, text)
            stack += reversed(_tables_in(element))
        elif name != "Fallback":
            stack += reversed(element)


def _outside_tables(element: ET.Element) -> Iterator[ET.Element]:
    """Yield an element and its descendants, without the tables in it."""
    stack = [element]
    while stack:
        element = stack.pop()
        yield element
        stack += [child for child in reversed(element) if local_name(child.tag) not in _TABLE_ELEMENTS]


def _tables_in(element: ET.Element) -> list[ET.Element]:
    """Return the tables in an element, without the tables nested in these."""
    tables = []
    for parent in _outside_tables(element):
        tables += [child for child in parent if local_name(child.tag) in _TABLE_ELEMENTS]
    return tables


def _style_of(paragraph: ET.Element) -> str:
    """Return the name of a paragraph's style in Word, in lower case; "" if it has none."""
    for element in paragraph.iter():
        if local_name(element.tag) == "pStyle":
            return next(iter(element.attrib.values()), "").lower()
    return ""


def _rows_of(table: ET.Element) -> list[list[str]]:
    """Return the cells of a table; a cell that spans several columns is repeated in each of them."""
    rows = []
    for row in _outside_tables(table):
        if local_name(row.tag) not in ("tr", "table-row"):
            continue
        cells: list[str] = []
        for cell in row:
            if local_name(cell.tag) in ("tc", "table-cell", "covered-table-cell"):
                words = _words_of(cell).strip()
                cells += [words] * _column_span(cell)
        rows.append(cells)
    return rows


def _column_span(cell: ET.Element) -> int:
    """Return the number of columns that a cell of a Word table spans."""
    for element in _outside_tables(cell):
        if local_name(element.tag) == "gridSpan":
            value = next(iter(element.attrib.values()), "1")
            return int(value) if value.isdigit() and len(value) < 3 else 1
    return 1


def _words_of(element: ET.Element) -> str:
    """Return the text of a paragraph: all of it in OpenDocument, that of its runs in Microsoft's formats."""
    is_opendocument = "opendocument" in element.tag
    parts: list[str] = []
    stack: list[ET.Element | str] = [element]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            parts.append(item)
            continue
        name = local_name(item.tag)
        if name == "t" or is_opendocument:
            parts.append(item.text or "")
        if name in _BREAK_ELEMENTS:
            parts.append(_BREAK_ELEMENTS[name])
        elif name in ("p", "h") and item is not element:
            parts.append(" ")
        for child in reversed(item):
            # The text after an element comes after all text in it.
            if is_opendocument and child.tail:
                stack.append(child.tail)
            if local_name(child.tag) not in _TABLE_ELEMENTS:
                stack.append(child)
    return "".join(parts)


def _without_references(passages: list[Passage]) -> Iterator[Passage]:
    """Yield passages without the list of references, which ends at an appendix if one follows."""
    in_references = False
    for passage in passages:
        if passage.rows is None and _REFERENCES.fullmatch(passage.text.strip()):
            in_references = True
        elif passage.rows is None and _APPENDIX.match(passage.text.strip()):
            in_references = False
        if not in_references:
            yield passage


# PDF

# A cell of a table: a number with the signs that can be part of it, or a placeholder for a missing one.
_PDF_CELL = (
    r"(?:[-−+±~≈<>(]*\d[\d.,]*(?:[eE][-−+]?\d+|\s?[×·]\s?10\^?[-−+]?\d+)?\s?%?[)*†‡]*|[-–—]|n/a|N/A|±)"
)
_PDF_ROW = re.compile(rf"(?P<head>.{{0,60}}?)(?P<cells>(?:(?:^|\s+){_PDF_CELL}){{2,}})\s*$")
# The most words of a row's head. More words are the beginning of a sentence.
_MOST_HEAD_WORDS = 8
# A row with one number, which is too short to be a line of prose; and the beginning of a caption.
_PDF_SHORT_ROW = re.compile(rf"[A-Z][^.!?\s]*(?: [^.!?\s]+){{0,3}} {_PDF_CELL}")
_PDF_CAPTION = re.compile(r"(?:Table|Figure|Fig\.) ?\d+ ?[:.]")
# The beginning of an entry in a list of references.
_REFERENCE_ENTRY = re.compile(r"\[\d{1,3}\] |\d{1,3}\. [A-Z]")
# The beginning of the caption of a different column within a line.
_NEXT_COLUMN_CAPTION = re.compile(r" (?=(?:Table|Figure) \d+: )")
# The characters that replace the hyphen of a word which is broken across lines.
_HYPHEN = re.compile(r"[\ufffe\x02]\s*")


def _pages(path: Path) -> Iterator[Passage]:
    """Yield the passages of each page, without the lists of references."""
    in_references = has_references = False
    for place, text in _texts_of_pages(path):
        lines = []
        for line in text.split("\n"):
            if _REFERENCES.fullmatch(line.strip()):
                in_references = has_references = True
            elif has_references and _REFERENCE_ENTRY.match(line):
                in_references = True
            elif _APPENDIX.match(line) or _PDF_CAPTION.match(line):
                in_references = False  # TeX also places figures and tables among the references
            is_page_number = line.strip().isdigit()
            if not in_references and not is_page_number:
                lines.append(line.strip())
        yield from _passages_of_page(lines, place)


def _texts_of_pages(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the place and the text of each page that can be read."""
    from .vector import count_pages, text_of_page

    read_bounded(path)  # raises an error if the file is too large or cannot be read
    for number in range(count_pages(os.fspath(path))):
        text = text_of_page(os.fspath(path), number)
        if text is None:
            continue  # the page is broken
        text = _HYPHEN.sub("", text.replace("\r\n", "\n"))
        # PDFium can join the lines of several columns, so a caption can begin within a line.
        yield f"page {number + 1}", _NEXT_COLUMN_CAPTION.sub("\n", text)


def _passages_of_page(lines: list[str], place: str) -> Iterator[Passage]:
    """Yield the tables of a page, which are consecutive rows of words and numbers, then its paragraphs."""
    rest: list[str] = []
    rows: list[list[str]] = []
    for line in [*lines, ""]:
        row = _row_of(line)
        if row:
            rows.append(row)
            continue
        if rows:
            # The line above may contain the column heads. It may also be prose, so it stays in the rest.
            heads = rest[-1] if rest else ""
            yield _table(place, 0, "", [[heads], *rows])
            rows = []
            rest.append("")
        # An empty line ends a paragraph.
        if _PDF_SHORT_ROW.fullmatch(line) and not line.endswith("."):
            rest += ["", line, ""]
        elif _PDF_CAPTION.match(line):
            rest += ["", line]
        else:
            rest.append(line)
    for _, paragraph in _paragraphs(rest, 1):
        yield Passage(place, 0, paragraph)


def _row_of(line: str) -> list[str]:
    """Return the cells of a line that is a row of a table, or an empty list for prose, dates and the like."""
    match = _PDF_ROW.fullmatch(line)
    # A row must contain a number with a decimal point.
    if not match or not re.search(r"\d[.,]\d", match["cells"]):
        return []
    head = match["head"]
    cells = _cells_in(match["cells"])
    is_sentence = len(head.split()) > _MOST_HEAD_WORDS or head.endswith((",", " of", " and"))
    if is_sentence or any(cell.endswith((",", ".")) for cell in cells):
        return []
    return [head.strip(), *cells]


def _cells_in(text: str) -> list[str]:
    """Return the numbers of a row; a ± and the numbers around it are one cell."""
    cells = [cell.strip() for cell in re.findall(_PDF_CELL, text)]
    joined: list[str] = []
    for cell in cells:
        if joined and (cell.startswith("±") or joined[-1].endswith("±")):
            joined[-1] += f" {cell}"
        else:
            joined.append(cell)
    return joined
