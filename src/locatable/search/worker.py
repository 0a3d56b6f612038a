"""A search's worker: runs the trials it is told of, one after another, in a clone of its own.

    SEARCH_CLONE=/where/to/clone python -m locatable.search.worker

It speaks JSON lines and is told all it needs by plain values, so that it can run on any machine:

    in   {"baseline": …, "url": …, …}                          the arguments of `clone.Clone`
    out  {"state": "ready"}                                    or "unusable", with "error"
    in   {"name": …, "params": {"train.lr": 0.1}, "metrics": ["metrics.json:loss"], "series": null}
    out  {"step": 3, "value": 0.2}                             while the series grows
    in   {"stop": true}                                        prunes the trial
    out  {"state": "complete", "rev": …, "values": [0.1]}      or "pruned", or "failed" with "error" and "log"

The end of its input stops it at once.
"""

import contextlib
import json
import math
import os
import queue
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil

from ..dvc.clone import Clone
from ..errors import GitError
from .series import points

CLONE = "SEARCH_CLONE"
# Seconds between two looks at a growing series, or at the processes of a trial that has to stop.
LOOK = 0.2
# Lines of a failed trial's output that are kept.
LINES = 30
# Bytes without which nothing can be written.
ROOM = 1 << 20
Reply = Callable[..., None]


def run(clone: Clone, job: dict[str, Any], stop: threading.Event, log: Path, reply: Reply) -> dict[str, Any]:
    """Run one trial and say how it ended; its experiment is brought home only when it is complete.

    Args:
        clone: where to run it.
        job: name, params, metrics (each file:dotted.key) and series (a file, or None); same, if there is one:
            the revision of an experiment with these params, which is not run twice.
        stop: set from outside to prune it.
        log: where its output goes.
        reply: called with step and value of each new point of the series.
    """
    done = threading.Event()
    try:
        clone.reset()
        with ThreadPoolExecutor(1) as pool:
            watching = pool.submit(_watch, clone, job["series"], stop, done, reply)
            try:
                same = job.get("same") and clone.again(job["name"], job["same"])
                rev = same or clone.run(job["name"], job["params"])
                # A wish to stop that comes later comes too late.
                stopped = stop.is_set()
            finally:
                done.set()
        watching.result()
        if not stopped:
            values = [_number(clone, rev, metric) for metric in job["metrics"]]
            _bring(clone, job["name"], rev)
            return {"state": "complete", "rev": rev, "values": values}
    except Exception as error:
        # Children of a stage can outlive it.
        sweep(clone.folder, stages_only=True)
        if not stop.is_set():
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
            # What fails first on a full disk seldom says that it is one.
            full = "; no space left on device" if shutil.disk_usage(clone.folder).free < ROOM else ""
            return {"state": "failed", "error": _explain(error) + full, "log": "\n".join(lines[-LINES:])}
    return {"state": "pruned"}


def _bring(clone: Clone, name: str, rev: str) -> None:
    try:
        clone.push(name, rev)
    except GitError:
        # It can break off after all has arrived; or the other side is still at it.
        sweep(clone.folder)
        if not clone.arrived(name, rev):
            raise


def _number(clone: Clone, rev: str, metric: str) -> float:
    value = clone.read(rev, metric)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{metric} is {value!r}, which is no finite number")
    return float(value)


def _explain(error: Exception) -> str:
    """One line where something outside went wrong, a traceback where we did."""
    from dvc.exceptions import DvcException
    from scmrepo.exceptions import SCMError

    match error:
        case GitError():
            said = [line for line in error.stderr.splitlines() if not line.startswith("hint:")]
            return f"{error.message.partition(':')[0]}: {' '.join(said) or error}"
        case DvcException() | SCMError() | OSError() | ValueError():
            causes = [error]
            while cause := causes[-1].__cause__ or causes[-1].__context__:
                causes.append(cause)
            return "; ".join(dict.fromkeys(" ".join(str(cause).split()) for cause in causes if str(cause)))
    return traceback.format_exc()


def _watch(
    clone: Clone, series: str | None, stop: threading.Event, done: threading.Event, reply: Reply
) -> None:
    """Report a growing series; kill the trial's stages when it has to stop, those that start later too.

    Raises:
        ValueError: the series is none.
    """
    path = clone.root / (series or "no series")
    old, told, trouble, ended = _stamp(path), 0, None, False
    while not ended:
        # Once more at the end: the last steps may have come since.
        ended = done.wait(LOOK)
        if stop.is_set():
            sweep(clone.folder, stages_only=True)
        elif not trouble and _stamp(path) not in (old, None):
            try:
                rows = list(points(path.name, path.read_text(encoding="utf-8")))
            except FileNotFoundError:
                continue
            except ValueError as error:
                trouble = error
                continue
            for step, value in rows[told:]:
                reply(step=step, value=value)
            told = len(rows)
    if trouble:
        raise ValueError(f"{series}: {trouble}")


def _stamp(path: Path) -> tuple[int, int] | None:
    """Until this changes, a series is still the baseline's."""
    try:
        return path.stat().st_ino, path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def sweep(folder: Path, *, stages_only: bool = False, patience: float = 30) -> None:
    """Kill all workers with a clone in `folder`, and all processes that their stages started.

    They are known by the environment they started with, which children in groups and sessions of their own
    have too, or by where they work, if their command scrubs its environment. A `git push` of a worker writes
    to the user's repository: it has `patience` seconds to end.
    """
    started = time.monotonic()
    while alive := [found for found in processes(folder) if found[1] or not stages_only]:
        for process, of_stage in alive:
            with contextlib.suppress(psutil.Error):
                late = time.monotonic() - started > patience
                if of_stage or late or not process.name().startswith("git"):
                    process.kill()
        psutil.wait_procs([process for process, _ in alive], LOOK)


def processes(folder: Path) -> Iterator[tuple[psutil.Process, bool]]:
    """Processes of all clones in `folder`, and whether a stage started them."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            environ = {} if process.pid == os.getpid() else process.environ()
            if Path(environ.get(CLONE, "/")).is_relative_to(folder):
                yield process, "DVC_STAGE" in environ
            # A shell in which someone looks around there has a terminal.
            elif environ and Path(process.cwd()).is_relative_to(folder) and not process.terminal():
                yield process, True


def _listen(jobs: queue.Queue, stop: threading.Event) -> None:
    for line in sys.stdin:
        message = json.loads(line)
        if message.get("stop"):
            stop.set()
        else:
            # Here and not where the job starts: whatever comes later is meant for it.
            stop.clear()
            jobs.put(message)
    stop.set()
    jobs.put(None)


def main() -> None:
    """Serve the search at the other end of the pipes."""
    # DVC and Git see through links, so names must not hide behind any.
    folder = Path(os.environ[CLONE]).resolve()
    os.environ[CLONE] = str(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    log = folder.with_name(f"{folder.name}.log")
    # Stages write to the standard output that they inherit: what is said to the search goes another way.
    said = os.fdopen(os.dup(1), "w", encoding="utf-8")
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.stdout.reconfigure(line_buffering=True)
    for name in [
        name for name in os.environ if name.startswith("DVC_EXP_") or name in ("DVC_ROOT", "DVC_STAGE")
    ]:
        del os.environ[name]

    stop, jobs = threading.Event(), queue.Queue()

    def reply(**message: Any) -> None:
        try:
            print(json.dumps(message), file=said, flush=True)
        except BrokenPipeError:
            stop.set()

    threading.Thread(target=_listen, args=(jobs, stop), daemon=True).start()
    if not (setup := jobs.get()):
        return
    try:
        clone = Clone(folder, **setup)
    except Exception as error:
        reply(state="unusable", error=_explain(error))
        return
    reply(state="ready")
    while job := jobs.get():
        os.ftruncate(output, 0)
        reply(**run(clone, job, stop, log, reply))


if __name__ == "__main__":
    main()
