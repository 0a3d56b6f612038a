"""Which runs should be there: read from Git."""

from collections.abc import Iterable

from ..errors import UnreadableError
from ..git import git, is_shallow
from ..model import Experiment
from ..repository.reader import BRANCHES, Reader
from ..repository.snapshot import Snapshot
from .known import STUDY
from .plan import WantedRun


def wanted_runs(reader: Reader, all_commits: bool = False) -> dict[str, WantedRun]:
    """Return runs that should be there by key: studies, baselines, experiments.

    Parents come before their children.

    Experiments of other projects in the same Git repository are not among them.

    Args:
        reader: of the DVC repository.
        all_commits: every commit of every branch and tag, not only baselines of experiments and HEAD.
    """
    listed = reader.experiments()
    foreign = reader.foreign_projects(listed)
    experiments = [experiment for experiment in listed if experiment.rev not in foreign]
    commits = _baselines(reader, experiments, all_commits)
    wanted = [*_studies(experiments), *(WantedRun(rev, f"baseline {rev[:7]}") for rev in commits)]
    by_key = {run.key: run for run in wanted}
    for experiment in experiments:
        parent = STUDY + experiment.study if experiment.study else experiment.baseline
        # An experiment that became the baseline of others keeps its place before them.
        by_key[experiment.rev] = WantedRun(experiment.rev, experiment.name, parent, experiment)
    return by_key


def needs_run(run: WantedRun, snapshot: Snapshot) -> bool:
    """Whether a run that is not there yet has anything to show: an experiment, or the results of a stage."""
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
    reachable = set(git(reader.root, "rev-list", *BRANCHES).split())
    return frozenset(key for key in _present(reader, keys) if key not in reachable)


def _studies(experiments: list[Experiment]) -> list[WantedRun]:
    """Return a run for each search, with its trials."""
    trials: dict[str, list[Experiment]] = {}
    for experiment in experiments:
        if experiment.study:
            trials.setdefault(experiment.study, []).append(experiment)
    return [WantedRun(STUDY + name, name, trials=tuple(found)) for name, found in trials.items()]


def _baselines(reader: Reader, experiments: list[Experiment], all_commits: bool) -> list[str]:
    """Return commits besides experiments that get a run, as far as this clone has them."""
    commits = [experiment.baseline for experiment in experiments]
    head = reader.objects.read([_commit("HEAD")])[0]
    if head:
        commits.append(head[0])
    if all_commits:
        places = [*BRANCHES, "HEAD"] if head else BRANCHES
        commits += git(reader.root, "rev-list", *places).split()
    return _present(reader, dict.fromkeys(commits))


def _present(reader: Reader, keys: Iterable[str]) -> list[str]:
    """Return those of these keys that are commits of this clone."""
    keys = list(keys)
    answers = reader.objects.read(_commit(key) for key in keys)
    return [key for key, answer in zip(keys, answers, strict=True) if answer]


def _commit(rev: str) -> str:
    return rev + "^{commit}"
