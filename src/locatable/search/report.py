"""What a search found: a table of its best trials, all trials as CSV, and what failed trials said."""

import csv
import io
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path

import optuna
from optuna.storages import RetryHeartbeatStaleTrialCallback
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from ..model import Experiment
from .messages import Failed

# Rows of the table, where there is a single objective.
BEST = 5


def make_folder(folder: Path) -> Path:
    """Make a folder of a search's report; Git ignores it, since all in it can be made again."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder.parent / ".gitignore").write_text("*\n")
    return folder


def write_failure(folder: Path, experiment: str, failed: Failed) -> Path:
    """Keep what a failed trial said last; returns the file.

    Args:
        folder: of the search's report.
        experiment: name of the trial's experiment.
        failed: what the worker said.
    """
    place = make_folder(folder) / "failed"
    place.mkdir(exist_ok=True)
    path = place / f"{experiment}.txt"
    parts = [failed.log, failed.error, failed.remark]
    path.write_text("\n\n".join(part for part in parts if part) + "\n", encoding="utf-8")
    return path


def write_trials(study: optuna.Study, path: Path) -> None:
    """Write all trials of a study as CSV: number, state, experiment, objectives, params, error."""
    trials = study.get_trials(deepcopy=False)
    params = sorted(set().union(*(trial.params for trial in trials)))
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["number", "state", "experiment", *_metrics(study), *params, "error"])
        for trial in trials:
            values = trial.values if trial.state is TrialState.COMPLETE else [""] * len(study.directions)
            rows.writerow(
                [
                    trial.number,
                    trial.state.name,
                    trial.user_attrs.get("experiment", ""),
                    *values,
                    *(trial.params.get(key, "") for key in params),
                    trial.user_attrs.get("error", ""),
                ]
            )


def totals(study: optuna.Study) -> str:
    """Return how many trials there are; one that was stopped is none that failed, but is run again."""
    trials = study.get_trials(deepcopy=False)
    states = Counter(trial.state for trial in trials)
    stopped = set(chain(*(RetryHeartbeatStaleTrialCallback.retry_history(trial) for trial in trials)))
    failed = sum(trial.state is TrialState.FAIL and trial.number not in stopped for trial in trials)
    complete, pruned = states[TrialState.COMPLETE], states[TrialState.PRUNED]
    text = f"{complete} complete, {pruned} pruned, {failed} failed"
    if states[TrialState.WAITING]:
        text += f", {states[TrialState.WAITING]} stopped (run again by the next search)"
    return text


def best_trials(study: optuna.Study) -> list[FrozenTrial]:
    """The best trials, best first; with several objectives, those that no other beats in all."""
    if len(study.directions) > 1:
        return study.best_trials
    complete = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    is_maximized = study.direction is StudyDirection.MAXIMIZE
    return sorted(complete, key=lambda trial: trial.values[0], reverse=is_maximized)[:BEST]


def table(study: optuna.Study, width: int | None = None) -> str:
    """The best trials as a table: experiment, objectives, params.

    Args:
        study: with metric names.
        width: in characters, the terminal's by default; more where a param would have to be broken in two.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    trials = best_trials(study)
    headings = ["experiment", *(name.rpartition(":")[2] for name in _metrics(study))]
    rows = [
        [trial.user_attrs.get("experiment", ""), *(_short(value) for value in trial.values)]
        for trial in trials
    ]
    params = [_params(trial) for trial in trials]

    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in headings:
        grid.add_column(heading, no_wrap=True)
    # A param is not broken in two: it can be copied from here.
    longest_param = max((len(param) for param in chain(*params)), default=0)
    grid.add_column("params", min_width=longest_param)
    for row, line in zip(rows, params, strict=True):
        grid.add_row(*(Text(cell) for cell in row), Text(" ".join(line)))

    columns = zip(headings, *rows, strict=True)
    fixed = sum(max(len(cell) for cell in column) + 2 for column in columns)
    text = io.StringIO()
    wanted = width or shutil.get_terminal_size().columns
    Console(file=text, width=max(wanted, fixed + longest_param), color_system=None).print(grid)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def recommend(
    study: optuna.Study,
    experiments: Sequence[Experiment],
    baseline: str,
    name_in_dvc: Callable[[Experiment], str],
) -> str:
    """How to take over the best trial that still has an experiment, and which trials are of another baseline.

    Args:
        study: of the search.
        experiments: all that there are.
        baseline: commit that this search's trials start from.
        name_in_dvc: what DVC's commands take for an experiment.
    """
    by_rev = {experiment.rev: experiment for experiment in experiments}
    revs = [trial.user_attrs.get("rev") for trial in best_trials(study)]
    found = [by_rev[rev] for rev in revs if rev in by_rev]
    if not found:
        return "None of these has an experiment any more"
    lines = []
    others = sorted({experiment.baseline[:7] for experiment in found if experiment.baseline != baseline})
    if others:
        lines.append(f"Not all of these are of this commit, but some of {', '.join(others)}")
    best = found[0]
    if best.baseline == baseline:
        lines.append(f"Take a trial over:  dvc exp apply {name_in_dvc(best)}")
    else:
        lines.append(f"How to take the best one over:  locatable locate {best.name}")
    return "\n".join(lines)


def _metrics(study: optuna.Study) -> list[str]:
    return study.metric_names or []


def _params(trial: FrozenTrial) -> list[str]:
    return [f"{key}={_short(value)}" for key, value in trial.params.items()]


def _short(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)
