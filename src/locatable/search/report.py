"""What a search found: a table of its best trials, all trials as CSV, and Optuna's figures as PNG."""

import csv
import shutil
import textwrap
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # before pyplot looks for a window system

import optuna
from matplotlib import pyplot
from matplotlib.figure import Figure
from optuna.trial import FrozenTrial, TrialState
from optuna.visualization import matplotlib as draw

from ..coordinates import experiments

BEST = 5


def write(study: optuna.Study, folder: Path) -> str:
    """Write trials.csv and the figures of a study with a complete trial to `folder`.

    Returns:
        The best trials as a table: experiment, objectives, params.
    """
    keep(folder)
    trials = study.get_trials(deepcopy=False)
    params = sorted({key for trial in trials for key in trial.params})
    with (folder / "trials.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["number", "state", "experiment", *study.metric_names, *params, "error"])
        for trial in trials:
            values = (trial.values if trial.state is TrialState.COMPLETE else None) or [""] * len(
                study.directions
            )
            settings = [trial.params.get(key, "") for key in params]
            name, error = (trial.user_attrs.get(key, "") for key in ("experiment", "error"))
            rows.writerow([trial.number, trial.state.name, name, *values, *settings, error])
    with warnings.catch_warnings(action="ignore"):
        for name, figure in _figures(study):
            figure.savefig(folder / f"{name}.png", dpi=150, bbox_inches="tight")
            pyplot.close(figure)
    return _table(study)


def keep(folder: Path) -> Path:
    """Make a folder of a search's report. Git ignores it: all in it can be made again."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder.parent / ".gitignore").write_text("*\n")
    return folder


def best(study: optuna.Study) -> list[FrozenTrial]:
    """The best trials, best first; with several objectives, those that no other beats in all."""
    if len(study.directions) > 1:
        return study.best_trials
    complete = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    down = study.direction is optuna.study.StudyDirection.MINIMIZE
    return sorted(complete, key=lambda trial: trial.value if down else -trial.value)[:BEST]


def recommend(study: optuna.Study, root: Path, baseline: str) -> str:
    """How to take over the best trial that has an experiment still, and which are of another baseline."""
    there = {experiment.rev: experiment for experiment in experiments(root)}
    found = [there[rev] for trial in best(study) if (rev := trial.user_attrs.get("rev")) in there]
    others = {experiment.baseline[:7] for experiment in found if experiment.baseline != baseline}
    lines = (
        [f"Not all of these are of this commit, but some of {', '.join(sorted(others))}"] if others else []
    )
    if found and found[0].baseline == baseline:
        lines.append(f"Take a trial over:  dvc exp apply {found[0].name}")
    elif found:
        lines.append(f"How to take the best one over:  locatable locate {found[0].name}")
    return "\n".join(lines or ["None of these has an experiment any more"])


def _table(study: optuna.Study) -> str:
    trials = best(study)
    rows = [["experiment", *(name.rpartition(":")[2] for name in study.metric_names)]]
    rows += [[trial.user_attrs.get("experiment", ""), *map(_short, trial.values)] for trial in trials]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    params = [" ".join(f"{key}={_short(value)}" for key, value in trial.params.items()) for trial in trials]
    lines = []
    for row, last in zip(rows, ["params", *params], strict=True):
        start = "".join(f"{cell:{width}}  " for cell, width in zip(row, widths, strict=True))
        # A param is not broken in two: it can be copied from here.
        how = {"break_long_words": False, "break_on_hyphens": False, "subsequent_indent": " " * len(start)}
        lines += textwrap.wrap(start + last, max(len(start) + 20, shutil.get_terminal_size().columns), **how)
    return "\n".join(lines)


def _short(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _figures(study: optuna.Study) -> Iterator[tuple[str, Figure]]:
    complete = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    for place, metric in enumerate(study.metric_names):
        several = len(study.directions) > 1
        target: Callable[[FrozenTrial], float] | None = (
            (lambda trial, at=place: trial.values[at]) if several else None
        )
        label, suffix = metric.rpartition(":")[2], f"-{place}" if several else ""
        yield f"history{suffix}", _figure(draw.plot_optimization_history, study, target, label)
        slices = _figure(draw.plot_slice, study, target, label)
        # One axis a param, with room for its name and for numbers on a logarithmic scale.
        slices.set_size_inches(max(8, 3.5 * len(slices.axes)), 5)
        for axes in slices.axes:
            axes.tick_params(axis="x", which="both", labelrotation=45)
        yield f"slices{suffix}", slices
        yield f"parallel{suffix}", _figure(draw.plot_parallel_coordinate, study, target, label)
        # Importances compare trials, so they need some that differ.
        if len({trial.values[place] for trial in complete}) > 1:
            yield f"importances{suffix}", _figure(draw.plot_param_importances, study, target, label)
    if len(study.directions) in (2, 3):
        draw.plot_pareto_front(study)
        yield "pareto", pyplot.gcf()


def _figure(plot: Callable[..., object], study: optuna.Study, target: object, label: str) -> Figure:
    plot(study, target=target, target_name=label)
    return pyplot.gcf()
