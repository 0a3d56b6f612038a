"""Finds results by the content of a file or folder, in all experiments and commits of branches and tags."""

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import UnreadableError
from ..git import git
from ..history import lfs
from ..history.hashes import git_hash, md5_of, older_md5_of
from ..history.reader import BRANCHES, Experiment, Reader
from ..history.revisions import commit_id
from ..history.snapshot import Snapshot
from .result import Located, Result, Role, RoleKind, tracked_role
from .workspace import find_in_workspace

# What DVC calls a folder.
FOLDER_HASH = re.compile(rb"[0-9a-f]{32}\.dir")


@dataclass(frozen=True)
class Candidate:
    """A revision that may have the target; `paths` are where Git itself keeps it."""

    snapshot: Snapshot
    paths: list[str]


@dataclass(frozen=True)
class Hashes:
    """What DVC calls a file or folder.

    Attributes:
        names: its hash, and the hashes of tracked folders that hold it, where the DVC cache has their lists.
        older: the same as DVC 1 and 2 computed them.
        records: texts of all locks and `.dvc` files in which one of these can occur.
    """

    names: frozenset[str]
    older: frozenset[str]
    records: frozenset[bytes]


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
    candidates = _read_candidates(reader, targets, names, revisions)

    results, left_out = [], []
    hashes = _hashes_of(reader, targets, names, candidates)
    for candidate in candidates:
        try:
            roles = roles_of(candidate, hashes)
        except UnreadableError as error:
            left_out.append(str(error))
            continue
        if roles:
            rev = candidate.snapshot.rev
            results.append(Result(candidate.snapshot, experiments.get(rev), roles))
    if head:
        committed = next(one.snapshot for one in candidates if one.snapshot.rev == head)
        try:
            results += find_in_workspace(committed, targets)
        except UnreadableError as error:
            left_out.append(f"workspace on {error}")
    if not results:
        left_out += _unlisted(candidates)
    return Located(sorted(results, key=order), left_out)


def _unlisted(candidates: Iterable[Candidate]) -> list[str]:
    """A line about tracked folders in which a file can be without being found."""
    folders = set()
    for candidate in candidates:
        snapshot = candidate.snapshot
        with suppress(UnreadableError):  # told already
            for path, entry in {**snapshot.sources, **snapshot.outs}.items():
                md5 = str(entry.get("md5", ""))
                is_listed = not md5.endswith(".dir") or "files" in entry or snapshot.in_git(path)
                if not is_listed and not snapshot.reader.cached_file(md5):
                    folders.add(md5)
    if not folders:
        return []
    return [
        f"lists of files in tracked folders, {len(folders)} of which are not in this machine's DVC cache; "
        "`dvc fetch --all-commits` gets them, with the files"
    ]


def order(result: Result) -> tuple[bool, bool, int]:
    """What made the target before what used it, and what is committed before what is not; then by time."""
    return not result.made_target, bool(result.uncommitted), result.snapshot.time


def revisions_to_search(reader: Reader, experiments: Mapping[str, Experiment], head: str | None) -> list[str]:
    """Ids of all commits to search."""
    tips = [*BRANCHES, "HEAD"] if head else [*BRANCHES]
    commits = git(reader.root, "rev-list", *tips).split()
    known = dict.fromkeys([*experiments, *commits])
    # A baseline that is on no branch can be missing from a shallow clone.
    baselines = {experiment.baseline for experiment in experiments.values()} - known.keys()
    others = sorted(baselines)
    answers = reader.objects.read(others)
    return [*known, *(rev for rev, answer in zip(others, answers, strict=True) if answer)]


def _read_candidates(
    reader: Reader, targets: list[Path], names: frozenset[str], revisions: list[str]
) -> list[Candidate]:
    if not revisions:
        return []
    id_length = len(revisions[0])
    blobs = names.union(git_hash(target, id_length) for target in targets)
    if reader.lfs.is_dir():
        blobs |= {lfs.pointer_hash(target, id_length) for target in targets if target.is_file()}
    candidates = []
    for snapshot in reader.snapshots(revisions):
        # The paths at once: trees of many revisions do not stay in memory.
        paths = [] if snapshot.damage else _paths_of(blobs, snapshot)
        candidates.append(Candidate(snapshot, paths))
    return candidates


def _paths_of(blobs: Iterable[str], snapshot: Snapshot) -> list[str]:
    """Where Git keeps one of these blobs in a revision."""
    objects = snapshot.reader.objects
    return [path for blob in blobs for path in objects.paths_of_blob(snapshot.tree, blob)]


def _hashes_of(
    reader: Reader, targets: list[Path], known: frozenset[str], candidates: Iterable[Candidate]
) -> Hashes:
    """What DVC calls the targets, and where these names are recorded."""
    md5s = known.union(md5_of(target) for target in targets)
    older = {*known, *(older_md5_of(target) for target in targets)}
    texts = {text for candidate in candidates for text in candidate.snapshot.files.values()}
    folders_in = {text: _folder_hashes(text) for text in texts}
    folders = {one for named in folders_in.values() for one in named}
    lists = {one: reader.cached_file(one) for one in folders}
    holding = {one: _held(listing, md5s | older) for one, listing in lists.items() if listing}
    names = md5s.union(one for one, held in holding.items() if not held.isdisjoint(md5s))
    older.update(one for one, held in holding.items() if not held.isdisjoint(older))
    wanted = [name.encode() for name in md5s | older]
    holders = (names | older) - md5s
    # After a push to a remote that keeps versions, a folder's own hash is written nowhere.
    has_folder = any(target.is_dir() for target in targets)
    records = [
        text
        for text in texts
        if (has_folder and b"files:" in text)
        or not holders.isdisjoint(folders_in[text])
        or any(name in text for name in wanted)
    ]
    return Hashes(frozenset(names), frozenset(older), frozenset(records))


def _held(listing: Path, md5s: Iterable[str]) -> set[str]:
    """Those of some hashes that a folder's list has."""
    content = listing.read_bytes()
    return {md5 for md5 in md5s if md5.encode() in content}


def _folder_hashes(text: bytes) -> set[str]:
    """Hashes of folders that a lock or a `.dvc` file names."""
    # Far quicker than to search for the whole pattern.
    before = [part[-32:] + b".dir" for part in text.split(b".dir")[:-1]]
    return {one.decode() for one in before if FOLDER_HASH.fullmatch(one)}


def roles_of(candidate: Candidate, hashes: Hashes) -> dict[str, Role]:
    """How a file belongs to a revision, by path; empty where it does not.

    Args:
        candidate: the revision.
        hashes: what DVC calls the file.

    Raises:
        UnreadableError: the revision names the file, but a file of DVC's in it is broken; or it can name the
            file, and this clone does not have all of it.
    """
    snapshot = candidate.snapshot
    snapshot.check_whole()
    if not candidate.paths and hashes.records.isdisjoint(snapshot.files.values()):
        return {}
    roles = {path: Role(RoleKind.IN_GIT) for path in candidate.paths}
    for path in _with_hash(snapshot.sources, hashes):
        roles[path] = tracked_role(snapshot, path)
    for name, stage in snapshot.stages.items():
        for path in _with_hash(stage.deps, hashes):
            if path not in roles or roles[path].kind is RoleKind.IN_GIT:
                roles[path] = Role(RoleKind.INPUT, name)
    for name, stage in snapshot.stages.items():
        for path in _output_paths(stage.outs, hashes, candidate.paths):
            roles[path] = Role(RoleKind.OUTPUT, name)
    return roles


def _with_hash(entries: Mapping[str, Mapping[str, Any]], hashes: Hashes) -> list[str]:
    return [path for path, entry in entries.items() if _names(entry, hashes)]


def _names(entry: Mapping[str, Any], hashes: Hashes) -> bool:
    """Whether an entry of a lock or a `.dvc` file is the target, or a folder that holds it."""
    # Since DVC 3, entries name the kind of their hash.
    names = hashes.names if "hash" in entry else hashes.older
    if entry.get("md5") in names:
        return True
    # In a store that keeps versions, a folder's entry lists its files.
    return any(file.get("md5") in names for file in entry.get("files") or ())


def _output_paths(outs: Mapping[str, Mapping[str, Any]], hashes: Hashes, paths: list[str]) -> list[str]:
    """Where a stage wrote the file; of a folder that Git keeps, the file in it."""
    found = []
    for out, entry in outs.items():
        inside = [path for path in paths if path == out or path.startswith(f"{out}/")]
        if inside:
            found += inside
        elif _names(entry, hashes):
            found.append(out)
    return found
