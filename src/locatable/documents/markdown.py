"""Figures of a Markdown text: what it links to as an image, and HTML in it."""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from pathlib import Path

from .figure import Figure
from .html import figures_by_line
from .markup import linked_figure, read_text

_FENCE = re.compile(
    r"^ {0,3}(?P<fence>`{3,}|~{3,}).*?(?:^ {0,3}(?P=fence)[`~]*\s*$|\Z)", re.MULTILINE | re.DOTALL
)
_CODE = re.compile(r"(?P<ticks>`{1,9})[^`\n](?:[^\n]{0,2000}?[^`\n])?(?P=ticks)(?!`)")
# What describes an image, with brackets in it; it never goes back, however long the text is.
_TEXT = r"(?:[^][\\]|\\.|\[[^][]{0,300}\])*+"
_INLINE = re.compile(
    rf"!\[{_TEXT}\]\("
    r"\s*(?:<(?P<angled>[^>\n]*)>|(?P<plain>[^\s()]*(?:\([^\s()]*\)[^\s()]*)*))"
)
_BY_NAME = re.compile(rf"!\[(?P<text>{_TEXT})\](?:\[(?P<name>[^]\n]*)\])?(?!\()")
_NAMES = re.compile(r"^ {0,3}\[(?P<name>[^]\n]+)\]:\s*<?(?P<link>[^\s>]+)", re.MULTILINE)


def read(path: Path) -> Iterator[Figure]:
    """Figures of a Markdown file, in its order.

    Raises:
        UnreadableError: it is too large.
    """
    yield from figures_in_markdown(read_text(path), lambda line: f"line {line}", path.parent)


def figures_in_markdown(text: str, place: Callable[[int], str], folder: Path) -> list[Figure]:
    """Figures of a text in Markdown.

    Args:
        text: all of it.
        place: says where a line is.
        folder: what links are relative to.
    """
    text = _CODE.sub(_blank, _FENCE.sub(_blank, text))
    names = {match["name"].lower(): match["link"] for match in _NAMES.finditer(text)}
    starts = [match.end() for match in re.finditer("\n", text)]
    found = []
    for match in _INLINE.finditer(text):
        found.append((match.start(), match["angled"] or match["plain"] or ""))
    for match in _BY_NAME.finditer(text):
        found.append((match.start(), names.get((match["name"] or match["text"]).lower(), "")))
    figures = []
    for offset, link in found:
        line = bisect_right(starts, offset) + 1
        if link:
            figures.append((line, linked_figure(place(line), link, folder)))
    figures += figures_by_line(text, place, folder)
    return [figure for _, figure in sorted(figures, key=lambda one: one[0])]


def _blank(match: re.Match[str]) -> str:
    """Code is no figure; its lines still count."""
    return "\n" * match[0].count("\n")
