"""Read the new results of repositories into an index, from Git's objects; nothing is run or checked out.

A checkout on this machine is read in place, with its DVC cache. A URL or a bare repository is fetched into a
clone in the user's cache folder.
"""

import hashlib
import math
import re
import shutil
import sqlite3
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..documents import PICTURES
from ..errors import GitError, LocatableError, UnreadableError, UsageError
from ..git import clone_git, git, make_clone, top_folder
from ..git.objects import FOLDER, LINK, SUBMODULE, commit_time
from ..locate.by_content import Commits, role_at
from ..locate.by_value import preloaded
from ..locate.result import Report, Result, Role, RoleKind, report_on
from ..model import Entry, folders, is_number, json_text
from ..output import progress_bar, redact_urls
from ..repository.reader import MARK, Reader, commit_id, projects_in
from ..repository.snapshot import Snapshot
from ..results.rebuild import origin_url
from ..results.values import NamedValue, number, values_of
from . import COORDINATES, MD5_SIZE, clones_folder, hash_of, key_of, local_folder

if TYPE_CHECKING:
    import numpy as np

    from ..documents import Look

# Branches, tags and experiments replace those of the clone; other refs, such as pull requests, are left out.
FETCHED = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*", "+refs/exps/*:refs/exps/*")
FETCH = ("fetch", "--quiet", "--prune", "--no-write-fetch-head", "--update-head-ok", "--refmap=")
# Git gives up on a server that sends nothing for a minute, and starts no background process that would
# outlive the command.
FETCH_SETTINGS = {
    "gc.autoDetach": "false",
    "http.lowSpeedLimit": "1",
    "http.lowSpeedTime": "60",
    "maintenance.autoDetach": "false",
}
# A longer list of code files is not stored: its digest and the commit identify the files.
MOST_FILES = 200
# Suffixes of files that are fingerprinted. Pictures in a larger tracked folder are data, not figures.
FIGURES = (*PICTURES, ".pdf")
MOST_IN_FOLDER = 1_000
_HASH = re.compile(r"([0-9a-f]{32,64})(?:\.dir)?")
# Lists all refs. The last id of an annotated tag is that of its commit.
REFS = ("for-each-ref", "--format=%(refname) %(objectname) %(*objectname)")
_ADD_REPOSITORY = """
INSERT INTO repositories (source, refs, id_length, checked, problem) VALUES (?, '', ?, ?, '')
ON CONFLICT DO NOTHING
"""
_HAS_FAILED = """
UPDATE repositories SET failed_since = coalesce(failed_since, ?), problem = ? WHERE source = ?
"""
_WAS_READ = """
UPDATE repositories SET refs = ?, checked = ?, failed_since = NULL, problem = ? WHERE id = ?
"""
_COUNT = "SELECT count(*) FROM results WHERE repository = ? AND folder = ?"
_KNOWN = """
SELECT rev, experiment, gone_since IS NULL, problem FROM results WHERE repository = ? AND folder = ?
"""
_SET_GONE = "UPDATE results SET gone_since = ? WHERE repository = ? AND folder = ? AND rev = ?"
_ADD_RESULT = """
INSERT INTO results (repository, folder, rev, experiment, time, problem, report,
data, code, params, environment, execution) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET experiment = excluded.experiment, problem = excluded.problem,
report = excluded.report RETURNING id
"""
_ADD_COORDINATES = "INSERT INTO coordinates (hash, content) VALUES (?, ?) ON CONFLICT DO NOTHING"
_ADD_PLACE = """
INSERT INTO places VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET result = excluded.result
WHERE EXISTS (SELECT 1 FROM preferences WHERE other = result AND preferred = excluded.result)
"""
_ADD_NUMBER = """
INSERT INTO numbers VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET result = excluded.result
WHERE EXISTS (SELECT 1 FROM preferences WHERE other = result AND preferred = excluded.result)
"""
_ADD_UNSEEN = "INSERT INTO figures VALUES (?, 0, '', NULL, NULL) ON CONFLICT DO NOTHING"
# Figures with fingerprints of a different version count as unseen, because the format may have changed.
_UNSEEN = """
SELECT DISTINCT hash FROM figures JOIN places USING (hash)
WHERE version != ? AND repository = ? AND folder = ?
"""
_ADD_UNLISTED = "INSERT INTO unlisted VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_IS_LISTED = "DELETE FROM unlisted WHERE hash = ? AND repository = ? AND folder = ?"
_UNLISTED = """
SELECT hash, name, kind, stage, result FROM unlisted JOIN places USING (hash, repository, folder)
JOIN names ON path = names.id WHERE repository = ? AND folder = ?
"""


def address(source: str) -> str:
    """Return the source by which the index stores a repository: the root of a checkout, or a URL.

    Raises:
        UsageError: the source is no URL, or a URL with a user name or password.
    """
    folder = Path(source)
    if folder.exists():
        with suppress(GitError):
            return str(top_folder(folder))
        return str(folder.resolve())
    if redact_urls(source) != source:
        raise UsageError(
            f"{redact_urls(source)}: an index keeps neither user names nor passwords",
            hint="leave them out, and let Git's credential helper know them",
        )
    if source.startswith("-") or ":" not in source:
        raise UsageError(f"{source}: neither a folder nor a URL")
    return source


def read_new(db: sqlite3.Connection, source: str) -> int:
    """Read the new results of a repository, and add the repository if the index does not have it.

    Returns:
        The number of new results.

    Raises:
        LocatableError: the repository cannot be read. The index keeps its results, and stores the reason.
    """
    now = int(time.time())
    try:
        with db:
            return _read_new(db, source, now)
    except (LocatableError, OSError) as error:
        problem = redact_urls(str(error))
        with db:
            db.execute(_HAS_FAILED, [now, problem, source])
        raise UnreadableError(f"{source}: {problem}") from None


def _read_new(db: sqlite3.Connection, source: str, now: int) -> int:
    top = local_folder(source)
    is_clone = top.is_relative_to(clones_folder())
    if is_clone:
        _fetch(Path(source) if Path(source).is_absolute() else source, top)
    with Reader(top) as reader:
        head = commit_id(reader, "HEAD") or ""
        projects = _projects(reader)
        id_length = len(head) or 40
    refs = git(top, *REFS)
    state = hashlib.sha256(f"{head}\n{refs}".encode(errors="surrogateescape")).hexdigest()
    db.execute(_ADD_REPOSITORY, [source, id_length, now])
    key, old_state = db.execute("SELECT id, refs FROM repositories WHERE source = ?", [source]).fetchone()
    _read_tips(db, key, refs)
    unread = []
    number_of_new = 0
    for folder in sorted({"", *projects}):
        if is_clone and folder in projects:
            # `Reader` recognizes a project by this folder, which a clone without files does not have.
            (top / folder / MARK).mkdir(parents=True, exist_ok=True)
        elif folder and not (top / folder / MARK).is_dir():
            unread.append(folder)
            continue
        with Reader(top / folder) as reader:
            project = _Project(db, key, reader, folder, projects)
            # A checkout is read again even if its refs have not changed, because its DVC cache may have files
            # now that it lacked before.
            if state != old_state or not is_clone:
                number_of_new += project.read(now, retries=not is_clone)
            project.add_listed_folders()
            project.add_fingerprints()
    problem = f"projects that are not in the checkout were not read: {', '.join(unread)}" if unread else ""
    db.execute(_WAS_READ, [state, now, problem, key])
    return number_of_new


def _read_tips(db: sqlite3.Connection, repository: int, refs: str) -> None:
    """Store the branches and tags of a repository, given the output of `REFS`."""
    db.execute("DELETE FROM tips WHERE repository = ?", [repository])
    for line in refs.splitlines():
        ref, *ids = line.split()
        _, kind, name = ref.split("/", 2)
        if kind in ("heads", "remotes", "tags"):
            db.execute("INSERT INTO tips VALUES (?, ?, ?)", [as_utf8(name), repository, ids[-1]])


def as_utf8(text: str) -> str:
    """Return a name as valid UTF-8: bytes that are not are written as escapes."""
    return text.encode(errors="backslashreplace").decode()


def _fetch(origin: str | Path, clone: Path) -> None:
    """Update a clone without checked out files; create it if it does not exist."""
    if not (clone / ".git").is_dir():
        # The clone gets its final name when it is complete, so that an interrupted one is made again.
        begun = clone / "begun"
        shutil.rmtree(begun, ignore_errors=True)
        clone.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_clone(origin, begun, "--bare")
        git(begun, "config", "core.bare", "false")
        begun.rename(clone / ".git")
    options = ("--recurse-submodules=no", "origin", *FETCHED)
    clone_git(clone, *FETCH, *options, settings=FETCH_SETTINGS)


def _projects(reader: Reader) -> set[str]:
    """Return the folders of all projects on the branches of a repository; the root is an empty text."""
    tips = git(reader.top, "for-each-ref", "--format=%(objectname)", "refs/heads", "refs/remotes").split()
    trees = []
    for tree in reader.objects.read(f"{tip}^{{tree}}" for tip in dict.fromkeys([*tips, "HEAD"])):
        if tree:
            trees.append(tree.id)
    reader.objects.load_trees(trees)
    projects: set[str] = set()
    for tree_id in trees:
        projects.update(projects_in(reader.objects, tree_id))
    # A hostile server can send such names. Git refuses to check them out, and so they are not read.
    return {folder for folder in projects if {"..", ".git"}.isdisjoint(folder.split("/"))}


class _Project:
    """Reads a project of a repository into an index. What earlier revisions have is not stored again."""

    def __init__(
        self, db: sqlite3.Connection, repository: int, reader: Reader, folder: str, projects: set[str]
    ) -> None:
        self._db = db
        self._repository = repository
        self._reader = reader
        self._folder = folder
        self._url = origin_url(reader)
        # False for the root of a repository if all its projects are in subfolders.
        self._is_project = folder in projects or not projects
        self._names: dict[str, int] = {}
        # The trees, places and numbers of the revisions read so far, which need not be stored again. A tree
        # is known only with the roles of its files, numbered by `_roles`: the same tree can have others.
        self._seen: set[tuple[Any, ...]] = set()
        self._roles: dict[frozenset[tuple[str, Role]], int] = {}

    def read(self, now: int, *, retries: bool) -> int:
        """Read the new revisions, oldest first, and return the number of results that this added.

        Args:
            now: the time, in seconds since 1970.
            retries: also read revisions again that could not be read completely.
        """
        commits = Commits(self._reader)
        before = self._count_results()
        unread = self._unread(commits, now, retries)
        times = {}
        for rev, commit in zip(unread, self._reader.objects.read(unread), strict=True):
            times[rev] = commit_time(commit.content.decode(errors="replace")) if commit else 0
        # Git lists newer commits first. The sort is stable, so that this order decides between equal times.
        ordered = sorted(reversed(unread), key=times.__getitem__)
        snapshots = preloaded(self._reader.snapshots(ordered))
        options = {"total": len(ordered), "unit": "revision", "delay": 1, "leave": False}
        for snapshot in progress_bar("read {n_fmt} of {total_fmt} revisions", iterable=snapshots, **options):
            self._add(Result(snapshot, commits.experiments.get(snapshot.rev)))
        return self._count_results() - before

    def _count_results(self) -> int:
        return int(self._db.execute(_COUNT, [self._repository, self._folder]).fetchone()[0])

    def _unread(self, commits: Commits, now: int, retries: bool) -> list[str]:
        """Return the revisions to read, and store which known ones have vanished or come back.

        Args:
            commits: all commits of branches, tags and experiments.
            now: the time, in seconds since 1970.
            retries: also return revisions that could not be read completely.
        """
        known: dict[str, str | None] = {}
        has_vanished = False
        present = set(commits.revs)
        rows = self._db.execute(_KNOWN, [self._repository, self._folder]).fetchall()
        for rev, experiment, was_present, problem in rows:
            if not problem or not retries:
                known[rev] = experiment
            is_present = rev in present
            if is_present != was_present:
                gone_since = None if is_present else now
                self._db.execute(_SET_GONE, [gone_since, self._repository, self._folder, rev])
                has_vanished = has_vanished or not is_present
        # Places and numbers are stored with one result only. If that has vanished, a different result should
        # take its place, so all revisions are read again.
        if has_vanished:
            known = {}
        unread = []
        for rev in commits.revs:
            experiment = commits.experiments.get(rev)
            if rev not in known or known[rev] != (experiment.name if experiment else None):
                unread.append(rev)
        experiments = [commits.experiments[rev] for rev in unread if rev in commits.experiments]
        foreign = self._reader.foreign_projects(experiments)
        return [rev for rev in unread if rev not in foreign]

    def _add(self, result: Result) -> None:
        """Store a revision, with the places and numbers that no earlier one has, or why it cannot be read."""
        snapshot = result.snapshot
        problems: list[str] = []
        places: list[tuple[bytes, str, Role]] = []
        numbers: list[NamedValue] = []
        report = None
        try:
            snapshot.check_whole()
            places = list(self._new_places(snapshot))
            numbers = list(self._new_numbers(values_of(snapshot, problems)))
            if not self._is_project and not places and not numbers:
                return
            report = report_on(self._reader, result, self._url, in_checkout=False)
        except UnreadableError as error:
            problems.insert(0, error.message)
            places, numbers = [], []
            self._seen.clear()  # some of it was not stored, and the next revision may have the same
        stored, coordinates = self._packed(report) if report else (b"", [0] * len(COORDINATES))
        experiment = result.experiment.name if result.experiment else None
        project = (self._repository, self._folder)
        row = [*project, snapshot.rev, experiment, snapshot.time, "; ".join(problems[:1])]
        key = self._db.execute(_ADD_RESULT, [*row, stored, *coordinates]).fetchone()[0]
        for hashed, path, role in places:
            self._add_place(hashed, path, role.kind.name, role.stage, key)
        for value in numbers:
            number_row = (value.value, *project, self._key_of_name(value.key), value.kind.name, key)
            self._db.execute(_ADD_NUMBER, number_row)

    def _add_place(
        self, hashed: bytes, path: str, kind: str, stage: str, result: int, *, is_data: bool = False
    ) -> None:
        """Store a place of a file, and mark a figure as not fingerprinted yet.

        Data is not fingerprinted: files that DVC tracks, unless a stage wrote them, and large folders.
        """
        place = (hashed, self._repository, self._folder, self._key_of_name(path), kind, stage, result)
        self._db.execute(_ADD_PLACE, place)
        is_in_dvc = len(hashed) == MD5_SIZE
        is_data = is_data or (is_in_dvc and kind != RoleKind.OUTPUT.name)
        if path.lower().endswith(FIGURES) and not is_data:
            self._db.execute(_ADD_UNSEEN, [hashed])

    def _packed(self, report: Report) -> tuple[bytes, list[int]]:
        """Return a compressed report without its coordinates, and the keys of the coordinates.

        Coordinates are stored separately, because many results share them.
        """
        values = asdict(report)
        keys = []
        for name in COORDINATES:
            coordinate = values["coordinates"][name]
            content = coordinate["content"]
            if name in ("code", "execution"):
                del content["commit"]
            files = content.get("files", ()) if name == "code" else ()
            if len(files) > MOST_FILES:
                content |= {"files": {}, "unlisted": len(files)}
            text = json_text(coordinate, separators=(",", ":")).encode()
            digest = hashlib.sha256(text).digest()[:16]
            self._db.execute(_ADD_COORDINATES, [digest, zlib.compress(text)])
            row = self._db.execute("SELECT id FROM coordinates WHERE hash = ?", [digest]).fetchone()
            keys.append(row[0])
        del values["coordinates"]
        return zlib.compress(json_text(values, separators=(",", ":")).encode()), keys

    def _key_of_name(self, name: str) -> int:
        """Return the key of a path, or of the name of a value; store it first if it is new."""
        if name not in self._names:
            stored = as_utf8(name)
            self._db.execute("INSERT INTO names (name) VALUES (?) ON CONFLICT DO NOTHING", [stored])
            row = self._db.execute("SELECT id FROM names WHERE name = ?", [stored]).fetchone()
            self._names[name] = row[0]
        return self._names[name]

    def _is_new(self, *item: Any) -> bool:
        """Return true if the method was not called with the same arguments before."""
        if item in self._seen:
            return False
        self._seen.add(item)
        return True

    def _new_places(self, snapshot: Snapshot) -> Iterator[tuple[bytes, str, Role]]:
        """Yield the hash, path and role of each file and tracked folder that no earlier revision has."""
        tracked = snapshot.tracked
        outputs = {path: role_at(snapshot, path) for path in snapshot.sources}
        for name, record in snapshot.records.items():
            outputs |= dict.fromkeys(record.outs, Role(RoleKind.OUTPUT, name))
        in_dvc = [(tracked[path], path, outputs[path]) for path in tracked]
        inputs: dict[str, Role] = {}
        for name, record in snapshot.records.items():
            for path, entry in record.deps.items():
                # An input that is tracked with the same hash is stored by its more telling role already.
                if entry.get("md5") != tracked.get(path, {}).get("md5"):
                    in_dvc.append((entry, path, Role(RoleKind.INPUT, name)))
                    inputs.setdefault(path, Role(RoleKind.INPUT, name))
        yield from self._new_places_in_git(snapshot, inputs, outputs)
        for entry, path, role in in_dvc:
            yield from self._new_places_in_dvc(entry, path, role)

    def _new_places_in_git(
        self, snapshot: Snapshot, inputs: Mapping[str, Role], outputs: Mapping[str, Role]
    ) -> Iterator[tuple[bytes, str, Role]]:
        """Yield the new places of files that Git tracks.

        Args:
            snapshot: the revision.
            inputs: the roles of inputs by path.
            outputs: the roles of outputs and sources by path; a file in such a folder has the same role.
        """
        roles = {**inputs, **outputs}
        number_of_roles = self._roles.setdefault(frozenset(roles.items()), len(self._roles))
        for blob, path in self._new_files(snapshot.tree, "", number_of_roles):
            role = Role(RoleKind.IN_GIT)
            for folder in folders(path):
                role = outputs.get(folder, role)
            role = roles.get(path, role)
            if self._is_new(blob, path, role):
                yield bytes.fromhex(blob), path, role

    def _new_files(self, tree: str, folder: str, roles: int) -> Iterator[tuple[str, str]]:
        """Yield the blob and path of files below a tree that no earlier revision has with the same roles.

        Args:
            tree: the id of the tree.
            folder: its path, with a slash at the end; empty for the project's own folder.
            roles: the number of the revision's roles; see `_roles`.
        """
        if not self._is_new(tree, folder, roles):
            return
        for name, (mode, entry) in self._reader.objects.entries(tree).items():
            if mode == FOLDER:
                # A folder with a `.dvc` folder is a different project, which is read by itself.
                if MARK not in self._reader.objects.entries(entry):
                    yield from self._new_files(entry, f"{folder}{name}/", roles)
            elif mode not in (SUBMODULE, LINK):
                yield entry, f"{folder}{name}"

    def _new_places_in_dvc(self, entry: Entry, path: str, role: Role) -> Iterator[tuple[bytes, str, Role]]:
        """Yield the new places of a file or folder that DVC tracks, and of the files that its entry lists."""
        hashes = {path: str(entry.get("md5", ""))}
        if entry.get("files"):
            hashes |= self._reader.folder_files(path, entry)
        for file, md5 in hashes.items():
            match = _HASH.fullmatch(md5)
            if not match or not self._is_new(md5, file, role):
                continue
            hashed = bytes.fromhex(match[1])
            yield hashed, file, role
            if md5.endswith(".dir") and len(hashes) == 1:
                self._db.execute(_ADD_UNLISTED, [hashed, self._repository, self._folder])

    def _new_numbers(self, values: Iterable[NamedValue]) -> Iterator[NamedValue]:
        """Yield the finite numbers among values, also those in texts, that no earlier revision has."""
        for value in values:
            real = value.value
            if isinstance(real, str):
                real = number(real)
            if not is_number(real) or not math.isfinite(real):
                continue
            if isinstance(real, int) and real.bit_length() > 63:
                real = float(real)  # the integers of SQLite have 64 bits
            if self._is_new(value.kind, value.key, real):
                yield replace(value, value=real)

    def add_listed_folders(self) -> None:
        """Store the files of tracked folders whose lists have arrived in this machine's DVC cache."""
        project = (self._repository, self._folder)
        for hashed, path, kind, stage, result in self._db.execute(_UNLISTED, project).fetchall():
            folder_md5 = f"{hashed.hex()}.dir"
            files = self._reader.folder_files(path, {"md5": folder_md5})
            if files == {path: folder_md5}:
                continue
            is_data = len(files) > MOST_IN_FOLDER
            for file, md5 in files.items():
                self._add_place(bytes.fromhex(md5), file, kind, stage, result, is_data=is_data)
            self._db.execute(_IS_LISTED, [hashed, *project])

    def add_fingerprints(self) -> None:
        """Store the fingerprints of new figures whose files are on this machine.

        Without the extra `documents`, no fingerprints are stored, and figures are found by their bytes only.
        """
        try:
            from ..locate.known_figures import LOOKS, FigureFiles, digest_rows, look_rows, read_rows
        except ModuleNotFoundError:
            return

        def rows_of(looks: "list[Look]") -> "tuple[np.ndarray, np.ndarray]":
            return digest_rows(looks), look_rows(looks)

        unseen = self._db.execute(_UNSEEN, [LOOKS, self._repository, self._folder]).fetchall()
        keys = [key_of(hashed) for (hashed,) in unseen]
        for rows_by_key, _ in read_rows(FigureFiles(self._reader), keys, rows_of):
            for key, (digests, blocks) in rows_by_key.items():
                rows = [(row["digest"].tobytes(), None) for row in digests]
                rows += [(row["digest"].tobytes(), row.tobytes()) for row in blocks]
                self._db.execute("DELETE FROM figures WHERE hash = ?", [hash_of(key)])
                for place, (digest, block) in enumerate(rows):
                    added = (hash_of(key), place, LOOKS, digest, block)
                    self._db.execute("INSERT INTO figures VALUES (?, ?, ?, ?, ?)", added)
