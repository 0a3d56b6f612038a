"""A search's worker: runs the trials it is sent, one after another, in a clone of its own.

    SEARCH_CLONE=/where/to/clone python -m locatable.search.worker

It reads and writes the `messages` of a search, one a line.
"""

import io
import math
import os
import queue
import shutil
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import cast

from ..clones.processes import CLONE_VARIABLE, kill_processes
from ..clones.trial_clone import Clone
from ..errors import GitError, LocatableError, UnreadableError
from ..git import REPOSITORY_VARIABLES
from ..model import Key
from ..results.processor import describe_processor
from .messages import (
    Complete,
    Failed,
    Job,
    Pruned,
    Ready,
    Stop,
    TrialResult,
    Unusable,
    WorkerMessage,
    WorkerSetup,
    from_json,
    to_json,
)
from .missing_files import remark_on
from .series import SeriesWatcher

# Lines of a failed trial's output that are kept.
LOG_LINES = 30
# Bytes without which nothing can be written.
LEAST_SPACE = 1 << 20


def run_trial(
    clone: Clone, job: Job, stop: threading.Event, log: Path, reply: Callable[[WorkerMessage], None]
) -> TrialResult:
    """Run one trial; its experiment is pushed to the user's repository only when it is complete.

    Args:
        clone: where to run it.
        job: the trial.
        stop: set from outside to prune it.
        log: where its output goes.
        reply: called with each new point of the series.
    """
    try:
        clone.reset()
        rev = _run_watched(clone, job, stop, reply)
        if rev is None:
            return Pruned()
        values = [_finite_number(clone, rev, metric) for metric in job.metrics]
        _push(clone, job.experiment, rev)
        return Complete(rev, values)
    except Exception as error:
        # Children of a stage can outlive it.
        kill_processes(clone.folder, stages_only=True)
        if stop.is_set():
            return Pruned()
        return _failure(clone, error, log)


def _run_watched(
    clone: Clone, job: Job, stop: threading.Event, reply: Callable[[WorkerMessage], None]
) -> str | None:
    """Revision of the experiment, with its series reported meanwhile; None where it was stopped."""
    path = clone.root / job.series if job.series else None
    watcher = SeriesWatcher(clone.folder, path, stop, reply)
    done = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watcher.watch, done)
        try:
            rev = None
            if job.same_params_rev:
                rev = clone.copy_experiment(job.experiment, job.same_params_rev, job.memory)
            if rev is None:
                metric_files = {Key.parse(metric).file for metric in job.metrics}
                rev = clone.run(job.experiment, job.params, metric_files, job.memory)
            # A wish to stop that comes later comes too late.
            was_stopped = stop.is_set()
        finally:
            done.set()
    try:
        watching.result()
    except UnreadableError as error:
        raise UnreadableError(f"{job.series}: {error.message}") from None
    return None if was_stopped else rev


def _finite_number(clone: Clone, rev: str, metric: str) -> float:
    value = clone.read(rev, metric)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UnreadableError(f"{metric} is {value!r}, which is no finite number")
    return float(value)


def _push(clone: Clone, experiment: str, rev: str) -> None:
    try:
        clone.push(experiment, rev)
    except GitError:
        # It can break off after all has arrived; or the other side is still at it.
        kill_processes(clone.folder)
        if not clone.has_arrived(experiment, rev):
            raise


def _failure(clone: Clone, error: Exception, log: Path) -> Failed:
    said = _explain(error)
    # What fails first on a full disk seldom says that it is one.
    if shutil.disk_usage(clone.folder).free < LEAST_SPACE:
        said += "; no space left on device"
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    kept = "\n".join(lines[-LOG_LINES:])
    return Failed(said, kept, remark_on(clone, f"{kept}\n{said}"))


def _explain(error: Exception) -> str:
    """One line where something outside went wrong, a traceback where we did."""
    match error:
        case GitError():
            lines = [line for line in error.stderr.splitlines() if not line.startswith("hint:")]
            command = error.message.partition(":")[0]
            return f"{command}: {' '.join(lines) or error}"
        case LocatableError():
            return error.message
        case OSError():
            return str(error)
    return "".join(traceback.format_exception(error))


def _receive(jobs: queue.Queue[WorkerSetup | Job | None], stop: threading.Event) -> None:
    """Sort what comes in: jobs to the queue, and at the end None; wishes to stop, or the end, to `stop`."""
    for line in sys.stdin:
        message = from_json(line)
        if isinstance(message, Stop):
            stop.set()
        elif isinstance(message, WorkerSetup | Job):
            # Here and not where the job starts: whatever comes later is meant for it.
            stop.clear()
            jobs.put(message)
    stop.set()
    jobs.put(None)


def _redirect_output(log: Path) -> int:
    """Have DVC, and stages, which inherit the standard output, write to a log; returns its descriptor."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    cast(io.TextIOWrapper, sys.stdout).reconfigure(line_buffering=True)
    return output


def _forget_other_repository() -> None:
    """Drop what DVC sets for the stage, or the experiment, that a search may itself be run by, and Git for a
    hook: DVC, and stages, use Git, too.
    """
    for name in list(os.environ):
        if name.startswith("DVC_EXP_") or name in ("DVC_ROOT", "DVC_STAGE", *REPOSITORY_VARIABLES):
            del os.environ[name]


def main() -> None:
    """Serve the search at the other end of the pipes."""
    # DVC and Git see through links, so names must not hide behind any.
    folder = Path(os.environ[CLONE_VARIABLE]).resolve()
    os.environ[CLONE_VARIABLE] = str(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    log = folder.with_name(f"{folder.name}.log")
    messages = os.fdopen(os.dup(1), "w", encoding="utf-8")
    output = _redirect_output(log)
    _forget_other_repository()
    stop = threading.Event()
    jobs: queue.Queue[WorkerSetup | Job | None] = queue.Queue()

    def reply(message: WorkerMessage) -> None:
        try:
            print(to_json(message), file=messages, flush=True)
        except BrokenPipeError:
            stop.set()

    threading.Thread(target=_receive, args=(jobs, stop), daemon=True).start()
    setup = jobs.get()
    if not isinstance(setup, WorkerSetup):
        return
    # Meanwhile: to ask takes as long as a small trial.
    describing = ThreadPoolExecutor(1).submit(describe_processor, [sys.executable], os.environ)
    try:
        clone = Clone(folder, setup.clone)
    except Exception as error:
        reply(Unusable(_explain(error)))
        return
    reply(Ready())
    while isinstance(job := jobs.get(), Job):
        os.ftruncate(output, 0)
        result = run_trial(clone, job, stop, log, reply)
        if isinstance(result, Complete) and not job.same_params_rev:
            result = replace(result, processor=describing.result())
        reply(result)


if __name__ == "__main__":
    main()
