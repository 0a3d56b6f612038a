"""Serve MLflow's web pages for the runs of this project.

If the runs are in a database, `mlflow ui` serves them on this machine until Ctrl-C. If they are on an MLflow
server, only its address is printed.
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
from . import treat_signals_as_ctrl_c

# Seconds to wait for the server to end by itself before it is killed.
PATIENCE = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `locatable ui`."""
    parser.add_argument("--port", type=int, default=5000, help="serve on this port (default: 5000)")


def run(arguments: argparse.Namespace) -> int:
    """Print where the runs are, and serve them if they are in a database."""
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
    print(f"The runs will be on {page} in a few seconds; press Ctrl-C to stop", flush=True)
    return _serve(uri, arguments.port, main_checkout(root))


def _require_store(uri: str) -> None:
    """Create the database if it does not exist, and check that MLflow can use it.

    Raises:
        ModuleNotFoundError: MLflow is not installed.
        StoreError: the folder of the database does not exist, or its schema is of another MLflow version.
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
    """Refuse a port that MLflow cannot serve on. MLflow itself would only log the error and exit with 0.

    Raises:
        UsageError: the port is in use, or this user cannot use it.
    """
    with socket.socket() as probe:
        # The server sets this option too: old connections of an earlier server do not block the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UsageError(f"--port: {port} cannot be used: {reason}; choose a different port") from None


def _serve(uri: str, port: int, folder: Path) -> int:
    """Run `mlflow ui` until Ctrl-C; return 0 then, or the exit code of `mlflow ui` if it ends by itself."""
    # One worker is enough for one user, and starts and stops faster than the default of four.
    options = ("--backend-store-uri", uri, "--port", str(port), "--workers", "1")
    settings = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    treat_signals_as_ctrl_c()
    command = (sys.executable, "-m", "mlflow", "ui", *options)
    # In a new session the server does not receive Ctrl-C itself, on which it would print a traceback.
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
            os.killpg(server.pid, signal.SIGKILL)  # The group includes the processes that the server started.
        return 0
