"""The five coordinates of a revision: where a result comes from, read out of Git alone.

    from locatable import read_coordinates
    read_coordinates(".", "HEAD").params.content

For many revisions, or for more than coordinates, open one `Reader` and pass its snapshots to
`coordinates_of`.
"""

import hashlib
import json
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from ..model import Experiment, folders, recorded_hash
from ..repository.reader import Reader
from ..repository.snapshot import Snapshot

# What stages may import, for uv and pip; the tools have a lock of their own, which no result depends on.
REQUIREMENTS = "requirements.lock"
# The same for conda, with Python itself and what is not Python's.
CONDA_LOCK = "conda-lock.yml"
# Those of other projects; uv can export the first as the second, which is a standard.
UV_LOCK = "uv.lock"
PYLOCK = "pylock.toml"
PIXI_LOCK = "pixi.lock"
# What an environment for stages is built from: of several, the first, so that a project that adds one for
# other uses keeps its environment.
ENVIRONMENT_LOCKS = (REQUIREMENTS, CONDA_LOCK, UV_LOCK, PYLOCK, PIXI_LOCK)
# What pip installs. The second has all of it; of 0.2.0, only what the tools add to the first.
LOCKS = (REQUIREMENTS, "tools.lock")
# Files that say what is installed, in projects of this template and in others.
ENVIRONMENT = re.compile(
    r"environment\.(json|ya?ml)|requirements[\w.-]*\.(lock|txt)|(uv|poetry|pdm|pixi|Pipfile|renv|flake)\.lock"
    r"|conda-lock\.ya?ml|conda-[\w-]+\.lock|pylock(\.[\w-]+)?\.toml|(Julia)?Manifest(-v[\d.]+)?\.toml"
)
# Files that it is built from: they count where none of the above is in the root, nor declared by a stage.
BUILD = re.compile(
    r"(.+\.)?(Docker|Container)file(\..+)?|setup\.(py|cfg)|pyproject\.toml|Pipfile|conda\.ya?ml",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Coordinate:
    """What there is to know (`content`, as in JSON), and a digest of the part that says what is the same."""

    content: dict[str, Any]
    digest: str


@dataclass(frozen=True)
class Coordinates:
    """Where a result comes from. Same coordinate, same digest: on every machine, in every commit.

    Attributes:
        data: hash by path of each source: from `dvc add`, `dvc import`, `dvc import-url`, or external.
        code: `files`, hash by path of what stages declare (of all files, if none declares any); and `commit`.
        params: value of each parameter that stages used, on the keys of `dvc exp run -S`.
        environment: `files`, hash by path of what says what is installed; and `record`, environment.json.
        execution: `stages`, each with its `cmd` and the hash by path of its `outs`; and `commit`.
    """

    data: Coordinate
    code: Coordinate
    params: Coordinate
    environment: Coordinate
    execution: Coordinate

    @property
    def digests(self) -> dict[str, str]:
        """Digest of each coordinate, by its name."""
        return {each.name: getattr(self, each.name).digest for each in fields(self)}


def read_coordinates(repo: str | Path, rev: str) -> Coordinates:
    """Return coordinates of a revision, by any name that Git knows it by.

    Args:
        repo: a folder of the repository.
        rev: the revision.

    Raises:
        GitError: there is no such repository.
        NotFoundError: there is no such revision.
        UnreadableError: a file of DVC's in it is broken.
    """
    with Reader(repo) as reader:
        return coordinates_of(reader.snapshot(rev))


def experiments(repo: str | Path) -> list[Experiment]:
    """Return all DVC experiments, oldest first, those whose baseline is on no branch included."""
    with Reader(repo) as reader:
        return reader.experiments()


def coordinates_of(snapshot: Snapshot) -> Coordinates:
    """Return coordinates of a snapshot.

    Raises:
        UnreadableError: a file of DVC's in it is broken.
    """
    files = _sort_files(snapshot)
    record = read_record(snapshot.files.get("environment.json"))
    stages = {}
    for address, ran in snapshot.records.items():
        stages[address] = {"cmd": ran.cmd, "outs": _hashes(ran.outs)}
    return Coordinates(
        data=Coordinate(files.data, digest(files.data)),
        code=Coordinate({"commit": snapshot.rev, "files": files.code}, digest(files.code)),
        params=Coordinate(snapshot.params, digest(snapshot.params)),
        environment=Coordinate({"files": files.installed, "record": record}, digest(files.installed)),
        execution=Coordinate({"commit": snapshot.rev, "stages": stages}, digest(stages)),
    )


@dataclass
class _Files:
    """Hash by path of the files that a result depends on, by the coordinate that each belongs to."""

    data: dict[str, str]
    code: dict[str, str]
    installed: dict[str, str]


def _sort_files(snapshot: Snapshot) -> _Files:
    """Return everything that stages read, and everything that DVC tracks."""
    outputs = snapshot.outs.keys()
    params_files: set[str] = set()
    for record in snapshot.records.values():
        params_files.update(record.params)
    written = _paths(frozenset(outputs))
    tracked = _paths(frozenset(snapshot.sources))
    read_as_params = params_files.union(snapshot.params_files)
    files = _Files(
        data=_hashes(snapshot.sources),
        code={},
        installed=_installed_in_root(snapshot),
    )
    for path, seen in _recorded_hashes(snapshot).items():
        if _says_what_is_installed(path):
            files.installed[path] = seen
        elif tracked.touch(path):
            files.data[path] = seen
        elif path in read_as_params or path in outputs:
            # Params are a coordinate of their own; outputs follow from the others.
            continue
        elif written.touch(path) and not _holds_code(snapshot, path, written):
            # A folder of outputs alone follows from the others, too.
            continue
        elif snapshot.in_repository(path):
            files.code[path] = seen
        else:
            files.data[path] = seen
    if not files.installed:
        _find_installed(snapshot, files)
    if not files.code:
        files.code = _undeclared_code(snapshot, {*params_files, *files.installed, *outputs})
    return files


def _recorded_hashes(snapshot: Snapshot) -> dict[str, str]:
    """Return hash by path of everything that stages read or wrote, as their lock has it."""
    recorded: dict[str, str] = {}
    for stage in snapshot.records.values():
        for path, entry in (*stage.outs.items(), *stage.deps.items()):
            seen = _hash(entry)
            # Stages that ran at different times may have seen different versions of a file.
            if recorded.setdefault(path, seen) != seen:
                versions = {*recorded[path].split("+"), seen}
                recorded[path] = "+".join(sorted(versions))
    return recorded


def _installed_around(snapshot: Snapshot) -> dict[str, str]:
    """Return Git's ids by path of such files in the nearest folder around a project that has any."""
    objects, prefix = snapshot.reader.objects, snapshot.reader.prefix
    for folder in PurePosixPath(prefix).parents:
        around = "" if folder == PurePosixPath() else str(folder)
        tree = objects.entry(snapshot.root_tree, around)
        if tree is None:
            continue
        start = posixpath.relpath(around or ".", prefix)
        found = {}
        for name in filter(ENVIRONMENT.fullmatch, objects.names(tree)):
            found[f"{start}/{name}"] = str(objects.entry(tree, name))
        if found:
            return found
    return {}


def _installed_in_root(snapshot: Snapshot) -> dict[str, str]:
    """Return Git's ids by path of the files in the root that say what stages get."""
    found = _in_root(snapshot, ENVIRONMENT)
    if "requirements.lock" in found or "conda-lock.yml" in found:
        # Beside a lock of what stages may import, it is that of the tools, too, on which no result depends.
        found.pop("uv.lock", None)
    return found


def _in_root(snapshot: Snapshot, names: re.Pattern[str]) -> dict[str, str]:
    """Return Git's ids by path of the files in the root that have such names."""
    found: dict[str, str] = {}
    for name in filter(names.fullmatch, snapshot.root_files()):
        found.update(snapshot.git_files(name))
    return found


def _find_installed(snapshot: Snapshot, files: _Files) -> None:
    """Add the next best: what the environment is built from, code or not; or files around the project."""
    files.installed.update(_in_root(snapshot, BUILD))
    for path in list(files.code):
        if BUILD.fullmatch(posixpath.basename(path)):
            files.installed[path] = files.code.pop(path)
    if not files.installed:
        files.installed = _installed_around(snapshot)


def _undeclared_code(snapshot: Snapshot, others: set[str]) -> dict[str, str]:
    """Return Git's ids by path of all files that are nothing else: where no stage declares any code."""
    not_code = {".dvc", "params.yaml", *others}
    not_code.update(path for path in snapshot.files if not path.endswith("dvc.yaml"))
    paths = _paths(frozenset(not_code))
    return {path: blob for path, blob in snapshot.git_files("").items() if not paths.touch(path)}


@lru_cache(50_000)
def _says_what_is_installed(path: str) -> bool:
    return bool(ENVIRONMENT.fullmatch(posixpath.basename(path)))


class _Paths:
    """A set of files and folders."""

    def __init__(self, exact: frozenset[str]) -> None:
        self._exact = exact
        self._parents: set[str] = set()
        for path in exact:
            self._parents.update(folders(path))

    def touch(self, path: str) -> bool:
        """Return whether a path is one of these, inside of one, or a folder around one."""
        if path in self._exact or path in self._parents:
            return True
        return not self._exact.isdisjoint(folders(path))


@lru_cache(1_000)
def _paths(exact: frozenset[str]) -> _Paths:
    """Return the same for all snapshots that have the same paths: nearly all do."""
    return _Paths(exact)


def _holds_code(snapshot: Snapshot, path: str, written: _Paths) -> bool:
    """Return whether Git keeps files of the user's in a folder that also holds outputs."""
    files = snapshot.git_files(path)
    return any(not written.touch(file) and not file.endswith(".gitignore") for file in files)


def _hashes(entries: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    return {path: _hash(entry) for path, entry in entries.items()}


def _hash(entry: Mapping[str, Any]) -> str:
    """Return the hash that DVC keeps of a file or folder, whatever kind it is."""
    recorded = recorded_hash(entry)
    if recorded is not None:
        return recorded
    if "files" in entry:  # a folder in a store that keeps versions
        return digest(entry["files"])
    # An import that was not downloaded is known by its source alone: a hash, or a commit of its repository.
    known = ""
    for origin in entry.get("deps", ()):
        known += _hash(origin) or str(origin.get("repo", {}).get("rev_lock", ""))
    return known


@lru_cache(1_000)
def read_record(text: bytes | None) -> dict[str, Any]:
    """Return what environment.json records.

    Nothing where it is another tool's, whose hash counts nevertheless.
    """
    try:
        record = json.loads(text or b"{}")
    except ValueError:
        return {}
    if not isinstance(record, dict) or not isinstance(record.get("python"), str):
        return {}
    drift = record.get("drift") or {}
    variables = record.get("variables") or {}
    if not isinstance(drift, dict) or not isinstance(variables, dict):
        return {}
    for entry in drift.values():
        if not isinstance(entry, dict):
            return {}
    return record


def digest(content: Any) -> str:
    """Return 32 hexadecimal characters, equal wherever the content is equal.

    Args:
        content: as in JSON; other values, such as dates, count as their text.
    """
    try:
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
    except TypeError:  # numbers and texts are keys of the same mapping
        text = json.dumps(_with_text_keys(content), sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _with_text_keys(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {str(key): _with_text_keys(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_with_text_keys(value) for value in content]
    return content
