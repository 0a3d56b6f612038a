"""Write the DVC experiments of a project as offline runs of W&B; the commit is the run's id.

In the folder of a DVC project (the first command writes new runs, the second one uploads them):

    python wandb_runs.py ENTITY/PROJECT
    wandb sync wandb/offline-run-*
"""

import sys
import time
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

import wandb

from locatable import TrackedRun, tracked_runs

FOLDER = Path("wandb")
# Log nothing about this machine or process, because the experiment ran elsewhere.
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


def known() -> set[str]:
    """Return the commits that have a complete run here, uploaded or not."""
    return {folder.name.rpartition("-")[2] for folder in FOLDER.glob("offline-run-*")}


def write(run: TrackedRun, entity: str, project: str) -> None:
    """Write a run to a temporary folder, and move it to FOLDER when it is complete."""
    begun = time.strftime("%Y%m%d_%H%M%S", time.gmtime(run.time // 1000))
    with TemporaryDirectory(dir=FOLDER, prefix=".partial-") as name:
        Path(name, "wandb").mkdir()  # Without this folder, W&B writes elsewhere.
        session = wandb.init(
            id=run.rev,
            name=run.name,
            notes=run.note,
            entity=entity or None,
            project=project,
            group=run.tags.get("dvc.study"),
            config={**run.params, "locatable": {"tags": run.tags, "inputs": run.inputs}},
            dir=name,
            settings=SETTINGS,
        )
        for step, points in groupby(run.points, key=lambda point: point.step):
            session.log({point.key: point.value for point in points}, step=step)
        files = Path(name, "files")
        for path, content in run.artifacts.items():
            file = files / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            session.save(str(file), base_path=str(files), policy="now")
        session.finish(exit_code=0)
        (written,) = Path(name, "wandb").glob(f"offline-run-*-{run.rev}")
        written.rename(FOLDER / f"offline-run-{begun}-{run.rev}")


if __name__ == "__main__":
    entity, _, project = sys.argv[1].rpartition("/")
    FOLDER.mkdir(exist_ok=True)
    for hidden in (".gitignore", ".dvcignore"):
        Path(FOLDER, hidden).write_text("*\n")
    for run in tracked_runs(known=known()):
        write(run, entity, project)
        print(f"wrote {run.name}")
