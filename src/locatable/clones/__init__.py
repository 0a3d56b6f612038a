"""Clones of a repository in which stages run, and the use of DVC's internals in these clones.

This module finds the processes that work in clones, and kills those that must not outlive a trial.
"""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

# The environment variable that names the clone, in every process that was started for it.
CLONE_VARIABLE = "SEARCH_CLONE"
# Seconds between two checks for processes that still run.
INTERVAL = 0.2


@dataclass(frozen=True)
class CloneProcess:
    """A process that was started for a clone.

    Attributes:
        process: the process as psutil sees it.
        of_stage: true if a stage started it, false if it is a worker or the worker started it directly.
    """

    process: psutil.Process
    of_stage: bool


def clone_processes(folder: Path) -> Iterator[CloneProcess]:
    """Yield the processes of all clones in `folder`, except the current process.

    A process is recognised by the environment that it was started with. Its children inherit that even if
    they move to their own process group or session. If a command cleared its environment, the process is
    recognised by its working directory.
    """
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        with suppress(psutil.Error):
            environment = process.environ()
            if Path(environment.get(CLONE_VARIABLE, "/")).is_relative_to(folder):
                yield CloneProcess(process, "DVC_STAGE" in environment)
            elif environment and Path(process.cwd()).is_relative_to(folder) and not process.terminal():
                # A process with a terminal is not a stage, but a shell of a user who inspects the clone.
                yield CloneProcess(process, True)


def kill_processes(folder: Path, *, stages_only: bool = False, patience: float = 30) -> None:
    """Kill the processes of all clones in `folder`, and return when they have ended.

    Args:
        folder: the folder that contains the clones.
        stages_only: spare the workers and the processes that they started directly.
        patience: seconds to wait for the Git processes of a worker before they are killed as well. Its
            `git push` writes to the user's repository and should not be interrupted.
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
