"""Search for better params: Optuna proposes them, and each trial becomes the experiment `<study>-<number>`.

    locatable search [--study NAME] [--trials N] [--workers N] [--timeout S]
                     [--storage URL] [--ray ADDRESS] [--allow-stale] [--mirror]
                     [--json]

The file search.yaml says what to search. Workers run the trials in separate clones, so your checkout is not
touched. With --ray, workers run on the nodes of a cluster, and the Git and DVC remotes transfer all files.

Ctrl-C lets the running trials finish; a second Ctrl-C stops them. The same command then continues the study.
Git is the source of truth: if the Optuna study is deleted, the next search rebuilds it from the experiments.
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO

from ..errors import INTERRUPTED, ProjectError, UsageError, joined_lines
from ..model import json_text
from ..output import add_json_option, progress_bar
from ..repository import find_project

if TYPE_CHECKING:
    from ..search.messages import Failed
    from ..search.run import Pool, Search, SearchOptions, SearchPlan
    from ..search.settings import SearchSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `locatable search`."""
    add = parser.add_argument
    add("--study", metavar="NAME", help="the study (default: the name in search.yaml)")
    add(
        "--trials",
        type=int,
        metavar="N",
        help="stop when the study has N finished trials, including earlier ones (default: see search.yaml)",
    )
    add(
        "--workers",
        type=int,
        metavar="N",
        help="run N trials at a time (default: 1; with --ray, as many as the cluster can run)",
    )
    add("--timeout", type=float, default=float("inf"), metavar="S", help="start no trial after S seconds")
    add("--storage", metavar="URL", help="any Optuna storage (default: sqlite:///optuna.db)")
    add("--ray", metavar="ADDRESS", help="run on a Ray cluster: auto, local, HOST:PORT or ray://HOST:PORT")
    add(
        "--allow-stale",
        action="store_true",
        help="start from a commit whose results do not belong to its files; each trial reruns those stages",
    )
    add("--mirror", action="store_true", help="mirror the experiments to MLflow afterwards")
    add_json_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Search; return 130 if the search was interrupted, else the exit code of `--mirror`."""
    if not arguments.json:
        return _run(arguments)
    output = sys.stdout
    with redirect_stdout(sys.stderr):
        return _run(arguments, output)


def _run(arguments: argparse.Namespace, json_output: TextIO | None = None) -> int:
    """Search, and also write the result as JSON if a stream for it is given."""
    for value in (arguments.trials, arguments.workers, arguments.timeout):
        if value is not None and value <= 0:
            raise UsageError("--trials, --workers and --timeout must be positive")

    from optuna.exceptions import StorageInternalError

    from ..search.run import SearchOptions
    from ..search.settings import load

    root = find_project(Path.cwd())
    settings = load(root / "search.yaml", arguments.study)
    options = SearchOptions(
        trials=settings.trials if arguments.trials is None else arguments.trials,
        workers=arguments.workers,
        deadline=time.monotonic() + arguments.timeout,
        storage=arguments.storage,
        ray=arguments.ray,
        allow_stale=arguments.allow_stale,
    )
    try:
        with _locked(settings.study, root):
            was_interrupted = _search(root, settings, options, json_output)
    except StorageInternalError as error:
        reason = joined_lines(error)
        raise ProjectError(f"the storage failed: {reason}; run the same command to continue") from None
    except KeyboardInterrupt:
        was_interrupted = True
    mirror_code = _mirror(sys.stderr if json_output else None) if arguments.mirror else 0
    return INTERRUPTED if was_interrupted else mirror_code


@contextmanager
def _locked(study: str, root: Path) -> Iterator[None]:
    """Hold the lock of a study.

    Raises:
        ProjectError: another search holds it.
    """
    from filelock import FileLock, Timeout

    from ..search.local_backend import study_folder

    lock = study_folder(root) / f"{study}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        held = FileLock(lock).acquire(timeout=0)
    except Timeout:
        raise ProjectError(f"study {study} is being searched already, in this folder") from None
    with held:
        yield


def _search(
    root: Path, settings: "SearchSettings", options: "SearchOptions", json_output: TextIO | None
) -> bool:
    """Continue a study until it has enough finished trials, then print a report.

    Returns:
        True if the user or a signal interrupted the search.
    """
    from ..search import summary
    from ..search.run import Search, plan_search

    _silence_optuna()
    plan = plan_search(root, settings, options)
    _print_remarks(plan)
    folder = root / "reports/search" / settings.study
    terminal = Terminal(folder, options.trials)
    search = Search(plan, terminal)
    for line in search.start().summary():
        print(f"{settings.study}: {line}")
    _stop_on_signals(search.pool, terminal)
    try:
        with terminal:
            search.pool.run(options.trials, options.deadline)
    finally:
        search.finish()
        _print_report(search, folder)
        if json_output:
            print(json_text(summary.to_json(search.study.optuna), indent=2), file=json_output)
    return search.pool.interrupts > 0


def _print_remarks(plan: "SearchPlan") -> None:
    for line in plan.remarks:
        print(f"{plan.settings.study}: {line}")


def _silence_optuna() -> None:
    import warnings

    import optuna
    from optuna.exceptions import ExperimentalWarning

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", ExperimentalWarning)


def make_folder(folder: Path) -> Path:
    """Create the folder of a search's report, which Git ignores because it can always be created again."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder.parent / ".gitignore").write_text("*\n")
    return folder


def write_failure(folder: Path, experiment: str, failed: "Failed") -> Path:
    """Write the last output of a failed trial to a file in the folder of the report; return its path."""
    place = make_folder(folder) / "failed"
    place.mkdir(exist_ok=True)
    path = place / f"{experiment}.txt"
    parts = [failed.log, failed.error, failed.remark]
    path.write_text("\n\n".join(part for part in parts if part) + "\n", encoding="utf-8")
    return path


class Terminal:
    """Shows the progress of a search as a bar on the standard error, with messages above it.

    It is a context manager, which closes the bar.

    Args:
        folder: the folder of the report, for the output of failed trials.
        trials: the number of finished trials at which the search ends.
    """

    def __init__(self, folder: Path, trials: int) -> None:
        self._folder = folder
        self._trials = trials
        self._bar: Any = None

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def progress(self, finished: int, best: float | None) -> None:
        """Update the bar with the number of finished trials and the best value."""
        if self._bar is None:
            # Trials of earlier searches are the initial value, so that they do not distort the speed shown.
            initial = min(finished, self._trials)
            plain = "{n_fmt} of {total_fmt} trials{postfix}"
            self._bar = progress_bar(plain, total=self._trials, initial=initial, unit="trial")
        if best is not None:
            self._bar.set_postfix_str(f"best {best:.6g}", refresh=False)
        self._bar.update(finished - self._bar.n)

    def trial_failed(self, experiment: str, failed: "Failed") -> None:
        """Write the last output of a failed trial to a file, and show the line that best explains why."""
        path = os.path.relpath(write_failure(self._folder, experiment, failed))
        remark = f"; {failed.remark}" if failed.remark else ""
        self.notice(f"{experiment} failed: {_cause(failed)}{remark} (more in {path})")

    def notice(self, text: str) -> None:
        """Show a line above the bar."""
        from tqdm import tqdm

        tqdm.write(text, file=sys.stderr)


def _cause(failed: "Failed") -> str:
    """Return the line that best explains why a trial failed."""
    # If a stage failed, its own last line says more than DVC's error. The log is empty if no stage ran.
    last_line = failed.log.strip().rpartition("\n")[2]
    if failed.error.startswith("failed to reproduce") and last_line:
        return last_line
    return failed.error.partition("\n")[0]


def _stop_on_signals(pool: "Pool", terminal: Terminal) -> None:
    """Let the running trials finish on Ctrl-C; stop them on a second Ctrl-C, or on SIGTERM or SIGHUP."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        pool.interrupt(at_once=number != signal.SIGINT)
        if pool.interrupts == 1:
            terminal.notice("Finishing the running trials; press Ctrl-C again to stop them")

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # `nohup` has SIGHUP ignored; leave it that way.
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupt)


def _print_report(search: "Search", folder: Path) -> None:
    from optuna.trial import TrialState

    from ..repository.reader import Reader, name_in_dvc
    from ..search import summary

    plan = search.plan
    study = search.study.optuna
    states = search.study.count()
    complete = states[TrialState.COMPLETE]
    finished = complete + states[TrialState.PRUNED]
    print(f"{study.study_name}: {summary.totals(study)}")
    if complete:
        make_folder(folder)
        summary.write_trials(study, folder / "trials.csv")
        summary.write_figures(study, folder)
        print(summary.table(study))
        print(f"Figures, and all trials as a table, are in {os.path.relpath(folder)}")
        with Reader(plan.root) as reader:
            name = partial(name_in_dvc, reader)
            print(summary.recommend(study, reader.experiments(), plan.baseline, name))
        # The remarks were printed before the trials ran too, but that may have been days ago.
        _print_remarks(plan)
    if search.pool.interrupts:
        print("Stopped; run the same command to continue")
    elif finished >= plan.options.trials:
        more = 2 * plan.options.trials
        print(f"For more:  locatable search --study {study.study_name} --trials {more}")


def _mirror(output: TextIO | None) -> int:
    import subprocess

    command = (sys.executable, "-m", "locatable", "mirror")
    return subprocess.run(command, stdout=output, check=False).returncode
