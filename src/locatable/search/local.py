"""Workers of this machine, in processes of their own."""

import json
import os
import shutil
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from .pool import Hear, Worker
from .worker import CLONE, sweep


@dataclass(eq=False, kw_only=True)
class Process(Worker):
    """A worker with its clone in `folder`."""

    folder: Path
    process: subprocess.Popen[str]

    def send(self, message: dict[str, Any]) -> None:
        """Tell it something. If it has died, the end of its output says so."""
        with suppress(BrokenPipeError):
            print(json.dumps(message), file=self.process.stdin, flush=True)


@dataclass
class Local:
    """A `pool.Crew` of so many processes, with their clones in `folder`.

    Args:
        setup: arguments of `clone.Clone` for each worker.
        folder: belongs to this search alone.
        number: of workers.
    """

    setup: dict[str, Any]
    folder: Path
    number: int
    _places: count = field(default_factory=count)

    @property
    def clones(self) -> str:
        """Where the clones are."""
        return str(self.folder)

    def room(self) -> int:
        """How many can work at a time."""
        return self.number

    def hire(self, hear: Hear) -> Process:
        """Begin a worker."""
        folder = self.folder / str(next(self._places))
        process = subprocess.Popen(
            (sys.executable, "-m", "locatable.search.worker"),
            env={**os.environ, CLONE: str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            # Ctrl-C is for us alone: it does not mean that trials are to fail.
            start_new_session=True,
        )
        worker = Process(folder=folder, process=process)
        worker.send(self.setup)

        def listen() -> None:
            for line in process.stdout:
                hear(worker, json.loads(line))
            hear(worker, None)

        threading.Thread(target=listen, daemon=True).start()
        return worker

    def bury(self, worker: Process) -> None:
        """Clear away what a dead one left."""
        sweep(worker.folder)
        worker.process.wait()
        shutil.rmtree(worker.folder, ignore_errors=True)

    def dismiss(self, workers: list[Process]) -> None:
        """Stop them, at once."""
        for worker in workers:
            with suppress(BrokenPipeError):
                worker.process.stdin.close()
        if any(worker.trial for worker in workers):
            sweep(self.folder)
        for worker in workers:
            worker.process.wait()
