"""Finds results by the content of a file, among all experiments and all commits of branches and tags."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UnreadableError
from ..git import git
from ..history.hashes import hash_of, md5_of
from ..history.reader import BRANCHES, Experiment, Reader
from ..history.snapshot import Snapshot
from .names import commit_id
from .result import Located, Result, Role, RoleKind
from .workspace import find_in_workspace

# What DVC calls a folder.
FOLDER_HASH = re.compile(rb"[0-9a-f]{32}\.dir")


@dataclass(frozen=True)
class Candidate:
    """A revision that may have the file; `paths` are where Git itself keeps it."""

    snapshot: Snapshot
    paths: list[str]


@dataclass(frozen=True)
class Hashes:
    """What DVC calls a file.

    Attributes:
        names: its MD5, and the hashes of tracked folders that hold it, where the DVC cache has their lists.
        records: texts of all locks and `.dvc` files in which one of these occurs.
    """

    names: frozenset[str]
    records: frozenset[bytes]


def find_content(reader: Reader, file: Path) -> Located:
    """Find the revisions that have a file with the same content.

    Args:
        reader: of the repository to search.
        file: any file, wherever it is.
    """
    experiments: dict[str, Experiment] = {}
    for experiment in reader.experiments():
        experiments.setdefault(experiment.rev, experiment)
    head = commit_id(reader, "HEAD")
    candidates = _read_candidates(reader, file, _revisions(reader, experiments, head))

    results, left_out = [], []
    hashes = _hashes_of(reader, file, candidates)
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
            results += find_in_workspace(committed, file)
        except UnreadableError as error:
            left_out.append(f"workspace on {error}")
    return Located(sorted(results, key=_order), left_out)


def _order(result: Result) -> tuple[bool, bool, int]:
    """What made the target before what used it, and what is committed before what is not; then by time."""
    return not result.made_target, bool(result.uncommitted), result.snapshot.time


def _revisions(reader: Reader, experiments: Mapping[str, Experiment], head: str | None) -> list[str]:
    """Ids of all commits to search."""
    tips = [*BRANCHES, "HEAD"] if head else [*BRANCHES]
    commits = git(reader.root, "rev-list", *tips).split()
    known = dict.fromkeys([*experiments, *commits])
    # A baseline that is on no branch can be missing from a shallow clone.
    baselines = {experiment.baseline for experiment in experiments.values()} - known.keys()
    others = sorted(baselines)
    answers = reader.objects.read(others)
    return [*known, *(rev for rev, answer in zip(others, answers, strict=True) if answer)]


def _read_candidates(reader: Reader, file: Path, revisions: list[str]) -> list[Candidate]:
    if not revisions:
        return []
    blob = _git_hash(file, len(revisions[0]))
    # The paths at once: trees of many revisions do not stay in memory.
    return [
        Candidate(snapshot, reader.objects.paths_of_blob(snapshot.tree, blob))
        for snapshot in reader.snapshots(revisions)
    ]


def _git_hash(file: Path, id_length: int) -> str:
    """What Git calls the file, in a repository whose ids have so many characters."""
    algorithm = "sha256" if id_length == 64 else "sha1"
    return hash_of(file, algorithm, b"blob %d\0" % file.stat().st_size)


def _hashes_of(reader: Reader, file: Path, candidates: Iterable[Candidate]) -> Hashes:
    """What DVC calls the file, and where these names are recorded."""
    md5 = md5_of(file)
    texts = {text for candidate in candidates for text in candidate.snapshot.files.values()}
    folders_in = {text: _folder_hashes(text) for text in texts}
    folders = {one for named in folders_in.values() for one in named}
    holding = {one for one in folders if _lists(reader.cached_file(one), md5)}
    records = [text for text in texts if md5.encode() in text or not holding.isdisjoint(folders_in[text])]
    return Hashes(frozenset({md5, *holding}), frozenset(records))


def _lists(folder_list: Path | None, md5: str) -> bool:
    return folder_list is not None and md5.encode() in folder_list.read_bytes()


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
        UnreadableError: the revision names the file, but a file of DVC's in it is broken.
    """
    snapshot = candidate.snapshot
    if not candidate.paths and hashes.records.isdisjoint(snapshot.files.values()):
        return {}
    roles = {path: Role(RoleKind.IN_GIT) for path in candidate.paths}
    for path in _with_hash(snapshot.sources, hashes):
        roles[path] = Role(RoleKind.SOURCE)
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
    """Whether an entry of a lock or a `.dvc` file is the file, or a folder that holds it."""
    if entry.get("md5") in hashes.names:
        return True
    # In a store that keeps versions, a folder has no hash, but its files have.
    return any(file.get("md5") in hashes.names for file in entry.get("files") or ())


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
