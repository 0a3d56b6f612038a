"""Runs that MLflow has: which ones, by their tags, and what has to change in one. Knows no MLflow."""

import json
import os
import sqlite3
import sys
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING

from ..addresses import sqlite_file
from ..model import same_value
from . import content as tag
from .content import Description
from .limits import FittedContent
from .settings import TrackingSettings

if TYPE_CHECKING:
    from mlflow.entities import RunData

# How the key of a study's run begins.
STUDY = "study "
# MLflow's status of a run that has ended.
FINISHED = "FINISHED"
# Tags that say which experiment a run shows.
EXPERIMENT_TAGS = ("dvc.exp", "dvc.baseline", "dvc.study")
# Tags whose presence says that there is something to do; so they go last, and `mirror.describe` last of all.
REMINDERS = (tag.UNREAD, tag.KEPT, tag.MISSING, tag.DESCRIBED, tag.DESCRIPTION)
# The tags that a KnownRun is made of.
TAGS = (
    *(tag.STATE, tag.MISSING, tag.MODELS, tag.DESCRIPTION, tag.OWN_NAME, tag.PARENT, "mlflow.runName"),
    *("dvc.rev", "dvc.study", "dvc.exp"),
)
# They are read from tables as MLflow makes them; where these have other columns, MLflow is asked.
QUERY = """
SELECT runs.run_uuid, runs.status, tags.key, tags.value
FROM runs JOIN tags ON tags.run_uuid = runs.run_uuid
JOIN experiments ON experiments.experiment_id = runs.experiment_id
WHERE runs.lifecycle_stage = 'active' AND tags.key IN (SELECT value FROM json_each(?))
AND experiments.name = coalesce(?, experiments.name)
AND experiments.experiment_id = coalesce(?, experiments.experiment_id)
ORDER BY runs.run_uuid
"""


class RunDeletedError(Exception):
    """Another mirror wrote this run too, and its run stays."""


class RefusedError(Exception):
    """MLflow does not take the content of a run."""


@dataclass(frozen=True)
class KnownRun:
    """A run that the store has.

    Attributes:
        run_id: MLflow's.
        key: the revision that it shows, or `study NAME`.
        name: as MLflow has it.
        parent: id of the run that it is nested below.
        complete: whether everything that it should hold was written.
        experiment: name of the experiment that it was written for.
        missing: which files the machine did not have; empty when it had all.
        has_models: whether model files are among its artifacts.
        description: digest of the project's script that described it; empty when none did.
        own_name: the name which that script gave it, None if it gave none.
    """

    run_id: str
    key: str
    name: str = ""
    parent: str | None = None
    complete: bool = True
    experiment: str | None = None
    missing: str = ""
    has_models: bool = False
    description: str = ""
    own_name: str | None = None


KnownRuns = dict[str, list[KnownRun]]


def is_complete(tags: Mapping[str, str], status: str) -> bool:
    """Return whether a mirror has written all of a run; `status` is what MLflow calls its status."""
    if tags.get(tag.STATE) == tag.WHEN_FINISHED:
        return status == FINISHED
    return tags.get(tag.STATE) == tag.COMPLETE


def runs_by_key(runs: Iterable[tuple[str, str, Mapping[str, str]]]) -> KnownRuns:
    """Return the mirrored ones of some runs, each given as its id, status and tags.

    Of each key the lowest id comes first: that one stays, whoever made others.
    """
    found: KnownRuns = {}
    for run_id, status, tags in sorted(runs, key=itemgetter(0)):
        if tag.STATE not in tags:
            continue  # no mirror wrote it
        run = KnownRun(
            run_id=run_id,
            key=tags.get("dvc.rev") or STUDY + tags.get("dvc.study", ""),
            name=tags.get("mlflow.runName", ""),
            parent=tags.get(tag.PARENT),
            complete=is_complete(tags, status),
            experiment=tags.get("dvc.exp"),
            missing=tags.get(tag.MISSING, ""),
            has_models=tag.MODELS in tags,
            description=tags.get(tag.DESCRIPTION, ""),
            own_name=tags.get(tag.OWN_NAME),
        )
        found.setdefault(run.key, []).append(run)
    return found


def runs_in_file(settings: TrackingSettings) -> KnownRuns | None:
    """Return the mirrored runs by key, straight from MLflow's SQLite file; None if only MLflow can tell.

    MLflow reads each run whole, which takes ten times as long, and needs two seconds to be imported.
    """
    file = sqlite_file(settings.uri)
    if file is None or not file.is_file():
        return None
    if os.environ.get("MLFLOW_WORKSPACE") or os.environ.get("MLFLOW_ENABLE_WORKSPACES"):
        return None  # each workspace may have an experiment of that name
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as database:
            asked = (json.dumps(TAGS), settings.experiment, settings.experiment_id)
            rows = database.execute(QUERY, asked).fetchall()
    except sqlite3.Error:
        return None
    # A row for each tag of a run.
    tags: dict[tuple[str, str], dict[str, str]] = {}
    for run_id, status, key, value in rows:
        tags.setdefault((run_id, status), {})[key] = value
    return runs_by_key((*run, of_run) for run, of_run in tags.items())


@dataclass(frozen=True)
class RunUpdate:
    """What has to be done to the tags of a run; an update that is killed can be done again.

    Attributes:
        first_deleted: before anything is written.
        tags: to be set with all else that is written.
        last_deleted: when everything is written.
    """

    first_deleted: tuple[str, ...]
    tags: dict[str, str]
    last_deleted: tuple[str, ...]


def plan_update(stored: "RunData", fitted: FittedContent) -> RunUpdate:
    """Return how the tags of a run become those of its content; what was changed in MLflow by hand stays."""
    changing = {*EXPERIMENT_TAGS, tag.OWN_NAME}
    for description in (Description.from_tags(stored.tags), fitted.description):
        if description:
            changing.update(description.tags)
    for key in (*stored.tags, *fitted.tags):
        if key.startswith(tag.BEST):
            changing.add(key)
    written = {*changing, *REMINDERS, tag.MODELS}
    tags = {key: value for key, value in fitted.tags.items() if key in written}
    stale = [key for key in stored.tags if key not in tags]
    return RunUpdate(
        first_deleted=tuple(key for key in stale if key in changing),
        tags=tags,
        last_deleted=tuple(key for key in REMINDERS if key in stale),
    )


def find_obstacle(stored: "RunData", fitted: FittedContent) -> str | None:
    """Find something of a run that is otherwise in its content, and that MLflow cannot change.

    Params and metrics keep their values, and nothing but a tag can be taken away.

    Returns:
        Its key or path; None if there is nothing of that kind.
    """
    points: dict[str, list[float]] = {}
    for point in fitted.points:
        points.setdefault(point.key, []).append(point.value)
    # What this machine has no file for may have come from another one.
    may_be_elsewhere = bool(fitted.content.missing)
    for key, text in stored.params.items():
        if fitted.params.get(key) != text and not (may_be_elsewhere and key not in fitted.params):
            return key
    for key, value in stored.metrics.items():
        values = points.get(key, [])
        if may_be_elsewhere and not values:
            continue
        # Of a series MLflow tells the last value only, which the same steps lead to.
        is_series = len(values) > 1
        if not is_series and not (values and same_value(_limited(values[0]), _limited(value))):
            return key
    before = Description.from_tags(stored.tags)
    if before is None:
        return "artifacts"
    for path in before.artifacts:
        if fitted.content.artifacts.get(path) is None:
            return path
    return None


def _limited(value: float) -> float:
    """Return a metric's value as MLflow gives it back: its databases have no infinities."""
    limit = sys.float_info.max
    return min(max(value, -limit), limit)
