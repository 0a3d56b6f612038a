"""The flows `rebuild`, which runs every DVC stage of a revision as a task run, and `search`."""

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

# Seconds after which the lease of a killed rebuild expires, so that the next rebuild can start.
LEASE = 60
# Seconds between two messages that a rebuild is waiting.
INTERVAL = 20


class _WithoutTraceback(logging.Filter):
    """A filter that removes the traceback of a `LocatableError`.

    Such an error is the fault of a stage or a user, and the traceback would only show code of this package.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], LocatableError):
            record.exc_info = None
        return True


for name in ("prefect.flow_runs", "prefect.task_runs"):
    logging.getLogger(name).addFilter(_WithoutTraceback())


def _is_worth_a_retry(task: Task, run: TaskRun, state: State) -> bool:
    """Return whether a failed task may succeed when it runs again."""
    return not isinstance(state.result(raise_on_failure=False), PermanentError)


step = partial(task, cache_policy=NO_CACHE, retry_condition_fn=_is_worth_a_retry, retry_jitter_factor=0.5)


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
        targets: the stages to rebuild, together with the stages that they depend on; all by default.
        params: value by key, as in `dvc exp run -S`.
        retries: how often to retry a task that failed for a reason that may be temporary.
        delay: seconds until the first retry; the delay doubles with every further retry.
        timeout: the most seconds that a stage or a transfer of data may take.
        workers: how many stages may run at a time, if they do not depend on each other.
    """
    root = find_project(Path.cwd())
    backoff = exponential_backoff(delay)
    task_options = {"retries": retries, "retry_delay_seconds": backoff, "timeout_seconds": timeout}
    experiment = f"flow-{str(flow_run.id)[:8]}-{flow_run.run_count}"
    with exclusive(root) as folder, chdir(root):
        clone, pipeline = check_out(root, folder / "clone", rev, targets or [], params or {})
        fetch.with_options(**task_options)(clone, pipeline)
        states = run_stages(clone, pipeline, workers, task_options)
        outcome = push.with_options(**task_options)(clone, list(states), experiment)
        mirror.with_options(**task_options)(root)
    ran = [state for state in states.values() if state.name != "Cached"]
    return Completed(message=f"{clone.baseline}: {len(ran)} of {len(states)} stages ran, {outcome}")


def run_stages(
    clone: Clone, pipeline: Pipeline, workers: int, task_options: dict[str, Any]
) -> dict[str, State]:
    """Run the stages of a pipeline, each after the stages that it depends on.

    Args:
        clone: the clone in which the stages run.
        pipeline: the pipeline.
        workers: how many stages may run at a time.
        task_options: the Prefect options of each task run.

    Returns:
        The final state of each stage's task run, by the stage's address.

    Raises:
        StepError: a stage failed. No further stage was started, and Prefect lets running ones end.
    """
    states: dict[str, State] = {}
    run = run_stage.with_options(**task_options)
    if workers == 1:
        # Run the stages in this thread, which Prefect can interrupt at any time.
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
            # These have ended already. `wait_for` only tells Prefect about the edges of its graph of the run.
            before = [states[other] for other in pipeline.stages[stage].needs]
            running[run.submit(clone, stage, wait_for=before)] = stage
        ended = next(as_completed(list(running)))
        ended.wait()  # otherwise `state` comes from Prefect's server, without the result
        stage = running.pop(ended)
        states[stage] = ended.state
        ended.state.result()  # raises the error of a failed stage, which ends the flow
        order.done(stage)
    return states


@contextmanager
def exclusive(root: Path) -> Iterator[Path]:
    """Wait until no other rebuild of this repository runs, including those in other clones of its origin.

    Yields:
        The path of a folder for the rebuild, which does not exist yet and is removed at the end. It is the
        same for every rebuild in this checkout, so that the processes and files of a killed one are removed.
    """
    place = git(root, "config", "--default", str(root), "remote.origin.url")
    limit = f"rebuild-{hashlib.sha256(place.encode()).hexdigest()[:12]}"
    # Ignore the error if another rebuild creates the limit between Prefect's check and its creation here.
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
        # Kill processes that have left the process group of their step, too.
        held.callback(kill_processes, folder)
        yield folder


async def _release_expired() -> None:
    """Revoke the expired leases of killed rebuilds.

    A permanent Prefect server does that itself, but the temporary one that Prefect starts for a run does not.
    """
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
    """Clone the repository at a revision, set the params, and read the pipeline.

    Raises:
        PermanentError: the revision, a stage or a param does not exist.
    """
    try:
        commit = resolve(rev)
        clone = Clone(folder, read_project(root).clone_setup(commit))
        for key in params:
            clone.read(commit, key)  # raises an error if the param does not exist
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
    """Pull the source data, and all results that are on the remote already."""
    if pipeline.sources:
        _dvc(clone, "pull", *pipeline.sources)
    _dvc(clone, "pull", "--allow-missing", *pipeline.stages)


@step(task_run_name="{stage}")
def run_stage(clone: Clone, stage: str) -> State | None:
    """Run a stage, unless its results are up to date."""
    # DVC releases its lock while a stage's command runs, so another stage can begin in the meantime.
    lines = _dvc(clone, "--wait-for-lock", "repro", "--single-item", stage)
    if f"Running stage '{stage}':" in lines:
        return None
    return Completed(name="Cached", message="nothing changed")


@step(task_run_name="push")
def push(clone: Clone, stages: list[str], experiment: str) -> str:
    """Save the result as an experiment if it differs from the revision, and push it with its data.

    Returns:
        The outcome in words: the name of the experiment, or that nothing differs.
    """
    ref = clone.ref(experiment)
    try:
        clone_git(clone.folder, "add", "--all")
        changed = bool(clone_git(clone.folder, "status", "--porcelain"))
        if changed and not clone_git(clone.folder, "for-each-ref", ref):  # an earlier try may have saved it
            # Save only these stages, because the results of stages outside of `targets` can be out of date.
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
    """Search for better params. The parameters are the options of `locatable search`."""
    arguments = dict(locals())
    options = []
    for name, value in arguments.items():
        option = f"--{name.replace('_', '-')}"
        if value is True:
            options.append(option)
        elif value is not None and value is not False:
            options.append(f"{option}={value}")
    run_step(find_project(Path.cwd()), "locatable", "search", *options, log=get_run_logger().info)
