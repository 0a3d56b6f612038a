"""Runs for other trackers than MLflow, of which `examples/trackers` has four. Knows no tracker.

What a run holds is the same `RunContent` that MLflow gets, fitted to what all these trackers can hold.
"""

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import SettingsError, UnreadableError
from ..repository.reader import Reader
from ..results.rebuild import origin_url
from .content import Content, state_tags
from .describe import find_script
from .known import MISSING, UNREAD
from .limits import MetricPoint, fit, fit_tags
from .naming import NameRules, Names, Rule
from .revision import revision_content
from .wanted import needs_run, wanted_runs

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
    """What a tracker should hold of a revision; times are milliseconds since 1970.

    Attributes:
        rev: the commit: the run's identity.
        name: which experiment or baseline it is.
        time: of the commit.
        note: how to rebuild it, and its coordinates, as Markdown.
        tags: text by key.
        params: numbers, truth values and text by key; all else as JSON.
        points: every value of every metric and series, in the order of steps.
        inputs: the hash of each dataset and model, by a name that says which of the two it is.
        artifacts: content by path; what could not be held as it is in Git is in `mirror/kept.json`.
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

    The project's own scripts/mirror.py describes runs here, too.

    Args:
        root: of the DVC repository.
        known: commits whose runs the tracker has as a whole; these are not read.
        all_commits: every commit of every branch and tag that has results, not only baselines.

    Raises:
        SettingsError: the project's scripts/mirror.py is wrong.
        UnreadableError: some revisions cannot be read; raised when all others have been yielded.
    """
    failures = []
    with Reader(root) as reader:
        wanted = {key: run for key, run in wanted_runs(reader, all_commits).items() if not run.is_study}
        new = [rev for rev in wanted if rev not in known]
        script = find_script(reader.root)
        describer = script.load() if script and new else None
        url = origin_url(reader)
        for snapshot in reader.snapshots(new):
            run = wanted[snapshot.rev]
            if not needs_run(run, snapshot):
                continue
            try:
                content = revision_content(snapshot, run, url)
                if describer:
                    describer.describe(content)
                tracked = tracked_run(content)
            except (UnreadableError, SettingsError) as error:
                failures.append(f"{run.name}: {' '.join(str(error).split())}")
            else:
                yield tracked
    if failures:
        raise UnreadableError("\n".join(failures))


def tracked_run(content: Content) -> TrackedRun:
    """Return a content as trackers can hold it; changes its tags."""
    note = content.tags.get(NOTE, "")
    shown = {key: text for key, text in content.tags.items() if not key.startswith("mlflow.")}
    state = {key: text for key, text in state_tags(content).items() if key in (MISSING, UNREAD)}
    content.tags = shown | state
    fit_tags(content, RULES.tag)
    fitted = fit(content, RULES)
    keys = Names(RULES.param, content.params)
    params = {keys[name]: _param(value, fitted.params[keys[name]]) for name, value in content.params.items()}
    datasets = {f"dataset {dataset.name}": dataset.digest for dataset in fitted.datasets}
    models = {f"model {model.name}": model.tags["dvc.md5"] for model in fitted.models}
    return TrackedRun(
        rev=content.key,
        name=content.name,
        time=content.start,
        note=note,
        tags=content.tags | fitted.tags,
        params=params,
        points=sorted(fitted.points, key=lambda point: point.step),
        inputs=datasets | models,
        artifacts=fitted.artifacts,
    )


def _param(value: Any, text: str) -> bool | int | float | str:
    """Return a param's value where every tracker takes it as it is, else its text."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) <= LARGEST_INTEGER:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    return text
