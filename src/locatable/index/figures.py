"""The figures of all repositories in an index, in the form that comparisons need.

The index has the fingerprints of figures, but not their files. A changed copy is compared with the files of
the figures, so it is found only if a repository with the figure, or a clone of it, is on this machine.
"""

import sqlite3
from contextlib import ExitStack
from functools import cached_property, lru_cache
from typing import Any, Self

import numpy as np
from PIL import Image

from ..documents.picture import Part
from ..errors import GitError
from ..locate.known_figures import (
    LOOK_ROW,
    LOOKS,
    OPENED,
    FigureFiles,
    Key,
    compared_picture,
    distinct,
)
from ..repository.reader import Reader
from . import hash_of, hashes_of_content, key_of, local_folder

REVISIONS = "SELECT DISTINCT rev FROM places JOIN results ON result = results.id WHERE hash = ?"
WRITTEN = "SELECT 1 FROM places WHERE hash = ? AND kind = 'OUTPUT' LIMIT 1"
PROJECTS = """
SELECT DISTINCT source, folder FROM places JOIN repositories ON repository = repositories.id WHERE hash = ?
"""
WITH_DIGEST = "SELECT DISTINCT hash FROM figures WHERE digest = ? AND version = ?"
BLOCKS = "SELECT row FROM figures WHERE row IS NOT NULL AND version = ?"


class IndexedFigures:
    """The figures of an index, as `ResultFigures`. A context manager, which closes the opened repositories.

    Attributes:
        not_here: the repositories with figures that should be compared, but whose files are not on this
            machine.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self.not_here: set[str] = set()
        self._readers: dict[tuple[str, str], Reader | None] = {}
        self._entered = ExitStack()
        # The figures of a document are often compared with the same few pictures, so these stay open.
        self._opened = lru_cache(OPENED)(self._open)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._entered.close()

    def _rows(self, select: str, key: Key) -> list[tuple[Any, ...]]:
        return self._db.execute(select, [hash_of(key)]).fetchall()

    def keys_of(self, content: bytes) -> list[Key]:
        """Return the keys of figures with exactly these bytes."""
        keys = [key_of(bytes.fromhex(hashed)) for hashed in hashes_of_content(self._db, content)]
        return [key for key in keys if self.revisions(key)]

    def revisions(self, key: Key) -> set[str]:
        """Return the revisions that have a figure, as far as the index knows; empty if no result has it."""
        return {rev for (rev,) in self._rows(REVISIONS, key)}

    def is_output(self, key: Key) -> bool:
        """Return true if a stage of any result wrote a figure."""
        return bool(self._rows(WRITTEN, key))

    def content(self, key: Key) -> bytes | None:
        """Return the content of a figure; None if no repository on this machine has it."""
        projects = self._rows(PROJECTS, key)
        for source, folder in projects:
            reader = self._reader_of(source, folder)
            content = FigureFiles(reader).content(key) if reader else None
            if content is not None:
                return content
        self.not_here.update(source for source, _ in projects)
        return None

    def _reader_of(self, source: str, folder: str) -> Reader | None:
        """Return a reader of a project; None if it is not on this machine."""
        if (source, folder) not in self._readers:
            try:
                reader = Reader(local_folder(source) / folder)
            except (GitError, OSError):
                self._readers[source, folder] = None
            else:
                self._readers[source, folder] = self._entered.enter_context(reader)
        return self._readers[source, folder]

    def with_digest(self, digest: bytes) -> list[Key]:
        """Return the keys of figures with a digest, which is one of pixels or of a drawing's outline."""
        return [key_of(content) for (content,) in self._db.execute(WITH_DIGEST, [digest, LOOKS])]

    @cached_property
    def looks(self) -> np.ndarray:
        """The distinct blocks of all figures, as an array of `LOOK_ROW`."""
        rows = b"".join(row for (row,) in self._db.execute(BLOCKS, [LOOKS]))
        return distinct(np.frombuffer(rows, LOOK_ROW))

    def with_look(self, row: np.void) -> tuple[Key, ...]:
        """Return the keys of all figures that look like the figure of a row of `looks`."""
        return tuple(self.with_digest(row["digest"].tobytes()))

    def part(self, row: np.void) -> Part | None:
        """Return the block of a row of `looks`; None if no repository on this machine has the figure."""
        picture = self._opened(row["digest"].tobytes())
        return None if picture is None else Part(picture, tuple(row["box"].tolist()))

    def _open(self, digest: bytes) -> Image.Image | None:
        for key in self.with_digest(digest):
            content = self.content(key)
            picture = None if content is None else compared_picture(content)
            if picture is not None:
                return picture
        return None
