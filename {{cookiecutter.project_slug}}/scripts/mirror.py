"""Show all DVC experiments in MLflow, one run each: `python -m scripts.mirror`, or `locatable mirror`."""

import sys

from locatable.cli import main
from locatable.mlflow import RunContent


def describe(run: RunContent) -> None:
    """Change what MLflow shows for a revision. After an edit here, the next mirror updates all runs.

    You can change `run.name`, `run.tags`, `run.params`, `run.metrics` and `run.artifacts`, except tags that
    begin with `dvc.`. Read `run.snapshot` and `run.experiment` for more about the revision.
    """
    # A name of your own:
    # run.name = f"{run.name} ({run.params['train.model']})"
    # A tag (always a string) to filter the table of runs by:
    # run.tags["model"] = run.params["train.model"]
    # An additional file of the revision; it is left out if Git has no such file:
    # run.artifacts["notes.md"] = run.snapshot.read("reports/notes.md")


if __name__ == "__main__":
    sys.exit(main(["mirror", *sys.argv[1:]]))
