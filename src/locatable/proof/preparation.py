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
    """

    findings: list[str]
    contradictory: bool
    values: dict[str, Values | None] = field(default_factory=dict)


def prepare(plan: ProofPlan, checkout: Checkout) -> dict[str, StageRecord]:
    """Check what is recorded, take recorded outputs out of the clone, and bring in what stages depend on.

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
            remove(output.path)
    rebuilt = [output.path for output in plan.rebuilt]
    for planned in plan.stages:
        records[planned.stage.address].findings += _bring_in(planned, checkout)
        _check_dependencies(planned.stage, checkout, rebuilt)
    return records


def _recorded_values(output: Output, checkout: Checkout) -> Values | None:
    if output.cached and output.recorded and output.path.suffix.lower() in VALUE_FORMATS:
        # Without them, the outputs are still compared by their hashes.
        with contextlib.suppress(CannotTryError):
            fetch(checkout, output)
    return read_values(output.path)


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
        if not checkout.exists(dependency) and not overlaps(dependency.path, rebuilt):
            raise CannotTryError(
                f"{stage.address} depends on {dependency.name}, which neither Git nor DVC holds"
            )


def remove(path: Path) -> None:
    """Delete a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
