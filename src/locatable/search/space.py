"""Params that a search may choose: their ranges, as search.yaml writes them and as Optuna knows them."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Any, Literal

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import Trial
from pydantic import BaseModel, ConfigDict, Field, model_validator


class Section(BaseModel):
    """No unknown keys, no silent conversion."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Param(Section, ABC):
    """What params of all types have: the values of other params without which this one has no effect."""

    when: dict[str, Any] = {}

    @abstractmethod
    def distribution(self) -> BaseDistribution:
        """The range as Optuna knows it; raises ValueError where it is impossible."""

    @model_validator(mode="after")
    def _is_possible(self) -> "_Param":
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
        """The range as Optuna knows it; raises ValueError where it is impossible."""
        return FloatDistribution(self.low, self.high, log=self.log, step=self.step)

    def suggest(self, trial: Trial, key: str) -> float:
        """Let the sampler choose."""
        return trial.suggest_float(key, self.low, self.high, log=self.log, step=self.step)

    def to_optuna(self, value: Any) -> float:
        """What Optuna calls a value of a params file; raises ValueError where it cannot be a choice."""
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
        """The range as Optuna knows it; raises ValueError where it is impossible."""
        return IntDistribution(self.low, self.high, log=self.log, step=self.step)

    def suggest(self, trial: Trial, key: str) -> int:
        """Let the sampler choose."""
        return int(trial.suggest_int(key, self.low, self.high, log=self.log, step=self.step))

    def to_optuna(self, value: Any) -> int:
        """What Optuna calls a value of a params file; raises ValueError where it cannot be a choice."""
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        raise ValueError(f"{value!r} is no whole number")


class Categorical(_Param):
    """One of some values, of any kind that YAML knows."""

    type: Literal["categorical"]
    choices: list[Any] = Field(min_length=1)

    def distribution(self) -> BaseDistribution:
        """The choices as Optuna knows them; raises ValueError where it could not tell two of them apart."""
        labels = self._labels()
        for position, label in enumerate(labels):
            if label in labels[:position]:
                choice = self.choices[position]
                raise ValueError(f"choices: Optuna cannot tell {choice!r} from another choice")
        return CategoricalDistribution(labels)

    def suggest(self, trial: Trial, key: str) -> Any:
        """Let the sampler choose."""
        labels = self._labels()
        return self.choices[labels.index(trial.suggest_categorical(key, labels))]

    def to_optuna(self, value: Any) -> Any:
        """What Optuna calls a value of a params file; raises ValueError where it is not a choice."""
        # As text, since 1, 1.0 and true are equal in Python.
        texts = [json.dumps(choice) for choice in self.choices]
        return self._labels()[texts.index(json.dumps(value))]

    def _labels(self) -> list[Any]:
        """Lists and mappings as JSON, since storages keep only plain values."""
        return [json.dumps(choice) if isinstance(choice, list | dict) else choice for choice in self.choices]


Param = Annotated[Float | Int | Categorical, Field(discriminator="type")]
Space = Mapping[str, Float | Int | Categorical]


def in_order(space: Space) -> list[str]:
    """The keys of a space, each after those that its `when` looks at.

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
    """The value of each key of a space that has an effect.

    Args:
        space: what is searched.
        choose: gives the value of a key; asked only where the key has an effect.
        read_fixed: gives the value of a key that is not searched.
    """
    chosen: dict[str, Any] = {}
    for key in in_order(space):
        if all(_holds(*condition, space, chosen, read_fixed) for condition in space[key].when.items()):
            chosen[key] = choose(key)
    return chosen


def _holds(
    key: str, wanted: Any, space: Space, chosen: Mapping[str, Any], read_fixed: Callable[[str], Any]
) -> bool:
    """Whether a param has the value, or one of the values, that a condition asks for."""
    if key in space and key not in chosen:
        return False  # it has no effect itself
    value = chosen[key] if key in chosen else read_fixed(key)
    return value in (wanted if isinstance(wanted, list) else [wanted])
