"""Runs in Comet, written here and sent by `comet upload .cometml-runs/*.zip`: params, metrics, files, others.

The commit is the key of the experiment, and Comet takes each key once.
"""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import comet_ml

from .run import TrackedRun


class Comet:
    """A folder of archives of offline experiments, one for each commit.

    Args:
        folder: of the archives.
        workspace: of Comet, in which the experiments are to be; empty for the user's own.
        project: of Comet.
    """

    def __init__(self, folder: Path, workspace: str, project: str) -> None:
        self._folder = folder
        self._workspace = workspace or None
        self._project = project

    def complete_runs(self) -> set[str]:
        """Commits that have an archive here, sent or not; see `Tracker`."""
        return {file.stem for file in self._folder.glob("*.zip")}

    def write(self, run: TrackedRun) -> None:
        """Write an archive aside, and give it its place when it is whole."""
        with TemporaryDirectory(dir=self._folder, prefix=".partial-") as name:
            experiment = comet_ml.OfflineExperiment(
                project_name=self._project,
                workspace=self._workspace,
                offline_directory=name,
                experiment_key=run.rev,
                # Nothing of this machine or process: it has nothing to do with the run.
                log_code=False,
                log_graph=False,
                auto_param_logging=False,
                auto_metric_logging=False,
                auto_output_logging=False,
                parse_args=False,
                log_env_details=False,
                log_git_metadata=False,
                log_git_patch=False,
                display_summary_level=0,
            )
            _log(run, experiment)
            experiment.end()
            os.replace(Path(name, f"{run.rev}.zip"), self._folder / f"{run.rev}.zip")


def _log(run: TrackedRun, experiment: comet_ml.OfflineExperiment) -> None:
    experiment.set_name(run.name)
    for key, value in run.params.items():
        experiment.log_parameter(key, value)
    for point in run.points:
        experiment.log_metric(point.key, point.value, step=point.step)
    for key, text in (run.tags | run.inputs).items():
        experiment.log_other(key, text)
    for path, content in {"note.md": run.note.encode(), **run.artifacts}.items():
        experiment.log_asset_data(content, name=path)
