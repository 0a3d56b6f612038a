"""Builds runs for trackers other than MLflow; `examples/trackers` has four. Does not use any of them.

A run has the same `RunContent` as in MLflow, fitted to the limits that are common to all these trackers.
"""

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import SettingsError, UnreadableError, joined_lines
from ..repository.reader import Reader
from ..results.rebuild import origin_url
from . import content as tag
from .content import Content
from .describe import find_script
from .limits import MetricPoint, NameRules, Rule, fit, fit_names
from .plan import needs_run, wanted_runs
from .revision import revision_content

# A tracker that stores floating-point numbers rounds larger integers, and one with 64 bits refuses them.
LARGEST_INTEGER = 2**53
# Keys that W&B reserves.
RESERVED = ("_step", "_timestamp", "_runtime", "_wandb")
# Tags that are meant for the next mirror of MLflow, and for no other tracker.
OWN_TAGS = (tag.MODELS, tag.DESCRIPTION, tag.DESCRIBED, tag.OWN_NAME)


def _is_name(name: str) -> bool:
    return name.isprintable() and bool(name.strip()) and name not in RESERVED


def _is_part_of_a_path(name: str) -> bool:
    return name.isprintable() and name not in ("", ".", "..") and "/" not in name and "\\" not in name


# Comet cuts names after 100 characters; other trackers allow more.
_NAME = Rule(_is_name, 100)
_PART_OF_A_PATH = Rule(_is_part_of_a_path, 255, size=lambda name: len(name.encode()))
RULES = NameRules(param=_NAME, metric=_NAME, tag=_NAME, model=_NAME, dataset=_NAME, artifact=_PART_OF_A_PATH)


@dataclass(frozen=True)
class TrackedRun:
    """The run of a revision in a tracker; times are milliseconds since 1970.

    Attributes:
        rev: the commit, which identifies the run.
        name: the name of the experiment or baseline.
        time: the time of the commit.
        note: how to rebuild the revision, and its coordinates, as Markdown.
        tags: texts by key.
        params: numbers, booleans and texts by key; values of other types are JSON.
        points: every value of every metric and series, sorted by step.
        inputs: the hash of each dataset and model, by `dataset NAME` or `model NAME`.
        artifacts: contents by path. `mirror/kept.json` has the originals of all that trackers cannot hold.
    """

    rev: str
    name: str
    time: int
    note: str
    tags: dict[str, str]
    params: dict[str, bool | int | float | str]
    points: list[MetricPoint]
    inputs: dict[str, str]
    artifacts: dict[str, bytes]


def tracked_runs(
    root: Path | str = ".", known: Collection[str] = (), all_commits: bool = False
) -> Iterator[TrackedRun]:
    """Yield the run of each experiment and baseline that a tracker does not have yet.

    As in MLflow, the project's own scripts/mirror.py may change the runs.

    Args:
        root: the root of the DVC repository.
        known: the commits whose runs are complete in the tracker; these are skipped without being read.
        all_commits: yield the run of every commit of every branch and tag that has results, not only
            baselines.

    Raises:
        SettingsError: the project's scripts/mirror.py is wrong.
        UnreadableError: some revisions cannot be read. It is raised after all others were yielded.
    """
    failures = []
    with Reader(root) as reader:
        wanted = wanted_runs(reader, all_commits)
        new = [key for key, run in wanted.items() if not run.is_study and key not in known]
        script = find_script(reader.root)
        describe = script.load() if script and new else None
        url = origin_url(reader)
        for snapshot in reader.snapshots(new):
            run = wanted[snapshot.rev]
            if not needs_run(run, snapshot):
                continue
            try:
                content = revision_content(snapshot, run, url)
                if describe:
                    describe(content)
                tracked = tracked_run(content)
            except (UnreadableError, SettingsError) as error:
                failures.append(f"{run.name}: {joined_lines(error)}")
            else:
                yield tracked
    if failures:
        raise UnreadableError("\n".join(failures))


def tracked_run(content: Content) -> TrackedRun:
    """Return the content of a run as trackers can hold it."""
    fitted = fit(content, RULES)
    keys = fit_names(RULES.param, content.params)
    params = {keys[name]: _param(value, fitted.params[keys[name]]) for name, value in content.params.items()}
    inputs = {f"dataset {dataset.name}": dataset.digest for dataset in fitted.datasets}
    for model in fitted.models:
        inputs[f"model {model.name}"] = model.tags["dvc.md5"]
    tags = {}
    for key, text in fitted.tags.items():
        if not key.startswith("mlflow.") and key not in OWN_TAGS:
            tags[key] = text
    return TrackedRun(
        rev=content.key,
        name=content.name,
        time=content.start,
        note=content.tags.get(tag.NOTE, ""),
        tags=tags,
        params=params,
        points=sorted(fitted.points, key=lambda point: point.step),
        inputs=inputs,
        artifacts=fitted.artifacts,
    )


def _param(value: Any, text: str) -> bool | int | float | str:
    """Return the value of a param if every tracker accepts it, otherwise its text."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) <= LARGEST_INTEGER:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    return text
