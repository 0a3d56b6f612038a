"""What DVC runs now, by its own records: nothing is started, locked or written, and Git is not asked.

DVC keeps a `.run` file of each experiment that it runs. Which process does so is beside it, or in the locks
of the folder where its stages work; `dvc repro` is known by those locks alone. A worker of a search keeps a
`.run` file of each trial beside its clone.
"""

import json
import os
import posixpath
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

from ..model import Record
from .parsing import MOST_TEXT
from .snapshot import Snapshot

RECORD = ".run"
# Where stages of `dvc repro` and of trials run; the other locations are words of DVC's.
REPRO = "repro"
SEARCH = "search"
# Seconds for DVC to bring a result into the repository after the process that made it has ended.
COLLECTING = 60
# How much later than a process a file that names it can seem to be, for the clocks of file systems.
TOLERANCE = 2


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
        folder: the DVC root that its stages run in.
        began: when, in milliseconds since 1970.
        state: whether it runs.
        start: a revision that holds what it started with.
    """

    id: str
    name: str
    baseline: str
    location: str
    folder: Path
    began: int
    state: State
    start: str


class RunningExperiments:
    """Finds what runs in a checkout, again and again: a file that did not change is not read again.

    Args:
        root: the DVC root.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._tmp = root / ".dvc/tmp"
        # Content of each file, and the time at which it was written.
        self._read: dict[Path, tuple[int, Any]] = {}
        # Each `dvc repro` that was found: between two stages, nothing but its process tells that it runs.
        self._repros: dict[int, Running] = {}

    def find(self) -> list[Running]:
        """Return what runs, and what ended of which there still is a record."""
        found = []
        for file in self._record_files():
            written, record = self._json(file)
            if record.get("status", 0) >= TaskStatus.RUNNING:
                with suppress(KeyError, TypeError, ValueError):  # not as DVC writes it
                    found.append(self._experiment(file, record, written))
        return found + list(self._repro(found))

    def ending_of(self, run_id: str) -> State:
        """Return how a run stands that was found before and is not now: it ended, or is between stages."""
        location, *own = run_id.split("-")
        if location == SEARCH:
            return State.KILLED  # most trials without a result are pruned
        if location != REPRO:
            return State.FAILED
        pid, born = map(int, own)
        if _birth(pid) == born:
            return State.RUNNING  # between two stages
        if pid in self._owners(self._root):
            return State.KILLED  # it could not give back its locks
        return State.FINISHED if self._recorded_since(born) else State.FAILED

    def _record_files(self) -> Iterator[Path]:
        for folder in ("exps/run", "exps/standalone/run"):
            with suppress(OSError):
                for name in os.listdir(self._tmp / folder):
                    yield self._tmp / folder / name / f"{name}{RECORD}"
        yield from self._tmp.glob(f"search/*/*{RECORD}")

    def _experiment(self, file: Path, record: Mapping[str, Any], written: int) -> Running:
        """Return what a `.run` file tells.

        Raises:
            KeyError, TypeError or ValueError: it tells something else.
        """
        location = record["location"]
        folder = Path(record["root_dir"], posixpath.dirname(record["dvc_dir"]))
        process = file.with_suffix(".json")
        if location == SEARCH:
            own, start = f"{SEARCH}-{record['name']}-{record['began']}", record["baseline_rev"]
        elif location == "workspace":
            # One file for all; that of the process is written once.
            own, start = f"{location}-{self._json(process)[0]}", "refs/exps/exec/EXEC_MERGE"
        else:
            own, start = f"{location}-{file.stem}", file.stem
        return Running(
            id=own,
            name=record["name"] or "",
            baseline=record["baseline_rev"],
            location=location,
            folder=folder,
            began=int(record.get("began") or written // 1_000_000),
            state=self._state(record, written, self._is_alive(process, record, folder)),
            start=start,
        )

    def _state(self, record: Mapping[str, Any], written: int, is_alive: bool) -> State:
        status = record["status"]
        if status == TaskStatus.RUNNING:
            return State.RUNNING if is_alive else State.KILLED
        if status == TaskStatus.SUCCESS:
            is_collected = time.time() - written / 1e9 > COLLECTING and not is_alive
            return State.FINISHED if is_collected else State.RUNNING
        return State.FINISHED if status == TaskStatus.FINISHED else State.FAILED

    def _is_alive(self, process: Path, record: Mapping[str, Any], folder: Path) -> bool:
        """Return whether the process lives that runs an experiment: by its own file, else by the locks."""
        written, named = self._json(process)
        pid = record.get("pid") or named.get("pid")
        if pid:
            return _is_older(pid, written or self._json(process.with_suffix(RECORD))[0])
        lock = folder / ".dvc/tmp/lock"
        try:
            owners = {int(lock.read_text()): lock.stat().st_mtime_ns}
        except (OSError, ValueError):
            owners = {}
        owners |= self._owners(folder)
        return any(_is_older(pid, locked) for pid, locked in owners.items())

    def _repro(self, experiments: list[Running]) -> Iterator[Running]:
        """Yield each `dvc repro` in the checkout itself: what holds its locks and is no experiment."""
        is_experiment = any(one.folder == self._root and one.state is State.RUNNING for one in experiments)
        owners = {} if is_experiment else self._owners(self._root, commands=True)
        for pid, command in owners.items():
            born = _birth(pid)
            if born and REPRO in str(command).split():
                own = f"{REPRO}-{pid}-{born}"
                self._repros[pid] = Running(own, "", "", REPRO, self._root, born, State.RUNNING, "HEAD")
        for pid, one in list(self._repros.items()):
            if _birth(pid) == one.began:
                yield one
            else:
                del self._repros[pid]

    def _owners(self, root: Path, commands: bool = False) -> dict[int, Any]:
        """Return which processes write outputs: the time of the lock by process, or the command."""
        written, locks = self._json(root / ".dvc/tmp/rwlock")
        owners = {}
        with suppress(AttributeError, KeyError, TypeError):  # not as DVC writes it
            for owner in locks.get("write", {}).values():
                owners[owner["pid"]] = owner["cmd"] if commands else written
        return owners

    def _recorded_since(self, began: int) -> bool:
        """Return whether DVC recorded results of the checkout since then."""
        try:
            return (self._root / "dvc.lock").stat().st_mtime >= began / 1000
        except OSError:
            return False

    def _json(self, file: Path) -> tuple[int, dict[str, Any]]:
        """Return when a file was written, in nanoseconds since 1970, and its keys; none of a broken one."""
        try:
            written = file.stat().st_mtime_ns
            if self._read.get(file, (0, {}))[0] != written:
                self._read[file] = (written, json.loads(file.read_bytes()))
        except FileNotFoundError:
            self._read.pop(file, None)
            return 0, {}
        except (OSError, ValueError):
            return 0, {}  # half written: the next look has all of it
        written, content = self._read[file]
        return written, content if isinstance(content, dict) else {}


def _birth(pid: int) -> int:
    """Return when a process was started, in milliseconds since 1970; 0 where it has ended."""
    try:
        process = psutil.Process(pid)
        return 0 if process.status() == psutil.STATUS_ZOMBIE else round(1000 * process.create_time())
    except (psutil.Error, ValueError, OverflowError):
        return 0


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
    def watched(self) -> list[str]:
        """Paths at which it writes metrics and series.

        Raises:
            UnreadableError: a dvc.yaml is broken.
        """
        outs = [path for stage in self.stages.values() for path, out in stage.outs.items() if not out.cached]
        return list(dict.fromkeys([*self.metric_files, *self.plot_files, *outs]))


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
