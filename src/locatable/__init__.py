"""Where every result of a DVC repository comes from, and how to rebuild it.

The public API, for scripts, notebooks and tests:

    from locatable import read_coordinates
    read_coordinates(".", "HEAD").params.content

To read many revisions, open one `Reader` for all of them:

    from locatable import Reader, coordinates_of
    with Reader(".") as reader:
        experiments = reader.experiments()
        for snapshot in reader.snapshots(experiment.rev for experiment in experiments):
            print(snapshot.rev, coordinates_of(snapshot).data.digest)

An orchestrator needs the stages of a revision, their commands, and which stages each one depends on:

    from locatable import pipeline
    pipeline("HEAD").stages["train"].needs

To run trials that something other than `locatable search` proposes:

    from locatable import TrialRunner
    with TrialRunner(["metrics.json:valid.loss"]) as runner:
        runner.run("mine-0", {"train.rate": 0.1}).values

To send runs to a tracker other than MLflow, skipping the runs it already has (see `examples/trackers`):

    from locatable import tracked_runs
    for run in tracked_runs(".", known={"3f0c..."}):
        print(run.rev, run.params)

Two modules are public as well: `locatable.mlflow`, for a project's own mirroring script, and
`locatable.testing`, for its tests. Everything else can change from one version to the next.

The command line is `locatable --help`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import LocatableError
    from .mlflow.tracked import TrackedRun, tracked_runs
    from .model import Experiment, Stage
    from .repository.pipeline import Pipeline, pipeline
    from .repository.reader import Reader
    from .repository.snapshot import Snapshot
    from .results.coordinates import Coordinate, Coordinates, coordinates_of, read_coordinates
    from .search.local_backend import FinishedTrial, TrialRunner

__version__ = "0.2.0"
__all__ = [
    "Coordinate",
    "Coordinates",
    "Experiment",
    "FinishedTrial",
    "LocatableError",
    "Pipeline",
    "Reader",
    "Snapshot",
    "Stage",
    "TrackedRun",
    "TrialRunner",
    "__version__",
    "coordinates_of",
    "pipeline",
    "read_coordinates",
    "tracked_runs",
]

# Each name is imported on first use, because `locatable --help` needs none of them and should be fast.
_MODULES = {
    "Coordinate": "results.coordinates",
    "Coordinates": "results.coordinates",
    "Experiment": "model",
    "FinishedTrial": "search.local_backend",
    "LocatableError": "errors",
    "Pipeline": "repository.pipeline",
    "Reader": "repository.reader",
    "Snapshot": "repository.snapshot",
    "Stage": "model",
    "TrackedRun": "mlflow.tracked",
    "TrialRunner": "search.local_backend",
    "coordinates_of": "results.coordinates",
    "pipeline": "repository.pipeline",
    "read_coordinates": "results.coordinates",
    "tracked_runs": "mlflow.tracked",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f".{_MODULES[name]}", __name__)
    return getattr(module, name)


def __dir__() -> list[str]:
    return __all__
