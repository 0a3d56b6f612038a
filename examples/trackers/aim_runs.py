"""Write the DVC experiments of a project as runs of Aim: params, series, hashes, and files as artifacts.

In the folder of a DVC project (repeat the first command to add new experiments):

    python aim_runs.py FOLDER
    aim up --repo FOLDER

Aim assigns its own ids to runs. So each run holds its commit: first in the description and, when the run is
complete, also as `mirror.complete`.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from aim import Repo, Run
from aim.sdk.index_manager import RepoIndexManager

from locatable import TrackedRun, tracked_runs

COMPLETE = "mirror.complete"


def known(repo: Repo) -> set[str]:
    """Return the commits of the complete runs."""
    return {run[COMPLETE] for run in repo.iter_runs() if isinstance(run.get(COMPLETE), str)}


def write(run: TrackedRun, repo: Repo, project: str) -> None:
    """Delete incomplete runs of the same commit, write a run, and then mark it as complete."""
    # Do not use `list_all_runs`, which answers from a cache for half a second.
    for earlier in list(repo.structured_db.runs()):
        if (earlier.description or "").startswith(run.rev):
            repo.delete_run(earlier.hash)
    written = Run(repo=repo, experiment=project, system_tracking_interval=None, capture_terminal_logs=False)
    try:
        written.description = f"{run.rev}\n\n{run.note}"
        fill(written, run, Path(repo.path, "artifacts"))
        written[COMPLETE] = run.rev
    finally:
        written.close()
    # Programs that read Aim's repository without `aim up` see only the runs in its index.
    RepoIndexManager.get_index_manager(repo).index(written.hash)


def fill(written: Run, run: TrackedRun, artifacts: Path) -> None:
    """Write the content of a run."""
    written.name = run.name
    written["params"] = run.params
    written["inputs"] = run.inputs
    written["dvc"] = run.tags  # In Aim's queries, `run.tags` stands for labels.
    for point in run.points:
        written.track(point.value, point.key, point.step)
    written.set_artifacts_uri(artifacts.as_uri())
    with TemporaryDirectory() as folder:
        for path, content in run.artifacts.items():
            file = Path(folder, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            written.log_artifact(str(file), path, block=True)


if __name__ == "__main__":
    folder = Path(sys.argv[1]).resolve()
    if not folder.exists():
        folder.mkdir(parents=True)
        for hidden in (".gitignore", ".dvcignore"):
            Path(folder, hidden).write_text("*\n")
    repo = Repo.from_path(str(folder), init=True)
    for run in tracked_runs(known=known(repo)):
        write(run, repo, Path.cwd().name)
        print(f"wrote {run.name}")
