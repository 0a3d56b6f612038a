"""What DVC runs now, by its own records: nothing is started, locked or written, and Git is not asked.

DVC keeps a `.run` file of each experiment that it runs. Which process does so is beside it, or in the locks
of the folder where its stages work; `dvc repro` is known by those locks alone. A worker of a search keeps a
`.run` file of each trial beside its clone; of one on another machine, the search keeps a copy of both.
"""

import json
import os
import posixpath
import re
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum, IntEnum
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil

from ..model import PARAMS_FILE, Record, holder, is_series
from .parsing import MOST_TEXT
from .snapshot import Snapshot

RECORD = ".run"
# Where stages of `dvc repro` and of trials run; the other locations are words of DVC's.
REPRO = "repro"
SEARCH = "search"
# Seconds for DVC to bring a result into the repository after the process that made it has ended.
COLLECTING = 60
# Seconds by which a process can seem younger than a file that names it, for the clocks of file systems.
TOLERANCE = 2
# Seconds in which a broken file may be one that is being written, and between two attempts to read it.
WRITING = 1
PAUSE = 0.01
# When a process was started of which this machine does not say that: before any file that names it.
UNKNOWN = 1
# As DVC's locks name a command.
REPRO_COMMAND = re.compile(r"dvc\S*(\s+--cd\s+\S+|\s+-\S+)*\s+repro(\s|$)")


class TaskStatus(IntEnum):
    """What DVC says in a `.run` file."""

    RUNNING = 2
    SUCCESS = 3
    FAILED = 4
    FINISHED = 6


class State(Enum):
    """How an experiment stands; the values are MLflow's words."""

    RUNNING = "RUNNING"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"


@dataclass(frozen=True)
class Running:
    """An experiment, a trial or a `dvc repro` that runs, or that ended and whose record is still there.

    Attributes:
        id: the same in every process that reads the record, and never that of another run.
        name: of the experiment; empty for `dvc repro`.
        baseline: the commit that it started from; empty for `dvc repro`, which starts from HEAD.
        location: `workspace`, `tempdir`, `dvc-task` (the queue), `search` or `repro`.
        folder: the DVC root that its stages run in; of those on another machine, a copy of what is watched.
        began: when, in milliseconds since 1970.
        state: whether it runs.
        start: a revision that holds what it started with.
        elsewhere: `HOST:FOLDER` of stages on another machine; else empty.
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
    """Finds what runs in a checkout, again and again: a file that did not change is not read again.

    Args:
        root: the DVC root.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._tmp = root / ".dvc/tmp"
        # When each file was written, how long it was, and its keys.
        self._read: dict[Path, tuple[int, int, dict[str, Any]]] = {}
        # What each record told that says that its experiment has ended, and when it was written.
        self._ended: dict[str, tuple[int, Running]] = {}
        # Each `dvc repro` that was found: between two stages, nothing but its process tells that it runs.
        self._repros: dict[int, Running] = {}

    def find(self) -> list[Running]:
        """Return what runs, and what ended of which there still is a record."""
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
        """Return how a run stands of which there is no record: it ended, or is between stages."""
        location, *own = run_id.split("-")
        if location == SEARCH:
            return State.KILLED  # most trials without a result are pruned
        if location != REPRO:
            return State.FAILED
        pid, age = map(int, own)
        if _since_boot(_birth(pid)) == age:
            return State.RUNNING  # between two stages
        recorded = _written(self._root / "dvc.lock")
        if recorded < 1_000_000 * began:
            return State.KILLED if pid in self._owners(self._root) else State.FAILED
        # DVC records a stage when it has given back its locks. Where it took others since then, a stage
        # failed, or did not have to run: its files are the same in both cases.
        return State.FINISHED if recorded >= _written(self._tmp / "rwlock") else State.KILLED

    def _record_files(self) -> Iterator[str]:
        for folder in ("exps/run", "exps/standalone/run"):
            for name in _names(f"{self._tmp}/{folder}"):
                yield f"{self._tmp}/{folder}/{name}/{name}{RECORD}"
        for name in _names(f"{self._tmp}/search"):
            for file in _names(f"{self._tmp}/search/{name}"):
                if file.endswith(RECORD):
                    yield f"{self._tmp}/search/{name}/{file}"

    def _experiment(self, file: Path) -> list[Running]:
        """Return what a `.run` file tells: nothing while it waits or is prepared.

        Raises:
            KeyError, TypeError or ValueError: it tells something else.
        """
        written, record = self._json(file)
        if not record or record["status"] < TaskStatus.RUNNING:
            return []
        location = record["location"]
        process = file.with_suffix(".json")
        if location == SEARCH:
            own, start = f"{SEARCH}-{record['name']}-{record['began']}", record["baseline_rev"]
        elif location == "workspace":
            # One file for all; that of the process is written once.
            own, start = f"{location}-{self._json(process)[0]}", "refs/exps/exec/EXEC_MERGE"
        else:
            own, start = f"{location}-{file.stem}", file.stem
        one = Running(
            id=own,
            name=record["name"] or "",
            baseline=record["baseline_rev"],
            location=location,
            folder=Path(record["root_dir"], posixpath.dirname(record["dvc_dir"])),
            began=int(record.get("began") or written // 1_000_000),
            state=State.RUNNING,
            start=start,
            elsewhere=record.get("elsewhere", ""),
        )
        one = replace(one, state=self._state(record, written, process, one.folder))
        if record["status"] > TaskStatus.SUCCESS:
            self._ended[str(file)] = (written, one)
        return [one]

    def _state(self, record: Mapping[str, Any], written: int, process: Path, folder: Path) -> State:
        status = record["status"]
        if status == TaskStatus.FAILED:
            return State.FAILED
        if status > TaskStatus.FAILED:
            # Of what was interrupted or killed, DVC says that it has finished, too: without a result.
            return State.FINISHED if record.get("result_hash") else State.KILLED
        is_collected = status == TaskStatus.SUCCESS and time.time() - written / 1e9 < COLLECTING
        return State.RUNNING if is_collected or self._is_alive(process, record, folder) else State.KILLED

    def _is_alive(self, process: Path, record: Mapping[str, Any], folder: Path) -> bool:
        """Return whether the process lives that runs an experiment: by its own file, else by the locks."""
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
        """Yield each `dvc repro` in the checkout itself: what holds its locks and is no experiment."""
        is_experiment = any(one.folder == self._root and one.state is State.RUNNING for one in experiments)
        owners = {} if is_experiment else self._owners(self._root)
        for pid, command in owners.items():
            born = _birth(pid)
            if born > UNKNOWN and REPRO_COMMAND.search(command):
                own = f"{REPRO}-{pid}-{_since_boot(born)}"
                self._repros[pid] = Running(own, "", "", REPRO, self._root, born, State.RUNNING, "HEAD")
        for pid, one in list(self._repros.items()):
            if one.id == f"{REPRO}-{pid}-{_since_boot(_birth(pid))}":
                yield one
            else:
                del self._repros[pid]

    def _owners(self, root: Path) -> dict[int, str]:
        """Return the command by its process of what writes outputs."""
        owners = {}
        with suppress(AttributeError, KeyError, TypeError):  # not as DVC writes it
            for owner in self._json(root / ".dvc/tmp/rwlock")[1].get("write", {}).values():
                owners[owner["pid"]] = str(owner["cmd"])
        return owners

    def _json(self, file: Path) -> tuple[int, dict[str, Any]]:
        """Return when a file was written, in nanoseconds since 1970, and its keys; none of a broken one."""
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
                # Half written: what writes it, is done in no time.
                if abs(time.time() - status.st_mtime) < WRITING:
                    time.sleep(PAUSE)
                    continue
                content = {}
            keys = content if isinstance(content, dict) else {}
            self._read[file] = (status.st_mtime_ns, status.st_size, keys)
            return status.st_mtime_ns, keys


def _names(folder: str) -> list[str]:
    """Return what is in a folder; nothing where it is gone or cannot be read."""
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _written(file: str | Path) -> int:
    """Return when a file was written, in nanoseconds since 1970; 0 where there is none."""
    try:
        return os.stat(file).st_mtime_ns
    except OSError:
        return 0


def _birth(pid: int) -> int:
    """Return when a process was started, in milliseconds since 1970; 0 where it has ended."""
    try:
        process = psutil.Process(pid)
        return 0 if process.status() == psutil.STATUS_ZOMBIE else round(1000 * process.create_time())
    except psutil.ZombieProcess:
        return 0
    except psutil.Error:
        # Another user's, of which some systems tell nothing else.
        return UNKNOWN if psutil.pid_exists(pid) else 0
    except (TypeError, ValueError, OverflowError):
        return 0


def _since_boot(born: int) -> int:
    """Return when a process was started as it stays when the clock is set, in milliseconds."""
    return born - round(1000 * psutil.boot_time())


def _is_older(pid: int, written: int) -> bool:
    """Return whether a process lives, and is the one that was named then: numbers are used again."""
    born = _birth(pid)
    return 0 < born <= written // 1_000_000 + 1000 * TOLERANCE


@dataclass
class WorkingTree(Snapshot):
    """What a running experiment works with: its revision, with the pipeline and params of its folder.

    Attributes:
        folder: the DVC root that its stages run in.
    """

    folder: Path = Path()

    @classmethod
    def of(cls, start: Snapshot, folder: Path) -> "WorkingTree":
        """Return the folder of what started with a revision."""
        files = {}
        for path in ("dvc.yaml", *start.files):
            if posixpath.basename(path) == "dvc.yaml" and (folder / path).is_file():
                files[path] = (folder / path).read_bytes()
        return cls(start.reader, start.rev, start.commit, start.tree, {}, files, folder=folder)

    @cached_property
    def records(self) -> dict[str, Record]:
        """None: what dvc.lock says is of earlier runs."""
        return {}

    def kept_files(self, path: str) -> dict[str, bytes]:
        """Return content by path of a file, or of a folder's files, as they are now."""
        contents = {}
        for file in files_at(self.folder, path):
            with suppress(OSError):
                contents[file] = (self.folder / file).read_bytes()
        return contents

    def read(self, path: str) -> bytes | None:
        """Return content of a file as it is now, None when there is none."""
        return self.kept_files(path).get(path)

    @property
    def inputs(self) -> list[str]:
        """Paths of the files that say what it runs, and with which params.

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
        """Yield paths of the files of metrics and series that are there.

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
    """Yield paths of a file, or of the files in a folder, that can be read: no pipes, none too large."""
    names = [path]
    for folder, _, files in os.walk(root / path):
        names += [posixpath.join(os.path.relpath(folder, root), file) for file in files]
    for name in names:
        with suppress(OSError):
            status = os.stat(root / name)
            if stat.S_ISREG(status.st_mode) and status.st_size <= MOST_TEXT:
                yield posixpath.normpath(name)
