"""Plans a search without changing anything, and runs it on workers.

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
from ..git import git, ignore_locally, top_folder
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

# A search ends after this many failures in a row: the first number applies if no trial has ever worked, the
# second one if some trials have.
NEVER_WORKED = 5
CEASED_TO_WORK = 20
# Seconds to wait for a message before the pool checks for an interrupt, the deadline and a changed capacity.
WAIT = 0.5

RecordProcessor = Callable[[str, Processor], None]


@dataclass(frozen=True)
class SearchOptions:
    """The command-line options of a search, in addition to search.yaml.

    Attributes:
        trials: how many complete or pruned trials the study should have in the end, including earlier ones.
        workers: how many workers run at a time; None for one on this machine, or all that fit on a cluster.
        deadline: the value of `time.monotonic()` after which no trial begins.
        storage: the URL of an Optuna storage; None for a file in the project.
        ray: the address of the Ray cluster that runs the trials; None for this machine.
        allow_stale: begin even if the results of HEAD do not belong to its files.
    """

    trials: int
    workers: int | None = None
    deadline: float = float("inf")
    storage: str | None = None
    ray: str | None = None
    allow_stale: bool = False


@dataclass(frozen=True)
class SearchPlan:
    """A search that has been checked and can begin.

    Attributes:
        root: the DVC root.
        settings: the settings from search.yaml.
        options: the command-line options.
        project: the project as DVC reads it.
        baseline: the commit from which all trials start.
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
        """Lines that tell the user about unexpected properties of all trials of this project."""
        lines = []
        for path, stage in self.project.persistent.items():
            lines.append(
                f"{stage} finds its own last output (persist: true): "
                f"every trial starts with the baseline's {path}"
            )
        if self.project.is_composed_anew:
            lines.append(
                "Hydra composes params.yaml anew for every trial, as in `dvc exp run`: "
                "the current one has other values"
            )
        return lines

    @property
    def owner(self) -> str:
        """The mark of trials that this project runs on this machine.

        A storage given by `--storage` can also have running trials of other machines and projects, so the
        mark names both. The project's own storage moves with the project, so there it must not name them.
        """
        return f"{platform.node()}:{self.root}" if self.options.storage else "this project"


def plan_search(root: Path, settings: SearchSettings, options: SearchOptions) -> SearchPlan:
    """Check that a search can begin, without changing anything.

    Raises:
        SettingsError: search.yaml does not fit the project.
        ProjectError: trials cannot start from HEAD, for example because changes are not committed.
        GitError: Git does not work in this repository.
    """
    # If Git rejects the repository, this raises Git's reason in one line. DVC would end with a traceback.
    top_folder(root)
    project = read_project(root)
    check(settings, project)
    # A sampler can be a module of the project. Append the path, so that no file of the project shadows an
    # installed module.
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
    """Raise ProjectError if HEAD has stale results, whose stages every trial would have to run again."""
    with Reader(root) as reader:
        found = differences(reader.snapshot(baseline))
    if found:
        raise ProjectError(
            f"the results of HEAD are not of its files: {summary(found)}; {remedy(found)}, "
            "or every trial runs these stages again (--allow-stale)"
        )


def _committed_baseline(root: Path, modified_data: list[str]) -> str:
    """Return the commit HEAD, from which trials start.

    Raises:
        ProjectError: there is no commit, or the checkout has changes that are not committed.
    """
    try:
        baseline = git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    except GitError:
        raise ProjectError("nothing is committed yet: trials start from a commit") from None
    # These options override the settings of the user and of .gitmodules.
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
    """Shows the user the progress of a search."""

    def progress(self, finished: int, best: float | None) -> None:
        """Show how many trials are complete or pruned, and the best value if there is a single objective."""

    def trial_failed(self, experiment: str, failed: Failed) -> None:
        """Show that a trial failed."""

    def notice(self, text: str) -> None:
        """Show one line of text."""


class Pool:
    """Runs the trials of a study on workers: asks Optuna for params, and reports the results to it.

    Args:
        study: the study, which proposes the trials and receives their results.
        backend: starts the workers.
        observer: shows the user the progress.
        record: called with the commit of each experiment and the processor on which it ran.
    """

    def __init__(
        self, study: SearchStudy, backend: Backend, observer: Observer, record: RecordProcessor | None = None
    ) -> None:
        # The first interrupt lets running trials end; from the second one on, the search stops immediately.
        self.interrupts = 0
        self._study = study
        self._backend = backend
        self._observer = observer
        self._record = record
        self._workers: list[Worker] = []
        # The workers that are set up, each with its running trial, or None if it waits for a job.
        self._ready: dict[Worker, RunningTrial | None] = {}
        self._inbox: queue.Queue[tuple[Worker, WorkerMessage | None]] = queue.Queue()
        self._unusable_workers = 0
        self._failures_in_a_row = 0
        self._finished = 0

    def interrupt(self, *, at_once: bool) -> None:
        """End the search after the running trials. The second call ends it immediately.

        Args:
            at_once: end the search immediately with the first call.
        """
        self.interrupts += 2 if at_once else 1

    def run(self, wanted: int, deadline: float) -> None:
        """Run trials until the study has enough of them.

        Args:
            wanted: how many complete or pruned trials the study should have in the end, including earlier
                ones.
            deadline: the value of `time.monotonic()` after which no trial begins.

        Raises:
            ProjectError: no worker can be set up, or too many trials failed in a row.
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
        """Return whether one more trial should begin now."""
        if self.interrupts or time.monotonic() > deadline:
            return False
        return self._finished + len(self._running()) < wanted and self._study.has_more()

    def _start_workers(self, wanted: int, deadline: float) -> None:
        # Do not start more workers than trials are left, because starting one can take longer than a trial.
        possible = self._backend.capacity() - self._unusable_workers
        limit = min(possible, wanted - self._finished)
        while len(self._workers) < limit and self._may_begin(wanted, deadline):
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
                # Record the processor first. If the search is killed after that, the next one still finds
                # the trial in Git, but it could not find out the processor.
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
            self._observer.notice(f"{running.job.experiment}: its processor could not be recorded: {error}")

    def _remove(self, worker: Worker) -> None:
        worker.clean_up()
        self._workers.remove(worker)
        self._ready.pop(worker, None)

    def _handle_end(self, worker: Worker) -> None:
        """Remove a worker that has ended, and reconcile the study to find out whether its trial is lost.

        A lost trial is run again, unless that has been tried too often.
        """
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
        """Continue without a worker that cannot be set up.

        Raises:
            ProjectError: no other worker is possible, or the disk is full.
        """
        self._remove(worker)
        self._unusable_workers += 1
        self._refuse_full_disk(message.error)
        if self._backend.capacity() <= self._unusable_workers:
            raise ProjectError(f"a worker cannot start: {message.error}")
        self._observer.notice(f"a worker cannot start and is left out: {message.error}")

    def _count_finished(self, trials: int) -> None:
        self._finished += trials
        self._failures_in_a_row = 0
        self._observer.progress(self._finished, self._study.best_value())

    def _count_failure(self) -> None:
        """Count a failure.

        Raises:
            ProjectError: too many trials failed in a row.
        """
        self._failures_in_a_row += 1
        limit = CEASED_TO_WORK if self._finished else NEVER_WORKED
        if self._failures_in_a_row == limit:
            raise ProjectError(
                f"{self._failures_in_a_row} trials failed one after another, so the search ends here"
            )

    def _refuse_full_disk(self, output: str) -> None:
        """Raise ProjectError if the output of a trial or a worker says that the disk is full."""
        if DISK_FULL.search(output):
            clones = self._backend.clones
            raise ProjectError(
                f"the disk is full (clones are in {clones}): "
                "free some space, and run the same command to continue"
            )


class Search:
    """A running search.

    Attributes:
        plan: the plan of the search.
        study: the study.
        pool: runs the trials on workers. Use it after `start`.

    Raises:
        ProjectError: the Git remote, the DVC remote or the cluster cannot be used.
        StoreError: Optuna's storage cannot be used.
        SettingsError: the existing study does not fit search.yaml.
    """

    def __init__(self, plan: SearchPlan, observer: Observer) -> None:
        self.plan = plan
        self._fetch: Callable[[], None] | None = None
        backend = self._create_backend()
        if not backend.capacity():
            observer.notice("waiting for a GPU: all are used by other searches")
        # Remove the clones of a killed search before its experiments are read from Git, because one of its
        # workers could still be pushing a trial.
        self._remove_clones()
        # Optuna creates its tables in several steps, which two searches must not do at the same time.
        own_storage = plan.root / "optuna.db"
        with FileLock(study_folder(plan.root) / "studies.lock"):
            study = open_study(plan.settings, plan.options.storage or sqlite_url(own_storage))
        if not plan.options.storage:
            ignore_locally(own_storage)
        self.study = SearchStudy(
            study, plan.settings, plan.project.params_files, self._find_experiments, plan.owner
        )
        self.pool = Pool(self.study, backend, observer, partial(write_processor, plan.root))

    def _create_backend(self) -> Backend:
        plan, options = self.plan, self.plan.options
        setup = plan.project.clone_setup(plan.baseline)
        if options.ray is None:
            workers = options.workers or 1
            resources = plan.settings.resources
            devices = Devices(resources, workers) if resources.gpu else None
            return LocalBackend(setup, plan.folder, workers, devices)
        # Imported here, because all other searches work without Ray.
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
        """Reconcile the study with Git, and set its sampler and pruner.

        Returns:
            The changes that were made to the study.
        """
        changes = self.study.reconcile()
        self.study.configure()
        return changes

    def finish(self) -> None:
        """Remove the clones, and reconcile the study with Git."""
        self._remove_clones()
        self.study.reconcile()

    def _remove_clones(self) -> None:
        kill_processes(self.plan.folder)
        shutil.rmtree(self.plan.folder, ignore_errors=True)
