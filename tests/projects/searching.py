"""A small DVC repository for tests of the search: stages take milliseconds, and do what its params ask for.

Its environment is that of a generated project.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import psutil
import yaml
from filelock import FileLock

PARAMS = {
    "train": {
        "x": 0.9,
        "y": 0.5,
        "kind": "plain",
        "plain": {"width": 3},
        "fancy": {"depth": 2},
        "text": "nothing",
        "trouble": "none",
        "seconds": 0.0,
        "steps": 0,
        "bytes": 0,
        "burn": 0.0,
    }
}
SPACE = {"train.x": {"type": "float", "low": 0.0, "high": 1.0}}
SEARCH = {"study": "small", "metric": "metrics.json:valid.loss", "direction": "minimize", "space": SPACE}
# As DVCLive writes one, in the folder of `train`.
SERIES = "train/plots/metrics/loss.tsv"
STAGES = {
    "stages": {
        "prepare": {
            "cmd": "python prepare.py",
            "deps": ["prepare.py"],
            "outs": ["prepared.txt"],
        },
        "train": {
            "cmd": "python train.py",
            "deps": ["prepared.txt", "train.py"],
            "params": ["train"],
            "outs": [
                "model.bin",
                {"metrics.json": {"cache": False}},
                {SERIES: {"cache": False}},
            ],
        },
    }
}
PREPARE = """
import os
with open(os.environ.get("RUNS", os.devnull), "a") as file:
    file.write("prepare\\n")
open("prepared.txt", "w").write("ready")
"""
TRAIN = """
import json, os, subprocess, sys, time
import yaml
params = yaml.safe_load(open("params.yaml"))["train"]
with open(os.environ.get("RUNS", os.devnull), "a") as file:
    file.write(f"train {params['x']!r}\\n")
trouble = params["trouble"]
if trouble == "always" or (trouble == "above" and params["x"] > 0.5):
    sys.exit(f"x = {params['x']} does not work")
if trouble == "children":
    for own in (False, True):
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=own)
    if params["steps"] == 0:
        sys.exit("and left children")
if trouble == "murder":
    import psutil
    for parent in psutil.Process().parents():
        if any("locatable.search" in part for part in parent.cmdline()):
            parent.kill()
    time.sleep(60)
end = time.process_time() + params["burn"]
while time.process_time() < end:
    pass
loss = (params["x"] - 0.3) ** 2 + 0.1 * params["y"]
os.makedirs("train/plots/metrics", exist_ok=True)
with open("train/plots/metrics/loss.tsv", "w") as file:
    file.write("step\\tloss\\n")
    for step in range(params["steps"]):
        file.write(f"{step}\\t{loss + 1 / (step + 1)}\\n")
        file.flush()
        time.sleep(params["seconds"])
time.sleep(params["seconds"])
valid = {"loss": loss, "cost": params["y"]}
if trouble == "nan":
    valid["loss"] = float("nan")
if trouble == "missing":
    del valid["loss"]
json.dump({"valid": valid, "seen": params}, open("metrics.json", "w"), indent=1)
open("model.bin", "w").write(repr(params) + "." * params["bytes"])
"""


def run(*command: str | Path, cwd: Path, env: Mapping[str, str]) -> str:
    """What a command prints."""
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=dict(env), text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def start(folder: Path, env: Mapping[str, str], *options: str) -> subprocess.Popen[str]:
    """Begin a search, as from a terminal of its own."""
    return subprocess.Popen(
        ("locatable", "search", *options),
        cwd=folder,
        env=dict(env),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def make(
    folder: Path, project: Path, env: Mapping[str, str], search: Mapping[str, Any], **train: Any
) -> Path:
    """A repository with committed results, this search.yaml, and these params.

    It is a copy of one that is made once for all test processes, brought up to date.
    """
    base = project.parent / "small"
    with FileLock(base.with_suffix(".lock")):
        if not base.with_suffix(".done").exists():
            begin(base, {**env, "RUNS": str(base.with_suffix(".runs"))})
            base.with_suffix(".done").touch()
    shutil.copytree(base, folder, symlinks=True)
    (folder / ".dvc/config.local").write_text(f"[core]\n    site_cache_dir = {folder.parent / 'site'}\n")
    if "RUNS" in env:
        Path(env["RUNS"]).write_bytes(base.with_suffix(".runs").read_bytes())
    write(folder, search, train)
    if train:
        run("dvc", "repro", cwd=folder, env=env)
    commit(folder, env)
    return folder


def begin(folder: Path, env: Mapping[str, str]) -> None:
    """A repository with committed results, and the usual search.yaml and params."""
    folder.mkdir()
    run("git", "init", "--quiet", "--initial-branch=main", cwd=folder, env=env)
    run("dvc", "init", "--quiet", cwd=folder, env=env)
    # What `dvc config` would write, at a second each.
    (folder / ".dvc/config").write_text("[core]\n    autostage = true\n")
    (folder / ".dvc/config.local").write_text(f"[core]\n    site_cache_dir = {folder.parent / 'site'}\n")
    (folder / ".gitignore").write_text("__pycache__/\n/optuna.db*\n/mlflow.db*\n")
    (folder / "prepare.py").write_text(PREPARE)
    (folder / "train.py").write_text(TRAIN)
    (folder / "dvc.yaml").write_text(yaml.safe_dump(STAGES, sort_keys=False))
    write(folder, {}, {})
    run("dvc", "repro", cwd=folder, env=env)
    commit(folder, env)


def write(folder: Path, search: Mapping[str, Any], train: Mapping[str, Any]) -> None:
    """Write search.yaml, with `search` in place of the usual, and params.yaml, with `train` the same way."""
    # As JSON, which reads the same in all versions of YAML.
    (folder / "search.yaml").write_text(json.dumps({**SEARCH, **search}))
    (folder / "params.yaml").write_text(json.dumps({"train": {**PARAMS["train"], **train}}))


def commit(folder: Path, env: Mapping[str, str]) -> None:
    """Commit everything that Git does not ignore."""
    run("git", "add", "--all", cwd=folder, env=env)
    run("git", "commit", "--quiet", "--allow-empty", "-m", "Results", cwd=folder, env=env)


def experiments(folder: Path) -> dict[str, str]:
    """Revision by name of each experiment in Git."""
    listed = subprocess.run(
        ("git", "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps"),
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return {
        name: rev
        for rev, name in re.findall(r"^(\w+) refs/exps/\w\w/\w{38}/(.+)$", listed.stdout, re.MULTILINE)
    }


def kept(folder: Path, rev: str, path: str) -> Any:
    """A YAML or JSON file as Git has it in a revision."""
    shown = subprocess.run(
        ("git", "show", f"{rev}:{path}"), cwd=folder, capture_output=True, text=True, check=True
    )
    return json.loads(shown.stdout) if path.endswith(".json") else yaml.safe_load(shown.stdout)


def trials(folder: Path, study: str = "small", storage: str | None = None) -> list[optuna.trial.FrozenTrial]:
    """All trials that Optuna knows."""
    return optuna.load_study(study_name=study, storage=storage or f"sqlite:///{folder / 'optuna.db'}").trials


def checkout(folder: Path) -> dict[str, bytes]:
    """Content of every file of the checkout: tracked by Git or DVC, or ignored."""
    skipped = (".git", ".dvc", "mlartifacts", "reports", "__pycache__")
    files = (path for path in folder.rglob("*") if path.is_file())
    parts = ((path.relative_to(folder), path) for path in files)
    return {
        str(name): path.read_bytes()
        for name, path in parts
        if not set(skipped) & set(name.parts) and not name.name.startswith("optuna.db")
    }


def strays(folder: Path) -> list[str]:
    """Command lines of all processes with something of `folder` in their environment as a worker's clone."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("SEARCH_CLONE", "").startswith(str(folder)):
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


def check_left_alone(folder: Path, before: dict[str, bytes], env: Mapping[str, str]) -> None:
    """Nothing in the checkout changed, nothing runs any more, and no clone, stash or lock is left."""
    assert checkout(folder) == before
    assert run("git", "status", "--porcelain", cwd=folder, env=env) == ""
    assert run("git", "stash", "list", cwd=folder, env=env) == ""
    assert run("git", "for-each-ref", "refs/exps/exec", "refs/exps/stash", cwd=folder, env=env) == ""
    assert strays(folder) == []
    assert [path.name for path in (folder / ".dvc/tmp/search").iterdir() if path.is_dir()] == []
    assert list((folder / ".git").rglob("*.lock")) == []


def check_agreement(folder: Path, study: str = "small", keys: tuple[str, ...] = ("x",)) -> None:
    """Complete trials and experiments are the same, with the same params and metrics, and no trial runs."""
    known = trials(folder, study)
    complete = {trial.number: trial for trial in known if trial.state.name == "COMPLETE"}
    refs = experiments(folder)
    assert {f"{study}-{number}" for number in complete} == set(refs)
    for number, trial in complete.items():
        rev = refs[f"{study}-{number}"]
        params = kept(folder, rev, "params.yaml")["train"]
        assert {f"train.{key}": params[key] for key in keys} == trial.params
        assert kept(folder, rev, "metrics.json")["valid"]["loss"] == trial.values[0]
        lock = kept(folder, rev, "dvc.lock")["stages"]["train"]["params"]["params.yaml"]["train"]
        assert lock == params
    assert "RUNNING" not in {trial.state.name for trial in known}
