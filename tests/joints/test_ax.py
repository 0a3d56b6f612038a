# /// script
# dependencies = ["ax-platform==1.3.1"]
# [tool.joint]
# question = "Optimisation"
# tool = "Ax"
# joint = "examples/optimisers/ax_sampler.py"
# ///
"""Ax proposes behind a sampler of Optuna, and every trial is an experiment."""

from pathlib import Path

import optuna
import pytest
import torch
from searching import check_agreement, experiments
from small_search import TRIALS, make, search

EXAMPLES = Path(__file__).parents[2] / "examples/optimisers"


def test_a_search_of_twelve_trials(tmp_path: Path) -> None:
    root = make(
        tmp_path / "repository", {"name": "ax_sampler.AxSampler", "seed": 0}, EXAMPLES / "ax_sampler.py"
    )
    search(root, OMP_NUM_THREADS="1")
    assert len(experiments(root)) == TRIALS
    check_agreement(root, keys=("x", "y"))


def test_it_learns_of_every_kind_of_param(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)
    torch.set_num_threads(1)  # so few trials: more of them only wait for each other
    from ax_sampler import RANDOM_TRIALS, AxSampler

    def loss(trial: optuna.Trial) -> float:
        rate = trial.suggest_float("rate", 1e-4, 1.0, log=True)
        depth = trial.suggest_int("depth", 1, 9, step=2)
        kind = trial.suggest_categorical("kind", ["a", None, True])
        return abs(rate - 0.01) + depth + (kind is None)

    study = optuna.create_study(sampler=AxSampler(seed=1))
    study.optimize(loss, n_trials=12)
    assert study.best_trial.number >= RANDOM_TRIALS
    assert study.best_params["depth"] == 1
