"""Figures of a notebook: outputs and attachments of its cells, and files that its texts link to."""

import base64
import binascii
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import UnreadableError
from .figure import Encoded, Figure, Form
from .formats import read_bounded
from .html import figures_of
from .markdown import figures_in_markdown

_IMAGES = (
    "image/svg+xml",
    "application/pdf",
    "image/png",
    "image/jpeg",
    "image/gif",
    "image/webp",
    "image/bmp",
)


def read(path: Path) -> Iterator[Figure]:
    """Figures of a notebook, cell by cell; cells are counted from 1.

    Raises:
        UnreadableError: it is not a notebook.
    """
    try:
        notebook = json.loads(read_bounded(path))
        cells = notebook["cells"]
        for number, cell in enumerate(cells, start=1):
            yield from _figures_of(cell, f"cell {number}", path.parent)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UnreadableError(f"{path}: not a notebook as nbformat 4 has it") from None


def _figures_of(cell: dict[str, Any], place: str, folder: Path) -> Iterator[Figure]:
    for name, bundle in (cell.get("attachments") or {}).items():
        yield from _of_bundle(bundle, place, name)
    if cell.get("cell_type") == "markdown":
        for figure in figures_in_markdown(_text(cell.get("source", "")), lambda _: place, folder):
            if not figure.name.startswith("attachment:"):
                yield figure
    for output in cell.get("outputs") or ():
        bundle = output.get("data") or {}
        figures = list(_of_bundle(bundle, place, ""))
        if not figures and "text/html" in bundle:
            figures = figures_of(_text(bundle["text/html"]), lambda _: place, folder)
        yield from figures


def _of_bundle(bundle: dict[str, Any], place: str, name: str) -> Iterator[Figure]:
    """The one figure that a bundle holds in several formats, if any."""
    kinds = [kind for kind in _IMAGES if kind in bundle]
    forms: list[Form] = []
    for kind in kinds:
        text = _text(bundle[kind])
        try:
            forms.append(Encoded(text.encode() if kind == "image/svg+xml" else base64.b64decode(text)))
        except (binascii.Error, ValueError):
            continue
    if kinds:
        problem = "" if forms else "its data are broken"
        yield Figure(place, name or kinds[0], tuple(forms), problem)


def _text(value: str | list[str]) -> str:
    return value if isinstance(value, str) else "".join(value)
