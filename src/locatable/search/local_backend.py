"""Workers on this machine, in processes of their own."""

import os
import shutil
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from ..clones.processes import CLONE_VARIABLE, kill_processes
from ..clones.trial_clone import CloneSetup
from .backend import Receive, Worker
from .messages import PoolMessage, WorkerMessage, WorkerSetup, from_json, to_json


@dataclass(eq=False, kw_only=True)
class LocalWorker(Worker):
    """A process with its clone in `folder`."""

    folder: Path
    process: subprocess.Popen[str]

    def send(self, message: PoolMessage) -> None:
        """Send it a message; where it has died, that is received as its end."""
        with suppress(BrokenPipeError):
            print(to_json(message), file=self.process.stdin, flush=True)

    def close(self) -> None:
        """Close its input, which ends it."""
        with suppress(BrokenPipeError):
            cast(IO[str], self.process.stdin).close()

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
        self._setup = WorkerSetup(setup)
        self._folder = folder
        self._capacity = workers
        self._started: list[LocalWorker] = []

    @property
    def clones(self) -> str:
        """Where the workers have their clones, in words."""
        return str(self._folder)

    def capacity(self) -> int:
        """How many workers can run at a time."""
        return self._capacity

    def start_worker(self, receive: Receive) -> LocalWorker:
        """Start a worker, which is sent its setup."""
        folder = self._folder / str(len(self._started))
        process = subprocess.Popen(
            (sys.executable, "-m", "locatable.search.worker"),
            env={**os.environ, CLONE_VARIABLE: str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            # Ctrl-C is for the search alone: it does not mean that trials are to fail.
            start_new_session=True,
        )
        worker = LocalWorker(folder=folder, process=process)
        self._started.append(worker)
        worker.send(self._setup)
        threading.Thread(target=_relay, args=(worker, receive), daemon=True).start()
        return worker

    def shut_down(self) -> None:
        """Stop all workers, at once, and return when they have ended."""
        for worker in self._started:
            worker.close()
        if any(worker.running for worker in self._started):
            kill_processes(self._folder)
        for worker in self._started:
            worker.process.wait()


def _relay(worker: LocalWorker, receive: Receive) -> None:
    for line in cast(IO[str], worker.process.stdout):
        receive(worker, cast(WorkerMessage, from_json(line)))
    receive(worker, None)
