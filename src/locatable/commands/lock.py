"""Resolve pyproject.toml into locks: requirements.lock, tools.lock, and one for each extra in extras/.

    locatable lock

Says what changed. A version that is locked stays wherever pyproject.toml allows it: to upgrade a package,
raise its lower bound there. Needs uv, and a package index or uv's cache of one. Nothing is installed.
"""

import argparse
from pathlib import Path

from ..repository.project import find_project
from ..results.locks import CONDA_LOCK, REQUIREMENTS
from . import Steps, resolution


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`locatable lock` has no arguments."""


def run(arguments: argparse.Namespace) -> int:
    """Write the locks, and say what changed in each."""
    project = find_project(Path.cwd())
    before = resolution.read_locks(project)
    with Steps() as steps:
        steps.begin(f"resolving {resolution.PYPROJECT}")
        after = resolution.resolve(project)
    resolution.write_locks(project, before, after)
    for name in sorted({*before, *after}):
        changes = resolution.compare(before.get(name, ""), after.get(name, ""))
        if not changes:
            print(f"{name}: unchanged")
        for change in changes:
            print(f"{name}: {change.sentence()}")
    if resolution.is_locked_by_conda(project):
        print(f"{CONDA_LOCK}: left as it is, `conda-lock lock` resolves it")
    if before.get(REQUIREMENTS) != after.get(REQUIREMENTS):
        print("what stages may import has changed: `make setup`, and `dvc repro` runs every stage again")
    elif before != after:
        print("only tools have changed: `make setup`; no result is out of date")
    return 0
