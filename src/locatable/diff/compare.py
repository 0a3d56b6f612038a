"""Compares two results, and finds the first cause: the earliest stage that ran otherwise."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..model import Entry, Key, Record, Stage, flat_params, is_in, overlaps, recorded_hash
from ..repository import share_history
from ..repository.snapshot import Snapshot
from .changes import (
    Change,
    Side,
    Value,
    command_change,
    coordinate_changes,
    param_changes,
    value_changes,
)


@dataclass(frozen=True)
class Follower:
    """A stage that read what a cause changed.

    Attributes:
        stage: its address.
        depth: stages between it and the cause, and one.
        outputs: paths of its outputs that differ.
    """

    stage: str
    depth: int
    outputs: list[str]


@dataclass(frozen=True)
class Cause:
    """A stage whose own inputs, or outputs, differ.

    Attributes:
        stage: its address.
        changes: those of its inputs that no other stage wrote; none where its outputs differ nevertheless.
        outputs: paths of its outputs that differ.
        is_declared: whether the stage names what changed.
        follows: the stages that its outputs lead to and whose inputs differ, too, in their order.
        remark: why its outputs can differ without any change, where that is known.
    """

    stage: str
    changes: list[Change]
    outputs: list[str]
    is_declared: bool = True
    follows: list[Follower] = field(default_factory=list)
    remark: str = ""


@dataclass(frozen=True)
class Comparison:
    """In what two results differ, and why.

    Attributes:
        a: the first result.
        b: the second one.
        changes: by the name of each coordinate.
        values: metrics that differ.
        equal_values: how many do not.
        outputs: stage by path of each output that differs.
        equal_outputs: how many do not.
        causes: those that changed an output, the first one first.
        idle: those without such an effect.
        notes: lines about what else is to know.
    """

    a: Side
    b: Side
    changes: dict[str, list[Change]]
    values: list[Value]
    equal_values: int
    outputs: dict[str, str]
    equal_outputs: int
    causes: list[Cause]
    idle: list[Cause] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def differs(self) -> bool:
        """Whether anything does."""
        return bool(self.values or self.outputs or any(self.changes.values()))


def compare(a: Side, b: Side) -> Comparison:
    """Compare two results.

    Raises:
        UnreadableError: a file of DVC's in one of them is broken.
    """
    changes = coordinate_changes(a, b)
    values = value_changes(a, b)
    stages = _Stages(a, b, changes)
    outputs: dict[str, str] = {}
    for address, paths in stages.outputs.items():
        outputs.update(dict.fromkeys(paths, address))
    recorded = {*a.snapshot.outs, *b.snapshot.outs} - stages.unrecorded
    effective = []
    idle = []
    told: list[Change] = []
    for cause in stages.causes():
        if cause.outputs:
            effective.append(cause)
            told += cause.changes
        else:
            idle.append(cause)
    notes = [f"left out: {line}" for line in dict.fromkeys([*a.unread, *b.unread])]
    old_root, new_root = a.snapshot.reader.root, b.snapshot.reader.root
    if not share_history(old_root, a.result.rev, new_root, b.result.rev):
        notes.insert(0, "A and B share no history: they are compared by content alone")
    return Comparison(
        a=a,
        b=b,
        changes=changes,
        values=values,
        equal_values=len({*a.values, *b.values}) - len(values),
        outputs=outputs,
        equal_outputs=len(recorded) - len(outputs),
        causes=effective,
        idle=[cause for cause in idle if any(change not in told for change in cause.changes)],
        notes=notes,
    )


class _Stages:
    """The stages of two results, and in what each of them differs.

    Args:
        a: the first result.
        b: the second one.
        changes: of their coordinates.

    Attributes:
        order: addresses, each after those that it needs.
        outputs: paths of the outputs that differ, by address.
        unrecorded: paths of outputs that one result declares and does not record.
    """

    def __init__(self, a: Side, b: Side, changes: Mapping[str, list[Change]]) -> None:
        self._sides = (a.snapshot, b.snapshot)
        # All that DVC keeps of each, whichever stage wrote it.
        self._tracked = (a.snapshot.tracked, b.snapshot.tracked)
        self.unrecorded = _unrecorded(a.snapshot) | _unrecorded(b.snapshot)
        # The stages of A by their names in B.
        self._new_names = _renamed(a.snapshot, b.snapshot)
        self._old_names = {new: old for old, new in self._new_names.items()}
        self._needs = self._needs_of_both()
        self.order = _in_order(self._needs)
        self.outputs: dict[str, list[str]] = {}
        for address in self.order:
            self.outputs[address] = self._differing_outputs(address)
        # Which stage wrote each input that differs; no stage for those that none of them changed.
        self._writers: dict[str, dict[str, str]] = {}
        for address in self.order:
            writers = {}
            for path in self._differing_inputs(address):
                writers[path] = self._writer(address, path)
            self._writers[address] = writers
        self._changes: list[Change] = []
        for coordinate in ("data", "code", "params", "environment"):
            self._changes += changes[coordinate]
        self._undeclared = self._find_undeclared(changes)
        self._own: dict[str, list[Change]] = {}
        for address in self.order:
            self._own[address] = self._own_changes(address)

    def _needs_of_both(self) -> dict[str, list[str]]:
        """Return which others each stage needs; what the second result does not have comes last."""
        needs: dict[str, list[str]] = {}
        for snapshot in reversed(self._sides):
            for address in snapshot.records:
                named = needs.setdefault(self._new_names.get(address, address), [])
                stage = snapshot.stages.get(address)
                for other in stage.needs if stage else ():
                    named.append(self._new_names.get(other, other))
        for address, named in needs.items():
            needs[address] = [other for other in dict.fromkeys(named) if other in needs]
        return needs

    def _stages(self, address: str) -> tuple[Stage | None, Stage | None]:
        """Return what both results declare of a stage."""
        a, b = self._sides
        old_address = self._old_names.get(address, address)
        return a.stages.get(old_address), b.stages.get(address)

    def _records(self, address: str) -> tuple[Record, Record]:
        """Return what both results record of a stage."""
        a, b = self._sides
        old_address = self._old_names.get(address, address)
        nothing = Record()
        return a.records.get(old_address, nothing), b.records.get(address, nothing)

    def _differing_outputs(self, address: str) -> list[str]:
        """Return paths of what a stage wrote, and that are not the same in both results, by any stage.

        Not those that one result declares and does not record: nobody knows.
        """
        old, new = self._records(address)
        paths = dict.fromkeys([*old.outs, *new.outs])
        return [path for path in _differing(paths, *self._tracked) if path not in self.unrecorded]

    def _differing_inputs(self, address: str) -> list[str]:
        """Return paths of what a stage read whose recorded hashes differ, with the same exception."""
        records = self._records(address)
        unknown: set[str] = set()
        for stage, record in zip(self._stages(address), records, strict=True):
            if stage:
                unknown.update(path for path in stage.deps if path not in record.deps)
        old, new = records
        paths = dict.fromkeys([*old.deps, *new.deps])
        return [path for path in _differing(paths, old.deps, new.deps) if path not in unknown]

    def _writer(self, address: str, path: str) -> str:
        """Return which of the stages that one needs changed what it reads at a path; empty where none did."""
        for other in self._needs[address]:
            if overlaps(path, self.outputs[other]):
                return other
        return ""

    def _find_undeclared(self, changes: Mapping[str, list[Change]]) -> list[Change]:
        """Return changes of what no stage names: of the environment, code and params."""
        paths: set[str] = set()
        keys: set[str] = set()
        for address in self.order:
            for record in self._records(address):
                paths.update(record.deps)
                paths.update(record.outs)
                keys.update(flat_params(record.params.items()))
        files = [*changes["environment"], *changes["code"]]
        found = [change for change in files if not overlaps(change.source, paths)]
        found += [change for change in changes["params"] if change.name not in keys]
        return found

    def _own_changes(self, address: str) -> list[Change]:
        """Return the changes of a stage's inputs that no other stage made."""
        command = command_change(address, *self._sides, self._old_names.get(address))
        if command and None in (command.a, command.b):
            return [command]
        old, new = self._records(address)
        found: list[Change] = []
        for path, writer in self._writers[address].items():
            if not writer:
                found += self._changes_at(path) or [_recorded_change(path, old, new)]
        old_params = flat_params(old.params.items())
        new_params = flat_params(new.params.items())
        found += param_changes(old_params, new_params)
        if command:
            found += self._causes_of(command)
        return found

    def _causes_of(self, command: Change) -> list[Change]:
        """Return the params that DVC filled in and that changed a command; the command, if more of it did."""
        templates: set[str] = set()
        for snapshot in self._sides:
            for pipeline in snapshot.pipelines.values():
                templates.update(flat_params(pipeline.variables.items()))
        before, after = str(command.a), str(command.b)
        filled_in = []
        texts = {}
        for change in self._undeclared:
            old, new = _in_command(change.a), _in_command(change.b)
            if change.name in templates and old in before and new in after:
                filled_in.append(change)
                texts[old] = new
        if not filled_in:
            return [command]
        # A number is not looked for within another one.
        pattern = rf"(?<!\d)(?<!\d\.)({'|'.join(map(re.escape, texts))})(?!\.?\d)"
        explained = re.sub(pattern, lambda match: texts[match[0]], before) == after
        return filled_in if explained else [*filled_in, command]

    def _changes_at(self, path: str) -> list[Change]:
        """Return what has changed in a file, or in the files of a folder."""
        found = []
        for change in self._changes:
            if change.coordinate == "params":
                is_there = Key.parse(change.name).file == path  # it reads the whole file
            else:
                is_there = change.source == path or is_in(change.name, path)
            if is_there:
                found.append(change)
        return found

    def causes(self) -> list[Cause]:
        """Return each stage that ran otherwise, or wrote something else, by itself; the first one first."""
        found: list[Cause] = []
        told: list[Change] = []
        for address in self.order:
            outputs = self.outputs[address]
            changes = [change for change in self._own[address] if change not in told]
            is_declared = True
            remark = ""
            if not changes:
                if self._own[address] or any(self._writers[address].values()) or not outputs:
                    continue  # it follows from others, or nothing did
                # What was installed is no input of the stage that records it.
                for path in outputs:
                    changes += self._changes_at(path)
                is_declared = bool(changes)
                remark = self._remark(address)
                changes = changes or self._undeclared
            if outputs:
                told += changes
            follows = self._follows(address, changes) if outputs else []
            found.append(Cause(address, changes, outputs, is_declared, follows, remark))
        return found

    def _remark(self, address: str) -> str:
        """Return why a stage can write something else without any change; empty where nothing says so."""
        for stage in self._stages(address):
            if stage and stage.always_changed:
                return "DVC runs it every time: it reads what it does not declare"
            if stage and stage.warm_starts:
                return f"it finds its own last output, {', '.join(stage.warm_starts)} (persist: true)"
        return ""

    def _follows(self, cause: str, changes: list[Change]) -> list[Follower]:
        depths = {cause: 0}
        found = []
        for address in self.order:
            if address == cause:
                continue
            outputs = self.outputs[address]
            before = [depths[writer] for writer in self._writers[address].values() if writer in depths]
            if outputs and any(change in changes for change in self._own[address]):
                before.append(0)  # the same file or param is an input of both
            if before:
                depth = max(before) + 1
                depths[address] = depth
                found.append(Follower(address, depth, outputs))
        return found


def _differing(paths: Iterable[str], a: Mapping[str, Entry], b: Mapping[str, Entry]) -> Iterator[str]:
    """Yield those of some paths of which two results record other hashes."""
    for path in paths:
        if recorded_hash(a.get(path)) != recorded_hash(b.get(path)):
            yield path


def _recorded_change(path: str, old: Record, new: Record) -> Change:
    """Return how what a stage read has changed where nothing but its hashes is known."""
    old_hash = recorded_hash(old.deps.get(path))
    new_hash = recorded_hash(new.deps.get(path))
    return Change("data", path, old_hash, new_hash, source=path)


def _unrecorded(snapshot: Snapshot) -> set[str]:
    """Return paths of the outputs that stages declare, and of which nothing is recorded."""
    paths: set[str] = set()
    for stage in snapshot.stages.values():
        paths.update(path for path, out in stage.outs.items() if out.entry is None)
    return paths


def _renamed(a: Snapshot, b: Snapshot) -> dict[str, str]:
    """Return the second name by the first of stages that wrote the same paths under another name."""
    lone = {}
    for address, record in b.records.items():
        if address not in a.stages and record.outs:
            lone[frozenset(record.outs)] = address
    names = {}
    for address, record in a.records.items():
        paths = frozenset(record.outs)
        if address not in b.stages and paths in lone:
            names[address] = lone[paths]
    return names


def _in_command(value: Any) -> str:
    """Return a value as DVC fills it in."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _in_order(needs: Mapping[str, Sequence[str]]) -> list[str]:
    """Return addresses, each after those that it needs, and otherwise as they come."""
    order: dict[str, None] = {}
    visited: set[str] = set()
    for start in needs:
        waiting = [start]
        while waiting:
            address = waiting[-1]
            if address in visited:
                order.setdefault(waiting.pop())
                continue
            visited.add(address)
            waiting += [other for other in reversed(needs[address]) if other not in visited]
    return list(order)
