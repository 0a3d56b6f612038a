"""What MLflow and other trackers can hold, and how all else is kept beside it. Knows none of them.

A name that a store refuses becomes one that it takes: readable, and never the same for two of them.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

from ..model import json_text
from ..results.values import number
from . import content as tag
from .content import Content, Dataset, Description, Model, storable, tag_text

# Characters that MLflow takes.
LONGEST_PARAM = 6000
LONGEST_TAG = 8000
LONGEST_DATASET_DIGEST = 36

KEPT_FILE = "mirror/kept.json"
# The name of a model in dvc.yaml, where MLflow has another one.
NAME_TAG = "dvc.name"
# Digits of a name's hash, which tells it from others that would become the same.
DIGITS = 8
# A dot between names; one before a digit belongs to a number.
SEPARATOR = re.compile(r"\.(?=\D)")


def slashed(dotted: str) -> str:
    """Return a metric's name with slashes, by which MLflow groups, where DVC has dots."""
    return SEPARATOR.sub("/", dotted)


@dataclass(frozen=True)
class Rule:
    """Which names a store takes.

    Attributes:
        takes: whether it takes a name, of whatever length.
        longest: how long a name it takes.
        size: how long a name is; in characters by default.
        replace: what stands for a character that it does not take; `_` by default.
    """

    takes: Callable[[str], bool]
    longest: int
    size: Callable[[str], int] = len
    replace: Callable[[str], str] = field(default=lambda _: "_")

    def allows(self, name: str) -> bool:
        """Return whether a name can stay as it is."""
        return self.size(name) <= self.longest and self._holds(name)

    def rename(self, name: str, taken: Iterable[str]) -> str:
        """Return a name that can stay, and is none of those that are taken."""
        # What the store takes between two letters, it takes within a name.
        characters = []
        for each in name:
            characters.append(each if self._holds(f"a{each}a") else self.replace(each))
        readable = "".join(characters)
        if not self.takes(readable):
            # A name that would be a path to somewhere else.
            readable = re.sub(r"[/.]", "_", readable) or "_"
        if self.allows(readable) and readable not in taken:
            return readable
        digest = sha256(name.encode(errors="surrogatepass")).hexdigest()[:DIGITS]
        while self.size(readable) > self.longest - DIGITS - 1:
            readable = readable[:-1]
        return f"{readable} {digest}"

    def _holds(self, text: str) -> bool:
        return storable(text) == text and self.takes(text)


@dataclass(frozen=True)
class NameRules:
    """The rules of a store, by what is named."""

    param: Rule
    metric: Rule
    tag: Rule
    model: Rule
    dataset: Rule
    artifact: Rule


def fit_names(rule: Rule, names: Iterable[str]) -> dict[str, str]:
    """Return what each of the names of one kind in one run becomes, whatever their order."""
    all_names = set(names)
    fitted = {name: name for name in all_names if rule.allows(name)}
    taken = set(fitted)
    for name in sorted(all_names - taken):
        fitted[name] = rule.rename(name, taken)
        taken.add(fitted[name])
    return fitted


@dataclass(frozen=True)
class MetricPoint:
    """A value as MLflow takes it; `time` in milliseconds since 1970."""

    key: str
    value: float
    time: int
    step: int


@dataclass
class FittedContent:
    """A content as MLflow can hold it.

    Attributes:
        content: as it is in Git.
        tags: text by key, with those that tell what the mirror did and could not do.
        description: what the project's own script made of it, with the keys of these tags.
        params: text by key.
        points: every value of every metric and series.
        datasets: the source data.
        models: the models; one with another name has its own in a tag.
        artifacts: content by path; what had to be changed is in `mirror/kept.json`, as Git has it.
        kept: what had to be changed, by its kind and its name in Git.
    """

    content: Content
    tags: dict[str, str] = field(default_factory=dict)
    description: Description | None = None
    params: dict[str, str] = field(default_factory=dict)
    points: list[MetricPoint] = field(default_factory=list)
    datasets: list[Dataset] = field(default_factory=list)
    models: list[Model] = field(default_factory=list)
    artifacts: dict[str, bytes] = field(default_factory=dict)
    kept: dict[str, dict[str, Any]] = field(default_factory=dict)

    def keep(self, kind: str, name: str, value: Any) -> None:
        """Keep something as it is in Git."""
        self.kept.setdefault(kind, {})[name] = value


def fit(content: Content, rules: NameRules) -> FittedContent:
    """Return a content as a store with these rules can hold it."""
    fitted = FittedContent(content)
    _fit_tags(fitted, rules.tag)
    _fit_params(fitted, rules.param)
    _fit_metrics(fitted, rules.metric)
    _fit_datasets(fitted, rules.dataset)
    _fit_models(fitted, rules.model)
    _fit_artifacts(fitted, rules.artifact)
    count = sum(map(len, fitted.kept.values()))
    if count:
        fitted.tags[tag.KEPT] = f"{count} as they are in Git: see {KEPT_FILE}"
        text = json_text(fitted.kept, indent=1, ensure_ascii=False)
        # As JSON writes bytes of a name that are not UTF-8.
        fitted.artifacts[KEPT_FILE] = text.encode(errors="backslashreplace")
    return fitted


def _fit_tags(fitted: FittedContent, rule: Rule) -> None:
    content = fitted.content
    keys = fit_names(rule, content.tags)
    for name, value in content.tags.items():
        text = _cut(storable(value), LONGEST_TAG)
        if keys[name] != name or text != value:
            fitted.keep("tags", name, value)
        fitted.tags[keys[name]] = text
    if content.lacking:
        fitted.tags[tag.MISSING] = content.missing_text
    if content.unread:
        reasons = [f"{path}: {' '.join(reason.split())}" for path, reason in content.unread.items()]
        fitted.tags[tag.UNREAD] = tag_text(f"among the artifacts only: {'; '.join(reasons)}")
    if content.has_models:
        fitted.tags[tag.MODELS] = "copied"
    if content.description:
        described = [keys.get(name, name) for name in content.description.tags]
        fitted.description = replace(content.description, tags=tuple(described))
        fitted.tags |= fitted.description.to_tags()


def _fit_params(fitted: FittedContent, rule: Rule) -> None:
    params = fitted.content.params
    keys = fit_names(rule, params)
    for name, value in params.items():
        text = storable(value if isinstance(value, str) else json.dumps(value, default=str))
        is_whole = len(text) <= LONGEST_PARAM and storable(str(value)) == str(value)
        if keys[name] != name or not is_whole:
            fitted.keep("params", name, value)
        fitted.params[keys[name]] = _cut(text, LONGEST_PARAM)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _fit_metrics(fitted: FittedContent, rule: Rule) -> None:
    content = fitted.content
    metrics = content.metrics
    keys = fit_names(rule, [*metrics, *content.series])
    for name, value in metrics.items():
        if slashed(name) != name and slashed(name) in metrics:
            fitted.keep("metrics of one name", slashed(name), [metrics[slashed(name)], value])
        _fit_point(fitted, keys, name, value, content.start, 0)
    for name, points in content.series.items():
        for point in points:
            _fit_point(fitted, keys, name, point.value, point.time, point.step)


def _fit_point(
    fitted: FittedContent, keys: dict[str, str], name: str, value: Any, time: int, step: int
) -> None:
    key = keys[name]
    real = number(value)
    is_rounded = isinstance(value, int) and real != value
    if key != name or real is None or math.isinf(real) or is_rounded:
        fitted.kept.setdefault("metrics", {}).setdefault(name, []).append([step, value])
    if real is not None:
        fitted.points.append(MetricPoint(key, real, time, step))


def _fit_datasets(fitted: FittedContent, rule: Rule) -> None:
    datasets = fitted.content.datasets
    names = fit_names(rule, [dataset.name for dataset in datasets])
    for dataset in datasets:
        name, digest = names[dataset.name], dataset.digest
        if name != dataset.name:
            fitted.keep("datasets", dataset.name, name)
        if len(digest) > LONGEST_DATASET_DIGEST:
            digest = sha256(digest.encode()).hexdigest()[:LONGEST_DATASET_DIGEST]
        fitted.datasets.append(replace(dataset, name=name, digest=digest))


def _fit_models(fitted: FittedContent, rule: Rule) -> None:
    models = fitted.content.models
    names = fit_names(rule, [model.name for model in models])
    for model in models:
        name = names[model.name]
        tags = {key: storable(value)[:LONGEST_TAG] for key, value in model.tags.items()}
        if name != model.name:
            fitted.keep("models", model.name, name)
            tags[NAME_TAG] = storable(model.name)[:LONGEST_TAG]
        fitted.models.append(replace(model, name=name, tags=tags))


def _fit_artifacts(fitted: FittedContent, rule: Rule) -> None:
    files = {path: file for path, file in fitted.content.artifacts.items() if file is not None}
    # No two files or folders in a folder get the same name.
    inside: dict[str, set[str]] = {}
    for path in files:
        for folder, name in _steps(path):
            inside.setdefault(folder, set()).add(name)
    fitting = {folder: fit_names(rule, names) for folder, names in inside.items()}
    for path, file in files.items():
        names = [fitting[folder][name] for folder, name in _steps(path)]
        place = "/".join(names)
        if place != path:
            fitted.keep("artifacts", path, place)
        fitted.artifacts[place] = file


def _steps(path: str) -> Iterator[tuple[str, str]]:
    """Yield each folder of a path and the file, by the folder that it is in and its name."""
    folder = ""
    for name in path.split("/"):
        yield folder, name
        folder += f"{name}/"
