"""The runs that the store has, recognized by their tags, and how one is updated. Does not use MLflow."""

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

# The prefixes of the keys of studies, and of experiments that run now and have no commit yet.
STUDY = "study "
RUNNING = "running "
# MLflow's status of a run that ended well.
FINISHED = "FINISHED"
# The tags that identify the experiment that a run shows.
EXPERIMENT_TAGS = ("dvc.exp", "dvc.baseline", "dvc.study")
# The tags that an update deletes only after everything else was written, in this order. While the later ones
# exist, the next mirror writes the run again, so that an update that was killed is repeated.
REMINDERS = (tag.UNREAD, tag.KEPT, tag.MISSING, tag.DESCRIBED, tag.DESCRIPTION, tag.PROVISIONAL, tag.RUNNING)
# The tags that a KnownRun is built from.
TAGS = (
    *(tag.STATE, tag.MISSING, tag.MODELS, tag.DESCRIPTION, tag.OWN_NAME, tag.PARENT, "mlflow.runName"),
    *("dvc.rev", "dvc.study", "dvc.exp", tag.RUNNING),
)
# Reads the tags from MLflow's own tables. If a version of MLflow has different columns, the query fails, and
# MLflow is asked instead.
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
    """The run was deleted meanwhile: another mirror wrote the same run, and that one is kept."""


class RefusedError(Exception):
    """MLflow does not accept the content of a run."""


@dataclass(frozen=True)
class KnownRun:
    """A run that exists in the store.

    Attributes:
        run_id: MLflow's id of the run.
        key: the revision that the run shows, `study NAME`, or `running …` for a provisional run.
        name: the name of the run in MLflow.
        parent: the id of the parent run.
        complete: true if the run was written completely.
        experiment: the name that the experiment had when the run was written.
        missing: the tag that lists the files that the run lacks; empty if it lacks none.
        has_models: true if the run was written with model files among its artifacts.
        description: the digest of the project's script that described the run; empty if none did.
        own_name: the name that this script gave to the run; None if it gave none.
        provisional: the tag of a provisional run; empty if the run shows a commit.
        is_running: true if the run is provisional and MLflow shows it as running.
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
    provisional: str = ""
    is_running: bool = False


KnownRuns = dict[str, list[KnownRun]]


def is_complete(tags: Mapping[str, str], status: str) -> bool:
    """Return whether a run was written completely, by its tags and its status in MLflow."""
    if tag.RUNNING in tags:
        return False
    if tags.get(tag.STATE) == tag.WHEN_FINISHED:
        return status == FINISHED
    return tags.get(tag.STATE) == tag.COMPLETE


def provisional_key(text: str) -> str:
    """Return the key of a provisional run: the first two words of its tag, the checkout and the id."""
    return RUNNING + " ".join(text.split(" ")[:2])


def runs_by_key(runs: Iterable[tuple[str, str, Mapping[str, str]]]) -> KnownRuns:
    """Return the mirrored runs by key; runs that no mirror wrote are left out.

    The runs of one key are sorted by id. The first one is kept, and the others are duplicates, so that all
    machines agree on which run to keep.

    Args:
        runs: the id, the status and the tags of each run.
    """
    found: KnownRuns = {}
    for run_id, status, tags in sorted(runs, key=itemgetter(0)):
        provisional = tags.get(tag.RUNNING, "") if "dvc.rev" not in tags else ""
        if tag.STATE not in tags and not provisional:
            continue  # no mirror wrote it
        key = tags.get("dvc.rev") or STUDY + tags.get("dvc.study", "")
        run = KnownRun(
            run_id=run_id,
            key=provisional_key(provisional) if provisional else key,
            name=tags.get("mlflow.runName", ""),
            parent=tags.get(tag.PARENT),
            complete=is_complete(tags, status),
            experiment=tags.get("dvc.exp"),
            missing=tags.get(tag.MISSING, ""),
            has_models=tag.MODELS in tags,
            description=tags.get(tag.DESCRIPTION, ""),
            own_name=tags.get(tag.OWN_NAME),
            provisional=provisional,
            is_running=bool(provisional) and status == "RUNNING",
        )
        found.setdefault(run.key, []).append(run)
    return found


def runs_in_file(settings: TrackingSettings) -> KnownRuns | None:
    """Return the mirrored runs by key, read directly from MLflow's SQLite file.

    MLflow would read all of each run, which takes ten times as long, and its import takes two seconds.

    Returns:
        None if the store is not such a file, or if MLflow has to be asked for another reason.
    """
    file = sqlite_file(settings.uri)
    if file is None or not file.is_file():
        return None
    if os.environ.get("MLFLOW_WORKSPACE") or os.environ.get("MLFLOW_ENABLE_WORKSPACES"):
        return None  # each workspace may have an experiment of that name
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as database:
            parameters = (json.dumps(TAGS), settings.experiment, settings.experiment_id)
            rows = database.execute(QUERY, parameters).fetchall()
    except sqlite3.Error:
        return None
    # There is one row for each tag of each run.
    tags_by_run: dict[tuple[str, str], dict[str, str]] = {}
    for run_id, status, key, value in rows:
        tags_by_run.setdefault((run_id, status), {})[key] = value
    return runs_by_key((*run, tags) for run, tags in tags_by_run.items())


@dataclass(frozen=True)
class RunUpdate:
    """The changes to the tags of an existing run, in an order that lets a killed update be repeated.

    Attributes:
        first_deleted: the keys of tags to delete before anything is written.
        tags: the tags to set together with the values.
        last_deleted: the keys of tags to delete after everything was written.
    """

    first_deleted: tuple[str, ...]
    tags: dict[str, str]
    last_deleted: tuple[str, ...]


def plan_update(stored: "RunData", fitted: FittedContent) -> RunUpdate:
    """Plan how the tags of a run become those of its content.

    Only tags that can change after a run was written are touched, so that changes made by hand in MLflow
    stay.
    """
    changeable = {*EXPERIMENT_TAGS, tag.OWN_NAME}
    for description in (Description.from_tags(stored.tags), fitted.description):
        if description:
            changeable.update(description.tags)
    for key in (*stored.tags, *fitted.tags):
        if key.startswith(tag.BEST):
            changeable.add(key)
    written = {*changeable, *REMINDERS, tag.MODELS}
    tags = {key: value for key, value in fitted.tags.items() if key in written}
    if tag.RUNNING in stored.tags:  # a provisional run has none of the tags of a commit yet
        tags = {**fitted.tags, tag.STATE: tag.WHEN_FINISHED}
    stale = [key for key in stored.tags if key not in tags]
    return RunUpdate(
        first_deleted=tuple(key for key in stale if key in changeable),
        tags=tags,
        last_deleted=tuple(key for key in REMINDERS if key in stale),
    )


def find_obstacle(stored: "RunData", fitted: FittedContent) -> str | None:
    """Find a difference between a run and its content that MLflow cannot resolve.

    MLflow cannot change the value of a param or a metric, and can delete nothing but tags.

    Returns:
        The key of a param or a metric, or the path of an artifact; None if the run can be updated.
    """
    # A value that is absent here may have come from a file that another machine has and this one lacks.
    may_be_elsewhere = bool(fitted.content.missing)
    for key, text in stored.params.items():
        wanted = fitted.params.get(key, text if may_be_elsewhere else None)
        if wanted != text:
            return key
    points: dict[str, list[float]] = {}
    for point in fitted.points:
        points.setdefault(point.key, []).append(point.value)
    for key, value in stored.metrics.items():
        if key not in points and may_be_elsewhere:
            continue
        if not _can_become(value, points.get(key, []), is_provisional=tag.RUNNING in stored.tags):
            return key
    before = Description.from_tags(stored.tags)
    if before is None:
        return "artifacts"
    for path in before.artifacts:
        if fitted.content.artifacts.get(path) is None:
            return path
    return None


def _can_become(stored: float, values: list[float], is_provisional: bool) -> bool:
    """Return whether a stored metric shows these values after their points are logged.

    MLflow cannot remove the stored value, so a single value must be equal to it. A series has no such limit:
    its points are added, and MLflow shows the last one. A metric of a provisional run counts as a series,
    because it can have several values that were written while it ran.
    """
    if not values:
        return False
    is_series = len(values) > 1 or is_provisional
    return is_series or same_value(limited(values[0]), limited(stored))


def limited(value: float) -> float:
    """Return a metric's value as MLflow's databases store it: infinities become the largest number."""
    limit = sys.float_info.max
    return min(max(value, -limit), limit)
