"""Read documents: find their figures, where each one is, and the formats in which it is stored.

Each format has a module, which is imported when the first document of that format is read. Every reader
raises `UnreadableError` if a document is broken, encrypted or too large. This package knows nothing about
results.
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

# The largest file, in bytes, that is read into memory as a whole.
MOST_BYTES = 200_000_000

PICTURES = tuple(".png .jpg .jpeg .gif .webp .avif .jp2 .j2k .tif .tiff .bmp .svg".split())
PACKAGES = tuple(
    ".pptx .pptm .ppsx .ppsm .potx .docx .docm .dotx .xlsx .xlsm .xltx .odt .odp .ods .odg .epub".split()
)
ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz")
TEXTS = tuple(
    ".tex .ltx .latex .rnw .md .markdown .qmd .rmd .mdx .rst .org .adoc .asciidoc .typ"
    " .html .htm .xhtml".split()
)
# The module and the function that read a format, by file extension.
READERS = {
    ".pdf": ("pdf", "read"),
    ".ipynb": ("text", "read_notebook"),
    **dict.fromkeys(PACKAGES, ("package", "read")),
    **dict.fromkeys(ARCHIVES, ("package", "read_archive")),
    **dict.fromkeys(TEXTS, ("text", "read")),
}
# Text files that contain data or code. The pictures that they name are not shown to a reader.
NOT_MANUSCRIPTS = ".json .yaml .yml .toml .csv .tsv .py .ini .lock .dvc .log".split()
# Formats that no module reads, each with a format that can be read and that its programs can save instead.
ALTERNATIVES = {
    ".ppt": ".pptx",
    ".doc": ".docx",
    ".xls": ".xlsx",
    ".rtf": ".docx",
    ".key": ".pdf",
    ".pages": ".pdf",
}
# Bounds for one document: seconds of processor time, and bytes of memory in addition to what the process
# already uses. Including what the command itself needs, a run stays within a minute and a gigabyte.
MOST_SECONDS = 58
MOST_MEMORY = 900_000_000
# The problem of a figure on another server, such as a badge in a README.
NOT_FETCHED = "a link to another server, which is not fetched"


@dataclass(frozen=True)
class Encoded:
    """A figure that is stored as a complete file, such as PNG, JPEG, SVG or PDF.

    Attributes:
        stored: the bytes of the file, or a function that returns them.
    """

    stored: bytes | Callable[[], bytes]

    @property
    def content(self) -> bytes:
        """The bytes of the file; raises `UnreadableError` if it cannot be read."""
        return self.stored if isinstance(self.stored, bytes) else self.stored()

    @cached_property
    def identity(self) -> Hashable:
        """A key that is equal for equal files, so that a repeated figure is compared only once."""
        return hashlib.sha256(self.content).digest()

    def looks(self) -> "list[Look]":
        """Return the looks of the file, as `looks_of` does."""
        return looks_of(self.content)


@dataclass(frozen=True)
class Pixels:
    """A figure that its document stores as pixels, not as a file.

    Attributes:
        load: a function that returns the picture on white paper, or raises `UnreadableError`.
        identity: equal for the same object of the document; None if it has no identifier.
    """

    load: "Callable[[], Image.Image]"
    identity: Hashable = None

    def looks(self) -> "list[Look]":
        """Return the picture; raises `UnreadableError` if it cannot be read."""
        return [self.load()]


@dataclass(frozen=True)
class Drawing:
    """A vector figure, identified by digests that are equal if it is drawn by the same operators.

    Attributes:
        outline: the digest of the operators alone.
        complete: a function that returns the digest of the operators and of all resources that they use:
            fonts, images, patterns.
        render: a function that renders the drawing on white paper, and returns None if nothing as large as a
            figure is drawn; None for a part of a page, which is not rendered on its own.
    """

    outline: bytes
    complete: Callable[[], bytes]
    render: "Callable[[], Image.Image | None] | None" = None
    # Drawings with equal outlines can use different fonts or images, so each one is compared.
    identity = None

    def looks(self) -> "list[Look]":
        """Return the drawing itself."""
        return [self]


Form = Encoded | Pixels | Drawing
# The look of a figure: a vector drawing or a picture.
Look: TypeAlias = "Drawing | Image.Image"


@dataclass(frozen=True)
class Figure:
    """A figure of a document.

    Attributes:
        place: the place in words: page, slide, sheet, chapter, cell or line.
        name: the name that the document gives it; empty if it has none.
        forms: the same figure in different formats. It is recognized if any of them is.
        problem: why the figure cannot be read; empty if it has a form.
        parts: figures that this one consists of. They are compared if it is not recognized as a whole.
        missing: the paths at which its file was looked for, if there is no such file.
        box: its box on the page, in units of the page's width and height; None if the box is unknown.
        is_incidental: true for bullets, icons and whole pages, which are reported only if recognized.
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
    """Return true if the file has the extension of a picture."""
    return path.suffix.lower() in PICTURES


def is_document(path: Path) -> bool:
    """Return true if the file has the extension of a document whose figures can be read."""
    return path.suffix.lower() in READERS


def instead_of(path: Path) -> str:
    """Return the extension to save a document with if its own format cannot be read; otherwise ""."""
    return ALTERNATIVES.get(path.suffix.lower(), "")


def is_archive(path: Path) -> bool:
    """Return true if the file has the extension of an archive, which may contain a document's sources."""
    return path.suffix.lower() in ARCHIVES


def is_manuscript(path: Path) -> bool:
    """Return true for a document, or for any other text file that may be a manuscript."""
    if is_document(path):
        return True
    with path.open("rb") as file:
        start = file.read(4_000)
    return b"\0" not in start and path.suffix.lower() not in (*PICTURES, *NOT_MANUSCRIPTS)


def read_figures(path: Path, roots: Sequence[Path] = ()) -> Iterator[Figure]:
    """Yield the figures of a document, or a picture itself, in reading order.

    Args:
        path: path of the document or picture.
        roots: folders in which the document may refer to files; by default the project that contains it.

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
    """Return the repository that contains a document, else its Quarto project, else its own folder."""
    folders = Path(os.path.abspath(path)).parents
    for marker in (".git", ".dvc", "_quarto.yml"):
        for folder in folders:
            if (folder / marker).exists():
                return folder
    return folders[0]


def is_allowed(path: Path, roots: Sequence[Path]) -> bool:
    """Return true for a file that a document may open, false if there is no such file.

    Args:
        path: path that the document refers to.
        roots: folders that must contain the file, with all symbolic links resolved.

    Raises:
        UnreadableError: the file is outside of `roots`, is too large, may not be read by this user, or is a
            device, pipe or socket.
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
        raise UnreadableError("no permission to read it")
    if status.st_size > MOST_BYTES:
        raise UnreadableError(f"more than {MOST_BYTES // 1_000_000} MB are not read")
    return True


def looks_of(content: bytes) -> "list[Look]":
    """Return the looks of a figure's file: a picture, the drawing of an SVG, or a drawing per page of a PDF.

    Raises:
        UnreadableError: the file cannot be read, or is too large.
    """
    if content.startswith(b"%!PS"):
        # Only Ghostscript renders PostScript, and it would execute the program in the file.
        raise UnreadableError("PostScript is not drawn; convert it: ps2pdf -dEPSCrop FILE")
    if content.startswith(b"%PDF-"):
        from .pdf import drawings_of

        return [*drawings_of(content)]
    from .picture import opened
    from .vector import drawing_of, is_svg

    return [drawing_of(content) if is_svg(content) else opened(content)]


def read_bounded(path: Path) -> bytes:
    """Return the content of a file. The last file stays in memory, so that it is not read twice.

    Raises:
        UnreadableError: the file is too large, or cannot be read.
    """
    try:
        status = path.stat()
        if status.st_size > MOST_BYTES:
            raise UnreadableError(f"{path}: more than {MOST_BYTES // 1_000_000} MB are not read")
        return _read(path, status.st_mtime_ns)
    except OSError as error:
        raise UnreadableError(f"{path}: {error.strerror}") from None


@lru_cache(1)
def _read(path: Path, modified: int) -> bytes:
    # The modification time is only part of the cache key, so that a file that changed is read again.
    return path.read_bytes()


def forget_content() -> None:
    """Free the memory of the file that `read_bounded` read last."""
    _read.cache_clear()


class _OutOfTime(BaseException):
    """Raised at any point of a reader, usually by the signal handler.

    It is not an `Exception`, because libraries that decode broken pictures catch those.
    """


@dataclass
class Bound:
    """The seconds of processor time that are left for a document, which may be read in several steps."""

    seconds: float = field(default_factory=lambda: MOST_SECONDS)


@contextmanager
def bounded_reading(name: str, bound: Bound | None = None) -> Iterator[None]:
    """Bound the processor time and the memory of the code in the `with` block.

    Outside of the main thread, which alone receives signals, nothing is bounded.

    Args:
        name: name of the document, for the message.
        bound: processor time left by earlier steps, updated at the end; by default `MOST_SECONDS`.

    Raises:
        UnreadableError: a bound was exceeded.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    bound = bound or Bound()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    handler = signal.signal(signal.SIGPROF, _stop_reading)
    try:
        _limit_memory(limits)
        # The signal repeats every second, because Python discards an exception raised inside a destructor.
        signal.setitimer(signal.ITIMER_PROF, max(1, bound.seconds), 1)
        yield
    except _OutOfTime:
        raise UnreadableError(f"{name}: takes more than {MOST_SECONDS} seconds to read") from None
    except MemoryError:
        megabytes = MOST_MEMORY // 1_000_000
        raise UnreadableError(f"{name}: takes more than {megabytes} MB of memory to read") from None
    finally:
        bound.seconds, _ = signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, handler)
        resource.setrlimit(resource.RLIMIT_AS, limits)


def charge_time(seconds: float) -> None:
    """Charge processor time of another process to the document that is being read."""
    remaining, interval = signal.getitimer(signal.ITIMER_PROF)
    if 0 < remaining <= seconds:
        raise _OutOfTime
    if remaining:
        signal.setitimer(signal.ITIMER_PROF, remaining - seconds, interval)


@contextmanager
def unbounded_time() -> Iterator[None]:
    """Pause the document's time bound for work that it does not cause, such as reading the repository."""
    remaining, interval = signal.setitimer(signal.ITIMER_PROF, 0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, remaining, interval)


def _limit_memory(limits: tuple[int, int]) -> None:
    """Limit the memory of this process to `MOST_MEMORY` more than it uses now.

    Where the memory in use cannot be determined, as outside of Linux, nothing is limited.
    """
    status = Path("/proc/self/statm")
    if not status.exists():
        return
    used = int(status.read_text().split()[0]) * resource.getpagesize()
    soft, hard = limits
    limit = used + MOST_MEMORY
    if soft != resource.RLIM_INFINITY:
        limit = min(limit, soft)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def _stop_reading(number: int, frame: FrameType | None) -> None:
    raise _OutOfTime
