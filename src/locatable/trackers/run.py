"""A run as every tracker is given it. Pure; knows no tracker."""

import math
from dataclasses import dataclass
from typing import Any, Protocol

from ..mlflow.content import Content, Dataset, Model, state_tags
from ..mlflow.known import MISSING, UNREAD
from ..mlflow.limits import MetricPoint, fit, fit_tags
from ..mlflow.naming import NameRules, Names, Rule

NOTE = "mlflow.note.content"
# Whole numbers above it are rounded where a tracker has floating point, or refused where it has 64 bits.
LARGEST_INTEGER = 2**53
# Comet cuts names after 100 characters, others later.
LONGEST_NAME = 100
LONGEST_PART_OF_A_PATH = 255
# Keys that W&B writes itself.
RESERVED = ("_step", "_timestamp", "_runtime", "_wandb")


def _is_name(name: str) -> bool:
    return name.isprintable() and bool(name.strip()) and name not in RESERVED


def _is_part_of_a_path(name: str) -> bool:
    return name.isprintable() and name not in ("", ".", "..") and "/" not in name and "\\" not in name


_NAME = Rule(_is_name, LONGEST_NAME)
# What every tracker here takes.
RULES = NameRules(
    param=_NAME,
    metric=_NAME,
    tag=_NAME,
    model=_NAME,
    dataset=_NAME,
    artifact=Rule(_is_part_of_a_path, LONGEST_PART_OF_A_PATH, lambda name: len(name.encode())),
)


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker is to hold of a revision; times are milliseconds since 1970.

    Attributes:
        rev: the commit: the run's identity.
        name: which experiment or baseline it is.
        time: of the commit.
        note: how to rebuild it, and its coordinates, as Markdown.
        tags: text by key.
        params: numbers, truth values and text by key; all else as JSON.
        points: every value of every metric and series.
        datasets: the source data.
        models: the models.
        artifacts: content by path; what could not be held as it is in Git is in `mirror/kept.json`.
    """

    rev: str
    name: str
    time: int
    note: str
    tags: dict[str, str]
    params: dict[str, bool | int | float | str]
    points: list[MetricPoint]
    datasets: list[Dataset]
    models: list[Model]
    artifacts: dict[str, bytes]

    @property
    def inputs(self) -> dict[str, str]:
        """Datasets and models, each with its hash, for trackers that have no place of their own for them."""
        found = {f"dataset {dataset.name}": dataset.digest for dataset in self.datasets}
        return found | {f"model {model.name}": model.tags["dvc.md5"] for model in self.models}

    @property
    def steps(self) -> dict[int, dict[str, float]]:
        """Values by step and key, in the order of steps."""
        found: dict[int, dict[str, float]] = {}
        for point in sorted(self.points, key=lambda point: point.step):
            found.setdefault(point.step, {})[point.key] = point.value
        return found


class Tracker(Protocol):
    """One tracker: writes runs, and knows which it has."""

    def complete_runs(self) -> set[str]:
        """Commits of the runs that are there as a whole."""

    def write(self, run: TrackedRun) -> None:
        """Write a run that is not there as a whole; what an interrupted call left of it is replaced."""


def tracked_run(content: Content) -> TrackedRun:
    """A content as trackers can hold it; changes its tags."""
    note = content.tags.get(NOTE, "")
    shown = {key: text for key, text in content.tags.items() if not key.startswith("mlflow.")}
    state = {key: text for key, text in state_tags(content).items() if key in (MISSING, UNREAD)}
    content.tags = shown | state
    fit_tags(content, RULES.tag)
    fitted = fit(content, RULES)
    keys = Names(RULES.param, content.params)
    params = {keys[name]: _param(value, fitted.params[keys[name]]) for name, value in content.params.items()}
    return TrackedRun(
        rev=content.key,
        name=content.name,
        time=content.start,
        note=note,
        tags=content.tags | fitted.tags,
        params=params,
        points=fitted.points,
        datasets=fitted.datasets,
        models=fitted.models,
        artifacts=fitted.artifacts,
    )


def _param(value: Any, text: str) -> bool | int | float | str:
    """A param's value where every tracker takes it as it is, else its text."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) <= LARGEST_INTEGER:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    return text
