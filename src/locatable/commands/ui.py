"""Open MLflow in a browser, on the store that holds this project's runs.

A server's address is only printed; for a database, `mlflow ui` runs until Ctrl-C.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from ..mlflow import store
from ..redact import redact_urls


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `locatable ui`."""
    parser.add_argument("--port", type=int, default=5000, help="of the page on this machine (5000)")


def run(arguments: argparse.Namespace) -> int:
    """Say where the runs are; serve them, unless a server does."""
    root = Path.cwd()
    uri = store.absolute(store.settings(root)[0], root)
    if uri.startswith("http"):
        print(f"The runs are on {redact_urls(uri)}")
        return 0
    page = f"http://127.0.0.1:{arguments.port}/#/experiments?workflowType=machine_learning"
    print(f"The runs will be on {page} in a few seconds; Ctrl-C ends this", flush=True)
    command = (
        sys.executable,
        "-m",
        "mlflow",
        "ui",
        "--backend-store-uri",
        uri,
        "--port",
        str(arguments.port),
    )
    return subprocess.run(command, check=False).returncode
