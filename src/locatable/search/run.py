"""A search: planned, which changes nothing, and then run on workers.

plan = plan_search(root, settings, options)
search = Search(plan, observer)
search.start()
try:
    search.pool.run(options.trials, options.deadline)
finally:
    search.finish()
"""

import platform
import queue
import shutil
import sys
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from filelock import FileLock
from optuna.trial import TrialState

from ..addresses import sqlite_url
from ..clones import kill_processes
from ..clones.trial_clone import ProjectSetup, read_project
from ..errors import DISK_FULL, GitError, ProjectError
from ..git import git, leave_out, top_folder
from ..repository.reader import Reader
from ..results.processor import Processor, write_processor
from ..results.staleness import differences, remedy, summary
from .git_trials import FoundExperiments, find_experiments
from .local_backend import Devices, LocalBackend, study_folder
from .messages import (
    Backend,
    Complete,
    Failed,
    Progress,
    Pruned,
    Ready,
    Stop,
    TrialResult,
    Unusable,
    Worker,
    WorkerMessage,
)
from .settings import SearchSettings, check
from .study import ReconcilePlan, RunningTrial, SearchStudy, dry_run, open_study

# So many failures in a row end a search: none has ever worked, or all have ceased to.
NEVER_WORKED = 5
CEASED_TO_WORK = 20
# Seconds to wait for a message before looking whether someone wants to stop, or the capacity has changed.
WAIT = 0.5

Record = Callable[[str, Processor], None]


@dataclass(frozen=True)
class SearchOptions:
    """The options of one call, beside search.yaml.

    Attributes:
        trials: how many to have complete or pruned in the end, earlier ones included.
        workers: how many run at a time; None for one here, or as many as a cluster has room for.
        deadline: none is begun when `time.monotonic()` has passed it.
        storage: any URL that Optuna takes; None for a file of this project.
        ray: address of a cluster to run them on; None for this machine.
        allow_stale: begin even from a commit whose results are not of its files.
    """

    trials: int
    workers: int | None = None
    deadline: float = float("inf")
    storage: str | None = None
    ray: str | None = None
    allow_stale: bool = False


@dataclass(frozen=True)
class SearchPlan:
    """A search that can begin.

    Attributes:
        root: the project.
        settings: search.yaml.
        options: of this call.
        project: as DVC reads it.
        baseline: commit that trials start from.
    """

    root: Path
    settings: SearchSettings
    options: SearchOptions
    project: ProjectSetup
    baseline: str

    @property
    def folder(self) -> Path:
        """The folder for the clones of workers on this machine."""
        return (study_folder(self.root) / self.settings.study).resolve()

    @property
    def remarks(self) -> list[str]:
        """Lines about what is peculiar to all trials of this project."""
        lines = []
        for path, stage in self.project.persistent.items():
            lines.append(
                f"{stage} finds its own last output (persist: true): "
                f"every trial starts with the baseline's {path}"
            )
        if self.project.is_composed_anew:
            lines.append(
                "Hydra composes params.yaml anew for every trial, as in `dvc exp run`: "
                "the one that is there has other values"
            )
        return lines

    @property
    def owner(self) -> str:
        """Marks the trials that this project, on this machine, runs.

        A storage that was named can also have trials of other machines; the project's own moves with it.
        """
        return f"{platform.node()}:{self.root}" if self.options.storage else "this project"


def plan_search(root: Path, settings: SearchSettings, options: SearchOptions) -> SearchPlan:
    """Check that a search can begin; nothing is changed.

    Raises:
        SettingsError: search.yaml does not fit the project.
        ProjectError: the project is not in a state to begin from.
        GitError: Git does not work in this repository.
    """
    # Where Git refuses a repository, it says why in a line, and DVC ends with a traceback.
    top_folder(root)
    project = read_project(root)
    check(settings, project)
    # A sampler can be a module of the project. Last, so that no file of it hides a module of ours.
    if str(root) not in sys.path:
        sys.path.append(str(root))
    dry_run(settings, project.params_files)
    if project.missing and not options.ray:
        raise ProjectError(f"not in DVC's cache: {', '.join(project.missing)}; dvc pull")
    baseline = _committed_baseline(root, project.modified)
    if not options.allow_stale:
        _refuse_stale(root, baseline)
    return SearchPlan(root, settings, options, project, baseline)


def _refuse_stale(root: Path, baseline: str) -> None:
    """Raise ProjectError where each trial would run more than its own stages."""
    with Reader(root) as reader:
        found = differences(reader.snapshot(baseline))
    if found:
        raise ProjectError(
            f"the results of HEAD are not of its files: {summary(found)}; {remedy(found)}, "
            "or every trial runs these stages again (--allow-stale)"
        )


def _committed_baseline(root: Path, modified_data: list[str]) -> str:
    """Return the last commit, which trials start from; refuse changes that it does not have."""
    try:
        baseline = git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    except GitError:
        raise ProjectError("nothing is committed yet: trials start from a commit") from None
    # Whatever settings of the user, or of .gitmodules, say.
    options = ("--name-only", "--no-relative", "--ignore-submodules=untracked")
    changed = git(root, "diff", *options, "HEAD").splitlines()
    if changed:
        raise ProjectError(
            f"not committed: {', '.join(changed)}; commit or stash first, since trials start from HEAD"
        )
    if modified_data:
        raise ProjectError(
            f"data not as committed: {', '.join(modified_data)}; "
            "`dvc commit` it and commit the change in Git, or `dvc checkout` it"
        )
    return baseline


class Observer(Protocol):
    """Shows a person what happens."""

    def progress(self, finished: int, best: float | None) -> None:
        """Show how many trials are complete or pruned, and the best value of a single objective."""

    def trial_failed(self, experiment: str, failed: Failed) -> None:
        """Show that a trial failed."""

    def notice(self, text: str) -> None:
        """Show something else that is worth a line."""


class Pool:
    """Runs the trials of a study on workers: asks Optuna for params, and tells it the results.

    Args:
        study: asked for trials, and told how each of them ended.
        backend: starts the workers, on this machine or on a Ray cluster.
        observer: told of what a person wants to know.
        record: called with each experiment's commit and the processor that it was computed on.
    """

    def __init__(
        self, study: SearchStudy, backend: Backend, observer: Observer, record: Record | None = None
    ) -> None:
        # Counts how often someone asked for an end; the second time means at once.
        self.interrupts = 0
        self._study = study
        self._backend = backend
        self._observer = observer
        self._record = record
        self._workers: list[Worker] = []
        # Workers that take jobs, each with the trial that it runs, if any.
        self._ready: dict[Worker, RunningTrial | None] = {}
        self._inbox: queue.Queue[tuple[Worker, WorkerMessage | None]] = queue.Queue()
        self._unusable_workers = 0
        self._failures_in_a_row = 0
        self._finished = 0

    def interrupt(self, *, at_once: bool) -> None:
        """Ask for an end: when the running trials have ended; at once, if it is the second time."""
        self.interrupts += 2 if at_once else 1

    def run(self, wanted: int, deadline: float) -> None:
        """Run trials.

        Args:
            wanted: how many to have finished (complete or pruned) in the end, earlier ones included.
            deadline: none is begun when `time.monotonic()` has passed it.

        Raises:
            ProjectError: no worker can be set up, or no trial works.
        """
        states = self._study.count()
        self._finished = states[TrialState.COMPLETE] + states[TrialState.PRUNED]
        self._observer.progress(self._finished, self._study.best_value())
        try:
            while self.interrupts < 2 and (self._may_begin(wanted, deadline) or self._running()):
                self._start_workers(wanted, deadline)
                self._assign_jobs(wanted, deadline)
                with suppress(queue.Empty):
                    self._handle(*self._inbox.get(timeout=WAIT))
        finally:
            self._backend.shut_down()

    def _running(self) -> list[RunningTrial]:
        return [running for running in self._ready.values() if running]

    def _may_begin(self, wanted: int, deadline: float) -> bool:
        """Return true where one more trial is to begin."""
        if self.interrupts or time.monotonic() > deadline:
            return False
        return self._finished + len(self._running()) < wanted and self._study.has_more()

    def _start_workers(self, wanted: int, deadline: float) -> None:
        # No more than trials are left: a worker takes longer to start than to run a small trial.
        usable = self._backend.capacity() - self._unusable_workers
        useful = min(usable, wanted - self._finished)
        while len(self._workers) < useful and self._may_begin(wanted, deadline):
            worker = self._backend.start_worker(lambda *received: self._inbox.put(received))
            self._workers.append(worker)

    def _assign_jobs(self, wanted: int, deadline: float) -> None:
        for worker, running in self._ready.items():
            if running is None and self._may_begin(wanted, deadline):
                self._ready[worker] = running = self._study.ask()
                worker.send(running.job)

    def _handle(self, worker: Worker, message: WorkerMessage | None) -> None:
        if worker not in self._workers:
            return
        running = self._ready.get(worker)
        match message:
            case None:
                self._handle_end(worker)
            case Ready():
                self._ready[worker] = None
            case Unusable():
                self._handle_unusable(worker, message)
            case Progress() if running:
                should_stop = self._study.report(running, message)
                if should_stop and not running.is_stopping:
                    running.is_stopping = True
                    worker.send(Stop())
            case Complete() | Pruned() | Failed() if running:
                self._ready[worker] = None
                self._handle_result(running, message)

    def _handle_result(self, running: RunningTrial, result: TrialResult) -> None:
        match result:
            case Complete():
                # First: where the search is killed here, Git has the trial, and nothing its processor.
                self._record_processor(running, result)
                self._study.complete(running, result)
                self._count_finished(1)
            case Pruned():
                self._study.prune(running)
                self._count_finished(1)
            case Failed():
                self._study.fail(running, result.error)
                self._observer.trial_failed(running.job.experiment, result)
                self._refuse_full_disk(result.error + result.log)
                self._count_failure()

    def _record_processor(self, running: RunningTrial, result: Complete) -> None:
        if not (self._record and result.processor):
            return
        try:
            self._record(result.rev, result.processor)
        except GitError as error:
            self._observer.notice(f"{running.job.experiment}: its processor is not noted: {error}")

    def _remove(self, worker: Worker) -> None:
        worker.clean_up()
        self._workers.remove(worker)
        self._ready.pop(worker, None)

    def _handle_end(self, worker: Worker) -> None:
        """Find out what became of a dead worker's trial; where it is lost, it has another chance."""
        was_ready = worker in self._ready
        running = self._ready.get(worker)
        self._remove(worker)
        if running is None:
            if not was_ready:
                self._count_failure()
            return
        experiment = running.job.experiment
        plan = self._study.reconcile({other.trial.number for other in self._running()})
        if plan.completions:
            self._count_finished(len(plan.completions))
        if plan.retries:
            self._observer.notice(f"{experiment}: its worker died; its params are run again")
        elif plan.losses:
            self._observer.trial_failed(experiment, Failed("its worker died", ""))
            self._count_failure()

    def _handle_unusable(self, worker: Worker, message: Unusable) -> None:
        """Do without a worker that cannot be set up; where there is no other, the search ends."""
        self._remove(worker)
        self._unusable_workers += 1
        self._refuse_full_disk(message.error)
        if self._backend.capacity() <= self._unusable_workers:
            raise ProjectError(f"a worker cannot begin: {message.error}")
        self._observer.notice(f"a worker cannot begin, and is done without: {message.error}")

    def _count_finished(self, trials: int) -> None:
        self._finished += trials
        self._failures_in_a_row = 0
        self._observer.progress(self._finished, self._study.best_value())

    def _count_failure(self) -> None:
        """End a search in which nothing works, or nothing works any more."""
        self._failures_in_a_row += 1
        limit = CEASED_TO_WORK if self._finished else NEVER_WORKED
        if self._failures_in_a_row == limit:
            raise ProjectError(
                f"{self._failures_in_a_row} trials failed one after another, so the search ends here"
            )

    def _refuse_full_disk(self, said: str) -> None:
        if DISK_FULL.search(said):
            clones = self._backend.clones
            raise ProjectError(
                f"the disk is full (clones are in {clones}): "
                "free some space, and run the same command to continue"
            )


class Search:
    """A search that runs.

    Attributes:
        study: of the search.
        pool: the workers and their trials; used after `start`.

    Raises:
        ProjectError: the Git remote, the DVC remote or the cluster cannot be used.
        StoreError: Optuna's storage cannot be used.
        SettingsError: the study is not one of this search.yaml.
    """

    def __init__(self, plan: SearchPlan, observer: Observer) -> None:
        self.plan = plan
        self._fetch: Callable[[], None] | None = None
        backend = self._backend()
        if not backend.capacity():
            observer.notice("waiting for a GPU: all are used by other searches")
        # What a killed search left. Git is asked only then: its worker could still be pushing a trial.
        self._remove_clones()
        # Optuna creates its tables in several steps, which two searches must not do at once.
        own_storage = plan.root / "optuna.db"
        with FileLock(study_folder(plan.root) / "studies.lock"):
            study = open_study(plan.settings, plan.options.storage or sqlite_url(own_storage))
        if not plan.options.storage:
            leave_out(own_storage)
        self.study = SearchStudy(
            study, plan.settings, plan.project.params_files, self._find_experiments, plan.owner
        )
        self.pool = Pool(self.study, backend, observer, partial(write_processor, plan.root))

    def _backend(self) -> Backend:
        plan, options = self.plan, self.plan.options
        setup = plan.project.clone_setup(plan.baseline)
        if options.ray is None:
            workers = options.workers or 1
            resources = plan.settings.resources
            devices = Devices(resources, workers) if resources.gpu else None
            return LocalBackend(setup, plan.folder, workers, devices)
        # Imported here: the others do without Ray.
        from .ray_backend import GitRemote, RayBackend, connect

        remote = GitRemote(plan.root, plan.settings.study)
        self._fetch = remote.fetch
        remote.check()
        connect(options.ray, plan.root)
        return RayBackend(setup, plan.settings.resources, options.workers, remote, plan.folder)

    def _find_experiments(self, known: Collection[str]) -> FoundExperiments:
        if self._fetch:
            self._fetch()
        return find_experiments(self.plan.root, self.plan.settings, known)

    def start(self) -> ReconcilePlan:
        """Bring the study to what Git knows, and set its sampler; returns what was done."""
        done = self.study.reconcile()
        self.study.configure()
        return done

    def finish(self) -> None:
        """Remove the clones, and bring the study to what Git knows."""
        self._remove_clones()
        self.study.reconcile()

    def _remove_clones(self) -> None:
        kill_processes(self.plan.folder)
        shutil.rmtree(self.plan.folder, ignore_errors=True)
