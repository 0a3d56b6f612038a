"""What figures of many repositories look like: read into an index, and compared with a picture.

An index has fingerprints alone. Which figure a changed copy is of is decided by the figures themselves, where
a repository or its clone is on this machine.
"""

import sqlite3
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import numpy as np

from ..documents import bounded_reading, project_of, read_figures
from ..documents.picture import Part
from ..errors import GitError
from ..locate.figure_match import Seen, Verdict, verdicts
from ..locate.known_figures import (
    LOOK_ROW,
    LOOKS,
    FigureFiles,
    Key,
    KnownFigures,
    compared_picture,
    digest_rows,
    distinct,
    look_rows,
    read_rows,
)
from ..repository.reader import Reader
from . import MD5_SIZE, local_folder, names_of_content


def read_looks(db: sqlite3.Connection, repository: int, folder: str, reader: Reader) -> None:
    """Add what the figures of a project look like, as far as their files are on this machine."""
    # One that another version read counts as unread: what a fingerprint is can change.
    unread = db.execute(
        "SELECT DISTINCT hash FROM figures JOIN places USING (hash)"
        " WHERE version != ? AND repository = ? AND folder = ?",
        [LOOKS, repository, folder],
    )
    keys = [_key(content) for (content,) in unread]
    digests = [pages for rows, _ in read_rows(FigureFiles(reader), keys, digest_rows) for pages in rows]
    looks = [seen for rows, _ in read_rows(FigureFiles(reader), keys, look_rows) for seen in rows]
    for pages, seen in zip(digests, looks, strict=True):
        content = bytes.fromhex(name_of(pages["key"][0].decode()))
        db.execute("DELETE FROM figures WHERE hash = ?", [content])
        for place, row in enumerate([*pages, *seen]):
            look = row.tobytes() if place >= len(pages) else None
            values = (content, place, LOOKS, row["digest"].tobytes(), look)
            db.execute("INSERT INTO figures VALUES (?, ?, ?, ?, ?)", values)


def name_of(key: Key) -> str:
    """Return what Git or DVC call a figure."""
    return key.partition(":")[2]


def _key(content: bytes) -> Key:
    """Return the key of a figure by its hash, of which DVC's are the shortest."""
    return f"{'md5' if len(content) == MD5_SIZE else 'git'}:{content.hex()}"


class IndexedFigures(KnownFigures):
    """The figures of all repositories in an index; a context manager.

    Attributes:
        not_here: repositories with figures that would have to be compared, and whose files are not here.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self.not_here: set[str] = set()
        self._readers: dict[tuple[str, str], Reader | None] = {}
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._opened.close()

    def verdicts(self, document: Path) -> list[tuple[str, Verdict]]:
        """Return what each figure of a picture or document is, with its place there.

        Raises:
            UnreadableError: the document is broken, encrypted, or too large.
        """
        found = []
        before: Seen = {}
        with bounded_reading(str(document)):
            for figure in read_figures(document, (project_of(document),)):
                for part, verdict in verdicts(self, figure, before):
                    found.append((part.place, verdict))
        return found

    def keys_of(self, content: bytes) -> list[Key]:
        """Return keys of figures that have the same bytes."""
        keys = [_key(bytes.fromhex(name)) for name in names_of_content(self._db, content)]
        return [key for key in keys if self.places(key)]

    def places(self, key: Key) -> list[Any]:
        """Return each result that has a figure, as far as a comparison asks for it, and the path there."""
        rows = self._rows(
            key,
            "SELECT rev, name FROM places JOIN names ON path = names.id"
            " JOIN results ON result = results.id WHERE hash = ?",
        )
        return [(SimpleNamespace(rev=rev), path) for rev, path in rows]

    def is_output(self, key: Key) -> bool:
        """Return true where a stage wrote a figure in any result."""
        return bool(self._rows(key, "SELECT 1 FROM places WHERE hash = ? AND kind = 'OUTPUT' LIMIT 1"))

    def _rows(self, key: Key, select: str) -> list[tuple[Any, ...]]:
        return self._db.execute(select, [bytes.fromhex(name_of(key))]).fetchall()

    def content(self, key: Key) -> bytes | None:
        """Return content of a figure; None where no repository on this machine has it."""
        select = (
            "SELECT DISTINCT source, places.folder FROM places"
            " JOIN repositories ON repository = repositories.id WHERE hash = ?"
        )
        sources = self._rows(key, select)
        for source, folder in sources:
            reader = self._reader_of(source, folder)
            content = FigureFiles(reader).content(key) if reader else None
            if content is not None:
                return content
        self.not_here.update(source for source, _ in sources)
        return None

    def _reader_of(self, source: str, folder: str) -> Reader | None:
        """Return a reader of a project on this machine; None where it is not here."""
        if (source, folder) not in self._readers:
            try:
                reader = Reader(local_folder(source) / folder)
            except (GitError, OSError):
                self._readers[source, folder] = None
            else:
                self._readers[source, folder] = self._opened.enter_context(reader)
        return self._readers[source, folder]

    @property
    def index(self) -> Any:
        """What a comparison asks for figures that look alike."""
        return self

    def with_digest(self, digest: bytes) -> list[Key]:
        """Return keys of figures that have these pixels, or this outline."""
        rows = self._db.execute(
            "SELECT DISTINCT hash FROM figures WHERE digest = ? AND version = ?", [digest, LOOKS]
        )
        return [_key(content) for (content,) in rows]

    @cached_property
    def looks(self) -> np.ndarray:
        """A row for each block of each figure that differs from others."""
        select = "SELECT row FROM figures WHERE row IS NOT NULL AND version = ?"
        rows = b"".join(row for (row,) in self._db.execute(select, [LOOKS]))
        return distinct(np.frombuffer(rows, LOOK_ROW))

    def with_look(self, row: np.void) -> tuple[Key, ...]:
        """Return keys of figures that look the same as that of a row of `looks`."""
        return tuple(self.with_digest(row["digest"].tobytes()))

    def part(self, row: np.void) -> Part | None:
        """Return the block that a row of `looks` is of; None where no repository here has the figure."""
        for key in self.with_look(row):
            content = self.content(key)
            picture = None if content is None else compared_picture(content)
            if picture is not None:
                return Part(picture, tuple(row["box"].tolist()))
        return None
