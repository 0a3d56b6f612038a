"""search.yaml: what a search may change, how it is judged, and by which sampler; checked before it starts.

    settings = load(Path("search.yaml"))
    check(settings, read_project(root))

Each fault ends in one line: the key, what is wrong there, and what is allowed.
"""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from optuna.distributions import BaseDistribution, check_distribution_compatibility
from pydantic import Field, ValidationError, model_validator
from pydantic_core import ErrorDetails
from yaml import YAMLError

from ..clones.project_setup import ProjectSetup
from ..errors import SettingsError
from ..model import Key
from ..repository import parsing
from .known_keys import known_keys
from .space import Param, Section, in_order

Direction = Literal["minimize", "maximize"]
# Pydantic's words for two kinds of faults are for programmers.
PLAIN_WORDS = {"extra_forbidden": "unknown key", "missing": "missing; add this key"}


class Resources(Section):
    """What a trial takes of a Ray cluster."""

    cpu: Annotated[float, Field(gt=0)] = 1
    gpu: Annotated[float, Field(ge=0)] = 0


class SearchSettings(Section):
    """All of search.yaml; see the comments there."""

    study: str
    metric: str | list[str]
    direction: Direction | list[Direction]
    trials: Annotated[int, Field(ge=1)] = 20
    sampler: dict[str, Any] = Field(default={"name": "TPESampler"})
    pruner: dict[str, Any] | None = None
    series: str | None = None
    resources: Resources = Resources()
    space: Annotated[dict[str, Param], Field(min_length=1)]

    @property
    def metrics(self) -> list[str]:
        """The objectives, each as file:dotted.key."""
        return [self.metric] if isinstance(self.metric, str) else self.metric

    @property
    def directions(self) -> list[Direction]:
        """The direction of each objective."""
        return self.direction if isinstance(self.direction, list) else [self.direction]

    def refuse_other_objectives(self, metrics: Sequence[str], directions: Sequence[str]) -> None:
        """Raise SettingsError where the study was begun with these, and they are not those of this file."""
        if directions != self.directions:
            raise self._other_search("direction", f"with {', '.join(directions)}")
        if metrics != self.metrics:
            raise self._other_search("metric", f"with {', '.join(metrics)}")

    def refuse_other_space(self, distributions: Mapping[str, BaseDistribution]) -> None:
        """Raise SettingsError where a trial of the study cannot be beside those of this file."""
        for key in self.space.keys() & distributions.keys():
            try:
                check_distribution_compatibility(distributions[key], self.space[key].distribution())
            except ValueError:
                different = "with another type, scale or choices"
                raise self._other_search(f"space: {key}", different) from None

    def _other_search(self, key: str, begun: str) -> SettingsError:
        return SettingsError(
            f"search.yaml: {key}: study {self.study} was begun {begun}; give the new one a name of its own"
        )

    @model_validator(mode="after")
    def _is_coherent(self) -> "SearchSettings":
        if not re.fullmatch(r"\w[\w-]*", self.study, re.ASCII):
            raise ValueError(f"study: {self.study!r}: only letters, digits, - and _ can be in a name")
        if not self.metrics:
            raise ValueError("metric: needs one at least")
        if len(self.metrics) != len(self.directions):
            raise ValueError("direction: needs as many entries as metric")
        if self.pruner and (len(self.metrics) > 1 or not self.series):
            raise ValueError("pruner: needs a `series` to watch, and a single metric")
        in_order(self.space)
        return self


def load(path: Path, study: str | None = None) -> SearchSettings:
    """Read search.yaml and validate it by itself.

    Args:
        path: of the file.
        study: a name instead of the one in the file.

    Raises:
        SettingsError: what is wrong, one line a fault.
    """
    name = path.name
    try:
        # As in params files, 1e-5 is a number here.
        values = parsing.load_yaml(path.read_text(encoding="utf-8"))
        if study and isinstance(values, dict):
            values = {**values, "study": study}
        return SearchSettings.model_validate(values)
    except FileNotFoundError:
        raise SettingsError(f"{name}: not found in {path.parent}") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"{name}: not UTF-8: {error.reason} at byte {error.start}") from None
    except YAMLError as error:
        raise SettingsError(f"{name}: not valid YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        raise SettingsError("\n".join(f"{name}: {line}" for line in _faults(error.errors()))) from None


def _faults(errors: Iterable[ErrorDetails]) -> list[str]:
    """A line for each place: where a value could be of several types, the first fault says enough."""
    lines: dict[str, str] = {}
    for error in errors:
        place = _place(error["loc"])
        words = PLAIN_WORDS.get(error["type"], error["msg"].removeprefix("Value error, "))
        lines.setdefault(place, f"{place}: {words}" if place else words)
    return list(lines.values())


def _place(location: tuple[int | str, ...]) -> str:
    parts = [str(part) for part in location]
    if parts[:1] == ["space"]:
        # The third part only names the type that was tried.
        return ".".join(parts[:2] + parts[3:])
    return ".".join(parts[:1])


def check(settings: SearchSettings, project: ProjectSetup) -> None:
    """Compare search.yaml with the project.

    Raises:
        SettingsError: it names a param or a file that does not exist.
    """
    known = known_keys(settings.space, project)
    for name, param in settings.space.items():
        for key in (name, *param.when):
            if key not in known:
                near = difflib.get_close_matches(key, known, 1)
                guess = f"; is it {near[0]}?" if near else ""
                raise SettingsError(f"search.yaml: space: {key}: no such param{guess}")
    for metric in settings.metrics:
        if not re.fullmatch(".+:.+", metric):
            raise SettingsError(f"search.yaml: metric: {metric}: write it as file:dotted.key")
        file = Key.parse(metric).file
        if file in project.frozen_outputs:
            stage = project.frozen_outputs[file]
            raise SettingsError(
                f"search.yaml: metric: {file}: {stage}, which writes it, is frozen: dvc unfreeze {stage}"
            )
        if file not in project.metric_files and _is_cached(file, project.outputs):
            raise SettingsError(
                f"search.yaml: metric: {file}: declare it with `cache: false`, so that Git keeps it"
            )
    if settings.series and _is_cached(settings.series, project.outputs):
        # DVC would put the baseline's there before the trial's begins.
        raise SettingsError(f"search.yaml: series: {settings.series}: declare it with `cache: false`")


def _is_cached(path: str, outputs: Mapping[str, bool]) -> bool:
    """Whether DVC, not Git, keeps a file that a stage writes."""
    for out, cached in outputs.items():
        if PurePosixPath(path).is_relative_to(out):
            return cached
    raise SettingsError(f"search.yaml: {path}: no stage writes this file")
