"""Vector figures: digests of SVGs, which are equal if files draw the same, and renderings of SVGs and PDFs.

PDFium and resvg run in a separate process, because a broken file can crash it or exhaust its memory. PDFium
also reads the text of PDF pages there.
"""

import hashlib
import re
import resource
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache, partial
from multiprocessing import get_context
from typing import Any, TypeVar, cast

from PIL import Image

from ..errors import UnreadableError
from . import Drawing, charge_time
from .package import local_name, parse_xml

# The points, in width and height, over which something must be drawn on a page for it to contain a figure.
SMALLEST_POINTS = 72
# The least resolution of a rendered page: pixels of its longer side, for a page that is a figure, and pixels
# for each point, for a page that contains smaller figures.
LONGER_SIDE = 800
PIXELS_A_POINT = 2.0
# The most pixels of the longer side. Posters reach it.
MOST_PIXELS_A_SIDE = 3_000
# Bounds of the separate process: seconds of processor time for a page, and bytes of memory.
MOST_SECONDS = 10
MOST_MEMORY = 1_000_000_000

# The largest SVG, in bytes, whose drawing is compared. Larger ones are recognized only by their bytes.
MOST_SVG_BYTES = 30_000_000
_REFERENCE = re.compile(r"#([\w.:-]+)")
# Attributes of the root element that determine how the drawing is shown on a page, but not what it shows.
_EMBEDDING_ATTRIBUTES = ("width", "height", "class", "style", "id", "version", "preserveAspectRatio")
# Descriptions of the expected file, for the message that it is not one if PDFium or resvg fails.
FIGURE = "a figure that can be rendered"
TEXT = "a PDF whose text can be read"

Value = TypeVar("Value")
# Width, height, bytes in a line, and the bytes of all pixels: blue, green, red.
Bitmap = tuple[int, int, int, bytes]


def rendered(file: str | bytes, number: int) -> Image.Image | None:
    """Return a page of a PDF rendered on white paper, or None if nothing as large as a figure is drawn on it.

    Args:
        file: path or content of the PDF.
        number: number of the page, from 0.

    Raises:
        UnreadableError: PDFium cannot render it within the bounds.
    """
    bitmap = _in_other_process(FIGURE, _bitmap, file, number)
    if bitmap is None:
        return None
    width, height, stride, content = bitmap
    return Image.frombuffer("RGB", (width, height), content, "raw", "BGR", stride, 1)


def rendered_svg(content: bytes) -> Image.Image | None:
    """Return an SVG rendered on white paper, or None if it is smaller than a figure.

    Raises:
        UnreadableError: resvg cannot render it within the bounds.
    """
    from .picture import opened

    png = _in_other_process(FIGURE, _png_of_svg, content)
    return opened(png) if png else None


def count_pages(file: str) -> int:
    """Return the number of pages of a PDF.

    Raises:
        UnreadableError: the PDF is encrypted or broken, or PDFium cannot open it within the bounds.
    """
    count = _in_other_process(TEXT, _count, file)
    if isinstance(count, str):
        raise UnreadableError(f"{file}: encrypted or broken: {count}")
    return count


def text_of_page(file: str, number: int) -> str | None:
    """Return the text on a page of a PDF, or None if the page is broken. Pages are numbered from 0.

    Raises:
        UnreadableError: PDFium cannot read it within the bounds.
    """
    return _in_other_process(TEXT, _text, file, number)


def _in_other_process(expected: str, function: Callable[..., Value], *arguments: Any) -> Value:
    """Call a function in the other process, and charge its processor time to the document.

    Args:
        expected: description of the file, for the message.
        function: function of this module.
        arguments: its arguments.

    Raises:
        UnreadableError: the function raised an exception, or the process ended or could not start.
    """
    start = time.perf_counter()
    try:
        value, problem, seconds = _process_pool().submit(_timed, function, *arguments).result()
    except BrokenProcessPool:
        _process_pool.cache_clear()
        charge_time(time.perf_counter() - start)
        raise UnreadableError(f"not {expected}: it takes too much time or memory") from None
    except Exception as error:  # for example, no memory is left to start the process
        raise UnreadableError(f"not {expected}: {error!s:.80}") from None
    charge_time(seconds)
    if problem:
        raise UnreadableError(f"not {expected}: {problem}")
    return cast(Value, value)


def _timed(function: Callable[..., Value], *arguments: Any) -> tuple[Value | None, str, float]:
    """Return the function's value, the problem if it failed, and the seconds of processor time that it took.

    Runs in the other process.
    """
    start = time.process_time()
    value = None
    problem = ""
    try:
        value = function(*arguments)
    except Exception as error:  # of the libraries, or because the file changed in the meantime
        problem = f"{error!s:.80}" or type(error).__name__
    return value, problem, time.process_time() - start


@lru_cache(1)
def _process_pool() -> ProcessPoolExecutor:
    # Spawned, not forked, because this process has threads, and its memory is bounded.
    return ProcessPoolExecutor(1, get_context("spawn"), _limit_memory)


def _limit_memory() -> None:
    """Limit the memory of the process; runs when it starts."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, hard))


def _limit_time() -> None:
    """Limit the processor time of the process to `MOST_SECONDS` more than it has used so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    used = int(usage.ru_utime + usage.ru_stime)
    resource.setrlimit(resource.RLIMIT_CPU, (used + MOST_SECONDS, hard))


def _bitmap(file: str | bytes, number: int) -> Bitmap | None:
    """Return a rendered page, or None if nothing as large as a figure is drawn. Runs in the other process."""
    _limit_time()
    page = _opened(file)[number]
    # The page is neither rotated nor cropped, so that the boxes of the figures placed on it apply.
    page.set_rotation(0)
    page.set_cropbox(*page.get_mediabox())
    if not _is_drawn_on(page):
        return None
    bitmap = page.render(scale=_scale(max(page.get_size())), may_draw_forms=False)
    return bitmap.width, bitmap.height, bitmap.stride, bytes(bitmap.buffer)


def _count(file: str) -> int | str:
    """Return the number of pages, or the reason why the PDF cannot be opened. Runs in the other process."""
    from pypdfium2 import PdfiumError

    _limit_time()
    _opened.cache_clear()  # the file may have changed since it was opened
    try:
        return len(_opened(file))
    except PdfiumError as error:
        return str(error)


def _text(file: str, number: int) -> str | None:
    """Return the text on a page, or None if the page is broken. Runs in the other process."""
    from pypdfium2 import PdfiumError

    _limit_time()
    try:
        page = _opened(file)[number]
        text: str = page.get_textpage().get_text_bounded()
        page.close()
    except PdfiumError:
        return None
    return text


@lru_cache(1)
def _opened(file: str | bytes) -> Any:
    from pypdfium2 import PdfDocument

    return PdfDocument(file)


def _is_drawn_on(page: Any) -> bool:
    """Return true if the page's paths, shadings and forms together are as large as a figure.

    Text and pictures do not count.
    """
    from pypdfium2 import raw

    kinds = [raw.FPDF_PAGEOBJ_PATH, raw.FPDF_PAGEOBJ_FORM, raw.FPDF_PAGEOBJ_SHADING]
    bounds = [drawn.get_bounds() for drawn in page.get_objects(kinds, max_depth=1)]
    if not bounds:
        return False
    lefts, lowers, rights, uppers = zip(*bounds, strict=True)
    width, height = max(rights) - min(lefts), max(uppers) - min(lowers)
    return bool(min(width, height) >= SMALLEST_POINTS)


def _png_of_svg(content: bytes) -> bytes | None:
    """Return a rendered SVG as the content of a PNG file, or None if it is smaller than a figure.

    Runs in the other process.
    """
    from resvg_py import svg_to_bytes

    _limit_time()
    root = parse_xml(content, "SVG")
    for element in root.iter():
        for name, value in list(element.attrib.items()):
            # References to other files are removed, so that resvg does not open them.
            if local_name(name) == "href" and not value.lstrip().startswith(("#", "data:")):
                del element.attrib[name]
    width, height = _size_of_svg(root)
    if min(width, height) < SMALLEST_POINTS:
        return None
    scale = _scale(max(width, height))
    return svg_to_bytes(
        ET.tostring(root, encoding="unicode"),
        width=round(scale * width),
        height=round(scale * height),
        background="white",
        dpi=96,  # without dots per inch, a length in `pt` would be zero
    )


def _scale(longer: float) -> float:
    """Return the number of pixels for each point of a page or drawing with this longer side."""
    return min(max(PIXELS_A_POINT, LONGER_SIDE / longer), MOST_PIXELS_A_SIDE / longer)


def _size_of_svg(root: ET.Element) -> tuple[float, float]:
    """Return the width and height of an SVG in its own units."""
    box = [float(number) for number in root.get("viewBox", "").replace(",", " ").split()]
    if len(box) == 4:
        return box[2], box[3]
    matches = [re.match(r"[\d.]+", root.get(side, "")) for side in ("width", "height")]
    width, height = (float(match[0]) if match else 0.0 for match in matches)
    return width, height


def is_svg(content: bytes) -> bool:
    """Return true if the content begins like an SVG."""
    start = content[:2000].lstrip(b"\xef\xbb\xbf \t\r\n")
    return start.startswith(b"<") and b"<svg" in start


def drawing_of(content: bytes) -> Drawing:
    """Return the drawing of an SVG."""
    root = parse_xml(content[: MOST_SVG_BYTES + 1], "SVG")
    id_numbers: dict[str, str] = {}
    for element in root.iter():
        if "id" in element.attrib:
            id_numbers.setdefault(element.attrib["id"], str(len(id_numbers)))
    hasher = hashlib.sha256()
    for name, value in sorted(root.attrib.items()):
        if local_name(name) not in _EMBEDDING_ATTRIBUTES:
            hasher.update(f"{local_name(name)}={value}\0".encode())
    for child in root:
        for text in _svg_texts(child, id_numbers):
            hasher.update(text.encode() + b"\0")
    digest = hasher.digest()[:16]
    return Drawing(digest, lambda: digest, partial(rendered_svg, content))


def _svg_texts(root: ET.Element, id_numbers: dict[str, str]) -> list[str]:
    """Return the names, attributes and texts of an element and its descendants in order, with ids as numbers.

    Programs choose ids differently each time, so only the references between elements count.
    """

    def numbered(reference: re.Match[str]) -> str:
        return "#" + id_numbers.get(reference[1], reference[1])

    texts: list[str] = []
    # A string is the text after an element, which is added once all of that element's children are.
    stack: list[ET.Element | str] = [root]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            texts.append(item)
            continue
        if local_name(item.tag) == "metadata":
            continue
        texts.append(f"<{local_name(item.tag)}")
        for name, value in sorted(item.attrib.items()):
            if name == "id":
                value = id_numbers[value]
            value = _REFERENCE.sub(numbered, value)
            texts.append(f"{local_name(name)}={value}")
        texts.append((item.text or "").strip())
        stack.append(f">{(item.tail or '').strip()}")
        stack += reversed(item)
    return texts
