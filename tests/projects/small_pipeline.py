"""A pipeline of two stages, one of them no Python at all, for faults to be planted in."""

import hashlib
import os
import shutil
import sys
from pathlib import Path

import pytest
from tiny_dvc import commit, dvc, init

# Stages run in the environment of these tests.
PATH = os.pathsep.join([f"{sys.prefix}/bin", os.environ["PATH"]])
FILES = {
    ".gitignore": "__pycache__\n",
    "params.yaml": "make: {factor: 2}\ntotal: {offset: 1}  # not for make\n",
    "pkg/__init__.py": "",
    "pkg/helpers.py": "def times(value, factor):\n    return value * factor\n",
    "pkg/make.py": """
import csv
from ruamel.yaml import YAML

params = YAML(typ="safe").load(open("params.yaml"))
rows = [int(row[0]) for row in csv.reader(open("data/in.csv"))]
# INSERT
open("rows.csv", "w").write("".join(f"{row * params['make']['factor']}\\n" for row in rows))
""",
    "dvc.yaml": """
stages:
  make:
    cmd: python -m pkg.make
    deps: [data/in.csv, pkg/__init__.py, pkg/make.py]
    params: [make]
    outs: [rows.csv]
  total:
    cmd: awk '{s += $1} END {printf "{\\"total\\":%d}", s}' rows.csv > metrics.json
    deps: [rows.csv]
    outs:
      - metrics.json: {cache: false}
""",
}
DATA = {"data/in.csv": "1\n2\n3\n", "data/extra.csv": "10\n"}


def make(top: Path) -> Path:
    """Make the pipeline before its first run, with its data in a remote beside it; copy what this returns."""
    folder = top / "project"
    init(folder)
    for name, text in {**FILES, **DATA}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text.lstrip())
    with dvc(folder) as repo, repo.config.edit() as settings:
        settings["core"]["remote"] = "storage"
        settings["remote"] = {"storage": {"url": "../remote"}}
    with dvc(folder) as repo:
        repo.add("data/in.csv")
        repo.push()
    commit(folder, "Pipeline")
    return top


def copied(pipeline: Path, folder: Path) -> Path:
    """Copy a pipeline with its remote into a folder, and return the copy's project."""
    return Path(shutil.copytree(pipeline, folder / "small", symlinks=True)) / "project"


class SmallPipeline:
    """A copy of the small pipeline: change it, commit its results, and have it reproduced."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, text: str) -> None:
        """Write a file of the project."""
        (self.folder / name).write_text(text)

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace text that must be there."""
        text = (self.folder / name).read_text()
        assert old in text
        self.write(name, text.replace(old, new))

    def insert(self, lines: str) -> None:
        """Add lines to the stage `make`, which writes `rows` to rows.csv."""
        self.edit("pkg/make.py", "# INSERT", lines)

    def commit(self) -> None:
        """Commit all there is."""
        commit(self.folder, "Results")

    def repro(self, **variables: str) -> None:
        """Run what is out of date and commit the results."""
        with pytest.MonkeyPatch.context() as environment, dvc(self.folder) as repo:
            for name, value in variables.items():
                environment.setenv(name, value)
            repo.reproduce()
        self.commit()

    def state(self) -> dict[str, tuple[int, str]]:
        """Every file around the project with its mode and content, its Git and DVC included."""
        return {
            str(path): (path.stat().st_mode, hashlib.sha256(path.read_bytes()).hexdigest())
            for path in self.folder.parent.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
