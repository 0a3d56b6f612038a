"""Rebuilds and searches as Prefect flows: schedules, retries, time-outs, and a page for each run.

Flows are `locatable.flow.flows.rebuild` and `locatable.flow.flows.search`; deployments name them like that.
Their steps are commands: the output of one is logged, its failure is one line, and nothing outlives it.
"""

import os
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, cast
from uuid import uuid4

from ..clones import CLONE_VARIABLE, kill_processes
from ..errors import LocatableError

# Prefect reads these when it is imported, and its server when it starts; what a user has set for that stays.
# `DO_NOT_TRACK` keeps the client from reporting its use, but not the server that it starts for a run.
os.environ["DO_NOT_TRACK"] = "1"
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
# That server keeps leases in its memory by default: nobody could take back what a killed run held.
os.environ.setdefault(
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE", "prefect.server.concurrency.lease_storage.filesystem"
)
# On a busy machine it needs longer to start than the 20 seconds that Prefect gives it.
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")

# EX_CONFIG of sysexits.h, with which a stage says that trying again is of no use; as DVC reports it.
PERMANENT = re.compile(r"exited with 78$")
# Seconds for which a step waits for a line before it looks whether it is to end.
INTERVAL = 0.5


class StepError(LocatableError):
    """A step failed; the message is the last that its command said."""


class PermanentError(StepError):
    """A step failed, and trying again is of no use."""


def run_step(folder: Path, *command: str, log: Callable[[str], None], clone: Path | None = None) -> list[str]:
    """Run a command to its end; when this is left, however that is, nothing that it started runs on.

    Args:
        folder: where to run it.
        command: `dvc`, or another module of this Python, and its arguments.
        log: called with each line that it prints.
        clone: the clone that it works in, if any: all that this command started is killed at the end, also
            what has left its process group.

    Returns:
        The lines that it printed.

    Raises:
        StepError: it failed.
    """
    # Stages find the programs that are installed beside this Python.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    variables = {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"}
    options = []
    # Other steps can work in the same clone at the time.
    mark = clone.parent / f"step-{uuid4().hex}" if clone else None
    if mark:
        variables[CLONE_VARIABLE] = str(mark)
        options = ["-P"]  # no file of the project hides a module of DVC's
    process = subprocess.Popen(
        (sys.executable, *options, "-m", *command),
        cwd=folder,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,  # Ctrl-C reaches this process alone, which then ends the step
    )
    printed: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_pass_on, args=(process, printed), daemon=True).start()
    lines = []
    try:
        while (line := _next(printed)) is not None:
            if line:
                lines.append(line)
                log(line)
    finally:
        process.terminate()
        if mark:
            kill_processes(mark)
        exit_code = process.wait()
    if exit_code:
        raise failure(lines, exit_code)
    return lines


def _pass_on(process: subprocess.Popen[str], printed: queue.Queue[str | None]) -> None:
    """Put the lines that a process prints into a queue, and None at their end."""
    for line in cast(IO[str], process.stdout):
        printed.put(line.rstrip())
    printed.put(None)


def _next(printed: queue.Queue[str | None]) -> str | None:
    while True:
        try:
            # A time-out is raised in this thread, and only between two steps of Python's.
            return printed.get(timeout=INTERVAL)
        except queue.Empty:
            continue


def failure(lines: list[str], exit_code: int) -> StepError:
    """Return the error for a command that failed, from what it printed and the exit code."""
    errors = [line for line in lines if line.startswith("ERROR: ")] or lines
    message = errors[-1] if errors else f"exit code {exit_code}"
    return PermanentError(message) if PERMANENT.search(message) else StepError(message)
