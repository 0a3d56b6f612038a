"""The Optuna study of a search: a view of the experiments in Git, which can be created again from them.

    study = SearchStudy(open_study(settings, storage), settings, params_files, find, owner)
    study.reconcile()
    study.configure()
    running = study.ask()

A trial is complete if, and only if, it has its experiment. What has to change for that is a plan, which is
computed without Optuna's storage.
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

# A number that is this far from the last one was never a trial's: someone chose that name.
LARGEST_GAP = 1000
# A trial that was lost with its worker is run again, but not for ever: it may be what kills them.
MOST_RETRIES = 2
NO_PRUNER = {"name": "NopPruner"}
# Most samplers draw at random until so many trials are there.
STARTUP_TRIALS = 10
# Steps of the series of a trial in the dry run.
STEPS = 5

# Finds the experiments of a study in Git, given the revisions of those that the study knows.
Find = Callable[[Collection[str]], FoundExperiments]


@dataclass(frozen=True)
class ReconcilePlan:
    """The changes that bring a study to what Git knows.

    Attributes:
        completions: running trials that turn out to have their experiment, as they are to be.
        retries: numbers of the lost trials whose params are run again.
        losses: numbers of all running trials that were lost with their worker.
        additions: trials to add, in this order: experiments, and the trials without one in gaps before them.
        unfit: how many experiments are named like trials, and do not fit search.yaml.
        elsewhere: how many trials run on other machines.
        gone: how many complete trials have no experiment; Optuna cannot take a trial back.
    """

    completions: tuple[FrozenTrial, ...] = ()
    retries: tuple[int, ...] = ()
    losses: tuple[int, ...] = ()
    additions: tuple[FrozenTrial, ...] = ()
    unfit: int = 0
    elsewhere: int = 0
    gone: int = 0

    def summary(self) -> list[str]:
        """Return a line for each kind of change, and for what was found."""
        experiments = [trial for trial in self.additions if trial.state is TrialState.COMPLETE]
        counted = [
            (
                self.gone,
                "complete trials have no experiment in Git (removed, or not pulled) and count; "
                "to forget them, delete the Optuna study, which is made again from Git",
            ),
            (self.unfit, "experiments named like trials lie outside of search.yaml and are left out"),
            (self.elsewhere, "trials run elsewhere"),
            (len(self.completions), "trials that were running are complete"),
            (len(self.losses), "trials that were running are lost, with what ran them"),
            (len(self.retries), "of these are run again"),
            (len(experiments), "experiments of the study read from Git"),
        ]
        return [f"{count} {what}" for count, what in counted if count]


def known_revs(trials: Sequence[FrozenTrial]) -> set[str]:
    """Return the revision of the experiment of each complete trial; empty for one without any."""
    return {trial.user_attrs.get("rev", "") for trial in trials if trial.state is TrialState.COMPLETE}


def plan_reconcile(
    trials: Sequence[FrozenTrial], found: FoundExperiments, owner: str, busy: Collection[int] = ()
) -> ReconcilePlan:
    """Compare a study with Git.

    Args:
        trials: all that Optuna knows, in the order of their numbers.
        found: what Git has.
        owner: whose running trials have no worker any more, except for those in `busy`.
        busy: numbers of trials that have one.
    """
    # What a busy worker has just pushed, it has yet to report.
    candidates = [experiment for experiment in found.unknown if experiment.number not in busy]
    # A search that was killed while it noted its losses may have noted that some are run again.
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
    """Return the numbers of lost trials whose params are run again: later trials name them."""
    repeated: set[int] = set()
    for trial in trials:
        repeated.update(RetryHeartbeatStaleTrialCallback.retry_history(trial))
    return repeated


def _experiment_of(running: FrozenTrial, candidates: list[FrozenTrial]) -> FrozenTrial | None:
    """Return the newest experiment with the number and the params of a trial."""
    for experiment in reversed(candidates):
        if experiment.number == running.number and experiment.params == running.params:
            return experiment
    return None


def _additions(
    candidates: list[FrozenTrial], length: int, without_experiment: Mapping[int, FrozenTrial]
) -> tuple[FrozenTrial, ...]:
    """Return the trials to add to a study of this length: each keeps its number, if that is possible.

    Trials before it that failed, or were pruned, have left no experiment, and so a gap.
    """
    additions: list[FrozenTrial] = []
    for experiment in sorted(candidates, key=attrgetter("number")):
        missing = range(length + len(additions), experiment.number)
        if len(missing) < LARGEST_GAP:
            unknown = create_trial(
                state=TrialState.FAIL,
                user_attrs={"error": "no experiment in Git"},
                # Without any params, BruteForceSampler has nothing left to try.
                params=experiment.params,
                distributions=experiment.distributions,
            )
            additions += [without_experiment.get(number, unknown) for number in missing]
        additions.append(experiment)
    return tuple(additions)


def open_study(settings: SearchSettings, storage: str) -> optuna.Study:
    """Load the study of search.yaml out of a storage, by any URL that Optuna takes, or create it.

    Raises:
        StoreError: the storage cannot be used.
        SettingsError: the study is not one of this search.yaml.
    """
    try:
        study = optuna.create_study(
            study_name=settings.study, storage=storage, directions=settings.directions, load_if_exists=True
        )
    except Exception as error:
        # Every storage has errors of its own, all of them outside of this project.
        said = str(error).strip() or type(error).__name__
        raise StoreError(f"--storage: cannot be used: {said.splitlines()[0]}") from None
    directions = [direction.name.lower() for direction in study.directions]
    settings.refuse_other_objectives(study.metric_names or settings.metrics, directions)
    for trial in study.get_trials(deepcopy=False):
        settings.refuse_other_space(trial.distributions)
    study.set_metric_names(settings.metrics)
    return study


@dataclass
class RunningTrial:
    """A trial that Optuna has proposed, and the job of the worker that runs it.

    Attributes:
        trial: as Optuna has it.
        job: for the worker.
        is_stopping: whether its worker was told to stop it.
    """

    trial: Trial
    job: Job
    is_stopping: bool = False


class SearchStudy:
    """The study of a search: proposes trials, is told their results, and follows Git.

    Args:
        study: as Optuna has it.
        settings: search.yaml.
        params_files: content of each params file at the baseline, by path.
        find: looks for the experiments of the study.
        owner: marks the trials that are run here, and nowhere else.
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
        # Set when a sampler has nothing left to try: Optuna lets it stop a study within `optimize` only.
        self._has_ended = Event()
        study.stop = self._has_ended.set  # type: ignore[method-assign]

    def configure(self) -> None:
        """Set the sampler and the pruner of search.yaml, now that all earlier trials are there.

        Raises:
            SettingsError: one of them cannot be built.
        """
        done = len(self._trials())
        sampler = build("sampler", self._settings.sampler, optuna.samplers, done)
        self.optuna.sampler = sampler
        pruner = self._settings.pruner or NO_PRUNER
        self.optuna.pruner = build("pruner", pruner, optuna.pruners, done)
        # These samplers check only after a trial whether anything is left, and would repeat one.
        complete = self._trials(TrialState.COMPLETE)
        if isinstance(sampler, optuna.samplers.GridSampler) and sampler.is_exhausted(self.optuna):
            self._has_ended.set()
        if isinstance(sampler, optuna.samplers.BruteForceSampler) and complete:
            last = complete[-1]
            sampler.after_trial(self.optuna, last, TrialState.COMPLETE, last.values)

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        return self.optuna.get_trials(deepcopy=False, states=states or None)

    def count(self) -> Counter[TrialState]:
        """Return the number of trials in each state."""
        return Counter(trial.state for trial in self._trials())

    def has_more(self) -> bool:
        """Return true where there is anything left to try."""
        # A lost trial waits to be run again, and samplers count it among those that have ended.
        return not self._has_ended.is_set() or bool(self._trials(TrialState.WAITING))

    def best_value(self) -> float | None:
        """Return the best value so far; None where there is none, or where there are several objectives."""
        if len(self._settings.metrics) > 1 or not self._trials(TrialState.COMPLETE):
            return None
        return self.optuna.best_value

    def ask(self) -> RunningTrial:
        """Have the sampler propose a trial; of its params, those without an effect are left out."""
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
            # Optuna keeps no curves of several objectives.
            series=self._settings.series if len(self._settings.metrics) == 1 else None,
            same_params_rev=self._rev_with_params(trial.params),
            memory=memory_of(self.optuna, self._settings, trial.number),
        )
        return RunningTrial(trial, job)

    def _rev_with_params(self, params: Mapping[str, Any]) -> str | None:
        """Return the experiment of a complete trial with the same params, which need not run twice."""
        for trial in self._trials(TrialState.COMPLETE):
            if trial.params == params:
                rev: str | None = trial.user_attrs.get("rev")
                return rev
        return None

    def report(self, running: RunningTrial, progress: Progress) -> bool:
        """Tell the study a new point of a series; return true where the pruner would stop the trial."""
        running.trial.report(progress.value, progress.step)
        return running.trial.should_prune()

    def complete(self, running: RunningTrial, result: Complete) -> None:
        """Tell the study that a trial has its experiment."""
        attributes = {"experiment": running.job.experiment, "rev": result.rev}
        self._complete(running.trial, attributes, result.values)

    def _complete(self, trial: Trial, attributes: Mapping[str, str], values: list[float]) -> None:
        for name, value in attributes.items():
            trial.set_user_attr(name, value)
        self.optuna.tell(trial, values)

    def prune(self, running: RunningTrial) -> None:
        """Tell the study that a trial was stopped."""
        self.optuna.tell(running.trial, state=TrialState.PRUNED)

    def fail(self, running: RunningTrial, error: str) -> None:
        """Tell the study that a trial failed."""
        running.trial.set_user_attr("error", error)
        self.optuna.tell(running.trial, state=TrialState.FAIL)

    def reconcile(self, busy: Collection[int] = ()) -> ReconcilePlan:
        """Bring the study to what Git knows, but for the trials in `busy`, which have a worker.

        Where this is killed, the next time does what is left.

        Returns:
            The changes that were made.

        Raises:
            ProjectError: Git's remote does not answer.
            SettingsError: the study is to be made again from experiments of another search.
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
        # After all that keep their numbers; and before the lost trials fail, or their params would be lost
        # where the search is killed between the two.
        retry = RetryHeartbeatStaleTrialCallback(MOST_RETRIES)
        for number in plan.retries:
            retry(self.optuna, self.optuna.trials[number])
        for number in plan.losses:
            self.optuna.tell(number, state=TrialState.FAIL)
        return plan

    def _apply_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Give the study what samplers noted on it in earlier searches, and count no further back."""
        ids = {trial.number: trial._trial_id for trial in self._trials()}
        noted = study_attributes(self.optuna)
        for name, value in with_other_ids(attributes, ids).items():
            known = noted.get(name)
            if known is None or (isinstance(known, int) and known < value):
                self.optuna._storage.set_study_system_attr(self.optuna._study_id, name, value)


def dry_run(settings: SearchSettings, params_files: Mapping[str, Any]) -> None:
    """Run the sampler and the pruner on a study in memory, with random values.

    Raises:
        SettingsError: one of them does not work with this space; the message says why.
    """
    rounds = STARTUP_TRIALS + 2
    startup = settings.sampler.get("n_startup_trials")
    if isinstance(startup, int):
        # Two more, so that the sampler itself has to choose.
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
