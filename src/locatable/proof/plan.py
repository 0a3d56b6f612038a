"""What a proof does with which stages, decided before anything runs. Nothing here reads a file."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import CannotTryError
from ..model import Output, Stage, is_inside, overlaps


@dataclass(frozen=True)
class PlannedStage:
    """A stage to rebuild.

    Attributes:
        stage: the stage.
        fetched: recorded outputs of stages outside of the proof, and tracked data, that it depends on.
    """

    stage: Stage
    fetched: tuple[Output, ...]


@dataclass(frozen=True)
class ProofPlan:
    """What a proof does.

    Attributes:
        stages: stages to rebuild, each after those that it depends on.
        frozen: stages that are taken as recorded, since they are frozen.
        taken_as_recorded: what DVC holds and no stage of the proof writes.
    """

    stages: tuple[PlannedStage, ...]
    frozen: tuple[Stage, ...]
    taken_as_recorded: tuple[Output, ...]

    @property
    def rebuilt(self) -> list[Output]:
        """All outputs that the proof rebuilds."""
        return [output for planned in self.stages for output in planned.stage.outs.values()]


def plan_proof(stages: Sequence[Stage], outputs: Sequence[Output], only: str | None) -> ProofPlan:
    """Decide which stages to rebuild, and what they need from DVC.

    Args:
        stages: all stages of a revision, each after those that it depends on.
        outputs: all that DVC knows to be written by a stage or tracked by a .dvc file.
        only: name or address of the one stage to rebuild; None for all that are not frozen.

    Raises:
        CannotTryError: there is no such stage, or a stage is not recorded or reaches outside of the project.
    """
    chosen = [stage for stage in stages if only in (None, stage.name, stage.address)]
    frozen: list[Stage] = []
    if only is None:
        frozen = [stage for stage in chosen if stage.frozen]
        chosen = [stage for stage in chosen if not stage.frozen]
    if frozen and not chosen:
        names = ", ".join(stage.address for stage in frozen)
        raise CannotTryError(f"all stages are frozen: {names}; `--stage NAME` rebuilds one all the same")
    if not chosen:
        names = ", ".join(stage.address for stage in stages) or "none"
        raise CannotTryError(f"no stage {only or 'to rebuild'} in this revision; it has: {names}")
    if only is None and not any(_is_recorded(stage) for stage in chosen):
        raise CannotTryError("no results are recorded yet in this revision: `dvc repro`, then commit")
    for stage in chosen:
        if not _is_recorded(stage):
            raise CannotTryError(
                f"{stage.address}: no record in this revision's dvc.lock: `dvc repro`, then commit"
            )
        _check_inside(stage)
    written = {path for stage in chosen for path in stage.outs}
    taken = [output for output in outputs if output.cached and output.recorded and output.path not in written]
    return ProofPlan(
        stages=tuple(PlannedStage(stage, _needed(stage, taken)) for stage in chosen),
        frozen=tuple(frozen),
        taken_as_recorded=tuple(taken),
    )


def _is_recorded(stage: Stage) -> bool:
    """Return whether there is anything to compare with; a stage without outputs needs no record."""
    return not stage.outs or any(output.recorded for output in stage.outs.values())


def _check_inside(stage: Stage) -> None:
    for path in (*stage.deps, *stage.params, *stage.outs):
        if not is_inside(path):
            raise CannotTryError(f"{stage.address}: {path} is outside the project")


def _needed(stage: Stage, outputs: list[Output]) -> tuple[Output, ...]:
    read = [*stage.deps, *stage.params]
    return tuple(output for output in outputs if overlaps(output.path, read))
