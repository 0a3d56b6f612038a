"""Let Ray Tune propose params, and run each trial as a DVC experiment in a worker of `locatable`.

In the folder of a DVC project, after a commit:

    python ray_tune.py

All workers need the repository at the same path. On a cluster, use a file system that the nodes share.
"""

from pathlib import Path
from typing import Any

import ray
from ray import tune

from locatable import TrialRunner

METRIC = "metrics.json:valid.loss"
SPACE = {"train.x": tune.uniform(0.0, 1.0), "train.y": tune.uniform(0.0, 1.0)}
TRIALS = 12


def trial(params: dict[str, Any], repo: str) -> None:
    """Run the stages that these params make out of date, in a clone, and report the loss to Ray Tune."""
    study, _, number = tune.get_context().get_trial_id().partition("_")
    with TrialRunner([METRIC], repo) as runner:
        finished = runner.run(f"tune-{study}-{int(number)}", params)
    tune.report({"loss": finished.values[0], "rev": finished.rev})


def search(repo: str) -> tune.ResultGrid:
    """Run all trials, as many at a time as there are CPUs."""
    tuner = tune.Tuner(
        tune.with_parameters(trial, repo=repo),
        param_space=SPACE,
        tune_config=tune.TuneConfig(metric="loss", mode="min", num_samples=TRIALS),
    )
    return tuner.fit()


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False)
    best = search(str(Path.cwd())).get_best_result()
    print(f"best loss: {best.metrics['loss']}, take it over: dvc exp apply {best.metrics['rev']}")
