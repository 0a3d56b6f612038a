"""Finds results by the content of a file or folder, in all experiments and commits of branches and tags."""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..errors import UnreadableError
from ..git import git, lfs
from ..git.objects import git_hash
from ..model import Experiment, is_in
from ..repository.hashes import HashKind, md5_of
from ..repository.reader import BRANCHES, Reader, commit_id
from ..repository.snapshot import Snapshot
from .result import Located, Result, Role, RoleKind, tracked_role
from .workspace import find_in_workspace

# What DVC calls a folder.
FOLDER_HASH = re.compile(rb"[0-9a-f]{32}\.dir")


def find_content(reader: Reader, path: Path) -> Located:
    """Find the revisions that have a file or folder with the same content.

    Of a folder that none has, the revisions that have most of its files.

    Args:
        reader: of the repository to search.
        path: any file or folder, wherever it is.
    """
    located = find_all(reader, [path])
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else []
    if located.results or not files:
        return located
    located = find_all(reader, files)
    most = max((len(result.roles) for result in located.results), default=0)
    return replace(located, results=[result for result in located.results if len(result.roles) == most])


def find_all(reader: Reader, targets: list[Path], names: frozenset[str] = frozenset()) -> Located:
    """Find the revisions that have any of some files and folders, or what Git or DVC call by these names."""
    experiments: dict[str, Experiment] = {}
    for experiment in reader.experiments():
        experiments.setdefault(experiment.rev, experiment)
    head = commit_id(reader, "HEAD")
    revisions = revisions_to_search(reader, experiments, head)
    search = _Search(reader, targets, names, len(revisions[0]) if revisions else 0)

    results, left_out = [], []
    for snapshot in progress(reader.snapshots(revisions), len(revisions)):
        try:
            roles = search.roles(snapshot)
        except UnreadableError as error:
            left_out.append(str(error))
            continue
        if roles:
            # A copy, which does not hold what was read: there can be thousands.
            results.append(Result(replace(snapshot), experiments.get(snapshot.rev), roles))
    if head:
        try:
            results += find_in_workspace(reader.snapshot(head), targets)
        except UnreadableError as error:
            left_out.append(f"workspace on {error}")
    if not results:
        left_out += _unlisted(reader, revisions)
    return Located(sorted(results, key=order), left_out)


def progress(snapshots: Iterator[Snapshot], number: int) -> Iterator[Snapshot]:
    """Yield the same snapshots, counted on a terminal where they take more than a moment."""
    yield from tqdm(snapshots, total=number, unit="commit", disable=None, delay=1, leave=False)


def _unlisted(reader: Reader, revisions: list[str]) -> list[str]:
    """Return a line about tracked folders in which a file can be without being found."""
    folders = set()
    for snapshot in reader.snapshots(revisions):
        with suppress(UnreadableError):  # told already
            for path, entry in {**snapshot.sources, **snapshot.outs}.items():
                md5 = str(entry.get("md5", ""))
                is_listed = not md5.endswith(".dir") or "files" in entry or snapshot.in_git(path)
                if not is_listed and not reader.cached_file(md5):
                    folders.add(md5)
    if not folders:
        return []
    return [
        f"lists of files in tracked folders, {len(folders)} of which are not in this machine's DVC cache; "
        "`dvc fetch --all-commits` gets them, with the files"
    ]


def order(result: Result) -> tuple[bool, bool, int]:
    """Return what made the target before what used it, and what is committed before what is not.

    Then by time.
    """
    return not result.made_target, bool(result.uncommitted), result.snapshot.time


def revisions_to_search(reader: Reader, experiments: Mapping[str, Experiment], head: str | None) -> list[str]:
    """Return ids of all commits to search."""
    tips = [*BRANCHES, "HEAD"] if head else [*BRANCHES]
    commits = git(reader.root, "rev-list", *tips).split()
    known = dict.fromkeys([*experiments, *commits])
    # A baseline that is on no branch can be missing from a shallow clone.
    baselines = {experiment.baseline for experiment in experiments.values()} - known.keys()
    others = sorted(baselines)
    answers = reader.objects.read(others)
    return [*known, *(rev for rev, answer in zip(others, answers, strict=True) if answer)]


@dataclass(frozen=True)
class Hashes:
    """What DVC calls files or folders.

    Attributes:
        names: hashes, of themselves and of tracked folders that hold one.
        older: the same as DVC 1 and 2 computed them.
    """

    names: set[str]
    older: set[str]


class _Search:
    """Looks for files and folders in one revision after another.

    Args:
        reader: of the repository.
        targets: any files and folders.
        names: hashes of what else is looked for.
        id_length: characters of a Git id here.
    """

    def __init__(self, reader: Reader, targets: list[Path], names: frozenset[str], id_length: int) -> None:
        self._reader = reader
        # What Git calls the targets; where Git LFS keeps them, Git has pointers.
        self._blobs = {*names}
        # What DVC calls them.
        self._hashes = Hashes({*names}, {*names})
        for target in targets:
            self._blobs.add(git_hash(target, id_length))
            if target.is_file() and reader.lfs.is_dir():
                self._blobs.add(lfs.pointer_hash(target, id_length))
            self._hashes.names.add(md5_of(target))
            self._hashes.older.add(md5_of(target, HashKind.MD5_OF_TEXT))
        self._wanted = frozenset(self._hashes.names | self._hashes.older)
        self._has_folder = any(target.is_dir() for target in targets)
        # Whether locks and `.dvc` files, by their ids, can name a target; and folders that were looked into.
        self._can_name: dict[str, bool] = {}
        self._folders: set[str] = set()

    def roles(self, snapshot: Snapshot) -> dict[str, Role]:
        """Return how a target belongs to a revision, by path; empty where it does not.

        Raises:
            UnreadableError: the revision names the file, but a file of DVC's in it is broken; or it can name
                the file, and this clone does not have all of it.
        """
        snapshot.check_whole()
        objects = self._reader.objects
        paths = [path for blob in self._blobs for path in objects.paths_of_blob(snapshot.tree, blob)]
        records = [path for path, blob in snapshot.blobs.items() if self._names_target(blob)]
        if not paths and not records:
            return {}
        return roles_of(snapshot, paths, self._hashes)

    def _names_target(self, blob: str) -> bool:
        """Return whether a lock or a `.dvc` file can name a target, or a folder that holds one."""
        if blob not in self._can_name:
            text = self._reader.objects.blob(blob)
            folders = _folder_hashes(text)
            self._look_into(folders)
            # After a push to a remote that keeps versions, a folder's own hash is written nowhere.
            self._can_name[blob] = (
                (self._has_folder and b"files:" in text)
                or not folders.isdisjoint(self._hashes.names | self._hashes.older)
                or any(name.encode() in text for name in self._wanted)
            )
        return self._can_name[blob]

    def _look_into(self, folders: set[str]) -> None:
        """Note which of some tracked folders hold a target, where the DVC cache has their lists."""
        for folder in folders - self._folders:
            listing = self._reader.cached_file(folder)
            content = listing.read_bytes() if listing else b""
            held = {name for name in self._wanted if name.encode() in content}
            for names in (self._hashes.names, self._hashes.older):
                if held & names:
                    names.add(folder)
        self._folders |= folders


def roles_of(snapshot: Snapshot, paths: list[str], hashes: Hashes) -> dict[str, Role]:
    """Return how files or folders belong to a revision, by path; empty where they do not.

    Args:
        snapshot: the revision.
        paths: where Git itself keeps them.
        hashes: what DVC calls them.

    Raises:
        UnreadableError: a file of DVC's in it is broken.
    """
    roles = {path: Role(RoleKind.IN_GIT) for path in paths}
    for path in _with_hash(snapshot.sources, hashes):
        roles[path] = tracked_role(snapshot, path)
    for name, stage in snapshot.records.items():
        for path in _with_hash(stage.deps, hashes):
            if path not in roles or roles[path].kind is RoleKind.IN_GIT:
                roles[path] = Role(RoleKind.INPUT, name)
    for name, stage in snapshot.records.items():
        for path in _output_paths(stage.outs, hashes, paths):
            roles[path] = Role(RoleKind.OUTPUT, name)
    return roles


def _with_hash(entries: Mapping[str, Mapping[str, Any]], hashes: Hashes) -> list[str]:
    return [path for path, entry in entries.items() if _is_named(entry, hashes)]


def _is_named(entry: Mapping[str, Any], hashes: Hashes) -> bool:
    """Return whether an entry of a lock or a `.dvc` file is a target, or a folder that holds one."""
    # Since DVC 3, entries name the kind of their hash.
    names = hashes.names if "hash" in entry else hashes.older
    if entry.get("md5") in names:
        return True
    # In a store that keeps versions, a folder's entry lists its files.
    return any(file.get("md5") in names for file in entry.get("files") or ())


def _output_paths(outs: Mapping[str, Mapping[str, Any]], hashes: Hashes, paths: list[str]) -> list[str]:
    """Return where a stage wrote the file; of a folder that Git keeps, the file in it."""
    found = []
    for out, entry in outs.items():
        inside = [path for path in paths if is_in(path, out)]
        if inside:
            found += inside
        elif _is_named(entry, hashes):
            found.append(out)
    return found


def _folder_hashes(text: bytes) -> set[str]:
    """Return hashes of folders that a lock or a `.dvc` file names."""
    # Far quicker than to search for the whole pattern.
    before = [part[-32:] + b".dir" for part in text.split(b".dir")[:-1]]
    return {one.decode() for one in before if FOLDER_HASH.fullmatch(one)}
