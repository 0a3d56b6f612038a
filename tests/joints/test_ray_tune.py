# /// script
# dependencies = ["ray[tune]==2.60.0"]
# [tool.joint]
# question = "Optimisation"
# tool = "Ray Tune"
# joint = "examples/optimisers/ray_tune.py"
# ///
"""Ray Tune proposes, workers of ours run its trials, and every trial is an experiment."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from searching import experiments, kept
from small_search import TRIALS, make
from tiny_git import IDENTITY

EXAMPLE = Path(__file__).parents[2] / "examples/optimisers/ray_tune.py"


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A repository in which the example has run, and the last line that it printed."""
    folder = tmp_path_factory.mktemp("tune")
    root = make(folder / "repository", {"name": "RandomSampler"})
    env = {
        **os.environ,
        **IDENTITY,
        # Below it are what Tune notes of its trials.
        "HOME": str(folder),
        "RAY_USAGE_STATS_ENABLED": "0",
        # Workers have what this process has, and not an environment that uv makes for each of them.
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    }
    done = subprocess.run(
        (sys.executable, str(EXAMPLE)), cwd=root, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return root, done.stdout.splitlines()[-1]


def test_every_trial_is_an_experiment(searched: tuple[Path, str]) -> None:
    assert len(experiments(searched[0])) == TRIALS


def test_every_experiment_has_the_metric_of_its_params(searched: tuple[Path, str]) -> None:
    root, _ = searched
    for rev in experiments(root).values():
        train = kept(root, rev, "params.yaml")["train"]
        loss = (train["x"] - 0.3) ** 2 + 0.1 * train["y"]
        assert kept(root, rev, "metrics.json")["valid"]["loss"] == pytest.approx(loss)


def test_the_best_of_them_is_named(searched: tuple[Path, str]) -> None:
    root, said = searched
    losses = {kept(root, rev, "metrics.json")["valid"]["loss"]: rev for rev in experiments(root).values()}
    assert said.endswith(f"dvc exp apply {losses[min(losses)]}")
