"""`locatable ui` serves the runs of a mirrored project until Ctrl-C."""

import http.client
import json
import signal
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from servers import answers, free_port, running, wait_for

Shell = Callable[..., subprocess.CompletedProcess[str]]


def ask(port: int, path: str, question: dict[str, Any]) -> Any:
    """What MLflow's API answers."""
    headers = {"Content-Type": "application/json"}
    server = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with closing(server):
        server.request("POST", f"/api/2.0/mlflow/{path}", json.dumps(question), headers)
        return json.load(server.getresponse())


@pytest.fixture
def mirrored(project: Path, sh: Shell) -> str:
    """The commit that the only run in the project's store shows."""
    sh("locatable", "mirror", "--experiment", "ours")
    return sh("git", "rev-parse", "HEAD").stdout.strip()


def test_the_runs_are_served_until_ctrl_c(project: Path, mirrored: str, env: dict[str, str]) -> None:
    port = free_port()
    with running("locatable", "ui", "--port", str(port), folder=project, env=env) as server:
        wait_for(lambda: answers(port))
        listed = ask(port, "experiments/search", {"max_results": 9})["experiments"]
        (experiment,) = [each["experiment_id"] for each in listed if each["name"] == "ours"]
        (run,) = ask(port, "runs/search", {"experiment_ids": [experiment]})["runs"]
        assert {"key": "dvc.rev", "value": mirrored} in run["data"]["tags"]
        server.send_signal(signal.SIGINT)
        assert server.wait(30) == 0
        assert not answers(port)
