"""Runs the trials of a study on workers: asks Optuna for params, and tells it the results.

Where workers run is a backend, on this machine or on a Ray cluster.
"""

import queue
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from optuna.trial import TrialState

from ..errors import DISK_FULL, GitError, ProjectError
from ..results.processor import Processor
from .messages import (
    Complete,
    Failed,
    PoolMessage,
    Progress,
    Pruned,
    Ready,
    Stop,
    TrialResult,
    Unusable,
    WorkerMessage,
)
from .study import RunningTrial, SearchStudy

# So many failures in a row end a search: none has ever worked, or all have ceased to.
NEVER_WORKED = 5
CEASED_TO_WORK = 20
# Seconds to wait for a message before looking whether someone wants to stop, or the capacity has changed.
WAIT = 0.5

Record = Callable[[str, Processor], None]


@dataclass(eq=False)
class Worker(ABC):
    """A worker, as the pool sees it.

    Attributes:
        is_ready: whether it takes jobs.
        running: the trial that it runs, if any.
        is_stopping: whether it was told to stop that trial.
    """

    is_ready: bool = False
    running: RunningTrial | None = None
    is_stopping: bool = False

    @abstractmethod
    def send(self, message: PoolMessage) -> None:
        """Send it a message; where it has died, that is received as its end."""

    @abstractmethod
    def clean_up(self) -> None:
        """Remove what it left, after its end."""


# Called, in any thread, with each message of a worker, and with None at its end.
Receive = Callable[[Worker, WorkerMessage | None], None]


class Backend(Protocol):
    """Starts workers."""

    @property
    def clones(self) -> str:
        """The place of the workers' clones, in words."""

    def capacity(self) -> int:
        """Return how many workers can run at a time.

        Raises:
            ProjectError: none can any more.
        """

    def start_worker(self, receive: Receive) -> Worker:
        """Start a worker, which is sent its setup."""

    def shut_down(self) -> None:
        """Stop all workers, at once, and return when they have ended."""


class Observer(Protocol):
    """Shows a person what happens."""

    def progress(self, finished: int, best: float | None) -> None:
        """Show how many trials are complete or pruned, and the best value of a single objective."""

    def trial_failed(self, experiment: str, failed: Failed) -> None:
        """Show that a trial failed."""

    def notice(self, text: str) -> None:
        """Show something else that is worth a line."""


class Pool:
    """Workers, and the trials that they run.

    Args:
        study: asked for trials, and told how each of them ended.
        backend: starts the workers.
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
        self._inbox: queue.Queue[tuple[Worker, WorkerMessage | None]] = queue.Queue()
        self._unusable_workers = 0
        self._failures_in_a_row = 0
        states = study.count()
        self._finished = states[TrialState.COMPLETE] + states[TrialState.PRUNED]

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
        return [worker.running for worker in self._workers if worker.running]

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
        for worker in self._workers:
            if worker.is_ready and not worker.running and self._may_begin(wanted, deadline):
                worker.running = self._study.ask()
                worker.is_stopping = False
                worker.send(worker.running.job)

    def _handle(self, worker: Worker, message: WorkerMessage | None) -> None:
        if worker not in self._workers:
            return
        match message:
            case None:
                self._handle_end(worker)
            case Ready():
                worker.is_ready = True
            case Unusable():
                self._handle_unusable(worker, message)
            case Progress():
                self._handle_progress(worker, message)
            case Complete() | Pruned() | Failed():
                self._handle_result(worker, message)

    def _handle_progress(self, worker: Worker, progress: Progress) -> None:
        if worker.running is None:
            return
        should_stop = self._study.report(worker.running, progress)
        if should_stop and not worker.is_stopping:
            worker.is_stopping = True
            worker.send(Stop())

    def _handle_result(self, worker: Worker, result: TrialResult) -> None:
        running = worker.running
        if running is None:
            return
        worker.running = None
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
                self._observer.trial_failed(running.experiment, result)
                self._refuse_full_disk(result.error + result.log)
                self._count_failure()

    def _record_processor(self, running: RunningTrial, result: Complete) -> None:
        if not (self._record and result.processor):
            return
        try:
            self._record(result.rev, result.processor)
        except GitError as error:
            self._observer.notice(f"{running.experiment}: its processor is not noted: {error}")

    def _handle_end(self, worker: Worker) -> None:
        """Find out what became of a dead worker's trial; where it is lost, it has another chance."""
        worker.clean_up()
        self._workers.remove(worker)
        running = worker.running
        if running is None:
            if not worker.is_ready:
                self._count_failure()
            return
        plan = self._study.reconcile({other.number for other in self._running()})
        if plan.completions:
            self._count_finished(len(plan.completions))
        if plan.retries:
            self._observer.notice(f"{running.experiment}: its worker died; its params are run again")
        elif plan.losses:
            self._observer.trial_failed(running.experiment, Failed("its worker died", ""))
            self._count_failure()

    def _handle_unusable(self, worker: Worker, message: Unusable) -> None:
        """Do without a worker that cannot be set up; where there is no other, the search ends."""
        worker.clean_up()
        self._workers.remove(worker)
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
