"""Compares two results, and finds the first cause: the earliest stage that ran otherwise."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..model import Entry, Key, Record, Stage, flat_params, is_in, overlaps, recorded_hash, run_order
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


@dataclass(frozen=True)
class _StageDifference:
    """In what a stage differs.

    Attributes:
        address: of the stage; where it has another one in each result, that in the second.
        changes: of its own inputs: those that no other stage wrote, its params, and its command.
        writers: by path of each input that differs, the stage that wrote it otherwise; empty where none did.
        outputs: paths of its outputs that differ.
        remark: why these can differ without any change, where that is known.
    """

    address: str
    changes: list[Change]
    writers: dict[str, str]
    outputs: list[str]
    remark: str

    @property
    def follows_others(self) -> bool:
        """True where it read what another stage wrote otherwise."""
        return any(self.writers.values())


def compare(a: Side, b: Side) -> Comparison:
    """Compare two results.

    Raises:
        UnreadableError: a file of DVC's in one of them is broken.
    """
    changes = coordinate_changes(a, b)
    values = value_changes(a, b)
    inputs = [*changes["data"], *changes["environment"], *changes["code"], *changes["params"]]
    undeclared = _undeclared(inputs, a.snapshot, b.snapshot)
    unrecorded = _unrecorded(a.snapshot) | _unrecorded(b.snapshot)
    stages = _compare_stages(a.snapshot, b.snapshot, inputs, undeclared, unrecorded)
    outputs: dict[str, str] = {}
    for stage in stages:
        outputs |= dict.fromkeys(stage.outputs, stage.address)
    recorded = {*a.snapshot.outs, *b.snapshot.outs} - unrecorded
    effective: list[Cause] = []
    without_effect: list[Cause] = []
    told: list[Change] = []
    for cause in _find_causes(stages, inputs, undeclared):
        if cause.outputs:
            effective.append(cause)
            told += cause.changes
        else:
            without_effect.append(cause)
    # What has an effect in one stage is not called idle for another.
    idle = [cause for cause in without_effect if any(change not in told for change in cause.changes)]
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
        idle=idle,
        notes=notes,
    )


def _undeclared(inputs: Iterable[Change], a: Snapshot, b: Snapshot) -> list[Change]:
    """Return changes of what no stage names: of the environment, code and params."""
    paths: set[str] = set()
    keys: set[str] = set()
    for record in [*a.records.values(), *b.records.values()]:
        paths.update(record.deps, record.outs)
        keys.update(flat_params(record.params.items()))
    found = []
    for change in inputs:
        if change.coordinate == "params":
            is_declared = change.name in keys
        else:
            is_declared = change.coordinate == "data" or overlaps(change.source, paths)
        if not is_declared:
            found.append(change)
    return found


def _unrecorded(snapshot: Snapshot) -> set[str]:
    """Return paths of the outputs that stages declare, and of which nothing is recorded."""
    paths: set[str] = set()
    for stage in snapshot.stages.values():
        paths.update(path for path, out in stage.outs.items() if out.entry is None)
    return paths


def _compare_stages(
    a: Snapshot, b: Snapshot, inputs: list[Change], undeclared: list[Change], unrecorded: set[str]
) -> list[_StageDifference]:
    """Return in what each stage differs, each after those that it needs.

    Args:
        a: the first result.
        b: the second one.
        inputs: changes of all coordinates but the execution.
        undeclared: those of them that no stage names.
        unrecorded: paths of outputs of which one result declares and does not record what they were.
    """
    old_names = _old_names(a, b)
    needs = _needs_of_both(a, b, old_names)
    # By all that DVC keeps: in one of the results, another stage may have written an output.
    differing = {*_differing([*a.outs, *b.outs], a.tracked, b.tracked)} - unrecorded
    outputs: dict[str, list[str]] = {}
    for address in needs:
        old, new = _records(old_names.get(address, address), address, a, b)
        outputs[address] = [path for path in dict.fromkeys([*old.outs, *new.outs]) if path in differing]
    filled_in = _template_params(undeclared, a, b)
    found = []
    for address in run_order(needs):
        old_address = old_names.get(address, address)
        old, new = _records(old_address, address, a, b)
        stages = [stage for stage in (a.stages.get(old_address), b.stages.get(address)) if stage]
        writers = {}
        for path in _differing_inputs(old, new, stages):
            writers[path] = _writer(path, needs[address], outputs)
        command = command_change(old_address, address, a, b)
        if command and None in (command.a, command.b):
            changes = [command]
        else:
            changes = _input_changes(old, new, writers, inputs)
            if command:
                changes += _reasons_for_command(command, filled_in)
        found.append(_StageDifference(address, changes, writers, outputs[address], _remark(stages)))
    return found


def _records(old_address: str, address: str, a: Snapshot, b: Snapshot) -> tuple[Record, Record]:
    """Return what both results record of a stage, which is nothing where one has no such stage."""
    return a.records.get(old_address, Record()), b.records.get(address, Record())


def _old_names(a: Snapshot, b: Snapshot) -> dict[str, str]:
    """Return the first name by the second of stages that wrote the same paths under another name."""
    alone = {}
    for address, record in a.records.items():
        if address not in b.stages and record.outs:
            alone[frozenset(record.outs)] = address
    names = {}
    for address, record in b.records.items():
        paths = frozenset(record.outs)
        if address not in a.stages and paths in alone:
            names[address] = alone[paths]
    return names


def _needs_of_both(a: Snapshot, b: Snapshot, old_names: Mapping[str, str]) -> dict[str, list[str]]:
    """Return which others each stage needs; what the second result does not have comes last."""
    new_names = {old: new for new, old in old_names.items()}
    needs: dict[str, list[str]] = {}
    for snapshot in (b, a):
        for address in snapshot.records:
            named = needs.setdefault(new_names.get(address, address), [])
            if address in snapshot.stages:
                named += [new_names.get(need, need) for need in snapshot.stages[address].needs]
    return needs


def _differing(paths: Iterable[str], a: Mapping[str, Entry], b: Mapping[str, Entry]) -> list[str]:
    """Return those of some paths of which two results record other hashes, each once."""
    found = []
    for path in dict.fromkeys(paths):
        if recorded_hash(a.get(path)) != recorded_hash(b.get(path)):
            found.append(path)
    return found


def _differing_inputs(old: Record, new: Record, stages: Iterable[Stage]) -> list[str]:
    """Return paths of what a stage read that differ, but those that a result declares and does not record."""
    unknown: set[str] = set()
    for stage in stages:
        recorded = stage.record.deps if stage.record else {}
        unknown.update(path for path in stage.deps if path not in recorded)
    paths = _differing([*old.deps, *new.deps], old.deps, new.deps)
    return [path for path in paths if path not in unknown]


def _writer(path: str, needs: Iterable[str], outputs: Mapping[str, list[str]]) -> str:
    """Return which of the stages that one needs changed what it reads at a path; empty where none did."""
    for address in needs:
        if overlaps(path, outputs.get(address, ())):
            return address
    return ""


def _template_params(undeclared: Iterable[Change], a: Snapshot, b: Snapshot) -> list[Change]:
    """Return changes of params that no stage names, and that templates fill in."""
    names: set[str] = set()
    for pipeline in [*a.pipelines.values(), *b.pipelines.values()]:
        names.update(flat_params(pipeline.variables.items()))
    return [change for change in undeclared if change.name in names]


def _input_changes(
    old: Record, new: Record, writers: Mapping[str, str], inputs: Iterable[Change]
) -> list[Change]:
    """Return the changes of what a stage read that no other stage wrote."""
    found: list[Change] = []
    for path, writer in writers.items():
        if writer:
            continue
        changes = _changes_at(path, inputs)
        if not changes:  # nothing but its hashes is known
            old_hash = recorded_hash(old.deps.get(path))
            new_hash = recorded_hash(new.deps.get(path))
            changes = [Change("data", path, old_hash, new_hash, source=path)]
        found += changes
    return found + param_changes(flat_params(old.params.items()), flat_params(new.params.items()))


def _changes_at(path: str, inputs: Iterable[Change]) -> list[Change]:
    """Return what has changed in a file, or in the files of a folder."""
    found = []
    for change in inputs:
        if change.coordinate == "params":
            is_there = Key.parse(change.name).file == path  # a stage reads the whole file
        else:
            is_there = change.source == path or is_in(change.name, path)
        if is_there:
            found.append(change)
    return found


def _reasons_for_command(command: Change, filled_in: Iterable[Change]) -> list[Change]:
    """Return the params that DVC filled into a command and that changed it; the command, if more did."""
    before, after = str(command.a), str(command.b)
    found = []
    new_texts = {}
    for change in filled_in:
        old, new = _in_command(change.a), _in_command(change.b)
        if old in before and new in after:
            found.append(change)
            new_texts[old] = new
    if not found:
        return [command]
    # A number is not looked for within another one.
    texts = "|".join(map(re.escape, new_texts))
    filled = re.sub(rf"(?<!\d)(?<!\d\.)({texts})(?!\.?\d)", lambda match: new_texts[match[0]], before)
    return found if filled == after else [*found, command]


def _in_command(value: Any) -> str:
    """Return a value as DVC fills it in."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _remark(stages: Iterable[Stage]) -> str:
    """Return why a stage can write something else without any change; empty where nothing says so."""
    for stage in stages:
        if stage.always_changed:
            return "DVC runs it every time: it reads what it does not declare"
        if stage.warm_starts:
            return f"it finds its own last output, {', '.join(stage.warm_starts)} (persist: true)"
    return ""


def _find_causes(
    stages: list[_StageDifference], inputs: list[Change], undeclared: list[Change]
) -> list[Cause]:
    """Return each stage that ran otherwise, or wrote something else, by itself; the first one first."""
    found: list[Cause] = []
    told: list[Change] = []
    for stage in stages:
        changes = [change for change in stage.changes if change not in told]
        is_declared = True
        remark = ""
        if not changes:
            if stage.changes or stage.follows_others or not stage.outputs:
                continue  # it follows from others, or nothing did
            # What was installed is no input of the stage that records it.
            for path in stage.outputs:
                changes += _changes_at(path, inputs)
            is_declared = bool(changes)
            remark = stage.remark
            changes = changes or undeclared
        follows: list[Follower] = []
        if stage.outputs:
            told += changes
            follows = _followers(stage, changes, stages)
        found.append(Cause(stage.address, changes, stage.outputs, is_declared, follows, remark))
    return found


def _followers(
    cause: _StageDifference, changes: list[Change], stages: Iterable[_StageDifference]
) -> list[Follower]:
    """Return the stages that read what a cause changed, directly or not, in their order."""
    depths = {cause.address: 0}
    found = []
    for stage in stages:
        if stage is cause:
            continue
        before = [depths[writer] for writer in stage.writers.values() if writer in depths]
        if stage.outputs and any(change in changes for change in stage.changes):
            before.append(0)  # the same file or param is an input of both
        if before:
            depth = max(before) + 1
            depths[stage.address] = depth
            found.append(Follower(stage.address, depth, stage.outputs))
    return found
