"""Workers on this machine, in processes of their own: for a search, or for an optimiser with its own loop.

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

# The variables by which a library is told which GPUs to use: NVIDIA's, two of AMD's, and Intel's.
DEVICE_VARIABLES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")


def study_folder(root: Path) -> Path:
    """Return the folder of a project for what its searches need while they run."""
    return root / ".dvc/tmp/search"


def find_devices(variables: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return the variable that names GPUs to libraries here, and those that it names.

    Where none is set, NVIDIA's driver lists all GPUs of this machine.
    """
    for variable in DEVICE_VARIABLES:
        if variable in variables:
            devices = []
            for device in variables[variable].split(","):
                # As CUDA reads it: nothing counts from the first one on that cannot be, such as -1.
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
    """The GPUs of this machine: a search takes some for itself, and gives each worker its own.

    Two searches of a user take no GPU twice: each is locked by a file, which ends with the search.

    Args:
        resources: what each worker takes; a part of a GPU is taken by several workers of the same search.
        workers: how many run at a time.
        locks: folder of the locks of this user on this machine; None for the usual one.

    Raises:
        ProjectError: there are not enough, and trials are not to wait.
    """

    def __init__(self, resources: "Resources", workers: int, locks: Path | None = None) -> None:
        self.variable, self._devices = find_devices(os.environ)
        self._resources = resources
        self._workers = workers
        self._locks = locks or user_runtime_path("locatable", ensure_exists=True)
        self._held: dict[str, FileLock] = {}
        room = self._room_on(len(self._devices))
        shown = f"this machine shows {len(self._devices)} ({self.variable}, nvidia-smi)"
        if not room:
            raise ProjectError(f"a trial takes {resources.gpu:g} GPU (search.yaml: resources), and {shown}")
        if resources.wait:
            return
        to_wait = "or `wait: true` in resources of search.yaml"
        if room < workers:
            raise ProjectError(
                f"{workers} workers take {workers * resources.gpu:g} GPUs, and {shown}: "
                f"--workers {room}, {to_wait}"
            )
        if self.hold() < workers:
            raise ProjectError(
                f"another search uses GPUs of this machine, and {len(self._held)} of {len(self._devices)} "
                f"are left: end it first, {to_wait}"
            )

    def _room_on(self, devices: int) -> int:
        """Return for how many workers some GPUs are enough."""
        gpu = self._resources.gpu
        # What is left of one GPU is no part of another; 1 / 0.1 is not to be 9.
        return devices * round(1 / gpu - 0.499) if gpu < 1 else devices // round(gpu)

    def hold(self) -> int:
        """Take GPUs that no other search has, as many as are of use; return how many workers can run now."""
        from filelock import FileLock, Timeout

        for device in self._devices:
            if self._room_on(len(self._held)) >= self._workers:
                break
            if device in self._held:
                continue
            name = re.sub(r"[^-\w]", "_", device)  # a part of a GPU can be named by a path
            lock = FileLock(self._locks / f"gpu-{name}.lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            self._held[device] = lock
        return min(self._workers, self._room_on(len(self._held)))

    def free(self, used: Iterable[str]) -> str:
        """Return the GPUs for another worker, as the variable names them.

        Args:
            used: what this returned for those that run.
        """
        left = [device for device in self._held for _ in range(self._room_on(1) or 1)]
        for names in used:
            for device in names.split(","):
                left.remove(device)
        return ",".join(left[: max(1, int(self._resources.gpu))])


class LocalWorker:
    """A process with its clone in a folder.

    Attributes:
        devices: its GPUs, as the variable of its environment names them; empty for none of its own.
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
            # Ctrl-C is for the search alone: it does not mean that trials are to fail.
            start_new_session=True,
        )

    def relay(self, receive: Receive) -> None:
        """Pass on all that it says, and its end."""
        for line in cast(IO[str], self.process.stdout):
            receive(self, cast(WorkerMessage, from_json(line)))
        receive(self, None)

    def send(self, message: PoolMessage) -> None:
        """Send it a message; where it has died, that is received as its end."""
        with suppress(BrokenPipeError):
            print(to_json(message), file=self.process.stdin, flush=True)

    def clean_up(self) -> None:
        """Remove what it left, after its end."""
        kill_processes(self.folder)
        self.process.wait()
        self.devices = ""
        shutil.rmtree(self.folder, ignore_errors=True)


class LocalBackend:
    """A number of processes.

    Args:
        setup: how each worker makes its clone.
        folder: for the clones; it belongs to this search alone.
        workers: how many run at a time.
        devices: the GPUs that they take; None where they take none.
    """

    def __init__(self, setup: CloneSetup, folder: Path, workers: int, devices: Devices | None = None) -> None:
        self._setup = setup
        self._folder = folder
        self._capacity = workers
        self._devices = devices
        self._started: list[LocalWorker] = []

    @property
    def clones(self) -> str:
        """The folder of the clones, in words."""
        return str(self._folder)

    def capacity(self) -> int:
        """Return how many workers can run at a time; other searches take and leave GPUs."""
        return self._devices.hold() if self._devices else self._capacity

    def start_worker(self, receive: Receive) -> LocalWorker:
        """Start a worker, which is sent its setup."""
        folder = self._folder / str(len(self._started))
        if self._devices:
            own = self._devices.free(worker.devices for worker in self._started if worker.devices)
            worker = LocalWorker(folder, {self._devices.variable: own}, own)
        else:
            worker = LocalWorker(folder, {})
        self._started.append(worker)
        worker.send(self._setup)
        threading.Thread(target=worker.relay, args=(receive,), daemon=True).start()
        return worker

    def shut_down(self) -> None:
        """Stop all workers, at once, and return when they have ended."""
        kill_processes(self._folder)
        for worker in self._started:
            worker.process.wait()


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
        # Ready, unless it cannot begin.
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
        if message is None:
            self._messages.put(None)  # the next trial is not to wait for a dead worker
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
