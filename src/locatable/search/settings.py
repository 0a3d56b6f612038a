"""Reads and checks search.yaml: the params that a search may change, its objectives and its sampler.

    settings = load(Path("search.yaml"))
    check(settings, read_project(root))

Every fault is reported in one line: the key, what is wrong there, and what is allowed.
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
# These samplers pick a point by its number, or look up in the study which points are left. With a different
# seed, they would number the points in a different order.
SEED_MUST_STAY = (optuna.samplers.GridSampler, optuna.samplers.QMCSampler)
# The prefix of the path of a class in OptunaHub's registry: `optunahub:PACKAGE/Class`.
HUB = "optunahub:"
# Replacements for two of Pydantic's messages, which are written for programmers.
PLAIN_WORDS = {"extra_forbidden": "unknown key", "missing": "missing; add this key"}


class Section(BaseModel):
    """A section of search.yaml, in which unknown keys and implicit conversions are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Param(Section, ABC):
    """A param that a search may choose.

    Attributes:
        when: the values that other params must have for this one to have an effect, by key.
    """

    when: dict[str, Any] = {}

    @abstractmethod
    def distribution(self) -> BaseDistribution:
        """Return the range as an Optuna distribution.

        Raises:
            ValueError: the range is impossible.
        """

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
        """Return the range as an Optuna distribution."""
        return FloatDistribution(self.low, self.high, log=self.log, step=self.step)

    def suggest(self, trial: Trial, key: str) -> float:
        """Have the sampler choose a value for the param with this key."""
        return trial.suggest_float(key, self.low, self.high, log=self.log, step=self.step)

    def to_optuna(self, value: Any) -> float:
        """Return the value that Optuna stores for a value of a params file."""
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        raise ValueError(f"{value!r} is not a number")


class Int(_Param):
    """A whole number in [low, high]."""

    type: Literal["int"]
    low: int
    high: int
    log: bool = False
    step: int = 1

    def distribution(self) -> BaseDistribution:
        """Return the range as an Optuna distribution."""
        return IntDistribution(self.low, self.high, log=self.log, step=self.step)

    def suggest(self, trial: Trial, key: str) -> int:
        """Have the sampler choose a value for the param with this key."""
        return int(trial.suggest_int(key, self.low, self.high, log=self.log, step=self.step))

    def to_optuna(self, value: Any) -> int:
        """Return the value that Optuna stores for a value of a params file."""
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        raise ValueError(f"{value!r} is not a whole number")


class Categorical(_Param):
    """A choice between values, of any type that YAML has."""

    type: Literal["categorical"]
    choices: list[Any] = Field(min_length=1)

    def distribution(self) -> BaseDistribution:
        """Return the range as an Optuna distribution."""
        labels: list[Any] = []
        for choice, label in zip(self.choices, self._labels(), strict=True):
            if label in labels:
                raise ValueError(f"choices: Optuna cannot tell {choice!r} from another choice")
            labels.append(label)
        return CategoricalDistribution(labels)

    def suggest(self, trial: Trial, key: str) -> Any:
        """Have the sampler choose a value for the param with this key."""
        labels = self._labels()
        return self.choices[labels.index(trial.suggest_categorical(key, labels))]

    def to_optuna(self, value: Any) -> Any:
        """Return the value that Optuna stores for a value of a params file."""
        # Compare JSON texts, because 1, 1.0 and True are equal in Python.
        texts = [json.dumps(choice) for choice in self.choices]
        return self._labels()[texts.index(json.dumps(value))]

    def _labels(self) -> list[Any]:
        """Return the choices as Optuna stores them: lists and mappings as JSON, all others as they are."""
        labels = []
        for choice in self.choices:
            labels.append(json.dumps(choice) if isinstance(choice, list | dict) else choice)
        return labels


Param = Annotated[Float | Int | Categorical, Field(discriminator="type")]
Space = Mapping[str, Float | Int | Categorical]


def in_order(space: Space) -> list[str]:
    """Return the keys of a space, each after the keys that its `when` depends on.

    Raises:
        ValueError: the keys depend on each other in a circle.
    """
    needed = {key: sorted(space.keys() & param.when.keys()) for key, param in space.items()}
    try:
        return list(TopologicalSorter(needed).static_order())
    except CycleError as error:
        raise ValueError(f"space: `when` goes in a circle: {' → '.join(error.args[1])}") from None


def active_values(
    space: Space, choose: Callable[[str], Any], read_fixed: Callable[[str], Any]
) -> dict[str, Any]:
    """Return the value of each key of a space that has an effect, given the values of the others.

    Args:
        space: the params that are searched.
        choose: returns the value of a key of the space. It is called only if the key has an effect.
        read_fixed: returns the value of a key that is not searched.
    """
    chosen: dict[str, Any] = {}
    for key in in_order(space):
        if _has_effect(space[key], space, chosen, read_fixed):
            chosen[key] = choose(key)
    return chosen


def _has_effect(
    param: _Param, space: Space, chosen: Mapping[str, Any], read_fixed: Callable[[str], Any]
) -> bool:
    """Return whether every key in a param's `when` has the required value, or one of several."""
    for key, required in param.when.items():
        if key in space and key not in chosen:
            return False  # the other param has no effect, so this one has none either
        value = chosen[key] if key in chosen else read_fixed(key)
        if value not in (required if isinstance(required, list) else [required]):
            return False
    return True


class Resources(Section):
    """The resources that each trial needs. Without a cluster, only `gpu` and `wait` have an effect.

    Attributes:
        cpu: the number of CPUs.
        gpu: the number of GPUs, or the part of one that the trial shares with others.
        wait: if there are not enough free GPUs for all workers, begin with fewer and wait for more. Otherwise
            the search does not begin.
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
    """The content of search.yaml. The comments in the template's search.yaml explain the keys."""

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
        """The metrics of the objectives, each as file:dotted.key."""
        return [self.metric] if isinstance(self.metric, str) else self.metric

    @property
    def directions(self) -> list[Direction]:
        """The direction of each objective."""
        return self.direction if isinstance(self.direction, list) else [self.direction]

    def refuse_other_objectives(self, metrics: Sequence[str], directions: Sequence[str]) -> None:
        """Raise SettingsError if the objectives of an existing study differ from those in search.yaml."""
        if directions != self.directions:
            raise self._other_search("direction", f"with {', '.join(directions)}")
        if metrics != self.metrics:
            raise self._other_search("metric", f"with {', '.join(metrics)}")

    def refuse_other_space(self, distributions: Mapping[str, BaseDistribution]) -> None:
        """Raise SettingsError if the distributions of an earlier trial are incompatible with this space."""
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
            raise ValueError("metric: needs at least one")
        if len(self.metrics) != len(self.directions):
            raise ValueError("direction: needs as many entries as metric")
        if self.pruner and (len(self.metrics) > 1 or not self.series):
            raise ValueError("pruner: needs a `series` to watch, and a single metric")
        in_order(self.space)
        return self


def load(path: Path, study: str | None = None) -> SearchSettings:
    """Read search.yaml, and validate it without looking at the project.

    Args:
        path: the path of search.yaml.
        study: the name of the study, which replaces the one in the file; None to keep that.

    Raises:
        SettingsError: the file is missing or invalid; the message has a line for each fault.
    """
    name = path.name
    try:
        # This parser reads 1e-5 as a number, as in params files.
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


def _fault(place: str, problem: str) -> SettingsError:
    """Return the error for a problem at a place in search.yaml."""
    return SettingsError(f"search.yaml: {place}: {problem}")


def _faults(error: ValidationError) -> list[str]:
    """Return one line for each invalid place.

    If a value can have several types, Pydantic reports a fault for each of them, and only the first is kept.
    """
    lines: dict[str, str] = {}
    for fault in error.errors():
        parts = list(map(str, fault["loc"]))
        if parts[:1] == ["space"]:
            del parts[2:3]  # the type that Pydantic tried for a param, which is not a key
        else:
            del parts[1:]
        place = ".".join(parts)
        words = PLAIN_WORDS.get(fault["type"], fault["msg"].removeprefix("Value error, "))
        lines.setdefault(place, f"{place}: {words}" if place else words)
    return list(lines.values())


def check(settings: SearchSettings, project: ProjectSetup) -> None:
    """Check search.yaml against the project.

    Raises:
        SettingsError: search.yaml names a param or a file that does not exist, or that a search cannot use.
        ProjectError: Hydra cannot compose one of the choices.
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
        # DVC would restore the baseline's series before the trial writes its own.
        raise _fault(f"series: {settings.series}", "declare it with `cache: false`")


def _is_cached(path: str, outputs: Mapping[str, bool]) -> bool:
    """Return whether DVC stores this output of a stage, and not Git.

    Raises:
        SettingsError: no stage writes the file.
    """
    output = holder(outputs, path)
    if output is None:
        raise _fault(path, "no stage writes this file")
    return outputs[output]


def _known_keys(space: Space, project: ProjectSetup) -> set[str]:
    """Return the keys that a space can use: values, sections, and the Hydra groups that it chooses from."""
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
            # Each option of a group can define keys that params.yaml does not have otherwise.
            known |= _keys_in({PARAMS_FILE: project.composition.compose({name: choice})})
    return known


def _keys_in(params_files: Mapping[str, Any]) -> set[str]:
    """Return the keys of all values in these params files, and of the sections that contain them."""
    keys = set()
    for file, content in params_files.items():
        for dotted in flatten(content, lists=True):
            parts = dotted.split(".")
            for length in range(1, len(parts) + 1):
                keys.add(str(Key(file, ".".join(parts[:length]))))
    return keys


def build(section: str, spec: Mapping[str, Any], module: ModuleType, done: int = 0) -> Any:
    """Build a sampler or a pruner from a mapping `{name: ..., argument: ...}`.

    Args:
        section: the place of the mapping in search.yaml, for error messages.
        spec: the class as `name`, and its arguments. The name is that of a class in `module`, the import path
            of any class, or `optunahub:PACKAGE/Class` for a class in OptunaHub's registry. An argument can be
            such a mapping itself.
        module: optuna.samplers or optuna.pruners.
        done: how many trials the study has already. This number is added to a seed, because otherwise a
            continued search would draw the same values again.

    Raises:
        SettingsError: the class does not exist, or it does not accept these arguments.
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
    # Loading can fail in many ways: the package may need a download, or a module that is not installed.
    with as_settings_error(section, f"{HUB}{package}"):
        return optunahub.load_module(package)


@contextmanager
def as_settings_error(section: str, name: str) -> Iterator[None]:
    """Raise any error of a sampler or pruner as a SettingsError of one line.

    Every type of error is caught, because search.yaml can name any class.
    """
    try:
        yield
    except Exception as error:
        reason = joined_lines(error) or type(error).__name__
        raise _fault(section, f"{name}: {reason}") from None
