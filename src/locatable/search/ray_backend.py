"""Workers on the nodes of a Ray cluster. Each of them is an actor of `ray_node`.

Nodes get the package `locatable` and the project's locks from Ray, the project from the Git remote, and data
from the DVC remote. Experiments come back by the same remotes. No file system needs to be shared.
"""

import json
import logging
import math
import os
import re
import shutil
import socket
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from ..clones.trial_clone import CloneSetup, missing_on_remote
from ..errors import GitError, LocatableError, ProjectError
from ..git import git, top_folder
from ..model import experiment_ref
from ..repository.running import RECORD
from ..results.coordinates import LOCKS
from .messages import (
    Began,
    Complete,
    Job,
    PoolMessage,
    Receive,
    TrialResult,
    Unusable,
    WorkerMessage,
    Written,
    from_json,
    to_json,
)
from .settings import Resources

# The wheels to which a lock refers by `--find-links vendor`.
WHEELS = "vendor/*.whl"
# Ray's variable for its copy of the working folder on the node where it prepares an environment.
ON_NODE = "${RAY_RUNTIME_ENV_CREATE_WORKING_DIR}"
PACKAGE = Path(__file__).parents[1]
# Seconds to wait for a connection to the address.
CONNECT_TIMEOUT = 10
# Seconds after which the nodes of the cluster are counted again.
COUNT_INTERVAL = 5
# Seconds to wait until all workers have ended.
END_TIMEOUT = 60
FETCH = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-gc", "--stdin")


def project_locks(root: Path) -> list[str]:
    """Return the names of a project's lock files. A project that is not from the template may have none."""
    return [name for name in LOCKS if (root / name).exists()]


def lock_text(root: Path) -> str:
    """Return the content of all lock files of a project as one text."""
    return "\n".join((root / name).read_text(encoding="utf-8") for name in project_locks(root))


def fill_working_folder(folder: Path, root: Path) -> None:
    """Copy the package, the locks and their wheels into a folder, which Ray copies to all nodes."""
    shutil.copytree(PACKAGE, folder / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in project_locks(root):
        shutil.copy(root / name, folder)
    for wheel in root.glob(WHEELS):
        (folder / "vendor").mkdir(exist_ok=True)
        shutil.copy(wheel, folder / "vendor")


def prepared_environment(root: Path) -> dict[str, Any]:
    """Return a Ray runtime environment with exactly the packages that a project's locks pin."""
    packages = [f"-r {ON_NODE}/{name}" for name in project_locks(root)]
    return {"uv": {"packages": packages, "uv_pip_install_options": ["--require-hashes"]}}


def connect(address: str, root: Path) -> None:
    """Connect to a Ray cluster, or start one.

    Args:
        address: `auto`, HOST:PORT or ray://HOST:PORT to connect to a cluster, or `local` to start one.
        root: the DVC root.

    Raises:
        ModuleNotFoundError: Ray is not installed.
        ProjectError: the cluster cannot be reached.
    """
    # Without RAY_ENABLE_AUTO_CONNECT=0, Ray would start its own cluster if this one is lost.
    os.environ.update(
        RAY_USAGE_STATS_ENABLED="0", RAY_IGNORE_UNHANDLED_ERRORS="1", RAY_ENABLE_AUTO_CONNECT="0"
    )
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    import ray  # noqa: F401 (raises an error if Ray is not installed)

    _check_port(address)
    _silence_grpc_threads()
    with tempfile.TemporaryDirectory(prefix="locatable-ray-") as folder:
        fill_working_folder(Path(folder), root)
        try:
            _initialize(address, folder)
        except ConnectionAbortedError:
            # The process that the cluster's head node forks for a client can crash immediately, in gRPC.
            # The second attempt gets a new process.
            _initialize(address, folder)


def _check_port(address: str) -> None:
    place = re.fullmatch(r"(?:ray://)?(.+):(\d+)", address)
    if not place:
        return
    # If nothing listens at the address, Ray would wait for a minute and then end this process.
    try:
        socket.create_connection((place[1], int(place[2])), CONNECT_TIMEOUT).close()
    except OSError as error:
        raise ProjectError(f"--ray {address}: {error.strerror or error}") from None


def _silence_grpc_threads() -> None:
    """Hide the tracebacks of gRPC's threads.

    These threads fail if the cluster is lost, which `RayBackend.capacity` reports in one line.
    """
    previous_hook = threading.excepthook

    def hook(failed: threading.ExceptHookArgs) -> None:
        if "(_run)" not in str(failed.thread):  # the names of gRPC's threads contain this
            previous_hook(failed)

    threading.excepthook = hook


def _initialize(address: str, folder: str) -> None:
    import ray

    options: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
    try:
        ray.init(
            address,
            runtime_env={"working_dir": folder},
            logging_level=logging.ERROR,
            log_to_driver=False,
            **options,
        )
    except ConnectionAbortedError:
        raise
    except Exception as error:
        # Ray raises many types of errors. The first and the last line of their messages say the most.
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ProjectError(f"--ray {address}: {' '.join(dict.fromkeys([lines[0], lines[-1]]))}") from None


class GitRemote:
    """The Git remote by which nodes get the project and return experiments.

    It is the remote that the checked-out branch tracks, or `origin` if the branch does not track one.
    """

    def __init__(self, root: Path, study: str) -> None:
        self.root = root
        self.study = study
        # Two fetches of the same ref must not run at the same time.
        self._one_fetch = threading.Lock()

    @cached_property
    def name(self) -> str:
        """The name of the remote in Git."""
        branch = git(self.root, "branch", "--show-current")
        tracked = git(self.root, "config", "--default", "", f"branch.{branch}.remote")
        return tracked.strip(".") or "origin"

    @cached_property
    def url(self) -> str:
        """The URL of the remote, or its absolute path if it is a folder.

        Raises:
            ProjectError: the repository has no remote of this name.
        """
        try:
            url = git(self.root, "remote", "get-url", self.name)
        except GitError:
            raise ProjectError(
                f"no Git remote {self.name}, by which workers get the project: git remote add {self.name} URL"
            ) from None
        folder = top_folder(self.root) / url
        return str(folder.resolve()) if folder.exists() else url

    def check(self) -> None:
        """Check that HEAD is on the Git remote and its data is on the DVC remote.

        Raises:
            ProjectError: one of them is not; the message says what to do.
        """
        # Reading `url` raises the error about a missing remote.
        query = ("for-each-ref", "--count=1", "--contains", "HEAD", f"refs/remotes/{self.name}")
        if self.url and not git(self.root, *query):
            raise ProjectError(f"HEAD is not on {self.name}: git push")
        missing = missing_on_remote(self.root)
        if missing:
            raise ProjectError(f"not on the DVC remote: {', '.join(missing)}: dvc push")

    def fetch(self, *refs: str) -> None:
        """Fetch experiments from the remote into this repository.

        Args:
            refs: the refs to fetch; without any, all of the study's experiments that are not here yet.

        Raises:
            ProjectError: the remote cannot be reached, or Git failed for another reason.
        """
        try:
            with self._one_fetch:
                refspecs = [f"{ref}:{ref}\n" for ref in refs or self._missing_refs()]
                if refspecs:
                    git(self.root, *FETCH, self.url, text="".join(refspecs))
        except GitError as error:
            lines = error.stderr.strip().splitlines() or [str(error)]
            raise ProjectError(f"Git remote {self.name}: {lines[0]}") from None

    def _missing_refs(self) -> list[str]:
        """Return the refs of the study's experiments that the remote has and this repository lacks."""
        here = git(self.root, "for-each-ref", "--format=%(refname)", "refs/exps").splitlines()
        listed = git(self.root, "ls-remote", self.url, f"refs/exps/*/{self.study}-*")
        # Git's pattern also matches studies whose names begin with the name of this one.
        of_study = re.compile(r"refs/exps/\w\w/\w{38}/" + re.escape(self.study) + r"-\d+")
        missing = []
        for line in listed.splitlines():
            _, ref = line.split()
            if of_study.fullmatch(ref) and ref not in here:
                missing.append(ref)
        return missing


class TrialCopy:
    """A copy of the record and the written files of a trial on a node.

    `RunningExperiments` finds it like a trial on this machine, so that commands can show it while it runs.

    Args:
        folder: the folder for the copy, which no other trial uses.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._record = folder.with_name(f"{folder.name}{RECORD}")

    def take(self, message: Began | Written) -> None:
        """Add the content of a worker's message to the copy."""
        if isinstance(message, Written):
            self._write(message)
            return
        for path, text in message.files.items():
            self._write(Written(path, 0, text, time.time_ns()))
        # The record names this process, because the trial counts as running as long as this process lives.
        own = {"root_dir": str(self._folder), "dvc_dir": ".dvc", "pid": os.getpid()}
        self._record.write_text(json.dumps({**message.record, **own}), encoding="utf-8")

    def _write(self, message: Written) -> None:
        place = self._folder / message.path
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("ab") as file:
            file.truncate(message.start)
            file.write(message.text.encode("utf-8", "surrogateescape"))
        # Keep the time by the node's clock, because the times in the trial's record are by the same clock.
        os.utime(place, ns=(message.time, message.time))

    def remove(self) -> None:
        """Remove the copy after the trial has ended."""
        self._record.unlink(missing_ok=True)
        shutil.rmtree(self._folder, ignore_errors=True)


class RayWorker:
    """A worker on a node.

    Attributes:
        actor: the Ray actor that relays messages to and from the worker.
        has_prepared_environment: true if Ray prepares the worker's environment.
        can_stop: true if the worker process was started and the actor can be asked to stop it.
        experiment: the name of the trial that was sent to the worker last; empty before the first one.
    """

    def __init__(self, actor: Any, has_prepared_environment: bool) -> None:
        self.actor = actor
        self.has_prepared_environment = has_prepared_environment
        self.can_stop = False
        self.experiment = ""

    def send(self, message: PoolMessage) -> None:
        """Send the worker a message. If it has died, do nothing: its end is received anyway."""
        if isinstance(message, Job):
            self.experiment = message.experiment
        self.actor.send.remote(to_json(message))

    def clean_up(self) -> None:
        """Stop the actor, which removes the folder of the worker, if the node is still alive."""
        _stop([self])


def _stop(workers: list[RayWorker]) -> None:
    import ray

    # If the cluster is lost, Ray raises many types of errors. Workers then end by themselves.
    with suppress(Exception):
        stopping = [worker.actor.stop.remote() for worker in workers if worker.can_stop]
        if stopping:
            ray.wait(stopping, num_returns=len(stopping), timeout=END_TIMEOUT)
        for worker in workers:
            ray.kill(worker.actor)


class RayBackend:
    """A backend that runs workers on a Ray cluster.

    Args:
        setup: the setup of a clone on this machine, which is adapted to the nodes.
        resources: the resources of each worker.
        workers: the most workers that run at a time; None for as many as fit on the cluster.
        remote: the Git remote from which nodes clone, and to which they push experiments.
        folder: the folder for copies of running trials, which no other search uses.

    Raises:
        ProjectError: no node has the resources of a worker, or the cluster is lost.
    """

    clones = "the temporary folders of the nodes"

    def __init__(
        self,
        setup: CloneSetup,
        resources: Resources,
        workers: int | None,
        remote: GitRemote,
        folder: Path,
    ) -> None:
        # Remove the paths of folders that only exist on this machine.
        config = {name: dict(section) for name, section in setup.config.items()}
        config["cache"].pop("dir")
        config.get("core", {}).pop("site_cache_dir", None)
        self._setup = replace(setup, url=remote.url, config=config, shared=False)
        self._resources = resources
        self._max_workers = math.inf if workers is None else workers
        self._remote = remote
        self._folder = folder
        # Held while a copy is written. No copy may be written after the end, when the folder is removed.
        self._copying = threading.Lock()
        self._has_ended = False
        self._lock = lock_text(remote.root)
        # The environment that Ray prepares; None until an environment of a node turns out to differ from the
        # locks.
        self._environment: dict[str, Any] | None = None
        self._workers: list[RayWorker] = []
        self._counted_at = -math.inf
        self._capacity = 0
        if not self.capacity():
            raise ProjectError(
                f"no node has what a trial needs: {resources.cpu:g} CPU and {resources.gpu:g} GPU "
                "(search.yaml: resources)"
            )

    def capacity(self) -> int:
        """Return how many workers can run at a time. The number changes as nodes join and leave the cluster.

        Raises:
            ProjectError: the cluster is lost.
        """
        import ray

        if time.monotonic() > self._counted_at + COUNT_INTERVAL:
            self._counted_at = time.monotonic()
            try:
                nodes = ray.nodes()
            except Exception:
                # Ray raises many types of errors here, and none of them is more informative than this one.
                raise ProjectError(
                    "--ray: cluster lost; run the same command with another one to continue"
                ) from None
            workers_per_node = [self._workers_on(node["Resources"]) for node in nodes if node["Alive"]]
            self._capacity = int(min(self._max_workers, sum(workers_per_node)))
        return self._capacity

    def _workers_on(self, available: dict[str, float]) -> int:
        """Return how many workers fit on a node with these resources."""
        workers = available.get("CPU", 0) // self._resources.cpu
        if self._resources.gpu:
            workers = min(workers, available.get("GPU", 0) // self._resources.gpu)
        return int(workers)

    def start_worker(self, receive: Receive) -> RayWorker:
        """Start a worker as soon as a node has enough free resources."""
        worker = RayWorker(self._start_actor(), bool(self._environment))
        self._workers.append(worker)
        threading.Thread(target=self._relay, args=(worker, receive), daemon=True).start()
        return worker

    def _start_actor(self) -> Any:
        import ray

        from .ray_node import Node

        actor = ray.remote(
            concurrency_groups={"receive": 1}, num_cpus=self._resources.cpu, num_gpus=self._resources.gpu
        )(Node)
        return actor.options(runtime_env=self._environment).remote()

    def _relay(self, worker: RayWorker, receive: Receive) -> None:
        """Start a worker, pass each of its messages to `receive`, and None at its end."""
        import ray
        from ray.exceptions import RayError, RayTaskError, RuntimeEnvSetupError

        try:
            difference = self._begin(worker)
            if difference:
                receive(worker, Unusable(f"environment of a node: {difference}"))
                return
            worker.can_stop = True
            while line := ray.get(worker.actor.receive.remote()):
                message = cast(WorkerMessage, from_json(line))
                if isinstance(message, Began | Written):
                    self._copy(worker, message)
                    continue
                if isinstance(message, Complete):
                    # Ignore an error here, because the fetch at the end of the search reports it.
                    with suppress(LocatableError):
                        self._remote.fetch(experiment_ref(self._setup.baseline, worker.experiment))
                if isinstance(message, TrialResult):
                    self._remove_copy(worker)
                receive(worker, message)
        except Exception as error:
            if ray.is_initialized() and not isinstance(error, RayError | ConnectionError):
                raise
            if isinstance(error, RuntimeEnvSetupError | RayTaskError) and not worker.can_stop:
                receive(worker, Unusable(f"a node: {str(error).strip().splitlines()[-1]}"))
            # In all other cases the actor, its node or the cluster is gone, so there is nothing to stop.
            worker.can_stop = False
        self._remove_copy(worker)
        receive(worker, None)

    def _copy(self, worker: RayWorker, message: Began | Written) -> None:
        # Ignore errors, such as a full disk: the copy is only for watching, and the search can continue.
        with self._copying, suppress(OSError):
            if not self._has_ended:
                TrialCopy(self._folder / worker.experiment).take(message)

    def _remove_copy(self, worker: RayWorker) -> None:
        if worker.experiment:
            TrialCopy(self._folder / worker.experiment).remove()

    def _begin(self, worker: RayWorker) -> str:
        """Start a worker's process, if the environment of its node has the packages of the locks.

        If it does not, Ray is asked to prepare an environment, for this worker and all later ones.

        Returns:
            How the environment differs from the locks; empty if the process was started.
        """
        import ray

        setup = to_json(self._setup)
        difference = ray.get(worker.actor.begin.remote(self._lock, setup))
        if difference and not worker.has_prepared_environment:
            ray.kill(worker.actor)
            self._environment = prepared_environment(self._remote.root)
            worker.has_prepared_environment = True
            worker.actor = self._start_actor()
            difference = ray.get(worker.actor.begin.remote(self._lock, setup))
        return str(difference)

    def shut_down(self) -> None:
        """Stop all workers immediately, and disconnect from the cluster."""
        import ray

        _stop(self._workers)
        ray.shutdown()
        with self._copying:
            self._has_ended = True
