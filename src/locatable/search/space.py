"""Params that a search may choose: their ranges, as search.yaml writes them and as Optuna knows them."""

import json
from typing import Any, Literal

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import Trial
from pydantic import BaseModel, ConfigDict, Field, model_validator


class Section(BaseModel):
    """No unknown keys, no silent conversion."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Param(Section):
    """What all types have: the values of other params without which this one has no effect."""

    when: dict[str, Any] = {}

    @model_validator(mode="after")
    def _possible(self) -> "Param":
        self.distribution()
        return self


class Float(Param):
    """A real number in [low, high]."""

    type: Literal["float"]
    low: float
    high: float
    log: bool = False
    step: float | None = None

    def distribution(self) -> BaseDistribution:
        """As Optuna knows it; raises ValueError for an impossible range."""
        return FloatDistribution(self.low, self.high, log=self.log, step=self.step)

    def suggest(self, trial: Trial, key: str) -> float:
        """Let the sampler choose."""
        return trial.suggest_float(key, self.low, self.high, log=self.log, step=self.step)

    def known(self, value: Any) -> float:
        """What Optuna calls a value of a params file; raises ValueError where it can be no choice."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{value!r} is no number")
        return float(value)


class Int(Param):
    """A whole number in [low, high]."""

    type: Literal["int"]
    low: int
    high: int
    log: bool = False
    step: int = 1

    def distribution(self) -> BaseDistribution:
        """As Optuna knows it; raises ValueError for an impossible range."""
        return IntDistribution(self.low, self.high, log=self.log, step=self.step)

    def suggest(self, trial: Trial, key: str) -> int:
        """Let the sampler choose."""
        return trial.suggest_int(key, self.low, self.high, log=self.log, step=self.step)

    def known(self, value: Any) -> int:
        """What Optuna calls a value of a params file; raises ValueError where it can be no choice."""
        if type(value) is not int:
            raise ValueError(f"{value!r} is no whole number")
        return value


class Categorical(Param):
    """One of some values, of any kind that YAML knows."""

    type: Literal["categorical"]
    choices: list[Any] = Field(min_length=1)

    def distribution(self) -> BaseDistribution:
        """As Optuna knows it; raises ValueError where it could not tell two choices apart."""
        labels = self._labels()
        for place, label in enumerate(labels):
            if label in labels[:place]:
                raise ValueError(f"choices: Optuna cannot tell {self.choices[place]!r} from another choice")
        return CategoricalDistribution(labels)

    def suggest(self, trial: Trial, key: str) -> Any:
        """Let the sampler choose."""
        labels = self._labels()
        return self.choices[labels.index(trial.suggest_categorical(key, labels))]

    def known(self, value: Any) -> Any:
        """What Optuna calls a value of a params file; raises ValueError where it is no choice."""
        # As text, since 1, 1.0 and true are equal in Python.
        return self._labels()[[json.dumps(choice) for choice in self.choices].index(json.dumps(value))]

    def _labels(self) -> list[Any]:
        """Lists and mappings as JSON, since storages keep only plain values."""
        return [json.dumps(choice) if isinstance(choice, list | dict) else choice for choice in self.choices]
