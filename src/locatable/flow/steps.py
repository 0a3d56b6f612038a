"""The stages of a clone one at a time: which there are, and running a command for one of them.

Used by `locatable flow`.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from ..dvc.processes import CLONE_VARIABLE, kill_processes

# EX_CONFIG of sysexits.h, with which a stage says that trying again is no use; as DVC reports it.
HOPELESS = re.compile(r"exited with 78$")


class FailedError(Exception):
    """A command failed; the message is what it said last."""


class HopelessError(FailedError):
    """Trying again is no use; the message is one line for the user."""


def plan(root: Path, targets: Iterable[str]) -> tuple[list[str], dict[str, list[str]]]:
    """What to do for some stages, or for all.

    Args:
        root: a DVC project, which is the current folder.
        targets: stages, as after `dvc repro`; all if there are none.

    Returns:
        Files with source data, and for each stage, in the order to run them, the stages that it needs.

    Raises:
        DvcException: there is no such stage.
    """
    import networkx as nx
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        graph = repo.index.graph
        wanted = {stage for target in targets for stage in repo.stage.collect(target)} or set(graph)
        needed = wanted.union(*(nx.descendants(graph, stage) for stage in wanted))
        ordered = [stage for stage in nx.dfs_postorder_nodes(graph) if stage in needed]
        stages = {
            stage.addressing: [other.addressing for other in graph.successors(stage) if other.cmd]
            for stage in ordered
            if stage.cmd
        }
        return [stage.addressing for stage in ordered if not stage.cmd], stages


def run(folder: Path, *command: str, log: Callable[[str], None], clone: Path | None = None) -> list[str]:
    """Run a command to its end; when this is left, however that is, nothing that it started runs on.

    Args:
        folder: where to run it.
        command: `dvc`, or a module of this Python, and its arguments.
        log: called with each line it prints.
        clone: kill all that was started for this clone, also what has left the command's process group.

    Returns:
        The lines.

    Raises:
        FailedError: it failed.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = (
        os.environ | {"PATH": path, "PYTHONUNBUFFERED": "1"} | ({CLONE_VARIABLE: str(clone)} if clone else {})
    )
    process = subprocess.Popen(
        # -P: no file of the project hides a module of DVC's.
        (sys.executable, *(["-P"] if clone else []), "-m", *command),
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    said = []
    try:
        for line in map(str.rstrip, process.stdout):
            if line:
                said.append(line)
                log(line)
    finally:
        process.terminate()
        if clone:
            kill_processes(clone)
        code = process.wait()
    if code:
        problems = [line for line in said if line.startswith("ERROR: ")] or said or [f"exit code {code}"]
        raise (HopelessError if HOPELESS.search(problems[-1]) else FailedError)(problems[-1])
    return said
