"""What a mirror has to do: the runs that should be there against those that are. Pure; knows no MLflow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from ..model import Experiment
from .known import STUDY, KnownRun


@dataclass(frozen=True)
class WantedRun:
    """A run that should be there: of an experiment, of a study with its trials, or of a baseline commit.

    Attributes:
        key: the revision, or `study NAME`: the same in every clone.
        name: what it is called in MLflow, where the project's own `describe` says nothing else.
        parent: key of the run that it is nested below.
        experiment: whose revision it is; None for baselines and studies.
        trials: the experiments of a study; empty for all others.
    """

    key: str
    name: str
    parent: str | None = None
    experiment: Experiment | None = None
    trials: tuple[Experiment, ...] = ()

    @property
    def is_study(self) -> bool:
        """Whether it stands for a search and not for a revision."""
        return self.key.startswith(STUDY)

    @property
    def identity_tags(self) -> dict[str, str]:
        """Tags that say which experiment it is; they change when one is renamed."""
        if not self.experiment:
            return {}
        tags = {"dvc.exp": self.experiment.name, "dvc.baseline": self.experiment.baseline}
        if self.experiment.study:
            tags["dvc.study"] = self.experiment.study
        return tags


class Action(Enum):
    """Why a run is written."""

    GROW = "a study that has more trials now"
    CREATE = "there is none yet"
    FINISH = "another mirror began it, and may have got anywhere"
    EXTEND = "files may be here now that were missing"
    DESCRIBE = "it was described by another version of the project's script"


@dataclass(frozen=True)
class PlannedRun:
    """A run to write; `known` is what the store has of it, None if it has nothing."""

    wanted: WantedRun
    action: Action
    known: KnownRun | None = None


@dataclass(frozen=True)
class Rename:
    """A run whose name is not the wanted one."""

    run_id: str
    name: str
    wanted: WantedRun


@dataclass(frozen=True)
class Move:
    """A run that belongs below another one."""

    run_id: str
    parent_id: str


@dataclass(frozen=True)
class MirrorPlan:
    """Everything that would bring the store up to date, in the order in which it is done.

    Attributes:
        runs: to be written; parents come before their children.
        duplicates: ids of runs to delete, because another one shows the same.
        renames: runs to be renamed.
        moves: runs to be nested below another one.
        pruned: ids of runs to delete, because what they show is gone from Git.
    """

    runs: tuple[PlannedRun, ...]
    duplicates: tuple[str, ...]
    renames: tuple[Rename, ...]
    moves: tuple[Move, ...]
    pruned: tuple[str, ...]

    @property
    def number_of_new(self) -> int:
        """How many runs are not complete yet."""
        return sum(1 for run in self.runs if run.action in (Action.CREATE, Action.FINISH))

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.runs or self.duplicates or self.renames or self.moves or self.pruned)


@dataclass(frozen=True)
class Policy:
    """What else decides what has to be done.

    Attributes:
        copy_models: model files belong among the artifacts.
        description: digest of the project's script that describes runs; empty where it adds nothing.
        gone: revisions that are in no ref any more, whose runs are to be deleted; None to delete none.
    """

    copy_models: bool = False
    description: str = ""
    gone: frozenset[str] | None = None


KnownRuns = Mapping[str, Sequence[KnownRun]]
WantedRuns = Mapping[str, WantedRun]


def plan_mirror(wanted: WantedRuns, known: KnownRuns, policy: Policy) -> MirrorPlan:
    """Compare what should be there with what is.

    Args:
        wanted: by key, parents before their children.
        known: by key, never empty; the first run of a key is the one that stays.
        policy: what else decides.
    """
    return MirrorPlan(
        runs=_runs(wanted, known, policy),
        duplicates=tuple(run.run_id for runs in known.values() for run in runs[1:]),
        renames=_renames(wanted, known),
        moves=_moves(wanted, known),
        pruned=() if policy.gone is None else _pruned(wanted, known, policy.gone),
    )


def _runs(wanted: WantedRuns, known: KnownRuns, policy: Policy) -> tuple[PlannedRun, ...]:
    """Return the runs to write; of the new ones last those that another mirror, maybe at work, began."""
    planned = []
    parents_of_new = set()
    for key, run in wanted.items():
        existing = known[key][0] if key in known else None
        action = _action(run, existing, policy)
        if action:
            planned.append(PlannedRun(run, action, existing))
        if action in (Action.CREATE, Action.FINISH):
            parents_of_new.add(run.parent)
    for key, run in wanted.items():
        is_whole = key in known and known[key][0].complete
        if run.is_study and is_whole and key in parents_of_new:
            planned.append(PlannedRun(run, Action.GROW, known[key][0]))
    # Actions are listed in the order in which they are carried out.
    order = list(Action)
    return tuple(sorted(planned, key=lambda run: order.index(run.action)))


def _action(wanted: WantedRun, known: KnownRun | None, policy: Policy) -> Action | None:
    """Return why a run has to be written by itself; None if it has not."""
    if known is None:
        return Action.CREATE
    if not known.complete:
        return Action.FINISH
    if wanted.is_study:
        return None
    if known.description != policy.description or _is_described_by_old_name(wanted, known):
        return Action.DESCRIBE
    if known.missing or (policy.copy_models and not known.has_models):
        return Action.EXTEND
    return None


def _is_described_by_old_name(wanted: WantedRun, known: KnownRun) -> bool:
    """Return whether the project's script saw the experiment under a name that it no longer has."""
    return bool(known.description) and known.experiment != wanted.identity_tags.get("dvc.exp")


def _renames(wanted: WantedRuns, known: KnownRuns) -> tuple[Rename, ...]:
    renames = []
    for key, runs in known.items():
        if key not in wanted:
            continue
        name = runs[0].own_name or wanted[key].name
        if runs[0].name != name:
            renames.append(Rename(runs[0].run_id, name, wanted[key]))
    return tuple(renames)


def _moves(wanted: WantedRuns, known: KnownRuns) -> tuple[Move, ...]:
    moves = []
    for key, run in wanted.items():
        if key not in known or run.parent is None or run.parent not in known:
            continue
        child, parent = known[key][0], known[run.parent][0]
        if child.parent != parent.run_id:
            moves.append(Move(child.run_id, parent.run_id))
    return tuple(moves)


def _pruned(wanted: WantedRuns, known: KnownRuns, gone: frozenset[str]) -> tuple[str, ...]:
    """Return runs of what is gone, and of studies that have no run below them any more."""
    unwanted = [key for key in known if key not in wanted]
    revisions = [key for key in unwanted if key in gone]
    remaining = [runs[0] for key, runs in known.items() if key not in revisions]
    parents = {run.parent for run in remaining}
    studies = [key for key in unwanted if key.startswith(STUDY) and known[key][0].run_id not in parents]
    return tuple(known[key][0].run_id for key in revisions + studies)
