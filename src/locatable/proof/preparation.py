"""Bring a clean clone into the state in which its stages can be rebuilt."""

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote

from ..clones.checkout import Checkout
from ..clones.recorded_data import damaged_objects, fetch
from ..errors import CannotTryError
from ..model import Output, Stage, overlaps
from .plan import PlannedStage, ProofPlan
from .record import check_links, contradictions
from .recorded import RecordedOutputs


@dataclass
class StageRecord:
    """What is known of a stage before it is rebuilt.

    Attributes:
        findings: what is wrong with what is recorded of it, one line each.
        contradictory: whether dvc.lock does not say what the revision holds.
        kept: copies of its recorded persistent outputs by name, as far as they can be had.
    """

    findings: list[str]
    contradictory: bool
    kept: dict[str, Path] = field(default_factory=dict)


def prepare(plan: ProofPlan, checkout: Checkout, recorded: RecordedOutputs) -> dict[str, StageRecord]:
    """Check what is recorded, take recorded outputs out of the clone, and bring in what stages depend on.

    Args:
        plan: of the proof.
        checkout: the clean clone.
        recorded: takes the outputs that are in the clone.

    Returns:
        What is known of each stage, by its address.

    Raises:
        CannotTryError: a stage depends on something that is not available.
    """
    found = contradictions([planned.stage for planned in plan.stages], checkout)
    records = {}
    for planned in plan.stages:
        findings = found.get(planned.stage.address, [])
        records[planned.stage.address] = StageRecord(findings, contradictory=bool(findings))
    for planned in plan.stages:
        record = records[planned.stage.address]
        for output in planned.stage.outs.values():
            if output.cached and output.recorded:
                record.findings += damaged_objects(checkout, output)
            if output.persistent:
                _fetch_if_missing(output, checkout)
            copy = recorded.set_aside(output)
            if output.persistent and copy:
                # No stage sees it, unless to find out whether it would make a difference.
                record.kept[output.path] = copy
    rebuilt = [output.path for output in plan.rebuilt]
    for planned in plan.stages:
        records[planned.stage.address].findings += _bring_in(planned, checkout)
        _check_dependencies(planned.stage, checkout, rebuilt)
    return records


def _fetch_if_missing(output: Output, checkout: Checkout) -> None:
    """Bring a recorded output into the clone if it can be had."""
    if output.cached and output.recorded and not checkout.path_of(output.path).exists():
        with contextlib.suppress(CannotTryError):
            fetch(checkout, output)


def _bring_in(planned: PlannedStage, checkout: Checkout) -> list[str]:
    for path in planned.stage.deps:
        check_links(checkout.path_of(path), checkout)
    findings = []
    for output in planned.fetched:
        if not checkout.exists(output.path):
            findings += fetch(checkout, output)
    return findings


def _check_dependencies(stage: Stage, checkout: Checkout, rebuilt: list[str]) -> None:
    for path in stage.deps:
        problem = checkout.missing_content(path, stage)
        if problem:
            raise CannotTryError(f"{stage.address} depends on {path}: {problem}")
        if not checkout.exists(path, stage) and not overlaps(path, rebuilt):
            raise CannotTryError(_nowhere(stage, path, checkout))
    for file in stage.params:
        # Hydra can compose them, and Git ignore what it composed.
        if not checkout.path_of(file).exists() and not overlaps(file, rebuilt):
            raise CannotTryError(_nowhere(stage, file, checkout))


def _nowhere(stage: Stage, path: str, checkout: Checkout) -> str:
    """Say that no clone has an input, and what to do where the user's own checkout has it."""
    name = checkout.path_of(path).relative_to(checkout.tree)
    add = f": your checkout does, so `git add {quote(str(name))}`, or `dvc add` it, and commit"
    remedy = add if (checkout.user_top / name).exists() else ""
    return f"{stage.address} depends on {path}, which neither Git nor DVC holds{remedy}"
