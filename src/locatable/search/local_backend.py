"""Workers as processes on this machine, for a search or for an optimiser that has its own loop.

from locatable import TrialRunner

with TrialRunner(["reports/train/metrics.json:valid.loss"]) as runner:
    runner.run("mine-0", {"train.rate": 0.1}).values
"""

import os
import queue
import re
import shutil
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from platformdirs import user_runtime_path

from ..clones import CLONE_VARIABLE, kill_processes
from ..clones.trial_clone import CloneSetup, read_project
from ..errors import ProjectError
from ..git import git
from ..repository import find_project
from ..results.processor import write_processor
from .messages import (
    Complete,
    Failed,
    Job,
    PoolMessage,
    Receive,
    Unusable,
    WorkerMessage,
    from_json,
    to_json,
)

if TYPE_CHECKING:
    from filelock import FileLock

    from .settings import Resources

# Environment variables that tell libraries which GPUs to use: one of NVIDIA's, two of AMD's, one of Intel's.
DEVICE_VARIABLES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")


def study_folder(root: Path) -> Path:
    """Return the folder of a project for the clones and locks of running searches."""
    return root / ".dvc/tmp/search"


def find_devices(variables: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return the environment variable that selects GPUs on this machine, and the GPUs that it selects.

    If no such variable is set, these are all GPUs that NVIDIA's driver lists.
    """
    for variable in DEVICE_VARIABLES:
        if variable in variables:
            devices = []
            for device in variables[variable].split(","):
                # Like CUDA, ignore the first entry that cannot be a device, such as -1, and all after it.
                if not re.match(r"\w", device.strip()):
                    break
                devices.append(device.strip())
            return variable, devices
    driver = shutil.which("nvidia-smi")
    if driver is None:
        return DEVICE_VARIABLES[0], []
    command = [driver, "--query-gpu=index", "--format=csv,noheader"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    return DEVICE_VARIABLES[0], listed.stdout.split() if listed.returncode == 0 else []


class Devices:
    """The GPUs of this machine that a search reserves and distributes to its workers.

    Each reserved GPU is locked by a file until the search ends, so that two searches of a user do not
    take the same one.

    Args:
        resources: the resources of each worker. If it needs a part of a GPU, several workers share the GPU.
        workers: how many workers run at a time.
        locks: the folder for the user's lock files on this machine; None for the usual one.

    Raises:
        ProjectError: there are too few GPUs for a single worker; or too few for all workers, and trials
            should not wait for them.
    """

    def __init__(self, resources: "Resources", workers: int, locks: Path | None = None) -> None:
        self.variable, self._devices = find_devices(os.environ)
        self._resources = resources
        self._workers = workers
        self._locks = locks or user_runtime_path("locatable", ensure_exists=True)
        self._held: dict[str, FileLock] = {}
        possible = self._workers_on(len(self._devices))
        shown = f"this machine shows {len(self._devices)} ({self.variable}, nvidia-smi)"
        if not possible:
            raise ProjectError(f"a trial takes {resources.gpu:g} GPU (search.yaml: resources), and {shown}")
        if resources.wait:
            return
        to_wait = "or `wait: true` in resources of search.yaml"
        if possible < workers:
            raise ProjectError(
                f"{workers} workers take {workers * resources.gpu:g} GPUs, and {shown}: "
                f"--workers {possible}, {to_wait}"
            )
        if self.reserve() < workers:
            raise ProjectError(
                f"another search uses GPUs of this machine, and {len(self._held)} of {len(self._devices)} "
                f"are left: end it first, {to_wait}"
            )

    def _workers_on(self, devices: int) -> int:
        """Return how many workers can run on this number of GPUs."""
        gpu = self._resources.gpu
        if gpu >= 1:
            return devices // round(gpu)
        # A worker cannot use parts of two GPUs. `1 // gpu` would be 9 for 0.1, because of rounding errors.
        return devices * round(1 / gpu - 0.499)

    def reserve(self) -> int:
        """Reserve as many GPUs as the workers need and other searches leave.

        Returns:
            How many workers can run on all GPUs that are reserved now.
        """
        from filelock import FileLock, Timeout

        for device in self._devices:
            if self._workers_on(len(self._held)) >= self._workers:
                break
            if device in self._held:
                continue
            name = re.sub(r"[^-\w]", "_", device)  # the name of a part of a GPU can contain slashes
            lock = FileLock(self._locks / f"gpu-{name}.lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            self._held[device] = lock
        return min(self._workers, self._workers_on(len(self._held)))

    def for_next_worker(self, used: Iterable[str]) -> str:
        """Return the GPUs for one more worker, as a value of the environment variable.

        Args:
            used: the values that this method returned for the workers that are running.
        """
        unused: list[str] = []
        for device in self._held:
            # A GPU that several workers can share is listed once for each of them.
            unused += [device] * max(1, self._workers_on(1))
        for names in used:
            for device in names.split(","):
                unused.remove(device)
        return ",".join(unused[: max(1, int(self._resources.gpu))])


class LocalWorker:
    """A worker process on this machine.

    Attributes:
        folder: the folder of its clone.
        devices: the GPUs that are reserved for it, as the value of the environment variable; empty if none.
        process: the process.
    """

    def __init__(self, folder: Path, variables: Mapping[str, str], devices: str = "") -> None:
        self.folder = folder
        self.devices = devices
        self.process = subprocess.Popen(
            (sys.executable, "-m", "locatable.search.worker"),
            env={**os.environ, **variables, CLONE_VARIABLE: str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            # Ctrl-C must only reach the search. If workers received it, too, their trials would fail.
            start_new_session=True,
        )

    def relay(self, receive: Receive) -> None:
        """Pass each message of the worker to `receive`, and None at its end."""
        for line in cast(IO[str], self.process.stdout):
            receive(self, cast(WorkerMessage, from_json(line)))
        receive(self, None)

    def send(self, message: PoolMessage) -> None:
        """Send the worker a message. If it has died, do nothing: its end is received anyway."""
        with suppress(BrokenPipeError):
            print(to_json(message), file=self.process.stdin, flush=True)

    def clean_up(self) -> None:
        """Kill the worker's remaining processes, remove its clone, and release its GPUs."""
        kill_processes(self.folder)
        self.process.wait()
        self.devices = ""
        shutil.rmtree(self.folder, ignore_errors=True)


class LocalBackend:
    """A backend that runs workers as processes on this machine.

    Args:
        setup: the setup of each worker's clone.
        folder: the folder for the clones, which no other search uses.
        workers: how many workers run at a time.
        devices: the GPUs for the workers; None if they do not need any.
    """

    def __init__(self, setup: CloneSetup, folder: Path, workers: int, devices: Devices | None = None) -> None:
        self._setup = setup
        self._folder = folder
        self._capacity = workers
        self._devices = devices
        self._started: list[LocalWorker] = []

    @property
    def clones(self) -> str:
        """The folder of the clones."""
        return str(self._folder)

    def capacity(self) -> int:
        """Return how many workers can run at a time. It grows when other searches release GPUs."""
        return self._devices.reserve() if self._devices else self._capacity

    def start_worker(self, receive: Receive) -> LocalWorker:
        """Start a worker, and send it its setup."""
        folder = self._folder / str(len(self._started))
        if self._devices:
            used = [worker.devices for worker in self._started if worker.devices]
            devices = self._devices.for_next_worker(used)
            worker = LocalWorker(folder, {self._devices.variable: devices}, devices)
        else:
            worker = LocalWorker(folder, {})
        self._started.append(worker)
        worker.send(self._setup)
        threading.Thread(target=worker.relay, args=(receive,), daemon=True).start()
        return worker

    def shut_down(self) -> None:
        """Stop all workers immediately, and return when they have ended."""
        kill_processes(self._folder)
        for worker in self._started:
            worker.process.wait()


@dataclass(frozen=True)
class FinishedTrial:
    """A complete trial, which is an experiment in the repository.

    Attributes:
        rev: the commit of the experiment.
        values: the values of the runner's metrics, in the same order.
    """

    rev: str
    values: list[float]


class TrialRunner:
    """A worker that runs trials which another program proposes.

    It works in its own clone. Every trial starts from the commit that was HEAD when the runner was created.
    Several runners can work at a time, in one or several processes. Use it as a context manager, which
    removes the clone at the end.

    Args:
        metrics: the metrics to return for each trial, each as file:dotted.key.
        repo: a folder of the repository.

    Raises:
        LocatableError: there is no DVC project, or it cannot be cloned.
    """

    def __init__(self, metrics: Iterable[str], repo: str | Path = ".") -> None:
        self._root = find_project(Path(repo))
        self._metrics = list(metrics)
        self._messages: queue.Queue[WorkerMessage | None] = queue.Queue()
        setup = read_project(self._root).clone_setup(git(self._root, "rev-parse", "HEAD"))
        self._folder = study_folder(self._root).resolve() / f"runner-{uuid.uuid4().hex[:12]}"
        self._backend = LocalBackend(setup, self._folder, 1)
        self._worker = self._backend.start_worker(lambda _, message: self._messages.put(message))
        # The first message is Ready, unless the worker cannot be set up.
        message = self._messages.get()
        if message is None or isinstance(message, Unusable):
            self.close()
            reason = message.error if message else "it died"
            raise ProjectError(f"a worker cannot start: {reason}")

    def __enter__(self) -> "TrialRunner":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def run(self, experiment: str, params: Mapping[str, Any]) -> FinishedTrial:
        """Run one trial.

        Args:
            experiment: the name of its experiment. MLflow shows `STUDY-NUMBER` as a trial of that study.
            params: value by key, as in `dvc exp run -S`.

        Raises:
            ProjectError: the trial failed; the message says why.
            GitError: the experiment exists, but the processor on which it ran cannot be recorded.
        """
        self._worker.send(Job(experiment, dict(params), self._metrics))
        message = self._messages.get()
        if message is None:
            self._messages.put(None)  # so that the next trial does not wait for the dead worker
        if not isinstance(message, Complete):
            reason = message.error if isinstance(message, Failed) else "its worker died"
            raise ProjectError(f"{experiment} failed: {reason}")
        if message.processor:
            write_processor(self._root, message.rev, message.processor)
        return FinishedTrial(message.rev, message.values)

    def close(self) -> None:
        """Stop the worker, and remove its clone."""
        self._backend.shut_down()
        shutil.rmtree(self._folder, ignore_errors=True)
