"""Finds the experiments that run now, from DVC's own records.

It writes nothing, takes no locks, and does not run Git.

DVC keeps a `.run` file for each experiment that it runs. The process that runs it is recorded in a file
beside it, or in the locks of the folder where its stages run. A `dvc repro` is only recorded by those locks.
A worker of a search keeps a `.run` file for each trial beside its clone; if the worker is on another machine,
the search keeps copies of both.
"""

import json
import os
import posixpath
import re
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, IntEnum
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil

from ..model import PARAMS_FILE, Record, holder, is_series
from .parsing import MOST_TEXT
from .snapshot import Snapshot

RECORD = ".run"
# The locations of a `dvc repro` and of a trial; DVC's own locations have DVC's names.
REPRO = "repro"
SEARCH = "search"
# Seconds that DVC may take to collect the result of an experiment after its process has ended.
COLLECTING = 60
# Seconds by which a process can seem younger than a file that names it, because file systems have their own
# clocks.
TOLERANCE = 2
# An invalid file may be half written if it changed less than this many seconds ago.
WRITING = 1
# Seconds between two attempts to read such a file.
PAUSE = 0.01
# The start time of a process if the system does not tell it; earlier than any file that names the process.
UNKNOWN = 1
# The command of a `dvc repro` in DVC's locks.
REPRO_COMMAND = re.compile(r"dvc\S*(\s+--cd\s+\S+|\s+-\S+)*\s+repro(\s|$)")


class TaskStatus(IntEnum):
    """The values of `status` in DVC's `.run` files."""

    RUNNING = 2
    SUCCESS = 3
    FAILED = 4
    FINISHED = 6


class State(Enum):
    """The state of an experiment, in MLflow's words."""

    RUNNING = "RUNNING"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"


@dataclass(frozen=True)
class Running:
    """An experiment, a trial or a `dvc repro` that is running, or that ended and still has a record.

    Attributes:
        id: an id of this run alone, which every process that reads the record computes in the same way.
        name: the name of the experiment; empty for `dvc repro`.
        baseline: the commit that it started from; empty for `dvc repro`, which starts from HEAD.
        location: `workspace`, `tempdir`, `dvc-task` (the queue), `search` or `repro`.
        folder: the DVC root its stages run in, or a copy of its watched files if that is on another machine.
        began: when it began, in milliseconds since 1970.
        state: whether it is running, or how it ended.
        start: a revision that contains the files it started with.
        elsewhere: `HOST:FOLDER` if the stages run on another machine; otherwise empty.
    """

    id: str
    name: str
    baseline: str
    location: str
    folder: Path
    began: int
    state: State
    start: str
    elsewhere: str = ""


class RunningExperiments:
    """Finds the experiments that run in a checkout. Repeated calls only read the files that have changed.

    Args:
        root: the DVC root.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._tmp = root / ".dvc/tmp"
        # The time of the last change, the size and the content of each file that was read.
        self._read: dict[Path, tuple[int, int, dict[str, Any]]] = {}
        # The experiments that have ended, by the path of their record, with the time it was written.
        self._ended: dict[str, tuple[int, Running]] = {}
        # The `dvc repro` runs found so far, by process id. Between two stages DVC holds no lock, and only the
        # process itself shows that it is still running.
        self._repros: dict[int, Running] = {}

    def find(self) -> list[Running]:
        """Return the runs in progress, and those that ended but still have a record."""
        found = []
        for place in self._record_files():
            ended = self._ended.get(place)
            if ended and ended[0] == _written(place):
                found.append(ended[1])
                continue
            with suppress(KeyError, TypeError, ValueError):  # not as DVC writes it
                found += self._experiment(Path(place))
        return found + list(self._repro(found))

    def ending_of(self, run_id: str, began: int) -> State:
        """Return the state of a run without a record: it has ended, or is a `dvc repro` between two stages.

        Args:
            run_id: the id of the run.
            began: when it began, in milliseconds since 1970.
        """
        location, *numbers = run_id.split("-")
        if location == SEARCH:
            return State.KILLED  # most trials without a result are pruned
        if location != REPRO:
            return State.FAILED
        pid, age = map(int, numbers)
        if _since_boot(_birth(pid)) == age:
            return State.RUNNING  # between two stages
        recorded = _written(self._root / "dvc.lock")
        if recorded < 1_000_000 * began:
            return State.KILLED if pid in self._owners(self._root) else State.FAILED
        # DVC writes dvc.lock after it has released the locks of a stage. If it took locks again after that,
        # the last stage has failed or was skipped; DVC's files do not show which.
        return State.FINISHED if recorded >= _written(self._tmp / "rwlock") else State.KILLED

    def _record_files(self) -> Iterator[str]:
        """Yield the paths of all `.run` files of DVC and of searches."""
        for folder in ("exps/run", "exps/standalone/run"):
            for name in _names(f"{self._tmp}/{folder}"):
                yield f"{self._tmp}/{folder}/{name}/{name}{RECORD}"
        for name in _names(f"{self._tmp}/search"):
            for file in _names(f"{self._tmp}/search/{name}"):
                if file.endswith(RECORD):
                    yield f"{self._tmp}/search/{name}/{file}"

    def _experiment(self, file: Path) -> list[Running]:
        """Return the experiment of a `.run` file; empty while it is queued or being prepared.

        Raises:
            KeyError, TypeError or ValueError: the file is not as DVC writes it.
        """
        written, record = self._json(file)
        if not record or record["status"] < TaskStatus.RUNNING:
            return []
        location = record["location"]
        process = file.with_suffix(".json")
        folder = Path(record["root_dir"], posixpath.dirname(record["dvc_dir"]))
        if location == SEARCH:
            run_id, start = f"{SEARCH}-{record['name']}-{record['began']}", record["baseline_rev"]
        elif location == "workspace":
            # All experiments in the workspace share one `.run` file, but the file of the process is written
            # once for each, so the time when it was written identifies the experiment.
            run_id, start = f"{location}-{self._json(process)[0]}", "refs/exps/exec/EXEC_MERGE"
        else:
            run_id, start = f"{location}-{file.stem}", file.stem
        experiment = Running(
            id=run_id,
            name=record["name"] or "",
            baseline=record["baseline_rev"],
            location=location,
            folder=folder,
            began=int(record.get("began") or written // 1_000_000),
            state=self._state(record, written, process, folder),
            start=start,
            elsewhere=record.get("elsewhere", ""),
        )
        if record["status"] > TaskStatus.SUCCESS:
            self._ended[str(file)] = (written, experiment)
        return [experiment]

    def _state(self, record: Mapping[str, Any], written: int, process: Path, folder: Path) -> State:
        """Return an experiment's state from its record, or from its process if the record does not decide."""
        status = record["status"]
        if status == TaskStatus.FAILED:
            return State.FAILED
        if status > TaskStatus.FAILED:
            # DVC also writes FINISHED for an experiment that was interrupted or killed, but without a result.
            return State.FINISHED if record.get("result_hash") else State.KILLED
        is_collecting = status == TaskStatus.SUCCESS and time.time() - written / 1e9 < COLLECTING
        return State.RUNNING if is_collecting or self._is_alive(process, record, folder) else State.KILLED

    def _is_alive(self, process: Path, record: Mapping[str, Any], folder: Path) -> bool:
        """Return whether the process of an experiment is alive: the one in its record, or in the locks."""
        written, named = self._json(process)
        pid = record.get("pid") or named.get("pid")
        if pid:
            return _is_older(pid, written or _written(process.with_suffix(RECORD)))
        owners = dict.fromkeys(self._owners(folder), _written(folder / ".dvc/tmp/rwlock"))
        lock = folder / ".dvc/tmp/lock"
        with suppress(OSError, ValueError):
            owners.setdefault(int(lock.read_text()), _written(lock))
        return any(_is_older(pid, locked) for pid, locked in owners.items())

    def _repro(self, experiments: list[Running]) -> Iterator[Running]:
        """Yield each `dvc repro` of the checkout: a process that holds its locks and runs no experiment."""
        is_experiment = any(one.folder == self._root and one.state is State.RUNNING for one in experiments)
        owners = {} if is_experiment else self._owners(self._root)
        for pid, command in owners.items():
            born = _birth(pid)
            if born > UNKNOWN and REPRO_COMMAND.search(command):
                run_id = f"{REPRO}-{pid}-{_since_boot(born)}"
                self._repros[pid] = Running(run_id, "", "", REPRO, self._root, born, State.RUNNING, "HEAD")
        for pid, repro in list(self._repros.items()):
            if repro.id == f"{REPRO}-{pid}-{_since_boot(_birth(pid))}":
                yield repro
            else:
                del self._repros[pid]

    def _owners(self, root: Path) -> dict[int, str]:
        """Return the processes that hold a write lock on outputs, as commands by process id."""
        owners = {}
        with suppress(AttributeError, KeyError, TypeError):  # not as DVC writes it
            for owner in self._json(root / ".dvc/tmp/rwlock")[1].get("write", {}).values():
                owners[owner["pid"]] = str(owner["cmd"])
        return owners

    def _json(self, file: Path) -> tuple[int, dict[str, Any]]:
        """Return when a JSON file was written, in nanoseconds since 1970, and its keys.

        The time is 0 if the file does not exist. The keys are empty if the file is broken or has no mapping.
        """
        while True:
            try:
                status = file.stat()
                read = self._read.get(file)
                if read and read[:2] == (status.st_mtime_ns, status.st_size):
                    return read[0], read[2]
                content = json.loads(file.read_bytes())
            except OSError:
                self._read.pop(file, None)
                return 0, {}
            except ValueError:
                # The file may be half written. Its writer needs only a moment, so read it again.
                if abs(time.time() - status.st_mtime) < WRITING:
                    time.sleep(PAUSE)
                    continue
                content = {}
            keys = content if isinstance(content, dict) else {}
            self._read[file] = (status.st_mtime_ns, status.st_size, keys)
            return status.st_mtime_ns, keys


def _names(folder: str) -> list[str]:
    """Return the names in a folder; empty if the folder does not exist or cannot be read."""
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _written(file: str | Path) -> int:
    """Return when a file was written, in nanoseconds since 1970; 0 if it does not exist."""
    try:
        return os.stat(file).st_mtime_ns
    except OSError:
        return 0


def _birth(pid: int) -> int:
    """Return when a process was started, in milliseconds since 1970; 0 if it has ended."""
    try:
        process = psutil.Process(pid)
        return 0 if process.status() == psutil.STATUS_ZOMBIE else round(1000 * process.create_time())
    except psutil.ZombieProcess:
        return 0
    except psutil.Error:
        # The process belongs to another user, and some systems then only tell that it exists.
        return UNKNOWN if psutil.pid_exists(pid) else 0
    except (TypeError, ValueError, OverflowError):
        return 0


def _since_boot(born: int) -> int:
    """Return a start time relative to boot, in milliseconds: it does not change when the clock is set."""
    return born - round(1000 * psutil.boot_time())


def _is_older(pid: int, written: int) -> bool:
    """Return whether a process is alive and was started before a file that names it was written.

    Otherwise a new process has got the same number.
    """
    born = _birth(pid)
    return 0 < born <= written // 1_000_000 + 1000 * TOLERANCE


@dataclass
class WorkingTree(Snapshot):
    """The files of a running experiment: its start revision, with the pipeline and params of its folder.

    Attributes:
        folder: the DVC root that its stages run in.
    """

    folder: Path = Path()

    @classmethod
    def of(cls, start: Snapshot, folder: Path) -> "WorkingTree":
        """Return the working tree of an experiment from its start revision and its folder."""
        files = {}
        for path in ("dvc.yaml", *start.files):
            if posixpath.basename(path) == "dvc.yaml" and (folder / path).is_file():
                files[path] = (folder / path).read_bytes()
        return cls(start.reader, start.rev, start.commit, start.tree, {}, files, folder=folder)

    @cached_property
    def records(self) -> dict[str, Record]:
        """Always empty, because dvc.lock still has the records of earlier runs."""
        return {}

    def kept_files(self, path: str) -> dict[str, bytes]:
        """Return the current content of a file, or of all files in a folder, by path."""
        contents = {}
        for file in files_at(self.folder, path):
            with suppress(OSError):
                contents[file] = (self.folder / file).read_bytes()
        return contents

    def read(self, path: str) -> bytes | None:
        """Return the current content of a file; None if it does not exist."""
        return self.kept_files(path).get(path)

    @property
    def inputs(self) -> list[str]:
        """Paths of the files that define the experiment: params files and dvc.yaml files.

        Raises:
            UnreadableError: a dvc.yaml is broken.
        """
        paths = [PARAMS_FILE, *self.files]
        for pipeline in self.pipelines.values():
            paths += [*pipeline.params, *pipeline.variables]
            for stage in pipeline.stages.values():
                paths += stage.params
        return list(dict.fromkeys(paths))

    def measured(self) -> Iterator[str]:
        """Yield the paths of the existing files with metrics or series.

        Raises:
            UnreadableError: a dvc.yaml is broken.
        """
        paths = [*self.metric_files, *self.plot_files]
        for stage in self.stages.values():
            paths += [path for path, out in stage.outs.items() if not out.cached]
        for path in dict.fromkeys(paths):
            for file in files_at(self.folder, path):
                if is_series(file) or holder(self.metric_files, file):
                    yield file


def files_at(root: Path, path: str) -> Iterator[str]:
    """Yield the path of a file, or of a folder's files, except special files and those over `MOST_TEXT`."""
    names = [path]
    for folder, _, files in os.walk(root / path):
        names += [posixpath.join(os.path.relpath(folder, root), file) for file in files]
    for name in names:
        with suppress(OSError):
            status = os.stat(root / name)
            if stat.S_ISREG(status.st_mode) and status.st_size <= MOST_TEXT:
                yield posixpath.normpath(name)
