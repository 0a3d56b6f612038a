# /// script
# dependencies = ["nevergrad==1.0.12"]
# [tool.joint]
# question = "Optimisation"
# tool = "Nevergrad"
# joint = "examples/optimisers/nevergrad_loop.py"
# ///
"""Nevergrad proposes in a loop of its own, a worker of ours runs its trials, and each is an experiment."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from searching import experiments, kept
from small_search import TRIALS, make
from tiny_git import IDENTITY

EXAMPLE = Path(__file__).parents[2] / "examples/optimisers/nevergrad_loop.py"


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A repository in which the example has run, and the lines that it printed."""
    root = make(tmp_path_factory.mktemp("nevergrad") / "repository", {"name": "RandomSampler"})
    done = subprocess.run(
        (sys.executable, str(EXAMPLE)),
        cwd=root,
        env={**os.environ, **IDENTITY},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return root, done.stdout.splitlines()


def test_every_trial_is_an_experiment(searched: tuple[Path, list[str]]) -> None:
    assert len(experiments(searched[0])) == TRIALS


def test_nevergrad_is_told_what_the_experiments_hold(searched: tuple[Path, list[str]]) -> None:
    root, said = searched
    held = {
        f"{name}: {kept(root, rev, 'metrics.json')['valid']['loss']}"
        for name, rev in experiments(root).items()
    }
    assert set(said) == held
