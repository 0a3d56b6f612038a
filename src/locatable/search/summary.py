"""Shows the result of a search: a table of the best trials, a CSV file of all, and figures for a paper."""

import csv
import shutil
import textwrap
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import optuna
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.category import StrCategoryFormatter
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.text import Text
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from optuna.visualization import matplotlib as draw

from ..model import Experiment
from .study import repeated_trials

# The number of rows in the table if there is a single objective.
BEST = 5
# The gap between two columns of the table.
GAP = "  "
# The sizes of figures in inches. A figure with an axis for each param is as wide as two columns of a paper.
COLUMN = 3.5
TWO_COLUMNS = 7.0
HEIGHT = 2.6
SLICES_IN_A_ROW = 3
# The font size in points.
FONT_SIZE = 7
# The most characters in one line of a label.
LABEL_WIDTH = 18


def write_trials(study: optuna.Study, path: Path) -> None:
    """Write all trials of a study to a CSV file: number, state, experiment, objectives, params and error."""
    trials = study.get_trials(deepcopy=False)
    params = sorted(set().union(*(trial.params for trial in trials)))
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["number", "state", "experiment", *(study.metric_names or []), *params, "error"])
        no_values = [""] * len(study.directions)
        for trial in trials:
            row = [trial.number, trial.state.name, trial.user_attrs.get("experiment", "")]
            row += trial.values if trial.state is TrialState.COMPLETE else no_values
            row += [trial.params.get(key, "") for key in params]
            rows.writerow([*row, trial.user_attrs.get("error", "")])


def to_json(study: optuna.Study) -> dict[str, Any]:
    """Return the result of a study in the form that `locatable search --json` prints."""
    states = count_states(study)
    best = []
    for trial in best_trials(study) if states[TrialState.COMPLETE] else []:
        row = {
            "experiment": trial.user_attrs.get("experiment"),
            "rev": trial.user_attrs.get("rev"),
            "values": trial.values,
            "params": trial.params,
        }
        best.append(row)
    return {
        "study": study.study_name,
        "metrics": study.metric_names or [],
        "complete": states[TrialState.COMPLETE],
        "pruned": states[TrialState.PRUNED],
        "failed": states[TrialState.FAIL],
        "stopped": states[TrialState.WAITING],
        "best": best,
    }


def count_states(study: optuna.Study) -> Counter[TrialState]:
    """Return the number of trials in each state, not counting lost trials that are run again by others."""
    trials = study.get_trials(deepcopy=False)
    repeated = repeated_trials(trials)
    states: Counter[TrialState] = Counter()
    for trial in trials:
        if trial.state is not TrialState.FAIL or trial.number not in repeated:
            states[trial.state] += 1
    return states


def totals(study: optuna.Study) -> str:
    """Return one line with the number of trials in each state."""
    states = count_states(study)
    text = (
        f"{states[TrialState.COMPLETE]} complete, {states[TrialState.PRUNED]} pruned, "
        f"{states[TrialState.FAIL]} failed"
    )
    if states[TrialState.WAITING]:
        text += f", {states[TrialState.WAITING]} stopped (run again by the next search)"
    return text


def best_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Return the best trials, the best one first; with several objectives, the trials of the Pareto front."""
    if len(study.directions) > 1:
        return study.best_trials
    complete = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    is_maximized = study.direction is StudyDirection.MAXIMIZE
    return sorted(complete, key=lambda trial: trial.values[0], reverse=is_maximized)[:BEST]


def table(study: optuna.Study, width: int | None = None) -> str:
    """Return the best trials as a table with columns for the experiment, the objectives and the params.

    Args:
        study: a study with metric names.
        width: the width in characters, by default that of the terminal. A line with one long param can be
            wider.
    """
    rows = [["experiment", *map(_name, study.metric_names or [])]]
    params = [["params"]]
    for trial in best_trials(study):
        rows.append([trial.user_attrs.get("experiment", ""), *map(_short, trial.values)])
        params.append([f"{key}={_short(value)}" for key, value in trial.params.items()])
    starts = [""] * len(rows)
    for column in zip(*rows, strict=True):
        widest = max(map(len, column))
        for row, cell in enumerate(column):
            starts[row] += cell.ljust(widest) + GAP
    indent = len(starts[0])
    params_width = (width or shutil.get_terminal_size().columns) - indent
    lines = []
    for start, row_params in zip(starts, params, strict=True):
        first, *others = _wrap_params(row_params, params_width)
        lines.append(f"{start}{first}".rstrip())
        lines += [" " * indent + text for text in others]
    return "\n".join(lines)


def _wrap_params(params: list[str], width: int) -> list[str]:
    """Return params in lines of this width. No param is broken, so that users can copy it."""
    lines = [""]
    for param in params:
        if lines[-1] and len(lines[-1]) + 1 + len(param) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {param}".lstrip()
    return lines


def recommend(
    study: optuna.Study,
    experiments: Sequence[Experiment],
    baseline: str,
    name_in_dvc: Callable[[Experiment], str],
) -> str:
    """Return lines that say how to apply the best trial whose experiment still exists.

    They also name the baselines of the best trials that are not this one.

    Args:
        study: the study.
        experiments: all experiments in Git.
        baseline: the commit from which the search starts.
        name_in_dvc: returns the name by which DVC finds an experiment.
    """
    by_rev = {experiment.rev: experiment for experiment in experiments}
    found = []
    for trial in best_trials(study):
        rev = trial.user_attrs.get("rev")
        if rev in by_rev:
            found.append(by_rev[rev])
    if not found:
        return "None of these has an experiment any more"
    lines = []
    others = sorted({experiment.baseline[:7] for experiment in found if experiment.baseline != baseline})
    if others:
        lines.append(f"Some of these trials start from other commits: {', '.join(others)}")
    best = found[0]
    if best.baseline == baseline:
        lines.append(f"Take a trial over:  dvc exp apply {name_in_dvc(best)}")
    else:
        lines.append(f"How to take the best one over:  locatable locate {best.name}")
    return "\n".join(lines)


def _short(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def write_figures(study: optuna.Study, folder: Path) -> None:
    """Write Optuna's figures of a study as PNG files that fit the columns of a paper.

    The study must have a complete trial.
    """
    # This backend of Matplotlib does not need a window system.
    matplotlib.use("Agg")
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
    # Replace the names on the axis, because Optuna truncates long ones.
    parallel.axes[0].set_xticks(range(len(params) + 1), [name, *params], rotation=0)
    parallel.axes[0].tick_params(axis="x", pad=3 * FONT_SIZE)  # below the last choice
    yield f"parallel{suffix}", _for_paper(parallel, TWO_COLUMNS)
    # Optuna cannot compute importances if all trials have the same value.
    if len({value(trial) for trial in complete}) > 1:
        importances = _for_paper(figure(draw.plot_param_importances), COLUMN)
        legend = importances.axes[0].get_legend()
        if legend:
            legend.remove()  # the name of the file already says what the figure shows
        yield f"importances{suffix}", importances


def _name(metric: str) -> str:
    """Return the key of a metric without its file."""
    return metric.rpartition(":")[2]


def _for_paper(figure: Figure, width: float, rows: int = 1) -> Figure:
    """Adapt one of Optuna's figures to a paper: white background, no title, and readable, complete labels."""
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
                # The lightest blue of Optuna's colour map is not visible on white.
                drawn.set_cmap("viridis" if drawn.get_cmap().name.endswith("_r") else "viridis_r")
        if axes.get_legend():
            axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, frameon=False)
    for text in figure.findobj(Text):
        text.set(fontsize=FONT_SIZE, color="black")
    return figure


def _wrap_labels(axes: Axes) -> None:
    """Wrap long choices and names of params, and give labels a background to keep them readable."""
    for axis in (axes.xaxis, axes.yaxis):
        labels = [label.get_text() for label in axis.get_ticklabels()]
        is_choice = isinstance(axis.get_major_formatter(), StrCategoryFormatter)
        # A label that begins with a dollar sign is a power of ten in Matplotlib's notation.
        if is_choice or any(len(label) > LABEL_WIDTH and label[0] != "$" for label in labels):
            axis.set_ticks(axis.get_ticklocs(), [_wrapped(label) for label in labels])
        for label in axis.get_ticklabels(which="both"):
            label.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.8})


def _wrapped(label: str) -> str:
    # Add spaces, so that lines can break after an underscore or a dot, and remove them afterwards.
    words = label.replace("_", "_ ").replace(".", ". ").strip("'")
    return "\n".join(line.replace("_ ", "_").replace(". ", ".") for line in textwrap.wrap(words, LABEL_WIDTH))


def _in_rows(slices: Figure, rows: int) -> Figure:
    """Arrange the axes of Optuna's slice plot in rows, beside a new colour bar."""
    *params, colour_bar = slices.axes
    colour_bar.remove()
    grid = GridSpec(rows, SLICES_IN_A_ROW, slices)
    for number, axes in enumerate(params):
        row, column = divmod(number, SLICES_IN_A_ROW)
        axes.set_subplotspec(grid[row, column])
        axes.tick_params(labelleft=column == 0)
        axes.set_ylabel(params[0].get_ylabel() if column == 0 else "")
    slices.set_layout_engine("constrained")
    slices.colorbar(params[0].collections[0], ax=params, label="Trial")
    return slices
