"""The five coordinates of a revision: where a result comes from, read out of Git alone.

    from locatable.coordinates import read
    read(".", "HEAD").params.content

For many revisions, or for more than coordinates, open one `Reader` and pass its snapshots to `of`.
"""

import hashlib
import json
import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from .history.reader import Experiment, Reader
from .history.snapshot import Snapshot

# Files that say what is installed, in projects of this template and in others.
ENVIRONMENT = re.compile(
    r"environment\.(json|ya?ml)|requirements[\w.-]*\.(lock|txt)|(uv|poetry|pdm|pixi|Pipfile)\.lock"
    r"|conda-lock\.yml|pylock\.toml"
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


def read_coordinates(repo: str | Path, rev: str) -> Coordinates:
    """Coordinates of a revision, by any name that Git knows it by.

    Raises:
        ProjectError: there is no such repository or revision.
        UnreadableError: a file of DVC's in it is broken.
    """
    with Reader(repo) as reader:
        return coordinates_of(reader.snapshot(rev))


def experiments(repo: str | Path) -> list[Experiment]:
    """All DVC experiments, oldest first, those whose baseline is on no branch included."""
    with Reader(repo) as reader:
        return reader.experiments()


def coordinates_of(snapshot: Snapshot) -> Coordinates:
    """Coordinates of a snapshot; raises UnreadableError when a file of DVC's in it is broken."""
    stages, tracked = snapshot.stages, snapshot.sources
    outs = {path for stage in stages.values() for path in stage.outs}
    made, sources = _places(frozenset(outs)), _places(frozenset(tracked))
    params_files = {file for stage in stages.values() for file in stage.params}
    recorded: dict[str, str] = {}
    for stage in stages.values():
        for path, entry in (*stage.outs.items(), *stage.deps.items()):
            seen = _hash(entry)
            # Stages that ran at different times may have seen different versions of a file.
            if recorded.setdefault(path, seen) != seen:
                recorded[path] = "+".join(sorted({*recorded[path].split("+"), seen}))

    installed = {name: snapshot.git_files(name)[name] for name in snapshot.root_files() if _installs(name)}
    data = {path: _hash(entry) for path, entry in tracked.items()}
    code = {}
    for path, seen in recorded.items():
        if _installs(path):
            installed[path] = seen
        elif sources(path):
            data[path] = seen
        elif path in params_files or path in outs or (made(path) and not _holds_code(snapshot, path, made)):
            continue
        elif snapshot.in_git(path):
            code[path] = seen
        else:
            data[path] = seen
    if not code:
        own = (path for path in snapshot.files if not path.endswith("dvc.yaml"))
        apart = _places(frozenset((".dvc", "params.yaml", *own, *params_files, *installed, *outs)))
        code = {path: blob for path, blob in snapshot.git_files("").items() if not apart(path)}

    record = _record(snapshot.files.get("environment.json"))
    ran = {
        address: {"cmd": stage.cmd, "outs": {path: _hash(entry) for path, entry in stage.outs.items()}}
        for address, stage in stages.items()
    }
    return Coordinates(
        data=Coordinate(data, digest(data)),
        code=Coordinate({"commit": snapshot.rev, "files": code}, digest(code)),
        params=Coordinate(snapshot.params, digest(snapshot.params)),
        environment=Coordinate({"files": installed, "record": record}, digest(installed)),
        execution=Coordinate({"commit": snapshot.rev, "stages": ran}, digest(ran)),
    )


@lru_cache(50_000)
def _installs(path: str) -> bool:
    return bool(ENVIRONMENT.fullmatch(posixpath.basename(path)))


@lru_cache(1_000)
def _places(exact: frozenset[str]) -> Callable[[str], bool]:
    """Whether a path is one of these, inside of one, or a folder around one."""
    around = {folder for path in exact for folder in _above(path)}
    return lambda path: path in exact or path in around or not exact.isdisjoint(_above(path))


@lru_cache(50_000)
def _above(path: str) -> tuple[str, ...]:
    parts = path.split("/")
    return tuple("/".join(parts[:length]) for length in range(1, len(parts)))


def _holds_code(snapshot: Snapshot, path: str, made: Callable[[str], bool]) -> bool:
    """Whether Git keeps files of the user's in a folder that also holds outputs."""
    return any(not made(file) and not file.endswith(".gitignore") for file in snapshot.git_files(path))


def _hash(entry: dict[str, Any]) -> str:
    """The hash that DVC keeps of a file or folder, whatever kind it is."""
    for kind in ("md5", "etag", "checksum"):
        if kind in entry:
            return str(entry[kind])
    if "files" in entry:  # a folder in a store that keeps versions
        return digest(entry["files"])
    # An import that was not downloaded is known by its source alone.
    sources = entry.get("deps", ())
    return "".join(_hash(dep) or str(dep.get("repo", {}).get("rev_lock", "")) for dep in sources)


@lru_cache(1_000)
def _record(text: bytes | None) -> dict[str, Any]:
    try:
        return json.loads(text or b"{}")
    except ValueError:
        return {}  # another tool's file of that name; its hash counts all the same


def digest(content: Any) -> str:
    """32 hexadecimal characters, equal wherever the content is equal."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
