"""The flows: `rebuild` a revision, every DVC stage a task run, and `search` for better params."""

import logging
from collections.abc import Callable
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import State, flow, get_client, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import TaskRun
from prefect.runtime import flow_run
from prefect.states import Completed
from prefect.tasks import Task, exponential_backoff

from ..clones.params_files import write
from ..clones.project_setup import read_project
from ..clones.trial_clone import Clone
from ..errors import GitError, LocatableError
from ..git import git
from ..git.working_clone import clone_git
from ..repository.pipeline import Pipeline, has_default_remote, read_pipeline
from ..repository.project import find_project
from ..repository.reader import resolve
from . import steps
from .exclusive import exclusive


@dataclass(frozen=True)
class Checkout:
    """What a rebuild works on: a clone at the revision, with its params set, and what to do there."""

    clone: Clone
    pipeline: Pipeline


@dataclass(frozen=True)
class Limits:
    """How often to try a task again, how many seconds to wait before, and how many it may take."""

    retries: int
    delay: float
    timeout: float | None

    def on(self, limited: Task) -> Task:
        """The task with these limits."""
        return limited.with_options(
            retries=self.retries,
            retry_delay_seconds=exponential_backoff(self.delay),
            timeout_seconds=self.timeout,
        )


class _WithoutTraceback(logging.Filter):
    """What a stage or a user did wrong is one line: a traceback would show our code."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], LocatableError):
            record.exc_info = None
        return True


for logger in ("prefect.flow_runs", "prefect.task_runs"):
    logging.getLogger(logger).addFilter(_WithoutTraceback())


def step(name: str) -> Callable[[Callable[..., Any]], Task]:
    """A decorator: the function is a task, shown by that name, which can be tried again."""
    decorate: Callable[[Callable[..., Any]], Task] = task(
        task_run_name=name, cache_policy=NO_CACHE, retry_condition_fn=_may_pass, retry_jitter_factor=0.5
    )
    return decorate


def _may_pass(task: Task, run: TaskRun, state: State) -> bool:
    """Whether a task that failed is worth another try."""
    return not isinstance(state.result(raise_on_failure=False), steps.PermanentError)


@flow
def rebuild(
    rev: str = "HEAD",
    targets: list[str] | None = None,
    params: dict[str, Any] | None = None,
    retries: int = 2,
    delay: float = 10,
    timeout: float | None = None,
) -> State:
    """Rebuild a revision of the repository around the current folder, one rebuild at a time.

    Args:
        rev: a Git revision, or the name of an experiment.
        targets: stages to rebuild, with those they need; all by default.
        params: value by key, as after `dvc exp run -S`.
        retries: how often to try again what may pass then.
        delay: seconds until the first retry; twice as many until the next.
        timeout: seconds that a stage, or a transfer of data, may take.
    """
    root = find_project(Path.cwd())
    limits = Limits(retries, delay, timeout)
    experiment = f"flow-{str(flow_run.id)[:8]}-{flow_run.run_count}"
    with exclusive(root) as folder, chdir(root):
        checkout = check_out(root, folder / "clone", rev, targets or [], params or {})
        limits.on(fetch)(checkout)
        states = _run_stages(checkout, limits)
        outcome = limits.on(push)(checkout, experiment)
        limits.on(mirror)(root)
    ran = [state for state in states if state.name != "Cached"]
    return Completed(message=f"{checkout.clone.baseline}: {len(ran)} of {len(states)} stages ran, {outcome}")


def _run_stages(checkout: Checkout, limits: Limits) -> list[State]:
    """Run the stages in their order; the first that fails ends the flow."""
    states: dict[str, State] = {}
    for stage, declared in checkout.pipeline.stages.items():
        # All have ended; that Prefect is told lets it draw the pipeline.
        before = [states[other] for other in declared.needs]
        states[stage] = limits.on(run_stage)(checkout, stage, return_state=True, wait_for=before)
        states[stage].result()
    return list(states.values())


@step("check out")
def check_out(root: Path, folder: Path, rev: str, targets: list[str], params: dict[str, Any]) -> Checkout:
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
        raise steps.PermanentError(error.message.splitlines()[0]) from None
    get_run_logger().info("revision %s", commit)
    with get_client(sync_client=True) as client:
        client.update_flow_run(flow_run.id, tags=[*flow_run.tags, f"rev:{commit}"])
    return Checkout(clone, pipeline)


@step("fetch")
def fetch(checkout: Checkout) -> None:
    """Get the source data, and those results that there are already."""
    if checkout.pipeline.sources:
        _dvc(checkout.clone, "pull", *checkout.pipeline.sources)
    _dvc(checkout.clone, "pull", "--allow-missing", *checkout.pipeline.stages)


@step("{stage}")
def run_stage(checkout: Checkout, stage: str) -> State | None:
    """Run a stage, unless its results are there already."""
    lines = _dvc(checkout.clone, "repro", "--single-item", stage)
    if f"Running stage '{stage}':" in lines:
        return None
    return Completed(name="Cached", message="nothing changed")


@step("push")
def push(checkout: Checkout, experiment: str) -> str:
    """Save what differs from the revision as an experiment, and push that and its data.

    Returns:
        What became of the result, in words.
    """
    clone = checkout.clone
    stages = list(checkout.pipeline.stages)
    try:
        clone_git(clone.folder, "add", "--all")
        changed = bool(clone_git(clone.folder, "status", "--porcelain"))
        if changed:
            _save(clone, experiment, stages)
        if has_default_remote(clone.root):
            _dvc(clone, "push", *stages)
        if changed and "origin" in git(clone.url, "remote").split():
            git(clone.url, "push", "--quiet", "--no-verify", "origin", clone.ref(experiment))
    except GitError as error:
        raise steps.StepError(error.stderr.strip()) from None
    return f"experiment {experiment}" if changed else "all as recorded"


def _save(clone: Clone, experiment: str, stages: list[str]) -> None:
    """Save an experiment, unless an earlier try did, and push it to the user's repository."""
    if not clone_git(clone.folder, "for-each-ref", clone.ref(experiment)):
        # Only what ran: results of other stages can be of other params.
        _dvc(clone, "exp", "save", "--name", experiment, *stages)
    clone.push(experiment, clone_git(clone.folder, "rev-parse", clone.ref(experiment)))


def _dvc(clone: Clone, *command: str) -> list[str]:
    return steps.run(clone.root, "dvc", *command, log=get_run_logger().info, clone=clone.folder)


@step("mirror")
def mirror(root: Path) -> None:
    """Show the experiments in MLflow."""
    steps.run(root, "locatable", "mirror", log=get_run_logger().info)


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
    values = {
        "study": study,
        "trials": trials,
        "workers": workers,
        "timeout": timeout,
        "storage": storage,
        "ray": ray,
    }
    options = [f"--{name}={value}" for name, value in values.items() if value is not None]
    if mirror:
        options.append("--mirror")
    if allow_stale:
        options.append("--allow-stale")
    root = find_project(Path.cwd())
    steps.run(root, "locatable", "search", *options, log=get_run_logger().info)
