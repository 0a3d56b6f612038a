"""Finds the experiments in Git that are trials of a study, and saves Optuna's state in their commits.

An experiment's files contain its params, metrics and series. Everything else that Optuna knows when a trial
begins is saved in the message of its commit: the distributions, the attributes in which samplers keep their
state, and earlier trials that have no experiment. From these commits, a lost study can be created again, and
continues as the lost one would have.
"""

import json
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import distribution_to_json, json_to_distribution
from optuna.trial import FrozenTrial, TrialState, create_trial
from yaml import YAMLError

from ..errors import SettingsError
from ..model import Experiment, Key, choices_in, memory_in
from ..repository import parsing
from ..repository.reader import Reader
from ..repository.snapshot import Snapshot
from .messages import points
from .settings import SearchSettings, active_values

# Occurs in the names of the attributes in which genetic samplers list the parents of a generation.
PARENTS = ":parent:"
# The prefix of the attributes in which pruners keep the values by which a trial was compared to others.
RUNG = "completed_rung_"
# Occurs in the names of the attributes that concurrent trials only need while a trial runs.
WHILE_RUNNING = ":relative_params:"


@dataclass(frozen=True)
class FoundExperiments:
    """The experiments in Git that a study needs for reconciliation.

    Attributes:
        revs: the revisions of all experiments.
        unknown: the experiments that the study does not know yet, as complete trials, the oldest first. The
            number of each trial is the one in its experiment's name.
        unfit: how many experiments are named like trials, but do not fit search.yaml.
        without_experiment: failed and pruned trials that are saved in the unknown ones' commits, by number.
        attributes: the attributes that samplers set on the study. They refer to trials by number.
        conflict: the error about an experiment of a search with other settings; None if there is none.
    """

    revs: frozenset[str]
    unknown: tuple[FrozenTrial, ...] = ()
    unfit: int = 0
    without_experiment: Mapping[int, FrozenTrial] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    conflict: SettingsError | None = None


def find_experiments(root: Path, settings: SearchSettings, known: Collection[str]) -> FoundExperiments:
    """Find the experiments in Git that belong to a study, and read those that it does not know yet.

    Args:
        root: the DVC root.
        settings: the settings from search.yaml.
        known: the revisions that the study knows, which are not read again.
    """
    unknown: list[FrozenTrial] = []
    unfit = 0
    without_experiment: dict[int, FrozenTrial] = {}
    attributes: dict[str, Any] = {}
    rungs: dict[int, dict[str, Any]] = {}
    conflict: SettingsError | None = None
    like_trials = re.compile(rf"{re.escape(settings.study)}-\d+")
    with Reader(root) as reader:
        experiments = reader.experiments()
        named = []
        for experiment in experiments:
            if experiment.rev not in known and like_trials.fullmatch(experiment.name):
                named.append(experiment)
        snapshots = reader.snapshots(experiment.rev for experiment in named)
        for experiment, snapshot in zip(named, snapshots, strict=True):
            # Read everything before using any of it: the commit may be damaged, or from another program.
            try:
                memory = memory_in(snapshot.commit)
                trial = _complete_trial(settings, experiment, snapshot, memory)
                earlier_trials = {other["number"]: _from_json(other) for other in memory.get("others", [])}
                earlier_rungs = dict(memory.get("rungs", []))
                merged_attributes = _merge(attributes, memory.get("study", {}))
            except SettingsError as error:
                conflict = error
                unfit += 1
                continue
            except (AttributeError, LookupError, TypeError, ValueError, YAMLError):
                unfit += 1
                continue
            unknown.append(trial)
            without_experiment.update(earlier_trials)
            rungs.update(earlier_rungs)
            attributes = merged_attributes
    # Pruners set attributes of a trial while it runs, too late for its own commit. They are in the commits of
    # later trials.
    for trial in unknown:
        trial.system_attrs.update(rungs.get(trial.number, {}))
    revs = frozenset(experiment.rev for experiment in experiments)
    return FoundExperiments(revs, tuple(unknown), unfit, without_experiment, attributes, conflict)


def _complete_trial(
    settings: SearchSettings, experiment: Experiment, snapshot: Snapshot, memory: Mapping[str, Any]
) -> FrozenTrial:
    """Return an experiment as a complete trial.

    Raises:
        SettingsError: the experiment belongs to a search with other objectives or distributions.
        LookupError, TypeError, ValueError, YAMLError: its params or metrics do not fit this search.
    """
    contents: dict[str, Any] = {}
    choices = choices_in(snapshot.commit)

    def read(key: str) -> Any:
        if key in choices:
            return choices[key]
        place = Key.parse(key)
        if place.file not in contents:
            contents[place.file] = parsing.parse(place.file, snapshot.read(place.file) or b"")
        return place.value_in(contents[place.file])

    if memory:
        settings.refuse_other_objectives(memory["metrics"], memory["directions"])
        trial = _from_json(memory["trial"])
        settings.refuse_other_space(trial.distributions)
    else:
        # The experiment was made by an earlier release or another program, which saved no state of Optuna.
        params = {}
        distributions = {}
        for key, value in active_values(settings.space, read, read).items():
            params[key] = settings.space[key].to_optuna(value)
            distributions[key] = settings.space[key].distribution()
        trial = create_trial(state=TrialState.RUNNING, params=params, distributions=distributions)
    trial.number = int(experiment.name.rpartition("-")[2])
    trial.state = TrialState.COMPLETE
    trial.values = [float(read(metric)) for metric in settings.metrics]
    if not all(map(math.isfinite, trial.values)):
        raise ValueError("a metric is not a finite number")
    trial.intermediate_values = {}
    series = snapshot.read(settings.series) if settings.series else None
    if settings.series and series:
        for point in points(settings.series, series.decode()):
            trial.intermediate_values[point.step] = point.value
    trial.user_attrs = {"experiment": experiment.name, "rev": experiment.rev}
    committed = datetime.fromtimestamp(experiment.committed)
    trial.datetime_start = committed
    trial.datetime_complete = committed
    return trial


def memory_of(study: optuna.Study, settings: SearchSettings, number: int) -> dict[str, Any]:
    """Return Optuna's state when a trial begins, as plain values for the commit of the trial."""
    trials = study.get_trials(deepcopy=False)
    # Only save what has changed since the last complete trial began: its commit has everything before that.
    saved_until = datetime.min
    for trial in trials:
        if trial.state is TrialState.COMPLETE and trial.datetime_start:
            saved_until = max(saved_until, trial.datetime_start)
    others = []
    rungs = []
    numbers = {}
    for trial in trials:
        numbers[trial._trial_id] = trial.number
        if (trial.datetime_complete or datetime.min) < saved_until:
            continue
        if trial.state in (TrialState.FAIL, TrialState.PRUNED):
            others.append(_to_json(trial))
        # Pruners set these while a trial runs, when the message of its own commit is already fixed.
        trial_rungs = {name: value for name, value in trial.system_attrs.items() if name.startswith(RUNG)}
        if trial_rungs:
            rungs.append((trial.number, trial_rungs))
    return {
        "metrics": settings.metrics,
        "directions": settings.directions,
        "trial": _to_json(trials[number]),
        "study": with_other_ids(study_attributes(study), numbers),
        "others": others,
        "rungs": rungs,
    }


def study_attributes(study: optuna.Study) -> dict[str, Any]:
    """Return the attributes that samplers have set on a study, by name."""
    attributes: dict[str, Any] = study._storage.get_study_system_attrs(study._study_id)
    return {name: value for name, value in attributes.items() if not name.startswith("study:")}


def with_other_ids(attributes: Mapping[str, Any], ids: Mapping[int, int]) -> dict[str, Any]:
    """Return a study's attributes with the ids of trials replaced by those in `ids`.

    Attributes refer to trials by their id in the storage, which is meaningless in any other storage, so
    commits refer to trials by number.
    """
    changed = dict(attributes)
    for name, value in attributes.items():
        if PARENTS in name:
            changed[name] = [ids[trial] for trial in value if trial in ids]
    return changed


def _merge(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """Return the study attributes of two commits in one mapping.

    If both have a counter, the higher count is kept; otherwise the earlier value is.
    """
    merged = {**later, **earlier}
    for name in earlier.keys() & later.keys():
        if isinstance(later[name], int):
            merged[name] = max(earlier[name], later[name])
    return merged


def _to_json(trial: FrozenTrial) -> dict[str, Any]:
    """Return a trial as plain values, without the attributes that are only needed while it runs."""
    distributions = {}
    for key, distribution in trial.distributions.items():
        distributions[key] = json.loads(distribution_to_json(distribution))
    attributes = {name: value for name, value in trial.system_attrs.items() if WHILE_RUNNING not in name}
    step = trial.last_step
    return {
        "number": trial.number,
        "state": trial.state.name,
        "params": trial.params,
        "distributions": distributions,
        "attributes": attributes,
        # Samplers only use the last intermediate value of a pruned trial.
        "last": None if step is None else [step, trial.intermediate_values[step]],
    }


def _from_json(fields: Mapping[str, Any]) -> FrozenTrial:
    """Return the trial that `_to_json` has converted to plain values."""
    distributions = {}
    for key, distribution in fields["distributions"].items():
        distributions[key] = json_to_distribution(json.dumps(distribution))
    return create_trial(
        state=TrialState[fields["state"]],
        params=fields["params"],
        distributions=distributions,
        system_attrs=fields["attributes"],
        intermediate_values=dict([fields["last"]]) if fields["last"] else {},
    )
