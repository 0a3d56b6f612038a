"""The figures of all repositories in an index, as a comparison with a picture asks for them.

An index has fingerprints alone. Which figure a changed copy is of is decided by the figures themselves, where
a repository or its clone is on this machine.
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
from . import hash_of, key_of, local_folder, names_of_content

REVISIONS = "SELECT DISTINCT rev FROM places JOIN results ON result = results.id WHERE hash = ?"
WRITTEN = "SELECT 1 FROM places WHERE hash = ? AND kind = 'OUTPUT' LIMIT 1"
PROJECTS = """
SELECT DISTINCT source, folder FROM places JOIN repositories ON repository = repositories.id WHERE hash = ?
"""
WITH_DIGEST = "SELECT DISTINCT hash FROM figures WHERE digest = ? AND version = ?"
BLOCKS = "SELECT row FROM figures WHERE row IS NOT NULL AND version = ?"


class IndexedFigures:
    """The figures of an index, which are `ResultFigures`; a context manager.

    Attributes:
        not_here: repositories with figures that would have to be compared, and whose files are not here.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self.not_here: set[str] = set()
        self._readers: dict[tuple[str, str], Reader | None] = {}
        self._entered = ExitStack()
        # Pictures that were opened last: figures of a document are compared with the same ones again.
        self._opened = lru_cache(OPENED)(self._open)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._entered.close()

    def _rows(self, select: str, key: Key) -> list[tuple[Any, ...]]:
        return self._db.execute(select, [hash_of(key)]).fetchall()

    def keys_of(self, content: bytes) -> list[Key]:
        """Return keys of figures that have the same bytes."""
        keys = [key_of(bytes.fromhex(name)) for name in names_of_content(self._db, content)]
        return [key for key in keys if self.revisions(key)]

    def revisions(self, key: Key) -> set[str]:
        """Return the revisions that are known to have a figure."""
        return {rev for (rev,) in self._rows(REVISIONS, key)}

    def is_output(self, key: Key) -> bool:
        """Return true where a stage wrote a figure in any result."""
        return bool(self._rows(WRITTEN, key))

    def content(self, key: Key) -> bytes | None:
        """Return content of a figure; None where no repository on this machine has it."""
        projects = self._rows(PROJECTS, key)
        for source, folder in projects:
            reader = self._reader_of(source, folder)
            content = FigureFiles(reader).content(key) if reader else None
            if content is not None:
                return content
        self.not_here.update(source for source, _ in projects)
        return None

    def _reader_of(self, source: str, folder: str) -> Reader | None:
        """Return a reader of a project on this machine; None where it is not here."""
        if (source, folder) not in self._readers:
            try:
                reader = Reader(local_folder(source) / folder)
            except (GitError, OSError):
                self._readers[source, folder] = None
            else:
                self._readers[source, folder] = self._entered.enter_context(reader)
        return self._readers[source, folder]

    def with_digest(self, digest: bytes) -> list[Key]:
        """Return keys of figures that have these pixels, or this outline."""
        return [key_of(content) for (content,) in self._db.execute(WITH_DIGEST, [digest, LOOKS])]

    @cached_property
    def looks(self) -> np.ndarray:
        """A row for each block of each figure that differs from others."""
        rows = b"".join(row for (row,) in self._db.execute(BLOCKS, [LOOKS]))
        return distinct(np.frombuffer(rows, LOOK_ROW))

    def with_look(self, row: np.void) -> tuple[Key, ...]:
        """Return keys of figures that look the same as that of a row of `looks`."""
        return tuple(self.with_digest(row["digest"].tobytes()))

    def part(self, row: np.void) -> Part | None:
        """Return the block that a row of `looks` is of; None where no repository here has the figure."""
        picture = self._opened(row["digest"].tobytes())
        return None if picture is None else Part(picture, tuple(row["box"].tolist()))

    def _open(self, digest: bytes) -> Image.Image | None:
        for key in self.with_digest(digest):
            content = self.content(key)
            picture = None if content is None else compared_picture(content)
            if picture is not None:
                return picture
        return None
