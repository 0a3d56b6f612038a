"""What MLflow can hold, and how all else is kept beside it. Pure; knows no MLflow."""

import json
import math
import posixpath
import re
import sys
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from .content import Content
from .values import number

LONGEST_KEY = 250
LONGEST_PARAM = 6000
LONGEST_DATASET_NAME = 500
LONGEST_DATASET_DIGEST = 36

KEPT_FILE = "mirror/kept.json"
KEPT_TAG = "mirror.kept"

NOT_IN_KEYS = re.compile(r"[^\w.\- :/]")
# MLflow's HTTP client takes these characters for parts of an address.
NOT_IN_PATHS = re.compile(r"[#?%\x00-\x1f]")


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
        artifacts: content by path; what had to be changed is in `mirror/kept.json`, as Git has it.
        kept: what had to be changed, by its name in Git.
    """

    params: dict[str, str] = field(default_factory=dict)
    points: list[MetricPoint] = field(default_factory=list)
    artifacts: dict[str, bytes] = field(default_factory=dict)
    kept: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {"params": {}, "metrics": {}, "artifacts": {}}
    )

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


def fit(content: Content) -> FittedContent:
    """Params, metrics, series and artifacts as MLflow can hold them."""
    fitted = FittedContent()
    _fit_params(content, fitted)
    _fit_metrics(content, fitted)
    _fit_artifacts(content, fitted)
    if fitted.tags:
        text = json.dumps(fitted.kept, indent=1, ensure_ascii=False, default=str)
        fitted.artifacts[KEPT_FILE] = text.encode()
    return fitted


def _fit_params(content: Content, fitted: FittedContent) -> None:
    keys = Keys()
    for name, value in content.params.items():
        key = keys.fit(name)
        text = value if isinstance(value, str) else json.dumps(value, default=str)
        if key != name or len(text) > LONGEST_PARAM:
            fitted.kept["params"][name] = value
        if len(text) > LONGEST_PARAM:
            text = text[: LONGEST_PARAM - 1] + "…"
        fitted.params[key] = text


def _fit_metrics(content: Content, fitted: FittedContent) -> None:
    keys = Keys()
    for name, value in content.metrics.items():
        _fit_point(fitted, keys, name, value, content.start, 0)
    for name, points in content.series.items():
        for point in points:
            _fit_point(fitted, keys, name, point.value, point.time, point.step)


def _fit_point(fitted: FittedContent, keys: "Keys", name: str, value: Any, time: int, step: int) -> None:
    key = keys.fit(name)
    real = number(value)
    is_rounded = isinstance(value, int) and real != value
    if key != name or real is None or math.isinf(real) or is_rounded:
        fitted.kept["metrics"].setdefault(name, []).append([step, value])
    if real is not None:
        fitted.points.append(MetricPoint(key, real, time, step))


def _fit_artifacts(content: Content, fitted: FittedContent) -> None:
    for path, file in content.artifacts.items():
        if file is None:
            continue
        allowed = NOT_IN_PATHS.sub(lambda found: f"~{ord(found[0]):02x}", path)
        if allowed != path:
            fitted.kept["artifacts"][path] = allowed
        fitted.artifacts[allowed] = file


class Keys:
    """Names as MLflow allows them: the same one for the same name, and another one for every other name."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def fit(self, name: str) -> str:
        """The key of a name."""
        key = _allowed_key(name)
        if self._names.setdefault(key, name) != name:
            key = f"{key[: LONGEST_KEY - 9]} {sha256(name.encode()).hexdigest()[:8]}"
            self._names[key] = name
        return key


def _allowed_key(name: str) -> str:
    key = NOT_IN_KEYS.sub("_", name)
    # MLflow takes a key for a path, which has to stay inside of the run.
    if posixpath.normpath(key) != key or key.startswith(("/", ".")):
        key = re.sub(r"[/.]", "_", key) or "_"
    if len(key) > LONGEST_KEY:
        return key[: LONGEST_KEY - 9]
    return key


def same_value(value: float, stored: float) -> bool:
    """Whether a metric's value is the one that MLflow gives back: its databases have no infinities."""
    if math.isnan(value) or math.isnan(stored):
        return math.isnan(value) and math.isnan(stored)
    limit = sys.float_info.max
    return min(max(value, -limit), limit) == min(max(stored, -limit), limit)
