"""What has to change in a run that is there already, and whether MLflow can change it.

Pure; knows no MLflow.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from . import known
from .content import Content, Description, state_tags
from .limits import KEPT_TAG, FittedContent, same_value

EXPERIMENT_TAGS = ("dvc.exp", "dvc.baseline", "dvc.study")
# Tags whose presence says that there is something to do; so they go last, and `mirror.describe` last of all.
REMINDERS = (known.UNREAD, KEPT_TAG, known.MISSING, known.DESCRIBED, known.DESCRIPTION)


@dataclass(frozen=True)
class StoredRun:
    """What the store has of a run: its tags, its params, and the last value of each metric and series."""

    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]


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


def plan_update(stored: StoredRun, content: Content, fitted: FittedContent) -> RunUpdate:
    """Return how the tags of a run become those of its content; what was changed in MLflow by hand stays."""
    changing = {*EXPERIMENT_TAGS, known.OWN_NAME, *_described_tags(stored, content)}
    changing |= {key for key in (*stored.tags, *content.tags) if key.startswith(known.BEST)}
    tags = {key: value for key, value in content.tags.items() if key in changing}
    tags |= state_tags(content) | fitted.tags
    stale = [key for key in stored.tags if key not in tags]
    return RunUpdate(
        first_deleted=tuple(key for key in stale if key in changing),
        tags=tags,
        last_deleted=tuple(key for key in REMINDERS if key in stale),
    )


def find_obstacle(stored: StoredRun, content: Content, fitted: FittedContent) -> str | None:
    """Something of a run that is otherwise in its content, and that MLflow cannot change.

    Params and metrics keep their values, and nothing but a tag can be taken away.

    Returns:
        Its key or path; None if there is nothing of that kind.
    """
    unchangeable = _changed_params(stored, fitted) + _changed_metrics(stored, fitted)
    if content.missing:
        # What this machine has no file for may have come from another one.
        present = {*fitted.params, *fitted.points_by_key}
        unchangeable = [key for key in unchangeable if key in present]
    before = Description.from_tags(stored.tags)
    if before is None:
        return "artifacts"
    unchangeable += [path for path in before.artifacts if content.artifacts.get(path) is None]
    return unchangeable[0] if unchangeable else None


def _described_tags(stored: StoredRun, content: Content) -> set[str]:
    """Return tags that the project's script sets, or has set in this run before."""
    descriptions = [Description.from_tags(stored.tags), content.description]
    return {key for description in descriptions if description for key in description.tags}


def _changed_params(stored: StoredRun, fitted: FittedContent) -> list[str]:
    return [key for key, text in stored.params.items() if fitted.params.get(key) != text]


def _changed_metrics(stored: StoredRun, fitted: FittedContent) -> list[str]:
    """Return keys of metrics that have another value or are gone; a series can only be gone."""
    points_by_key = fitted.points_by_key
    changed = []
    for key, value in stored.metrics.items():
        points = points_by_key.get(key, [])
        is_series = len(points) > 1
        is_same = len(points) == 1 and same_value(points[0].value, value)
        if not is_series and not is_same:
            changed.append(key)
    return changed
