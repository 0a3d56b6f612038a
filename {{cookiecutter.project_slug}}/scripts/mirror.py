"""Show all DVC experiments in MLflow, one run each: `python -m scripts.mirror`, or `locatable mirror`."""

import sys

from locatable.cli import main
from locatable.mlflow import RunContent


def describe(run: RunContent) -> None:
    """Change what MLflow shows of a revision; after a change here, the next mirror describes all runs again.

    `run.name`, `run.tags`, `run.params`, `run.metrics` and `run.artifacts` are yours to change, but for tags
    that begin with `dvc.`; `run.snapshot` and `run.experiment` are there to look at.
    """
    # A name of your own:
    # run.name = f"{run.name} ({run.params['train.model']})"
    # A tag, to filter the table of runs by; text only:
    # run.tags["model"] = run.params["train.model"]
    # One more file of that revision; left out where Git has none there:
    # run.artifacts["notes.md"] = run.snapshot.read("reports/notes.md")


if __name__ == "__main__":
    sys.exit(main(["mirror", *sys.argv[1:]]))
