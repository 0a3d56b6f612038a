"""A worker of a search: runs the trials it is sent, one after another, in a clone of its own.

    SEARCH_CLONE=/where/to/clone python -m locatable.search.worker

It reads and writes the `messages` of a search, one a line. While a trial runs, its series is watched, and
what it writes is sent, where that is another machine than the search's. When one fails, the worker looks for
files that stages asked for and that only the user's checkout has.
"""

import io
import json
import math
import os
import queue
import re
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import cast

from ..clones import CLONE_VARIABLE, INTERVAL, kill_processes
from ..clones.trial_clone import Clone, CloneSetup, stamp
from ..errors import GitError, LocatableError, UnreadableError
from ..git import REPOSITORY_VARIABLES, untracked_names
from ..model import Key
from ..repository.reader import Reader
from ..repository.running import WorkingTree
from ..results.processor import describe_processor
from .messages import (
    Began,
    Complete,
    Failed,
    Job,
    Progress,
    Pruned,
    Ready,
    Stop,
    TrialResult,
    Unusable,
    WorkerMessage,
    Written,
    from_json,
    points,
    to_json,
)

# Lines of a failed trial's output that are kept.
LOG_LINES = 30
# Seconds between two looks at what a trial wrote, for those who watch it: folders can be large.
SEND_INTERVAL = 0.5
# Bytes without which nothing can be written.
LEAST_SPACE = 1 << 20


class SeriesWatcher:
    """Reports a growing series, and kills the stages of a trial that has to stop.

    Args:
        folder: the clone in which the trial runs.
        path: the series; None where there is none to report.
        stop: set from outside when the trial has to stop.
        report: called with each new point.
        files: sent while the trial runs; None where those who watch it see the clone.
    """

    def __init__(
        self,
        folder: Path,
        path: Path | None,
        stop: threading.Event,
        report: Callable[[Progress], None],
        files: "TrialFiles | None" = None,
    ) -> None:
        self._folder = folder
        self._path = path
        self._stop = stop
        self._report = report
        self._files = files
        # Until this changes, the series is still the baseline's.
        self._baseline_stamp = stamp(path) if path else None
        self._reported = 0

    def watch(self, done: threading.Event) -> None:
        """Watch until the trial is done.

        Raises:
            UnreadableError: the file is not a series.
        """
        fault: UnreadableError | None = None
        ended = False
        while not ended:
            # Once more at the end: the last steps may have come since.
            ended = done.wait(INTERVAL)
            if self._files:
                self._files.send()
            if self._stop.is_set():
                # Again and again: DVC may start another stage.
                kill_processes(self._folder, stages_only=True)
            elif self._path and not fault:
                try:
                    self._report_new_points(self._path)
                except UnreadableError as error:
                    fault = error
        if fault:
            raise fault

    def _report_new_points(self, path: Path) -> None:
        if stamp(path) in (None, self._baseline_stamp):
            return
        try:
            series = list(points(path.name, path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return
        except ValueError as error:
            raise UnreadableError(str(error)) from None
        for point in series[self._reported :]:
            self._report(point)
        self._reported = len(series)


class TrialFiles:
    """Sends, of a clone on another machine, what those who watch its trial need, as it is written.

    Args:
        clone: the clone.
        reply: sends a message to the search's machine.
    """

    def __init__(self, clone: Clone, reply: Callable[[WorkerMessage], None]) -> None:
        self._clone = clone
        self._reply = reply
        self._tree: WorkingTree | None = None
        self._began = 0
        self._next = 0.0
        self._sent: dict[str, tuple[int, bytes]] = {}

    def send(self) -> None:
        """Send what is new since the last time; nothing before the trial's params are written."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + SEND_INTERVAL
        # Nobody may be watching, and what cannot be read now may be when it is whole: no fault of the trial.
        with suppress(Exception):
            if self._tree is None:
                self._begin()
            elif self._clone.record.exists():
                for path in filter(_is_inside, self._tree.measured()):
                    self._send_growth(path)

    def _begin(self) -> None:
        record = json.loads(self._clone.record.read_text(encoding="utf-8"))
        root = self._clone.root
        files = {}
        with Reader(root) as reader:
            tree = WorkingTree.of(reader.snapshot(self._clone.baseline), root)
            for path in filter(_is_inside, tree.inputs):
                for file, content in tree.kept_files(path).items():
                    files[file] = content.decode("utf-8", "surrogateescape")
        self._began = 1_000_000 * record["began"]
        self._reply(Began(record, files))
        self._tree = tree

    def _send_growth(self, path: str) -> None:
        place = self._clone.root / path
        written = place.stat().st_mtime_ns
        before, sent = self._sent.get(path, (self._began - 1, b""))
        if written == before or written < self._began:
            return
        content = place.read_bytes()
        start = len(sent) if content.startswith(sent) else 0
        self._reply(Written(path, start, content[start:].decode("utf-8", "surrogateescape"), written))
        self._sent[path] = written, content


def _is_inside(path: str) -> bool:
    return not path.startswith("../")


def remark_on(clone: Clone, log: str) -> str:
    """Return a remark on a failed trial: files that its clone lacks; empty where there are none."""
    remarks = [submodule.problem for submodule in clone.submodules if submodule.problem]
    missing = _missing_files(clone, log) if clone.shared else []
    if missing:
        remarks.append(
            f"trials run in clones, and Git does not track {', '.join(missing)}, which your checkout has: "
            "`git add` or `dvc add` it; pass a secret in an environment variable"
        )
    return "; ".join(remarks)


def _missing_files(clone: Clone, log: str) -> list[str]:
    """Return the files that a log names, the user's checkout has, and Git does not track."""
    top = Path(clone.url)
    folders = []
    for folder in clone.working_folders:
        folders.append(folder.relative_to(clone.folder))
        # Absolute paths of the clone become those that a stage would write.
        log = log.replace(f"{folder}/", "")
    log = re.sub(r"(?<![\w.])\./", "", log)
    names = []
    for name in untracked_names(top):
        path = clone.folder / name
        # An output of a stage, a folder of one, or a file in one.
        if not any(path.is_relative_to(out) or out.is_relative_to(path) for out in clone.outputs):
            names.append(name)
    missing = []
    for name in dict.fromkeys(mentioned_files(names, folders, log)):
        if (top / name).exists() and not (clone.folder / name).exists():
            missing.append(name)
    return missing


def mentioned_files(names: Iterable[str], folders: Iterable[Path], text: str) -> Iterator[str]:
    """Yield the files and folders that a text names, as seen from the Git root.

    Args:
        names: of files, and of folders with a slash at the end.
        folders: that stages run in, as seen from the Git root.
        text: what stages printed.
    """
    for name in names:
        path = Path(name)
        for folder in folders:
            if not path.is_relative_to(folder) or path == folder:
                continue
            seen = path.relative_to(folder).as_posix()
            found = _mention(seen, name.endswith("/"), text)
            if found is not None:
                yield (folder / found).as_posix()
                break


def _mention(seen: str, is_folder: bool, text: str) -> str | None:
    """Return the words in which a text names a file, or something in a folder; None where it does not."""
    inside = r"(?:/[\w./-]*\w)?" if is_folder else ""
    found = re.search(rf"(?<![\w./-]){re.escape(seen)}{inside}(?![\w/-]|\.\w)", text)
    if found:
        return found[0]
    # Python has other words for a file that it imports.
    module = seen.removesuffix(".py")
    is_module = is_folder or module != seen
    missing_module = rf"No module named ['\"]{re.escape(module.replace('/', '.'))}\b"
    return seen if is_module and re.search(missing_module, text) else None


def run_trial(
    clone: Clone, job: Job, stop: threading.Event, log: Path, reply: Callable[[WorkerMessage], None]
) -> TrialResult:
    """Run one trial; its experiment is pushed to the user's repository only when it is complete.

    `stop` is set from outside to prune it; `reply` is called with each new point of the series.
    """
    try:
        clone.reset()
        rev = _run_watched(clone, job, stop, reply)
        if rev is None:
            return Pruned()
        values = [_finite_number(clone, rev, metric) for metric in job.metrics]
        try:
            clone.push(job.experiment, rev)
        except GitError:
            # It can break off after all has arrived; or the other side is still at it.
            kill_processes(clone.folder)
            if not clone.has_arrived(job.experiment, rev):
                raise
        return Complete(rev, values)
    except Exception as error:
        # Children of a stage can outlive it.
        kill_processes(clone.folder, stages_only=True)
        if stop.is_set():
            return Pruned()
        return _failure(clone, error, log)
    finally:
        clone.record.unlink(missing_ok=True)


def _run_watched(
    clone: Clone, job: Job, stop: threading.Event, reply: Callable[[WorkerMessage], None]
) -> str | None:
    """Run a trial while its series is reported; return its revision, None where it was stopped."""
    path = clone.root / job.series if job.series else None
    files = None if clone.shared else TrialFiles(clone, reply)
    watcher = SeriesWatcher(clone.folder, path, stop, reply, files)
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
            # A Stop that comes later comes too late.
            was_stopped = stop.is_set()
        finally:
            done.set()
    try:
        watching.result()
    except UnreadableError as error:
        raise UnreadableError(f"{job.series}: {error.message}") from None
    return None if was_stopped else rev


def _finite_number(clone: Clone, rev: str, metric: str) -> float:
    """Read a metric; raises UnreadableError where it is no finite number."""
    value = clone.read(rev, metric)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UnreadableError(f"{metric} is {value!r}, which is no finite number")
    return float(value)


def _failure(clone: Clone, error: Exception, log: Path) -> Failed:
    """Say why a trial failed, with the end of its output."""
    said = _explain(error)
    # What fails first on a full disk seldom says that it is one.
    if shutil.disk_usage(clone.folder).free < LEAST_SPACE:
        said += "; no space left on device"
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    kept = "\n".join(lines[-LOG_LINES:])
    return Failed(said, kept, remark_on(clone, f"{kept}\n{said}"))


def _explain(error: Exception) -> str:
    """Return one line where something outside went wrong, a traceback where it is our fault."""
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


def _receive(jobs: queue.Queue[CloneSetup | Job | None], stop: threading.Event) -> None:
    """Put jobs into the queue, and None at the end of the input; set `stop` for a Stop, and at the end."""
    for line in sys.stdin:
        message = from_json(line)
        if isinstance(message, Stop):
            stop.set()
        elif isinstance(message, CloneSetup | Job):
            # Here, not where the job starts: a Stop that comes after a job is meant for it.
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


def main() -> None:
    """Serve the search at the other end of the pipes."""
    # DVC and Git see through links, so names must not hide behind any.
    folder = Path(os.environ[CLONE_VARIABLE]).resolve()
    os.environ[CLONE_VARIABLE] = str(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    log = folder.with_name(f"{folder.name}.log")
    messages = os.fdopen(os.dup(1), "w", encoding="utf-8")
    output = _redirect_output(log)
    # Of the stage, experiment or Git hook that the search itself may run in: DVC would take them for its own.
    for name in list(os.environ):
        if name.startswith("DVC_EXP_") or name in ("DVC_ROOT", "DVC_STAGE", *REPOSITORY_VARIABLES):
            del os.environ[name]
    stop = threading.Event()
    jobs: queue.Queue[CloneSetup | Job | None] = queue.Queue()

    def reply(message: WorkerMessage) -> None:
        try:
            print(to_json(message), file=messages, flush=True)
        except BrokenPipeError:
            stop.set()

    threading.Thread(target=_receive, args=(jobs, stop), daemon=True).start()
    setup = jobs.get()
    if not isinstance(setup, CloneSetup):
        return
    # Meanwhile: to ask takes as long as a small trial.
    describing = ThreadPoolExecutor(1).submit(describe_processor, [sys.executable], os.environ)
    try:
        clone = Clone(folder, setup)
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
