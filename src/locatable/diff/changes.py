"""Compares two results coordinate by coordinate, file by file and value by value."""

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

ENVIRONMENT_RECORD = "environment.json"
# The value for packages that did not drift from the lock.
AS_LOCKED = {"installed": "as locked"}
# The largest table, in bytes, whose rows are counted; a larger one would take seconds.
LARGEST_TABLE = 200_000_000
# Characters of an md5, DVC's kind of hash. Git's object ids have 40.
MD5_LENGTH = 32


@dataclass(frozen=True)
class Change:
    """A difference between two results.

    Attributes:
        coordinate: the coordinate that differs.
        name: the name of a file, a param, a package, a setting or a stage.
        a: the hash, value, version or command in the first result; None if the first result lacks it.
        b: the hash, value, version or command in the second result; None if the second result lacks it.
        detail: the change in words, such as a number of lines; empty if nothing more is known.
        source: the path of the file that shows the difference, as stages name it.
    """

    coordinate: str
    name: str
    a: Any = None
    b: Any = None
    detail: str = ""
    source: str = ""


@dataclass(frozen=True)
class Value:
    """A metric that differs between two results.

    Attributes:
        key: the key as DVC writes it, `file:dotted.key`.
        a: the value in the first result; None if the first result lacks the metric.
        b: the value in the second result; None if the second result lacks the metric.
        difference: the second number minus the first; None if one of the values is not a number.
        better: `a` or `b`, if the project says whether the metric is maximized or minimized; otherwise empty.
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
        result: the result, as `locate` found it.
        requested: the name by which the user asked for the result.
        reproduce_target: the argument with which `locatable reproduce`, in the current folder, rebuilds the
            result; empty if there is none.
        unread: collects a line for each file of the result that cannot be read.
    """

    result: Result
    requested: str = "checked out"
    reproduce_target: str = ""
    unread: list[str] = field(default_factory=list)

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot of the result's revision."""
        return self.result.snapshot

    @property
    def coordinates(self) -> Coordinates:
        """The five coordinates of the result."""
        return self.result.coordinates

    @cached_property
    def values(self) -> dict[str, Any]:
        """The metrics of the result by key."""
        return {metric.key: metric.value for metric in metrics_of(self.snapshot, self.unread)}

    @cached_property
    def processor(self) -> Processor | None:
        """The processor on which the result was computed; None if it was not noted."""
        if self.result.uncommitted:
            return None
        return read_processor(self.snapshot.reader.root, self.result.rev)

    @cached_property
    def differences(self) -> list[Difference]:
        """The differences between the files of the revision and those that made its results."""
        return differences(self.snapshot)

    @property
    def stale(self) -> str:
        """A line about the differences between the revision's files and its results; empty if none."""
        return summary(self.differences)

    @cached_property
    def edited_outputs(self) -> dict[str, str]:
        """The address of the stage for each output that was edited after the stage wrote it, by path."""
        edited = {}
        for changed in self.differences:
            if changed.kind is Kind.OUTPUT and changed.recorded:
                edited[changed.name] = changed.stage
        return edited

    def present_hash(self, path: str) -> str | None:
        """Return the hash of an output's current content; None if it is unknown."""
        for changed in self.differences:
            if changed.kind is Kind.OUTPUT and changed.name == path:
                present: str | None = changed.present
                return present
        return recorded_hash(self.snapshot.tracked.get(path))

    def entry(self, path: str) -> Entry:
        """Return the entry that DVC recorded for a file or folder; empty if there is none.

        The entry of a stage that read the file comes before that of the file's own `.dvc` file or output.
        """
        for record in self.snapshot.records.values():
            if path in record.deps:
                return record.deps[path]
        return self.snapshot.tracked.get(path, {})

    def contents(self, path: str, recorded: str | None) -> dict[str, bytes]:
        """Return the contents of a file, or of all files of a folder, by path.

        Args:
            path: the path of the file or folder.
            recorded: the hash that the result records for it, None if there is none.

        Returns:
            An empty mapping if the content cannot be found, or if it has changed since it was recorded.
        """
        if recorded is None:
            return {}
        files = self.snapshot.kept_files(path)
        if path in files and len(recorded) == MD5_LENGTH:
            kind = HashKind.of_entry(self.entry(path))
            if content_hash(files[path], kind) != recorded:
                return {}
        return files

    def content(self, path: str, recorded: str | None) -> bytes:
        """Return the content of a file; empty if it cannot be found or has changed, as in `contents`."""
        return self.contents(path, recorded).get(path, b"")


def coordinate_changes(a: Side, b: Side) -> dict[str, list[Change]]:
    """Return the changes between two results, grouped by coordinate name."""
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
    """Return the params that differ between two results."""
    found = []
    for key in dict.fromkeys([*a, *b]):
        old, new = a.get(key), b.get(key)
        if not same_value(old, new):
            found.append(Change("params", key, old, new))
        elif key not in a:
            # Both values are None, but to DVC a param without a value is not the same as no param.
            found.append(Change("params", key, detail="only in B"))
        elif key not in b:
            found.append(Change("params", key, detail="only in A"))
    return found


def _data(a: Side, b: Side) -> list[Change]:
    """Return the changes of source data, with numbers of files, or rows and bytes, if they are known."""
    found = []
    hashes = changed_values(a.coordinates.data.content, b.coordinates.data.content)
    for path, (old, new) in hashes.items():
        detail = ""
        if old is not None and new is not None:
            detail = _count_files(a, b, path) or _compare_sizes(a, b, path)
        found.append(Change("data", path, old, new, detail, path))
    return found


def _count_files(a: Side, b: Side, path: str) -> str:
    """Return the numbers of changed files in a folder, as `dvc diff` counts them; empty if unknown."""
    before = a.snapshot.reader.folder_files(path, a.entry(path))
    after = b.snapshot.reader.folder_files(path, b.entry(path))
    if path in before or path in after:  # a file, or a folder whose list of files is not on this machine
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
    # DVC recognizes a renamed file by its hash.
    renamed = (deleted & added).total()
    counts = {
        "added": added.total() - renamed,
        "deleted": deleted.total() - renamed,
        "modified": modified,
        "renamed": renamed,
    }
    parts = [f"{count} {change}" for change, count in counts.items() if count]
    return f"{', '.join(parts)} of {len(after)} files" if parts else ""


def _compare_sizes(a: Side, b: Side, path: str) -> str:
    """Return the numbers of rows and bytes of a file in both results; empty if they are not known."""
    old = _read_sizes(a, path)
    new = _read_sizes(b, path)
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


def _read_sizes(side: Side, path: str) -> dict[str, int | None]:
    """Return the numbers of rows and bytes of a file; a number that is not known is left out or None."""
    entry = side.entry(path)
    md5 = str(entry.get("md5", ""))
    cached = side.snapshot.reader.cached_file(md5)
    if cached is None or md5.endswith(".dir"):
        return {"bytes": entry.get("size")}
    size = cached.stat().st_size
    rows = count_rows(path, cached) if size <= LARGEST_TABLE else None
    return {"rows": rows, "bytes": size}


def count_rows(path: str, file: Path) -> int | None:
    """Return the number of rows of a table without its header; None if the file cannot be read as a table."""
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
    """Return the files and folders of the code or the environment that differ.

    If a result no longer has the content that its stages read, the detail of the change says so.
    """
    found = []
    old_hashes = getattr(a.coordinates, coordinate).content["files"]
    new_hashes = getattr(b.coordinates, coordinate).content["files"]
    for path, (old, new) in changed_values(old_hashes, new_hashes).items():
        before = a.contents(path, old)
        after = b.contents(path, new)
        # Equal files can have different hashes: DVC's if a stage declares the file, otherwise Git's.
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
    """Return the contents of changed files by path, before and after; files with a detail are left out.

    Such a file has lost the content that was read in one of the results; see `_changed_files`.
    """
    before: dict[str, bytes] = {}
    after: dict[str, bytes] = {}
    for change in changes:
        if not change.detail:
            before |= a.contents(change.source, change.a)
            after |= b.contents(change.source, change.b)
    return before, after


def patch(a: Side, b: Side) -> str:
    """Return the changes of code as `git diff` shows them; files whose content is lost are left out."""
    before, after = _contents(_changed_files("code", a, b), a, b)
    return diff_contents(before, after)


def _code(a: Side, b: Side) -> list[Change]:
    """Return the changes of code with numbers of lines; a changed folder is replaced by its changed files."""
    changes = _changed_files("code", a, b)
    before, after = _contents(changes, a, b)
    lines = count_lines(before, after)
    # One stage may read a file, and another stage the folder that contains it. The file is reported once, as
    # itself: so changes of files come before changes of folders.
    changes.sort(key=lambda change: change.source not in lines)
    found: dict[str, Change] = {}
    for change in changes:
        changed_files = [file for file in lines if is_in(file, change.source)]
        if change.detail or not changed_files:
            found[change.name] = change
            continue
        for file in changed_files:
            found.setdefault(file, replace(change, name=file, detail=lines[file]))
    return list(found.values())


def _environment(a: Side, b: Side) -> list[Change]:
    """Return the changes of the environment: packages and settings if they can be read, otherwise files."""
    found: list[Change] = []
    records = []
    for change in _changed_files("environment", a, b):
        path = change.source
        if posixpath.basename(path) == ENVIRONMENT_RECORD:
            records.append(change)
            continue
        versions: list[Change] = []
        if not change.detail:  # with a detail, the content that was read is lost
            old = locked_versions(path, a.content(path, change.a))
            new = locked_versions(path, b.content(path, change.b))
            versions = _changed_settings(path, old, new)
        found += versions or [change]
    for change in records:
        found += _changes_of_record(change, a, b)
        # The record contains the hash of the lock, so it also differs if only the lock does. That was
        # reported.
        if not found:
            found.append(change)
    return found


def _changed_settings(path: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """Return the settings that differ between two versions of a file of the environment."""
    found = []
    for name, (before, after) in changed_values(old, new).items():
        found.append(Change("environment", name, before, after, source=path))
    return found


def _changes_of_record(change: Change, a: Side, b: Side) -> list[Change]:
    """Return the differences between two environment.json: Python, installed packages and variables."""
    path = change.source
    old = read_record(a.content(path, change.a))
    new = read_record(b.content(path, change.b))
    if change.detail or not old or not new:
        return []
    found = _changed_settings(path, {"Python": old["python"]}, {"Python": new["python"]})
    old_drift = old.get("drift") or {}
    new_drift = new.get("drift") or {}
    for name in dict.fromkeys([*old_drift, *new_drift]):
        was = old_drift.get(name, AS_LOCKED).get("installed")
        now = new_drift.get(name, AS_LOCKED).get("installed")
        if was != now:
            found.append(Change("environment", name, was, now, "installed", path))
    old_variables = old.get("variables") or {}
    new_variables = new.get("variables") or {}
    return found + _changed_settings(path, old_variables, new_variables)


def command_change(old_address: str, address: str, a: Snapshot, b: Snapshot) -> Change | None:
    """Return the change of a stage's command; None if it is the same. One of the results may lack the stage.

    Args:
        old_address: the address of the stage in the first result.
        address: the address of the stage in the second result, which is also the name of the change.
        a: the snapshot of the first result.
        b: the snapshot of the second result.
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
    """Return the metrics that differ between two results."""
    old_directions = _directions(a.snapshot)
    new_directions = _directions(b.snapshot)
    found = []
    for key, (old, new) in changed_values(a.values, b.values).items():
        direction = new_directions.get(key, "")
        if old_directions.get(key, direction) != direction:  # the results disagree about what is better
            direction = ""
        gain = difference(old, new)
        better = ""
        if gain and direction in ("maximize", "minimize"):
            is_gain = (gain > 0) == (direction == "maximize")
            better = "b" if is_gain else "a"
        found.append(Value(key, old, new, gain, better))
    return found


def _directions(snapshot: Snapshot) -> dict[str, str]:
    """Return `maximize` or `minimize` for each metric of search.yaml by key; empty if it cannot be read."""
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
