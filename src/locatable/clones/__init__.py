"""Places where stages run: clones of a repository, DVC's internals to work in them.

Here are the processes that work in clones: they are found, and killed where they are not to outlive a trial.
"""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

# Names the clone, in the environment of each process that was started for it.
CLONE_VARIABLE = "SEARCH_CLONE"
# Seconds between two looks at what still runs.
INTERVAL = 0.2


@dataclass(frozen=True)
class CloneProcess:
    """A process that was started for a clone; `of_stage` says whether a stage started it."""

    process: psutil.Process
    of_stage: bool


def clone_processes(folder: Path) -> Iterator[CloneProcess]:
    """Yield the processes of all clones in `folder`, except for this one.

    They are known by the environment they started with, which children in groups and sessions of their own
    have too, or by where they work, if their command scrubs its environment.
    """
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        with suppress(psutil.Error):
            environment = process.environ()
            if Path(environment.get(CLONE_VARIABLE, "/")).is_relative_to(folder):
                yield CloneProcess(process, "DVC_STAGE" in environment)
            elif environment and _works_in(process, folder):
                yield CloneProcess(process, True)


def _works_in(process: psutil.Process, folder: Path) -> bool:
    # A shell in which someone looks around there has a terminal.
    return Path(process.cwd()).is_relative_to(folder) and not process.terminal()


def kill_processes(folder: Path, *, stages_only: bool = False, patience: float = 30) -> None:
    """Kill the processes of all clones in `folder`, and return when they have ended.

    Args:
        folder: of the clones.
        stages_only: spare the workers, and what they started themselves.
        patience: seconds for a worker's Git to end by itself: its `git push` writes to the user's repository.
    """
    started = time.monotonic()
    while True:
        alive = []
        is_late = time.monotonic() - started > patience
        for found in clone_processes(folder):
            if stages_only and not found.of_stage:
                continue
            alive.append(found.process)
            with suppress(psutil.Error):
                if found.of_stage or is_late or not found.process.name().startswith("git"):
                    found.process.kill()
        if not alive:
            return
        psutil.wait_procs(alive, INTERVAL)
