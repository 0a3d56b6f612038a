"""An index of the results of many repositories: one SQLite file, which `locate --everywhere` asks.

It holds hashes of files, values, fingerprints of figures, and a report on each result; no file itself. It can
lie on a shared disk: whoever writes it replaces it as a whole, so that readers need neither locks nor a log.
"""

import contextlib
import os
import sqlite3
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from ..errors import NotFoundError, ProjectError, StoreError
from ..output import replacing

VARIABLE = "LOCATABLE_INDEX"
# In the header of the file: whose it is, and the number that changes with the tables.
APPLICATION = 0x6C6F6361
VERSION = 1
# A place, value or figure that many revisions have is there once, with the oldest result that has it. Paths
# are relative to the project, whose folder in the repository is the result's.
TABLES = """
CREATE TABLE repositories (
    id INTEGER PRIMARY KEY, source TEXT NOT NULL UNIQUE, refs TEXT NOT NULL, id_length INTEGER NOT NULL,
    checked INTEGER NOT NULL, failed_since INTEGER, problem TEXT NOT NULL
);
CREATE TABLE names (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE coordinates (id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, content BLOB NOT NULL);
CREATE TABLE results (
    id INTEGER PRIMARY KEY, repository INTEGER NOT NULL, folder TEXT NOT NULL, rev TEXT NOT NULL,
    experiment TEXT, time INTEGER NOT NULL, gone_since INTEGER, problem TEXT NOT NULL, report BLOB NOT NULL,
    data INTEGER NOT NULL, code INTEGER NOT NULL, params INTEGER NOT NULL, environment INTEGER NOT NULL,
    execution INTEGER NOT NULL,
    UNIQUE (repository, folder, rev)
);
CREATE INDEX results_by_rev ON results (rev);
CREATE INDEX results_by_experiment ON results (experiment) WHERE experiment IS NOT NULL;
CREATE TABLE places (
    hash BLOB, repository INTEGER, folder TEXT, path INTEGER, kind TEXT, stage TEXT, result INTEGER NOT NULL,
    PRIMARY KEY (hash, repository, folder, path, kind, stage)
) WITHOUT ROWID;
CREATE TABLE numbers (
    value BLOB, repository INTEGER, folder TEXT, key INTEGER, kind TEXT, result INTEGER NOT NULL,
    PRIMARY KEY (value, repository, folder, key, kind)
) WITHOUT ROWID;
CREATE TABLE unlisted (
    hash BLOB, repository INTEGER, folder TEXT, PRIMARY KEY (hash, repository, folder)
) WITHOUT ROWID;
"""
# What takes a repository out, and then what nothing refers to any more.
FORGET = (
    "DELETE FROM results WHERE repository = :repository",
    "DELETE FROM places WHERE repository = :repository",
    "DELETE FROM numbers WHERE repository = :repository",
    "DELETE FROM unlisted WHERE repository = :repository",
    "DELETE FROM repositories WHERE id = :repository",
    "DELETE FROM names WHERE id NOT IN (SELECT path FROM places UNION SELECT key FROM numbers)",
    "DELETE FROM coordinates WHERE id NOT IN (SELECT data FROM results UNION SELECT code FROM results"
    " UNION SELECT params FROM results UNION SELECT environment FROM results"
    " UNION SELECT execution FROM results)",
)
# Columns of results: the keys of a result's coordinates, where its report could be made.
COORDINATES = ("data", "code", "params", "environment", "execution")


@dataclass(frozen=True)
class Indexed:
    """A repository that is in the index.

    Attributes:
        source: its URL or folder, as it was added.
        results: number of revisions that are known.
        experiments: number of those that are experiments.
        checked: when it was read last, in seconds since 1970.
        failed_since: when it could first not be read any more; None while it can.
        problem: why not.
    """

    source: str
    results: int
    experiments: int
    checked: int
    failed_since: int | None
    problem: str


def index_file(named: Path | None) -> Path:
    """Return the file of the index: the one that a command was told, else the variable's, else the user's."""
    variable = os.environ.get(VARIABLE)
    if named or variable:
        return Path(named or variable or "").absolute()
    import platformdirs

    return Path(platformdirs.user_data_dir("locatable")) / "index.sqlite"


@contextlib.contextmanager
def reading(file: Path) -> Iterator[sqlite3.Connection]:
    """Yield an index to read, which no lock guards: its file never changes, another one replaces it.

    Raises:
        NotFoundError: there is none.
        StoreError: it is damaged, or a newer version's.
    """
    if not file.is_file():
        raise NotFoundError(f"{file}: there is no index yet", hint="locatable index add PATH-OR-URL")
    url = f"file:{quote(str(file))}?mode=ro&immutable=1"
    with _damage_told(file), contextlib.closing(sqlite3.connect(url, uri=True)) as db:
        _check(db, file)
        yield db


@contextlib.contextmanager
def writing(file: Path) -> Iterator[sqlite3.Connection]:
    """Yield an index to change in memory; what was committed replaces the file, also after an error.

    Raises:
        StoreError: it is damaged, or a newer version's.
        ProjectError: another process has changed it meanwhile.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    before = _stamp(file)
    with _damage_told(file), contextlib.closing(sqlite3.connect(":memory:")) as db:
        if before:
            with reading(file) as stored:
                stored.backup(db)
        else:
            db.executescript(
                f"PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION}; {TABLES}"
            )
        try:
            yield db
        finally:
            db.rollback()
            if _stamp(file) != before:
                raise ProjectError(f"{file}: another process has changed it meanwhile: run the command again")
            # Others may read it if they could before; at first it is its owner's alone.
            with replacing(file, file.stat().st_mode & 0o777 if before else None) as written:
                written.write(db.serialize())


def _stamp(file: Path) -> tuple[int, int] | None:
    """Return what tells a file from the one that replaces it; None where there is none."""
    try:
        status = file.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns


@contextlib.contextmanager
def _damage_told(file: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.DatabaseError, zlib.error) as error:
        if isinstance(error, sqlite3.ProgrammingError | sqlite3.IntegrityError):
            raise  # a fault of ours
        raise _unusable(file, str(error)) from None


def _check(db: sqlite3.Connection, file: Path) -> None:
    application = db.execute("PRAGMA application_id").fetchone()[0]
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION:
        raise _unusable(file, "not an index of locatable")
    if version > VERSION:
        raise StoreError(f"{file}: an index of a newer locatable (version {version} of its tables): upgrade")


def _unusable(file: Path, reason: str) -> StoreError:
    return StoreError(
        f"{file}: cannot be used as an index: {reason}; delete it, and add its repositories again"
    )


def repositories(db: sqlite3.Connection) -> list[Indexed]:
    """Return what is in an index."""
    rows = db.execute(
        "SELECT source, (SELECT count(*) FROM results WHERE repository = repositories.id),"
        " (SELECT count(experiment) FROM results WHERE repository = repositories.id),"
        " checked, failed_since, problem FROM repositories ORDER BY source"
    )
    return [Indexed(*row) for row in rows]


def forget(db: sqlite3.Connection, source: str) -> None:
    """Take a repository, and all that is known of it, out of an index.

    Raises:
        NotFoundError: it is not in there.
    """
    row = db.execute("SELECT id FROM repositories WHERE source = ?", [source]).fetchone()
    if row is None:
        raise NotFoundError(f"{source}: not in the index (`locatable index` lists what is)")
    for statement in FORGET:
        db.execute(statement, {"repository": row[0]})
    db.commit()
    db.execute("VACUUM")  # what was deleted stays in unused pages otherwise
