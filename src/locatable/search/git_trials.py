"""Experiments in Git that are trials of a study, and what their commits remember of it.

The files of an experiment have its metrics and series. What else Optuna knows when a trial begins is written
into the message of its commit: distributions, the attributes in which samplers keep their place, and earlier
trials without an experiment. A study that is made again from Git continues as the lost one would have.
"""

import json
import math
import re
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import distribution_to_json, json_to_distribution
from optuna.trial import FrozenTrial, TrialState, create_trial
from yaml import YAMLError

from ..errors import SettingsError
from ..model import Experiment, Key
from ..repository import parsing
from ..repository.experiments import choices_in, memory_in
from ..repository.reader import Reader
from ..repository.snapshot import Snapshot
from .reconcile import FoundExperiments, TrialExperiment
from .remote import GitRemote
from .series import points
from .settings import SearchSettings
from .space import active_values

# In the name of a study's attribute: genetic samplers list there the parents of a generation.
PARENTS = ":parent:"
# How the attributes begin in which pruners keep the values that trials had to compare themselves with.
RUNG = "completed_rung_"
# Of use only while a trial runs, to those that run beside it.
WHILE_RUNNING = ":relative_params:"


class GitTrials:
    """Looks for the experiments of a study.

    Args:
        root: the project.
        settings: search.yaml.
        remote: where experiments are fetched from first; None where they are pushed to the project itself.
    """

    def __init__(self, root: Path, settings: SearchSettings, remote: GitRemote | None = None) -> None:
        self._root = root
        self._settings = settings
        self._remote = remote

    def find(self, known: Collection[str | None]) -> FoundExperiments:
        """What Git has.

        Args:
            known: revisions of experiments that need not be read.

        Raises:
            ProjectError: the remote does not answer.
        """
        if self._remote:
            self._remote.fetch()
        unknown: list[TrialExperiment] = []
        unfit = 0
        without_experiment: dict[int, FrozenTrial] = {}
        attributes: dict[str, Any] = {}
        rungs: dict[int, dict[str, Any]] = {}
        conflict: SettingsError | None = None
        with Reader(self._root) as reader:
            experiments = reader.experiments()
            named = self._named_like_trials(experiments, known)
            snapshots = reader.snapshots(experiment.rev for experiment in named)
            for experiment, snapshot in zip(named, snapshots, strict=True):
                try:
                    memory = memory_in(snapshot.commit)
                    trial = complete_trial(self._settings, experiment, snapshot, memory)
                    others = {other["number"]: _from_json(other) for other in memory.get("others", [])}
                except SettingsError as error:
                    conflict = error
                    unfit += 1
                    continue
                except (LookupError, TypeError, ValueError, YAMLError):
                    unfit += 1
                    continue
                number = int(experiment.name.rpartition("-")[2])
                unknown.append(TrialExperiment(number, trial))
                without_experiment.update(others)
                rungs.update(memory.get("rungs", []))
                attributes = _newest(attributes, memory.get("study", {}))
        for found in unknown:
            found.trial.system_attrs.update(rungs.get(found.number, {}))
        revs = frozenset(experiment.rev for experiment in experiments)
        return FoundExperiments(revs, tuple(unknown), unfit, without_experiment, attributes, conflict)

    def _named_like_trials(
        self, experiments: Iterable[Experiment], known: Collection[str | None]
    ) -> list[Experiment]:
        pattern = re.compile(rf"{re.escape(self._settings.study)}-\d+")
        unknown = [experiment for experiment in experiments if experiment.rev not in known]
        return [experiment for experiment in unknown if pattern.fullmatch(experiment.name)]


def complete_trial(
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
        chosen = active_values(settings.space, read, read)
        trial = create_trial(
            state=TrialState.RUNNING,
            params={key: settings.space[key].to_optuna(value) for key, value in chosen.items()},
            distributions={key: settings.space[key].distribution() for key in chosen},
        )
    trial.state = TrialState.COMPLETE
    trial.values = [float(read(metric)) for metric in settings.metrics]
    if not all(math.isfinite(value) for value in trial.values):
        raise ValueError("a metric is no finite number")
    trial.intermediate_values = _series(settings, snapshot)
    trial.user_attrs = {"experiment": experiment.name, "rev": experiment.rev}
    committed = datetime.fromtimestamp(experiment.committed)
    trial.datetime_start = committed
    trial.datetime_complete = committed
    return trial


def _series(settings: SearchSettings, snapshot: Snapshot) -> dict[int, float]:
    """Value by step; empty where the experiment has no series."""
    content = snapshot.read(settings.series) if settings.series else None
    if not settings.series or not content:
        return {}
    return {point.step: point.value for point in points(settings.series, content.decode())}


def memory_of(study: optuna.Study, settings: SearchSettings, number: int) -> dict[str, Any]:
    """Return what the commit of a trial that begins is to remember, as plain values."""
    trials = study.get_trials(deepcopy=False)
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    # What had ended by then, the commit of an earlier trial remembers.
    remembered = max((trial.datetime_start or datetime.min for trial in complete), default=datetime.min)
    ended = [trial for trial in trials if (trial.datetime_complete or datetime.min) >= remembered]
    others = [trial for trial in ended if trial.state in (TrialState.FAIL, TrialState.PRUNED)]
    return {
        "metrics": settings.metrics,
        "directions": settings.directions,
        "trial": _to_json(trials[number]),
        "study": with_other_ids(study_attributes(study), {trial._trial_id: trial.number for trial in trials}),
        "others": [_to_json(trial) for trial in others],
        "rungs": [(trial.number, _rungs(trial)) for trial in ended if _rungs(trial)],
    }


def _rungs(trial: FrozenTrial) -> dict[str, Any]:
    """Return what pruners noted on a trial while it ran, when its own commit was no longer to be changed."""
    return {name: value for name, value in trial.system_attrs.items() if name.startswith(RUNG)}


def study_attributes(study: optuna.Study) -> dict[str, Any]:
    """Return what samplers have noted on a study, by name."""
    noted: dict[str, Any] = study._storage.get_study_system_attrs(study._study_id)
    return {name: value for name, value in noted.items() if not name.startswith("study:")}


def with_other_ids(attributes: Mapping[str, Any], ids: Mapping[int, int]) -> dict[str, Any]:
    """Return attributes of a study that name trials in another way: a storage's ids are its own.

    Args:
        attributes: of the study.
        ids: the other name by the one that they use.
    """
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
    spaces = trial.distributions.items()
    attributes = trial.system_attrs.items()
    step = trial.last_step
    return {
        "number": trial.number,
        "state": trial.state.name,
        "params": trial.params,
        "distributions": {key: json.loads(distribution_to_json(space)) for key, space in spaces},
        "attributes": {name: value for name, value in attributes if WHILE_RUNNING not in name},
        # Samplers look at no other value of a pruned trial.
        "last": None if step is None else [step, trial.intermediate_values[step]],
    }


def _from_json(fields: Mapping[str, Any]) -> FrozenTrial:
    spaces = fields["distributions"].items()
    return create_trial(
        state=TrialState[fields["state"]],
        params=fields["params"],
        distributions={key: json_to_distribution(json.dumps(space)) for key, space in spaces},
        system_attrs=fields["attributes"],
        intermediate_values=dict([fields["last"]]) if fields["last"] else {},
    )
