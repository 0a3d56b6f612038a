"""Which files are documents, and what reads each kind."""

from collections.abc import Iterator
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UnreadableError

if TYPE_CHECKING:
    from .figure import Figure

# Bytes of a file that is read into memory as a whole.
MOST_BYTES = 200_000_000
# Files whose content is remembered: a logo on each page of a site.
REMEMBERED = 8

PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".tif", ".tiff", ".bmp", ".svg")
# Module and function that read a format.
READERS = {
    ".pdf": "pdf.read",
    ".pptx": "office.read_slides",
    ".docx": "office.read_text",
    ".xlsx": "office.read_sheets",
    ".odt": "opendocument.read_text",
    ".odp": "opendocument.read_slides",
    ".epub": "epub.read",
    ".html": "html.read",
    ".htm": "html.read",
    ".ipynb": "notebook.read",
    ".md": "markdown.read",
    ".markdown": "markdown.read",
    ".tex": "latex.read",
}
# Formats that nothing here reads, and what programs that do can save them as.
INSTEAD = {
    ".ppt": ".pptx",
    ".doc": ".docx",
    ".xls": ".xlsx",
    ".rtf": ".docx",
    ".key": ".pdf",
    ".pages": ".pdf",
}


def is_picture(path: Path) -> bool:
    """Whether a file is a picture, by its name."""
    return path.suffix.lower() in PICTURES


def is_document(path: Path) -> bool:
    """Whether a file is a document whose figures can be read, by its name."""
    return path.suffix.lower() in READERS


def instead_of(path: Path) -> str:
    """For a document of a format that is not read: what to save it as; else empty."""
    return INSTEAD.get(path.suffix.lower(), "")


def read_figures(path: Path) -> "Iterator[Figure]":
    """The figures of a document or picture, one after another, in their order.

    Raises:
        UnreadableError: the document is broken, encrypted or too large.
    """
    if is_picture(path):
        from .figure import Encoded, Figure

        yield Figure("", path.name, (Encoded(read_bounded(path)),))
        return
    module, function = READERS[path.suffix.lower()].split(".")
    yield from getattr(import_module(f".{module}", __package__), function)(path)


def read_bounded(path: Path) -> bytes:
    """Content of a file; the same picture on each page is in memory once.

    Raises:
        UnreadableError: it is too large for memory, or cannot be read.
    """
    try:
        status = path.stat()
        if status.st_size > MOST_BYTES:
            raise UnreadableError(f"{path}: more than {MOST_BYTES // 1_000_000} MB are not read")
        return _read(path, status.st_mtime_ns)
    except OSError as error:
        raise UnreadableError(f"{path}: {error.strerror}") from None


@lru_cache(REMEMBERED)
def _read(path: Path, changed: int) -> bytes:
    return path.read_bytes()
