"""Rebuilds and searches as Prefect flows, with schedules, retries, timeouts and a page for each run.

The entry points for deployments are `locatable.flow.flows.rebuild` and `locatable.flow.flows.search`. Each
step of a flow is a command. Its output is logged, a failure is reported in one line, and no process that it
started outlives it.
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

# Prefect reads these variables when it is imported, and its server reads them when it starts. `setdefault`
# keeps the user's own values. `DO_NOT_TRACK` disables telemetry in the client, but not in the temporary
# server that it starts for a run.
os.environ["DO_NOT_TRACK"] = "1"
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
# By default the temporary server keeps leases in memory, so the lease of a killed run could not be revoked.
os.environ.setdefault(
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE", "prefect.server.concurrency.lease_storage.filesystem"
)
# On a busy machine the server needs more than Prefect's default of 20 seconds to start.
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")

# DVC's message about a stage that ended with exit code 78 (EX_CONFIG in sysexits.h). With this code a stage
# says that a retry is pointless.
PERMANENT = re.compile(r"exited with 78$")
# Seconds to wait for a line of output before Python can deliver a timeout or a cancellation to the step.
INTERVAL = 0.5


class StepError(LocatableError):
    """A step failed. The message is the last error message of its command."""


class PermanentError(StepError):
    """A step failed, and a retry would fail, too."""


def run_step(folder: Path, *command: str, log: Callable[[str], None], clone: Path | None = None) -> list[str]:
    """Run a command and wait until it ends. If the step is interrupted, the command is terminated.

    Args:
        folder: the working directory of the command.
        command: the name of a Python module, such as `dvc`, and its arguments.
        log: called with each line that the command prints.
        clone: the clone in which the command works, if any. In that case every process that the command
            started is killed at the end, even if it has left the command's process group.

    Returns:
        The lines that the command printed.

    Raises:
        StepError: the command failed.
    """
    # Stages must find the programs that are installed beside this Python.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    variables = {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"}
    options = []
    # Each step has its own mark, because several steps can work in the same clone at a time.
    mark = clone.parent / f"step-{uuid4().hex}" if clone else None
    if mark:
        variables[CLONE_VARIABLE] = str(mark)
        options = ["-P"]  # keep files of the project from shadowing modules of DVC
    process = subprocess.Popen(
        (sys.executable, *options, "-m", *command),
        cwd=folder,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,  # Ctrl-C only reaches the current process, which then ends the step
    )
    printed: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_read_lines, args=(process, printed), daemon=True).start()
    lines = []
    try:
        while (line := _next_line(printed)) is not None:
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


def _read_lines(process: subprocess.Popen[str], printed: queue.Queue[str | None]) -> None:
    """Put each line that a process prints into a queue, and None at the end of its output."""
    for line in cast(IO[str], process.stdout):
        printed.put(line.rstrip())
    printed.put(None)


def _next_line(printed: queue.Queue[str | None]) -> str | None:
    """Return the next line from the queue; None at the end of the output."""
    while True:
        try:
            # Prefect raises a timeout as an exception in this thread. Python delivers it only between two
            # instructions, so the thread must not block for long.
            return printed.get(timeout=INTERVAL)
        except queue.Empty:
            continue


def failure(lines: list[str], exit_code: int) -> StepError:
    """Return the error that describes a failed command, given its output and its exit code."""
    errors = [line for line in lines if line.startswith("ERROR: ")] or lines
    message = errors[-1] if errors else f"exit code {exit_code}"
    return PermanentError(message) if PERMANENT.search(message) else StepError(message)
