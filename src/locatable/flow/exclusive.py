"""One rebuild of a repository at a time, by a global concurrency limit of Prefect."""

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

from ..clones.processes import kill_processes
from ..git import git

# Seconds for which a killed rebuild still holds the limit.
LEASE = 60
# Seconds between two messages about waiting.
INTERVAL = 20


@contextmanager
def exclusive(root: Path) -> Iterator[Path]:
    """Wait for other rebuilds of this repository, also those in other clones of the same origin.

    Args:
        root: the project.

    Yields:
        A folder for the time of the rebuild; what a killed one left there is removed before.
    """
    limit = limit_name(root)
    # Another rebuild may create it between Prefect's look for it and its creation here.
    with get_client(sync_client=True) as client, suppress(ObjectAlreadyExists):
        client.upsert_global_concurrency_limit_by_name(limit, 1)
    with _acquired(limit):
        folder = (root / ".dvc/tmp/flow").resolve()
        kill_processes(folder)
        shutil.rmtree(folder, ignore_errors=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def limit_name(root: Path) -> str:
    """The limit's name: one for all clones of a repository, and one for a repository without an origin."""
    place = git(root, "config", "--default", str(root), "remote.origin.url")
    return f"rebuild-{hashlib.sha256(place.encode()).hexdigest()[:12]}"


@contextmanager
def _acquired(limit: str) -> Iterator[None]:
    with ExitStack() as held:
        while True:
            asyncio.run(_release_expired())
            try:
                held.enter_context(
                    concurrency(limit, strict=True, lease_duration=LEASE, timeout_seconds=INTERVAL)
                )
                break
            except TimeoutError:
                get_run_logger().info("waiting for another rebuild of this repository to end")
        yield


async def _release_expired() -> None:
    """Take back what killed rebuilds held: a server does that, but not the one Prefect starts for a run."""
    if get_current_settings().api.url:
        return
    storage = get_concurrency_lease_storage()
    database = provide_database_interface()
    for lease in await storage.read_expired_lease_ids():
        await revoke_expired_lease(lease, db=database, lease_storage=storage)
