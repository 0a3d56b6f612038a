"""The five coordinates of a revision, which say where its result comes from. They are read from Git alone.

    from locatable import read_coordinates
    read_coordinates(".", "HEAD").params.content

To read many revisions, or more than their coordinates, open one `Reader` and pass its snapshots to
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

# The packages that stages may import, for uv and pip. The tools (DVC, MLflow …) are not in it, because no
# result depends on them.
REQUIREMENTS = "requirements.lock"
# The same for conda, including Python itself and packages of other languages.
CONDA_LOCK = "conda-lock.yml"
# Locks of projects that were not generated from this template. pylock.toml is the standard of PEP 751.
UV_LOCK = "uv.lock"
PYLOCK = "pylock.toml"
PIXI_LOCK = "pixi.lock"
# The locks from which the environment of stages can be built. If a project has several, the first one counts,
# so that adding a lock for another purpose does not change the environment.
ENVIRONMENT_LOCKS = (REQUIREMENTS, CONDA_LOCK, UV_LOCK, PYLOCK, PIXI_LOCK)
# The locks from which pip installs. tools.lock holds all packages; in projects of 0.2.0, it holds only the
# tools, so both are needed.
LOCKS = (REQUIREMENTS, "tools.lock")
# Names of files that say which packages are installed, in projects of this template and in others.
ENVIRONMENT = re.compile(
    r"environment\.(json|ya?ml)|requirements[\w.-]*\.(lock|txt)|(uv|poetry|pdm|pixi|Pipfile|renv|flake)\.lock"
    r"|conda-lock\.ya?ml|conda-[\w-]+\.lock|pylock(\.[\w-]+)?\.toml|(Julia)?Manifest(-v[\d.]+)?\.toml"
)
# Names of files that environments are built from. They count only if none of the files above is in the root
# or declared by a stage.
BUILD = re.compile(
    r"(.+\.)?(Docker|Container)file(\..+)?|setup\.(py|cfg)|pyproject\.toml|Pipfile|conda\.ya?ml",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Coordinate:
    """One coordinate of a result.

    Attributes:
        content: everything known about it, as plain values.
        digest: a digest of the part of the content that decides whether two coordinates are equal.
    """

    content: dict[str, Any]
    digest: str


@dataclass(frozen=True)
class Coordinates:
    """Where a result comes from. Equal coordinates have equal digests, on every machine and in every commit.

    Attributes:
        data: hashes by path of the sources: from `dvc add`, `dvc import`, `dvc import-url`, or external.
        code: `files`, hashes by path of the files that stages declare (of all files if no stage declares
            code); and `commit`.
        params: values of the params that stages used, by the keys of `dvc exp run -S`.
        environment: `files`, hashes by path of the files that say which packages are installed; and `record`,
            the content of environment.json.
        execution: `stages`, for each one its `cmd` and hashes by path of its `outs`; and `commit`.
    """

    data: Coordinate
    code: Coordinate
    params: Coordinate
    environment: Coordinate
    execution: Coordinate

    @property
    def digests(self) -> dict[str, str]:
        """The digest of each coordinate by its name."""
        return {each.name: getattr(self, each.name).digest for each in fields(self)}


def read_coordinates(repo: str | Path, rev: str) -> Coordinates:
    """Return the coordinates of a revision.

    Args:
        repo: a folder of the repository.
        rev: any name that Git knows the revision by.

    Raises:
        GitError: there is no such repository.
        NotFoundError: there is no such revision.
        UnreadableError: a DVC file in it is broken.
    """
    with Reader(repo) as reader:
        return coordinates_of(reader.snapshot(rev))


def experiments(repo: str | Path) -> list[Experiment]:
    """Return all DVC experiments, oldest first, including those whose baseline is on no branch."""
    with Reader(repo) as reader:
        return reader.experiments()


def coordinates_of(snapshot: Snapshot) -> Coordinates:
    """Return the coordinates of a snapshot.

    Raises:
        UnreadableError: a DVC file in it is broken.
    """
    files = _sort_files(snapshot)
    record = read_record(snapshot.files.get("environment.json"))
    stages = {}
    for address, stage in snapshot.records.items():
        stages[address] = {"cmd": stage.cmd, "outs": _hashes(stage.outs)}
    return Coordinates(
        data=Coordinate(files.data, digest(files.data)),
        code=Coordinate({"commit": snapshot.rev, "files": files.code}, digest(files.code)),
        params=Coordinate(snapshot.params, digest(snapshot.params)),
        environment=Coordinate({"files": files.environment, "record": record}, digest(files.environment)),
        execution=Coordinate({"commit": snapshot.rev, "stages": stages}, digest(stages)),
    )


@dataclass
class _Files:
    """The hashes of the files that a result depends on, by path, for each coordinate made of files."""

    data: dict[str, str]
    code: dict[str, str]
    environment: dict[str, str]


def _sort_files(snapshot: Snapshot) -> _Files:
    """Assign all files that stages read and all data that DVC tracks to the coordinates they belong to."""
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
        environment=_environment_in_root(snapshot),
    )
    for path, recorded in _recorded_hashes(snapshot).items():
        if _is_environment_file(path):
            files.environment[path] = recorded
        elif tracked.overlap(path):
            files.data[path] = recorded
        elif path in read_as_params or path in outputs:
            # Params are a separate coordinate, and outputs follow from the coordinates.
            continue
        elif written.overlap(path) and not _holds_code(snapshot, path, written):
            # A folder that holds only outputs follows from the coordinates too.
            continue
        elif snapshot.in_repository(path):
            files.code[path] = recorded
        else:
            files.data[path] = recorded
    if not files.environment:
        _find_environment(snapshot, files)
    if not files.code:
        files.code = _undeclared_code(snapshot, {*params_files, *files.environment, *outputs})
    return files


def _recorded_hashes(snapshot: Snapshot) -> dict[str, str]:
    """Return the recorded hash of everything that stages read or wrote, by path."""
    hashes: dict[str, str] = {}
    for stage in snapshot.records.values():
        for path, entry in (*stage.outs.items(), *stage.deps.items()):
            recorded = _hash(entry)
            # Stages that ran at different times may have read different versions of a file.
            if hashes.setdefault(path, recorded) != recorded:
                versions = {*hashes[path].split("+"), recorded}
                hashes[path] = "+".join(sorted(versions))
    return hashes


def _environment_around(snapshot: Snapshot) -> dict[str, str]:
    """Return the blob ids of environment files by path, from the nearest parent folder that has any."""
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


def _environment_in_root(snapshot: Snapshot) -> dict[str, str]:
    """Return the blob ids of the environment files in the root, by path."""
    found = _in_root(snapshot, ENVIRONMENT)
    if REQUIREMENTS in found or CONDA_LOCK in found:
        # If there is also a lock for the stages, uv.lock includes the tools, on which no result depends.
        found.pop(UV_LOCK, None)
    return found


def _in_root(snapshot: Snapshot, names: re.Pattern[str]) -> dict[str, str]:
    """Return the blob ids of the files in the root whose names match a pattern, by path."""
    found: dict[str, str] = {}
    for name in filter(names.fullmatch, snapshot.root_files()):
        found.update(snapshot.git_files(name))
    return found


def _find_environment(snapshot: Snapshot, files: _Files) -> None:
    """Fill the environment coordinate of a revision that has no environment file in its root.

    Use the files that environments are built from, even if they are declared as code. If there are none, use
    the environment files in a parent folder.
    """
    files.environment.update(_in_root(snapshot, BUILD))
    for path in list(files.code):
        if BUILD.fullmatch(posixpath.basename(path)):
            files.environment[path] = files.code.pop(path)
    if not files.environment:
        files.environment = _environment_around(snapshot)


def _undeclared_code(snapshot: Snapshot, others: set[str]) -> dict[str, str]:
    """Return the blob ids of all files that can be code, by path, for a revision that declares no code.

    Args:
        snapshot: the revision.
        others: the paths that are not code: params, environment files and outputs.
    """
    not_code = {".dvc", "params.yaml", *others}
    not_code.update(path for path in snapshot.files if not path.endswith("dvc.yaml"))
    paths = _paths(frozenset(not_code))
    return {path: blob for path, blob in snapshot.git_files("").items() if not paths.overlap(path)}


@lru_cache(50_000)
def _is_environment_file(path: str) -> bool:
    return bool(ENVIRONMENT.fullmatch(posixpath.basename(path)))


class _Paths:
    """A set of files and folders that quickly answers whether a path overlaps one of them."""

    def __init__(self, exact: frozenset[str]) -> None:
        self._exact = exact
        self._parents: set[str] = set()
        for path in exact:
            self._parents.update(folders(path))

    def overlap(self, path: str) -> bool:
        """Return whether a path is one of the paths, lies in one of them, or is a folder around one."""
        if path in self._exact or path in self._parents:
            return True
        return not self._exact.isdisjoint(folders(path))


@lru_cache(1_000)
def _paths(exact: frozenset[str]) -> _Paths:
    """Return a cached set, because nearly all revisions of a repository have the same paths."""
    return _Paths(exact)


def _holds_code(snapshot: Snapshot, path: str, written: _Paths) -> bool:
    """Return whether Git keeps files in a folder of outputs that no stage wrote."""
    files = snapshot.git_files(path)
    return any(not written.overlap(file) and not file.endswith(".gitignore") for file in files)


def _hashes(entries: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    return {path: _hash(entry) for path, entry in entries.items()}


def _hash(entry: Mapping[str, Any]) -> str:
    """Return the hash that DVC records for a file or folder, of whatever kind."""
    recorded = recorded_hash(entry)
    if recorded is not None:
        return recorded
    if "files" in entry:  # The entry is of a folder on cloud storage with versions.
        return digest(entry["files"])
    # For an import that was never downloaded, DVC records only its source: a hash, or a repository's commit.
    hashes = ""
    for source in entry.get("deps", ()):
        hashes += _hash(source) or str(source.get("repo", {}).get("rev_lock", ""))
    return hashes


@lru_cache(1_000)
def read_record(text: bytes | None) -> dict[str, Any]:
    """Return the content of environment.json, or an empty dict if a different tool wrote the file.

    The hash of such a file still belongs to the environment coordinate.
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
        content: values as in JSON. Other values, such as dates, are converted with `str`.
    """
    try:
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
    except TypeError:  # A mapping has both numbers and strings as keys, which cannot be sorted.
        text = json.dumps(_with_text_keys(content), sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _with_text_keys(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {str(key): _with_text_keys(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_with_text_keys(value) for value in content]
    return content
