"""Runs in W&B, written here and sent by `wandb sync wandb/offline-run-*`: config, history, notes, files.

The commit is the id of the run: a project of W&B has each of them once.
"""

import os
import re
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import wandb

from .files import write_files
from .run import TrackedRun

# What W&B refuses in the name of a project.
NOT_IN_PROJECTS = re.compile(r"[/\\#?%:]")
LONGEST_PROJECT = 128
# Nothing of this machine or process: it has nothing to do with the run.
SETTINGS = wandb.Settings(
    mode="offline",
    silent=True,
    console="off",
    symlink=False,
    disable_git=True,
    disable_code=True,
    disable_job_creation=True,
    x_disable_stats=True,
    x_disable_meta=True,
    x_save_requirements=False,
)


class WandB:
    """A folder of offline runs, one for each commit.

    Args:
        folder: of the runs.
        entity: whose they are to be in W&B; empty for the user's own.
        project: of W&B.
    """

    def __init__(self, folder: Path, entity: str, project: str) -> None:
        self._folder = folder
        self._entity = entity or None
        self._project = NOT_IN_PROJECTS.sub("-", project)[:LONGEST_PROJECT]

    def complete_runs(self) -> set[str]:
        """Commits that have a folder here, sent or not; see `Tracker`."""
        return {folder.name.rpartition("-")[2] for folder in self._folder.glob("offline-run-*")}

    def write(self, run: TrackedRun) -> None:
        """Write a run aside, and give its folder its place when it is whole."""
        begun = time.strftime("%Y%m%d_%H%M%S", time.gmtime(run.time // 1000))
        with TemporaryDirectory(dir=self._folder, prefix=".partial-") as name:
            self._write(run, Path(name))
            (written,) = Path(name, "wandb").glob(f"offline-run-*-{run.rev}")
            os.replace(written, self._folder / f"offline-run-{begun}-{run.rev}")

    def _write(self, run: TrackedRun, folder: Path) -> None:
        Path(folder, "wandb").mkdir()  # without it, W&B takes another folder
        session = wandb.init(
            id=run.rev,
            name=run.name,
            notes=run.note,
            entity=self._entity,
            project=self._project,
            group=run.tags.get("dvc.study"),
            config={**run.params, "locatable": {"tags": run.tags, "inputs": run.inputs}},
            dir=str(folder),
            settings=SETTINGS,
        )
        for step, values in run.steps.items():
            session.log(values, step=step)
        files = folder / "files"
        write_files(files, run.artifacts)
        for path in run.artifacts:
            session.save(str(files / path), base_path=str(files), policy="now")
        session.finish(exit_code=0)
