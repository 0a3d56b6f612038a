"""The Optuna study of a search: a view of the experiments in Git, which can be made again from them.

study = open_study(search, "sqlite:///optuna.db")
reconcile(study, search, root, owner)
"""

import math
import re
from collections import Counter
from collections.abc import Collection
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import check_distribution_compatibility
from optuna.storages import RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial
from yaml import YAMLError

from ..coordinates import experiments
from ..errors import SettingsError, StoreError
from ..history import formats
from ..history.reader import Experiment, Reader
from ..history.snapshot import Snapshot
from .series import points
from .settings import Search, lookup

# A number that is this far from the last one was never a trial's: someone chose that name.
GAP = 1000
# A trial that was lost with its worker is run again, but not for ever: it may be what kills them.
AGAIN = 2


def open_study(search: Search, storage: str) -> optuna.Study:
    """Load a study, or make it.

    Args:
        search: search.yaml.
        storage: any URL that Optuna takes.

    Raises:
        SettingsError: the storage cannot be used, or its study is not one of this search.yaml.
    """
    try:
        study = optuna.create_study(
            study_name=search.study, storage=storage, directions=search.directions, load_if_exists=True
        )
    except Exception as error:
        # Every storage has errors of its own, all of them outside of this project.
        said = str(error).strip() or type(error).__name__
        raise StoreError(f"--storage: cannot be used: {said.splitlines()[0]}") from None
    directions = [direction.name.lower() for direction in study.directions]
    for key, now, begun in (
        ("direction", search.directions, directions),
        ("metric", search.metrics, study.metric_names or search.metrics),
    ):
        if now != begun:
            raise _other(search, key, f"with {', '.join(begun)}")
    for trial in study.get_trials(deepcopy=False):
        for key in search.space.keys() & trial.distributions.keys():
            try:
                check_distribution_compatibility(trial.distributions[key], search.space[key].distribution())
            except ValueError:
                raise _other(search, f"space: {key}", "with another type, scale or choices") from None
    study.set_metric_names(search.metrics)
    return study


def _other(search: Search, key: str, begun: str) -> SettingsError:
    return SettingsError(
        f"search.yaml: {key}: study {search.study} was begun {begun}; give the new one a name of its own"
    )


def reconcile(
    study: optuna.Study, search: Search, root: Path, owner: str, busy: Collection[int] = ()
) -> Counter[str]:
    """Bring a study to what Git knows: a trial is complete if, and only if, it has its experiment.

    Args:
        study: changed in place.
        search: search.yaml.
        root: the project.
        owner: whose running trials have no worker, except for those in `busy`.
        busy: numbers of trials.

    Returns:
        How many experiments were `added`, how many running trials turned out `complete` or `lost`, how many
        of the lost ones will run `again`, how many experiments do not fit search.yaml (`unfit`), how many
        trials run `elsewhere`, and how many complete ones have no experiment any more (`gone`): Optuna cannot
        take a trial back.
    """
    counts: Counter[str] = Counter()
    trials = study.get_trials(deepcopy=False)
    known = {trial.user_attrs.get("rev") for trial in trials if trial.state is TrialState.COMPLETE}
    if gone := known - {experiment.rev for experiment in experiments(root)}:
        counts["gone"] = len(gone)
    found = {}
    for number, experiment, trial in _experiments(search, root, known):
        if trial is None:
            counts["unfit"] += 1
        # What a busy worker has just brought home, it has yet to tell of.
        elif number not in busy:
            found[experiment.rev] = number, trial
    numbered, lost = {number: trial for number, trial in found.values()}, []

    for running in (trial for trial in trials if trial.state is TrialState.RUNNING):
        if running.number in busy:
            continue
        if running.user_attrs.get("owner", owner) != owner:
            counts["elsewhere"] += 1
            continue
        done = numbered.get(running.number)
        if done and done.params == running.params:
            trial = Trial(study, running._trial_id)
            trial.set_user_attr("experiment", done.user_attrs["experiment"])
            trial.set_user_attr("rev", done.user_attrs["rev"])
            study.tell(trial, done.values)
            del found[done.user_attrs["rev"]]
            counts["complete"] += 1
        else:
            study.tell(running.number, state=TrialState.FAIL)
            counts["lost"] += 1
            lost.append(running.number)

    length = len(trials)
    for number, trial in sorted(found.values(), key=lambda pair: pair[0]):
        # A trial keeps its number, so those that failed or were pruned before it leave a gap.
        for _ in range(length, number if number - length < GAP else length):
            # With params of one that is there: without any, BruteForceSampler has nothing left to try.
            gap = {"params": trial.params, "distributions": trial.distributions}
            error = {"error": "no experiment in Git"}
            study.add_trial(create_trial(state=TrialState.FAIL, user_attrs=error, **gap))
            length += 1
        study.add_trial(trial)
        length += 1
        counts["added"] += 1

    retry = RetryHeartbeatStaleTrialCallback(AGAIN)
    for trial in (study.trials[number] for number in lost):
        counts["again"] += len(retry.retry_history(trial)) < AGAIN
        retry(study, trial)
    return counts


def _experiments(
    search: Search, root: Path, known: Collection[str]
) -> list[tuple[int, Experiment, FrozenTrial | None]]:
    """Number, experiment and (if it fits search.yaml) trial of each experiment of the study not yet known."""
    with Reader(root) as reader:
        named = [
            (int(match[1]), experiment)
            for experiment in reader.experiments()
            if (match := re.fullmatch(rf"{re.escape(search.study)}-(\d+)", experiment.name))
            and experiment.rev not in known
        ]
        snapshots = reader.snapshots(experiment.rev for _, experiment in named)
        return [
            (number, experiment, _trial(search, experiment, snapshot))
            for (number, experiment), snapshot in zip(named, snapshots, strict=True)
        ]


def _trial(search: Search, experiment: Experiment, snapshot: Snapshot) -> FrozenTrial | None:
    """The finished trial that an experiment is, None where its params or metrics are not of this search."""
    files: dict[str, Any] = {}

    def value(key: str) -> Any:
        path = key.rpartition(":")[0] or "params.yaml"
        if path not in files:
            files[path] = formats.parse(path, snapshot.read(path) or b"")
        return lookup(files, key)

    try:
        chosen = dict(search.active(value, value))
        values = [float(value(metric)) for metric in search.metrics]
        if not all(map(math.isfinite, values)):
            return None
        series = snapshot.read(search.series) if search.series else None
        trial = create_trial(
            params={key: search.space[key].known(setting) for key, setting in chosen.items()},
            distributions={key: search.space[key].distribution() for key in chosen},
            values=values,
            intermediate_values=dict(points(search.series, series.decode())) if series else {},
            user_attrs={"experiment": experiment.name, "rev": experiment.rev},
        )
    except (LookupError, TypeError, ValueError, YAMLError):
        return None
    trial.datetime_start = trial.datetime_complete = datetime.fromtimestamp(experiment.committed)
    return trial
