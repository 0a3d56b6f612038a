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
from ..errors import GitError
from ..locate.figure_match import Seen, Verdict, verdicts
from ..locate.known_figures import FILE, ROW, FigureFiles, Key, KnownFigures, read_rows
from ..repository.reader import Reader
from . import MD5_SIZE, local_folder, names_of_content


def read_looks(db: sqlite3.Connection, repository: int, folder: str, reader: Reader) -> None:
    """Add what the figures of a project look like, as far as their files are on this machine."""
    # One that another version read counts as unread: what a fingerprint is can change.
    unread = db.execute(
        "SELECT DISTINCT hash FROM figures JOIN places USING (hash)"
        " WHERE version != ? AND repository = ? AND folder = ?",
        [FILE, repository, folder],
    )
    rows, _ = read_rows(FigureFiles(reader), [_key(content) for (content,) in unread])
    for pages in rows:
        content = bytes.fromhex(name_of(pages["key"][0].decode()))
        db.execute("DELETE FROM figures WHERE hash = ?", [content])
        for place, row in enumerate(pages):
            is_picture = bool(row["size"][0])  # a drawing has none
            values = (content, place, FILE, row["digest"].tobytes(), row.tobytes() if is_picture else None)
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
            "SELECT DISTINCT hash FROM figures WHERE digest = ? AND version = ?", [digest, FILE]
        )
        return [_key(content) for (content,) in rows]

    def pictures(self) -> np.ndarray:
        """Return the rows of pictures, the same pixels once."""
        return self._pictures

    @cached_property
    def _pictures(self) -> np.ndarray:
        select = "SELECT row FROM figures WHERE row IS NOT NULL AND version = ?"
        rows = np.frombuffer(b"".join(row for (row,) in self._db.execute(select, [FILE])), ROW)
        return np.asarray(rows[np.unique(rows["digest"], axis=0, return_index=True)[1]])
