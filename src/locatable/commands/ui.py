"""Open MLflow in a browser, on the store that holds this project's runs.

A server's address is only printed; for a database, `mlflow ui` runs until Ctrl-C.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from ..errors import StoreError, UsageError
from ..output import Steps
from . import end_as_by_ctrl_c

# Seconds that the server has to end by itself.
PATIENCE = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `locatable ui`."""
    parser.add_argument("--port", type=int, default=5000, help="of the page on this machine (5000)")


def run(arguments: argparse.Namespace) -> int:
    """Say where the runs are; serve them, unless a server does."""
    from ..git import main_checkout
    from ..mlflow.settings import is_server, read_uri
    from ..output import redact_urls
    from ..repository.reader import Reader

    with Reader(".") as reader:
        root = reader.root
    uri = read_uri(root)
    if is_server(uri):
        print(f"The runs are on {redact_urls(uri)}")
        return 0
    _require_port(arguments.port)
    with Steps() as steps:
        steps.begin("opening MLflow's store")
        _require_store(uri)
    page = f"http://127.0.0.1:{arguments.port}/#/experiments?workflowType=machine_learning"
    print(f"The runs will be on {page} in a few seconds; Ctrl-C ends this", flush=True)
    return _serve(uri, arguments.port, main_checkout(root))


def _require_store(uri: str) -> None:
    """Create the database where there is none yet, and see that MLflow can use it.

    Raises:
        ModuleNotFoundError: MLflow is not installed.
        StoreError: there is no such folder, or another version of MLflow made the database.
    """
    if find_spec("mlflow") is None:
        raise ModuleNotFoundError("No module named 'mlflow'", name="mlflow")
    from ..addresses import sqlite_file
    from ..mlflow.store import check_store, create_database

    file = sqlite_file(uri)
    if file and not file.exists():
        if not file.parent.is_dir():
            raise StoreError(f"{file}: there is no folder {file.parent}")
        create_database(file)
    check_store(uri)


def _require_port(port: int) -> None:
    """Refuse a port that MLflow cannot serve on: it would only log that, and end as if nothing were wrong.

    Raises:
        UsageError: something else uses the port, or it cannot be used.
    """
    with socket.socket() as probe:
        # As the server does: the connections of an earlier one do not matter.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UsageError(f"--port: {port} cannot be used: {reason}; give it another one") from None


def _serve(uri: str, port: int, folder: Path) -> int:
    """Run `mlflow ui` until it is stopped; return its exit code, 0 if it was stopped."""
    # One process is enough for one person, and is there, and gone, sooner than the usual four.
    options = ("--backend-store-uri", uri, "--port", str(port), "--workers", "1")
    settings = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    end_as_by_ctrl_c()
    command = (sys.executable, "-m", "mlflow", "ui", *options)
    # Ctrl-C does not reach a session of its own: the server would print a traceback.
    with subprocess.Popen(
        command, cwd=folder, env={**os.environ, **settings}, start_new_session=True
    ) as server:
        try:
            return server.wait()
        except KeyboardInterrupt:
            server.terminate()
        try:
            server.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)  # with what it started
        return 0
