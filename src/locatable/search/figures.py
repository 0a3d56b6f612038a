"""Optuna's figures of a search, as PNG."""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # before pyplot looks for a window system

import optuna
from matplotlib import pyplot
from matplotlib.figure import Figure
from optuna.trial import FrozenTrial, TrialState
from optuna.visualization import matplotlib as draw

# Inches.
WIDTH_OF_A_PARAM = 3.5
LEAST_WIDTH = 8
HEIGHT = 5


def write(study: optuna.Study, folder: Path) -> None:
    """Write the figures of a study with a complete trial.

    Args:
        study: with metric names.
        folder: which exists.
    """
    with warnings.catch_warnings(action="ignore"):
        for name, figure in _figures(study):
            figure.savefig(folder / f"{name}.png", dpi=150, bbox_inches="tight")
            pyplot.close(figure)


def _figures(study: optuna.Study) -> Iterator[tuple[str, Figure]]:
    for objective in range(len(study.directions)):
        yield from _figures_of_objective(study, objective)
    if len(study.directions) in (2, 3):
        draw.plot_pareto_front(study)
        yield "pareto", pyplot.gcf()


def _figures_of_objective(study: optuna.Study, objective: int) -> Iterator[tuple[str, Figure]]:
    several = len(study.directions) > 1
    suffix = f"-{objective}" if several else ""

    def value(trial: FrozenTrial) -> float:
        return float(trial.values[objective])

    def figure(plot: Callable[..., Any]) -> Figure:
        metric = (study.metric_names or [])[objective]
        plot(study, target=value if several else None, target_name=metric.rpartition(":")[2])
        return pyplot.gcf()

    yield f"history{suffix}", figure(draw.plot_optimization_history)
    slices = figure(draw.plot_slice)
    # One axis a param, with room for its name and for numbers on a logarithmic scale.
    slices.set_size_inches(max(LEAST_WIDTH, WIDTH_OF_A_PARAM * len(slices.axes)), HEIGHT)
    for axes in slices.axes:
        axes.tick_params(axis="x", which="both", labelrotation=45)
    yield f"slices{suffix}", slices
    yield f"parallel{suffix}", figure(draw.plot_parallel_coordinate)
    complete = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    # Importances compare trials, so they need some that differ.
    if len({value(trial) for trial in complete}) > 1:
        yield f"importances{suffix}", figure(draw.plot_param_importances)
