"""What the joints of trackers share: a small repository with results, mirrored by an example."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import tiny_dvc
import yaml

from locatable import TrackedRun, tracked_runs

EXAMPLES = Path(__file__).parents[2] / "examples/trackers"
PIPELINE = """stages:
  train:
    cmd: python train.py
    deps: [raw.csv, train.py]
    params: [rate, layers, "on", exact, name]
    outs: [model.bin]
    metrics: [metrics.json: {cache: false}]
    plots: [dvclive/plots: {cache: false}]
artifacts:
  model: {path: model.bin, type: model}
"""
PARAMS = 'rate: 0.1\nlayers: [3, 4]\n"on": true\nexact: 123456789012345678901\nname: "größe/1"\n'
SCRIPT = """import json, pathlib
folder = pathlib.Path("dvclive/plots/metrics/train")
folder.mkdir(parents=True, exist_ok=True)
folder.joinpath("loss.tsv").write_text("step\\tloss\\n0\\t0.5\\n1\\t0.25\\n2\\tnan\\n")
pathlib.Path("metrics.json").write_text(json.dumps({"acc": 0.75, "x" * 300: 1}))
pathlib.Path("model.bin").write_text("model")
"""
DATA = "a,b\n1,2\n"


def repository(root: Path) -> str:
    """A repository with one commit, whose results it has; returns the commit."""
    files = {"dvc.yaml": PIPELINE, "params.yaml": PARAMS, "train.py": SCRIPT, "raw.csv": DATA}
    return tiny_dvc.with_results(root, files, "raw.csv")


def data_hash(root: Path) -> str:
    """The hash of the source data, as DVC has it."""
    (out,) = yaml.safe_load((root / "raw.csv.dvc").read_text())["outs"]
    return str(out["md5"])


def mirror(root: Path, name: str, *arguments: str) -> list[str]:
    """Run an example in a repository; returns the lines that it printed."""
    command = (sys.executable, str(EXAMPLES / f"{name}.py"), *arguments)
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if line.startswith("wrote ")]


def load(name: str) -> ModuleType:
    """An example, imported."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def only_run(root: Path) -> TrackedRun:
    """The run of the repository's commit."""
    (run,) = tracked_runs(root)
    return run


def interrupt(*_: object, **__: object) -> None:
    """Stand in for what is interrupted by Ctrl-C."""
    raise KeyboardInterrupt


def files(folder: Path) -> dict[str, bytes]:
    """All files of a folder by their path."""
    return {str(file): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
