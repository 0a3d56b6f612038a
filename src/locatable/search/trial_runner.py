"""Runs trials that something else proposes: for an optimiser that brings a loop of its own.

from locatable import TrialRunner
with TrialRunner(["reports/train/metrics.json:valid.loss"]) as runner:
    runner.run("mine-0", {"train.rate": 0.1}).values
"""

import queue
import shutil
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..clones.project_setup import read_project
from ..errors import ProjectError
from ..git import git
from ..repository.project import find_project
from ..results.processor import write_processor
from .local_backend import LocalBackend
from .messages import Complete, Failed, Job, Unusable, WorkerMessage
from .run import study_folder


@dataclass(frozen=True)
class FinishedTrial:
    """A trial that is an experiment in the repository now.

    Attributes:
        rev: its commit.
        values: of the metrics, in their order.
    """

    rev: str
    values: list[float]


class TrialRunner:
    """A worker of a search, in a clone of its own, which starts each trial from the last commit.

    Several can run at a time, also in several processes. The context manager removes the clone.

    Args:
        metrics: each as file:dotted.key.
        repo: a folder of the repository.

    Raises:
        LocatableError: there is no project, or no clone of it can be made.
    """

    def __init__(self, metrics: Iterable[str], repo: str | Path = ".") -> None:
        self._root = find_project(Path(repo))
        self._metrics = list(metrics)
        self._messages: queue.Queue[WorkerMessage | None] = queue.Queue()
        setup = read_project(self._root).clone_setup(git(self._root, "rev-parse", "HEAD"))
        self._folder = study_folder(self._root).resolve() / f"runner-{uuid.uuid4().hex[:12]}"
        self._backend = LocalBackend(setup, self._folder, 1)
        self._worker = self._backend.start_worker(lambda _, message: self._messages.put(message))
        message = self._messages.get()
        if message is None or isinstance(message, Unusable):
            self.close()
            reason = message.error if message else "it died"
            raise ProjectError(f"a worker cannot begin: {reason}")

    def __enter__(self) -> "TrialRunner":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def run(self, experiment: str, params: Mapping[str, Any]) -> FinishedTrial:
        """Run one trial.

        Args:
            experiment: the name that it gets; `STUDY-NUMBER` is shown as a trial of that study.
            params: value by key, as after `dvc exp run -S`.

        Raises:
            ProjectError: it failed; the message says why.
            GitError: its processor cannot be noted; the experiment is there.
        """
        self._worker.send(Job(experiment, dict(params), self._metrics))
        message = self._messages.get()
        if not isinstance(message, Complete):
            reason = message.error if isinstance(message, Failed) else "its worker died"
            raise ProjectError(f"{experiment} failed: {reason}")
        if message.processor:
            write_processor(self._root, message.rev, message.processor)
        return FinishedTrial(message.rev, message.values)

    def close(self) -> None:
        """Stop the worker, and remove its clone."""
        self._backend.shut_down()
        self._worker.clean_up()
        shutil.rmtree(self._folder, ignore_errors=True)
