"""Compares two results and finds the first cause: the earliest stage that differs for a reason of its own."""

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
    """A stage that depends on a cause.

    Attributes:
        stage: the address of the stage.
        depth: the number of steps from the cause to this stage; 1 for a stage that reads an output of the
            cause, or a changed file or param that the cause reads, too.
        outputs: the paths of the stage's outputs that differ.
    """

    stage: str
    depth: int
    outputs: list[str]


@dataclass(frozen=True)
class Cause:
    """A stage that differs for a reason of its own: not only because it reads an output that differs.

    Attributes:
        stage: the address of the stage.
        changes: the changes of inputs that no other stage wrote; empty if the outputs differ with equal
            inputs.
        outputs: the paths of the stage's outputs that differ.
        is_declared: true if the stage declares the changed files and params as dependencies or outputs.
        follows: the stages that depend on this one and whose inputs differ, too, in the order of the
            pipeline.
        remark: the reason why the outputs can differ with equal inputs; empty if none is known.
    """

    stage: str
    changes: list[Change]
    outputs: list[str]
    is_declared: bool = True
    follows: list[Follower] = field(default_factory=list)
    remark: str = ""


@dataclass(frozen=True)
class Comparison:
    """The differences between two results, and their causes.

    Attributes:
        a: the first result.
        b: the second result.
        changes: the changes, grouped by coordinate name.
        values: the metrics that differ.
        equal_values: the number of metrics that are equal.
        outputs: the address of the stage for each output that differs, by the path of the output.
        equal_outputs: the number of outputs that are equal.
        causes: the causes that changed an output, the first cause first.
        without_effect: the stages whose inputs differ and whose outputs do not.
        notes: remarks about the comparison, one line each.
    """

    a: Side
    b: Side
    changes: dict[str, list[Change]]
    values: list[Value]
    equal_values: int
    outputs: dict[str, str]
    equal_outputs: int
    causes: list[Cause]
    without_effect: list[Cause] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def differs(self) -> bool:
        """True if a coordinate, a metric or an output differs."""
        return bool(self.values or self.outputs or any(self.changes.values()))


@dataclass
class _StagePair:
    """A stage of both results. If one of them lacks the stage, its record there is empty.

    Attributes:
        address: the address of the stage; if it was renamed, its address in the second result.
        old: the record in the first result.
        new: the record in the second result.
        declared: the declarations in dvc.yaml, one for each result that has the stage.
        needs: the addresses of the stages whose outputs it reads, in either result.
        command: the change of its command; None if the command is the same.
        outputs: the paths of its outputs that differ.
        writers: for each input that differs, by path, the earlier stage whose output changed; empty if
            none did.
        changes: the changes that no earlier stage explains: of inputs, of params and of the command.
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
        UnreadableError: one of DVC's files in a result is broken.
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
    # Outputs that were edited after their stage wrote them differ, too, although no stage is the cause.
    for path, address in {**a.edited_outputs, **b.edited_outputs}.items():
        if path in recorded and a.present_hash(path) != b.present_hash(path):
            outputs.setdefault(path, address)
    causes, without_effect = _find_causes(stages, inputs, undeclared)
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
        without_effect=without_effect,
        notes=notes,
    )


def _undeclared(inputs: Iterable[Change], a: Snapshot, b: Snapshot) -> list[Change]:
    """Return the changes of code, environment and params that no stage declares."""
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
    """Return the paths of the outputs that stages declare but that have no recorded hash."""
    paths: set[str] = set()
    for stage in snapshot.stages.values():
        for path, out in stage.outs.items():
            if out.entry is None:
                paths.add(path)
    return paths


def _pair_stages(a: Snapshot, b: Snapshot, unrecorded: set[str]) -> list[_StagePair]:
    """Return the stages of two results with the outputs that differ, each after the stages that it needs.

    Outputs in `unrecorded` are not compared. Stages that only the first result has come last, if the order
    allows it.
    """
    old_addresses = _renamed_stages(a, b)
    new_addresses = {old: new for new, old in old_addresses.items()}
    addresses = [*b.records]
    addresses += [new_addresses.get(address, address) for address in a.records]
    # Compare the hashes of all tracked paths, not those in the two records of a stage: the same path may
    # be the output of a different stage in one of the results.
    differing = {*_differing_paths([*a.outs, *b.outs], a.tracked, b.tracked)} - unrecorded
    pairs: dict[str, _StagePair] = {}
    for address in dict.fromkeys(addresses):
        old_address = old_addresses.get(address, address)
        old = a.records.get(old_address, Record())
        new = b.records.get(address, Record())
        declared = [stage for stage in (b.stages.get(address), a.stages.get(old_address)) if stage]
        needs: list[str] = []
        for stage in declared:
            needs += [new_addresses.get(need, need) for need in stage.needs]
        command = command_change(old_address, address, a, b)
        outputs = [path for path in dict.fromkeys([*old.outs, *new.outs]) if path in differing]
        pairs[address] = _StagePair(address, old, new, declared, needs, command, outputs)
    order = run_order({address: pair.needs for address, pair in pairs.items()})
    return [pairs[address] for address in order]


def _renamed_stages(a: Snapshot, b: Snapshot) -> dict[str, str]:
    """Return the old address of each renamed stage by its new one.

    A stage counts as renamed if each of its addresses exists in one result only, and its outputs have the
    same paths in both.
    """
    only_in_a = {}
    for address, record in a.records.items():
        if address not in b.stages and record.outs:
            only_in_a[frozenset(record.outs)] = address
    old_addresses = {}
    for address, record in b.records.items():
        paths = frozenset(record.outs)
        if address not in a.stages and paths in only_in_a:
            old_addresses[address] = only_in_a[paths]
    return old_addresses


def _differing_paths(paths: Iterable[str], a: Mapping[str, Entry], b: Mapping[str, Entry]) -> list[str]:
    """Return the paths whose recorded hashes differ between the two results, without duplicates."""
    found = []
    for path in dict.fromkeys(paths):
        if recorded_hash(a.get(path)) != recorded_hash(b.get(path)):
            found.append(path)
    return found


def _template_params(undeclared: Iterable[Change], a: Snapshot, b: Snapshot) -> list[Change]:
    """Return the undeclared changes of params that dvc.yaml uses as variables, as in `${name}`."""
    names: set[str] = set()
    for pipeline in [*a.pipelines.values(), *b.pipelines.values()]:
        names.update(flat_params(pipeline.variables.items()))
    return [change for change in undeclared if change.name in names]


def _compare_inputs(stages: list[_StagePair], inputs: list[Change], template_params: list[Change]) -> None:
    """Set the `writers` and the `changes` of each stage.

    Args:
        stages: the stages to compare.
        inputs: the changes of data, environment, code and params.
        template_params: the changes of params that dvc.yaml uses as variables and that no stage declares.
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
        if command and None in (command.a, command.b):  # one result lacks the stage
            stage.changes = [command]
            continue
        for path, writer in stage.writers.items():
            if not writer:
                stage.changes += _changes_at(path, inputs) or [_recorded_change(path, stage)]
        old_params = flat_params(stage.old.params.items())
        new_params = flat_params(stage.new.params.items())
        stage.changes += param_changes(old_params, new_params)
        if command:
            stage.changes += _reasons_for_command(command, template_params)


def _differing_inputs(stage: _StagePair) -> list[str]:
    """Return the paths of a stage's inputs that differ; declared inputs without a record are left out."""
    unrecorded: set[str] = set()
    for declared in stage.declared:
        recorded = declared.record.deps if declared.record else {}
        unrecorded.update(set(declared.deps) - set(recorded))
    old = stage.old.deps
    new = stage.new.deps
    return [path for path in _differing_paths([*old, *new], old, new) if path not in unrecorded]


def _recorded_change(path: str, stage: _StagePair) -> Change:
    """Return the change of an input for which only the recorded hashes are known."""
    old = recorded_hash(stage.old.deps.get(path))
    new = recorded_hash(stage.new.deps.get(path))
    return Change("data", path, old, new, source=path)


def _changes_at(path: str, inputs: Iterable[Change]) -> list[Change]:
    """Return the changes in a file, or in the files of a folder."""
    found = []
    for change in inputs:
        if change.coordinate == "params":
            is_there = Key.parse(change.name).file == path  # the stage declares the params file as a whole
        else:
            is_there = change.source == path or is_in(change.name, path)
        if is_there:
            found.append(change)
    return found


def _reasons_for_command(command: Change, template_params: Iterable[Change]) -> list[Change]:
    """Return the changed params that DVC filled into a command.

    If these do not explain the whole change of the command, the change of the command is returned, too.
    """
    before = str(command.a)
    after = str(command.b)
    found = []
    new_texts = {}
    for change in template_params:
        old = _text_in_command(change.a)
        new = _text_in_command(change.b)
        if old in before and new in after:
            found.append(change)
            new_texts[old] = new
    if not found:
        return [command]
    # Replace the old values by the new ones, but not the digits within a longer number.
    texts = "|".join(map(re.escape, new_texts))
    filled = re.sub(rf"(?<!\d)(?<!\d\.)({texts})(?!\.?\d)", lambda match: new_texts[match[0]], before)
    return found if filled == after else [*found, command]


def _text_in_command(value: Any) -> str:
    """Return a value as DVC fills it into a command."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _remark(stage: _StagePair) -> str:
    """Return the reason why a stage may write different outputs from equal inputs; empty if none is known."""
    for declared in stage.declared:
        if declared.always_changed:
            return "DVC runs it every time: it reads what it does not declare"
        if declared.warm_starts:
            return f"it finds its own last output, {', '.join(declared.warm_starts)} (persist: true)"
    return ""


def _find_causes(
    stages: list[_StagePair], inputs: list[Change], undeclared: list[Change]
) -> tuple[list[Cause], list[Cause]]:
    """Find the stages that differ for a reason of their own, in the order of the pipeline.

    Returns:
        The causes that changed an output, the first cause first, and the causes without effect.
    """
    found: list[Cause] = []
    without_effect: list[Cause] = []
    reported: list[Change] = []
    for stage in stages:
        changes = [change for change in stage.changes if change not in reported]
        if changes and stage.outputs:
            followers = _followers(stage, changes, stages)
            found.append(Cause(stage.address, changes, stage.outputs, follows=followers))
            reported += changes
        elif changes:
            without_effect.append(Cause(stage.address, changes, []))
        elif stage.outputs and not stage.changes and not any(stage.writers.values()):
            cause = _cause_beside_inputs(stage, stages, inputs, undeclared)
            found.append(cause)
            reported += cause.changes
    # Leave out a cause if all its changes have an effect in another stage.
    remaining = []
    for cause in without_effect:
        if any(change not in reported for change in cause.changes):
            remaining.append(cause)
    return found, remaining


def _cause_beside_inputs(
    stage: _StagePair, stages: list[_StagePair], inputs: list[Change], undeclared: list[Change]
) -> Cause:
    """Return the cause of a stage whose outputs differ and whose inputs do not.

    Its changes are those of its outputs that are code or environment, such as environment.json, or else
    everything that no stage declares. If there are none, the stage is not reproducible.
    """
    changes: list[Change] = []
    # The stage that records the environment has environment.json as an output, and nothing that was
    # installed as an input.
    for path in stage.outputs:
        changes += _changes_at(path, inputs)
    is_declared = bool(changes)
    changes = changes or undeclared
    follows = _followers(stage, changes, stages)
    return Cause(stage.address, changes, stage.outputs, is_declared, follows, _remark(stage))


def _followers(cause: _StagePair, changes: list[Change], stages: list[_StagePair]) -> list[Follower]:
    """Return the stages that depend on a cause, directly or indirectly, in the order of the pipeline."""
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
