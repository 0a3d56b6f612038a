"""Search for better params: Optuna proposes, and every trial becomes a DVC experiment, `<study>-<number>`.

    locatable search [--study NAME] [--trials N] [--workers N] [--timeout S]
                     [--storage URL] [--ray ADDRESS] [--allow-stale] [--mirror]

What to search is in search.yaml. Ctrl-C finishes the running trials, a second one stops them; the same
command continues the study. Workers run the trials in clones of their own: the checkout is left alone.
With --ray they run on the nodes of a cluster, and the Git and DVC remotes carry everything to and fro.
What Git knows counts: the Optuna study can be deleted, and is made again from the experiments.
"""

import argparse
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import INTERRUPTED, ProjectError, UsageError
from ..repository.project import find_project

if TYPE_CHECKING:
    from ..search.run import Search, SearchOptions, SearchPlan
    from ..search.settings import SearchSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `locatable search`."""
    parser.add_argument("--study", metavar="NAME", help="instead of the one in search.yaml")
    parser.add_argument(
        "--trials", type=int, metavar="N", help="finished trials to have in the end, earlier ones included"
    )
    parser.add_argument(
        "--workers", type=int, metavar="N", help="trials to run at a time (1; with --ray as many as it can)"
    )
    parser.add_argument(
        "--timeout", type=float, default=float("inf"), metavar="S", help="begin none after S seconds"
    )
    parser.add_argument("--storage", metavar="URL", help="any that Optuna takes (sqlite:///optuna.db)")
    parser.add_argument(
        "--ray", metavar="ADDRESS", help="a cluster to run them on: auto, local, HOST:PORT or ray://HOST:PORT"
    )
    parser.add_argument(
        "--allow-stale",
        action="store_true",
        help="begin from a commit whose results are not of its files: each trial runs those stages again",
    )
    parser.add_argument("--mirror", action="store_true", help="mirror the experiments into MLflow afterwards")


def run(arguments: argparse.Namespace) -> int:
    """Search; the exit code is 130 if someone stopped it."""
    for value in (arguments.trials, arguments.workers, arguments.timeout):
        if value is not None and value <= 0:
            raise UsageError("--trials, --workers and --timeout are to be positive")

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
        with _only_search_of(settings.study, root):
            was_stopped = _search(root, settings, options)
    except StorageInternalError as error:
        said = " ".join(str(error).split())
        raise ProjectError(f"the storage failed: {said}; run the same command to continue") from None
    except KeyboardInterrupt:
        was_stopped = True
    mirror_code = _mirror() if arguments.mirror else 0
    return INTERRUPTED if was_stopped else mirror_code


@contextmanager
def _only_search_of(study: str, root: Path) -> Iterator[None]:
    """Hold the lock of a study; raises ProjectError where another search has it."""
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


def _search(root: Path, settings: "SearchSettings", options: "SearchOptions") -> bool:
    """Continue a study until it has enough finished trials, and report what it found.

    Returns:
        Whether someone asked it to stop.
    """
    from ..search.run import Search, Terminal, plan_search, stop_on_signals

    _silence_optuna()
    plan = plan_search(root, settings, options)
    _print_remarks(plan)
    terminal = Terminal(_report_folder(root, settings.study), options.trials)
    search = Search(plan, terminal)
    for line in search.start().summary():
        print(f"{settings.study}: {line}")
    stop_on_signals(search.pool)
    try:
        with terminal:
            search.run()
    finally:
        search.finish()
        _print_report(search)
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


def _report_folder(root: Path, study: str) -> Path:
    return root / "reports/search" / study


def _print_report(search: "Search") -> None:
    from optuna.trial import TrialState

    from ..repository.reader import Reader, name_in_dvc
    from ..search import summary
    from ..search.run import make_folder

    plan = search.plan
    study = search.study.optuna
    states = search.study.count()
    complete = states[TrialState.COMPLETE]
    finished = complete + states[TrialState.PRUNED]
    print(f"{study.study_name}: {summary.totals(study)}")
    if complete:
        folder = make_folder(_report_folder(plan.root, study.study_name))
        summary.write_trials(study, folder / "trials.csv")
        summary.write_figures(study, folder)
        print(summary.table(study))
        print(f"Figures, and all trials as a table, are in {os.path.relpath(folder)}")
        with Reader(plan.root) as reader:
            name = partial(name_in_dvc, reader)
            print(summary.recommend(study, reader.experiments(), plan.baseline, name))
        # Said before the trials ran, too; between the two can be days.
        _print_remarks(plan)
    if search.pool.interrupts:
        print("Stopped; run the same command to continue")
    elif finished >= plan.options.trials:
        more = 2 * plan.options.trials
        print(f"For more:  locatable search --study {study.study_name} --trials {more}")


def _mirror() -> int:
    import subprocess
    import sys

    return subprocess.run((sys.executable, "-m", "locatable", "mirror"), check=False).returncode
