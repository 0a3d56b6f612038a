"""The flows: `rebuild` a revision, every DVC stage a task run, and `search` for better params."""

import asyncio
import hashlib
import logging
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, chdir, contextmanager, suppress
from functools import partial
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from prefect import State, flow, get_client, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import TaskRun
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectAlreadyExists
from prefect.futures import PrefectFuture, as_completed
from prefect.runtime import flow_run
from prefect.server.concurrency.lease_storage import get_concurrency_lease_storage
from prefect.server.database import provide_database_interface
from prefect.server.services.repossessor import revoke_expired_lease
from prefect.settings import get_current_settings
from prefect.states import Completed
from prefect.tasks import Task, exponential_backoff

from ..clones import kill_processes
from ..clones.params_files import write
from ..clones.trial_clone import Clone, read_project
from ..errors import GitError, LocatableError
from ..git import clone_git, git
from ..repository import find_project
from ..repository.pipeline import Pipeline, has_default_remote, read_pipeline
from ..repository.reader import resolve
from . import PermanentError, StepError, run_step

# Seconds for which a killed rebuild still holds its place.
LEASE = 60
# Seconds between two messages about waiting.
INTERVAL = 20


class _WithoutTraceback(logging.Filter):
    """A filter that leaves out the traceback of what a stage or a user did wrong: it shows our code alone."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], LocatableError):
            record.exc_info = None
        return True


for logger in ("prefect.flow_runs", "prefect.task_runs"):
    logging.getLogger(logger).addFilter(_WithoutTraceback())


def _may_pass(task: Task, run: TaskRun, state: State) -> bool:
    """Return whether a task that failed is worth another try."""
    return not isinstance(state.result(raise_on_failure=False), PermanentError)


step = partial(task, cache_policy=NO_CACHE, retry_condition_fn=_may_pass, retry_jitter_factor=0.5)


@flow
def rebuild(  # noqa: PLR0913 (parameters of a deployment)
    rev: str = "HEAD",
    targets: list[str] | None = None,
    params: dict[str, Any] | None = None,
    retries: int = 2,
    delay: float = 10,
    timeout: float | None = None,
    workers: int = 1,
) -> State:
    """Rebuild a revision of the repository around the current folder, one rebuild at a time.

    Args:
        rev: a Git revision, or the name of an experiment.
        targets: stages to rebuild, with those they need; all by default.
        params: value by key, as after `dvc exp run -S`.
        retries: how often to try again what may pass then.
        delay: seconds until the first retry; twice as many until the next.
        timeout: seconds that a stage, or a transfer of data, may take.
        workers: how many stages that do not need each other run at a time.
    """
    root = find_project(Path.cwd())
    backoff = exponential_backoff(delay)
    limits = {"retries": retries, "retry_delay_seconds": backoff, "timeout_seconds": timeout}
    experiment = f"flow-{str(flow_run.id)[:8]}-{flow_run.run_count}"
    with exclusive(root) as folder, chdir(root):
        clone, pipeline = check_out(root, folder / "clone", rev, targets or [], params or {})
        fetch.with_options(**limits)(clone, pipeline)
        states = run_stages(clone, pipeline, workers, limits)
        outcome = push.with_options(**limits)(clone, list(states), experiment)
        mirror.with_options(**limits)(root)
    ran = [state for state in states.values() if state.name != "Cached"]
    return Completed(message=f"{clone.baseline}: {len(ran)} of {len(states)} stages ran, {outcome}")


def run_stages(clone: Clone, pipeline: Pipeline, workers: int, limits: dict[str, Any]) -> dict[str, State]:
    """Run the stages of a pipeline, each after those that it needs; return the state of each.

    Args:
        clone: where they run.
        pipeline: its stages.
        workers: how many run at a time.
        limits: options of their task runs.

    Raises:
        StepError: a stage failed; those that run meanwhile end first.
    """
    states: dict[str, State] = {}
    run = run_stage.with_options(**limits)
    if workers == 1:
        # In this thread, which Prefect can interrupt at any moment.
        for stage, declared in pipeline.stages.items():
            before = [states[other] for other in declared.needs]
            states[stage] = run(clone, stage, return_state=True, wait_for=before)
            states[stage].result()
        return states
    order = TopologicalSorter({stage: declared.needs for stage, declared in pipeline.stages.items()})
    order.prepare()
    ready: list[str] = []
    running: dict[PrefectFuture[Any], str] = {}
    while order.is_active():
        ready += order.get_ready()
        while ready and len(running) < workers:
            stage = ready.pop(0)
            # All have ended; that Prefect is told lets it draw the pipeline.
            before = [states[other] for other in pipeline.stages[stage].needs]
            running[run.submit(clone, stage, wait_for=before)] = stage
        ended = next(as_completed(list(running)))
        ended.wait()  # else Prefect asks its server for the state, which does not have the result
        stage = running.pop(ended)
        states[stage] = ended.state
        ended.state.result()  # the first that fails ends the flow
        order.done(stage)
    return states


@contextmanager
def exclusive(root: Path) -> Iterator[Path]:
    """Wait for other rebuilds of this repository, also those in other clones of the same origin.

    Yields:
        A folder for the time of the rebuild; what a killed one left there is removed before.
    """
    place = git(root, "config", "--default", str(root), "remote.origin.url")
    limit = f"rebuild-{hashlib.sha256(place.encode()).hexdigest()[:12]}"
    # Another rebuild may create it between Prefect's look for it and its creation here.
    with get_client(sync_client=True) as client, suppress(ObjectAlreadyExists):
        client.upsert_global_concurrency_limit_by_name(limit, 1)
    with ExitStack() as held:
        while True:
            asyncio.run(_release_expired())
            try:
                held.enter_context(
                    concurrency(limit, strict=True, lease_duration=LEASE, timeout_seconds=INTERVAL)
                )
                break
            except TimeoutError:
                get_run_logger().info("waiting for another rebuild of this repository to end")
        folder = (root / ".dvc/tmp/flow").resolve()
        kill_processes(folder)
        shutil.rmtree(folder, ignore_errors=True)
        held.callback(shutil.rmtree, folder, ignore_errors=True)
        # Also what has left the processes of its step.
        held.callback(kill_processes, folder)
        yield folder


async def _release_expired() -> None:
    """Take back what killed rebuilds held: a server does that, but not the one Prefect starts for a run."""
    if get_current_settings().api.url:
        return
    storage = get_concurrency_lease_storage()
    database = provide_database_interface()
    for lease in await storage.read_expired_lease_ids():
        await revoke_expired_lease(lease, db=database, lease_storage=storage)


@step(task_run_name="check out")
def check_out(
    root: Path, folder: Path, rev: str, targets: list[str], params: dict[str, Any]
) -> tuple[Clone, Pipeline]:
    """Clone the repository at a revision, set params, and see what there is to do.

    Raises:
        PermanentError: there is no such revision, stage or param.
    """
    try:
        commit = resolve(rev)
        clone = Clone(folder, read_project(root).clone_setup(commit))
        for key in params:
            clone.read(commit, key)  # fails where there is none
        write(clone.root, params)
        pipeline = read_pipeline(clone.root, targets)
    except LocatableError as error:
        raise PermanentError(error.message.splitlines()[0]) from None
    get_run_logger().info("revision %s", commit)
    with get_client(sync_client=True) as client:
        client.update_flow_run(flow_run.id, tags=[*flow_run.tags, f"rev:{commit}"])
    return clone, pipeline


@step(task_run_name="fetch")
def fetch(clone: Clone, pipeline: Pipeline) -> None:
    """Get the source data, and those results that there are already."""
    if pipeline.sources:
        _dvc(clone, "pull", *pipeline.sources)
    _dvc(clone, "pull", "--allow-missing", *pipeline.stages)


@step(task_run_name="{stage}")
def run_stage(clone: Clone, stage: str) -> State | None:
    """Run a stage, unless its results are there already."""
    # DVC leaves its lock while a command runs, so that another stage can begin.
    lines = _dvc(clone, "--wait-for-lock", "repro", "--single-item", stage)
    if f"Running stage '{stage}':" in lines:
        return None
    return Completed(name="Cached", message="nothing changed")


@step(task_run_name="push")
def push(clone: Clone, stages: list[str], experiment: str) -> str:
    """Save what differs from the revision as an experiment, and push that and its data.

    Returns:
        What became of the result, in words.
    """
    ref = clone.ref(experiment)
    try:
        clone_git(clone.folder, "add", "--all")
        changed = bool(clone_git(clone.folder, "status", "--porcelain"))
        if changed and not clone_git(clone.folder, "for-each-ref", ref):  # an earlier try may have saved it
            # Only what ran: results of other stages can be of other params.
            _dvc(clone, "exp", "save", "--name", experiment, *stages)
        if changed:
            clone.push(experiment, clone_git(clone.folder, "rev-parse", ref))
        if has_default_remote(clone.root):
            _dvc(clone, "push", *stages)
        if changed and "origin" in git(clone.url, "remote").split():
            git(clone.url, "push", "--quiet", "--no-verify", "origin", ref)
    except GitError as error:
        raise StepError(error.stderr.strip()) from None
    return f"experiment {experiment}" if changed else "all as recorded"


@step(task_run_name="mirror")
def mirror(root: Path) -> None:
    """Show the experiments in MLflow."""
    run_step(root, "locatable", "mirror", log=get_run_logger().info)


def _dvc(clone: Clone, *command: str) -> list[str]:
    return run_step(clone.root, "dvc", *command, log=get_run_logger().info, clone=clone.folder)


@flow
def search(  # noqa: PLR0913 (parameters of a deployment)
    study: str | None = None,
    trials: int | None = None,
    workers: int | None = None,
    timeout: float | None = None,
    storage: str | None = None,
    ray: str | None = None,
    mirror: bool = False,
    allow_stale: bool = False,
) -> None:
    """Search for better params; the arguments are those of `locatable search`."""
    arguments = dict(locals())
    options = []
    for name, value in arguments.items():
        option = f"--{name.replace('_', '-')}"
        if value is True:
            options.append(option)
        elif value is not None and value is not False:
            options.append(f"{option}={value}")
    run_step(find_project(Path.cwd()), "locatable", "search", *options, log=get_run_logger().info)
