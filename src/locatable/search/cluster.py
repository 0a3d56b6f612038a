"""Workers on the nodes of a Ray cluster, each an actor of `node`.

Nodes get scripts/ and requirements.lock from Ray, the project from the Git remote and data from the DVC
remote; experiments come home by the same remotes. Nothing else is shared.
"""

import contextlib
import json
import os
import re
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import LocatableError, ProjectError
from .pool import Hear, Worker
from .remote import Remote
from .settings import Resources

# Seconds: to connect; between two looks at the cluster; that all workers have to end.
CONNECT, LOOK, END = 10, 5, 60
# What Ray is to copy to the nodes: the root itself, and of all in it these two.
ONLY = ["/*", "!/.", "!/scripts", "!/requirements.lock"]
# Ray's name for that copy, where it prepares an environment.
LOCK = "${RAY_RUNTIME_ENV_CREATE_WORKING_DIR}/requirements.lock"
PREPARED = {"uv": {"packages": [f"-r {LOCK}"], "uv_pip_install_options": ["--require-hashes"]}}


def connect(address: str, root: Path) -> None:
    """Connect to a Ray cluster, or start one.

    Args:
        address: `auto`, `local`, HOST:PORT or ray://HOST:PORT.
        root: the project.

    Raises:
        ProjectError: Ray is not installed, or does not answer.
    """
    # Without the third, Ray would start a cluster of its own where this one is lost.
    os.environ.update(
        RAY_USAGE_STATS_ENABLED="0", RAY_IGNORE_UNHANDLED_ERRORS="1", RAY_ENABLE_AUTO_CONNECT="0"
    )
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    try:
        import ray
    except ModuleNotFoundError:
        raise ProjectError("--ray needs Ray: make setup EXTRAS=ray") from None
    if place := re.fullmatch(r"(?:ray://)?(.+):(\d+)", address):
        # Ray itself waits for a minute, and then ends the process.
        try:
            socket.create_connection((place[1], int(place[2])), CONNECT).close()
        except OSError as error:
            raise ProjectError(f"--ray {address}: {error.strerror or error}") from None
    # gRPC's threads, all of this name, end with a traceback where the cluster is lost; `room` says it.
    usual = threading.excepthook
    threading.excepthook = lambda failed: "(_run)" in str(failed.thread) or usual(failed)
    local = {"include_dashboard": False} if address == "local" else {}
    for again in (True, False):
        try:
            ray.init(
                address,
                runtime_env={"working_dir": str(root), "excludes": ONLY},
                logging_level="ERROR",
                log_to_driver=False,
                **local,
            )
            return
        except Exception as error:
            # The process that the first machine forks for a client can crash at once (in gRPC).
            if again and isinstance(error, ConnectionAbortedError):
                continue
            # Of many kinds, all of them Ray's.
            said = str(error).strip().splitlines() or [type(error).__name__]
            raise ProjectError(f"--ray {address}: {' '.join(dict.fromkeys([said[0], said[-1]]))}") from None


@dataclass(eq=False, kw_only=True)
class Actor(Worker):
    """A worker on a node.

    Args:
        node: its actor.
        prepared: whether Ray was to prepare its environment.
        begun: whether its process was started, and can be asked to stop.
        experiment: what it was last told to run.
    """

    node: Any
    prepared: bool
    begun: bool = False
    experiment: str = ""

    def send(self, message: dict[str, Any]) -> None:
        """Tell it something. If it has died, waiting for what it says ends."""
        self.experiment = message.get("name", self.experiment)
        self.node.send.remote(json.dumps(message))


class Cluster:
    """A `pool.Crew` of actors, as many as the cluster's resources allow.

    Args:
        setup: arguments of `clone.Clone` for each worker.
        resources: what each takes.
        most: how many at a time, at most.
        remote: home of the experiments.

    Raises:
        ProjectError: no node has these resources.
    """

    clones = "the temporary folders of the nodes"

    def __init__(self, setup: dict[str, Any], resources: Resources, most: float, remote: Remote) -> None:
        self.resources, self.most, self.remote = resources, most, remote
        # What config.local says of this machine's folders means nothing elsewhere.
        config = {key: dict(value) for key, value in setup["config"].items()}
        config["cache"].pop("dir")
        config.get("core", {}).pop("site_cache_dir", None)
        self.setup = {**setup, "url": remote.url, "config": config, "shared": False}
        lock = remote.root / "requirements.lock"
        self.lock = lock.read_text(encoding="utf-8") if lock.exists() else ""
        # Whether Ray has to prepare the environment: not until one turns out not to be as the lock says.
        self._prepare = False
        self._looked, self._room = -float("inf"), 0
        if not self.room():
            raise ProjectError(
                f"no node has what a trial needs: {resources.cpu:g} CPU and {resources.gpu:g} GPU "
                "(search.yaml: resources)"
            )

    def room(self) -> int:
        """How many can work at a time; nodes come and go."""
        import ray

        if time.monotonic() > self._looked + LOOK:
            self._looked = time.monotonic()
            try:
                nodes = ray.nodes()
            except Exception:
                # Of many kinds, and none of them says more.
                raise ProjectError("--ray: cluster lost; with another, the same command goes on") from None
            room = sum(self._fit(node["Resources"]) for node in nodes if node["Alive"])
            self._room = int(min(self.most, room))
        return self._room

    def _fit(self, node: dict[str, float]) -> int:
        wanted = {"CPU": self.resources.cpu, "GPU": self.resources.gpu}
        return int(min(node.get(kind, 0) // number for kind, number in wanted.items() if number))

    def hire(self, hear: Hear) -> Actor:
        """Begin a worker, as soon as a node has room."""
        worker = Actor(node=self._place(self._prepare), prepared=self._prepare)
        threading.Thread(target=self._relay, args=(worker, hear), daemon=True).start()
        return worker

    def _place(self, prepare: bool) -> Any:
        import ray

        from .node import Node

        takes = {"num_cpus": self.resources.cpu, "num_gpus": self.resources.gpu}
        actor = ray.remote(concurrency_groups={"hear": 1}, **takes)(Node)
        return actor.options(runtime_env=PREPARED if prepare else None).remote()

    def _relay(self, worker: Actor, hear: Hear) -> None:
        import ray
        from ray.exceptions import RayError, RayTaskError, RuntimeEnvSetupError

        try:
            while differs := ray.get(worker.node.begin.remote(self.lock, self.setup)):
                if worker.prepared:
                    hear(worker, {"state": "unusable", "error": f"environment of a node: {differs}"})
                    return
                ray.kill(worker.node)
                self._prepare = worker.prepared = True
                worker.node = self._place(True)
            worker.begun = True
            while line := ray.get(worker.node.hear.remote()):
                message = json.loads(line)
                if message.get("state") == "complete":
                    self._bring(worker.experiment)
                hear(worker, message)
        except Exception as error:
            if ray.is_initialized() and not isinstance(error, RayError | ConnectionError):
                raise
            if isinstance(error, RuntimeEnvSetupError | RayTaskError) and not worker.begun:
                hear(worker, {"state": "unusable", "error": f"a node: {str(error).strip().splitlines()[-1]}"})
            # Else the actor died, its node, or the cluster: there is nothing left to stop.
            worker.begun = False
        hear(worker, None)

    def _bring(self, experiment: str) -> None:
        """Fetch an experiment; where that fails, the fetch at the search's end will say why."""
        baseline = self.setup["baseline"]
        with contextlib.suppress(LocatableError):
            self.remote.fetch(f"refs/exps/{baseline[:2]}/{baseline[2:]}/{experiment}")

    def bury(self, worker: Actor) -> None:
        """Clear away what a dead one left, if its node still lives."""
        self._end([worker])

    def dismiss(self, workers: list[Actor]) -> None:
        """Stop them, at once, and leave the cluster."""
        import ray

        self._end(workers)
        ray.shutdown()

    def _end(self, workers: list[Actor]) -> None:
        import ray

        # With the cluster lost, which Ray says in many ways, workers end by themselves.
        with contextlib.suppress(Exception):
            ending = [worker.node.stop.remote() for worker in workers if worker.begun]
            if ending:
                ray.wait(ending, num_returns=len(ending), timeout=END)
            for worker in workers:
                ray.kill(worker.node)
