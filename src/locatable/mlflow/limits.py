"""Fits the content of a run to the limits of MLflow or another tracker. Does not use any of them.

A name that a store refuses is replaced by a readable one that it accepts, and no two names become the same.
Everything that had to be changed is kept, as it is in Git, in an artifact of the run.
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

# The most characters that MLflow accepts.
LONGEST_PARAM = 6000
LONGEST_TAG = 8000
LONGEST_DATASET_DIGEST = 36

KEPT_FILE = "mirror/kept.json"
# The tag for a model's name in dvc.yaml, if MLflow does not accept this name.
NAME_TAG = "dvc.name"
# Digits of the hash that keeps two names distinct if they would become the same.
DIGITS = 8
# A dot between names. A dot before a digit belongs to a number.
SEPARATOR = re.compile(r"\.(?=\D)")


def slashed(dotted: str) -> str:
    """Replace the dots of a metric's name in DVC by slashes, because MLflow groups metrics by slashes."""
    return SEPARATOR.sub("/", dotted)


@dataclass(frozen=True)
class Rule:
    """The rule by which a store accepts names of one kind.

    Attributes:
        is_valid: returns whether the store accepts a name, without regard to its length.
        longest: the largest size of a name.
        size: returns the size of a name; by default, the number of characters.
        replace: returns the replacement for a character that the store refuses; by default, `_`.
    """

    is_valid: Callable[[str], bool]
    longest: int
    size: Callable[[str], int] = len
    replace: Callable[[str], str] = field(default=lambda _: "_")

    def allows(self, name: str) -> bool:
        """Return whether the store accepts a name as it is."""
        return self.size(name) <= self.longest and self._is_storable(name)

    def rename(self, name: str, taken: Iterable[str]) -> str:
        """Return a similar name that the store accepts and that is not taken."""
        # The rule is for whole names, so each character is tried between two letters.
        characters = []
        for character in name:
            is_accepted = self._is_storable(f"a{character}a")
            characters.append(character if is_accepted else self.replace(character))
        readable = "".join(characters)
        if not self.is_valid(readable):
            # Each character is accepted, but the name is empty or a path that leads out of its folder.
            readable = re.sub(r"[/.]", "_", readable) or "_"
        if self.allows(readable) and readable not in taken:
            return readable
        digest = sha256(name.encode(errors="surrogatepass")).hexdigest()[:DIGITS]
        while self.size(readable) > self.longest - DIGITS - 1:
            readable = readable[:-1]
        return f"{readable} {digest}"

    def _is_storable(self, text: str) -> bool:
        return storable(text) == text and self.is_valid(text)


@dataclass(frozen=True)
class NameRules:
    """The rules of a store, one for each kind of name."""

    param: Rule
    metric: Rule
    tag: Rule
    model: Rule
    dataset: Rule
    artifact: Rule


def fit_names(rule: Rule, names: Iterable[str]) -> dict[str, str]:
    """Return the accepted name for each name of one kind in a run, whatever the order of the names."""
    all_names = set(names)
    fitted = {name: name for name in all_names if rule.allows(name)}
    taken = set(fitted)
    for name in sorted(all_names - taken):
        fitted[name] = rule.rename(name, taken)
        taken.add(fitted[name])
    return fitted


@dataclass(frozen=True)
class MetricPoint:
    """A value of a metric as MLflow logs it; `time` is in milliseconds since 1970."""

    key: str
    value: float
    time: int
    step: int


@dataclass
class FittedContent:
    """The content of a run as MLflow can hold it.

    Attributes:
        content: the content as it is in Git.
        tags: texts by key, including the mirror's tags about what it could and could not write.
        description: the changes that the project's own script made, with the accepted keys of tags.
        params: texts by key.
        points: every value of every metric and series.
        datasets: the source data.
        models: the models. A model whose name had to be changed has the original name in a tag.
        artifacts: contents by path, including `mirror/kept.json` if anything had to be changed.
        kept: the original of everything that had to be changed, by its kind and its name in Git.
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
        """Keep the original of something that had to be changed."""
        self.kept.setdefault(kind, {})[name] = value


def fit(content: Content, rules: NameRules) -> FittedContent:
    """Return the content as a store with these rules can hold it."""
    fitted = FittedContent(content)
    _fit_tags(fitted, rules.tag)
    _fit_params(fitted, rules.param)
    _fit_metrics(fitted, rules.metric)
    _fit_datasets(fitted, rules.dataset)
    _fit_models(fitted, rules.model)
    _fit_artifacts(fitted, rules.artifact)
    number_of_kept = sum(map(len, fitted.kept.values()))
    if number_of_kept:
        fitted.tags[tag.KEPT] = f"{number_of_kept} as they are in Git: see {KEPT_FILE}"
        text = json_text(fitted.kept, indent=1, ensure_ascii=False)
        # Bytes of a name that are not UTF-8 become the same escape sequences that JSON uses.
        fitted.artifacts[KEPT_FILE] = text.encode(errors="backslashreplace")
    return fitted


def _fit_tags(fitted: FittedContent, rule: Rule) -> None:
    """Add the tags: those of the content, and those in which the mirror says what it could not write."""
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
    """Add the params as texts: a value that is not a text becomes JSON, and a long text is cut."""
    params = fitted.content.params
    keys = fit_names(rule, params)
    for name, value in params.items():
        text = storable(value if isinstance(value, str) else json.dumps(value, default=str))
        is_unchanged = len(text) <= LONGEST_PARAM and storable(str(value)) == str(value)
        if keys[name] != name or not is_unchanged:
            fitted.keep("params", name, value)
        fitted.params[keys[name]] = _cut(text, LONGEST_PARAM)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _fit_metrics(fitted: FittedContent, rule: Rule) -> None:
    """Add the points of metrics and series."""
    content = fitted.content
    metrics = content.metrics
    keys = fit_names(rule, [*metrics, *content.series])
    for name, value in metrics.items():
        # The names `x.y` and `x/y` would be the same if both had slashes, so their values are kept together.
        if slashed(name) != name and slashed(name) in metrics:
            fitted.keep("metrics of one name", slashed(name), [metrics[slashed(name)], value])
        _fit_point(fitted, keys, name, value, content.start, 0)
    for name, points in content.series.items():
        for point in points:
            _fit_point(fitted, keys, name, point.value, point.time, point.step)


def _fit_point(
    fitted: FittedContent, keys: dict[str, str], name: str, value: Any, time: int, step: int
) -> None:
    """Add a point as a floating-point number; a value that is not a number is kept and not added."""
    key = keys[name]
    real = number(value)
    is_rounded = isinstance(value, int) and real != value
    if key != name or real is None or math.isinf(real) or is_rounded:
        fitted.kept.setdefault("metrics", {}).setdefault(name, []).append([step, value])
    if real is not None:
        fitted.points.append(MetricPoint(key, real, time, step))


def _fit_datasets(fitted: FittedContent, rule: Rule) -> None:
    """Add the source data; a long digest is replaced by a digest of itself."""
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
    """Add the models; if the name of a model changes, a tag has its name in dvc.yaml."""
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
    """Add the artifacts. The names in one folder are fitted together, so that no two become the same."""
    files = {path: file for path, file in fitted.content.artifacts.items() if file is not None}
    names_by_folder: dict[str, set[str]] = {}
    for path in files:
        for folder, name in _path_parts(path):
            names_by_folder.setdefault(folder, set()).add(name)
    fitted_names = {folder: fit_names(rule, names) for folder, names in names_by_folder.items()}
    for path, file in files.items():
        fitted_path = "/".join(fitted_names[folder][name] for folder, name in _path_parts(path))
        if fitted_path != path:
            fitted.keep("artifacts", path, fitted_path)
        fitted.artifacts[fitted_path] = file


def _path_parts(path: str) -> Iterator[tuple[str, str]]:
    """Yield each part of a path as two texts: the folder that contains it, and its name."""
    folder = ""
    for name in path.split("/"):
        yield folder, name
        folder += f"{name}/"
