"""Experiments in Git that are trials of a study."""

import math
import re
from collections.abc import Collection, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, create_trial
from yaml import YAMLError

from ..dvc.experiments import choices_in
from ..history import formats
from ..history.reader import Experiment, Reader
from ..history.snapshot import Snapshot
from ..keys import Key
from .reconcile import FoundExperiments, TrialExperiment
from .remote import GitRemote
from .series import points
from .settings import SearchSettings
from .space import active_values


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
        with Reader(self._root) as reader:
            experiments = reader.experiments()
            named = self._named_like_trials(experiments, known)
            snapshots = reader.snapshots(experiment.rev for experiment in named)
            for experiment, snapshot in zip(named, snapshots, strict=True):
                trial = complete_trial(self._settings, experiment, snapshot)
                if trial is None:
                    unfit += 1
                    continue
                number = int(experiment.name.rpartition("-")[2])
                unknown.append(TrialExperiment(number, trial))
        revs = frozenset(experiment.rev for experiment in experiments)
        return FoundExperiments(revs, tuple(unknown), unfit)

    def _named_like_trials(
        self, experiments: Iterable[Experiment], known: Collection[str | None]
    ) -> list[Experiment]:
        pattern = re.compile(rf"{re.escape(self._settings.study)}-\d+")
        unknown = [experiment for experiment in experiments if experiment.rev not in known]
        return [experiment for experiment in unknown if pattern.fullmatch(experiment.name)]


def complete_trial(
    settings: SearchSettings, experiment: Experiment, snapshot: Snapshot
) -> FrozenTrial | None:
    """The complete trial that an experiment is; None where its params or metrics are not of this search."""
    contents: dict[str, Any] = {}
    choices = choices_in(snapshot.commit)

    def read(key: str) -> Any:
        if key in choices:
            return choices[key]
        place = Key.parse(key)
        if place.file not in contents:
            contents[place.file] = formats.parse(place.file, snapshot.read(place.file) or b"")
        return place.value_in(contents[place.file])

    try:
        chosen = active_values(settings.space, read, read)
        values = [float(read(metric)) for metric in settings.metrics]
        if not all(math.isfinite(value) for value in values):
            return None
        trial = create_trial(
            params={key: settings.space[key].to_optuna(value) for key, value in chosen.items()},
            distributions={key: settings.space[key].distribution() for key in chosen},
            values=values,
            intermediate_values=_series(settings, snapshot),
            user_attrs={"experiment": experiment.name, "rev": experiment.rev},
        )
    except (LookupError, TypeError, ValueError, YAMLError):
        return None
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
