"""`locatable ui` serves the runs of a mirrored project until Ctrl-C."""

import http.client
import json
import shutil
import signal
from contextlib import closing
from pathlib import Path
from typing import Any

from servers import answers, free_port, running, wait_for
from support import ODD, run


def ask(port: int, path: str, question: dict[str, Any]) -> Any:
    """What MLflow's API answers."""
    headers = {"Content-Type": "application/json"}
    server = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with closing(server):
        server.request("POST", f"/api/2.0/mlflow/{path}", json.dumps(question), headers)
        return json.load(server.getresponse())


def test_the_runs_are_served_until_ctrl_c(rebuilt: Path, tmp_path: Path, env: dict[str, str]) -> None:
    project = Path(shutil.copytree(rebuilt, tmp_path / ODD / "project", symlinks=True))
    run("locatable", "mirror", "--experiment", "ours", cwd=project, env=env)
    mirrored = run("git", "rev-parse", "HEAD", cwd=project, env=env).stdout.strip()
    port = free_port()
    with running("locatable", "ui", "--port", str(port), folder=project, env=env) as server:
        wait_for(lambda: answers(port))
        listed = ask(port, "experiments/search", {"max_results": 9})["experiments"]
        (experiment,) = [each["experiment_id"] for each in listed if each["name"] == "ours"]
        (shown,) = ask(port, "runs/search", {"experiment_ids": [experiment]})["runs"]
        assert {"key": "dvc.rev", "value": mirrored} in shown["data"]["tags"]
        server.send_signal(signal.SIGINT)
        assert server.wait(30) == 0
        assert not answers(port)
