"""Reads documents: which figures are in one, where, and in which form.

Each format has a module that is imported when a document of that format is read. Whatever reads one raises
`UnreadableError` where it is broken, encrypted or too large. Nothing here knows of results.
"""

import resource
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TypeAlias

from ..errors import UnreadableError

if TYPE_CHECKING:
    from PIL import Image

# Bytes of a file that is read into memory as a whole.
MOST_BYTES = 200_000_000
# Files whose content is remembered: a logo is on each page of a site.
REMEMBERED = 8

PICTURES = (
    *(".png", ".jpg", ".jpeg", ".gif", ".webp", ".tif", ".tiff", ".bmp", ".svg"),
    *(".avif", ".jp2", ".j2k", ".jpx"),
)
# Module and function that read a format.
READERS = {
    ".pdf": ("pdf", "read"),
    ".pptx": ("package", "read"),
    ".docx": ("package", "read"),
    ".xlsx": ("package", "read"),
    ".odt": ("package", "read"),
    ".odp": ("package", "read"),
    ".epub": ("package", "read"),
    ".html": ("text", "read_html"),
    ".htm": ("text", "read_html"),
    ".ipynb": ("text", "read_notebook"),
    ".md": ("text", "read_markdown"),
    ".markdown": ("text", "read_markdown"),
    ".tex": ("text", "read_latex"),
}
# Formats that nothing here reads, and what the programs that write them can save instead.
INSTEAD = {
    ".ppt": ".pptx",
    ".doc": ".docx",
    ".xls": ".xlsx",
    ".rtf": ".docx",
    ".key": ".pdf",
    ".pages": ".pdf",
}
# For one document: seconds of processor time, and bytes of memory beyond what is in use before.
MOST_SECONDS = 60
MOST_MEMORY = 1_000_000_000
# The problem of a figure that is a badge, for example.
NOT_FETCHED = "a link to another server, which is not fetched"


@dataclass(frozen=True)
class Encoded:
    """A figure as a file of its own: PNG, JPEG, SVG, PDF and the like; `content` are its bytes."""

    content: bytes

    def looks(self) -> "list[Look]":
        """Return how it looks, as `looks_of` does."""
        return looks_of(self.content)


@dataclass(frozen=True)
class Pixels:
    """A figure that its document keeps as pixels.

    Attributes:
        load: returns the picture, on white paper; raises `UnreadableError` where it cannot.
    """

    load: "Callable[[], Image.Image]"

    def looks(self) -> "list[Look]":
        """Return the picture; raises `UnreadableError` where it cannot be read."""
        return [self.load()]


@dataclass(frozen=True)
class Drawing:
    """A vector figure, by digests that are equal where it is drawn by the same operators.

    Attributes:
        outline: of the operators alone.
        complete: returns the digest of these and of all that they use: fonts, images, patterns.
        render: returns it as it is seen on white paper, and None where nothing as large as a figure is drawn;
            without one, it is a part of a page.
    """

    outline: bytes
    complete: Callable[[], bytes]
    render: "Callable[[], Image.Image | None] | None" = None

    def looks(self) -> "list[Look]":
        """Return the drawing itself."""
        return [self]


Form = Encoded | Pixels | Drawing
# How a figure looks: it is drawn, or it has pixels.
Look: TypeAlias = "Drawing | Image.Image"


@dataclass(frozen=True)
class Figure:
    """A figure of a document.

    Attributes:
        place: where it is, in words: page, slide, sheet, chapter, cell or line.
        name: how the document calls it, empty where it does not.
        forms: the same figure in different formats; one that is known is enough.
        problem: why there is no form of it, empty where there is one.
        parts: figures that this one is made of; they count where it is not known as a whole.
        missing: where the file of the figure would be, if it is not here.
        box: where it is placed on its page, of which width and height are 1; None where that is not known.
        is_incidental: true where it counts only if it is known: bullets, icons, or a page as a whole.
    """

    place: str
    name: str = ""
    forms: tuple[Form, ...] = ()
    problem: str = ""
    parts: "tuple[Figure, ...]" = ()
    missing: tuple[Path, ...] = ()
    box: tuple[float, float, float, float] | None = None
    is_incidental: bool = False


def is_picture(path: Path) -> bool:
    """Return true for the name of a picture."""
    return path.suffix.lower() in PICTURES


def is_document(path: Path) -> bool:
    """Return true for the name of a document whose figures can be read."""
    return path.suffix.lower() in READERS


def instead_of(path: Path) -> str:
    """Return the format to save a document in, where its own is not read; else an empty text."""
    return INSTEAD.get(path.suffix.lower(), "")


def read_figures(path: Path) -> Iterator[Figure]:
    """Yield the figures of a document or picture, in their order.

    Raises:
        UnreadableError: the document is broken, encrypted or too large.
    """
    if is_picture(path):
        yield Figure("", path.name, (Encoded(read_bounded(path)),))
        return
    module, function = READERS[path.suffix.lower()]
    reader = getattr(import_module(f".{module}", __package__), function)
    yield from reader(path)


def looks_of(content: bytes) -> "list[Look]":
    """Return how the file of a figure looks: a picture, the drawing of an SVG, or one for each page of a PDF.

    Raises:
        UnreadableError: it cannot be read, or is too large.
    """
    if content.startswith(b"%!PS"):
        # Only Ghostscript draws it, and it runs what is in the file.
        raise UnreadableError("PostScript is not drawn; convert it: ps2pdf -dEPSCrop FILE")
    if content.startswith(b"%PDF-"):
        from .pdf import drawings_of

        return [*drawings_of(content)]
    from .picture import opened
    from .svg import drawing_of, is_svg

    return [drawing_of(content) if is_svg(content) else opened(content)]


def seen_in(content: bytes) -> "Iterator[tuple[int, Image.Image]]":
    """Yield what the file of a figure looks like: number and picture of each page of a PDF.

    Nothing here renders an SVG.

    Raises:
        UnreadableError: it cannot be read or rendered, or is too large.
    """
    for number, look in enumerate(looks_of(content)):
        picture = look.render() if isinstance(look, Drawing) and look.render else look
        if picture and not isinstance(picture, Drawing):
            yield number, picture


def read_bounded(path: Path) -> bytes:
    """Return the content of a file; the same picture on each page is in memory once.

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
    # The time of the last change is part of the key only.
    return path.read_bytes()


class _OutOfTime(BaseException):
    """Raised wherever a reader is; not an `Exception`, which decoders of broken pictures catch."""


@contextmanager
def bounded_reading(what: str) -> Iterator[None]:
    """Bound the processor time and the memory of what is read inside; for the main thread of a command.

    Args:
        what: is read, for the message.

    Raises:
        UnreadableError: a bound was reached.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    limits = resource.getrlimit(resource.RLIMIT_AS)
    handler = signal.signal(signal.SIGPROF, _stop_reading)
    try:
        _limit_memory(limits)
        # Once more each second: what raises inside of a destructor is lost.
        signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS, 1)
        yield
    except _OutOfTime:
        raise UnreadableError(f"{what}: takes more than {MOST_SECONDS} seconds to read") from None
    except MemoryError:
        gigabytes = MOST_MEMORY // 1_000_000_000
        raise UnreadableError(f"{what}: takes more than {gigabytes} GB of memory to read") from None
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, handler)
        resource.setrlimit(resource.RLIMIT_AS, limits)


def _limit_memory(limits: tuple[int, int]) -> None:
    """Let this process use little more memory than it has; nothing is limited where that is not known."""
    status = Path("/proc/self/statm")
    if not status.exists():
        return
    used = int(status.read_text().split()[0]) * resource.getpagesize()
    most = used + MOST_MEMORY
    if limits[0] != resource.RLIM_INFINITY:
        most = min(most, limits[0])
    resource.setrlimit(resource.RLIMIT_AS, (most, limits[1]))


def _stop_reading(number: int, frame: FrameType | None) -> None:
    raise _OutOfTime
