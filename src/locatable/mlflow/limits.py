"""What MLflow can hold, and how all else is kept beside it. Pure; knows no MLflow."""

import json
import math
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

from ..model import json_text
from ..results.outputs import number
from .content import Content, Dataset, Model
from .metrics import slashed
from .naming import NameRules, Names, Rule, is_storable, storable

LONGEST_PARAM = 6000
LONGEST_TAG = 8000
LONGEST_DATASET_DIGEST = 36

KEPT_FILE = "mirror/kept.json"
KEPT_TAG = "mirror.kept"
# The name of a model in dvc.yaml, where MLflow has another one.
NAME_TAG = "dvc.name"


@dataclass(frozen=True)
class MetricPoint:
    """A value as MLflow takes it; `time` in milliseconds since 1970."""

    key: str
    value: float
    time: int
    step: int


@dataclass
class FittedContent:
    """The part of a content that has limits, as MLflow can hold it.

    Attributes:
        params: text by key.
        points: every value of every metric and series.
        datasets: the source data.
        models: the models; one with another name has its own in a tag.
        artifacts: content by path; what had to be changed is in `mirror/kept.json`, as Git has it.
        kept: what had to be changed, by its name in Git.
    """

    params: dict[str, str] = field(default_factory=dict)
    points: list[MetricPoint] = field(default_factory=list)
    datasets: list[Dataset] = field(default_factory=list)
    models: list[Model] = field(default_factory=list)
    artifacts: dict[str, bytes] = field(default_factory=dict)
    kept: dict[str, dict[str, Any]] = field(default_factory=dict)

    def keep(self, kind: str, name: str, value: Any) -> None:
        """Keep something as it is in Git."""
        self.kept.setdefault(kind, {})[name] = value

    @property
    def points_by_key(self) -> dict[str, list[MetricPoint]]:
        """The points of each metric and series."""
        found: dict[str, list[MetricPoint]] = {}
        for point in self.points:
            found.setdefault(point.key, []).append(point)
        return found

    @property
    def tags(self) -> dict[str, str]:
        """A tag that says that something had to be changed."""
        count = sum(len(values) for values in self.kept.values())
        return {KEPT_TAG: f"{count} as they are in Git: see {KEPT_FILE}"} if count else {}


def fit(content: Content, rules: NameRules) -> FittedContent:
    """Return params, metrics, series, datasets, models and artifacts as MLflow can hold them."""
    fitted = FittedContent()
    fitted.kept |= {"tags": dict(content.changed_tags)} if content.changed_tags else {}
    _fit_params(content, rules.param, fitted)
    _fit_metrics(content, rules.metric, fitted)
    _fit_datasets(content, rules.dataset, fitted)
    _fit_models(content, rules.model, fitted)
    _fit_artifacts(content, rules.artifact, fitted)
    if fitted.tags:
        text = json_text(fitted.kept, indent=1, ensure_ascii=False)
        # As JSON writes bytes of a name that are not UTF-8.
        fitted.artifacts[KEPT_FILE] = text.encode(errors="backslashreplace")
    return fitted


def fit_tags(content: Content, rule: Rule) -> None:
    """Change a content's tags to what MLflow can hold; the originals go to `changed_tags`.

    Apart from `fit`: what else is decided by a run's tags has to find those that MLflow has.
    """
    keys = Names(rule, content.tags)
    fitted = {}
    for name, value in content.tags.items():
        text = storable(value)
        if len(text) > LONGEST_TAG:
            text = text[: LONGEST_TAG - 1] + "…"
        if keys[name] != name or text != value:
            content.changed_tags[name] = value
        fitted[keys[name]] = text
    content.tags = fitted
    if content.description:
        described = tuple(keys[name] for name in content.description.tags)
        content.description = replace(content.description, tags=described)


def _fit_params(content: Content, rule: Rule, fitted: FittedContent) -> None:
    keys = Names(rule, content.params)
    for name, value in content.params.items():
        text = storable(value if isinstance(value, str) else json.dumps(value, default=str))
        if keys[name] != name or len(text) > LONGEST_PARAM or not is_storable(str(value)):
            fitted.keep("params", name, value)
        if len(text) > LONGEST_PARAM:
            text = text[: LONGEST_PARAM - 1] + "…"
        fitted.params[keys[name]] = text


def _fit_metrics(content: Content, rule: Rule, fitted: FittedContent) -> None:
    keys = Names(rule, [*content.metrics, *content.series])
    for name, value in content.metrics.items():
        if slashed(name) != name and slashed(name) in content.metrics:
            fitted.keep("metrics of one name", slashed(name), [content.metrics[slashed(name)], value])
        _fit_point(fitted, keys, name, value, content.start, 0)
    for name, points in content.series.items():
        for point in points:
            _fit_point(fitted, keys, name, point.value, point.time, point.step)


def _fit_point(fitted: FittedContent, keys: Names, name: str, value: Any, time: int, step: int) -> None:
    key = keys[name]
    real = number(value)
    is_rounded = isinstance(value, int) and real != value
    if key != name or real is None or math.isinf(real) or is_rounded:
        fitted.kept.setdefault("metrics", {}).setdefault(name, []).append([step, value])
    if real is not None:
        fitted.points.append(MetricPoint(key, real, time, step))


def _fit_datasets(content: Content, rule: Rule, fitted: FittedContent) -> None:
    names = Names(rule, [dataset.name for dataset in content.datasets])
    for dataset in content.datasets:
        name, digest = names[dataset.name], dataset.digest
        if name != dataset.name:
            fitted.keep("datasets", dataset.name, name)
        if len(digest) > LONGEST_DATASET_DIGEST:
            digest = sha256(digest.encode()).hexdigest()[:LONGEST_DATASET_DIGEST]
        fitted.datasets.append(replace(dataset, name=name, digest=digest))


def _fit_models(content: Content, rule: Rule, fitted: FittedContent) -> None:
    names = Names(rule, [model.name for model in content.models])
    for model in content.models:
        name, tags = names[model.name], model.tags
        if name != model.name:
            fitted.keep("models", model.name, name)
            tags = {**tags, NAME_TAG: model.name}
        fitted.models.append(replace(model, name=name, tags=_storable_tags(tags)))


def _storable_tags(tags: dict[str, str]) -> dict[str, str]:
    return {key: storable(value)[:LONGEST_TAG] for key, value in tags.items()}


def _fit_artifacts(content: Content, rule: Rule, fitted: FittedContent) -> None:
    files = {path: file for path, file in content.artifacts.items() if file is not None}
    allowed = _artifact_paths(files, rule)
    for path, file in files.items():
        if allowed[path] != path:
            fitted.keep("artifacts", path, allowed[path])
        fitted.artifacts[allowed[path]] = file


def _artifact_paths(paths: Iterable[str], rule: Rule) -> dict[str, str]:
    """Return where each file goes: no two files or folders in a folder get the same name."""
    names: dict[str, list[str]] = {}
    for path in paths:
        for folder, name in _parts(path):
            names.setdefault(folder, []).append(name)
    by_folder = {folder: Names(rule, inside) for folder, inside in names.items()}
    allowed = {}
    for path in paths:
        allowed[path] = "/".join(by_folder[folder][name] for folder, name in _parts(path))
    return allowed


def _parts(path: str) -> Iterator[tuple[str, str]]:
    """Yield each folder of a path and the file, by the folder that it is in and its name."""
    folder = ""
    for name in path.split("/"):
        yield folder, name
        folder += f"{name}/"


def same_value(value: float, stored: float) -> bool:
    """Return whether a metric's value is the one that MLflow gives back: its databases have no infinities."""
    if math.isnan(value) or math.isnan(stored):
        return math.isnan(value) and math.isnan(stored)
    limit = sys.float_info.max
    return min(max(value, -limit), limit) == min(max(stored, -limit), limit)
