"""An index of the results of many repositories: one SQLite file, which `locate --everywhere` queries.

It holds hashes of files, values, fingerprints of figures, and a report on each result, but no files. It can
be on a shared disk: every writer replaces the file as a whole, so that readers need neither locks nor a log.
"""

import contextlib
import hashlib
import json
import os
import re
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from operator import itemgetter
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from ..errors import NotFoundError, ProjectError, StoreError
from ..git import top_folder
from ..git.objects import bytes_hash, git_hash
from ..git.pointers import lfs_pointer_hash, lfs_pointer_hash_of
from ..locate import render
from ..locate.by_value import QuotedNumber, last_place, parse_quoted
from ..locate.result import Match, Report, Role, RoleKind, ValueRole
from ..model import Experiment, json_text
from ..output import replacing
from ..repository.hashes import HashKind, content_hash, md5_of
from ..results.coordinates import Coordinate, Coordinates
from ..results.staleness import Difference, Kind
from ..results.values import ValueKind

VARIABLE = "LOCATABLE_INDEX"
# Two numbers in the header of the file: one identifies it as an index; the other one is the version of its
# tables, and changes with them.
APPLICATION = 0x6C6F6361
VERSION = 2
# A place, value or figure that many revisions share is stored once, with one of the results that have it.
# Paths are relative to the project. `folder` is the project's folder in the repository.
TABLES = """
-- The source is a URL or folder; `refs` is a digest of all refs at the time of the last reading.
CREATE TABLE repositories (
    id INTEGER PRIMARY KEY, source TEXT NOT NULL UNIQUE, refs TEXT NOT NULL, id_length INTEGER NOT NULL,
    checked INTEGER NOT NULL, failed_since INTEGER, problem TEXT NOT NULL
);
-- Branches and tags.
CREATE TABLE tips (
    name TEXT, repository INTEGER, rev TEXT, PRIMARY KEY (name, repository, rev)
) WITHOUT ROWID;
-- Paths of files, and keys of metrics and params.
CREATE TABLE names (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
-- Coordinates as compressed JSON, without the commit, so that many results can share them.
CREATE TABLE coordinates (id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, content BLOB NOT NULL);
-- Revisions of a project. The report is compressed JSON; it is empty if the revision could not be read.
CREATE TABLE results (
    id INTEGER PRIMARY KEY, repository INTEGER NOT NULL, folder TEXT NOT NULL, rev TEXT NOT NULL,
    experiment TEXT, time INTEGER NOT NULL, gone_since INTEGER, problem TEXT NOT NULL, report BLOB NOT NULL,
    data INTEGER NOT NULL, code INTEGER NOT NULL, params INTEGER NOT NULL, environment INTEGER NOT NULL,
    execution INTEGER NOT NULL,
    UNIQUE (repository, folder, rev)
);
CREATE INDEX results_by_rev ON results (rev);
CREATE INDEX results_by_experiment ON results (experiment) WHERE experiment IS NOT NULL;
-- Of two results with the same file or value, `preferred` replaces `other` if that has vanished or is newer.
CREATE VIEW preferences AS SELECT other.id AS other, preferred.id AS preferred
    FROM results AS other, results AS preferred
    WHERE other.gone_since IS NOT NULL OR preferred.time < other.time;
-- Files and tracked folders by Git's or DVC's hash.
CREATE TABLE places (
    hash BLOB, repository INTEGER, folder TEXT, path INTEGER, kind TEXT, stage TEXT, result INTEGER NOT NULL,
    PRIMARY KEY (hash, repository, folder, path, kind, stage)
) WITHOUT ROWID;
-- Metrics and params.
CREATE TABLE numbers (
    value BLOB, repository INTEGER, folder TEXT, key INTEGER, kind TEXT, result INTEGER NOT NULL,
    PRIMARY KEY (value, repository, folder, key, kind)
) WITHOUT ROWID;
-- Fingerprints of figures: the digests of all pages, then the blocks with a `row` each. `version` is that of
-- the fingerprints; it is empty if there are none yet.
CREATE TABLE figures (
    hash BLOB, place INTEGER, version TEXT NOT NULL, digest BLOB, row BLOB, PRIMARY KEY (hash, place)
);
CREATE INDEX figures_by_digest ON figures (digest);
-- Tracked folders whose lists of files have not been on this machine yet.
CREATE TABLE unlisted (
    hash BLOB, repository INTEGER, folder TEXT, PRIMARY KEY (hash, repository, folder)
) WITHOUT ROWID;
"""
# Statements that delete a repository, and then the rows that nothing refers to any more.
FORGET = (
    "DELETE FROM results WHERE repository = :repository",
    "DELETE FROM places WHERE repository = :repository",
    "DELETE FROM numbers WHERE repository = :repository",
    "DELETE FROM unlisted WHERE repository = :repository",
    "DELETE FROM tips WHERE repository = :repository",
    "DELETE FROM repositories WHERE id = :repository",
    "DELETE FROM names WHERE id NOT IN (SELECT path FROM places UNION SELECT key FROM numbers)",
    "DELETE FROM figures WHERE hash NOT IN (SELECT hash FROM places)",
    "DELETE FROM coordinates WHERE id NOT IN (SELECT data FROM results UNION SELECT code FROM results"
    " UNION SELECT params FROM results UNION SELECT environment FROM results"
    " UNION SELECT execution FROM results)",
)
LIST = """
SELECT source, count(results.id), count(experiment), checked, failed_since, repositories.problem
FROM repositories LEFT JOIN results ON repository = repositories.id GROUP BY source ORDER BY source
"""
WITH_HASH = """
SELECT kind, stage, time, result, name FROM places JOIN names ON path = names.id
JOIN results ON result = results.id WHERE hash = ?
"""
WITH_VALUE = """
SELECT result, name, kind, value FROM numbers JOIN names ON key = names.id
JOIN results ON result = results.id WHERE value BETWEEN ? AND ? ORDER BY time, result, value
"""
# Revisions that could not be read have no report, and cannot be found by name.
WITH_NAME = """
SELECT id, time FROM results WHERE experiment = :name AND report != x''
UNION SELECT id, time FROM results JOIN tips USING (repository, rev) WHERE name = :name AND report != x''
ORDER BY time
"""
WITH_REV = "SELECT id, time FROM results WHERE rev BETWEEN ? AND ? AND report != x'' ORDER BY time"
RESULT = """
SELECT source, failed_since, folder, gone_since, rev, report, data, code, params, environment, execution
FROM results JOIN repositories ON repository = repositories.id WHERE results.id = ?
"""
PROBLEMS = """
SELECT count(*), source, results.problem FROM results JOIN repositories ON repository = repositories.id
WHERE results.problem != ''
"""
# Columns of `results` with the keys of its coordinates; they are 0 if there is no report.
COORDINATES = ("data", "code", "params", "environment", "execution")


@dataclass(frozen=True)
class Indexed:
    """A repository in the index.

    Attributes:
        source: its URL or folder, as it was added.
        results: the number of its revisions in the index.
        experiments: how many of these are experiments.
        checked: when it was last read, in seconds since 1970.
        failed_since: when reading it first failed; None if the last attempt succeeded.
        problem: why reading failed, or what could not be read; empty if there was no problem.
    """

    source: str
    results: int
    experiments: int
    checked: int
    failed_since: int | None
    problem: str


def index_file(named: Path | None) -> Path:
    """Return the path of the index: `named`, or that of the environment variable, or the user's default."""
    variable = os.environ.get(VARIABLE)
    if named or variable:
        return Path(named or variable or "").absolute()
    import platformdirs

    return Path(platformdirs.user_data_dir("locatable")) / "index.sqlite"


@contextlib.contextmanager
def reading(file: Path) -> Iterator[sqlite3.Connection]:
    """Open an index for reading. No lock is needed, because a writer never changes the file but replaces it.

    Raises:
        NotFoundError: there is no index.
        StoreError: the index is damaged, or of a different version.
    """
    if not file.is_file():
        raise NotFoundError(f"{file}: there is no index yet", hint="locatable index add PATH-OR-URL")
    url = f"file:{quote(str(file))}?mode=ro&immutable=1"
    with _damage_reported(file), contextlib.closing(sqlite3.connect(url, uri=True)) as db:
        _check(db, file)
        yield db


@contextlib.contextmanager
def writing(file: Path) -> Iterator[sqlite3.Connection]:
    """Open a copy of an index in memory for changes. In the end it replaces the file, also after an error.

    Only committed changes are written.

    Raises:
        StoreError: the index is damaged, or of a different version.
        ProjectError: another process has changed the file in the meantime.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    before = _stamp(file)
    with _damage_reported(file), contextlib.closing(sqlite3.connect(":memory:")) as db:
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
            # The permissions of the file are kept. A new file can be read by its owner only.
            with replacing(file, file.stat().st_mode & 0o777 if before else None) as written:
                written.write(db.serialize())


def _stamp(file: Path) -> tuple[int, int] | None:
    """Return an inode and time that change if the file is replaced; None if there is no file."""
    try:
        status = file.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns


@contextlib.contextmanager
def _damage_reported(file: Path) -> Iterator[None]:
    """Turn errors about a damaged file into `StoreError`."""
    try:
        yield
    except (sqlite3.DatabaseError, zlib.error) as error:
        if isinstance(error, sqlite3.ProgrammingError | sqlite3.IntegrityError):
            raise  # a bug in this package, not a damaged file
        raise _unusable(file, str(error)) from None


def _check(db: sqlite3.Connection, file: Path) -> None:
    application = db.execute("PRAGMA application_id").fetchone()[0]
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION:
        raise _unusable(file, "not an index of locatable")
    if version > VERSION:
        raise StoreError(f"{file}: an index of a newer locatable (version {version} of its tables): upgrade")
    if version < VERSION:
        raise _unusable(file, "an older locatable made it")


def _unusable(file: Path, reason: str) -> StoreError:
    return StoreError(
        f"{file}: cannot be used as an index: {reason}; delete it, and add its repositories again"
    )


def repositories(db: sqlite3.Connection) -> list[Indexed]:
    """Return the repositories in an index."""
    return [Indexed(*row) for row in db.execute(LIST)]


def forget(db: sqlite3.Connection, source: str) -> None:
    """Remove a repository with all its results from an index.

    Raises:
        NotFoundError: the repository is not in the index.
    """
    row = db.execute("SELECT id FROM repositories WHERE source = ?", [source]).fetchone()
    if row is None:
        raise NotFoundError(f"{source}: not in the index (`locatable index` lists what is)")
    for statement in FORGET:
        db.execute(statement, {"repository": row[0]})
    db.commit()
    db.execute("VACUUM")  # otherwise the deleted rows would stay in unused pages of the file


# Length of DVC's hashes in bytes; those of Git are longer.
MD5_SIZE = 16
# Fewest digits of a commit's id or a hash that are looked up.
SHORTEST_ID = 7
# The roles of files, those first that say most about where a file comes from.
KINDS = (RoleKind.OUTPUT, RoleKind.ARTIFACT, RoleKind.SOURCE, RoleKind.INPUT, RoleKind.IN_GIT)
# Number of results that are reported in full, of repositories that are named, and of results that get a line;
# `--json` has all results.
MOST_IN_FULL = 3
MOST_NAMED = 3
MOST_LINES = 20

# The roles of a target by path or key, by the key of the result in the index.
Roles = dict[int, dict[str, Role | ValueRole]]


@dataclass(frozen=True)
class Found:
    """A result in one of many repositories; its JSON also has the keys of the report.

    Attributes:
        repository: the URL or folder of its repository.
        folder: the folder of its project in the repository; empty for the root.
        unreachable_since: when reading the repository first failed; None if the last attempt succeeded.
        gone_since: when the commit was first missing from all branches, tags and experiments; else None.
        figure: the place of the figure in the target, if that is a document.
        match: how the figure was found, if the target is a picture or document without a result of its own.
        report: the report on the result.
    """

    repository: str
    folder: str
    unreachable_since: str | None
    gone_since: str | None
    figure: str
    match: str
    report: Report


def find_everywhere(db: sqlite3.Connection, target: str) -> tuple[list[Found], list[str]]:
    """Return the results of all repositories that a target belongs to, and notes about figures not found.

    Results with a stage that made the target come first, and older ones before newer ones. For a number, the
    likeliest results come first.

    Args:
        db: the index.
        target: the path of a file or folder; or the hash of a file in Git or DVC; or the id of a commit, or
            its beginning; or the name of an experiment, branch or tag; or a number as a text quotes it. If no
            result has a picture or document as a whole, its figures are looked up.

    Raises:
        NotFoundError: no result matches.
        UnreadableError: the document is broken, encrypted, or too large.
    """
    path = Path(target)
    if path.exists():
        roles = _with_hash(db, _hashes_of(db, path))
        problem = f"{target}: none of the repositories in the index has a file with this content"
    else:
        roles = _with_name(db, target)
        problem = (
            f"{target}: no file here; no hash, commit, experiment, branch or tag of a repository in the index"
        )
        quoted = None if roles else parse_quoted(target)
        if quoted:
            roles = _with_number(db, quoted)
            problem += ", nor a metric or param that rounds to this number"
    notes: list[str] = []
    found = [_read_result(db, result, of_target) for result, of_target in roles.items()]
    if not found and path.is_file():
        found, notes = _find_figures(db, path)
    if not found:
        raise NotFoundError(problem, hint="; ".join([*notes, *_left_out(db)]))
    return found, notes


def _find_figures(db: sqlite3.Connection, path: Path) -> tuple[list[Found], list[str]]:
    """Return the results of the figures in a picture or document, and a note about each unknown figure."""
    from ..documents import bounded_reading, is_document, is_picture

    if not is_picture(path) and not is_document(path):
        return [], []
    try:
        from ..locate.figure_match import compared_figures
        from .figures import IndexedFigures
    except ModuleNotFoundError:
        return [], ["to compare figures: pip install 'locatable[documents]'"]
    found: list[Found] = []
    notes: list[str] = []
    with bounded_reading(str(path)), IndexedFigures(db) as known:
        for figure, verdict in compared_figures(known, path):
            if not verdict.is_found:
                parts = [figure.place, "not a known figure", verdict.reason]
                notes.append(": ".join(filter(None, parts)))
            # In a tie, the results of all candidates are listed.
            groups = [verdict.keys, *verdict.others] if verdict.match is Match.TIE else [verdict.keys]
            for group in groups:
                roles = _with_hash(db, [hash_of(key).hex() for key in group])
                for result, of_figure in roles.items():
                    found.append(_read_result(db, result, of_figure, figure.place, verdict.match.value))
        if notes and known.not_here:
            sources = ", ".join(sorted(known.not_here)[:MOST_NAMED])
            notes.append(f"not compared with some of {sources}, whose files are not on this machine")
    return found, notes


def clones_folder() -> Path:
    """Return the user's cache folder with clones of the repositories that are not checked out here."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("locatable")).resolve() / "repositories"


def local_folder(source: str) -> Path:
    """Return the folder of a repository that is a checkout, or else the folder for a clone of it.

    The clone need not exist yet.

    Raises:
        GitError: the source is a folder, but not a Git repository.
    """
    folder = Path(source)
    if folder.is_absolute() and (folder / ".git").exists():
        return folder
    is_bare = (folder / "HEAD").is_file() and (folder / "objects").is_dir()
    if folder.is_absolute() and not is_bare:
        return top_folder(folder)
    return clones_folder() / hashlib.sha256(source.encode()).hexdigest()[:32]


def hashes_of_content(db: sqlite3.Connection, content: bytes) -> list[str]:
    """Return all hashes that a file with this content can have in a repository of the index."""
    hashes = [content_hash(content), content_hash(content, HashKind.MD5_OF_TEXT)]
    for (id_length,) in db.execute("SELECT DISTINCT id_length FROM repositories").fetchall():
        hashes += [bytes_hash(content, id_length), lfs_pointer_hash_of(content, id_length)]
    return hashes


def key_of(content: bytes) -> str:
    """Return the key of a figure with this hash. The length tells DVC's hashes from those of Git."""
    return f"{'md5' if len(content) == MD5_SIZE else 'git'}:{content.hex()}"


def hash_of(key: str) -> bytes:
    """Return the hash of the figure with a key, in Git or DVC."""
    return bytes.fromhex(key.partition(":")[2])


def _hashes_of(db: sqlite3.Connection, path: Path) -> list[str]:
    """Return all hashes that a file or folder can have in a repository of the index."""
    hashes = [md5_of(path), md5_of(path, HashKind.MD5_OF_TEXT)]
    if path.is_file():
        for (id_length,) in db.execute("SELECT DISTINCT id_length FROM repositories").fetchall():
            hashes += [git_hash(path, id_length), lfs_pointer_hash(path, id_length)]
    return hashes


def _with_hash(db: sqlite3.Connection, hashes: Iterable[str]) -> Roles:
    """Return the results that have a file or folder with any of the hashes."""
    found: list[tuple[int, int, int, str, Role]] = []
    for hashed in dict.fromkeys(hashes):
        content = bytes.fromhex(hashed.removesuffix(".dir"))
        for kind, stage, time, result, path in db.execute(WITH_HASH, [content]):
            role = Role(RoleKind[kind], stage)
            found.append((KINDS.index(role.kind), time, result, path, role))
    roles: Roles = {}
    for _, _, result, path, role in sorted(found, key=itemgetter(0, 1, 2, 3)):
        roles.setdefault(result, {}).setdefault(path, role)
    return roles


def _with_name(db: sqlite3.Connection, name: str) -> Roles:
    """Return the results with a name; and those that have a file with that hash, if the name can be one."""
    roles: Roles = {}
    rows = db.execute(WITH_NAME, {"name": name}).fetchall()
    digits = name.lower().removesuffix(".dir")
    if re.fullmatch(rf"[0-9a-f]{{{SHORTEST_ID},64}}", digits):
        rows += db.execute(WITH_REV, [digits, f"{digits}g"]).fetchall()
        if len(digits) % 2 == 0:
            roles = _with_hash(db, [digits])
    return {result: {} for result, _ in rows} | roles


def _with_number(db: sqlite3.Connection, quoted: QuotedNumber) -> Roles:
    """Return the results with a value that rounds to a number: metrics before params, older ones first."""
    by_kind: dict[ValueKind, Roles] = {kind: {} for kind in ValueKind}
    for number in quoted.numbers:
        # A value that rounds to the number differs from it by less than one unit in its last digit.
        margin = 1.01 * 10.0 ** float(last_place(number)) + abs(float(number)) * 1e-15
        bounds = [float(number) - margin, float(number) + margin]
        for result, key, kind, value in db.execute(WITH_VALUE, bounds):
            if quoted.can_mean(key) and quoted.is_printed(value):
                role = ValueRole(ValueKind[kind], value)
                by_kind[role.kind].setdefault(result, {})[key] = role
    roles: Roles = {}
    for results in by_kind.values():
        for result, values in results.items():
            roles.setdefault(result, {}).update(values)
    return roles


def _left_out(db: sqlite3.Connection) -> list[str]:
    """Return lines about revisions, folders and repositories that were not read, so may hide a result."""
    lines = []
    count, source, problem = db.execute(PROBLEMS).fetchone()
    if count:
        lines.append(f"left out: parts of revisions ({count}), such as {source} {problem}")
    folders = db.execute("SELECT count(DISTINCT hash) FROM unlisted").fetchone()[0]
    if folders:
        lines.append(f"left out: files in tracked folders ({folders}) whose lists were not available")
    for source, since in db.execute("SELECT source, failed_since FROM repositories WHERE failed_since"):
        lines.append(f"{source} could not be read since {shown_time(since)}")
    return lines


def _read_result(
    db: sqlite3.Connection, result: int, roles: dict[str, Role | ValueRole], figure: str = "", match: str = ""
) -> Found:
    """Read a result from the index."""
    row = db.execute(RESULT, [result]).fetchone()
    source, failed_since, folder, gone_since, rev, packed, *keys = row
    values = _unpacked(packed)
    coordinates = {}
    for name, key in zip(COORDINATES, keys, strict=True):
        content = _unpacked(db.execute("SELECT content FROM coordinates WHERE id = ?", [key]).fetchone()[0])
        if name in ("code", "execution"):
            content["content"] = {"commit": rev, **content["content"]}
        coordinates[name] = Coordinate(**content)
    values["coordinates"] = Coordinates(**coordinates)
    values["roles"] = {path: str(role) for path, role in roles.items()}
    values["experiment"] = Experiment(**values["experiment"]) if values["experiment"] else None
    for difference in values["stale"]:
        difference["kind"] = Kind(difference["kind"])
    values["stale"] = [Difference(**difference) for difference in values["stale"]]
    report = Report(**values)
    return Found(source, folder, shown_time(failed_since), shown_time(gone_since), figure, match, report)


def _unpacked(packed: bytes) -> dict[str, Any]:
    return cast(dict[str, Any], json.loads(zlib.decompress(packed)))


def shown_time(seconds: int | None) -> str | None:
    """Return a time as text in the local time zone; None for None or 0."""
    return datetime.fromtimestamp(seconds).astimezone().isoformat(" ", "minutes") if seconds else None


def to_json(found: Sequence[Found]) -> str:
    """Return results as a JSON list; each has the keys of `locate --json`, and those of `Found`."""
    items = []
    for result in found:
        values = asdict(result)
        report = values.pop("report")
        items.append({**values, **report})
    return json_text(items, indent=1)


def to_text(found: Sequence[Found]) -> str:
    """Return full reports on the first results as text, and a line for each of the next ones."""
    pages = [f"{_place(result)}\n{render.to_text(result.report)}" for result in found[:MOST_IN_FULL]]
    lines = [f"{_place(result)}  {render.title(result.report)}" for result in found[MOST_IN_FULL:]]
    if len(lines) > MOST_LINES:
        lines[MOST_LINES:] = [f"and {len(lines) - MOST_LINES} more (--json: all)"]
    if lines:
        pages.append("\n".join(lines))
    return "\n\n".join(pages)


def _place(found: Found) -> str:
    """Return a line that says where a result is, and whether it still exists there."""
    match = f"{found.match} (a lead)" if found.match == Match.SIMILAR.value else found.match
    parts = [*filter(None, [found.figure, match]), found.repository]
    if found.folder:
        parts.append(f"in {found.folder}")
    if found.unreachable_since:
        parts.append(f"UNREACHABLE since {found.unreachable_since}: shown as it was last read")
    if found.gone_since:
        parts.append(f"GONE: no branch, tag or experiment there has this commit since {found.gone_since}")
    return "  ".join(parts)
