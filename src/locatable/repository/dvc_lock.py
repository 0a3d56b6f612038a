"""Reads `dvc.lock`, quickly for thousands of revisions.

A lock is cut, at its indentation, into stages, fields, and entries of files. Each is read by itself, and
once for all revisions in which it is the same. Nearly all entries and params are so plain that a pattern
reads them; any other part goes to the YAML parser. Where a part is not YAML by itself, the whole lock does.
"""

import re
from collections.abc import Mapping
from itertools import chain
from typing import Any

import yaml

from ..model import Record, join
from .hashes import with_hash
from .parsing import load_plain, load_yaml, parse_yaml, remembered

# A file or folder in a stage's `deps` or `outs`, as DVC writes nearly all of them: neither path nor hash is a
# number, or another word of YAML's own.
_ENTRY = re.compile(
    r"( +)- path: ((?!(?i:true|false|null)\n)[A-Za-z][\w./@-]*|[\w.-][\w.@-]*/[\w./@-]*)"
    r"(?:\n\1  hash: (md5))?\n\1  md5: ((?=[0-9e]*[a-df])[0-9a-f]{32}(?:\.dir)?)"
    r"\n\1  size: (\d+)(?:\n\1  nfiles: (\d+))?"
)


class LockedStage(dict[str, Any]):
    """The fields of a stage in a lock; shared by all revisions that have the same, so do not change it."""

    def __init__(self, fields: dict[str, Any]) -> None:
        super().__init__(fields)
        self._records: dict[str, Record] = {}

    def record(self, wdir: str) -> Record:
        """Return what they record of a stage that runs in a folder.

        Raises:
            AttributeError, KeyError, TypeError or ValueError: they are not as DVC writes them.
        """
        if wdir not in self._records:
            self._records[wdir] = _record(self, wdir)
        return self._records[wdir]


def _record(fields: Mapping[str, Any], wdir: str) -> Record:
    params = {file: dict(values or {}) for file, values in (fields.get("params") or {}).items()}
    return Record(
        cmd=fields.get("cmd") or "",
        deps={join(wdir, dep["path"]): with_hash(dep) for dep in fields.get("deps") or ()},
        outs={join(wdir, out["path"]): with_hash(out) for out in fields.get("outs") or ()},
        params={join(wdir, file): values for file, values in params.items()},
    )


@remembered
def lock_stages(content: bytes) -> Any:
    """Return stages of a `dvc.lock`: name to `LockedStage`; shared, so do not change them.

    Raises:
        ValueError or yaml.YAMLError: the text is not YAML.
    """
    text = content.decode()
    try:
        return _by_parts(text.removesuffix("\n"))
    except (ValueError, yaml.YAMLError):
        pass  # an alias of another part, more than DVC writes, or broken: the whole text tells
    lock = parse_yaml(text) or {}
    if isinstance(lock, dict) and "schema" in lock:
        lock = lock.get("stages") or {}
    return _locked(lock) if isinstance(lock, dict) else lock


def _locked(stages: dict[str, Any]) -> dict[str, Any]:
    """Return the same with a `LockedStage` for each stage; what has no fields to be one is left as it is."""
    locked: dict[str, Any] = {}
    for name, fields in stages.items():
        locked[name] = LockedStage(fields or {}) if isinstance(fields, (dict, type(None))) else fields
    return locked


def _by_parts(text: str) -> dict[str, Any]:
    """Return stages in a lock as DVC writes it; ValueError or yaml.YAMLError if there is more in it."""
    blocks = re.split(r"\n(?=[^\s-])", text)  # before DVC 2, a lock held nothing but stages
    if "schema: '2.0'" in blocks:
        blocks.remove("schema: '2.0'")
        blocks = list(chain.from_iterable(map(_stages_below, blocks)))
    found: dict[str, Any] = {}
    for block in blocks:
        found.update(_stage(block))
    return found


def _stages_below(block: str) -> list[str]:
    """Return text of each stage below a key of the top; none below other keys than `stages`."""
    key, *stages = re.split(r"\n(?=  \S)", block)
    if key == "stages:":
        return stages
    if not isinstance(load_yaml(block), dict) or block.startswith("stages"):
        raise ValueError(block)
    return []


@remembered
def _stage(text: str) -> dict[str, Any]:
    """Return a stage by its name."""
    indent = " " * (len(text) - len(text.lstrip(" ")) + 2)
    head, *blocks = re.split(rf"\n(?={indent}[a-z])", text)
    heading = load_yaml(head)
    if not isinstance(heading, dict) or len(heading) != 1:
        raise ValueError(head)
    if not blocks:
        return _locked(heading)
    ((name, nothing),) = heading.items()
    if nothing is not None:
        raise ValueError(head)
    fields: dict[str, Any] = {}
    for block in blocks:
        fields.update(_field(block, indent))
    return _locked({name: fields})


def _field(text: str, indent: str) -> dict[str, Any]:
    """Return a field of a stage, by its name."""
    name, _, _ = text.strip().partition(":")
    if name in ("deps", "outs"):
        # Each entry begins with a dash below the first letter of the name.
        heading, *entries = text.split(f"\n{indent}- ")
        if entries and heading == f"{indent}{name}:":
            return {name: [_entry(f"{indent}- {entry}") for entry in entries]}
    field = load_plain(text)
    if not isinstance(field, dict):
        raise ValueError(text)
    return field


@remembered
def _entry(text: str) -> Any:
    """Return a file or folder in `deps` or `outs`."""
    match = _ENTRY.fullmatch(text)
    if not match:
        (entry,) = parse_yaml(text)
        return entry
    _, path, kind, md5, size, nfiles = match.groups()
    entry = {"path": path, "hash": kind} if kind else {"path": path}
    entry |= {"md5": md5, "size": int(size)}
    return entry | {"nfiles": int(nfiles)} if nfiles else entry
