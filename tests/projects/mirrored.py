"""What a mirrored store must hold: read through MLflow's client, compared with Git value by value."""

import csv
import hashlib
import io
import json
import math
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from support import run

# Everything of every run, in a project's environment.
DUMP = """
import hashlib, json, sys
from pathlib import Path
from mlflow import MlflowClient
client = MlflowClient(sys.argv[1])
(experiment,) = [e for e in client.search_experiments() if e.name == sys.argv[2]]

def artifacts(run_id, path=None):
    for item in client.list_artifacts(run_id, path):
        yield from artifacts(run_id, item.path) if item.is_dir else [item.path]

deep = len(sys.argv) > 3
for run in client.search_runs([experiment.experiment_id], max_results=5000):
    run_id = run.info.run_id
    series = {}
    for key in run.data.metrics if deep else ():
        series[key] = [[m.step, m.value, m.timestamp] for m in client.get_metric_history(run_id, key)]
    mine = f"source_run_id = '{run_id}'"
    models = list(client.search_logged_models([experiment.experiment_id], mine))
    files = {}
    if deep and client.list_artifacts(run_id):
        root = Path(client.download_artifacts(run_id, "", None))
        files = {p: hashlib.md5((root / p).read_bytes()).hexdigest() for p in artifacts(run_id)}
    print(json.dumps({
        "id": run_id, "name": run.info.run_name, "status": run.info.status, "tags": run.data.tags,
        "start": run.info.start_time, "end": run.info.end_time, "params": run.data.params,
        "metrics": run.data.metrics, "series": series, "files": files,
        "datasets": [[i.dataset.name, i.dataset.digest, i.dataset.source] for i in run.inputs.dataset_inputs],
        "models": [[m.name, str(m.status), m.tags] for m in models],
        "outputs": {o.model_id for o in run.outputs.model_outputs} == {m.model_id for m in models},
    }))
"""


def dump(uri: str, name: str, env: Mapping[str, str], cwd: Path, deep: bool = True) -> list[dict[str, Any]]:
    """All runs of an MLflow experiment; `deep`: with every metric point and every artifact's hash."""
    quiet = {**env, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}
    said = run("python", "-c", DUMP, uri, name, *(["deep"] if deep else []), cwd=cwd, env=quiet).stdout
    return [json.loads(line) for line in said.splitlines() if line.startswith("{")]


def git(project: Path, *command: str) -> str:
    done = subprocess.run(("git", *command), cwd=project, capture_output=True, text=True, check=True)
    return done.stdout


def refs(project: Path) -> dict[str, str]:
    """Commit by name of all experiments."""
    listed = git(project, "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps").split("\n")
    return {
        line.split("/", 4)[4]: line.split()[0]
        for line in listed
        if re.search(r"refs/exps/\w{2}/\w{38}/", line)
    }


def expected_params(project: Path, rev: str) -> dict[str, Any]:
    """The values of all stages in the lock, flattened."""
    values: dict[str, Any] = {}

    def walk(prefix: str, node: Any) -> None:
        if isinstance(node, dict):
            for key, below in node.items():
                walk(f"{prefix}.{key}" if prefix else str(key), below)
        else:
            values[prefix] = node

    for stage in yaml.safe_load(git(project, "show", f"{rev}:dvc.lock"))["stages"].values():
        walk("", (stage.get("params") or {}).get("params.yaml", {}))
    return values


def same(text: str, value: Any) -> bool:
    """Whether MLflow's text of a param is the value in the lock (PyYAML reads 1e-05 as a string)."""
    if isinstance(value, str) and text == value:
        return True
    try:
        return float(text) == float(value)
    except (TypeError, ValueError):
        return json.loads(text) == value


def check(project: Path, found: dict[str, Any], rev: str) -> None:
    """One run against one revision: every param, every metric point, every artifact, data and model."""
    params = expected_params(project, rev)
    assert found["params"].keys() == params.keys()
    assert all(same(found["params"][key], value) for key, value in params.items())

    time = 1000 * int(git(project, "show", "--no-patch", "--format=%ct", rev))
    assert (found["status"], found["start"], found["end"]) == ("FINISHED", time, time)
    assert found["tags"]["dvc.rev"] == found["tags"]["mlflow.source.git.commit"] == rev

    tables = [p for p in git(project, "ls-tree", "-r", "--name-only", rev).split("\n") if p.endswith(".tsv")]
    assert len(tables) == 4
    points = {}
    for path in tables:
        rows = list(csv.DictReader(io.StringIO(git(project, "show", f"{rev}:{path}")), delimiter="\t"))
        key = path.split("plots/metrics/")[1].removesuffix(".tsv")
        points[key] = [
            [int(row["step"]), float(row[key.split("/")[1]]), time + int(row["step"])] for row in rows
        ]
    metrics = json.loads(git(project, "show", f"{rev}:reports/evaluate/metrics.json"))
    for section, scores in metrics.items():
        points |= {f"{section}/{key}": [[0, value, time]] for key, value in scores.items()}
    points["step"] = [
        [0, json.loads(git(project, "show", f"{rev}:reports/train/metrics.json"))["step"], time]
    ]
    got = {key: series for key, series in found["series"].items() if not key.startswith("final/")}
    assert got.keys() == points.keys()
    for key, series in points.items():
        assert len(got[key]) == len(series), key
        for ours, git_says in zip(sorted(got[key]), series, strict=True):
            assert ours == git_says or (math.isnan(ours[1]) and math.isnan(git_says[1])), key

    lock = yaml.safe_load(git(project, "show", f"{rev}:dvc.lock"))["stages"]
    figures = git(project, "ls-tree", "-r", "--name-only", rev, "reports/evaluate/figures").split()
    for path in ["dvc.lock", "params.yaml", "environment.json", *figures]:
        content = subprocess.run(
            ("git", "show", f"{rev}:{path}"), cwd=project, capture_output=True, check=True
        ).stdout
        assert found["files"][path] == hashlib.md5(content, usedforsecurity=False).hexdigest(), path
    (raw,) = [dep for dep in lock["prepare"]["deps"] if dep["path"] == "data/raw.csv"]
    assert [dataset[:2] for dataset in found["datasets"]] == [["data/raw.csv", raw["md5"]]]
    (model,) = [out for out in lock["train"]["outs"] if out["path"] == "models/model.joblib"]
    ((name, status, tags),) = found["models"]
    assert (name, status, tags["dvc.path"], tags["dvc.md5"]) == (
        "classifier",
        "READY",
        model["path"],
        model["md5"],
    )
    assert found["outputs"]


def check_all(project: Path, runs: list[dict[str, Any]]) -> None:
    """Exactly one complete run for each experiment, and each as Git has it."""
    by_rev: dict[str, list[dict[str, Any]]] = {}
    for found in runs:
        by_rev.setdefault(found["tags"].get("dvc.rev", ""), []).append(found)
    for name, rev in refs(project).items():
        (found,) = by_rev[rev]
        assert (found["name"], found["tags"]["dvc.exp"]) == (name, name)
        check(project, found, rev)
