"""Workers on this machine, in processes of their own: for a search, or for an optimiser with its own loop.

from locatable import TrialRunner

with TrialRunner(["reports/train/metrics.json:valid.loss"]) as runner:
    runner.run("mine-0", {"train.rate": 0.1}).values
"""

import os
import queue
import shutil
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from ..clones import CLONE_VARIABLE, kill_processes
from ..clones.trial_clone import CloneSetup, read_project
from ..errors import ProjectError
from ..git import git
from ..repository import find_project
from ..results.processor import write_processor
from .messages import (
    Complete,
    Failed,
    Job,
    PoolMessage,
    Receive,
    Unusable,
    WorkerMessage,
    from_json,
    to_json,
)


def study_folder(root: Path) -> Path:
    """Return the folder of a project for what its searches need while they run."""
    return root / ".dvc/tmp/search"


class LocalWorker:
    """A process with its clone in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            (sys.executable, "-m", "locatable.search.worker"),
            env={**os.environ, CLONE_VARIABLE: str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            # Ctrl-C is for the search alone: it does not mean that trials are to fail.
            start_new_session=True,
        )

    def relay(self, receive: Receive) -> None:
        """Pass on all that it says, and its end."""
        for line in cast(IO[str], self.process.stdout):
            receive(self, cast(WorkerMessage, from_json(line)))
        receive(self, None)

    def send(self, message: PoolMessage) -> None:
        """Send it a message; where it has died, that is received as its end."""
        with suppress(BrokenPipeError):
            print(to_json(message), file=self.process.stdin, flush=True)

    def clean_up(self) -> None:
        """Remove what it left, after its end."""
        kill_processes(self.folder)
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class LocalBackend:
    """A number of processes.

    Args:
        setup: how each worker makes its clone.
        folder: for the clones; it belongs to this search alone.
        workers: how many run at a time.
    """

    def __init__(self, setup: CloneSetup, folder: Path, workers: int) -> None:
        self._setup = setup
        self._folder = folder
        self._capacity = workers
        self._started: list[LocalWorker] = []

    @property
    def clones(self) -> str:
        """The folder of the clones, in words."""
        return str(self._folder)

    def capacity(self) -> int:
        """Return how many workers can run at a time."""
        return self._capacity

    def start_worker(self, receive: Receive) -> LocalWorker:
        """Start a worker, which is sent its setup."""
        worker = LocalWorker(self._folder / str(len(self._started)))
        self._started.append(worker)
        worker.send(self._setup)
        threading.Thread(target=worker.relay, args=(receive,), daemon=True).start()
        return worker

    def shut_down(self) -> None:
        """Stop all workers, at once, and return when they have ended."""
        kill_processes(self._folder)
        for worker in self._started:
            worker.process.wait()


@dataclass(frozen=True)
class FinishedTrial:
    """A trial that is an experiment in the repository now.

    Attributes:
        rev: its commit.
        values: of the metrics, in their order.
    """

    rev: str
    values: list[float]


class TrialRunner:
    """A worker of a search, in a clone of its own, which starts each trial from the last commit.

    Several can run at a time, also in several processes. The context manager removes the clone.

    Args:
        metrics: each as file:dotted.key.
        repo: a folder of the repository.

    Raises:
        LocatableError: there is no project, or no clone of it can be made.
    """

    def __init__(self, metrics: Iterable[str], repo: str | Path = ".") -> None:
        self._root = find_project(Path(repo))
        self._metrics = list(metrics)
        self._messages: queue.Queue[WorkerMessage | None] = queue.Queue()
        setup = read_project(self._root).clone_setup(git(self._root, "rev-parse", "HEAD"))
        self._folder = study_folder(self._root).resolve() / f"runner-{uuid.uuid4().hex[:12]}"
        self._backend = LocalBackend(setup, self._folder, 1)
        self._worker = self._backend.start_worker(lambda _, message: self._messages.put(message))
        # Ready, unless it cannot begin.
        message = self._messages.get()
        if message is None or isinstance(message, Unusable):
            self.close()
            reason = message.error if message else "it died"
            raise ProjectError(f"a worker cannot begin: {reason}")

    def __enter__(self) -> "TrialRunner":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def run(self, experiment: str, params: Mapping[str, Any]) -> FinishedTrial:
        """Run one trial.

        Args:
            experiment: the name that it gets; `STUDY-NUMBER` is shown as a trial of that study.
            params: value by key, as after `dvc exp run -S`.

        Raises:
            ProjectError: it failed; the message says why.
            GitError: its processor cannot be noted; the experiment is there.
        """
        self._worker.send(Job(experiment, dict(params), self._metrics))
        message = self._messages.get()
        if message is None:
            self._messages.put(None)  # the next trial is not to wait for a dead worker
        if not isinstance(message, Complete):
            reason = message.error if isinstance(message, Failed) else "its worker died"
            raise ProjectError(f"{experiment} failed: {reason}")
        if message.processor:
            write_processor(self._root, message.rev, message.processor)
        return FinishedTrial(message.rev, message.values)

    def close(self) -> None:
        """Stop the worker, and remove its clone."""
        self._backend.shut_down()
        shutil.rmtree(self._folder, ignore_errors=True)
