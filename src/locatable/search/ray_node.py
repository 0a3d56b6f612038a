"""A worker on a node of a Ray cluster: an actor that relays, and the process that runs trials.

    SEARCH_CLONE=/where/to/clone python -m locatable.search.ray_node

The process is a `worker` that removes its folder at its end. It ends with its input, so also when the actor
dies, the search, or Ray.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, cast

import ray

# Nothing else here: until its environment is found to be the locks', a node may lack all other packages.
from ..results.locks import drift

# Seconds that a worker has to end by itself.
PATIENCE = 10
# Seconds between two looks whether it has.
INTERVAL = 0.1
# With an actor, Ray kills its children; a grandchild reads the end of its input, and can stop its stage.
DETACH = 'exec 3<&0; "$@" <&3 3<&- & exit'


class Node:
    """The actor; its process, and its folder among the node's temporary ones, belong to it alone."""

    def begin(self, lock: str, setup: str) -> str:
        """Start a worker, if the environment is the lock's.

        Args:
            lock: text of the locks.
            setup: the first message to the worker, as JSON.

        Returns:
            How the environment differs; an empty text if it does not.
        """
        difference = _difference(lock)
        if difference:
            return difference
        from ..clones import CLONE_VARIABLE

        self.folder = Path(tempfile.mkdtemp(prefix="search-"))
        # Ray names its copy of the package there; stages are to see none but their own environment's.
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        own = {
            CLONE_VARIABLE: str(self.folder / "clone"),
            # DVC's own default is a folder that every user of the machine can write to.
            "DVC_SITE_CACHE_DIR": str(self.folder / "site"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        self.process = subprocess.Popen(
            ("sh", "-c", DETACH, "sh", sys.executable, "-m", "locatable.search.ray_node"),
            # The folder of the package, also where it is not installed.
            cwd=Path(__file__).parents[2],
            env={**inherited, **own},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        self.process.wait()
        self.send(setup)
        return ""

    def send(self, line: str) -> None:
        """Pass a message on to the worker."""
        with suppress(BrokenPipeError):
            print(line, file=self.process.stdin, flush=True)

    # It waits for the worker, which is not to hold up what comes for it: hence a thread of its own.
    @ray.method(concurrency_group="receive")  # type: ignore[untyped-decorator]
    def receive(self) -> str:
        """Return the worker's next message, as soon as there is one; empty at its end."""
        return cast(IO[str], self.process.stdout).readline()

    def stop(self) -> None:
        """End the worker, and remove what it leaves."""
        from ..clones import clone_processes, kill_processes

        with suppress(BrokenPipeError):
            cast(IO[str], self.process.stdin).close()
        deadline = time.monotonic() + PATIENCE
        while any(clone_processes(self.folder)) and time.monotonic() < deadline:
            time.sleep(INTERVAL)
        kill_processes(self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)


def _difference(lock: str) -> str:
    """Say in one line how this environment differs from a lock; empty if it does not."""
    differences = drift(lock)
    if not differences:
        return ""
    first = differences[0]
    more = f", and {len(differences) - 1} more" if len(differences) > 1 else ""
    return f"{first.name} is {first.installed or 'missing'} instead of {first.locked}{more}"


if __name__ == "__main__":
    from ..clones import CLONE_VARIABLE
    from .worker import main

    own_folder = Path(os.environ[CLONE_VARIABLE]).parent
    try:
        main()
    finally:
        shutil.rmtree(own_folder, ignore_errors=True)
