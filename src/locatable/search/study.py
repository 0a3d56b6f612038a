"""The Optuna study of a search: a view of the experiments in Git, which can be created again from them.

    study = SearchStudy(open_study(settings, storage), settings, params_files, git_trials, owner)
    study.reconcile()
    running = study.ask()

A trial is complete if, and only if, it has its experiment. What has to change for that is a plan, which is
computed without Optuna's storage.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.storages import RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from ..errors import StoreError
from .git_trials import (
    FoundExperiments,
    GitTrials,
    TrialExperiment,
    memory_of,
    study_attributes,
    with_other_ids,
)
from .messages import Complete, Job, Progress
from .sampling import configure, propose, watch_for_stop
from .settings import SearchSettings

# A number that is this far from the last one was never a trial's: someone chose that name.
LARGEST_GAP = 1000
# A trial that was lost with its worker is run again, but not for ever: it may be what kills them.
MOST_RETRIES = 2


@dataclass(frozen=True)
class Completion:
    """A running trial that turns out to have its experiment."""

    number: int
    trial: FrozenTrial


@dataclass(frozen=True)
class Loss:
    """A running trial that was lost with its worker; its params are run again, or not any more."""

    number: int
    run_again: bool


@dataclass(frozen=True)
class Addition:
    """An experiment that becomes a trial of the study, after trials without one that fill a gap."""

    trial: FrozenTrial
    gap: tuple[FrozenTrial, ...]


@dataclass(frozen=True)
class ReconcilePlan:
    """The changes that bring a study to what Git knows.

    Attributes:
        completions: running trials that are complete.
        losses: running trials that are lost.
        additions: experiments to add, in the order of their numbers.
        unfit: experiments named like trials that do not fit search.yaml.
        elsewhere: trials that run on other machines.
        gone: complete trials without an experiment; Optuna cannot take a trial back.
    """

    completions: tuple[Completion, ...] = ()
    losses: tuple[Loss, ...] = ()
    additions: tuple[Addition, ...] = ()
    unfit: int = 0
    elsewhere: int = 0
    gone: int = 0

    @property
    def retries(self) -> int:
        """The number of lost trials that are run again."""
        return sum(loss.run_again for loss in self.losses)

    def summary(self) -> list[str]:
        """Return a line for each kind of change, and for what was found."""
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
            (self.retries, "of these are run again"),
            (len(self.additions), "experiments of the study read from Git"),
        ]
        return [f"{count} {what}" for count, what in counted if count]


def known_revs(trials: Sequence[FrozenTrial]) -> set[str | None]:
    """Revision of the experiment of each complete trial; None for one without any."""
    return {trial.user_attrs.get("rev") for trial in trials if trial.state is TrialState.COMPLETE}


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
    completions: list[Completion] = []
    losses: list[Loss] = []
    elsewhere = 0
    for trial in trials:
        if trial.state is not TrialState.RUNNING or trial.number in busy:
            continue
        if trial.user_attrs.get("owner", owner) != owner:
            elsewhere += 1
            continue
        experiment = _experiment_of(trial, candidates)
        if experiment:
            completions.append(Completion(trial.number, experiment.trial))
            candidates.remove(experiment)
        else:
            retries = RetryHeartbeatStaleTrialCallback.retry_history(trial)
            losses.append(Loss(trial.number, run_again=len(retries) < MOST_RETRIES))
    return ReconcilePlan(
        completions=tuple(completions),
        losses=tuple(losses),
        additions=_additions(candidates, len(trials), found.without_experiment),
        unfit=found.unfit,
        elsewhere=elsewhere,
        gone=len(known_revs(trials) - found.revs),
    )


def _experiment_of(running: FrozenTrial, candidates: list[TrialExperiment]) -> TrialExperiment | None:
    """Return the newest experiment with the number and the params of a trial."""
    for experiment in reversed(candidates):
        if experiment.number == running.number and experiment.trial.params == running.params:
            return experiment
    return None


def _additions(
    candidates: list[TrialExperiment], length: int, without_experiment: Mapping[int, FrozenTrial]
) -> tuple[Addition, ...]:
    """Return the trials to add to a study of this length: each keeps its number, if that is possible.

    Trials before it that failed, or were pruned, have left no experiment, and so a gap.
    """
    additions: list[Addition] = []
    for experiment in sorted(candidates, key=lambda candidate: candidate.number):
        missing = range(length, experiment.number)
        if len(missing) >= LARGEST_GAP:
            missing = range(0)
        unknown = _trial_of_unknown_end(experiment.trial)
        gap = tuple(without_experiment.get(number, unknown) for number in missing)
        additions.append(Addition(experiment.trial, gap))
        length += len(gap) + 1
    return tuple(additions)


def _trial_of_unknown_end(next_one: FrozenTrial) -> FrozenTrial:
    """Return a failed trial, of which nothing is known but that the next one came after it."""
    return create_trial(
        state=TrialState.FAIL,
        user_attrs={"error": "no experiment in Git"},
        # Without any params, BruteForceSampler has nothing left to try.
        params=next_one.params,
        distributions=next_one.distributions,
    )


def open_study(settings: SearchSettings, storage: str) -> optuna.Study:
    """Load a study, or create it.

    Args:
        settings: search.yaml.
        storage: any URL that Optuna takes.

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


@dataclass(frozen=True)
class RunningTrial:
    """A trial that Optuna has proposed, and the job of the worker that runs it."""

    trial: Trial
    job: Job

    @property
    def number(self) -> int:
        """Of the trial in its study."""
        return self.trial.number

    @property
    def experiment(self) -> str:
        """Name of its experiment."""
        return self.job.experiment


class SearchStudy:
    """The study of a search: proposes trials, is told their results, and follows Git.

    Args:
        study: as Optuna has it.
        settings: search.yaml.
        params_files: content of each params file at the baseline, by path.
        git_trials: finds the experiments of the study.
        owner: marks the trials that are run here, and nowhere else.
    """

    def __init__(
        self,
        study: optuna.Study,
        settings: SearchSettings,
        params_files: Mapping[str, Any],
        git_trials: GitTrials,
        owner: str,
    ) -> None:
        self.optuna = study
        self._settings = settings
        self._params_files = params_files
        self._git_trials = git_trials
        self._owner = owner
        self._has_ended = watch_for_stop(study)

    def configure(self) -> None:
        """Set the sampler and the pruner, now that all earlier trials are there."""
        configure(self.optuna, self._settings)
        # These samplers check only after a trial whether anything is left, and would repeat one.
        sampler = self.optuna.sampler
        complete = self._trials(TrialState.COMPLETE)
        if isinstance(sampler, optuna.samplers.GridSampler) and sampler.is_exhausted(self.optuna):
            self._has_ended.set()
        if isinstance(sampler, optuna.samplers.BruteForceSampler) and complete:
            sampler.after_trial(self.optuna, complete[-1], TrialState.COMPLETE, complete[-1].values)

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        return self.optuna.get_trials(deepcopy=False, states=states or None)

    def count(self) -> Counter[TrialState]:
        """Return the number of trials in each state."""
        return Counter(trial.state for trial in self._trials())

    def has_more(self) -> bool:
        """Return true where there is anything left to try."""
        if not self._has_ended.is_set():
            return True
        # A lost trial waits to be run again, and samplers count it among those that have ended.
        return bool(self._trials(TrialState.WAITING))

    def best_value(self) -> float | None:
        """Return the best value so far; None where there is none, or where there are several objectives."""
        if len(self._settings.metrics) > 1 or not self._trials(TrialState.COMPLETE):
            return None
        return self.optuna.best_value

    def ask(self) -> RunningTrial:
        """Have the sampler propose a trial."""
        trial = self.optuna.ask()
        trial.set_user_attr("owner", self._owner)
        params = propose(self._settings, self._params_files, trial)
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
        running.trial.set_user_attr("experiment", running.experiment)
        running.trial.set_user_attr("rev", result.rev)
        self.optuna.tell(running.trial, result.values)

    def prune(self, running: RunningTrial) -> None:
        """Tell the study that a trial was stopped."""
        self.optuna.tell(running.trial, state=TrialState.PRUNED)

    def fail(self, running: RunningTrial, error: str) -> None:
        """Tell the study that a trial failed."""
        running.trial.set_user_attr("error", error)
        self.optuna.tell(running.trial, state=TrialState.FAIL)

    def reconcile(self, busy: Collection[int] = ()) -> ReconcilePlan:
        """Bring the study to what Git knows.

        Args:
            busy: numbers of trials that have a worker.

        Returns:
            The changes that were made.

        Raises:
            ProjectError: Git's remote does not answer.
            SettingsError: the study is to be made again from experiments of another search.
        """
        trials = self._trials()
        found = self._git_trials.find(known_revs(trials))
        if found.conflict and not trials:
            raise found.conflict
        plan = plan_reconcile(trials, found, self._owner, busy)
        for completion in plan.completions:
            self._apply_completion(completion, trials[completion.number])
        for loss in plan.losses:
            self.optuna.tell(loss.number, state=TrialState.FAIL)
        for addition in plan.additions:
            for missing in addition.gap:
                self.optuna.add_trial(missing)
            self.optuna.add_trial(addition.trial)
        self._apply_attributes(found.attributes)
        # After all that keep their numbers.
        retry = RetryHeartbeatStaleTrialCallback(MOST_RETRIES)
        for loss in plan.losses:
            if loss.run_again:
                retry(self.optuna, self.optuna.trials[loss.number])
        return plan

    def _apply_completion(self, completion: Completion, running: FrozenTrial) -> None:
        trial = Trial(self.optuna, running._trial_id)
        for name, value in completion.trial.user_attrs.items():
            trial.set_user_attr(name, value)
        self.optuna.tell(trial, completion.trial.values)

    def _apply_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Give the study what samplers noted on it in earlier searches, and count no further back."""
        ids = {trial.number: trial._trial_id for trial in self._trials()}
        noted = study_attributes(self.optuna)
        for name, value in with_other_ids(attributes, ids).items():
            known = noted.get(name)
            if known is None or (isinstance(known, int) and known < value):
                self.optuna._storage.set_study_system_attr(self.optuna._study_id, name, value)
