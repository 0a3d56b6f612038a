"""A small repository for orchestrators, and what they run of it: first, again, and with another param."""

import importlib.util
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import tiny_dvc
from tiny_git import write

EXAMPLES = Path(__file__).parents[2] / "examples/orchestrators"
# What runs notes its name outside of the repository.
RUNS = "runs.txt"
PIPELINE = """\
stages:
  prepare:
    cmd: echo prepare >> ../runs.txt; tr a-z A-Z < raw.txt > prepared.txt
    deps: [raw.txt]
    outs: [prepared.txt]
  train:
    foreach: [small, large]
    do:
      cmd:
        - echo train@${item} >> ../runs.txt
        - cat prepared.txt params.yaml > ${item}.txt
      deps: [prepared.txt]
      params: [depth]
      outs: ["${item}.txt"]
"""
REPORT = """\
stages:
  sum:
    wdir: ..
    cmd: echo sum >> ../runs.txt; cat small.txt large.txt > sum.txt
    deps: [small.txt, large.txt]
    outs: [sum.txt]
"""
TRAIN = {"train@small", "train@large"}


@dataclass(frozen=True)
class Rebuilds:
    """The stages that ran, in their order.

    Attributes:
        first: where there was no result yet.
        again: of the same.
        changed: with another value of a param of `train`.
        status: what DVC says is out of date in the end.
    """

    first: list[str]
    again: list[str]
    changed: list[str]
    status: dict[str, object]


def rebuild_three_times(folder: Path, rebuild: Callable[[Path], object]) -> Rebuilds:
    """Make a repository in a folder, and have an orchestrator rebuild it three times.

    Args:
        folder: an empty one.
        rebuild: called with the repository's root.
    """
    root = folder / "repository"
    tiny_dvc.init(root)
    files = {"dvc.yaml": PIPELINE, "report/dvc.yaml": REPORT, "raw.txt": "abc\n", "params.yaml": "depth: 1\n"}
    write(root, files)
    tiny_dvc.commit(root)
    first = _ran(root, rebuild)
    again = _ran(root, rebuild)
    write(root, {"params.yaml": "depth: 2\n"})
    changed = _ran(root, rebuild)
    with tiny_dvc.dvc(root) as repo:
        status = repo.status()
    return Rebuilds(first, again, changed, status)


def _ran(root: Path, rebuild: Callable[[Path], object]) -> list[str]:
    noted = root.parent / RUNS
    noted.write_text("")
    here = Path.cwd()
    os.chdir(root)  # the examples are started in the project
    try:
        rebuild(root)
    finally:
        os.chdir(here)
    return noted.read_text().split()


def load(name: str) -> ModuleType:
    """An example, imported anew: it reads the pipeline of the current folder."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # Flyte asks a task for its module
    spec.loader.exec_module(module)
    return module


def check(rebuilds: Rebuilds) -> None:
    """Stages ran after those they need, and only where DVC says that they are out of date."""
    assert rebuilds.first[0] == "prepare"
    assert set(rebuilds.first[1:3]) == TRAIN
    assert rebuilds.first[3:] == ["sum"]
    assert rebuilds.again == []
    assert set(rebuilds.changed[:2]) == TRAIN
    assert rebuilds.changed[2:] == ["sum"]
    assert rebuilds.status == {}
