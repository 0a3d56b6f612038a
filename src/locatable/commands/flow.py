"""Rebuild a revision as a Prefect flow: each DVC stage becomes a task run; results are pushed and mirrored.

    locatable flow [REV] [--target STAGE] [-S KEY=VALUE] [--workers N]
    locatable flow --cron "0 3 * * *"

The flow runs in a separate clone, so your checkout is not touched. If params or results differ from those of
the revision, they become the experiment `flow-<id of the run>-<attempt>`. Failures of remotes, MLflow and
stages are retried if a retry can help. With --cron, two flows, rebuild and search, are served until Ctrl-C.
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

# Prefect raises a plain RuntimeError if its server does not answer; its message starts with one of these.
NO_ANSWER = ("Failed to reach API", "Timed out while attempting to connect to ephemeral")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `locatable flow`."""
    add = parser.add_argument
    add("rev", nargs="?", default="HEAD", help="a Git revision or the name of an experiment (default: HEAD)")
    add(
        "--target",
        action="append",
        metavar="STAGE",
        help="rebuild only this stage and the stages that it needs; can be repeated",
    )
    add("-S", action="append", default=[], metavar="KEY=VALUE", help="set a param; can be repeated")
    add("--retries", type=int, default=2, metavar="N", help="retry temporary failures N times (default: 2)")
    add("--timeout", type=float, metavar="S", help="limit each stage and each transfer to S seconds")
    add("--workers", type=int, default=1, metavar="N", help="run N independent stages at a time (default: 1)")
    add("--cron", metavar="CRON", help='rebuild on a schedule: "0 3 * * *" is every night at 3')


def run(arguments: argparse.Namespace) -> int:
    """Rebuild once, or serve the flows until Ctrl-C; return 1 if the flow failed."""
    from .. import flow  # noqa: F401 (sets variables that Prefect reads when it is imported)

    request = rebuild_request(arguments)
    with _needing_server():
        return _serve(request, arguments.cron) if arguments.cron else _rebuild(request)


def rebuild_request(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the parameters of the flow `rebuild`; its docstring explains them.

    Raises:
        UsageError: a param has no value, or `--workers` is not positive.
    """
    if arguments.workers < 1:
        raise UsageError("--workers must be positive")
    params = {}
    for pair in arguments.S:
        key, separator, value = pair.partition("=")
        if not separator:
            raise UsageError(f"-S {pair}: write it as KEY=VALUE")
        params[key] = parsing.load_yaml(value)  # The value has the same type as in a params file.
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
    """Turn Prefect's errors about its server into errors for the user.

    The server is the one in Prefect's settings. If they name none, Prefect starts a temporary one.

    Raises:
        ProjectError: the server does not answer or cannot be started.
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
    """Create a folder if it is missing, and return whether files can be written to it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def _serve(request: dict[str, Any], cron: str) -> int:
    """Serve both flows until Ctrl-C: Prefect starts them on schedule or on request."""
    from prefect import serve
    from prefect.types.entrypoint import EntrypointType

    from ..flow import flows

    # Prefect runs each flow in a new process, which has to import the flow by its module path.
    by_name = EntrypointType.MODULE_PATH
    serve(
        flows.rebuild.to_deployment("served", cron=cron, parameters=request, entrypoint_type=by_name),
        flows.search.to_deployment("served", entrypoint_type=by_name),
    )
    return 0


def _rebuild(request: dict[str, Any]) -> int:
    from prefect import get_client

    from ..flow import flows

    # A temporary server of Prefect inherits the signal mask, so Ctrl-C does not reach it. Otherwise it would
    # end before the flow reported its final state, and Prefect would wait for the server forever.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    with get_client(sync_client=True):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    # Prefect cancels the run, then raises the signal again. Exit normally, so that its temporary server ends.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda number, frame: signal.raise_signal(signal.SIGTERM))
    state = flows.rebuild(**request, return_state=True)
    print(state.message)
    return 0 if state.is_completed() else 1
