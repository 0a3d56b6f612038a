"""Write the DVC experiments of a project as runs of Aim: params, series, hashes, and files as artifacts.

In the folder of a DVC project; run again, it adds only what is new:

    python aim_runs.py FOLDER
    aim up --repo FOLDER

Aim gives runs ids of its own, and so the commit is in the run: first in its description, last in its tags.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from aim import Repo, Run
from aim.sdk.index_manager import RepoIndexManager

from locatable import TrackedRun, tracked_runs

COMPLETE = "mirror.complete"


def known(repo: Repo) -> set[str]:
    """Return the commits of the runs that say that they are whole."""
    return {run[COMPLETE] for run in repo.iter_runs() if isinstance(run.get(COMPLETE), str)}


def write(run: TrackedRun, repo: Repo, project: str) -> None:
    """Write a run that says last that it is whole; delete what is left of earlier attempts."""
    # Not `list_all_runs`: it answers from memory for half a second.
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
    # What reads Aim's repository without `aim up` sees only what is in its index.
    RepoIndexManager.get_index_manager(repo).index(written.hash)


def fill(written: Run, run: TrackedRun, artifacts: Path) -> None:
    """Write all that a run holds."""
    written.name = run.name
    written["params"] = run.params
    written["inputs"] = run.inputs
    written["dvc"] = run.tags  # `run.tags` of a query means labels
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
