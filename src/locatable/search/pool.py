"""Runs the trials of a study on workers: asks Optuna for params, and tells it what came of them."""

import queue
import re
import sys
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import optuna
from optuna.trial import Trial, TrialState
from tqdm import tqdm

from ..errors import ProjectError
from .sampling import propose
from .settings import Search

# So many failures in a row end a search: none has ever worked, or all have ceased to.
NEVER_WORKED, CEASED_TO_WORK = 5, 20
# How systems, Git and SQLite say it.
FULL = re.compile(r"no space left|out of disk ?space|disk is full|disk quota", re.IGNORECASE)


@dataclass(eq=False)
class Worker(ABC):
    """A worker, as the pool sees it: the trial that it runs, if any, and whether that was told to stop."""

    ready: bool = False
    trial: Trial | None = None
    stopping: bool = False

    @abstractmethod
    def send(self, message: dict[str, Any]) -> None:
        """Tell it something; that it has died, if so, is heard from it."""


Hear = Callable[[Worker, dict[str, Any] | None], None]


class Crew(Protocol):
    """Where workers come from."""

    clones: str
    """Where they have their clones, in words."""

    def room(self) -> int:
        """How many can work at a time."""

    def hire(self, hear: Hear) -> Worker:
        """Begin one; `hear` is called, in any thread, with each of its messages, and with None at its end."""

    def bury(self, worker: Worker) -> None:
        """Clear away what a dead one left."""

    def dismiss(self, workers: list[Worker]) -> None:
        """Stop them, at once, and return when they have ended."""


class Pool:
    """Workers, and the trials that they run.

    Args:
        study: told of each trial.
        search: search.yaml.
        crew: where workers come from.
        files: content of each params file at the baseline.
        owner: marks the trials that are run here, and nowhere else.
        settle: finds out, by Git, how a trial ended whose worker died; takes the numbers of the other trials.
        report: called with experiment, error and last lines of the output when a trial failed.
    """

    def __init__(
        self,
        study: optuna.Study,
        search: Search,
        *,
        crew: Crew,
        files: dict[str, Any],
        owner: str,
        settle: Callable[[set[int]], Counter[str]],
        report: Callable[[str, str, str], None],
    ) -> None:
        self.study, self.search, self.crew, self.files = study, search, crew, files
        self.owner, self.settle, self.report = owner, settle, report
        # How often someone asked for an end: once, to finish what runs; twice, to stop at once.
        self.interrupts = 0
        self._workers: list[Worker] = []
        self._inbox: queue.Queue[tuple[Worker, dict[str, Any] | None]] = queue.Queue()
        self._exhausted, self._failures, self._unusable = False, 0, 0
        states = Counter(trial.state for trial in study.get_trials(deepcopy=False))
        self.complete, self.pruned, self.failed = (
            states[state] for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
        )

    def run(self, wanted: int, deadline: float) -> None:
        """Run trials.

        Args:
            wanted: how many to have finished (complete or pruned) in the end, earlier ones included.
            deadline: none is begun when `time.monotonic()` has passed it.

        Raises:
            ProjectError: no worker can be set up, or no trial works.
        """
        # Samplers that are through with their grid call this, which else works within `optimize` only.
        self.study.stop = lambda: setattr(self, "_exhausted", True)
        finished = self.complete + self.pruned

        def more() -> bool:
            running = sum(worker.trial is not None for worker in self._workers)
            begun = self.complete + self.pruned + running
            # What waits is a lost trial, which samplers take for one that they are through with.
            over = self._exhausted and not self.study.get_trials(deepcopy=False, states=[TrialState.WAITING])
            return not (self.interrupts or over or time.monotonic() > deadline) and begun < wanted

        try:
            with tqdm(total=wanted, initial=min(finished, wanted), unit="trial", disable=None) as bar:
                while self.interrupts < 2 and (more() or any(worker.trial for worker in self._workers)):
                    left = wanted - self.complete - self.pruned
                    while more() and len(self._workers) < min(self.crew.room() - self._unusable, left):
                        self._workers.append(self.crew.hire(self._listen))
                    for worker in self._workers:
                        if worker.ready and not worker.trial and more():
                            self._ask(worker)
                    with suppress(queue.Empty):
                        worker, message = self._inbox.get(timeout=0.5)
                        self._hear(worker, message)
                    bar.update(self.complete + self.pruned - bar.n)
                    bar.set_postfix_str(self._best())
        finally:
            self.crew.dismiss(self._workers)

    def _listen(self, worker: Worker, message: dict[str, Any] | None) -> None:
        self._inbox.put((worker, message))

    def _ask(self, worker: Worker) -> None:
        trial = self.study.ask()
        trial.set_user_attr("owner", self.owner)
        params = propose(self.search, self.files, trial)
        worker.trial, worker.stopping = trial, False
        # Optuna keeps no curves of several objectives.
        series = self.search.series if len(self.search.metrics) == 1 else None
        job = {"name": self._name(trial), "params": params, "metrics": self.search.metrics, "series": series}
        known = self.study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
        same = (other.user_attrs.get("rev") for other in known if other.params == trial.params)
        worker.send(job | {"same": next(same, None)})

    def _name(self, trial: Trial) -> str:
        return f"{self.search.study}-{trial.number}"

    def _hear(self, worker: Worker, message: dict[str, Any] | None) -> None:
        if worker not in self._workers:
            return
        match message:
            case None:
                self._bury(worker)
            case {"step": step, "value": value}:
                worker.trial.report(value, step)
                if not worker.stopping and worker.trial.should_prune():
                    worker.stopping = True
                    worker.send({"stop": True})
            case {"state": "unusable", "error": error}:
                self._drop(worker, error)
            case {"state": "ready"}:
                worker.ready = True
            case {"state": state}:
                trial, worker.trial = worker.trial, None
                self._tell(trial, state, message)

    def _tell(self, trial: Trial, state: str, message: dict[str, Any]) -> None:
        if state == "complete":
            trial.set_user_attr("experiment", self._name(trial))
            trial.set_user_attr("rev", message["rev"])
            self.study.tell(trial, message["values"])
            self.complete += 1
        elif state == "pruned":
            self.study.tell(trial, state=TrialState.PRUNED)
            self.pruned += 1
        else:
            trial.set_user_attr("error", message["error"])
            self.study.tell(trial, state=TrialState.FAIL)
            self.report(self._name(trial), message["error"], message["log"])
        self._count(state == "failed", message.get("error", "") + message.get("log", ""))

    def _bury(self, worker: Worker) -> None:
        """Find out what became of a dead worker's trial; where it is lost, it has another chance."""
        self.crew.bury(worker)
        self._workers.remove(worker)
        if not (trial := worker.trial):
            self._count(not worker.ready, "")
            return
        found = self.settle({other.trial.number for other in self._workers if other.trial})
        self.complete += found["complete"]
        if found["again"]:
            self.failed += 1
            tqdm.write(f"{self._name(trial)}: its worker died; its params are run again", file=sys.stderr)
        elif found["lost"]:
            self.report(self._name(trial), "its worker died", "")
            self._count(True, "")

    def _drop(self, worker: Worker, error: str) -> None:
        """Do without a worker that cannot begin; where there is no other, the search ends."""
        self.crew.bury(worker)
        self._workers.remove(worker)
        self._unusable += 1
        self._full(error)
        if self.crew.room() <= self._unusable:
            raise ProjectError(f"a worker cannot begin: {error}")
        tqdm.write(f"a worker cannot begin, and is done without: {error}", file=sys.stderr)

    def _full(self, said: str) -> None:
        if FULL.search(said):
            where = f"clones are in {self.crew.clones}"
            raise ProjectError(f"the disk is full ({where}): make room, and go on with the same command")

    def _count(self, failed: bool, said: str) -> None:
        """End a search in which nothing works (any more)."""
        self.failed += failed
        self._failures = self._failures + 1 if failed else 0
        self._full(said)
        if self._failures == (CEASED_TO_WORK if self.complete + self.pruned else NEVER_WORKED):
            raise ProjectError(f"{self._failures} trials failed one after another, so the search ends here")

    def _best(self) -> str:
        if len(self.search.metrics) > 1 or not self.complete:
            return ""
        return f"best {self.study.best_value:.6g}"
