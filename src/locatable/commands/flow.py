"""Rebuild a revision as a Prefect flow: every DVC stage is a task run; what it makes is pushed and mirrored.

    locatable flow [REV] [--target STAGE] [-S KEY=VALUE] [--retries N] [--timeout S]
    locatable flow --cron "0 3 * * *"           serve it, and the search, until Ctrl-C

It works in a clone of its own: the checkout is left alone. What differs from the revision becomes the
experiment `flow-<id of the run>-<attempt>`. Remotes, MLflow and stages are tried again where that is of use.
"""

import argparse
import logging
import os
import signal
import sys
from contextlib import chdir
from pathlib import Path
from typing import Any

from ..dvc.clone import Clone
from ..dvc.params import write
from ..dvc.project import read_project
from ..errors import GitError, LocatableError, ProjectError, UsageError
from ..flow import steps
from ..git import git
from ..history import formats
from ..proof.revision import resolve

# Else Prefect reports to its makers.
os.environ["DO_NOT_TRACK"] = "1"
# The server that Prefect starts for a run, where there is none, forgets who holds what with its memory.
LEASES = "prefect.server.concurrency.lease_storage.filesystem"
os.environ.setdefault("PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE", LEASES)
try:
    from prefect import State, flow, get_client, get_run_logger, serve, task
    from prefect.cache_policies import NO_CACHE
    from prefect.client.schemas.objects import TaskRun
    from prefect.runtime import flow_run
    from prefect.states import Completed
    from prefect.tasks import Task, exponential_backoff

    from ..flow.alone import alone
except ModuleNotFoundError:
    raise ProjectError("locatable flow needs Prefect: make setup EXTRAS=prefect") from None


def _can_pass(task: Task, run: TaskRun, state: State) -> bool:
    return not isinstance(state.result(raise_on_failure=False), steps.HopelessError)


class _OneLine(logging.Filter):
    """What a stage or a user did wrong is said in a line, without a traceback of ours."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], steps.FailedError):
            record.exc_info = None
        return True


for logger in ("prefect.flow_runs", "prefect.task_runs"):
    logging.getLogger(logger).addFilter(_OneLine())
TASK: dict[str, Any] = {"cache_policy": NO_CACHE, "retry_condition_fn": _can_pass, "retry_jitter_factor": 0.5}


@flow
def rebuild(
    rev: str = "HEAD",
    targets: list[str] | None = None,
    params: dict[str, Any] | None = None,
    retries: int = 2,
    delay: float = 10,
    timeout: float | None = None,
) -> State:
    """Rebuild a revision of the repository in the current folder, one rebuild at a time.

    Args:
        rev: a Git revision, or the name of an experiment.
        targets: stages to rebuild, with those they need; all by default.
        params: value by key, as after `dvc exp run -S`.
        retries: how often to try again what can pass.
        delay: seconds until the first retry; twice as many until the next.
        timeout: seconds that a stage, or getting or bringing data, may take.
    """
    root = Path.cwd().resolve()
    again = {
        "retries": retries,
        "retry_delay_seconds": exponential_backoff(delay),
        "timeout_seconds": timeout,
    }
    name = f"flow-{str(flow_run.id)[:8]}-{flow_run.run_count}"
    with alone(root) as folder, chdir(root):
        clone, sources, stages = check_out(root, folder / "clone", rev, targets, params or {})
        fetch.with_options(**again)(clone, sources, list(stages))
        ended: dict[str, State] = {}
        for stage, needed in stages.items():
            run = run_stage.with_options(**again)
            ended[stage] = run(clone, stage, return_state=True, wait_for=[ended[other] for other in needed])
            ended[stage].result()
        kept = push.with_options(**again)(clone, name, list(stages))
        mirror.with_options(**again)(root)
    ran = sum(state.name != "Cached" for state in ended.values())
    return Completed(message=f"{clone.baseline}: {ran} of {len(ended)} stages ran, {kept}")


@task(task_run_name="check out", **TASK)
def check_out(
    root: Path, folder: Path, rev: str, targets: list[str] | None, params: dict[str, Any]
) -> tuple[Clone, list[str], dict[str, list[str]]]:
    """Clone the repository at a revision and set params.

    Returns:
        The clone, its files of source data, and for each stage, in the order to run them, those it needs.

    Raises:
        HopelessError: there is no such revision, stage or param.
    """
    from dvc.exceptions import DvcException

    try:
        commit = resolve(rev)
        clone = Clone(folder, read_project(root).clone_setup(commit))
        for key in params:
            clone.read(commit, key)
        write(clone.root, params)
        with chdir(clone.root):
            sources, stages = steps.plan(clone.root, targets or [])
    except (LocatableError, DvcException, ValueError) as error:
        raise steps.HopelessError(str(error).splitlines()[0]) from None
    get_run_logger().info("revision %s", commit)
    with get_client(sync_client=True) as client:
        client.update_flow_run(flow_run.id, tags=[*flow_run.tags, f"rev:{commit}"])
    return clone, sources, stages


@task(task_run_name="fetch", **TASK)
def fetch(clone: Clone, sources: list[str], stages: list[str]) -> None:
    """Get the source data, and what was kept of the results."""
    if sources:
        _dvc(clone, "pull", *sources)
    _dvc(clone, "pull", "--allow-missing", *stages)


@task(task_run_name="{stage}", **TASK)
def run_stage(clone: Clone, stage: str) -> State | None:
    """Run a stage, unless its results are there already."""
    said = _dvc(clone, "repro", "--single-item", stage)
    if f"Running stage '{stage}':" in said:
        return None
    return Completed(name="Cached", message="nothing changed")


@task(task_run_name="push", **TASK)
def push(clone: Clone, name: str, stages: list[str]) -> str:
    """Keep what differs from the revision as an experiment, and push it and its data.

    Returns:
        What has become of the result.
    """
    from dvc.config import Config

    git(clone.folder, "add", "--all")
    changed = bool(git(clone.folder, "status", "--porcelain"))
    try:
        if changed:
            if not git(clone.folder, "for-each-ref", clone.ref(name)):
                # Only what ran: results of other stages can be of other params.
                _dvc(clone, "exp", "save", "--name", name, *stages)
            clone.push(name, git(clone.folder, "rev-parse", clone.ref(name)))
        if Config(str(clone.root / ".dvc"))["core"].get("remote"):
            _dvc(clone, "push", *stages)
        if changed and "origin" in git(clone.url, "remote").split():
            git(clone.url, "push", "--quiet", "--no-verify", "origin", clone.ref(name))
    except GitError as error:
        raise steps.FailedError(error.stderr.strip()) from None
    return f"experiment {name}" if changed else "all as recorded"


def _dvc(clone: Clone, *command: str) -> list[str]:
    return steps.run(clone.root, "dvc", *command, log=get_run_logger().info, clone=clone.folder)


@task(task_run_name="mirror", **TASK)
def mirror(root: Path) -> None:
    """Show the experiments in MLflow."""
    steps.run(root, "locatable", "mirror", log=get_run_logger().info)


@flow
def search(
    study: str | None = None,
    trials: int | None = None,
    workers: int | None = None,
    timeout: float | None = None,
    storage: str | None = None,
    ray: str | None = None,
    mirror: bool = False,
) -> None:
    """Search for better params; the arguments are those of `locatable search`."""
    given = dict(study=study, trials=trials, workers=workers, timeout=timeout, storage=storage, ray=ray)
    options = [f"--{name}={value}" for name, value in given.items() if value is not None]
    options += ["--mirror"] if mirror else []
    steps.run(Path.cwd(), "locatable", "search", *options, log=get_run_logger().info)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `locatable flow`."""
    parser.add_argument("rev", nargs="?", default="HEAD", help="a revision or an experiment's name (HEAD)")
    parser.add_argument("--target", action="append", metavar="STAGE", help="only this, and what it needs")
    parser.add_argument("-S", action="append", default=[], metavar="KEY=VALUE", help="set a param")
    parser.add_argument("--retries", type=int, default=2, metavar="N", help="of what can pass (2)")
    parser.add_argument("--timeout", type=float, metavar="S", help="for each stage and transfer, in seconds")
    parser.add_argument("--cron", metavar="CRON", help='do it on a schedule: "0 3 * * *" is every night at 3')


def run(arguments: argparse.Namespace) -> int:
    """Rebuild once, or serve the flows; the exit code is 1 where the flow failed."""
    if unset := [pair for pair in arguments.S if "=" not in pair]:
        raise UsageError(f"-S {unset[0]}: write it as KEY=VALUE")
    # What Prefect loads again later has to have a name that it can import.
    from locatable.commands import flow as flows

    # As in params files, 1e-5 is a number.
    params = {
        key: formats.load_yaml(value) for key, _, value in (pair.partition("=") for pair in arguments.S)
    }
    asked = {
        "rev": arguments.rev,
        "targets": arguments.target,
        "params": params,
        "retries": arguments.retries,
        "timeout": arguments.timeout,
    }
    if arguments.cron:
        serve(
            flows.rebuild.to_deployment("served", cron=arguments.cron, parameters=asked),
            flows.search.to_deployment("served"),
        )
        return 0
    # Prefect ends the run, and sends the signal on: its own server is to end with us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    try:
        state = flows.rebuild(**asked, return_state=True)
    except KeyboardInterrupt:
        raise
    print(state.message)
    return int(not state.is_completed())
