"""Compares two results, and finds the first cause: the earliest stage that ran otherwise."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ..model import Entry, Key, Record, Stage, flat_params, is_in, overlaps, recorded_hash
from ..repository import share_history
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
    total = 0
    for address in stages.order:
        outputs |= dict.fromkeys(stages.differing_outputs(address), address)
        total += len(stages.outputs(address))
    causes = stages.causes()
    effective = [cause for cause in causes if cause.outputs]
    told = [change for cause in effective for change in cause.changes]
    idle = []
    for cause in causes:
        if not cause.outputs and any(change not in told for change in cause.changes):
            idle.append(cause)
    notes = [f"left out: {line}" for line in dict.fromkeys([*a.unread, *b.unread])]
    places = [(each.snapshot.reader.root, each.result.rev) for each in (a, b)]
    if not share_history(*places[0], *places[1]):
        notes.insert(0, "A and B share no history: they are compared by content alone")
    return Comparison(
        a=a,
        b=b,
        changes=changes,
        values=values,
        equal_values=len({*a.values, *b.values}) - len(values),
        outputs=outputs,
        equal_outputs=total - len(outputs),
        causes=effective,
        idle=idle,
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
    """

    def __init__(self, a: Side, b: Side, changes: Mapping[str, list[Change]]) -> None:
        self._a, self._b = a.snapshot, b.snapshot
        inputs = ("data", "code", "params", "environment")
        self._changes = [change for name in inputs for change in changes[name]]
        # What the pipeline of the second result does not have comes after what it has.
        self._declared: dict[str, Stage] = {**self._b.stages, **self._a.stages} | self._b.stages
        self._needs = self._needs_of_both()
        self.order = _in_order(self._needs)
        self._undeclared = self._find_undeclared(changes)

    def _needs_of_both(self) -> dict[str, list[str]]:
        recorded = {*self._a.records, *self._b.records}
        needs = {}
        for address in [*self._declared, *recorded.difference(self._declared)]:
            if address not in recorded:
                continue
            both = [each.stages[address].needs for each in (self._a, self._b) if address in each.stages]
            named = dict.fromkeys(name for each in both for name in each)
            needs[address] = [name for name in named if name in recorded]
        return needs

    def _differing_inputs(self, address: str) -> list[str]:
        """Return paths of what a stage read that differs."""
        old, new = self._records(address)
        declared = [
            each.stages[address].deps if address in each.stages else () for each in (self._a, self._b)
        ]
        return _differing(old.deps, new.deps, declared)

    def _records(self, address: str) -> tuple[Record, Record]:
        return self._a.records.get(address, Record()), self._b.records.get(address, Record())

    def outputs(self, address: str) -> set[str]:
        """Return paths of what a stage wrote in either result."""
        old, new = self._records(address)
        return {*old.outs, *new.outs}

    def differing_outputs(self, address: str) -> list[str]:
        """Return paths of the outputs of a stage that differ."""
        old, new = self._records(address)
        declared = [
            each.stages[address].outs if address in each.stages else () for each in (self._a, self._b)
        ]
        return _differing(old.outs, new.outs, declared)

    def _find_undeclared(self, changes: Mapping[str, list[Change]]) -> list[Change]:
        """Return changes of what no stage names: of the environment, code and params."""
        named: set[str] = set()
        keys: set[str] = set()
        for address in self._needs:
            for record in self._records(address):
                named.update((*record.deps, *record.outs))
                keys.update(flat_params(record.params.items()))
        files = [*changes["environment"], *changes["code"]]
        found = [change for change in files if not overlaps(change.source, named)]
        return found + [change for change in changes["params"] if change.name not in keys]

    def _own_changes(self, address: str) -> list[Change]:
        """Return the changes of a stage's inputs that no other stage made."""
        old, new = self._records(address)
        command = command_change(address, self._a, self._b)
        if command and (command.a is None or command.b is None):
            return [command]
        found: list[Change] = []
        for path in self._differing_inputs(address):
            if self._writer(address, path):
                continue
            seen = recorded_hash(old.deps.get(path)), recorded_hash(new.deps.get(path))
            found += self._changes_at(path) or [Change("data", path, *seen, source=path)]
        found += param_changes(flat_params(old.params.items()), flat_params(new.params.items()))
        if command:
            # DVC fills in params before it records a command.
            in_command = [each for each in self._undeclared if _is_filled_in(each, command)]
            found += in_command or [command]
        return found

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

    def _writer(self, address: str, path: str) -> str:
        """Return which of the stages that one needs changed what it reads at a path; empty where none did."""
        for other in self._needs[address]:
            if overlaps(path, self.differing_outputs(other)):
                return other
        return ""

    def causes(self) -> list[Cause]:
        """Return each stage that ran otherwise, or wrote something else, by itself; the first one first."""
        found: list[Cause] = []
        told: list[Change] = []
        for address in self.order:
            outputs = self.differing_outputs(address)
            changes = [change for change in self._own_changes(address) if change not in told]
            inherits = any(self._writer(address, path) for path in self._differing_inputs(address))
            is_declared, remark = True, ""
            if not changes and (inherits or not outputs or self._own_changes(address)):
                continue
            if not changes:
                # What was installed is no input of the stage that records it.
                changes = [change for path in outputs for change in self._changes_at(path)]
                if not changes:
                    changes, is_declared = self._undeclared, False
                remark = self._remark(address)
            if outputs:
                told += changes
            follows = self._follows(address, changes) if outputs else []
            found.append(Cause(address, changes, outputs, is_declared, follows, remark))
        return found

    def _remark(self, address: str) -> str:
        stage = self._declared.get(address)
        if stage and stage.always_changed:
            return "DVC runs it every time: it reads what it does not declare"
        if stage and stage.warm_starts:
            return f"it finds its own last output, {', '.join(stage.warm_starts)} (persist: true)"
        return ""

    def _follows(self, cause: str, changes: list[Change]) -> list[Follower]:
        depths = {cause: 0}
        found = []
        for address in self.order:
            writers = [self._writer(address, path) for path in self._differing_inputs(address)]
            before = [depths[writer] for writer in writers if writer in depths]
            outputs = self.differing_outputs(address)
            if outputs and any(change in changes for change in self._own_changes(address)):
                before.append(0)  # the same file or param is an input of both
            if before and address != cause:
                depths[address] = max(before) + 1
                found.append(Follower(address, depths[address], outputs))
        return found


def _differing(
    old: Mapping[str, Entry], new: Mapping[str, Entry], declared: Sequence[Collection[str]]
) -> list[str]:
    """Return paths whose recorded hashes are not the same.

    Not those that one result declares and does not record: nobody knows.
    """
    found = []
    for path in dict.fromkeys([*old, *new]):
        is_unknown = (path not in old and path in declared[0]) or (path not in new and path in declared[1])
        if not is_unknown and recorded_hash(old.get(path)) != recorded_hash(new.get(path)):
            found.append(path)
    return found


def _is_filled_in(change: Change, command: Change) -> bool:
    """Return whether a command names the value of a param, before and after."""
    return (
        change.coordinate == "params" and str(change.a) in str(command.a) and str(change.b) in str(command.b)
    )


def _in_order(needs: Mapping[str, Iterable[str]]) -> list[str]:
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
            waiting += [other for other in needs[address] if other not in visited]
    return list(order)
