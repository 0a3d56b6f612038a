"""A small repository, and a search of twelve trials in it, with whatever sampler."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tiny_dvc
from tiny_git import IDENTITY, write

TRIALS = 12
TRAIN = """\
import json
import yaml
train = yaml.safe_load(open("params.yaml"))["train"]
loss = (train["x"] - 0.3) ** 2 + 0.1 * train["y"]
json.dump({"valid": {"loss": loss}}, open("metrics.json", "w"))
"""
PIPELINE = """\
stages:
  train:
    cmd: python train.py
    deps: [train.py]
    params: [train]
    outs: [{metrics.json: {cache: false}}]
"""
RANGE = {"type": "float", "low": 0.0, "high": 1.0}
SEARCH = {
    "study": "small",
    "metric": "metrics.json:valid.loss",
    "direction": "minimize",
    "space": {"train.x": RANGE, "train.y": RANGE},
}


def make(root: Path, sampler: Mapping[str, Any], module: Path | None = None) -> Path:
    """A repository with committed results, whose search.yaml names this sampler, with the module of it."""
    tiny_dvc.init(root)
    files = {
        # As JSON, which is YAML, too.
        "params.yaml": json.dumps({"train": {"x": 0.9, "y": 0.5}}),
        "search.yaml": json.dumps({**SEARCH, "sampler": sampler}),
        "dvc.yaml": PIPELINE,
        "train.py": TRAIN,
        ".gitignore": "/optuna.db*\n__pycache__\n",
    }
    write(root, files)
    if module:
        shutil.copy(module, root)
    with tiny_dvc.dvc(root) as repo:
        repo.reproduce()
    tiny_dvc.commit(root)
    return root


def search(root: Path, trials: int = TRIALS, **variables: str) -> str:
    """Run `locatable search`, and return what it prints."""
    done = subprocess.run(
        # -P: as the command `locatable`, which does not have the current folder on the import path.
        (sys.executable, "-P", "-m", "locatable", "search", "--trials", str(trials)),
        cwd=root,
        env={**os.environ, **IDENTITY, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
