"""Rebuild a revision as a Prefect flow: every DVC stage is a task run; its results are pushed and mirrored.

    locatable flow [REV] [--target STAGE] [-S KEY=VALUE] [--workers N]
    locatable flow --cron "0 3 * * *"

It works in a clone of its own: the checkout is left alone. What differs from the revision becomes the
experiment `flow-<id of the run>-<attempt>`. Remotes, MLflow and stages are tried again where that is of
use. With --cron, both flows, rebuild and search, are served until Ctrl-C.
"""

import argparse
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import ProjectError, UsageError
from ..output import redact_urls
from ..repository import parsing

# How Prefect begins what it says of a server that does not answer; it has no class of errors for that.
NO_ANSWER = ("Failed to reach API", "Timed out while attempting to connect to ephemeral")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `locatable flow`."""
    parser.add_argument("rev", nargs="?", default="HEAD", help="a revision or an experiment's name (HEAD)")
    parser.add_argument("--target", action="append", metavar="STAGE", help="only this, and what it needs")
    parser.add_argument("-S", action="append", default=[], metavar="KEY=VALUE", help="set a param")
    parser.add_argument("--retries", type=int, default=2, metavar="N", help="of what may pass then (2)")
    parser.add_argument("--timeout", type=float, metavar="S", help="for each stage and transfer, in seconds")
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="independent stages at a time (1)"
    )
    parser.add_argument("--cron", metavar="CRON", help='do it on a schedule: "0 3 * * *" is every night at 3')


def run(arguments: argparse.Namespace) -> int:
    """Rebuild once, or serve the flows; the exit code is 1 where the flow failed."""
    from .. import flow  # noqa: F401 (sets what Prefect reads when it is imported)

    request = rebuild_request(arguments)
    with _needing_server():
        return _serve(request, arguments.cron) if arguments.cron else _rebuild(request)


def rebuild_request(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the parameters of the flow `rebuild`, which explains them.

    Raises:
        UsageError: a param has no value, or there are to be no workers.
    """
    if arguments.workers < 1:
        raise UsageError("--workers is to be positive")
    params = {}
    for pair in arguments.S:
        key, separator, value = pair.partition("=")
        if not separator:
            raise UsageError(f"-S {pair}: write it as KEY=VALUE")
        params[key] = parsing.load_yaml(value)  # as in a params file
    return {
        "rev": arguments.rev,
        "targets": arguments.target,
        "params": params,
        "retries": arguments.retries,
        "timeout": arguments.timeout,
        "workers": arguments.workers,
    }


@contextmanager
def _needing_server() -> Iterator[None]:
    """See that Prefect has a server: the one that settings name, or one that it starts for the time being.

    Raises:
        ProjectError: it has none.
    """
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    if not settings.api.url and not _can_write(settings.home):
        raise ProjectError(
            f"Prefect cannot write to {settings.home}: set PREFECT_HOME to a folder that you can write to"
        )
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith(NO_ANSWER):
            raise
        if settings.api.url:
            raise ProjectError(
                f"no Prefect server answers at {redact_urls(settings.api.url)}: "
                "`prefect config view` shows where that is set"
            ) from None
        raise ProjectError("Prefect's own server does not start: `prefect server start` says why") from None


def _can_write(folder: Path) -> bool:
    """Return true where files can be written to a folder, which is created where it is missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def _serve(request: dict[str, Any], cron: str) -> int:
    """Run the flows when they are due or asked for, until Ctrl-C."""
    from prefect import serve
    from prefect.types.entrypoint import EntrypointType

    from ..flow import flows

    # Each run is a process of its own, which imports the flow by its name.
    by_name = EntrypointType.MODULE_PATH
    serve(
        flows.rebuild.to_deployment("served", cron=cron, parameters=request, entrypoint_type=by_name),
        flows.search.to_deployment("served", entrypoint_type=by_name),
    )
    return 0


def _rebuild(request: dict[str, Any]) -> int:
    from prefect import get_client

    from ..flow import flows

    # Where Prefect starts a server of its own, that inherits the mask: Ctrl-C would end it before it is told
    # how the run ended, and Prefect would wait for it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    with get_client(sync_client=True):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    # Prefect ends the run, and sends the signal on: its own server has to end with us.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda number, frame: signal.raise_signal(signal.SIGTERM))
    state = flows.rebuild(**request, return_state=True)
    print(state.message)
    return 0 if state.is_completed() else 1
