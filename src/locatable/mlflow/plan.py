"""Plans a mirror: compares the runs that should exist with the runs of the store. Does not use MLflow."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from ..errors import UnreadableError
from ..git import git, is_shallow
from ..model import Experiment
from ..repository.reader import BRANCHES, Reader, commit_id
from ..repository.running import State
from ..repository.snapshot import Snapshot
from .known import STUDY, KnownRun, KnownRuns


@dataclass(frozen=True)
class WantedRun:
    """A run that should exist in MLflow, for an experiment, a study with its trials, or a baseline commit.

    Attributes:
        key: the revision, or `study NAME`; equal in every clone.
        name: the name of the run in MLflow, unless the project's own `describe` changes it.
        parent: the key of the parent run.
        experiment: the experiment that the run shows; None for a baseline or a study.
        trials: the experiments of a study; empty for other runs.
    """

    key: str
    name: str
    parent: str | None = None
    experiment: Experiment | None = None
    trials: tuple[Experiment, ...] = ()

    @property
    def is_study(self) -> bool:
        """True for the run of a study, False for the run of a revision."""
        return self.key.startswith(STUDY)

    @property
    def identity_tags(self) -> dict[str, str]:
        """The tags that identify the experiment; they change when the experiment is renamed."""
        if not self.experiment:
            return {}
        tags = {"dvc.exp": self.experiment.name, "dvc.baseline": self.experiment.baseline}
        if self.experiment.study:
            tags["dvc.study"] = self.experiment.study
        return tags


WantedRuns = Mapping[str, WantedRun]


def wanted_runs(reader: Reader, all_commits: bool = False) -> dict[str, WantedRun]:
    """Return the runs that should exist by key: studies, then commits, then experiments.

    Parents come before their children. Experiments of other projects in the same Git repository are left out.
    The commits are HEAD and the baselines of experiments or, with `all_commits`, also all commits of every
    branch and tag.
    """
    listed = reader.experiments()
    foreign = reader.foreign_projects(listed)
    experiments = [experiment for experiment in listed if experiment.rev not in foreign]
    trials: dict[str, list[Experiment]] = {}
    commits = []
    for experiment in experiments:
        commits.append(experiment.baseline)
        if experiment.study:
            trials.setdefault(experiment.study, []).append(experiment)
    head = commit_id(reader, "HEAD")
    if head:
        commits.append(head)
    if all_commits:
        starts = [*BRANCHES, "HEAD"] if head else BRANCHES
        commits += git(reader.root, "rev-list", *starts).split()
    wanted: dict[str, WantedRun] = {}
    for study, study_trials in trials.items():
        wanted[STUDY + study] = WantedRun(STUDY + study, study, trials=tuple(study_trials))
    for rev in _commits_here(reader, dict.fromkeys(commits)):
        wanted[rev] = WantedRun(rev, f"baseline {rev[:7]}")
    for experiment in experiments:
        parent = STUDY + experiment.study if experiment.study else experiment.baseline
        # If the experiment is also a baseline, this replaces its run but keeps its place before its children.
        wanted[experiment.rev] = WantedRun(experiment.rev, experiment.name, parent, experiment)
    return wanted


def needs_run(run: WantedRun, snapshot: Snapshot) -> bool:
    """Return whether a run has anything to show: always for an experiment, for a commit if it has results."""
    try:
        return run.experiment is not None or bool(snapshot.records)
    except UnreadableError:
        return True  # so that an attempt to write the run reports the error


def gone_revisions(reader: Reader, keys: Collection[str]) -> frozenset[str]:
    """Return the keys that are commits of this clone, but no longer part of any branch or tag.

    A commit that this clone does not have is not gone: its experiment may exist in another clone. In a
    shallow clone, no commit is gone, because older commits of a branch are not reachable there.
    """
    if not keys or is_shallow(reader.root):
        return frozenset()
    reachable = git(reader.root, "rev-list", *BRANCHES).split()
    return frozenset(_commits_here(reader, keys)) - frozenset(reachable)


def _commits_here(reader: Reader, keys: Collection[str]) -> list[str]:
    """Return the keys that are commits of this clone, all read at once."""
    commits = reader.objects.read(f"{key}^{{commit}}" for key in keys)
    return [key for key, commit in zip(keys, commits, strict=True) if commit]


class Action(Enum):
    """The reason to write a run. Runs are written in the order of these members."""

    GROW = "the study has new trials"
    CREATE = "the run does not exist yet"
    # Written after the new runs, because the other mirror may still be at work.
    FINISH = "another mirror began the run, and may have been killed"
    EXTEND = "files that were missing may be on this machine now"
    DESCRIBE = "a different version of the project's script described the run"


NEW = (Action.CREATE, Action.FINISH)


@dataclass(frozen=True)
class PlannedRun:
    """A run to write; `known` is the existing run in the store, None if there is none."""

    wanted: WantedRun
    action: Action
    known: KnownRun | None = None


@dataclass(frozen=True)
class Rename:
    """A run to be renamed.

    Attributes:
        run_id: MLflow's id of the run.
        name: the new name.
        wanted: the run that should exist.
    """

    run_id: str
    name: str
    wanted: WantedRun


@dataclass(frozen=True)
class MirrorPlan:
    """The changes that bring the store up to date.

    Attributes:
        runs: the runs to write; parents come before their children.
        duplicates: the ids of runs to delete because another run shows the same.
        renames: the runs to rename.
        moves: the id of the new parent, by the id of each run that has to be nested below a different run.
        pruned: the ids of runs to delete because their revision or study is gone from Git.
        endings: the final state, by the id of each provisional run that MLflow still shows as running.
    """

    runs: list[PlannedRun]
    duplicates: list[str]
    renames: list[Rename]
    moves: dict[str, str]
    pruned: list[str]
    endings: Mapping[str, State] = field(default_factory=dict)

    @property
    def number_of_new(self) -> int:
        """The number of runs that do not exist yet or are incomplete."""
        return len([run for run in self.runs if run.action in NEW])

    @property
    def is_empty(self) -> bool:
        """True if there is nothing to do."""
        changes = (self.runs, self.duplicates, self.renames, self.moves, self.pruned, self.endings)
        return not any(changes)


def plan_mirror(
    wanted: WantedRuns,
    known: KnownRuns,
    *,
    copy_models: bool = False,
    description: str = "",
    gone: frozenset[str] | None = None,
) -> MirrorPlan:
    """Compare the runs that should exist with the runs of the store, and plan the changes.

    Args:
        wanted: the runs that should exist by key, parents before their children.
        known: the runs of the store by key, at least one for each key; the first run of a key is kept.
        copy_models: whether model files belong among the artifacts.
        description: the digest of the project's script that describes runs; empty if there is none.
        gone: the revisions whose runs are pruned because no ref contains them any more; None to prune
            nothing.
    """
    kept: dict[str, KnownRun] = {}
    duplicates = []
    for key, (first, *others) in known.items():
        kept[key] = first
        duplicates += [run.run_id for run in others]
    planned = []
    for key, run in wanted.items():
        action = _action(run, kept.get(key), copy_models, description)
        if action:
            planned.append(PlannedRun(run, action, kept.get(key)))
    planned += _growing_studies(wanted, kept, planned)
    actions = list(Action)
    planned.sort(key=lambda run: actions.index(run.action))
    renames = []
    for key, existing in kept.items():
        if key not in wanted:
            continue
        name = existing.own_name or wanted[key].name
        if existing.name != name:
            renames.append(Rename(existing.run_id, name, wanted[key]))
    moves = {}
    for key, run in wanted.items():
        parent = kept.get(run.parent or "")
        if parent and key in kept and kept[key].parent != parent.run_id:
            moves[kept[key].run_id] = parent.run_id
    return MirrorPlan(
        runs=planned,
        duplicates=duplicates,
        renames=renames,
        moves=moves,
        pruned=[] if gone is None else _runs_to_prune(wanted, kept, gone),
    )


def _action(wanted: WantedRun, known: KnownRun | None, copy_models: bool, description: str) -> Action | None:
    """Return the reason to write a run, apart from new trials of a study; None if the run is up to date."""
    if known is None:
        return Action.CREATE
    if not known.complete:
        return Action.FINISH
    if wanted.is_study:
        return None
    # The script may have used the experiment's name, which has changed since.
    is_renamed = known.experiment != wanted.identity_tags.get("dvc.exp")
    if known.description != description or (known.description and is_renamed):
        return Action.DESCRIBE
    if known.missing or (copy_models and not known.has_models):
        return Action.EXTEND
    return None


def _growing_studies(
    wanted: WantedRuns, known: Mapping[str, KnownRun], planned: Iterable[PlannedRun]
) -> list[PlannedRun]:
    """Return the complete studies that have to be written again because they have new trials."""
    parents = {run.wanted.parent for run in planned if run.action in NEW}
    grown = []
    for key, run in wanted.items():
        if run.is_study and key in parents and key in known and known[key].complete:
            grown.append(PlannedRun(run, Action.GROW, known[key]))
    return grown


def _runs_to_prune(wanted: WantedRuns, known: Mapping[str, KnownRun], gone: frozenset[str]) -> list[str]:
    """Return the ids of the runs whose revision is gone, and of studies that then have no trial left."""
    pruned = []
    parents = set()
    for key, run in known.items():
        if key in gone and key not in wanted:
            pruned.append(run.run_id)
        else:
            parents.add(run.parent)
    for key, run in known.items():
        is_empty_study = key.startswith(STUDY) and run.run_id not in parents
        if is_empty_study and key not in wanted:
            pruned.append(run.run_id)
    return pruned
