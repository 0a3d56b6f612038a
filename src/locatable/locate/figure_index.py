"""What results' figures look like: fingerprints by what Git and DVC call the content, kept in `.dvc/tmp`.

An entry is of a content and not of a file, so it is never out of date. The file can be deleted at any time.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np

from ..documents.figure import Drawing
from ..documents.picture import SIDE, Fingerprint, fingerprint, opened
from ..documents.svg import drawing_of, is_svg
from ..errors import UnreadableError
from ..repository.replacing import replacing
from .known_figures import Key, KnownFigures

# Its number changes with what a fingerprint is.
FILE = ".dvc/tmp/locatable/figures-1.npy"
_LONGEST_KEY = 72
# A PDF has a row for each page; what cannot be read has one, so that it is not tried again.
ROW = np.dtype(
    [
        ("key", f"S{_LONGEST_KEY}"),
        ("size", "<u4", 2),
        ("digest", "u1", 16),
        ("inside", "u1", (SIDE, SIDE)),
    ]
)
_PDF = b"%PDF-"


class FigureIndex:
    """Fingerprints of all figures that are known.

    Args:
        known: the figures.

    Attributes:
        rows: one for each picture and each page of a PDF, of known figures only.
        missing: keys of figures that this machine does not have.
    """

    def __init__(self, known: KnownFigures) -> None:
        self._place = known.reader.root / FILE
        kept = _load(self._place)
        known_keys = [key.encode() for key in known.compared]
        have = set(kept["key"].tolist())
        wanted = [key.decode() for key in known_keys if key not in have]
        new, self.missing = _rows(known, wanted)
        if len(new):
            kept = np.concatenate([kept, new])
            _save(self._place, kept)
        self.rows = (
            kept[np.isin(kept["key"], np.array(known_keys, dtype=ROW["key"]))] if known_keys else kept[:0]
        )
        self._by_digest: dict[bytes, list[Key]] = {}
        for key, digest in zip(self.rows["key"].tolist(), self.rows["digest"], strict=True):
            self._by_digest.setdefault(digest.tobytes(), []).append(key.decode())

    def with_digest(self, digest: bytes) -> list[Key]:
        """Keys of figures that have these pixels, or this outline."""
        return self._by_digest.get(digest, [])

    def pictures(self) -> np.ndarray:
        """The rows of pictures, the same pixels once."""
        rows = self.rows[self.rows["size"][:, 0] > 0]
        return rows[np.unique(rows["digest"], axis=0, return_index=True)[1]]


def _load(path: Path) -> np.ndarray:
    """Rows of the file; none where it is not there, or not as this version writes it."""
    with suppress(OSError, ValueError, EOFError):
        rows = np.load(path, allow_pickle=False)
        if rows.dtype == ROW:
            return np.asarray(rows)
    return np.empty(0, ROW)


def _save(path: Path, rows: np.ndarray) -> None:
    """Write the file as a whole or not at all; where it cannot be written, it is computed again next time."""
    if not path.parents[2].is_dir():
        return
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            np.save(file, rows, allow_pickle=False)


def _rows(known: KnownFigures, keys: Iterable[Key]) -> tuple[np.ndarray, list[Key]]:
    """Rows of figures, and the keys of those that this machine does not have."""
    rows: list[np.ndarray] = []
    missing = []

    def present() -> Iterator[tuple[Key, bytes]]:
        for key, content in known.contents(keys):
            if content is None:
                missing.append(key)
            else:
                yield key, content

    # Pillow and zlib leave the interpreter to other threads while they work.
    with ThreadPoolExecutor() as threads:
        for together in _batches(present()):
            rows += threads.map(_rows_of, together)
    return (np.concatenate(rows) if rows else np.empty(0, ROW)), missing


def _batches(items: Iterator[tuple[Key, bytes]], size: int = 32) -> Iterator[list[tuple[Key, bytes]]]:
    batch = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    yield batch


def _rows_of(item: tuple[Key, bytes]) -> np.ndarray:
    key, content = item
    try:
        if content.startswith(_PDF):
            from ..documents.pdf import drawings_of

            found: list[Drawing | Fingerprint] = [*drawings_of(content)]
        elif is_svg(content):
            found = [drawing_of(content)]
        else:
            found = [fingerprint(opened(content))]
    except UnreadableError:
        found = []
    rows = np.zeros(max(1, len(found)), ROW)
    rows["key"] = key.encode()
    for row, one in zip(rows, found, strict=False):
        if isinstance(one, Drawing):
            row["digest"] = np.frombuffer(one.outline, np.uint8)
        else:
            row["size"] = one.width, one.height
            row["digest"] = np.frombuffer(one.pixels, np.uint8)
            row["inside"] = one.inside
    return rows
