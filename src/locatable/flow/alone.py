"""One rebuild of a repository at a time, by a global concurrency limit of Prefect.

with alone(root) as folder:
    ...  # `folder` is this rebuild's own
"""

import asyncio
import hashlib
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from prefect import get_client, get_run_logger
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectAlreadyExists
from prefect.server.concurrency.lease_storage import get_concurrency_lease_storage
from prefect.server.database import provide_database_interface
from prefect.server.services.repossessor import revoke_expired_lease
from prefect.settings import get_current_settings

from ..dvc.processes import kill_processes
from ..git import git

# Seconds: that a killed rebuild holds its place; between two words about waiting.
LEASE, WORD = 60, 20


@contextmanager
def alone(root: Path) -> Iterator[Path]:
    """Wait for other rebuilds of this repository, also those in other clones of the same origin.

    Args:
        root: the project.

    Returns:
        A folder for the time of the rebuild; what a killed one left there is cleared away.
    """
    place = git(root, "config", "--default", str(root), "remote.origin.url")
    limit = f"rebuild-{hashlib.sha256(place.encode()).hexdigest()[:12]}"
    # Another rebuild may add it between Prefect's look for it and its own adding.
    with get_client(sync_client=True) as client, suppress(ObjectAlreadyExists):
        client.upsert_global_concurrency_limit_by_name(limit, 1)
    with ExitStack() as stack:
        stack.enter_context(_slot(limit))
        folder = (root / ".dvc/tmp/flow").resolve()
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        kill_processes(folder)
        shutil.rmtree(folder, ignore_errors=True)
        yield folder


@contextmanager
def _slot(limit: str) -> Iterator[None]:
    with ExitStack() as stack:
        while True:
            asyncio.run(_release_expired())
            try:
                stack.enter_context(
                    concurrency(limit, strict=True, lease_duration=LEASE, timeout_seconds=WORD)
                )
                break
            except TimeoutError:
                get_run_logger().info("waiting for another rebuild of this repository to end")
        yield


async def _release_expired() -> None:
    """Take back what killed rebuilds held: a server does that, but not the one Prefect starts for a run."""
    if get_current_settings().api.url:
        return
    storage, database = get_concurrency_lease_storage(), provide_database_interface()
    for lease in await storage.read_expired_lease_ids():
        await revoke_expired_lease(lease, db=database, lease_storage=storage)
