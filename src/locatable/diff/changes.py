"""What differs between two results: coordinate by coordinate, file by file, value by value."""

import csv
import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from ..git import count_lines, diff_contents
from ..locate.result import Result, changed_values
from ..model import Entry, is_in
from ..repository import parsing
from ..repository.hashes import HashKind, content_hash
from ..repository.snapshot import Snapshot
from ..results.coordinates import Coordinates, read_record
from ..results.locks import locked_versions
from ..results.processor import Processor, read_processor
from ..results.staleness import differences, summary
from ..results.values import metrics_of

RECORD = "environment.json"
# A larger table is not read to count its rows.
LARGEST_TABLE = 200_000_000
# Of a package that is not among those with another version.
AS_LOCKED = {"installed": "as locked"}
# Characters of a hash that are shown.
DIGITS = 8


@dataclass(frozen=True)
class Change:
    """Something in which two results differ.

    Attributes:
        coordinate: the one that it belongs to.
        name: of a file, a param, a package, a setting or a stage.
        a: its hash, value, version or command in the first result; None where that has none.
        b: the same in the second result.
        detail: what has changed in a file, in words; empty where that is not known.
        source: the file that says so, as stages name it.
    """

    coordinate: str
    name: str
    a: Any = None
    b: Any = None
    detail: str = ""
    source: str = ""


@dataclass(frozen=True)
class Value:
    """A metric in which two results differ.

    Attributes:
        key: as DVC writes it, `file:dotted.key`.
        a: in the first result, None where it has none.
        b: in the second one.
        difference: from the first to the second number, None where one of them is none.
        better: `a` or `b` where the project says in which direction it is better, else empty.
    """

    key: str
    a: Any
    b: Any
    difference: float | None = None
    better: str = ""


@dataclass(frozen=True)
class Side:
    """One of the two results.

    Attributes:
        result: as `locate` found it.
        asked: what was asked for.
        target: what `locatable reproduce` takes for it in the current folder; empty where it takes nothing.
        unread: gets a line for each file of it that cannot be read.
    """

    result: Result
    asked: str = "checked out"
    target: str = ""
    unread: list[str] = field(default_factory=list)

    @property
    def snapshot(self) -> Snapshot:
        """What Git knows of it."""
        return self.result.snapshot

    @property
    def coordinates(self) -> Coordinates:
        """Where it comes from."""
        return self.result.coordinates

    @cached_property
    def values(self) -> dict[str, Any]:
        """Its metrics by key."""
        return {metric.key: metric.value for metric in metrics_of(self.snapshot, self.unread)}

    @cached_property
    def processor(self) -> Processor | None:
        """What it was computed on, None where nobody noted it."""
        if self.result.uncommitted:
            return None
        return read_processor(self.snapshot.reader.root, self.result.rev)

    @cached_property
    def stale(self) -> str:
        """In what its commit differs from what made it, in a line; empty where it does not."""
        return summary(differences(self.snapshot))

    @cached_property
    def record(self) -> dict[str, Any]:
        """What its environment.json records."""
        content = self.snapshot.files.get(RECORD)
        if content is not None and not read_record(content):
            with suppress(ValueError):
                parsing.parse(RECORD, content)
                return {}  # of another tool
            self.unread.append(f"{self.result.rev[:7]}:{RECORD}: it is not JSON")
        return read_record(content)

    def entry(self, path: str) -> Entry:
        """Return what is recorded of a file or folder that a stage read, or that DVC tracks."""
        for record in self.snapshot.records.values():
            if path in record.deps:
                return record.deps[path]
        return self.snapshot.sources.get(path, {})

    def contents(self, path: str, recorded: str | None) -> dict[str, bytes]:
        """Return content by path of a file, or a folder's files; nothing where it is not what is recorded."""
        if recorded is None:
            return {}
        files = self.snapshot.kept_files(path)
        content = files.get(path)
        if content is None or len(recorded) != len(content_hash(b"")):
            return files
        kind = HashKind.of_entry(self.entry(path))
        return files if content_hash(content, kind) == recorded else {}


def coordinate_changes(a: Side, b: Side) -> dict[str, list[Change]]:
    """Return in what two results differ, by the name of each coordinate."""
    return {
        "data": list(_data(a, b)),
        "code": _code(a, b),
        "params": param_changes(a.coordinates.params.content, b.coordinates.params.content),
        "environment": _environment(a, b),
        "execution": list(_execution(a.snapshot, b.snapshot)),
    }


def param_changes(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Change]:
    """Return the params in which two results differ."""
    changed = changed_values(dict(a), dict(b))
    return [Change("params", key, old, new) for key, (old, new) in changed.items()]


def _changed_hashes(
    a: Mapping[str, str], b: Mapping[str, str]
) -> Iterator[tuple[str, str | None, str | None]]:
    """Yield path and hashes of each file that is not the same."""
    for path in dict.fromkeys([*a, *b]):
        if a.get(path) != b.get(path):
            yield path, a.get(path), b.get(path)


def _data(a: Side, b: Side) -> Iterator[Change]:
    hashes = a.coordinates.data.content, b.coordinates.data.content
    for path, old, new in _changed_hashes(*hashes):
        detail = ""
        if old is not None and new is not None:
            old_entry, new_entry = a.entry(path), b.entry(path)
            detail = _folder_detail(a, b, path, old_entry, new_entry)
            detail = detail or _sizes(_measure(a, path, old_entry), _measure(b, path, new_entry))
        yield Change("data", path, old, new, detail, path)


def _folder_detail(a: Side, b: Side, path: str, old: Entry, new: Entry) -> str:
    """Return how many files of a folder changed, as `dvc diff` counts them; empty where that is not known."""
    before = a.snapshot.reader.folder_files(path, old)
    after = b.snapshot.reader.folder_files(path, new)
    if path in before or path in after:  # files, or folders that nothing lists here
        return ""
    common = before.keys() & after.keys()
    counts = dict.fromkeys(("added", "deleted", "modified", "renamed"), 0)
    counts["modified"] = sum(before[file] != after[file] for file in common)
    gone = Counter(before[file] for file in before if file not in common)
    for file in after:
        if file in common:
            continue
        if gone[after[file]]:  # DVC knows a file that moved by its hash
            gone[after[file]] -= 1
            counts["renamed"] += 1
        else:
            counts["added"] += 1
    counts["deleted"] = gone.total()
    told = [f"{count} {what}" for what, count in counts.items() if count]
    return f"{', '.join(told)} of {len(after)} files"


def _measure(side: Side, path: str, entry: Entry) -> tuple[int | None, int | None]:
    """Return rows and bytes of a file, as far as they are known."""
    size = entry.get("size")
    cached = side.snapshot.reader.cached_file(str(entry.get("md5", "")))
    if not cached or cached.stat().st_size > LARGEST_TABLE:
        return None, size
    return count_rows(path, cached), size or cached.stat().st_size


def count_rows(path: str, file: Path) -> int | None:
    """Return how many rows a table has, its first line aside; None where a file is none that can be read."""
    ending = posixpath.splitext(path)[1].lower()
    try:
        if ending in (".csv", ".tsv"):
            with file.open(encoding="utf-8", newline="") as text:
                return max(sum(1 for row in csv.reader(text) if row) - 1, 0)
        if ending == ".parquet":
            from pyarrow import parquet

            return int(parquet.read_metadata(file).num_rows)
    except (ImportError, OSError, ValueError, csv.Error):
        return None
    return None


def _sizes(old: tuple[int | None, int | None], new: tuple[int | None, int | None]) -> str:
    parts = []
    for before, after, unit in zip(old, new, ("rows", "bytes"), strict=True):
        if before is not None and after is not None:
            parts.append(f"{before:,} → {after:,} {unit}" if before != after else f"{after:,} {unit}")
    return ", ".join(parts)


def _code(a: Side, b: Side) -> list[Change]:
    hashes = a.coordinates.code.content["files"], b.coordinates.code.content["files"]
    old_files: dict[str, bytes] = {}
    new_files: dict[str, bytes] = {}
    found = []
    for path, old, new in _changed_hashes(*hashes):
        before, after = a.contents(path, old), b.contents(path, new)
        # One revision may declare what in the other Git alone knows: then their hashes are of two kinds.
        if before and before == after:
            continue
        lacks = [rev for files, seen, rev in ((before, old, a), (after, new, b)) if seen and not files]
        if lacks:
            detail = f"{lacks[0].result.rev[:7]} no longer has what was read"
            found.append(Change("code", path, old, new, detail, path))
            continue
        old_files |= before
        new_files |= after
        found.append(Change("code", path, old, new, "", path))
    lines = count_lines(old_files, new_files)
    counted: dict[str, Change] = {}
    # A stage may read a file, and another one the folder around it: the file is told, and once.
    for change in sorted(found, key=lambda change: change.source not in lines):
        inside = [file for file in lines if is_in(file, change.source)]
        if change.detail or not inside:
            counted[change.name] = change
            continue
        for file in inside:
            counted.setdefault(file, replace(change, name=file, detail=lines[file]))
    return list(counted.values())


def patch(a: Side, b: Side, changes: Iterable[Change]) -> str:
    """Return the changes of code as Git shows them."""
    old_files: dict[str, bytes] = {}
    new_files: dict[str, bytes] = {}
    for change in changes:
        old_files |= a.contents(change.source, change.a)
        new_files |= b.contents(change.source, change.b)
    return diff_contents(old_files, new_files)


def _environment(a: Side, b: Side) -> list[Change]:
    hashes = a.coordinates.environment.content["files"], b.coordinates.environment.content["files"]
    found: list[Change] = []
    for path, old, new in _changed_hashes(*hashes):
        if posixpath.basename(path) == RECORD:
            continue
        before, after = a.contents(path, old), b.contents(path, new)
        if before and before == after:
            continue
        packages = _packages(path, before.get(path, b""), after.get(path, b""))
        found += packages or [Change("environment", path, old, new, "", path)]
    records = [each for each in _changed_hashes(*hashes) if posixpath.basename(each[0]) == RECORD]
    for path, old, new in records:
        told = list(_record(a, b, path))
        # The record names the lock, too, which has been told.
        found += told if told or found else [Change("environment", path, old, new, "", path)]
    return found


def _packages(path: str, before: bytes, after: bytes) -> list[Change]:
    old, new = locked_versions(path, before), locked_versions(path, after)
    changed = changed_values(dict(old), dict(new))
    return [Change("environment", name, *pair, source=path) for name, pair in changed.items()]


def _record(a: Side, b: Side, path: str) -> Iterator[Change]:
    """Yield what two environment.json say otherwise: Python, packages not as locked, settings."""
    old, new = a.record, b.record
    if not old or not new:
        return
    if old["python"] != new["python"]:
        yield Change("environment", "Python", old["python"], new["python"], source=path)
    old_drift, new_drift = old.get("drift") or {}, new.get("drift") or {}
    for name in dict.fromkeys([*old_drift, *new_drift]):
        if old_drift.get(name) != new_drift.get(name):
            before = old_drift.get(name, AS_LOCKED)["installed"]
            after = new_drift.get(name, AS_LOCKED)["installed"]
            yield Change("environment", name, before, after, "installed", path)
    settings = changed_values(old.get("variables") or {}, new.get("variables") or {})
    for name, (before, after) in settings.items():
        yield Change("environment", name, before, after, source=path)


def _execution(a: Snapshot, b: Snapshot) -> Iterator[Change]:
    for address in dict.fromkeys([*a.records, *b.records]):
        change = command_change(address, a, b)
        if change:
            yield change


def command_change(address: str, a: Snapshot, b: Snapshot) -> Change | None:
    """Return how the command of a stage differs, None where it is the same; one side can lack the stage."""
    old, new = a.records.get(address), b.records.get(address)
    if old and new:
        return None if old.cmd == new.cmd else Change("execution", address, old.cmd, new.cmd, "command")
    lacks, one, other = (a, "B", "A") if new else (b, "A", "B")
    is_declared = address in lacks.stages
    detail = f"without results in {other}" if is_declared else f"a stage of {one} alone"
    return Change("execution", address, old.cmd if old else None, new.cmd if new else None, detail)


def value_changes(a: Side, b: Side) -> list[Value]:
    """Return the metrics in which two results differ."""
    directions = {**_directions(a.snapshot), **_directions(b.snapshot)}
    changed = changed_values(a.values, b.values)
    return [_value(key, old, new, directions.get(key, "")) for key, (old, new) in changed.items()]


def _value(key: str, old: Any, new: Any, direction: str) -> Value:
    numbers = [each for each in (old, new) if isinstance(each, int | float) and not isinstance(each, bool)]
    if len(numbers) < 2:
        return Value(key, old, new)
    try:
        difference = float(new - old)
    except OverflowError:  # a whole number that no float can be
        return Value(key, old, new)
    better = ""
    if direction and difference:
        is_greater = difference > 0
        better = "b" if is_greater == (direction == "maximize") else "a"
    return Value(key, old, new, difference, better)


def _directions(snapshot: Snapshot) -> dict[str, str]:
    """Return in which direction a metric is better, by key, as search.yaml says."""
    content = snapshot.read("search.yaml")
    try:
        settings = parsing.parse("search.yaml", content or b"{}")
        keys, directions = settings.get("metric", []), settings.get("direction", [])
    except (AttributeError, ValueError, yaml.YAMLError):
        return {}
    if isinstance(keys, str):
        keys, directions = [keys], [directions]
    return {str(key): str(direction) for key, direction in zip(keys, directions, strict=False)}
