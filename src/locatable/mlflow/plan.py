"""What a mirror has to do: the runs that there should be by Git, against those that there are. No MLflow."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from ..errors import UnreadableError
from ..git import git, is_shallow
from ..model import Experiment
from ..repository.reader import BRANCHES, Reader
from ..repository.snapshot import Snapshot
from .known import STUDY, KnownRun, KnownRuns


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


WantedRuns = Mapping[str, WantedRun]


def wanted_runs(reader: Reader, all_commits: bool = False) -> dict[str, WantedRun]:
    """Return the runs that should be there by key: studies, baselines, experiments.

    Parents come before their children. Experiments of other projects in the same Git repository are not
    among them. Of commits there are baselines of experiments and HEAD, or all of every branch and tag.
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
    head = reader.objects.read([_commit("HEAD")])[0]
    if head:
        commits.append(head[0])
    if all_commits:
        places = [*BRANCHES, "HEAD"] if head else BRANCHES
        commits += git(reader.root, "rev-list", *places).split()
    wanted: dict[str, WantedRun] = {}
    for study, of_study in trials.items():
        wanted[STUDY + study] = WantedRun(STUDY + study, study, trials=tuple(of_study))
    for rev in _present(reader, dict.fromkeys(commits)):
        wanted[rev] = WantedRun(rev, f"baseline {rev[:7]}")
    for experiment in experiments:
        parent = STUDY + experiment.study if experiment.study else experiment.baseline
        # An experiment that became the baseline of others keeps its place before them.
        wanted[experiment.rev] = WantedRun(experiment.rev, experiment.name, parent, experiment)
    return wanted


def needs_run(run: WantedRun, snapshot: Snapshot) -> bool:
    """Return whether a run that is not there yet has anything to show: an experiment, or results."""
    try:
        return run.experiment is not None or bool(snapshot.records)
    except UnreadableError:
        return True  # as far as one can tell; writing its run will say what is wrong


def gone_revisions(reader: Reader, keys: Iterable[str]) -> frozenset[str]:
    """Return those of these keys whose commit is here and in no branch or tag any more.

    A commit that this clone has never had says nothing: its experiment may live elsewhere. Nor does any in a
    shallow clone: what came before the commits that it begins with is of a branch all the same.
    """
    keys = list(keys)
    if not keys or is_shallow(reader.root):
        return frozenset()
    reachable = git(reader.root, "rev-list", *BRANCHES).split()
    return frozenset(_present(reader, keys)) - frozenset(reachable)


def _present(reader: Reader, keys: Iterable[str]) -> list[str]:
    """Return those of these keys that are commits of this clone."""
    keys = list(keys)
    present = []
    for key, answer in zip(keys, reader.objects.read(map(_commit, keys)), strict=True):
        if answer:
            present.append(key)
    return present


def _commit(rev: str) -> str:
    return rev + "^{commit}"


class Action(Enum):
    """Why a run is written, in the order in which runs are."""

    GROW = "a study that has more trials now"
    CREATE = "there is none yet"
    # Another mirror may be at work on it: all others come first.
    FINISH = "another mirror began it, and may have got anywhere"
    EXTEND = "files may be here now that were missing"
    DESCRIBE = "it was described by another version of the project's script"


NEW = (Action.CREATE, Action.FINISH)


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
class MirrorPlan:
    """Everything that would bring the store up to date, in the order in which it is done.

    Attributes:
        runs: to be written; parents come before their children.
        duplicates: ids of runs to delete, because another one shows the same.
        renames: runs to be renamed.
        moves: the parent's id by id of each run that belongs below another one.
        pruned: ids of runs to delete, because what they show is gone from Git.
    """

    runs: list[PlannedRun]
    duplicates: list[str]
    renames: list[Rename]
    moves: dict[str, str]
    pruned: list[str]

    @property
    def number_of_new(self) -> int:
        """How many runs are not complete yet."""
        return len([run for run in self.runs if run.action in NEW])

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.runs or self.duplicates or self.renames or self.moves or self.pruned)


def plan_mirror(
    wanted: WantedRuns,
    known: KnownRuns,
    *,
    copy_models: bool = False,
    description: str = "",
    gone: frozenset[str] | None = None,
) -> MirrorPlan:
    """Compare what should be there with what is.

    Args:
        wanted: by key, parents before their children.
        known: by key, never empty; the first run of a key is the one that stays.
        copy_models: model files belong among the artifacts.
        description: digest of the project's script that describes runs; empty where it adds nothing.
        gone: revisions that are in no ref any more, whose runs are to be deleted; None to delete none.
    """
    staying: dict[str, KnownRun] = {}
    duplicates = []
    for key, (first, *others) in known.items():
        staying[key] = first
        duplicates += [run.run_id for run in others]
    planned = []
    for key, run in wanted.items():
        action = _action(run, staying.get(key), copy_models, description)
        if action:
            planned.append(PlannedRun(run, action, staying.get(key)))
    planned += _growing_studies(wanted, staying, planned)
    actions = list(Action)
    planned.sort(key=lambda one: actions.index(one.action))
    renames = []
    for key, existing in staying.items():
        if key not in wanted:
            continue
        name = existing.own_name or wanted[key].name
        if existing.name != name:
            renames.append(Rename(existing.run_id, name, wanted[key]))
    moves = {}
    for key, run in wanted.items():
        parent = staying.get(run.parent or "")
        if parent and key in staying and staying[key].parent != parent.run_id:
            moves[staying[key].run_id] = parent.run_id
    return MirrorPlan(
        runs=planned,
        duplicates=duplicates,
        renames=renames,
        moves=moves,
        pruned=[] if gone is None else _pruned(wanted, staying, gone),
    )


def _action(wanted: WantedRun, known: KnownRun | None, copy_models: bool, description: str) -> Action | None:
    """Return why a run has to be written by itself; None if it has not."""
    if known is None:
        return Action.CREATE
    if not known.complete:
        return Action.FINISH
    if wanted.is_study:
        return None
    # The project's script may have seen the experiment under a name that it no longer has.
    is_renamed = known.experiment != wanted.identity_tags.get("dvc.exp")
    if known.description != description or (known.description and is_renamed):
        return Action.DESCRIBE
    if known.missing or (copy_models and not known.has_models):
        return Action.EXTEND
    return None


def _growing_studies(
    wanted: WantedRuns, known: Mapping[str, KnownRun], planned: Iterable[PlannedRun]
) -> list[PlannedRun]:
    """Return the studies that are complete and get new trials."""
    parents = {one.wanted.parent for one in planned if one.action in NEW}
    grown = []
    for key, run in wanted.items():
        if run.is_study and key in parents and key in known and known[key].complete:
            grown.append(PlannedRun(run, Action.GROW, known[key]))
    return grown


def _pruned(wanted: WantedRuns, known: Mapping[str, KnownRun], gone: frozenset[str]) -> list[str]:
    """Return runs of what is gone, and of studies that have no run below them any more."""
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
