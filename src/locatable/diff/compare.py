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


@dataclass
class _StagePair:
    """A stage of both results; of a stage that one of them lacks, nothing is recorded there.

    Attributes:
        address: of the stage; where it has another one in each result, that in the second.
        old: what the first result records.
        new: what the second one records.
        declared: what dvc.yaml says in each result that has the stage.
        needs: addresses of the stages whose outputs it reads, in either result.
        command: how its command differs, None where it does not.
        outputs: paths of its outputs that differ.
        writers: by path of each input that differs, the stage that wrote it otherwise; empty where none did.
        changes: of its own inputs: those that no other stage wrote, its params, and its command.
    """

    address: str
    old: Record
    new: Record
    declared: list[Stage]
    needs: list[str]
    command: Change | None
    outputs: list[str]
    writers: dict[str, str] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)


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
    stages = _pair_stages(a.snapshot, b.snapshot, unrecorded)
    _compare_inputs(stages, inputs, _template_params(undeclared, a.snapshot, b.snapshot))
    recorded = {*a.snapshot.outs, *b.snapshot.outs} - unrecorded
    outputs: dict[str, str] = {}
    for stage in stages:
        outputs |= dict.fromkeys(stage.outputs, stage.address)
    # An output that was changed after its stage wrote it differs, too, and no stage is the cause of it.
    for path, address in {**a.edited_outputs, **b.edited_outputs}.items():
        if path in recorded and a.present_hash(path) != b.present_hash(path):
            outputs.setdefault(path, address)
    causes, idle = _find_causes(stages, inputs, undeclared)
    notes = []
    if not share_history(a.snapshot.reader.root, a.result.rev, b.snapshot.reader.root, b.result.rev):
        notes.append("A and B share no history: they are compared by content alone")
    for line in dict.fromkeys([*a.unread, *b.unread]):
        notes.append(f"left out: {line}")
    return Comparison(
        a=a,
        b=b,
        changes=changes,
        values=values,
        equal_values=len({*a.values, *b.values}) - len(values),
        outputs=outputs,
        equal_outputs=len(recorded) - len(outputs),
        causes=causes,
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
        for path, out in stage.outs.items():
            if out.entry is None:
                paths.add(path)
    return paths


def _pair_stages(a: Snapshot, b: Snapshot, unrecorded: set[str]) -> list[_StagePair]:
    """Return the stages of two results, each after those that it needs; those of the first alone come last.

    Their outputs are compared, but those that a result declares and does not record.
    """
    old_names = _old_names(a, b)
    new_names = {old: new for new, old in old_names.items()}
    addresses = [*b.records]
    addresses += [new_names.get(address, address) for address in a.records]
    # By all that DVC keeps: in one of the results, another stage may have written an output.
    differing = {*_differing([*a.outs, *b.outs], a.tracked, b.tracked)} - unrecorded
    pairs: dict[str, _StagePair] = {}
    for address in dict.fromkeys(addresses):
        old_address = old_names.get(address, address)
        old = a.records.get(old_address, Record())
        new = b.records.get(address, Record())
        declared = [stage for stage in (b.stages.get(address), a.stages.get(old_address)) if stage]
        needs: list[str] = []
        for stage in declared:
            needs += [new_names.get(need, need) for need in stage.needs]
        command = command_change(old_address, address, a, b)
        outputs = [path for path in dict.fromkeys([*old.outs, *new.outs]) if path in differing]
        pairs[address] = _StagePair(address, old, new, declared, needs, command, outputs)
    order = run_order({address: pair.needs for address, pair in pairs.items()})
    return [pairs[address] for address in order]


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


def _differing(paths: Iterable[str], a: Mapping[str, Entry], b: Mapping[str, Entry]) -> list[str]:
    """Return those of some paths of which two results record other hashes, each once."""
    found = []
    for path in dict.fromkeys(paths):
        if recorded_hash(a.get(path)) != recorded_hash(b.get(path)):
            found.append(path)
    return found


def _template_params(undeclared: Iterable[Change], a: Snapshot, b: Snapshot) -> list[Change]:
    """Return changes of params that no stage names, and that templates fill in."""
    names: set[str] = set()
    for pipeline in [*a.pipelines.values(), *b.pipelines.values()]:
        names.update(flat_params(pipeline.variables.items()))
    return [change for change in undeclared if change.name in names]


def _compare_inputs(stages: list[_StagePair], inputs: list[Change], filled_in: list[Change]) -> None:
    """Find in what the inputs of each stage differ.

    Args:
        stages: get `writers` and `changes`.
        inputs: changes of all coordinates but the execution.
        filled_in: those of params that templates fill in, and that no stage names.
    """
    outputs = {stage.address: stage.outputs for stage in stages}
    for stage in stages:
        for path in _differing_inputs(stage):
            stage.writers[path] = ""
            for need in stage.needs:
                if overlaps(path, outputs.get(need, ())):
                    stage.writers[path] = need
                    break
        command = stage.command
        if command and None in (command.a, command.b):  # one result has no such stage
            stage.changes = [command]
            continue
        for path, writer in stage.writers.items():
            if not writer:
                stage.changes += _changes_at(path, inputs) or [_recorded_change(path, stage)]
        old_params = flat_params(stage.old.params.items())
        new_params = flat_params(stage.new.params.items())
        stage.changes += param_changes(old_params, new_params)
        if command:
            stage.changes += _reasons_for_command(command, filled_in)


def _differing_inputs(stage: _StagePair) -> list[str]:
    """Return paths of what a stage read that differ, but those that a result declares and does not record."""
    unknown: set[str] = set()
    for declared in stage.declared:
        recorded = declared.record.deps if declared.record else {}
        unknown.update(set(declared.deps) - set(recorded))
    old, new = stage.old.deps, stage.new.deps
    return [path for path in _differing([*old, *new], old, new) if path not in unknown]


def _recorded_change(path: str, stage: _StagePair) -> Change:
    """Return how what a stage read has changed where nothing but its hashes is known."""
    old = recorded_hash(stage.old.deps.get(path))
    new = recorded_hash(stage.new.deps.get(path))
    return Change("data", path, old, new, source=path)


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


def _remark(stage: _StagePair) -> str:
    """Return why a stage can write something else without any change; empty where nothing says so."""
    for declared in stage.declared:
        if declared.always_changed:
            return "DVC runs it every time: it reads what it does not declare"
        if declared.warm_starts:
            return f"it finds its own last output, {', '.join(declared.warm_starts)} (persist: true)"
    return ""


def _find_causes(
    stages: list[_StagePair], inputs: list[Change], undeclared: list[Change]
) -> tuple[list[Cause], list[Cause]]:
    """Return each stage that by itself ran otherwise, or wrote something else, in order.

    Returns:
        Those of which an output differs, the first cause first; and those without effect.
    """
    found: list[Cause] = []
    without_effect: list[Cause] = []
    told: list[Change] = []
    for stage in stages:
        changes = [change for change in stage.changes if change not in told]
        if changes and stage.outputs:
            found.append(
                Cause(stage.address, changes, stage.outputs, follows=_followers(stage, changes, stages))
            )
            told += changes
        elif changes:
            without_effect.append(Cause(stage.address, changes, []))
        elif stage.outputs and not stage.changes and not any(stage.writers.values()):
            cause = _cause_beside_inputs(stage, stages, inputs, undeclared)
            found.append(cause)
            told += cause.changes
    idle = []
    for cause in without_effect:
        # A change that has an effect in another stage is not called idle.
        if any(change not in told for change in cause.changes):
            idle.append(cause)
    return found, idle


def _cause_beside_inputs(
    stage: _StagePair, stages: list[_StagePair], inputs: list[Change], undeclared: list[Change]
) -> Cause:
    """Return why a stage whose inputs are equal wrote something else: what it does not declare, or chance."""
    changes: list[Change] = []
    # What was installed is no input of the stage that records it.
    for path in stage.outputs:
        changes += _changes_at(path, inputs)
    is_declared = bool(changes)
    changes = changes or undeclared
    follows = _followers(stage, changes, stages)
    return Cause(stage.address, changes, stage.outputs, is_declared, follows, _remark(stage))


def _followers(cause: _StagePair, changes: list[Change], stages: list[_StagePair]) -> list[Follower]:
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
