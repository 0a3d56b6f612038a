"""Bring a clean clone into the state in which its stages can be rebuilt."""

import contextlib
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from ..dvc.checkout import Checkout
from ..dvc.objects import damaged_objects, fetch
from ..dvc.stages import Output, Stage
from ..errors import CannotTryError
from .comparison import Values
from .inputs import overlaps
from .plan import PlannedStage, ProofPlan
from .record import VALUE_FORMATS, check_links, contradictions, read_values


@dataclass
class StageRecord:
    """What is known of a stage before it is rebuilt.

    Attributes:
        findings: what is wrong with what is recorded of it, one line each.
        contradictory: whether dvc.lock does not say what the revision holds.
        values: recorded values of its outputs by name; None for outputs that have none.
        kept: copies of its recorded persistent outputs by name, as far as they can be had.
    """

    findings: list[str]
    contradictory: bool
    values: dict[str, Values | None] = field(default_factory=dict)
    kept: dict[str, Path] = field(default_factory=dict)


def prepare(plan: ProofPlan, checkout: Checkout, folder: Path) -> dict[str, StageRecord]:
    """Check what is recorded, take recorded outputs out of the clone, and bring in what stages depend on.

    Args:
        plan: of the proof.
        checkout: the clean clone.
        folder: for copies of persistent outputs.

    Returns:
        What is known of each stage, by its address.

    Raises:
        CannotTryError: a stage depends on something that is not available.
    """
    records = {}
    for planned in plan.stages:
        findings = contradictions(planned.stage, checkout)
        records[planned.stage.address] = StageRecord(findings, contradictory=bool(findings))
    for planned in plan.stages:
        record = records[planned.stage.address]
        for output in planned.stage.outputs:
            if output.cached and output.recorded:
                record.findings += damaged_objects(checkout, output)
            record.values[output.name] = _recorded_values(output, checkout)
            if output.persistent and _can_fetch(output, checkout):
                # No stage sees it, unless to find out whether it would make a difference.
                record.kept[output.name] = folder / output.path.relative_to(checkout.tree)
                record.kept[output.name].parent.mkdir(parents=True, exist_ok=True)
                shutil.move(output.path, record.kept[output.name])
            remove(output.path)
    rebuilt = [output.path for output in plan.rebuilt]
    for planned in plan.stages:
        records[planned.stage.address].findings += _bring_in(planned, checkout)
        _check_dependencies(planned.stage, checkout, rebuilt)
    return records


def _recorded_values(output: Output, checkout: Checkout) -> Values | None:
    if output.cached and output.recorded and output.path.suffix.lower() in VALUE_FORMATS:
        # Without them, the outputs are still compared by their hashes.
        _can_fetch(output, checkout)
    return read_values(output.path)


def _can_fetch(output: Output, checkout: Checkout) -> bool:
    """Bring a recorded output into the clone if it can be had, and say whether it is there."""
    if output.cached and output.recorded and not output.path.exists():
        with contextlib.suppress(CannotTryError):
            fetch(checkout, output)
    return output.path.exists()


def _bring_in(planned: PlannedStage, checkout: Checkout) -> list[str]:
    for path in planned.stage.input_paths:
        check_links(path, checkout)
    findings = []
    for output in planned.fetched:
        if not checkout.exists(output):
            findings += fetch(checkout, output)
    return findings


def _check_dependencies(stage: Stage, checkout: Checkout, rebuilt: list[Path]) -> None:
    for dependency in stage.dependencies:
        problem = checkout.missing_content(dependency)
        if problem:
            raise CannotTryError(f"{stage.address} depends on {dependency.name}: {problem}")
        if not checkout.exists(dependency) and not overlaps(dependency.path, rebuilt):
            raise CannotTryError(
                f"{stage.address} depends on {dependency.name}, which neither Git nor DVC holds"
            )
    for params in stage.params:
        # Hydra can compose them, and Git ignore what it composed.
        if not params.path.exists() and not overlaps(params.path, rebuilt):
            raise CannotTryError(f"{stage.address} depends on {params.name}, which neither Git nor DVC holds")


def remove(path: Path) -> None:
    """Delete a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
