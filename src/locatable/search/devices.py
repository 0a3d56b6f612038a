"""GPUs of this machine for the workers of a search."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from filelock import FileLock, Timeout
from platformdirs import user_runtime_path

from ..errors import ProjectError
from .settings import Resources

# The variables by which a library is told which GPUs to use: NVIDIA's, two of AMD's, and Intel's.
DEVICE_VARIABLES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")


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

    def __init__(self, resources: Resources, workers: int, locks: Path | None = None) -> None:
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
