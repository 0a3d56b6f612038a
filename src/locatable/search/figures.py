"""Optuna's figures of a search, as PNG at the size of a paper's column."""

import textwrap
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # before pyplot looks for a window system

import optuna
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.category import StrCategoryFormatter
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.text import Text
from optuna.trial import FrozenTrial, TrialState
from optuna.visualization import matplotlib as draw

# Inches; two columns hold what has an axis for each param.
COLUMN = 3.5
TWO_COLUMNS = 7.0
HEIGHT = 2.6
SLICES_IN_A_ROW = 3
# Points.
FONT_SIZE = 7
# Characters of a label in one line.
LABEL_WIDTH = 18


def write(study: optuna.Study, folder: Path) -> None:
    """Write the figures of a study with a complete trial.

    Args:
        study: with metric names.
        folder: which exists.
    """
    with warnings.catch_warnings(action="ignore"):
        for name, figure in _figures(study):
            figure.savefig(folder / f"{name}.png", dpi=300, bbox_inches="tight")
            pyplot.close(figure)


def _figures(study: optuna.Study) -> Iterator[tuple[str, Figure]]:
    for objective in range(len(study.directions)):
        yield from _figures_of_objective(study, objective)
    if len(study.directions) in (2, 3):
        draw.plot_pareto_front(study, target_names=[_name(metric) for metric in study.metric_names or []])
        yield "pareto", _for_paper(pyplot.gcf(), COLUMN)


def _figures_of_objective(study: optuna.Study, objective: int) -> Iterator[tuple[str, Figure]]:
    several = len(study.directions) > 1
    suffix = f"-{objective}" if several else ""
    name = _name((study.metric_names or [])[objective])

    def value(trial: FrozenTrial) -> float:
        return float(trial.values[objective])

    def figure(plot: Callable[..., Any]) -> Figure:
        plot(study, target=value if several else None, target_name=name)
        return pyplot.gcf()

    yield f"history{suffix}", _for_paper(figure(draw.plot_optimization_history), COLUMN)
    complete = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    params = sorted(set().union(*(trial.params for trial in complete)))
    rows = -(-len(params) // SLICES_IN_A_ROW)
    yield f"slices{suffix}", _for_paper(_in_rows(figure(draw.plot_slice), rows), TWO_COLUMNS, rows)
    parallel = figure(draw.plot_parallel_coordinate)
    # Optuna cuts long names.
    parallel.axes[0].set_xticks(range(len(params) + 1), [name, *params], rotation=0)
    parallel.axes[0].tick_params(axis="x", pad=3 * FONT_SIZE)  # below the last choice
    yield f"parallel{suffix}", _for_paper(parallel, TWO_COLUMNS)
    # Importances compare trials, so they need some that differ.
    if len({value(trial) for trial in complete}) > 1:
        importances = _for_paper(figure(draw.plot_param_importances), COLUMN)
        legend = importances.axes[0].get_legend()
        if legend:
            legend.remove()  # it says what the name of the file says
        yield f"importances{suffix}", importances


def _name(metric: str) -> str:
    return metric.rpartition(":")[2]


def _for_paper(figure: Figure, width: float, rows: int = 1) -> Figure:
    """Change a figure of Optuna's: white, with no title, and with labels that can be read and are not cut."""
    figure.set_size_inches(width, HEIGHT * rows)
    if width == COLUMN:
        figure.set_layout_engine("constrained")
    figure.suptitle("")
    for axes in figure.axes:
        axes.set_title("")
        axes.set_title("", loc="left")
        axes.set_facecolor("none")
        axes.grid(visible=False)
        side = axes.yaxis.get_ticks_position()
        axes.spines[:].set_visible(False)
        axes.spines[["bottom", "right" if side == "right" else "left"]].set(visible=True, color="black")
        _wrap_labels(axes)
        for drawn in axes.collections:
            drawn.set_linewidth(0.8)
            if isinstance(drawn, LineCollection):
                # Optuna's palest blue cannot be seen on white.
                drawn.set_cmap("viridis" if drawn.get_cmap().name.endswith("_r") else "viridis_r")
        if axes.get_legend():
            axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, frameon=False)
    for text in figure.findobj(Text):
        text.set(fontsize=FONT_SIZE, color="black")
    return figure


def _wrap_labels(axes: Axes) -> None:
    """Break long choices and names of params, and keep them readable on lines."""
    for axis in (axes.xaxis, axes.yaxis):
        labels = [label.get_text() for label in axis.get_ticklabels()]
        is_choice = isinstance(axis.get_major_formatter(), StrCategoryFormatter)
        # What begins with a dollar is a power of ten.
        if is_choice or any(len(label) > LABEL_WIDTH and label[0] != "$" for label in labels):
            axis.set_ticks(axis.get_ticklocs(), [_wrapped(label) for label in labels])
        for label in axis.get_ticklabels(which="both"):
            label.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.8})


def _wrapped(label: str) -> str:
    words = label.replace("_", "_ ").replace(".", ". ").strip("'")
    return "\n".join(line.replace("_ ", "_").replace(". ", ".") for line in textwrap.wrap(words, LABEL_WIDTH))


def _in_rows(slices: Figure, rows: int) -> Figure:
    """Arrange the axes of all params in rows, beside the colours of the trials."""
    *params, colours = slices.axes
    colours.remove()
    grid = GridSpec(rows, SLICES_IN_A_ROW, slices)
    for number, axes in enumerate(params):
        row, column = divmod(number, SLICES_IN_A_ROW)
        axes.set_subplotspec(grid[row, column])
        axes.tick_params(labelleft=column == 0)
        axes.set_ylabel(params[0].get_ylabel() if column == 0 else "")
    slices.set_layout_engine("constrained")
    slices.colorbar(params[0].collections[0], ax=params, label="Trial")
    return slices
