"""What differs between two results: coordinate by coordinate, file by file, value by value."""

import csv
import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from ..git import count_lines, diff_contents
from ..locate.result import Result, changed_values
from ..model import Entry, is_in, same_value
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

    def record(self, path: str, content: bytes) -> dict[str, Any]:
        """Return what an environment.json of this result records; nothing where it is of another tool."""
        record = read_record(content)
        if not record:
            try:
                parsing.parse(RECORD, content)
            except ValueError:
                self.unread.append(f"{self.result.rev[:7]}:{path}: it is not JSON")
        return record

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
        content = files.get(path)
        if content is None or len(recorded) != len(content_hash(b"")):
            return files
        kind = HashKind.of_entry(self.entry(path))
        return files if content_hash(content, kind) == recorded else {}


def coordinate_changes(a: Side, b: Side) -> dict[str, list[Change]]:
    """Return in what two results differ, by the name of each coordinate."""
    commands = []
    for address in dict.fromkeys([*a.snapshot.records, *b.snapshot.records]):
        change = command_change(address, a.snapshot, b.snapshot)
        if change:
            commands.append(change)
    return {
        "data": list(_data(a, b)),
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
        elif key not in a or key not in b:
            # To DVC, a param without a value is another thing than no param.
            detail = "only in B" if key in b else "only in A"
            found.append(Change("params", key, detail=detail))
    return found


def _data(a: Side, b: Side) -> Iterator[Change]:
    changed = changed_values(a.coordinates.data.content, b.coordinates.data.content)
    for path, (old, new) in changed.items():
        detail = ""
        if old is not None and new is not None:
            detail = _folder_detail(a, b, path) or _sizes(a, b, path)
        yield Change("data", path, old, new, detail, path)


def _folder_detail(a: Side, b: Side, path: str) -> str:
    """Return how many files of a folder changed, as `dvc diff` counts them; empty where that is not known."""
    before = a.snapshot.reader.folder_files(path, a.entry(path))
    after = b.snapshot.reader.folder_files(path, b.entry(path))
    if path in before or path in after:  # files, or folders that nothing lists here
        return ""
    counts = dict.fromkeys(("added", "deleted", "modified", "renamed"), 0)
    gone: Counter[str] = Counter()
    for file, seen in before.items():
        if file not in after:
            gone[seen] += 1
        elif after[file] != seen:
            counts["modified"] += 1
    for file, seen in after.items():
        if file in before:
            continue
        if gone[seen]:  # DVC knows a file that moved by its hash
            gone[seen] -= 1
            counts["renamed"] += 1
        else:
            counts["added"] += 1
    counts["deleted"] = gone.total()
    told = [f"{count} {what}" for what, count in counts.items() if count]
    return f"{', '.join(told)} of {len(after)} files" if told else ""


def _measure(side: Side, path: str) -> dict[str, int | None]:
    """Return rows and bytes of a file, as far as they are known."""
    entry = side.entry(path)
    measured = {"rows": None, "bytes": entry.get("size")}
    md5 = str(entry.get("md5", ""))
    cached = side.snapshot.reader.cached_file(md5)
    if cached and not md5.endswith(".dir"):
        size = cached.stat().st_size
        if size <= LARGEST_TABLE:
            measured["rows"] = count_rows(path, cached)
            measured["bytes"] = measured["bytes"] or size
    return measured


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


def _sizes(a: Side, b: Side, path: str) -> str:
    """Return rows and bytes of a file in both results; empty where they are not known."""
    old = _measure(a, path)
    parts = []
    for unit, after in _measure(b, path).items():
        before = old[unit]
        if before is None or after is None:
            continue
        was = f"{before:,} → " if before != after else ""
        parts.append(f"{was}{after:,} {unit}")
    return ", ".join(parts)


@dataclass(frozen=True)
class _ChangedFile:
    """A change of a file or folder, and its files' content by path in both results, as far as it is known."""

    change: Change
    before: dict[str, bytes]
    after: dict[str, bytes]


def _changed_files(coordinate: str, a: Side, b: Side) -> Iterator[_ChangedFile]:
    """Yield the files of code, or of the environment, that differ."""
    old_hashes = getattr(a.coordinates, coordinate).content["files"]
    new_hashes = getattr(b.coordinates, coordinate).content["files"]
    for path, (old, new) in changed_values(old_hashes, new_hashes).items():
        before = a.contents(path, old)
        after = b.contents(path, new)
        # One revision may declare what in the other Git alone knows: then their hashes are of two kinds.
        if before and before == after:
            continue
        detail = ""
        for side, recorded, contents in ((b, new, after), (a, old, before)):
            if recorded and not contents:
                detail = f"{side.result.rev[:7]} no longer has what was read"
        yield _ChangedFile(Change(coordinate, path, old, new, detail, path), before, after)


def _contents(found: Iterable[_ChangedFile]) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Return content by path before and after, but of files of which one result has lost its own."""
    old_files: dict[str, bytes] = {}
    new_files: dict[str, bytes] = {}
    for changed in found:
        if not changed.change.detail:
            old_files.update(changed.before)
            new_files.update(changed.after)
    return old_files, new_files


def patch(a: Side, b: Side) -> str:
    """Return the changes of code as Git shows them, as far as both versions are known."""
    return diff_contents(*_contents(_changed_files("code", a, b)))


def _code(a: Side, b: Side) -> list[Change]:
    found = list(_changed_files("code", a, b))
    lines = count_lines(*_contents(found))
    # A stage may read a file, and another one the folder around it: the file is told, and once.
    found.sort(key=lambda changed: changed.change.source not in lines)
    counted: dict[str, Change] = {}
    for changed in found:
        change = changed.change
        inside = [file for file in lines if is_in(file, change.source)]
        if change.detail or not inside:
            counted[change.name] = change
            continue
        for file in inside:
            counted.setdefault(file, replace(change, name=file, detail=lines[file]))
    return list(counted.values())


def _environment(a: Side, b: Side) -> list[Change]:
    found: list[Change] = []
    records: list[_ChangedFile] = []
    for changed in _changed_files("environment", a, b):
        change = changed.change
        if posixpath.basename(change.source) == RECORD:
            records.append(changed)
        elif change.detail:
            found.append(change)
        else:
            found += _packages(changed) or [change]
    for changed in records:
        told = [] if changed.change.detail else list(_record(a, b, changed))
        found += told
        # The record names the lock, too, which has been told.
        if not found:
            found.append(changed.change)
    return found


def _packages(changed: _ChangedFile) -> list[Change]:
    path = changed.change.source
    old = locked_versions(path, changed.before.get(path, b""))
    new = locked_versions(path, changed.after.get(path, b""))
    return _settings(path, old, new)


def _settings(path: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """Return what two versions of a file of the environment say otherwise."""
    found = []
    for name, (before, after) in changed_values(old, new).items():
        found.append(Change("environment", name, before, after, source=path))
    return found


def _record(a: Side, b: Side, changed: _ChangedFile) -> Iterator[Change]:
    """Yield what two environment.json say otherwise: Python, packages not as locked, settings."""
    path = changed.change.source
    if path not in changed.before or path not in changed.after:
        return
    old = a.record(path, changed.before[path])
    new = b.record(path, changed.after[path])
    if not old or not new:
        return
    yield from _settings(path, {"Python": old["python"]}, {"Python": new["python"]})
    drift = changed_values(old.get("drift") or {}, new.get("drift") or {})
    for name, (before, after) in drift.items():
        was = (before or AS_LOCKED).get("installed")
        now = (after or AS_LOCKED).get("installed")
        yield Change("environment", name, was, now, "installed", path)
    yield from _settings(path, old.get("variables") or {}, new.get("variables") or {})


def command_change(address: str, a: Snapshot, b: Snapshot, old_address: str | None = None) -> Change | None:
    """Return how the command of a stage differs, None where it is the same; one side can lack the stage.

    Where the first side has it by another name, that is its `old_address`.
    """
    old_record = a.records.get(old_address or address)
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
        found.append(_value(key, old, new, direction))
    return found


def _value(key: str, old: Any, new: Any, direction: str) -> Value:
    if not _is_number(old) or not _is_number(new):
        return Value(key, old, new)
    try:
        difference = float(new - old)
    except OverflowError:  # a whole number that no float can be
        return Value(key, old, new)
    gain = {"maximize": difference, "minimize": -difference}.get(direction, 0)
    better = ""
    if gain:
        better = "b" if gain > 0 else "a"
    return Value(key, old, new, difference, better)


def _is_number(value: Any) -> bool:
    """Return whether a value is a number that is more or less than others: a NaN is not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


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
