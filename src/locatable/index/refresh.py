"""Reads repositories into an index: what is new in each, from Git's objects; nothing is run or checked out.

A folder of this machine is read where it is, with DVC's cache; what a URL or a bare repository has is fetched
into a clone in the user's cache folder.
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
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..documents import PICTURES
from ..errors import GitError, LocatableError, UnreadableError, UsageError
from ..git import clone_git, git, make_clone, top_folder
from ..git.objects import FOLDER, LINK, SUBMODULE, commit_time
from ..locate.by_content import Commits, role_at
from ..locate.result import Report, Result, Role, RoleKind, report_on
from ..model import Entry, folders, json_text
from ..output import progress_bar, redact_urls
from ..repository.reader import MARK, TOGETHER, Reader, commit_id, projects_in
from ..repository.snapshot import Snapshot
from ..results.rebuild import origin_url
from ..results.values import NamedValue, number, preload_values, values_of
from . import COORDINATES, MD5_SIZE, clones_folder, hash_of, key_of, local_folder

if TYPE_CHECKING:
    import numpy as np

    from ..documents import Look

# All branches, tags and experiments, as the repository has them now; nothing else, such as pull requests.
FETCHED = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*", "+refs/exps/*:refs/exps/*")
FETCH = ("fetch", "--quiet", "--prune", "--no-write-fetch-head", "--update-head-ok", "--refmap=")
# A server that sends nothing for a minute is not waited for; no process of Git's outlives the command.
FETCH_SETTINGS = {
    "gc.autoDetach": "false",
    "http.lowSpeedLimit": "1",
    "http.lowSpeedTime": "60",
    "maintenance.autoDetach": "false",
}
# A longer list of code files is left to its digest and to the commit.
MOST_FILES = 200
# Files that are looked at, and in how large a folder of DVC's they are figures, and not data.
FIGURES = (*PICTURES, ".pdf")
MOST_IN_FOLDER = 1_000
_HASH = re.compile(r"([0-9a-f]{32,64})(?:\.dir)?")
# All refs, of a tag also the commit that it means.
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
# What another version read counts as unseen: what a fingerprint is can change.
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
    """Return how an index calls a repository: the root of a checkout on this machine, or a URL.

    Raises:
        UsageError: the URL holds a password, or is none.
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
    """Read what is new in a repository, which is added where it is not there yet.

    Returns:
        The number of new results.

    Raises:
        LocatableError: it cannot be read; what was known of it stays, and why is noted.
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
    top = _readable_folder(source)
    with Reader(top) as reader:
        head = commit_id(reader, "HEAD") or ""
        projects = _projects(reader)
        id_length = len(head) or 40
    refs = git(top, *REFS)
    state = hashlib.sha256(f"{head}\n{refs}".encode(errors="surrogateescape")).hexdigest()
    db.execute(_ADD_REPOSITORY, [source, id_length, now])
    key, known = db.execute("SELECT id, refs FROM repositories WHERE source = ?", [source]).fetchone()
    _read_tips(db, key, refs)
    unread = []
    number_of_new = 0
    is_clone = top.is_relative_to(clones_folder())
    for folder in sorted({"", *projects}):
        if is_clone and folder in projects:
            (top / folder / MARK).mkdir(parents=True, exist_ok=True)  # the reader looks for it
        elif folder and not (top / folder / MARK).is_dir():
            unread.append(folder)
            continue
        with Reader(top / folder) as reader:
            project = _Project(db, key, reader, folder, projects)
            # What was missing from the DVC cache of a checkout can be there now.
            if known != state or not is_clone:
                number_of_new += project.read(now, retries=not is_clone)
            project.list_folders()
            project.look_at_figures()
    problem = f"projects that are not in the checkout were not read: {', '.join(unread)}" if unread else ""
    db.execute(_WAS_READ, [state, now, problem, key])
    return number_of_new


def _read_tips(db: sqlite3.Connection, repository: int, refs: str) -> None:
    """Note the branches and tags of a repository, as `REFS` lists them."""
    db.execute("DELETE FROM tips WHERE repository = ?", [repository])
    for line in refs.splitlines():
        ref, *ids = line.split()
        _, kind, name = ref.split("/", 2)
        if kind in ("heads", "remotes", "tags"):
            db.execute("INSERT INTO tips VALUES (?, ?, ?)", [as_utf8(name), repository, ids[-1]])


def as_utf8(text: str) -> str:
    """Return a name; one that is not UTF-8 is written as `repr` does."""
    return text.encode(errors="backslashreplace").decode()


def _readable_folder(source: str) -> Path:
    """Return a checkout: the source itself, or a clone in which everything of it is that is read."""
    folder = local_folder(source)
    if folder.is_relative_to(clones_folder()):
        _fetch(Path(source) if Path(source).is_absolute() else source, folder)
    return folder


def _fetch(origin: str | Path, clone: Path) -> None:
    """Bring a clone without files up to date, which is made where it is not there."""
    if not (clone / ".git").is_dir():
        begun = clone / "begun"
        shutil.rmtree(begun, ignore_errors=True)
        clone.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_clone(origin, begun, "--bare")
        git(begun, "config", "core.bare", "false")
        begun.rename(clone / ".git")
    options = ("--recurse-submodules=no", "origin", *FETCHED)
    clone_git(clone, *FETCH, *options, settings=FETCH_SETTINGS)


def _projects(reader: Reader) -> set[str]:
    """Return the folders of all projects that branches of a repository have; that of its root is empty."""
    tips = git(reader.top, "for-each-ref", "--format=%(objectname)", "refs/heads", "refs/remotes").split()
    trees = []
    for answer in reader.objects.read(f"{tip}^{{tree}}" for tip in dict.fromkeys([*tips, "HEAD"])):
        if answer:
            trees.append(answer[0])
    reader.objects.load_trees(trees)
    found: set[str] = set()
    for tree in trees:
        found.update(projects_in(reader.objects, tree))
    # Git takes such a name from a server, and would not check it out.
    return {folder for folder in found if {"..", ".git"}.isdisjoint(folder.split("/"))}


class _Project:
    """Reads a project of a repository into an index."""

    def __init__(
        self, db: sqlite3.Connection, repository: int, reader: Reader, folder: str, projects: set[str]
    ) -> None:
        self._db = db
        self._repository = repository
        self._reader = reader
        self._folder = folder
        self._url = origin_url(reader)
        # Else it is the root of a repository whose projects are all below it.
        self._is_project = folder in projects or not projects
        self._names: dict[str, int] = {}
        # What earlier revisions have, too: folders by what is in them and the roles there, places, numbers.
        self._seen: set[tuple[Any, ...]] = set()
        self._roles: dict[frozenset[tuple[str, Role]], int] = {}

    def read(self, now: int, *, retries: bool) -> int:
        """Read the revisions that are not known yet, oldest first, and return their number.

        With `retries`, read those again of which something could not be read.
        """
        commits = Commits(self._reader)
        before = self._number_of_results()
        unread = self._unread(commits, now, retries)
        answers = self._reader.objects.read(unread)
        times = {}
        for rev, answer in zip(unread, answers, strict=True):
            times[rev] = commit_time(answer[1].decode(errors="replace")) if answer else 0
        # Of the same second, the later ones are listed first.
        ordered = sorted(reversed(unread), key=times.__getitem__)
        snapshots = self._reader.snapshots(ordered)
        plain = "read {n_fmt} of {total_fmt} revisions"
        with progress_bar(plain, total=len(ordered), unit="revision", delay=1, leave=False) as bar:
            while together := list(islice(snapshots, TOGETHER)):
                preload_values(together)
                for snapshot in together:
                    experiment = commits.experiments.get(snapshot.rev)
                    self._add(Result(snapshot, experiment))
                    bar.update()
        return self._number_of_results() - before

    def _number_of_results(self) -> int:
        return int(self._db.execute(_COUNT, [self._repository, self._folder]).fetchone()[0])

    def _unread(self, commits: Commits, now: int, retries: bool) -> list[str]:
        """Return revisions to read, and note since when others are on no branch, tag or experiment."""
        known: dict[str, str | None] = {}
        is_here: dict[str, bool] = {}
        present = set(commits.revs)
        rows = self._db.execute(_KNOWN, [self._repository, self._folder])
        for rev, experiment, was_here, problem in rows:
            if not problem or not retries:
                known[rev] = experiment
            if was_here != (rev in present):
                is_here[rev] = rev in present
        for rev, here in is_here.items():
            self._db.execute(_SET_GONE, [None if here else now, self._repository, self._folder, rev])
        # What a vanished result was the first to have, another one can have, too.
        if not all(is_here.values()):
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
        """Add a revision with what no earlier one has; of one that cannot be read, why."""
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
            self._seen.clear()  # the next revision can have what was not added
        stored, coordinates = self._packed(report) if report else (b"", [0] * len(COORDINATES))
        experiment = result.experiment.name if result.experiment else None
        row = [self._repository, self._folder, snapshot.rev, experiment, snapshot.time]
        row += ["; ".join(problems[:1]), stored, *coordinates]
        key = self._db.execute(_ADD_RESULT, row).fetchone()[0]
        of = (self._repository, self._folder)
        for content, path, role in places:
            self._add_place(content, path, role.kind.name, role.stage, key)
        for value in numbers:
            self._db.execute(_ADD_NUMBER, (value.value, *of, self._name(value.key), value.kind.name, key))

    def _add_place(
        self, content: bytes, path: str, kind: str, stage: str, result: int, *, is_data: bool = False
    ) -> None:
        """Add a place of a file; a figure is to be looked at unless it is data, as inputs of DVC's are."""
        place = (content, self._repository, self._folder, self._name(path), kind, stage, result)
        self._db.execute(_ADD_PLACE, place)
        is_data = is_data or (len(content) == MD5_SIZE and kind != RoleKind.OUTPUT.name)
        if path.lower().endswith(FIGURES) and not is_data:
            self._db.execute(_ADD_UNSEEN, [content])

    def _packed(self, report: Report) -> tuple[bytes, list[int]]:
        """Return a report without its coordinates, and the keys of these: most are those of many results."""
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
            found = self._db.execute("SELECT id FROM coordinates WHERE hash = ?", [digest])
            keys.append(found.fetchone()[0])
        del values["coordinates"]
        return zlib.compress(json_text(values, separators=(",", ":")).encode()), keys

    def _name(self, text: str) -> int:
        """Return the key of a path or a value's name."""
        if text not in self._names:
            shown = as_utf8(text)
            self._db.execute("INSERT INTO names (name) VALUES (?) ON CONFLICT DO NOTHING", [shown])
            found = self._db.execute("SELECT id FROM names WHERE name = ?", [shown])
            self._names[text] = found.fetchone()[0]
        return self._names[text]

    def _is_new(self, *what: Any) -> bool:
        """Return true the first time."""
        if what in self._seen:
            return False
        self._seen.add(what)
        return True

    def _new_places(self, snapshot: Snapshot) -> Iterator[tuple[bytes, str, Role]]:
        """Yield hash, path and role of each file and tracked folder of a revision that no earlier one has."""
        tracked = snapshot.tracked
        made = {path: role_at(snapshot, path) for path in snapshot.sources}
        for name, record in snapshot.records.items():
            made |= dict.fromkeys(record.outs, Role(RoleKind.OUTPUT, name))
        hashed = [(tracked[path], path, made[path]) for path in tracked]
        read: dict[str, Role] = {}
        for name, record in snapshot.records.items():
            for path, entry in record.deps.items():
                if entry.get("md5") != tracked.get(path, {}).get("md5"):
                    hashed.append((entry, path, Role(RoleKind.INPUT, name)))
                    read.setdefault(path, Role(RoleKind.INPUT, name))
        yield from self._kept_by_git(snapshot, read | made, made)
        for entry, path, role in hashed:
            yield from self._kept_by_dvc(entry, path, role)

    def _kept_by_git(
        self, snapshot: Snapshot, roles: Mapping[str, Role], made: Mapping[str, Role]
    ) -> Iterator[tuple[bytes, str, Role]]:
        """Yield those of the files that Git keeps; of a folder that was made, each has its role."""
        number = self._roles.setdefault(frozenset(roles.items()), len(self._roles))
        for blob, path in self._new_files(snapshot.tree, "", number):
            around = [made[folder] for folder in folders(path) if folder in made]
            role = roles.get(path) or (around[-1] if around else Role(RoleKind.IN_GIT))
            if self._is_new(blob, path, role):
                yield bytes.fromhex(blob), path, role

    def _new_files(self, tree: str, folder: str, roles: int) -> Iterator[tuple[str, str]]:
        """Yield blob and path of files below a tree that no earlier revision has with the same roles."""
        if not self._is_new(tree, folder, roles):
            return
        for name, (mode, entry) in self._reader.objects.entries(tree).items():
            if mode == FOLDER:
                if MARK not in self._reader.objects.entries(entry):  # else a project of its own
                    yield from self._new_files(entry, f"{folder}{name}/", roles)
            elif mode not in (SUBMODULE, LINK):
                yield entry, f"{folder}{name}"

    def _kept_by_dvc(self, entry: Entry, path: str, role: Role) -> Iterator[tuple[bytes, str, Role]]:
        """Yield a file or folder by its hash, and the files that its entry lists."""
        hashes = {path: str(entry.get("md5", ""))}
        if entry.get("files"):
            hashes |= self._reader.folder_files(path, entry)
        for place, hashed in hashes.items():
            match = _HASH.fullmatch(hashed)
            if not match or not self._is_new(hashed, place, role):
                continue
            content = bytes.fromhex(match[1])
            yield content, place, role
            if hashed.endswith(".dir") and len(hashes) == 1:
                self._db.execute(_ADD_UNLISTED, [content, self._repository, self._folder])

    def _new_numbers(self, values: Iterable[NamedValue]) -> Iterator[NamedValue]:
        """Yield the values that are numbers, also in texts, and that no earlier revision has."""
        for value in values:
            real = value.value
            if isinstance(real, str):
                real = number(real)
            if isinstance(real, bool) or not isinstance(real, int | float) or not math.isfinite(real):
                continue
            if isinstance(real, int) and real.bit_length() > 63:
                real = float(real)  # SQLite has none that are longer
            if self._is_new(value.kind, value.key, real):
                yield replace(value, value=real)

    def list_folders(self) -> None:
        """Add the files of tracked folders, as far as this machine's DVC cache has their lists by now."""
        of = (self._repository, self._folder)
        for content, path, kind, stage, result in self._db.execute(_UNLISTED, of).fetchall():
            md5 = f"{content.hex()}.dir"
            files = self._reader.folder_files(path, {"md5": md5})
            if files == {path: md5}:
                continue
            is_data = len(files) > MOST_IN_FOLDER
            for file, hashed in files.items():
                self._add_place(bytes.fromhex(hashed), file, kind, stage, result, is_data=is_data)
            self._db.execute(_IS_LISTED, [content, *of])

    def look_at_figures(self) -> None:
        """Add what figures look like, as far as their files are on this machine.

        Without the extra `documents`, their bytes are all that is known.
        """
        try:
            from ..locate.known_figures import LOOKS, FigureFiles, digest_rows, look_rows, read_rows
        except ModuleNotFoundError:
            return

        def rows_of(looks: "list[Look]") -> "tuple[np.ndarray, np.ndarray]":
            return digest_rows(looks), look_rows(looks)

        unseen = self._db.execute(_UNSEEN, [LOOKS, self._repository, self._folder]).fetchall()
        keys = [key_of(content) for (content,) in unseen]
        for found, _ in read_rows(FigureFiles(self._reader), keys, rows_of):
            for key, (digests, blocks) in found.items():
                content = hash_of(key)
                rows = [(row["digest"].tobytes(), None) for row in digests]
                rows += [(row["digest"].tobytes(), row.tobytes()) for row in blocks]
                self._db.execute("DELETE FROM figures WHERE hash = ?", [content])
                for place, (digest, block) in enumerate(rows):
                    added = (content, place, LOOKS, digest, block)
                    self._db.execute("INSERT INTO figures VALUES (?, ?, ?, ?, ?)", added)
