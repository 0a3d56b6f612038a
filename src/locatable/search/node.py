"""A search's worker on a node of a Ray cluster: an actor that relays, and the process that runs trials.

    SEARCH_CLONE=/where/to/clone python -m locatable.search.node

The process is a `worker` that clears its folder away at its end. It ends with its input, so also when the
actor dies, the search, or Ray.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray

from ..locks import drift

# Seconds that a worker has to end by itself, and between two looks.
PATIENCE, LOOK = 10, 0.1
# With its actor, Ray kills the children of an actor: a grandchild hears of it, and stops its stage.
DETACH = 'exec 3<&0; "$@" <&3 3<&- & exit'


class Node:
    """The actor; its process and its folder, in the node's temporary one, belong to it alone."""

    def begin(self, lock: str, setup: dict[str, Any]) -> str:
        """Start a worker, if the environment is the lock's.

        Args:
            lock: text of requirements.lock.
            setup: arguments of `clone.Clone`.

        Returns:
            How the environment differs; empty if it does not.
        """
        if differences := drift(lock):
            first = differences[0]
            more = f", and {len(differences) - 1} more" if len(differences) > 1 else ""
            return f"{first.name} is {first.installed or 'missing'} instead of {first.locked}{more}"
        self.folder = Path(tempfile.mkdtemp(prefix="search-"))
        beside = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        own = {
            "SEARCH_CLONE": str(self.folder / "clone"),
            # DVC's own default is a folder that every user of the machine can write to.
            "DVC_SITE_CACHE_DIR": str(self.folder / "site"),
            "PATH": beside,
        }
        # Ray names its copy of scripts/ there; stages are to see none but their clone's.
        inherited = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        self.process = subprocess.Popen(
            ("sh", "-c", DETACH, "sh", sys.executable, "-m", "locatable.search.node"),
            cwd=Path(__file__).parents[2],
            env={**inherited, **own},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        self.process.wait()
        self.send(json.dumps(setup))
        return ""

    def send(self, line: str) -> None:
        """Tell the worker something."""
        with suppress(BrokenPipeError):
            print(line, file=self.process.stdin, flush=True)

    @ray.method(concurrency_group="hear")
    def hear(self) -> str:
        """What the worker says next, as soon as it does; empty at its end."""
        return self.process.stdout.readline()

    def stop(self) -> None:
        """End the worker, and clear away what it leaves."""
        from .worker import processes, sweep

        with suppress(BrokenPipeError):
            self.process.stdin.close()
        late = time.monotonic() + PATIENCE
        while any(processes(self.folder)) and time.monotonic() < late:
            time.sleep(LOOK)
        sweep(self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)


if __name__ == "__main__":
    from .worker import CLONE, main

    folder = Path(os.environ[CLONE]).parent
    try:
        main()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
