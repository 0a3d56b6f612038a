"""What has to change in a study so that it says what Git knows: a plan, computed without Optuna's storage.

A trial is complete if, and only if, it has its experiment.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.storages import RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState, create_trial

from ..errors import SettingsError

# A number that is this far from the last one was never a trial's: someone chose that name.
LARGEST_GAP = 1000
# A trial that was lost with its worker is run again, but not for ever: it may be what kills them.
MOST_RETRIES = 2


@dataclass(frozen=True)
class TrialExperiment:
    """An experiment in Git that is a trial of the study.

    Attributes:
        number: of the trial, by the experiment's name.
        trial: as it is to be in the study: complete, with the experiment's name and revision.
    """

    number: int
    trial: FrozenTrial


@dataclass(frozen=True)
class FoundExperiments:
    """What Git has.

    Attributes:
        revs: revisions of all experiments.
        unknown: trials that the study does not know yet, the oldest first.
        unfit: how many experiments are named like trials, but do not fit search.yaml.
        without_experiment: failed and pruned trials that the unknown ones remember, by number.
        attributes: what samplers noted on the study, with trials by number.
        conflict: why one of the unfit is of another search.
    """

    revs: frozenset[str]
    unknown: tuple[TrialExperiment, ...] = ()
    unfit: int = 0
    without_experiment: Mapping[int, FrozenTrial] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    conflict: SettingsError | None = None


@dataclass(frozen=True)
class Completion:
    """A running trial turns out to have its experiment."""

    number: int
    trial: FrozenTrial


@dataclass(frozen=True)
class Loss:
    """A running trial was lost with its worker; its params are run again, or not any more."""

    number: int
    run_again: bool


@dataclass(frozen=True)
class Addition:
    """An experiment becomes a trial of the study, after those without one that fill a gap."""

    trial: FrozenTrial
    gap: tuple[FrozenTrial, ...]


@dataclass(frozen=True)
class ReconcilePlan:
    """How a study gets to what Git knows.

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
        """How many of the lost trials are run again."""
        return sum(loss.run_again for loss in self.losses)

    def summary(self) -> list[str]:
        """A line for each kind of change, and of what was found."""
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
            losses.append(Loss(trial.number, _may_run_again(trial)))
    return ReconcilePlan(
        completions=tuple(completions),
        losses=tuple(losses),
        additions=_additions(candidates, len(trials), found.without_experiment),
        unfit=found.unfit,
        elsewhere=elsewhere,
        gone=len(known_revs(trials) - found.revs),
    )


def _experiment_of(running: FrozenTrial, candidates: list[TrialExperiment]) -> TrialExperiment | None:
    """The newest experiment with the number and the params of a trial."""
    for experiment in reversed(candidates):
        if experiment.number == running.number and experiment.trial.params == running.params:
            return experiment
    return None


def _may_run_again(trial: FrozenTrial) -> bool:
    return len(RetryHeartbeatStaleTrialCallback.retry_history(trial)) < MOST_RETRIES


def _additions(
    candidates: list[TrialExperiment], length: int, without_experiment: Mapping[int, FrozenTrial]
) -> tuple[Addition, ...]:
    """Trials to add to a study of this length: each keeps its number, if that is possible.

    Those before it that failed, or were pruned, have left no experiment, and so a gap.
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
    """A trial of which nothing is known but that the next one came after it."""
    return create_trial(
        state=TrialState.FAIL,
        user_attrs={"error": "no experiment in Git"},
        # Without any params, BruteForceSampler has nothing left to try.
        params=next_one.params,
        distributions=next_one.distributions,
    )
