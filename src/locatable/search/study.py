"""The Optuna study of a search: a view of the experiments in Git, which can be made again from them.

study = SearchStudy(open_study(settings, "sqlite:///optuna.db"), settings, params_files, git_trials, owner)
study.reconcile()
running = study.ask()
"""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.storages import RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, Trial, TrialState

from ..errors import StoreError
from .git_trials import GitTrials, memory_of, study_attributes, with_other_ids
from .messages import Complete, Job, Progress
from .reconcile import MOST_RETRIES, Completion, ReconcilePlan, known_revs, plan_reconcile
from .sampling import configure, propose, watch_for_stop
from .settings import SearchSettings


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
    """A trial that Optuna has proposed, and what a worker has to do for it."""

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
    """A study, and all that a search asks of it or tells it.

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
        # These look only after a trial whether anything is left, and would repeat one.
        sampler = self.optuna.sampler
        complete = self._trials(TrialState.COMPLETE)
        if isinstance(sampler, optuna.samplers.GridSampler) and sampler.is_exhausted(self.optuna):
            self._has_ended.set()
        if isinstance(sampler, optuna.samplers.BruteForceSampler) and complete:
            sampler.after_trial(self.optuna, complete[-1], TrialState.COMPLETE, complete[-1].values)

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        return self.optuna.get_trials(deepcopy=False, states=states or None)

    def count(self) -> Counter[TrialState]:
        """How many trials there are in each state."""
        return Counter(trial.state for trial in self._trials())

    def has_more(self) -> bool:
        """Whether there is anything left to try."""
        if not self._has_ended.is_set():
            return True
        # What waits is a lost trial, which samplers take for one that they are through with.
        return bool(self._trials(TrialState.WAITING))

    def best_value(self) -> float | None:
        """The best value so far; None where there is none yet, or where there are several objectives."""
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
        for trial in self._trials(TrialState.COMPLETE):
            if trial.params == params:
                rev: str | None = trial.user_attrs.get("rev")
                return rev
        return None

    def report(self, running: RunningTrial, progress: Progress) -> bool:
        """Tell a new point of a trial's series; returns whether the pruner would stop it."""
        running.trial.report(progress.value, progress.step)
        return running.trial.should_prune()

    def complete(self, running: RunningTrial, result: Complete) -> None:
        """Tell that a trial has its experiment."""
        running.trial.set_user_attr("experiment", running.experiment)
        running.trial.set_user_attr("rev", result.rev)
        self.optuna.tell(running.trial, result.values)

    def prune(self, running: RunningTrial) -> None:
        """Tell that a trial was stopped."""
        self.optuna.tell(running.trial, state=TrialState.PRUNED)

    def fail(self, running: RunningTrial, error: str) -> None:
        """Tell that a trial failed."""
        running.trial.set_user_attr("error", error)
        self.optuna.tell(running.trial, state=TrialState.FAIL)

    def reconcile(self, busy: Collection[int] = ()) -> ReconcilePlan:
        """Bring the study to what Git knows.

        Args:
            busy: numbers of trials that have a worker.

        Returns:
            What was done.

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
