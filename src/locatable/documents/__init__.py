"""Reads documents: which figures are in one, where, and in which form.

Each format has a module that is imported when a document of that format is read. Whatever reads one raises
`UnreadableError` where it is broken, encrypted or too large. Nothing here knows of results.
"""

import hashlib
import os
import resource
import signal
import stat
import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TypeAlias

from ..errors import UnreadableError

if TYPE_CHECKING:
    from PIL import Image

# Bytes of a file that is read into memory as a whole.
MOST_BYTES = 200_000_000

PICTURES = tuple(".png .jpg .jpeg .gif .webp .avif .jp2 .j2k .tif .tiff .bmp .svg".split())
PACKAGES = (
    *(".pptx", ".pptm", ".ppsx", ".ppsm", ".potx", ".docx", ".docm", ".dotx", ".xlsx", ".xlsm", ".xltx"),
    *(".odt", ".odp", ".ods", ".odg", ".epub"),
)
ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz")
TEXTS = (
    *(".tex", ".ltx", ".latex", ".rnw", ".md", ".markdown", ".qmd", ".rmd", ".mdx", ".rst", ".org", ".adoc"),
    *(".asciidoc", ".typ", ".html", ".htm", ".xhtml"),
)
# Module and function that read a format.
READERS = {
    ".pdf": ("pdf", "read"),
    ".ipynb": ("text", "read_notebook"),
    **dict.fromkeys(PACKAGES, ("package", "read")),
    **dict.fromkeys(ARCHIVES, ("package", "read_archive")),
    **dict.fromkeys(TEXTS, ("text", "read")),
}
# Texts that are data or code: what these name is not what a reader sees.
NOT_MANUSCRIPTS = ".json .yaml .yml .toml .csv .tsv .py .ini .lock .dvc .log".split()
# Formats that nothing here reads, and what the programs that write them can save instead.
INSTEAD = {
    ".ppt": ".pptx",
    ".doc": ".docx",
    ".xls": ".xlsx",
    ".rtf": ".docx",
    ".key": ".pdf",
    ".pages": ".pdf",
}
# For one document: seconds of processor time, and bytes of memory beyond what is in use before. With what the
# command itself takes, it ends within a minute and a gigabyte.
MOST_SECONDS = 58
MOST_MEMORY = 900_000_000
# The problem of a figure that is a badge, for example.
NOT_FETCHED = "a link to another server, which is not fetched"


@dataclass(frozen=True)
class Encoded:
    """A figure as a file of its own: PNG, JPEG, SVG, PDF and the like.

    Attributes:
        stored: its bytes, or what returns them.
    """

    stored: bytes | Callable[[], bytes]

    @property
    def content(self) -> bytes:
        """The bytes of the file; raises `UnreadableError` where it cannot be read."""
        return self.stored if isinstance(self.stored, bytes) else self.stored()

    @cached_property
    def identity(self) -> Hashable:
        """Equal for figures that look the same, which are looked at once."""
        return hashlib.sha256(self.content).digest()

    def looks(self) -> "list[Look]":
        """Return how it looks, as `looks_of` does."""
        return looks_of(self.content)


@dataclass(frozen=True)
class Pixels:
    """A figure that its document keeps as pixels.

    Attributes:
        load: returns the picture, on white paper; raises `UnreadableError` where it cannot.
        identity: equal for the same object; None where it is not known.
    """

    load: "Callable[[], Image.Image]"
    identity: Hashable = None

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
    # What equal ones show can differ in what they use.
    identity = None

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


def is_archive(path: Path) -> bool:
    """Return true for the name of an archive, which may be one of sources."""
    return path.suffix.lower() in ARCHIVES


def is_manuscript(path: Path) -> bool:
    """Return true for a document, or for a text of another name that may be one."""
    if is_document(path):
        return True
    with path.open("rb") as file:
        start = file.read(4_000)
    return b"\0" not in start and path.suffix.lower() not in (*PICTURES, *NOT_MANUSCRIPTS)


def read_figures(path: Path, roots: Sequence[Path] = ()) -> Iterator[Figure]:
    """Yield the figures of a document or picture, in their order.

    Args:
        path: of the document.
        roots: folders outside of which nothing is opened that it names; by default the project around it.

    Raises:
        UnreadableError: the document is broken, encrypted or too large.
    """
    if is_picture(path):
        yield Figure("", path.name, (Encoded(read_bounded(path)),))
        return
    module, function = READERS.get(path.suffix.lower(), READERS[".tex"])
    reader = getattr(import_module(f".{module}", __package__), function)
    yield from reader(path, roots or (project_of(path),))


def project_of(path: Path) -> Path:
    """Return the repository that a document is in; else its Quarto project, or its folder."""
    folders = Path(os.path.abspath(path)).parents
    for marker in (".git", ".dvc", "_quarto.yml"):
        for folder in folders:
            if (folder / marker).exists():
                return folder
    return folders[0]


def is_allowed(path: Path, roots: Sequence[Path]) -> bool:
    """Return true for a file that a document may name, false where there is none; `roots` hold no links.

    Raises:
        UnreadableError: it is outside of these folders, or no file of a disk: a device, a pipe, a socket.
    """
    try:
        status = path.stat()
    except (OSError, ValueError):
        return False
    if stat.S_ISDIR(status.st_mode):
        return False
    real = os.path.realpath(path)
    if not any(Path(real).is_relative_to(root) for root in roots):
        raise UnreadableError("outside of the document's folder and project: not opened")
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableError("a device, pipe or socket: not opened")
    if not os.access(path, os.R_OK):
        raise UnreadableError("may not be read")
    if status.st_size > MOST_BYTES:
        raise UnreadableError(f"more than {MOST_BYTES // 1_000_000} MB are not read")
    return True


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
    from .vector import drawing_of, is_svg

    return [drawing_of(content) if is_svg(content) else opened(content)]


def read_bounded(path: Path) -> bytes:
    """Return the content of a file; what was read last is in memory once.

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


@lru_cache(1)
def _read(path: Path, changed: int) -> bytes:
    # The time of the last change is part of the key only.
    return path.read_bytes()


def forget_content() -> None:
    """Free the memory of what `read_bounded` read last."""
    _read.cache_clear()


class _OutOfTime(BaseException):
    """Raised wherever a reader is; not an `Exception`, which decoders of broken pictures catch."""


@dataclass
class Bound:
    """Seconds of processor time that are left for a document which is read in several steps."""

    seconds: float = field(default_factory=lambda: MOST_SECONDS)


@contextmanager
def bounded_reading(what: str, bound: Bound | None = None) -> Iterator[None]:
    """Bound the processor time and the memory of what is read inside; for the main thread of a command.

    Args:
        what: is read, for the message.
        bound: what earlier steps left; all of it by default.

    Raises:
        UnreadableError: a bound was reached.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    bound = bound or Bound()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    handler = signal.signal(signal.SIGPROF, _stop_reading)
    try:
        _limit_memory(limits)
        # Once more each second: what raises inside of a destructor is lost.
        signal.setitimer(signal.ITIMER_PROF, max(1, bound.seconds), 1)
        yield
    except _OutOfTime:
        raise UnreadableError(f"{what}: takes more than {MOST_SECONDS} seconds to read") from None
    except MemoryError:
        raise UnreadableError(
            f"{what}: takes more than {MOST_MEMORY // 1_000_000} MB of memory to read"
        ) from None
    finally:
        bound.seconds, _ = signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, handler)
        resource.setrlimit(resource.RLIMIT_AS, limits)


def count_time(seconds: float) -> None:
    """Count processor time of another process to that of the document that is read."""
    left, again = signal.getitimer(signal.ITIMER_PROF)
    if 0 < left <= seconds:
        raise _OutOfTime
    if left:
        signal.setitimer(signal.ITIMER_PROF, left - seconds, again)


@contextmanager
def unbounded_time() -> Iterator[None]:
    """Do what is not of the document, such as reading the repository, without its bound of time."""
    seconds, again = signal.setitimer(signal.ITIMER_PROF, 0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, seconds, again)


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
