"""What the joints of trackers share: a small repository with results, mirrored by the command."""

from pathlib import Path

import tiny_dvc
import tiny_git
import yaml

from locatable.cli import main
from locatable.repository.reader import Reader
from locatable.trackers.mirror import mirror_to
from locatable.trackers.run import Tracker

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
    tiny_dvc.init(root)
    tiny_git.write(root, {"dvc.yaml": PIPELINE, "params.yaml": PARAMS, "train.py": SCRIPT, "raw.csv": DATA})
    with tiny_dvc.dvc(root) as repo:
        repo.add("raw.csv")
        repo.reproduce()
    return tiny_dvc.commit(root)


def data_hash(root: Path) -> str:
    """The hash of the source data, as DVC has it."""
    (out,) = yaml.safe_load((root / "raw.csv.dvc").read_text())["outs"]
    return str(out["md5"])


def mirror(target: str) -> int:
    """Run `locatable mirror --to` in the current folder; returns the exit code."""
    return main(["mirror", "--to", target])


def write(root: Path, tracker: Tracker) -> None:
    """Mirror to a tracker, with errors as they are."""
    with Reader(root) as reader:
        mirror_to(tracker, reader)


def files(folder: Path) -> dict[str, bytes]:
    """All files of a folder by their path."""
    return {str(file): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
