"""Use Ax as a sampler of Optuna: `sampler: {name: ax_sampler.AxSampler, seed: 0}` in search.yaml.

Put this file beside search.yaml. The study is the only record: each proposal tells a new Ax about its trials.
"""

import logging
from typing import Any

from ax.api.client import Client
from ax.api.configs import ChoiceParameterConfig, RangeParameterConfig
from optuna import Study
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

Space = dict[str, BaseDistribution]
# The first trials are random, because a model needs some trials to start from.
RANDOM_TRIALS = 5
logging.getLogger("ax").setLevel(logging.WARNING)


class AxSampler(BaseSampler):
    """Proposes the params that all trials have by Bayesian optimisation with Ax, and the others at random."""

    def __init__(self, seed: int | None = None) -> None:
        self._seed = seed
        self._random = RandomSampler(seed)
        self._space = IntersectionSearchSpace()

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> Space:
        """Return the params that Ax proposes."""
        return {name: found for name, found in self._space.calculate(study).items() if not found.single()}

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: Space) -> dict[str, Any]:
        """Return the proposal of Ax, given all complete and running trials."""
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if not search_space or len(complete) < RANDOM_TRIALS:
            return {}
        client = Client(random_seed=None if self._seed is None else self._seed + trial.number)
        client.configure_experiment([parameter(name, found) for name, found in search_space.items()])
        client.configure_optimization(", ".join(objectives(study).values()))
        client.configure_generation_strategy(initialization_budget=0, initialize_with_center=False)
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        for earlier in complete + running:
            if search_space.keys() <= earlier.params.keys():
                index = client.attach_trial(as_ax(search_space, earlier.params))
                if earlier.values:
                    client.complete_trial(index, dict(zip(objectives(study), earlier.values, strict=True)))
        (proposed,) = client.get_next_trials(1).values()
        return {name: found.to_external_repr(proposed[name]) for name, found in search_space.items()}

    def sample_independent(self, *arguments: Any) -> Any:
        """Return a random value, for a param that not all trials have or for one of the first trials."""
        return self._random.sample_independent(*arguments)


def objectives(study: Study) -> dict[str, str]:
    """Return the expressions that Ax maximises, by the names of the objectives."""
    signs = {StudyDirection.MINIMIZE: "-", StudyDirection.MAXIMIZE: ""}
    return {f"value{n}": f"{signs[direction]}value{n}" for n, direction in enumerate(study.directions)}


def as_ax(space: Space, params: dict[str, Any]) -> dict[str, float]:
    """Return the values in the form that Ax expects, with the index of each choice."""
    stored = {name: found.to_internal_repr(params[name]) for name, found in space.items()}
    floats = [name for name, found in space.items() if isinstance(found, FloatDistribution)]
    return {name: value if name in floats else int(value) for name, value in stored.items()}


def parameter(name: str, found: Any) -> ChoiceParameterConfig | RangeParameterConfig:
    """Return Ax's configuration of a param."""
    if isinstance(found, CategoricalDistribution):
        numbers = list(range(len(found.choices)))
        return ChoiceParameterConfig(name, numbers, "int", is_ordered=False)
    kind = "float" if isinstance(found, FloatDistribution) else "int"
    step, scaling = (None, "log") if found.log else (found.step, None)
    return RangeParameterConfig(name, (found.low, found.high), kind, step_size=step, scaling=scaling)
