"""An index of the results of many repositories: one SQLite file, which `locate --everywhere` asks.

It holds hashes of files, values, fingerprints of figures, and a report on each result; no file itself. It can
lie on a shared disk: whoever writes it replaces it as a whole, so that readers need neither locks nor a log.
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
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from ..errors import NotFoundError, ProjectError, StoreError
from ..git import top_folder
from ..git.objects import bytes_hash, git_hash
from ..git.pointers import lfs_pointer_hash, lfs_pointer_hash_of
from ..locate import render
from ..locate.by_value import QuotedNumber, parse_quoted
from ..locate.result import Match, Report, Role, RoleKind, ValueRole
from ..model import Experiment, json_text
from ..output import replacing
from ..repository.hashes import HashKind, content_hash, md5_of
from ..results.coordinates import Coordinate, Coordinates
from ..results.staleness import Difference, Kind
from ..results.values import ValueKind

VARIABLE = "LOCATABLE_INDEX"
# In the header of the file: whose it is, and the number that changes with the tables.
APPLICATION = 0x6C6F6361
VERSION = 2
# A place, value or figure that many revisions have is there once, with one result that has it. Paths are
# relative to the project, whose folder in the repository is the result's.
TABLES = """
-- By URL or folder; `refs` is a digest of all refs as they were when it was read last.
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
-- Coordinates as compressed JSON, without the commit: many results have the same ones.
CREATE TABLE coordinates (id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, content BLOB NOT NULL);
-- Revisions of a project; the report is compressed JSON, and empty where it could not be made.
CREATE TABLE results (
    id INTEGER PRIMARY KEY, repository INTEGER NOT NULL, folder TEXT NOT NULL, rev TEXT NOT NULL,
    experiment TEXT, time INTEGER NOT NULL, gone_since INTEGER, problem TEXT NOT NULL, report BLOB NOT NULL,
    data INTEGER NOT NULL, code INTEGER NOT NULL, params INTEGER NOT NULL, environment INTEGER NOT NULL,
    execution INTEGER NOT NULL,
    UNIQUE (repository, folder, rev)
);
CREATE INDEX results_by_rev ON results (rev);
CREATE INDEX results_by_experiment ON results (experiment) WHERE experiment IS NOT NULL;
-- Of two results that have the same, the one to tell: it is older, or some branch still has it.
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
-- What a figure looks like: digests of its pages, then its blocks with a `row` each. `version` is that of the
-- fingerprints; it is empty for a figure that was not looked at yet.
CREATE TABLE figures (
    hash BLOB, place INTEGER, version TEXT NOT NULL, digest BLOB, row BLOB, PRIMARY KEY (hash, place)
);
CREATE INDEX figures_by_digest ON figures (digest);
-- Tracked folders of which it is not known yet what is in them.
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
# Of a revision that could not be read, there is no report.
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
    if version < VERSION:
        raise _unusable(file, "an older locatable made it")


def _unusable(file: Path, reason: str) -> StoreError:
    return StoreError(
        f"{file}: cannot be used as an index: {reason}; delete it, and add its repositories again"
    )


def repositories(db: sqlite3.Connection) -> list[Indexed]:
    """Return what is in an index."""
    return [Indexed(*row) for row in db.execute(LIST)]


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


# Bytes of the hashes that DVC has; Git's are longer.
MD5_SIZE = 16
# Digits of a commit's id or a hash that are enough to mean one.
SHORTEST_ID = 7
# What a file is in a result, by what says most about where it comes from.
KINDS = (RoleKind.OUTPUT, RoleKind.ARTIFACT, RoleKind.SOURCE, RoleKind.INPUT, RoleKind.IN_GIT)
# Results that are told in full, and results that get a line; `--json` has all.
MOST_IN_FULL = 3
MOST_NAMED = 3
MOST_LINES = 20

# How a target belongs to results, by path or key; and the keys of the results.
Roles = dict[int, dict[str, Role | ValueRole]]


@dataclass(frozen=True)
class Found:
    """A result of one of many repositories; as JSON, its own keys stand beside those of the report.

    Attributes:
        repository: its URL or folder.
        folder: of the project in it, empty for its root.
        unreachable_since: when the repository could first not be read any more; None while it can.
        gone_since: when no branch, tag or experiment had the commit any more; None while one has it.
        figure: its place in the target, where that is a document.
        match: how a figure was found that has other bytes; empty for all else.
        report: on the result.
    """

    repository: str
    folder: str
    unreachable_since: str | None
    gone_since: str | None
    figure: str
    match: str
    report: Report


def find_everywhere(db: sqlite3.Connection, target: str) -> tuple[list[Found], list[str]]:
    """Return the results of all repositories that a target belongs to, and notes about what was not found.

    Those whose stage made it come first, older before newer ones; of a number, the likeliest.

    Args:
        db: the index.
        target: path of a file or folder; else what a file is called by Git or DVC (a hash), the id of a
            commit or the beginning of one, the name of an experiment, branch or tag, or a number as a text
            quotes it. Of a picture or document that is not known as a whole, the figures are looked up.

    Raises:
        NotFoundError: there is none.
        UnreadableError: the document is broken, encrypted, or too large.
    """
    path = Path(target)
    if path.exists():
        roles = _with_hash(db, _names_of(db, path))
        what = f"{target}: none of the repositories in the index has a file with this content"
    else:
        roles = _named(db, target)
        what = (
            f"{target}: no file here; no hash, commit, experiment, branch or tag of a repository in the index"
        )
        quoted = None if roles else parse_quoted(target)
        if quoted:
            roles = _with_number(db, quoted)
            what += ", nor a metric or param that rounds to this number"
    notes: list[str] = []
    found = [_found(db, result, of) for result, of in roles.items()]
    if not found and path.is_file():
        found, notes = _figures(db, path)
    if not found:
        raise NotFoundError(what, hint="; ".join([*notes, *_left_out(db)]))
    return found, notes


def _figures(db: sqlite3.Connection, path: Path) -> tuple[list[Found], list[str]]:
    """Return the results that figures of a picture or document are of, and a note about each other one."""
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
            if verdict.match is Match.NONE:
                notes.append(
                    ": ".join(filter(None, [figure.place, "no figure that is known", verdict.reason]))
                )
            groups = [verdict.keys, *verdict.others] if verdict.match is Match.TIE else [verdict.keys]
            for group in groups:
                roles = _with_hash(db, [hash_of(key).hex() for key in group])
                for result, of in roles.items():
                    found.append(_found(db, result, of, figure.place, verdict.match.value))
        if notes and known.not_here:
            sources = ", ".join(sorted(known.not_here)[:MOST_NAMED])
            notes.append(f"not compared with some of {sources}, whose files are not on this machine")
    return found, notes


def clones_folder() -> Path:
    """Return the folder of this user's clones of repositories that are no checkouts on this machine."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("locatable")).resolve() / "repositories"


def local_folder(source: str) -> Path:
    """Return the checkout that a repository is, or the folder of its clone, which need not be there yet.

    Raises:
        GitError: it is a folder, and no repository.
    """
    folder = Path(source)
    if folder.is_absolute() and (folder / ".git").exists():
        return folder
    is_bare = (folder / "HEAD").is_file() and (folder / "objects").is_dir()
    if folder.is_absolute() and not is_bare:
        return top_folder(folder)
    return clones_folder() / hashlib.sha256(source.encode()).hexdigest()[:32]


def names_of_content(db: sqlite3.Connection, content: bytes) -> list[str]:
    """Return what Git and DVC call a file with this content in any repository of an index."""
    names = [content_hash(content), content_hash(content, HashKind.MD5_OF_TEXT)]
    for (id_length,) in db.execute("SELECT DISTINCT id_length FROM repositories").fetchall():
        names += [bytes_hash(content, id_length), lfs_pointer_hash_of(content, id_length)]
    return names


def key_of(content: bytes) -> str:
    """Return the key of a figure in comparisons, by its hash, of which DVC's are the shortest."""
    return f"{'md5' if len(content) == MD5_SIZE else 'git'}:{content.hex()}"


def hash_of(key: str) -> bytes:
    """Return what Git or DVC call the figure with a key."""
    return bytes.fromhex(key.partition(":")[2])


def _names_of(db: sqlite3.Connection, path: Path) -> list[str]:
    """Return what Git and DVC call a file or folder in any repository of an index."""
    names = [md5_of(path), md5_of(path, HashKind.MD5_OF_TEXT)]
    if path.is_file():
        for (id_length,) in db.execute("SELECT DISTINCT id_length FROM repositories").fetchall():
            names += [git_hash(path, id_length), lfs_pointer_hash(path, id_length)]
    return names


def _with_hash(db: sqlite3.Connection, names: Iterable[str]) -> Roles:
    """Return the results that have a file by any of some hashes."""
    found: list[tuple[int, int, int, str, Role]] = []
    for name in dict.fromkeys(names):
        content = bytes.fromhex(name.removesuffix(".dir"))
        for kind, stage, committed, result, path in db.execute(WITH_HASH, [content]):
            role = Role(RoleKind[kind], stage)
            found.append((KINDS.index(role.kind), committed, result, path, role))
    roles: Roles = {}
    for _, _, result, path, role in sorted(found, key=lambda one: one[:4]):
        roles.setdefault(result, {}).setdefault(path, role)
    return roles


def _named(db: sqlite3.Connection, name: str) -> Roles:
    """Return the results of that name; and those that have a file by it, where it can be a hash."""
    roles: Roles = {}
    rows = db.execute(WITH_NAME, {"name": name}).fetchall()
    digits = name.lower().removesuffix(".dir")
    if re.fullmatch(rf"[0-9a-f]{{{SHORTEST_ID},64}}", digits):
        rows += db.execute(WITH_REV, [digits, f"{digits}g"]).fetchall()
        if len(digits) % 2 == 0:
            roles = _with_hash(db, [digits])
    return {result: {} for result, _ in rows} | roles


def _with_number(db: sqlite3.Connection, quoted: QuotedNumber) -> Roles:
    """Return the results with a value that prints so: metrics before params, older before newer ones."""
    by_kind: dict[ValueKind, Roles] = {kind: {} for kind in ValueKind}
    for wanted in quoted.numbers:
        exponent = wanted.as_tuple().exponent
        # Rounded to its last digit, a value is off by less than one of it.
        margin = 1.01 * 10.0 ** float(exponent) + abs(float(wanted)) * 1e-15
        bounds = [float(wanted) - margin, float(wanted) + margin]
        for result, key, kind, value in db.execute(WITH_VALUE, bounds):
            if quoted.names(key) and quoted.is_printed(value):
                role = ValueRole(ValueKind[kind], value)
                by_kind[role.kind].setdefault(result, {})[key] = role
    roles: Roles = {}
    for results in by_kind.values():
        for result, values in results.items():
            roles.setdefault(result, {}).update(values)
    return roles


def _left_out(db: sqlite3.Connection) -> list[str]:
    """Return lines about what can keep a result from being found."""
    lines = []
    count, source, problem = db.execute(PROBLEMS).fetchone()
    if count:
        lines.append(f"left out: parts of revisions, {count} of them, such as {source} {problem}")
    folders = db.execute("SELECT count(DISTINCT hash) FROM unlisted").fetchone()[0]
    if folders:
        lines.append(f"left out: files in tracked folders, {folders} of them, whose lists were not at hand")
    for source, since in db.execute("SELECT source, failed_since FROM repositories WHERE failed_since"):
        lines.append(f"{source} could not be read since {shown_time(since)}")
    return lines


def _found(
    db: sqlite3.Connection, result: int, roles: dict[str, Role | ValueRole], figure: str = "", match: str = ""
) -> Found:
    """Return what an index knows of a result."""
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
    values["stale"] = [Difference(**{**each, "kind": Kind(each["kind"])}) for each in values["stale"]]
    report = Report(**values)
    return Found(source, folder, shown_time(failed_since), shown_time(gone_since), figure, match, report)


def _unpacked(packed: bytes) -> dict[str, Any]:
    return cast(dict[str, Any], json.loads(zlib.decompress(packed)))


def shown_time(seconds: int | None) -> str | None:
    """Return a time for people to read; None for none."""
    return datetime.fromtimestamp(seconds).astimezone().isoformat(" ", "minutes") if seconds else None


def to_json(found: Sequence[Found]) -> str:
    """Return results as a JSON list; the keys of each are those of `locate --json`, and more."""
    listed = []
    for one in found:
        values = asdict(one)
        report = values.pop("report")
        listed.append({**values, **report})
    return json_text(listed, indent=1)


def to_text(found: Sequence[Found]) -> str:
    """Return reports on the first results for people to read, and a line for each of the next ones."""
    pages = [f"{_place(one)}\n{render.to_text(one.report)}" for one in found[:MOST_IN_FULL]]
    lines = [f"{_place(one)}  {render.title(one.report)}" for one in found[MOST_IN_FULL:]]
    if len(lines) > MOST_LINES:
        lines[MOST_LINES:] = [f"and {len(lines) - MOST_LINES} more (--json: all)"]
    if lines:
        pages.append("\n".join(lines))
    return "\n\n".join(pages)


def _place(found: Found) -> str:
    """Return where a result is, and whether it still is."""
    match = f"{found.match} (a lead)" if found.match == Match.SIMILAR.value else found.match
    parts = [*filter(None, [found.figure, match]), found.repository]
    if found.folder:
        parts.append(f"in {found.folder}")
    if found.unreachable_since:
        parts.append(f"UNREACHABLE since {found.unreachable_since}: as it was known before")
    if found.gone_since:
        parts.append(f"GONE: no branch, tag or experiment there has this commit since {found.gone_since}")
    return "  ".join(parts)
