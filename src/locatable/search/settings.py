"""search.yaml: which params a search may change, how it is judged, and by which sampler.

    settings = load(Path("search.yaml"))
    check(settings, read_project(root))

Each fault ends in one line: the key, what is wrong there, and what is allowed.
"""

import difflib
import json
import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal, Self

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    check_distribution_compatibility,
)
from optuna.trial import Trial
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from yaml import YAMLError

from ..clones.trial_clone import ProjectSetup
from ..errors import SettingsError, joined_lines
from ..model import PARAMS_FILE, Key, flatten, holder
from ..repository import parsing
from ..repository.parsing import TooLargeError

Direction = Literal["minimize", "maximize"]
# These draw a point by its number, or count in the study which are left: another seed is another order.
SEED_MUST_STAY = (optuna.samplers.GridSampler, optuna.samplers.QMCSampler)
# Prefix of the path of a class in OptunaHub's registry: `optunahub:PACKAGE/Class`.
HUB = "optunahub:"
# Pydantic's words for two kinds of faults are for programmers.
PLAIN_WORDS = {"extra_forbidden": "unknown key", "missing": "missing; add this key"}


class Section(BaseModel):
    """A part of search.yaml, without unknown keys or silent conversion."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Param(Section, ABC):
    """A param that a search may choose; `when` has the values of others without which it has no effect."""

    when: dict[str, Any] = {}

    @abstractmethod
    def distribution(self) -> BaseDistribution:
        """Return the range as Optuna knows it; raises ValueError where it is impossible."""

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        self.distribution()
        return self


class Float(_Param):
    """A real number in [low, high]."""

    type: Literal["float"]
    low: float
    high: float
    log: bool = False
    step: float | None = None

    def distribution(self) -> BaseDistribution:
        """Return the range as Optuna knows it."""
        return FloatDistribution(self.low, self.high, log=self.log, step=self.step)

    def suggest(self, trial: Trial, key: str) -> float:
        """Let the sampler choose a value."""
        return trial.suggest_float(key, self.low, self.high, log=self.log, step=self.step)

    def to_optuna(self, value: Any) -> float:
        """Return Optuna's name of a value of a params file."""
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        raise ValueError(f"{value!r} is no number")


class Int(_Param):
    """A whole number in [low, high]."""

    type: Literal["int"]
    low: int
    high: int
    log: bool = False
    step: int = 1

    def distribution(self) -> BaseDistribution:
        """Return the range as Optuna knows it."""
        return IntDistribution(self.low, self.high, log=self.log, step=self.step)

    def suggest(self, trial: Trial, key: str) -> int:
        """Let the sampler choose a value."""
        return int(trial.suggest_int(key, self.low, self.high, log=self.log, step=self.step))

    def to_optuna(self, value: Any) -> int:
        """Return Optuna's name of a value of a params file."""
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        raise ValueError(f"{value!r} is no whole number")


class Categorical(_Param):
    """One of some values, of any kind that YAML knows."""

    type: Literal["categorical"]
    choices: list[Any] = Field(min_length=1)

    def distribution(self) -> BaseDistribution:
        """Return the range as Optuna knows it."""
        labels: list[Any] = []
        for choice, label in zip(self.choices, self._labels(), strict=True):
            if label in labels:
                raise ValueError(f"choices: Optuna cannot tell {choice!r} from another choice")
            labels.append(label)
        return CategoricalDistribution(labels)

    def suggest(self, trial: Trial, key: str) -> Any:
        """Let the sampler choose a value."""
        labels = self._labels()
        return self.choices[labels.index(trial.suggest_categorical(key, labels))]

    def to_optuna(self, value: Any) -> Any:
        """Return Optuna's name of a value of a params file."""
        # As text, since 1, 1.0 and true are equal in Python.
        texts = [json.dumps(choice) for choice in self.choices]
        return self._labels()[texts.index(json.dumps(value))]

    def _labels(self) -> list[Any]:
        """Return the choices with lists and mappings as JSON, since storages keep only plain values."""
        labels = []
        for choice in self.choices:
            labels.append(json.dumps(choice) if isinstance(choice, list | dict) else choice)
        return labels


Param = Annotated[Float | Int | Categorical, Field(discriminator="type")]
Space = Mapping[str, Float | Int | Categorical]


def in_order(space: Space) -> list[str]:
    """Return the keys of a space, each after those that its `when` looks at.

    Raises:
        ValueError: they look at each other in a circle.
    """
    needed = {key: sorted(space.keys() & param.when.keys()) for key, param in space.items()}
    try:
        return list(TopologicalSorter(needed).static_order())
    except CycleError as error:
        raise ValueError(f"space: `when` goes in a circle: {' → '.join(error.args[1])}") from None


def active_values(
    space: Space, choose: Callable[[str], Any], read_fixed: Callable[[str], Any]
) -> dict[str, Any]:
    """Return the value of each key of a space that has an effect.

    Args:
        space: what is searched.
        choose: gives the value of a key; asked only where the key has an effect.
        read_fixed: gives the value of a key that is not searched.
    """
    chosen: dict[str, Any] = {}
    for key in in_order(space):
        if _has_effect(space[key], space, chosen, read_fixed):
            chosen[key] = choose(key)
    return chosen


def _has_effect(
    param: _Param, space: Space, chosen: Mapping[str, Any], read_fixed: Callable[[str], Any]
) -> bool:
    """Return true where all that a param depends on has the value, or one of the values, that it asks for."""
    for key, wanted in param.when.items():
        if key in space and key not in chosen:
            return False  # it has no effect itself
        value = chosen[key] if key in chosen else read_fixed(key)
        if value not in (wanted if isinstance(wanted, list) else [wanted]):
            return False
    return True


class Resources(Section):
    """The resources that a trial takes; on this machine, without a cluster, its GPUs alone count.

    Attributes:
        cpu: processors.
        gpu: GPUs, or the part of one that a trial shares with others.
        wait: for GPUs that are not there for all workers now, in place of refusing to begin.
    """

    cpu: Annotated[float, Field(gt=0)] = 1
    gpu: Annotated[float, Field(ge=0)] = 0
    wait: bool = False

    @model_validator(mode="after")
    def _can_be_taken(self) -> Self:
        if self.gpu > 1 and self.gpu != int(self.gpu):
            raise ValueError(f"gpu: {self.gpu:g} is neither a whole number of GPUs nor a part of one")
        return self


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
        return _fault(key, f"study {self.study} was begun {begun}; give the new one a name of its own")

    @model_validator(mode="after")
    def _is_coherent(self) -> Self:
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
    """Read search.yaml and validate it by itself; a `study` replaces the one that it names.

    Raises:
        SettingsError: what is wrong, one line a fault.
    """
    name = path.name
    try:
        # As in params files, 1e-5 is a number here.
        values = parsing.parse_yaml(path.read_text(encoding="utf-8"))
        if study and isinstance(values, dict):
            values["study"] = study
        return SearchSettings.model_validate(values)
    except FileNotFoundError:
        raise SettingsError(f"{name}: not found in {path.parent}") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"{name}: not UTF-8: {error.reason} at byte {error.start}") from None
    except TooLargeError as error:
        raise SettingsError(f"{name}: {error}") from None
    except YAMLError as error:
        raise SettingsError(f"{name}: not valid YAML: {joined_lines(error)}") from None
    except ValidationError as error:
        lines = [f"{name}: {line}" for line in _faults(error)]
        raise SettingsError("\n".join(lines)) from None


def _fault(place: str, said: str) -> SettingsError:
    """Return the error that says what is wrong at a place in search.yaml."""
    return SettingsError(f"search.yaml: {place}: {said}")


def _faults(error: ValidationError) -> list[str]:
    """Return a line for each place: where a value could be of several types, the first fault says enough."""
    lines: dict[str, str] = {}
    for fault in error.errors():
        parts = list(map(str, fault["loc"]))
        # In a space, the third part only names the type that was tried.
        place = ".".join(parts[:2] + parts[3:] if parts[:1] == ["space"] else parts[:1])
        words = PLAIN_WORDS.get(fault["type"], fault["msg"].removeprefix("Value error, "))
        lines.setdefault(place, f"{place}: {words}" if place else words)
    return list(lines.values())


def check(settings: SearchSettings, project: ProjectSetup) -> None:
    """Compare search.yaml with the project.

    Raises:
        SettingsError: it names a param or a file that does not exist, or that cannot be searched like this.
        ProjectError: Hydra does not compose what is to be chosen.
    """
    known = _known_keys(settings.space, project)
    for name, param in settings.space.items():
        for key in (name, *param.when):
            if key not in known:
                near = difflib.get_close_matches(key, sorted(known), 1)
                guess = f"; is it {near[0]}?" if near else ""
                raise _fault(f"space: {key}", f"no such param{guess}")
    for metric in settings.metrics:
        if not re.fullmatch(".+:.+", metric):
            raise _fault(f"metric: {metric}", "write it as file:dotted.key")
        file = Key.parse(metric).file
        if file in project.frozen_outputs:
            stage = project.frozen_outputs[file]
            raise _fault(f"metric: {file}", f"{stage}, which writes it, is frozen: dvc unfreeze {stage}")
        if file not in project.metric_files and _is_cached(file, project.outputs):
            raise _fault(f"metric: {file}", "declare it with `cache: false`, so that Git keeps it")
    if settings.series and _is_cached(settings.series, project.outputs):
        # DVC would put the baseline's there before the trial's begins.
        raise _fault(f"series: {settings.series}", "declare it with `cache: false`")


def _is_cached(path: str, outputs: Mapping[str, bool]) -> bool:
    """Return true where DVC, not Git, keeps a file that a stage writes."""
    place = holder(outputs, path)
    if place is None:
        raise _fault(path, "no stage writes this file")
    return outputs[place]


def _known_keys(space: Space, project: ProjectSetup) -> set[str]:
    """Return the keys that can be searched: of values, of sections around them, and Hydra's groups."""
    known = _keys_in(project.params_files)
    for name, param in space.items():
        for key in param.when:
            if key in project.groups and key not in space:
                place = f"space: {name}: when: {key}"
                raise _fault(place, "a group of Hydra's, which is not in this space")
        options = project.groups.get(name)
        if options is None or project.composition is None:
            continue
        if not isinstance(param, Categorical) or not all(choice in options for choice in param.choices):
            needed = f"it needs `type: categorical`, and `choices` among {', '.join(options)}"
            raise _fault(f"space: {name}", f"a group of Hydra's: {needed}")
        known.add(name)
        for choice in param.choices:
            # What is chosen of a group can have values that nothing else has.
            known |= _keys_in({PARAMS_FILE: project.composition.compose({name: choice})})
    return known


def _keys_in(params_files: Mapping[str, Any]) -> set[str]:
    """Return the keys of all values in some params files, and of the sections around them."""
    keys = set()
    for file, content in params_files.items():
        for dotted in flatten(content, lists=True):
            parts = dotted.split(".")
            for length in range(1, len(parts) + 1):
                keys.add(str(Key(file, ".".join(parts[:length]))))
    return keys


def build(section: str, spec: Mapping[str, Any], module: ModuleType, done: int = 0) -> Any:
    """Build a sampler or pruner from `{name: ..., argument: ...}`; an argument may be such a mapping itself.

    Args:
        section: where in search.yaml it stands.
        spec: arguments, and `name`: a class of `module`, the import path of any class, or, of OptunaHub's
            registry, `optunahub:PACKAGE/Class`.
        module: optuna.samplers or optuna.pruners.
        done: trials there are already: a seed counts on from them, or the same would be drawn again.

    Raises:
        SettingsError: there is no such class, or it does not take these arguments.
    """
    arguments = {key: value for key, value in spec.items() if key != "name"}
    for key, value in arguments.items():
        if isinstance(value, Mapping) and "name" in value:
            arguments[key] = build(f"{section}.{key}", value, module, done)
    path = str(spec.get("name"))
    kind = _class(section, path, module)
    if isinstance(arguments.get("seed"), int) and kind not in SEED_MUST_STAY:
        arguments["seed"] += done
    with as_settings_error(section, path.rpartition(".")[2]), warnings.catch_warnings(action="ignore"):
        return kind(**arguments)


def _class(section: str, path: str, module: ModuleType) -> Any:
    if path.startswith(HUB):
        package, _, name = path.removeprefix(HUB).rpartition("/")
        place = f"{HUB}{package}"
        found = _module_of_hub(section, path, package)
    else:
        package, _, name = path.rpartition(".")
        with as_settings_error(section, path):
            found = import_module(package) if package else module
        place = found.__name__
    if not hasattr(found, name):
        raise _fault(section, f"no {name!r} in {place}")
    return getattr(found, name)


def _module_of_hub(section: str, path: str, package: str) -> Any:
    if not package:
        raise _fault(section, f"{path}: write it as {HUB}PACKAGE/Class")
    try:
        import optunahub
    except ImportError:
        raise _fault(section, f"{path}: OptunaHub is missing: pip install optunahub") from None
    # It may have to be downloaded, and import what is not installed.
    with as_settings_error(section, f"{HUB}{package}"):
        return optunahub.load_module(package)


@contextmanager
def as_settings_error(section: str, name: str) -> Iterator[None]:
    """Turn whatever a sampler or pruner raises into one line: any class can be named in search.yaml."""
    try:
        yield
    except Exception as error:
        reason = joined_lines(error) or type(error).__name__
        raise _fault(section, f"{name}: {reason}") from None
