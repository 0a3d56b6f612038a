"""Write the DVC experiments of a project as offline experiments of Comet; the commit is the experiment's key.

In the folder of a DVC project (the first command writes new experiments, the second one uploads them):

    python comet_experiments.py WORKSPACE/PROJECT
    comet upload .cometml-runs/*.zip
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import comet_ml

from locatable import TrackedRun, tracked_runs

FOLDER = Path(".cometml-runs")
# Log nothing about this machine or process, because the experiment ran elsewhere.
SETTINGS = {
    "log_code": False,
    "log_graph": False,
    "auto_param_logging": False,
    "auto_metric_logging": False,
    "auto_output_logging": False,
    "parse_args": False,
    "log_env_details": False,
    "log_git_metadata": False,
    "log_git_patch": False,
    "display_summary_level": 0,
}


def known() -> set[str]:
    """Return the commits that have a complete archive here, uploaded or not."""
    return {file.stem for file in FOLDER.glob("*.zip")}


def write(run: TrackedRun, workspace: str, project: str) -> None:
    """Write an archive to a temporary folder, and move it to FOLDER when it is complete."""
    with TemporaryDirectory(dir=FOLDER, prefix=".partial-") as name:
        experiment = comet_ml.OfflineExperiment(
            workspace=workspace or None,
            project_name=project,
            offline_directory=name,
            experiment_key=run.rev,
            **SETTINGS,
        )
        experiment.set_name(run.name)
        for key, value in run.params.items():
            experiment.log_parameter(key, value)
        for point in run.points:
            experiment.log_metric(point.key, point.value, step=point.step)
        for key, text in (run.tags | run.inputs).items():
            experiment.log_other(key, text)
        for path, content in {"note.md": run.note.encode(), **run.artifacts}.items():
            experiment.log_asset_data(content, name=path)
        experiment.end()
        Path(name, f"{run.rev}.zip").rename(FOLDER / f"{run.rev}.zip")


if __name__ == "__main__":
    workspace, _, project = sys.argv[1].rpartition("/")
    FOLDER.mkdir(exist_ok=True)
    for hidden in (".gitignore", ".dvcignore"):
        Path(FOLDER, hidden).write_text("*\n")
    for run in tracked_runs(known=known()):
        write(run, workspace, project)
        print(f"wrote {run.name}")
