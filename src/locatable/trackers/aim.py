"""Runs in an Aim repository: params, tags, series, the note as description, and artifacts.

Aim gives runs ids of its own, and so the commit is in the run: first in its description, last in its tags.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from aim import Repo, Run
from aim.sdk.index_manager import RepoIndexManager

from .files import write_files
from .run import TrackedRun

COMPLETE = "mirror.complete"


class Aim:
    """An Aim repository, as `aim up --repo FOLDER` shows it.

    Args:
        folder: which holds the repository, or will.
        project: Aim calls it the experiment.
    """

    def __init__(self, folder: Path, project: str) -> None:
        self._folder = folder.resolve()
        self._project = project
        self._repo = Repo.from_path(str(self._folder), init=True)

    def complete_runs(self) -> set[str]:
        """Commits of the runs that say so; see `Tracker`."""
        found = set()
        for run in self._repo.iter_runs():
            rev = run.get(COMPLETE)
            if isinstance(rev, str):
                found.add(rev)
        return found

    def write(self, run: TrackedRun) -> None:
        """Write a run that says last that it is complete; delete what is left of earlier attempts."""
        # Not `list_all_runs`: it answers from memory for half a second.
        for earlier in list(self._repo.structured_db.runs()):
            if (earlier.description or "").startswith(run.rev):
                self._repo.delete_run(earlier.hash)
        written = Run(
            repo=self._repo,
            experiment=self._project,
            system_tracking_interval=None,
            capture_terminal_logs=False,
        )
        try:
            written.description = f"{run.rev}\n\n{run.note}"
            self._log(run, written)
            written[COMPLETE] = run.rev
        finally:
            written.close()
        # What reads Aim's repository without `aim up` sees only what is in its index.
        RepoIndexManager.get_index_manager(self._repo).index(written.hash)

    def _log(self, run: TrackedRun, written: Run) -> None:
        written.name = run.name
        written["params"] = run.params
        written["inputs"] = run.inputs
        written["dvc"] = run.tags  # `run.tags` of a query means labels
        for point in run.points:
            written.track(point.value, point.key, point.step)
        written.set_artifacts_uri(Path(self._repo.path, "artifacts").as_uri())
        with TemporaryDirectory() as folder:
            write_files(Path(folder), run.artifacts)
            for path in run.artifacts:
                written.log_artifact(str(Path(folder, path)), path, block=True)
