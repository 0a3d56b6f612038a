"""Experiments in Git that are trials of a study, and what their commits remember of it.

The files of an experiment have its metrics and series. What else Optuna knows when a trial begins is written
into the message of its commit: distributions, the attributes in which samplers keep their place, and earlier
trials without an experiment. A study that is created again from Git continues as the lost one would have.
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

# Part of the names of attributes in which genetic samplers list the parents of a generation.
PARENTS = ":parent:"
# Prefix of the attributes in which pruners keep the values that a trial was compared by.
RUNG = "completed_rung_"
# Part of the names of attributes that are of use only while a trial runs, to those beside it.
WHILE_RUNNING = ":relative_params:"


@dataclass(frozen=True)
class FoundExperiments:
    """The experiments in Git, as far as a study has to know them.

    Attributes:
        revs: revisions of all experiments.
        unknown: trials that the study does not know yet, the oldest first; each is complete, and has the
            number in its experiment's name.
        unfit: how many experiments are named like trials, but do not fit search.yaml.
        without_experiment: failed and pruned trials that the unknown ones remember, by number.
        attributes: what samplers noted on the study, with trials by number.
        conflict: why one of the unfit is of another search.
    """

    revs: frozenset[str]
    unknown: tuple[FrozenTrial, ...] = ()
    unfit: int = 0
    without_experiment: Mapping[int, FrozenTrial] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    conflict: SettingsError | None = None


def find_experiments(root: Path, settings: SearchSettings, known: Collection[str]) -> FoundExperiments:
    """Return the experiments of a study that are in Git; those of `known` revisions are not read again."""
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
            try:
                memory = memory_in(snapshot.commit)
                trial = _complete_trial(settings, experiment, snapshot, memory)
                others = {other["number"]: _from_json(other) for other in memory.get("others", [])}
                noted = dict(memory.get("rungs", []))
                of_study = _newest(attributes, memory.get("study", {}))
            except SettingsError as error:
                conflict = error
                unfit += 1
                continue
            except (AttributeError, LookupError, TypeError, ValueError, YAMLError):
                unfit += 1
                continue
            unknown.append(trial)
            without_experiment.update(others)
            rungs.update(noted)
            attributes = of_study
    # Pruners note on a trial after its commit is made: the commits of later trials remember that.
    for trial in unknown:
        trial.system_attrs.update(rungs.get(trial.number, {}))
    revs = frozenset(experiment.rev for experiment in experiments)
    return FoundExperiments(revs, tuple(unknown), unfit, without_experiment, attributes, conflict)


def _complete_trial(
    settings: SearchSettings, experiment: Experiment, snapshot: Snapshot, memory: Mapping[str, Any]
) -> FrozenTrial:
    """Return the complete trial that an experiment is.

    Raises:
        SettingsError: it is of a search with other objectives or choices.
        LookupError, TypeError, ValueError, YAMLError: its params or metrics are not of this search.
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
        # An earlier release made it, or another program.
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
        raise ValueError("a metric is no finite number")
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
    """Return what the commit of a trial that begins is to remember, as plain values."""
    trials = study.get_trials(deepcopy=False)
    # The commit of the last complete trial remembers everything that had ended when it began.
    remembered = datetime.min
    for trial in trials:
        if trial.state is TrialState.COMPLETE and trial.datetime_start:
            remembered = max(remembered, trial.datetime_start)
    others = []
    rungs = []
    numbers = {}
    for trial in trials:
        numbers[trial._trial_id] = trial.number
        if (trial.datetime_complete or datetime.min) < remembered:
            continue
        if trial.state in (TrialState.FAIL, TrialState.PRUNED):
            others.append(_to_json(trial))
        # Pruners note these while a trial runs, when its own commit can no longer be changed.
        noted = {name: value for name, value in trial.system_attrs.items() if name.startswith(RUNG)}
        if noted:
            rungs.append((trial.number, noted))
    return {
        "metrics": settings.metrics,
        "directions": settings.directions,
        "trial": _to_json(trials[number]),
        "study": with_other_ids(study_attributes(study), numbers),
        "others": others,
        "rungs": rungs,
    }


def study_attributes(study: optuna.Study) -> dict[str, Any]:
    """Return what samplers have noted on a study, by name."""
    noted: dict[str, Any] = study._storage.get_study_system_attrs(study._study_id)
    return {name: value for name, value in noted.items() if not name.startswith("study:")}


def with_other_ids(attributes: Mapping[str, Any], ids: Mapping[int, int]) -> dict[str, Any]:
    """Return attributes of a study that name trials in another way, by `ids`: a storage's ids are its own."""
    changed = dict(attributes)
    for name, value in attributes.items():
        if PARENTS in name:
            changed[name] = [ids[trial] for trial in value if trial in ids]
    return changed


def _newest(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of both, with the higher one of two counts."""
    merged = {**later, **earlier}
    for name in earlier.keys() & later.keys():
        if isinstance(later[name], int):
            merged[name] = max(earlier[name], later[name])
    return merged


def _to_json(trial: FrozenTrial) -> dict[str, Any]:
    """Return a trial as plain values, without what is of use only while it runs."""
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
        # Samplers look at no other value of a pruned trial.
        "last": None if step is None else [step, trial.intermediate_values[step]],
    }


def _from_json(fields: Mapping[str, Any]) -> FrozenTrial:
    """Return the trial that `_to_json` made plain values of."""
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
