"""What differs between two results: coordinate by coordinate, file by file, value by value."""

import csv
import posixpath
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from ..git import count_lines, diff_contents
from ..locate.result import Result, changed_values
from ..model import Entry, is_in, recorded_hash, same_value
from ..repository import parsing
from ..repository.hashes import HashKind, content_hash
from ..repository.snapshot import Snapshot
from ..results.coordinates import Coordinates, read_record
from ..results.locks import locked_versions
from ..results.processor import Processor, read_processor
from ..results.staleness import Difference, Kind, differences, summary
from ..results.values import difference, metrics_of

RECORD = "environment.json"
# Of a package that is not among those with another version.
AS_LOCKED = {"installed": "as locked"}
# A larger table is not read to count its rows: that would take seconds.
LARGEST_TABLE = 200_000_000
# Characters of an md5; Git's ids have 40.
MD5_LENGTH = 32


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
    def differences(self) -> list[Difference]:
        """The differences between its files and what made its results."""
        return differences(self.snapshot)

    @property
    def stale(self) -> str:
        """The same in one line; empty if its results are those of its files."""
        return summary(self.differences)

    @cached_property
    def edited_outputs(self) -> dict[str, str]:
        """The stage by path of each output that was changed after the stage wrote it."""
        edited = {}
        for changed in self.differences:
            if changed.kind is Kind.OUTPUT and changed.recorded:
                edited[changed.name] = changed.stage
        return edited

    def present_hash(self, path: str) -> str | None:
        """Return the hash of an output as it is now; None if it is unknown."""
        for changed in self.differences:
            if changed.kind is Kind.OUTPUT and changed.name == path:
                present: str | None = changed.present
                return present
        return recorded_hash(self.snapshot.tracked.get(path))

    def entry(self, path: str) -> Entry:
        """Return what is recorded of a file or folder that a stage read, or that DVC tracks."""
        for record in self.snapshot.records.values():
            if path in record.deps:
                return record.deps[path]
        return self.snapshot.tracked.get(path, {})

    def contents(self, path: str, recorded: str | None) -> dict[str, bytes]:
        """Return content by path of a file, or a folder's files; nothing where it is not what is recorded."""
        if recorded is None:
            return {}
        files = self.snapshot.kept_files(path)
        if path in files and len(recorded) == MD5_LENGTH:
            kind = HashKind.of_entry(self.entry(path))
            if content_hash(files[path], kind) != recorded:
                return {}
        return files

    def content(self, path: str, recorded: str | None) -> bytes:
        """Return content of a file; empty where it is not what is recorded."""
        return self.contents(path, recorded).get(path, b"")


def coordinate_changes(a: Side, b: Side) -> dict[str, list[Change]]:
    """Return in what two results differ, by the name of each coordinate."""
    commands = []
    for address in dict.fromkeys([*a.snapshot.records, *b.snapshot.records]):
        change = command_change(address, address, a.snapshot, b.snapshot)
        if change:
            commands.append(change)
    return {
        "data": _data(a, b),
        "code": _code(a, b),
        "params": param_changes(a.coordinates.params.content, b.coordinates.params.content),
        "environment": _environment(a, b),
        "execution": commands,
    }


def param_changes(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Change]:
    """Return the params in which two results differ."""
    found = []
    for key in dict.fromkeys([*a, *b]):
        old, new = a.get(key), b.get(key)
        if not same_value(old, new):
            found.append(Change("params", key, old, new))
        elif key not in a:
            # To DVC, a param without a value is another thing than no param.
            found.append(Change("params", key, detail="only in B"))
        elif key not in b:
            found.append(Change("params", key, detail="only in A"))
    return found


def _data(a: Side, b: Side) -> list[Change]:
    found = []
    hashes = changed_values(a.coordinates.data.content, b.coordinates.data.content)
    for path, (old, new) in hashes.items():
        detail = ""
        if old is not None and new is not None:
            detail = _count_files(a, b, path) or _compare_sizes(a, b, path)
        found.append(Change("data", path, old, new, detail, path))
    return found


def _count_files(a: Side, b: Side, path: str) -> str:
    """Return how many files of a folder changed, as `dvc diff` counts them; empty where that is not known."""
    before = a.snapshot.reader.folder_files(path, a.entry(path))
    after = b.snapshot.reader.folder_files(path, b.entry(path))
    if path in before or path in after:  # files, or folders that nothing lists here
        return ""
    deleted: Counter[str] = Counter()
    added: Counter[str] = Counter()
    modified = 0
    for file, md5 in before.items():
        if file not in after:
            deleted[md5] += 1
        elif after[file] != md5:
            modified += 1
    for file, md5 in after.items():
        if file not in before:
            added[md5] += 1
    # DVC knows a file that moved by its hash.
    renamed = (deleted & added).total()
    counts = {
        "added": added.total() - renamed,
        "deleted": deleted.total() - renamed,
        "modified": modified,
        "renamed": renamed,
    }
    parts = [f"{count} {what}" for what, count in counts.items() if count]
    return f"{', '.join(parts)} of {len(after)} files" if parts else ""


def _compare_sizes(a: Side, b: Side, path: str) -> str:
    """Return rows and bytes of a file in both results; empty where they are not known."""
    old = _measure(a, path)
    new = _measure(b, path)
    parts = []
    for unit in ("rows", "bytes"):
        before, after = old.get(unit), new.get(unit)
        if before is None or after is None:
            continue
        if before == after:
            parts.append(f"{after:,} {unit}")
        else:
            parts.append(f"{before:,} → {after:,} {unit}")
    return ", ".join(parts)


def _measure(side: Side, path: str) -> dict[str, int | None]:
    """Return rows and bytes of a file, as far as they are known."""
    entry = side.entry(path)
    md5 = str(entry.get("md5", ""))
    cached = side.snapshot.reader.cached_file(md5)
    if cached is None or md5.endswith(".dir"):
        return {"bytes": entry.get("size")}
    size = cached.stat().st_size
    rows = count_rows(path, cached) if size <= LARGEST_TABLE else None
    return {"rows": rows, "bytes": size}


def count_rows(path: str, file: Path) -> int | None:
    """Return how many rows a table has, its first line aside; None where a file is none that can be read."""
    ending = posixpath.splitext(path)[1].lower()
    try:
        if ending in (".csv", ".tsv"):
            with file.open(encoding="utf-8", newline="") as text:
                rows = sum(1 for row in csv.reader(text) if row)
            return max(rows - 1, 0)
        if ending == ".parquet":
            from pyarrow import parquet

            return int(parquet.read_metadata(file).num_rows)
    except (ImportError, OSError, ValueError, csv.Error):
        return None
    return None


def _changed_files(coordinate: str, a: Side, b: Side) -> list[Change]:
    """Return the files and folders of code, or of the environment, that differ.

    Those of which one result has lost what was read have that for a detail.
    """
    found = []
    old_hashes = getattr(a.coordinates, coordinate).content["files"]
    new_hashes = getattr(b.coordinates, coordinate).content["files"]
    for path, (old, new) in changed_values(old_hashes, new_hashes).items():
        before = a.contents(path, old)
        after = b.contents(path, new)
        # One revision may declare what in the other Git alone knows: then their hashes are of two kinds.
        if before and before == after:
            continue
        detail = ""
        if old and not before:
            detail = f"{a.result.rev[:7]} no longer has what was read"
        elif new and not after:
            detail = f"{b.result.rev[:7]} no longer has what was read"
        found.append(Change(coordinate, path, old, new, detail, path))
    return found


def _contents(changes: Iterable[Change], a: Side, b: Side) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Return content by path before and after, but of files of which one result has lost its own."""
    before: dict[str, bytes] = {}
    after: dict[str, bytes] = {}
    for change in changes:
        if not change.detail:
            before |= a.contents(change.source, change.a)
            after |= b.contents(change.source, change.b)
    return before, after


def patch(a: Side, b: Side) -> str:
    """Return the changes of code as Git shows them, as far as both versions are known."""
    before, after = _contents(_changed_files("code", a, b), a, b)
    return diff_contents(before, after)


def _code(a: Side, b: Side) -> list[Change]:
    changes = _changed_files("code", a, b)
    before, after = _contents(changes, a, b)
    lines = count_lines(before, after)
    # A stage may read a file, and another one the folder around it: the file is told, and once.
    changes.sort(key=lambda change: change.source not in lines)
    found: dict[str, Change] = {}
    for change in changes:
        inside = [file for file in lines if is_in(file, change.source)]
        if change.detail or not inside:
            found[change.name] = change
            continue
        for file in inside:
            found.setdefault(file, replace(change, name=file, detail=lines[file]))
    return list(found.values())


def _environment(a: Side, b: Side) -> list[Change]:
    found: list[Change] = []
    records = []
    for change in _changed_files("environment", a, b):
        path = change.source
        if posixpath.basename(path) == RECORD:
            records.append(change)
            continue
        # Of a file that has lost what was read, no content is known.
        versions: list[Change] = []
        if not change.detail:
            old = locked_versions(path, a.content(path, change.a))
            new = locked_versions(path, b.content(path, change.b))
            versions = _settings(path, old, new)
        found += versions or [change]
    for change in records:
        found += _changes_of_record(change, a, b)
        # The record names the lock, too, which has been told.
        if not found:
            found.append(change)
    return found


def _settings(path: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """Return what two versions of a file of the environment say otherwise."""
    found = []
    for name, (before, after) in changed_values(old, new).items():
        found.append(Change("environment", name, before, after, source=path))
    return found


def _changes_of_record(change: Change, a: Side, b: Side) -> list[Change]:
    """Return what two environment.json say otherwise: Python, packages not as locked, settings."""
    path = change.source
    old = read_record(a.content(path, change.a))
    new = read_record(b.content(path, change.b))
    if change.detail or not old or not new:
        return []
    found = _settings(path, {"Python": old["python"]}, {"Python": new["python"]})
    old_drift = old.get("drift") or {}
    new_drift = new.get("drift") or {}
    for name in dict.fromkeys([*old_drift, *new_drift]):
        was = old_drift.get(name, AS_LOCKED).get("installed")
        now = new_drift.get(name, AS_LOCKED).get("installed")
        if was != now:
            found.append(Change("environment", name, was, now, "installed", path))
    old_variables = old.get("variables") or {}
    new_variables = new.get("variables") or {}
    return found + _settings(path, old_variables, new_variables)


def command_change(old_address: str, address: str, a: Snapshot, b: Snapshot) -> Change | None:
    """Return how the command of a stage differs, None where it is the same; one side can lack the stage.

    Args:
        old_address: of the stage in the first result.
        address: of the stage in the second one, which is what the change is called.
        a: the first result.
        b: the second one.
    """
    old_record = a.records.get(old_address)
    new_record = b.records.get(address)
    old = old_record.cmd if old_record else None
    new = new_record.cmd if new_record else None
    if old == new:
        return None
    detail = "command"
    if old is None:
        detail = "without results in A" if address in a.stages else "a stage of B alone"
    elif new is None:
        detail = "without results in B" if address in b.stages else "a stage of A alone"
    return Change("execution", address, old, new, detail)


def value_changes(a: Side, b: Side) -> list[Value]:
    """Return the metrics in which two results differ."""
    old_directions = _directions(a.snapshot)
    new_directions = _directions(b.snapshot)
    found = []
    for key, (old, new) in changed_values(a.values, b.values).items():
        direction = new_directions.get(key, "")
        if old_directions.get(key, direction) != direction:  # the two do not agree on what is better
            direction = ""
        gain = difference(old, new)
        better = ""
        if gain and direction in ("maximize", "minimize"):
            is_gain = (gain > 0) == (direction == "maximize")
            better = "b" if is_gain else "a"
        found.append(Value(key, old, new, gain, better))
    return found


def _directions(snapshot: Snapshot) -> dict[str, str]:
    """Return in which direction a metric is better, by key, as search.yaml says."""
    content = snapshot.read("search.yaml")
    try:
        settings = parsing.parse("search.yaml", content or b"{}")
        keys, directions = settings["metric"], settings["direction"]
    except (LookupError, TypeError, ValueError, yaml.YAMLError):
        return {}
    if isinstance(keys, str):
        keys, directions = [keys], [directions]
    if not isinstance(keys, list) or not isinstance(directions, list):
        return {}
    return dict(zip(map(str, keys), map(str, directions), strict=False))
