"""A worker on a node of a Ray cluster: the actor that relays messages, and the process that runs trials.

    SEARCH_CLONE=/where/to/clone python -m locatable.search.ray_node

The process is a `worker` that also removes its folder when it ends. It ends when its input ends, which also
happens when the actor, the search or Ray dies.
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

# Import no other module here: a node may lack the packages until its environment is known to match the locks.
from ..results.locks import drift

# Seconds to wait for a worker to end by itself.
PATIENCE = 10
# Seconds between two checks whether it has ended.
INTERVAL = 0.1
# Starts the worker as a grandchild of the actor. Ray kills the children of an actor together with it, while a
# grandchild can still read the end of its input and stop its stage.
DETACH = 'exec 3<&0; "$@" <&3 3<&- & exit'


class Node:
    """The Ray actor, which starts a worker process in a temporary folder and relays its messages."""

    def begin(self, lock: str, setup: str) -> str:
        """Start the worker if the node's environment has the packages of the lock.

        Args:
            lock: the text of the locks.
            setup: the first message to the worker, as JSON.

        Returns:
            How the environment differs from the lock, in one line; empty if it does not.
        """
        difference = _difference(lock)
        if difference:
            return difference
        from ..clones import CLONE_VARIABLE

        self.folder = Path(tempfile.mkdtemp(prefix="search-"))
        # Ray adds its copy of the package to PYTHONPATH, but stages must only see the environment's packages.
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        own = {
            CLONE_VARIABLE: str(self.folder / "clone"),
            # DVC's default is a folder that every user of the machine can write to.
            "DVC_SITE_CACHE_DIR": str(self.folder / "site"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        self.process = subprocess.Popen(
            ("sh", "-c", DETACH, "sh", sys.executable, "-m", "locatable.search.ray_node"),
            # From here, `python -m` finds the package even if it is not installed.
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
        """Send a message to the worker."""
        with suppress(BrokenPipeError):
            print(line, file=self.process.stdin, flush=True)

    # This method blocks until the worker sends a message. Its concurrency group gives it a separate thread,
    # so that the other methods can be called in the meantime.
    @ray.method(concurrency_group="receive")  # type: ignore[untyped-decorator]
    def receive(self) -> str:
        """Wait for the worker's next message and return it; empty if the worker has ended."""
        return cast(IO[str], self.process.stdout).readline()

    def stop(self) -> None:
        """Stop the worker, kill its remaining processes and remove its folder."""
        from ..clones import clone_processes, kill_processes

        with suppress(BrokenPipeError):
            cast(IO[str], self.process.stdin).close()
        deadline = time.monotonic() + PATIENCE
        while any(clone_processes(self.folder)) and time.monotonic() < deadline:
            time.sleep(INTERVAL)
        kill_processes(self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)


def _difference(lock: str) -> str:
    """Return one line that says how this environment differs from a lock; empty if it does not."""
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
