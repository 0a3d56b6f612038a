"""A worker of a search: a process that runs trials, one after another, in its own clone.

    SEARCH_CLONE=/where/to/clone python -m locatable.search.worker

It reads messages from its standard input and writes its own to its standard output, one per line. While a
trial runs, the worker watches the trial's series. On another machine than the search's, it also sends the
files that the trial writes. If a trial fails, the worker looks for files that its output names and that only
the user's checkout has.
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
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import cast

from ..clones import CLONE_VARIABLE, INTERVAL, kill_processes
from ..clones.trial_clone import Clone, CloneSetup, stamp
from ..errors import GitError, LocatableError, UnreadableError
from ..git import REPOSITORY_VARIABLES, untracked_names
from ..model import Key, is_inside
from ..repository.reader import Reader
from ..repository.running import WorkingTree
from ..results.processor import Processor, describe_processor
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

# How many lines at the end of a failed trial's output are reported.
LOG_LINES = 30
# Seconds between two checks for files to send from another machine. Not shorter, as folders can be large.
SEND_INTERVAL = 0.5
# With fewer free bytes than this, the disk counts as full.
LEAST_SPACE = 1 << 20


class SeriesWatcher:
    """Reports the new points of a trial's series, and kills the stages of a trial that should stop.

    Args:
        folder: the clone in which the trial runs.
        path: the series; None if it should not be reported.
        stop: set by another thread when the trial should stop.
        report: called with each new point.
        files: sends the trial's files while it runs; None if the clone is on the search's machine.
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
        # While the stamp of the file is the same, the file is still that of the baseline.
        self._baseline_stamp = stamp(path) if path else None
        self._reported = 0

    def watch(self, done: threading.Event) -> None:
        """Watch the trial until `done` is set.

        Raises:
            UnreadableError: the file is not a series.
        """
        unreadable: UnreadableError | None = None
        has_ended = False
        while not has_ended:
            # After the end there is one more round, for the last points.
            has_ended = done.wait(INTERVAL)
            if self._files:
                self._files.send()
            if self._stop.is_set():
                # Kill stages in every round, because DVC may start the next one.
                kill_processes(self._folder, stages_only=True)
            elif self._path and not unreadable:
                try:
                    self._report_new_points(self._path)
                except UnreadableError as error:
                    unreadable = error
        if unreadable:
            raise unreadable

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
    """Sends the files of a running trial on another machine, so that the search's machine can show them.

    Args:
        clone: the clone in which the trial runs.
        reply: sends a message to the search's machine.
    """

    def __init__(self, clone: Clone, reply: Callable[[WorkerMessage], None]) -> None:
        self._clone = clone
        self._reply = reply
        self._tree: WorkingTree | None = None
        # When the trial began, in nanoseconds since 1970.
        self._began = 0
        # The value of `time.monotonic()` before which nothing is sent.
        self._next = 0.0
        # The modification time and the content of each file when it was sent last, by path.
        self._sent: dict[str, tuple[int, bytes]] = {}

    def send(self) -> None:
        """Send everything that is new since the last call, beginning when the trial's params are written."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + SEND_INTERVAL
        # Ignore all errors: the trial does not depend on being watched, and a file that cannot be read yet is
        # tried again in the next call.
        with suppress(Exception):
            if self._tree is None:
                self._send_inputs()
            elif self._clone.record.exists():
                for path in filter(is_inside, self._tree.measured()):
                    self._send_if_written(path)

    def _send_inputs(self) -> None:
        record = json.loads(self._clone.record.read_text(encoding="utf-8"))
        root = self._clone.root
        files = {}
        with Reader(root) as reader:
            tree = WorkingTree.of(reader.snapshot(self._clone.baseline), root)
            for path in filter(is_inside, tree.inputs):
                for file, content in tree.kept_files(path).items():
                    files[file] = content.decode("utf-8", "surrogateescape")
        self._began = 1_000_000 * record["began"]
        self._reply(Began(record, files))
        self._tree = tree

    def _send_if_written(self, path: str) -> None:
        file = self._clone.root / path
        time_written = file.stat().st_mtime_ns
        time_sent, sent = self._sent.get(path, (0, b""))
        if time_written == time_sent or time_written < self._began:
            return
        content = file.read_bytes()
        # Usually the file has only grown, so send only the new part.
        start = len(sent) if content.startswith(sent) else 0
        self._reply(Written(path, start, content[start:].decode("utf-8", "surrogateescape"), time_written))
        self._sent[path] = time_written, content


def remark_on(clone: Clone, log: str) -> str:
    """Return a remark about files that a failed trial's clone lacks; empty if it lacks none.

    Args:
        clone: the clone in which the trial ran.
        log: the output of the trial.
    """
    remarks = [submodule.problem for submodule in clone.submodules if submodule.problem]
    missing = _missing_files(clone, log) if clone.shared else []
    if missing:
        remarks.append(
            f"trials run in clones, and Git does not track {', '.join(missing)}, which your checkout has: "
            "`git add` or `dvc add` it; pass a secret in an environment variable"
        )
    return "; ".join(remarks)


def _missing_files(clone: Clone, log: str) -> list[str]:
    """Return the untracked files of the user's checkout that a log names and that the clone lacks."""
    top = Path(clone.url)
    folders = []
    for folder in clone.working_folders:
        folders.append(folder.relative_to(clone.folder))
        # Make absolute paths relative to the folder of a stage, like the other paths that stages print.
        log = log.replace(f"{folder}/", "")
    log = re.sub(r"(?<![\w.])\./", "", log)
    names = []
    for name in untracked_names(top):
        path = clone.folder / name
        # Leave out the outputs of stages, the files in them, and the folders that contain them.
        if not any(path.is_relative_to(out) or out.is_relative_to(path) for out in clone.outputs):
            names.append(name)
    missing = []
    for name in dict.fromkeys(mentioned_files(names, folders, log)):
        if (top / name).exists() and not (clone.folder / name).exists():
            missing.append(name)
    return missing


def mentioned_files(names: Iterable[str], folders: Iterable[Path], text: str) -> Iterator[str]:
    """Yield the files and folders that a text names, relative to the Git root.

    For a folder, the path of the file in it is returned if the text names one.

    Args:
        names: the paths of files and folders, relative to the Git root. Those of folders end with a slash.
        folders: the folders in which stages run, relative to the Git root.
        text: the output of the stages.
    """
    for name in names:
        path = Path(name)
        for folder in folders:
            if not path.is_relative_to(folder) or path == folder:
                continue
            mentioned = _mention(path.relative_to(folder).as_posix(), name.endswith("/"), text)
            if mentioned is not None:
                yield (folder / mentioned).as_posix()
                break


def _mention(path: str, is_folder: bool, text: str) -> str | None:
    """Return the path by which a text names a file, or a file in a folder; None if it does not.

    Args:
        path: the path of the file or folder, as a stage would write it.
        is_folder: true for a folder.
        text: the output of the stage.
    """
    inside = r"(?:/[\w./-]*\w)?" if is_folder else ""
    found = re.search(rf"(?<![\w./-]){re.escape(path)}{inside}(?![\w/-]|\.\w)", text)
    if found:
        return found[0]
    # If an import fails, Python names the module and not its file.
    module = path.removesuffix(".py")
    is_module = is_folder or module != path
    missing_module = rf"No module named ['\"]{re.escape(module.replace('/', '.'))}\b"
    return path if is_module and re.search(missing_module, text) else None


def run_trial(
    clone: Clone,
    job: Job,
    stop: threading.Event,
    log: Path,
    reply: Callable[[WorkerMessage], None],
    processor: Future[Processor],
) -> TrialResult:
    """Run one trial, and push its experiment to the user's repository if it is complete.

    Args:
        clone: the clone in which the trial runs.
        job: the trial.
        stop: set by another thread to prune the trial.
        log: the file to which the worker's output is redirected.
        reply: called with each message about the running trial, such as a new point of its series.
        processor: the processor of this machine, which is recorded unless an earlier result is copied.
    """
    try:
        clone.reset()
        copy = None
        if job.same_params_rev:
            copy = clone.copy_experiment(job.experiment, job.same_params_rev, job.memory)
        rev = copy or _run_watched(clone, job, stop, reply)
        if rev is None:
            return Pruned()
        values = [_finite_number(clone, rev, metric) for metric in job.metrics]
        computed_on = None if copy else processor.result()
        try:
            clone.push(job.experiment, rev)
        except GitError:
            # The push can fail after the experiment has arrived, or its other side may still be running.
            # Kill that, and then find out.
            kill_processes(clone.folder)
            if not clone.has_arrived(job.experiment, rev):
                raise
        return Complete(rev, values, computed_on)
    except Exception as error:
        # Processes that a stage started can outlive the stage.
        kill_processes(clone.folder, stages_only=True)
        if stop.is_set():
            return Pruned()
        return _failure(clone, error, log)
    finally:
        clone.record.unlink(missing_ok=True)


def _run_watched(
    clone: Clone, job: Job, stop: threading.Event, reply: Callable[[WorkerMessage], None]
) -> str | None:
    """Run a trial while its series is reported.

    Returns:
        The revision of its experiment, which is not pushed yet; None if the trial was stopped.
    """
    path = clone.root / job.series if job.series else None
    files = None if clone.shared else TrialFiles(clone, reply)
    watcher = SeriesWatcher(clone.folder, path, stop, reply, files)
    done = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watcher.watch, done)
        try:
            metric_files = {Key.parse(metric).file for metric in job.metrics}
            rev = clone.run(job.experiment, job.params, metric_files, job.memory)
            # A Stop that is received after this point is too late and has no effect.
            was_stopped = stop.is_set()
        finally:
            done.set()
    try:
        watching.result()
    except UnreadableError as error:
        raise UnreadableError(f"{job.series}: {error.message}") from None
    return None if was_stopped else rev


def _finite_number(clone: Clone, rev: str, metric: str) -> float:
    """Return the value of a metric.

    Raises:
        UnreadableError: the value is missing, or not a finite number.
    """
    value = clone.read(rev, metric)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UnreadableError(f"{metric} is {value!r}, which is not a finite number")
    return float(value)


def _failure(clone: Clone, error: Exception, log: Path) -> Failed:
    """Return the message about a failed trial, with the end of its output."""
    reason = _reason(error)
    # The first error on a full disk often does not say that the disk is full.
    if shutil.disk_usage(clone.folder).free < LEAST_SPACE:
        reason += "; no space left on device"
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    last_lines = "\n".join(lines[-LOG_LINES:])
    return Failed(reason, last_lines, remark_on(clone, f"{last_lines}\n{reason}"))


def _reason(error: Exception) -> str:
    """Return an expected error as one line, and any other error, which is a bug, as a traceback."""
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
    """Put each setup and job from the standard input into the queue, and None at the end of the input.

    `stop` is set when a Stop is received, and at the end of the input.
    """
    for line in sys.stdin:
        message = from_json(line)
        if isinstance(message, Stop):
            stop.set()
        elif isinstance(message, CloneSetup | Job):
            # Clear the flag when the job is queued, not when it starts: a Stop that is received after the job
            # was queued is meant for this job.
            stop.clear()
            jobs.put(message)
    stop.set()
    jobs.put(None)


def _redirect_output(log: Path) -> int:
    """Redirect the output of this process, and of the stages that inherit it, to a log file.

    Returns:
        The file descriptor of the log.
    """
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    cast(io.TextIOWrapper, sys.stdout).reconfigure(line_buffering=True)
    return output


def main() -> None:
    """Run the trials that arrive by the standard input, until it ends."""
    # Resolve links in the path of the clone, as DVC and Git do, so that paths can be compared.
    folder = Path(os.environ[CLONE_VARIABLE]).resolve()
    os.environ[CLONE_VARIABLE] = str(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    log = folder.with_name(f"{folder.name}.log")
    messages = os.fdopen(os.dup(1), "w", encoding="utf-8")
    output = _redirect_output(log)
    # The search itself may run in a stage, an experiment or a Git hook. Remove the variables that these set,
    # because otherwise DVC and Git would apply them to the trials.
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
    # Describe the processor in the background, because that can take as long as a small trial.
    processor = ThreadPoolExecutor(1).submit(describe_processor, [sys.executable], os.environ)
    try:
        clone = Clone(folder, setup)
    except Exception as error:
        reply(Unusable(_reason(error)))
        return
    reply(Ready())
    while isinstance(job := jobs.get(), Job):
        os.ftruncate(output, 0)
        reply(run_trial(clone, job, stop, log, reply, processor))


if __name__ == "__main__":
    main()
