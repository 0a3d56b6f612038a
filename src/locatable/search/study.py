"""The Optuna study of a search: a view of the experiments in Git, which can be created again from them.

    study = SearchStudy(open_study(settings, storage), settings, params_files, find, owner)
    study.reconcile()
    study.configure()
    running = study.ask()

A trial is complete if and only if its experiment is in Git. The changes that make this true are a
`ReconcilePlan`, which is computed without access to Optuna's storage.
"""

import random
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from threading import Event
from typing import Any

import optuna
from optuna.storages import RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from ..errors import StoreError
from ..model import Key
from .git_trials import FoundExperiments, memory_of, study_attributes, with_other_ids
from .messages import Complete, Job, Progress
from .settings import SearchSettings, active_values, as_settings_error, build

# If the number of an experiment is this far from the last trial, it is part of a name that a user chose.
LARGEST_GAP = 1000
# How often a trial that was lost with its worker is run again. The number is limited because the trial itself
# may be the reason why its workers die.
MOST_RETRIES = 2
NO_PRUNER = {"name": "NopPruner"}
# Most samplers draw values at random until there are this many trials.
STARTUP_TRIALS = 10
# The number of steps that each trial of the dry run reports.
STEPS = 5

# A function that finds the experiments of a study in Git, given the revisions that the study knows already.
Find = Callable[[Collection[str]], FoundExperiments]


@dataclass(frozen=True)
class ReconcilePlan:
    """The changes that make a study agree with Git, and what else the comparison found.

    Attributes:
        completions: the complete versions of running trials whose experiments are in Git.
        retries: the numbers of the lost trials whose params are run again.
        losses: the numbers of all running trials that were lost with their worker.
        additions: the trials to add, in this order: experiments, and trials without an experiment that fill
            the gaps between their numbers.
        unfit: how many experiments are named like trials, but do not fit search.yaml.
        elsewhere: how many trials are running on other machines.
        gone: how many complete trials have lost their experiment. They stay, as Optuna cannot remove a trial.
    """

    completions: tuple[FrozenTrial, ...] = ()
    retries: tuple[int, ...] = ()
    losses: tuple[int, ...] = ()
    additions: tuple[FrozenTrial, ...] = ()
    unfit: int = 0
    elsewhere: int = 0
    gone: int = 0

    def summary(self) -> list[str]:
        """Return a line about each attribute that is not empty."""
        experiments = [trial for trial in self.additions if trial.state is TrialState.COMPLETE]
        counted = [
            (
                self.gone,
                "complete trials have no experiment in Git (removed, or not pulled) and count; "
                "to forget them, delete the Optuna study, which is created again from Git",
            ),
            (self.unfit, "experiments are named like trials but do not fit search.yaml, and are left out"),
            (self.elsewhere, "trials run elsewhere"),
            (len(self.completions), "trials that were running are complete"),
            (len(self.losses), "trials that were running are lost, since their workers ended"),
            (len(self.retries), "of these are run again"),
            (len(experiments), "experiments of the study read from Git"),
        ]
        return [f"{count} {what}" for count, what in counted if count]


def known_revs(trials: Sequence[FrozenTrial]) -> set[str]:
    """Return the revisions of the experiments of complete trials; empty text for a trial that has none."""
    return {trial.user_attrs.get("rev", "") for trial in trials if trial.state is TrialState.COMPLETE}


def plan_reconcile(
    trials: Sequence[FrozenTrial], found: FoundExperiments, owner: str, busy: Collection[int] = ()
) -> ReconcilePlan:
    """Compare a study with the experiments in Git.

    Args:
        trials: all trials of the study, in the order of their numbers.
        found: the experiments in Git.
        owner: the mark of trials that run here. Their workers are gone, except for the trials in `busy`.
        busy: the numbers of the trials that a worker is running.
    """
    # A worker pushes an experiment before it reports that. Such an experiment is not a new trial.
    candidates = [experiment for experiment in found.unknown if experiment.number not in busy]
    # A search that was killed during reconciliation may have queued a retry without failing the lost trial.
    repeated = repeated_trials(trials)
    completions: list[FrozenTrial] = []
    losses: list[int] = []
    retries: list[int] = []
    elsewhere = 0
    for trial in trials:
        if trial.state is not TrialState.RUNNING or trial.number in busy:
            continue
        if trial.user_attrs.get("owner", owner) != owner:
            elsewhere += 1
            continue
        experiment = _experiment_of(trial, candidates)
        if experiment:
            completions.append(experiment)
            candidates.remove(experiment)
            continue
        losses.append(trial.number)
        earlier = RetryHeartbeatStaleTrialCallback.retry_history(trial)
        if len(earlier) < MOST_RETRIES and trial.number not in repeated:
            retries.append(trial.number)
    return ReconcilePlan(
        completions=tuple(completions),
        retries=tuple(retries),
        losses=tuple(losses),
        additions=_additions(candidates, len(trials), found.without_experiment),
        unfit=found.unfit,
        elsewhere=elsewhere,
        gone=len(known_revs(trials) - found.revs),
    )


def repeated_trials(trials: Sequence[FrozenTrial]) -> set[int]:
    """Return the numbers of lost trials that are run again by a later trial, as its retry history says."""
    repeated: set[int] = set()
    for trial in trials:
        repeated.update(RetryHeartbeatStaleTrialCallback.retry_history(trial))
    return repeated


def _experiment_of(running: FrozenTrial, candidates: list[FrozenTrial]) -> FrozenTrial | None:
    """Return the newest experiment with the number and the params of a trial; None if there is none."""
    for experiment in reversed(candidates):
        if experiment.number == running.number and experiment.params == running.params:
            return experiment
    return None


def _additions(
    candidates: list[FrozenTrial], length: int, without_experiment: Mapping[int, FrozenTrial]
) -> tuple[FrozenTrial, ...]:
    """Return the trials to add to a study, so that each experiment keeps its number if possible.

    Failed and pruned trials have no experiment, so they leave gaps between the numbers, which are filled.

    Args:
        candidates: the experiments that the study does not know.
        length: the number of trials in the study.
        without_experiment: the failed and pruned trials that are known from the commits of later ones.
    """
    additions: list[FrozenTrial] = []
    for experiment in sorted(candidates, key=attrgetter("number")):
        missing = range(length + len(additions), experiment.number)
        if len(missing) < LARGEST_GAP:
            unknown = create_trial(
                state=TrialState.FAIL,
                user_attrs={"error": "no experiment in Git"},
                # BruteForceSampler would consider its search finished if a trial had no params.
                params=experiment.params,
                distributions=experiment.distributions,
            )
            additions += [without_experiment.get(number, unknown) for number in missing]
        additions.append(experiment)
    return tuple(additions)


def open_study(settings: SearchSettings, storage: str) -> optuna.Study:
    """Load the study of search.yaml from an Optuna storage, or create it there.

    Args:
        settings: the settings from search.yaml.
        storage: the URL of the storage.

    Raises:
        StoreError: the storage cannot be used.
        SettingsError: the existing study has other objectives or an incompatible space.
    """
    try:
        study = optuna.create_study(
            study_name=settings.study, storage=storage, directions=settings.directions, load_if_exists=True
        )
    except Exception as error:
        # Every kind of storage raises its own types of errors.
        reason = str(error).strip() or type(error).__name__
        raise StoreError(f"--storage: cannot be used: {reason.splitlines()[0]}") from None
    directions = [direction.name.lower() for direction in study.directions]
    settings.refuse_other_objectives(study.metric_names or settings.metrics, directions)
    for trial in study.get_trials(deepcopy=False):
        settings.refuse_other_space(trial.distributions)
    study.set_metric_names(settings.metrics)
    return study


@dataclass
class RunningTrial:
    """A trial that Optuna has proposed, and the job for the worker that runs it.

    Attributes:
        trial: Optuna's trial.
        job: the job for the worker.
        is_stopping: true if a Stop was sent to the worker.
    """

    trial: Trial
    job: Job
    is_stopping: bool = False


class SearchStudy:
    """The study of a search: it proposes trials, receives their results, and is reconciled with Git.

    Args:
        study: Optuna's study.
        settings: the settings from search.yaml.
        params_files: the content of each params file at the baseline, by path.
        find: finds the experiments of the study in Git.
        owner: the mark of trials that run here, which distinguishes them from those on other machines.
    """

    def __init__(
        self,
        study: optuna.Study,
        settings: SearchSettings,
        params_files: Mapping[str, Any],
        find: Find,
        owner: str,
    ) -> None:
        self.optuna = study
        self._settings = settings
        self._params_files = params_files
        self._find = find
        self._owner = owner
        # Set when a sampler has nothing left to try. Samplers call `study.stop` then, which otherwise raises
        # an error outside of `study.optimize`.
        self._is_exhausted = Event()
        study.stop = self._is_exhausted.set  # type: ignore[method-assign]

    def configure(self) -> None:
        """Set the sampler and the pruner of search.yaml.

        Call this after `reconcile`, because both look at the earlier trials.

        Raises:
            SettingsError: one of them cannot be built.
        """
        done = len(self._trials())
        sampler = build("sampler", self._settings.sampler, optuna.samplers, done)
        self.optuna.sampler = sampler
        pruner = self._settings.pruner or NO_PRUNER
        self.optuna.pruner = build("pruner", pruner, optuna.pruners, done)
        # These samplers notice only after a trial that nothing is left. Check it now, or a trial is repeated.
        complete = self._trials(TrialState.COMPLETE)
        if isinstance(sampler, optuna.samplers.GridSampler) and sampler.is_exhausted(self.optuna):
            self._is_exhausted.set()
        if isinstance(sampler, optuna.samplers.BruteForceSampler) and complete:
            last = complete[-1]
            sampler.after_trial(self.optuna, last, TrialState.COMPLETE, last.values)

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        return self.optuna.get_trials(deepcopy=False, states=states or None)

    def count(self) -> Counter[TrialState]:
        """Return the number of trials in each state."""
        return Counter(trial.state for trial in self._trials())

    def has_more(self) -> bool:
        """Return whether another trial can be proposed."""
        # A lost trial that waits to be run again counts as ended for samplers, but must still run.
        return not self._is_exhausted.is_set() or bool(self._trials(TrialState.WAITING))

    def best_value(self) -> float | None:
        """Return the best value so far; None if no trial is complete, or if there are several objectives."""
        if len(self._settings.metrics) > 1 or not self._trials(TrialState.COMPLETE):
            return None
        return self.optuna.best_value

    def ask(self) -> RunningTrial:
        """Have the sampler propose a trial. Params that have no effect in it are left out."""
        trial = self.optuna.ask()
        trial.set_user_attr("owner", self._owner)

        def choose(key: str) -> Any:
            return self._settings.space[key].suggest(trial, key)

        def read_fixed(key: str) -> Any:
            place = Key.parse(key)
            return place.value_in(self._params_files[place.file])

        params = active_values(self._settings.space, choose, read_fixed)
        job = Job(
            experiment=f"{self._settings.study}-{trial.number}",
            params=params,
            metrics=self._settings.metrics,
            # Optuna does not accept intermediate values if there are several objectives.
            series=self._settings.series if len(self._settings.metrics) == 1 else None,
            same_params_rev=self._rev_with_params(trial.params),
            memory=memory_of(self.optuna, self._settings, trial.number),
        )
        return RunningTrial(trial, job)

    def _rev_with_params(self, params: Mapping[str, Any]) -> str | None:
        """Return the revision of a complete trial with the same params; None if there is none."""
        for trial in self._trials(TrialState.COMPLETE):
            if trial.params == params:
                rev: str | None = trial.user_attrs.get("rev")
                return rev
        return None

    def report(self, running: RunningTrial, progress: Progress) -> bool:
        """Report a new point of a trial's series to Optuna, and return whether the trial should be pruned."""
        running.trial.report(progress.value, progress.step)
        return running.trial.should_prune()

    def complete(self, running: RunningTrial, result: Complete) -> None:
        """Mark a trial as complete, and store its values and its experiment."""
        attributes = {"experiment": running.job.experiment, "rev": result.rev}
        self._complete(running.trial, attributes, result.values)

    def _complete(self, trial: Trial, attributes: Mapping[str, str], values: list[float]) -> None:
        for name, value in attributes.items():
            trial.set_user_attr(name, value)
        self.optuna.tell(trial, values)

    def prune(self, running: RunningTrial) -> None:
        """Mark a trial as pruned."""
        self.optuna.tell(running.trial, state=TrialState.PRUNED)

    def fail(self, running: RunningTrial, error: str) -> None:
        """Mark a trial as failed, and store the error."""
        running.trial.set_user_attr("error", error)
        self.optuna.tell(running.trial, state=TrialState.FAIL)

    def reconcile(self, busy: Collection[int] = ()) -> ReconcilePlan:
        """Change the study so that it agrees with Git.

        If this is interrupted, the next call completes it.

        Args:
            busy: the numbers of the trials that a worker is running, which are left alone.

        Returns:
            The changes that were made.

        Raises:
            ProjectError: the Git remote cannot be reached.
            SettingsError: the study is empty, and an experiment in Git is of a search with other settings.
        """
        trials = self._trials()
        found = self._find(known_revs(trials))
        if found.conflict and not trials:
            raise found.conflict
        plan = plan_reconcile(trials, found, self._owner, busy)
        for complete in plan.completions:
            running = Trial(self.optuna, trials[complete.number]._trial_id)
            self._complete(running, complete.user_attrs, complete.values)
        for addition in plan.additions:
            self.optuna.add_trial(addition)
        self._apply_attributes(found.attributes)
        # Queue the retries after adding trials, because those need their numbers; and before the lost trials
        # are marked as failed, because their params would be lost if the search was killed in between.
        retry = RetryHeartbeatStaleTrialCallback(MOST_RETRIES)
        for number in plan.retries:
            retry(self.optuna, self.optuna.trials[number])
        for number in plan.losses:
            self.optuna.tell(number, state=TrialState.FAIL)
        return plan

    def _apply_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Set the attributes that samplers set in earlier searches, without decreasing a counter."""
        ids = {trial.number: trial._trial_id for trial in self._trials()}
        existing = study_attributes(self.optuna)
        for name, value in with_other_ids(attributes, ids).items():
            current = existing.get(name)
            if current is None or (isinstance(current, int) and current < value):
                self.optuna._storage.set_study_system_attr(self.optuna._study_id, name, value)


def dry_run(settings: SearchSettings, params_files: Mapping[str, Any]) -> None:
    """Try the sampler and the pruner on a study in memory, whose trials have random values.

    Raises:
        SettingsError: one of them does not work with this space; the message says why.
    """
    rounds = STARTUP_TRIALS + 2
    startup = settings.sampler.get("n_startup_trials")
    if isinstance(startup, int):
        # Run two more trials, because the sampler draws values at random before that.
        rounds = max(rounds, startup + 2)
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"):
            _dry_trials(settings, params_files, rounds)
    finally:
        optuna.logging.set_verbosity(verbosity)


def _dry_trials(settings: SearchSettings, params_files: Mapping[str, Any], rounds: int) -> None:
    values = random.Random(0)  # noqa: S311 (not for secrets)
    in_memory = optuna.create_study(directions=settings.directions)
    study = SearchStudy(in_memory, settings, params_files, lambda known: FoundExperiments(frozenset()), "")
    study.configure()
    for _ in range(rounds):
        if not study.has_more():
            break
        with as_settings_error("sampler", settings.sampler["name"]):
            running = study.ask()
        if settings.pruner:
            with as_settings_error("pruner", settings.pruner["name"]):
                for step in range(STEPS):
                    study.report(running, Progress(step, values.random()))
        with as_settings_error("sampler", settings.sampler["name"]):
            study.complete(running, Complete("", [values.random() for _ in settings.metrics]))
