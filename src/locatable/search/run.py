"""One call of `locatable search`: planned, which changes nothing, and then run before a person at a terminal.

plan = plan_search(root, settings, options)
search = Search(plan, observer)
search.start()
try:
    search.run()
finally:
    search.finish()
"""

import os
import platform
import shutil
import signal
import sys
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from types import FrameType
from typing import Any

from filelock import FileLock
from tqdm import tqdm

from ..addresses import sqlite_url
from ..clones.processes import kill_processes
from ..clones.project_setup import ProjectSetup, read_project
from ..clones.trial_clone import CloneSetup
from ..errors import GitError, ProjectError
from ..git import git, leave_out, top_folder
from ..repository.reader import Reader
from ..results.processor import write_processor
from ..results.staleness import differences, remedy, summary
from .git_trials import GitRemote, GitTrials
from .local_backend import LocalBackend, study_folder
from .messages import Failed
from .pool import Backend, Observer, Pool
from .sampling import dry_run
from .settings import SearchSettings, check
from .study import ReconcilePlan, SearchStudy, open_study


@dataclass(frozen=True)
class SearchOptions:
    """The options of one call, beside search.yaml.

    Attributes:
        trials: how many to have complete or pruned in the end, earlier ones included.
        workers: how many run at a time; None for one here, or as many as a cluster has room for.
        deadline: none is begun when `time.monotonic()` has passed it.
        storage: any URL that Optuna takes; None for a file of this project.
        ray: address of a cluster to run them on; None for this machine.
        allow_stale: begin even from a commit whose results are not of its files.
    """

    trials: int
    workers: int | None = None
    deadline: float = float("inf")
    storage: str | None = None
    ray: str | None = None
    allow_stale: bool = False


@dataclass(frozen=True)
class SearchPlan:
    """A search that can begin.

    Attributes:
        root: the project.
        settings: search.yaml.
        options: of this call.
        project: as DVC reads it.
        baseline: commit that trials start from.
    """

    root: Path
    settings: SearchSettings
    options: SearchOptions
    project: ProjectSetup
    baseline: str

    @property
    def clone_setup(self) -> CloneSetup:
        """The setup of the clones of workers on this machine."""
        return self.project.clone_setup(self.baseline)

    @property
    def folder(self) -> Path:
        """The folder for the clones of workers on this machine."""
        return (study_folder(self.root) / self.settings.study).resolve()

    @property
    def remarks(self) -> list[str]:
        """Lines about what is peculiar to all trials of this project."""
        lines = [
            f"{stage} finds its own last output (persist: true): "
            f"every trial starts with the baseline's {path}"
            for path, stage in self.project.persistent.items()
        ]
        if self.project.is_composed_anew:
            lines.append(
                "Hydra composes params.yaml anew for every trial, as in `dvc exp run`: "
                "the one that is there has other values"
            )
        return lines

    @property
    def own_storage(self) -> Path:
        """The file of Optuna's database, if no other storage is asked for."""
        return self.root / "optuna.db"

    @property
    def storage(self) -> str:
        """The URL of Optuna's storage."""
        return self.options.storage or sqlite_url(self.own_storage)

    @property
    def owner(self) -> str:
        """Marks the trials that this project, on this machine, runs.

        A storage that was named can also have trials of other machines; the project's own moves with it.
        """
        return f"{platform.node()}:{self.root}" if self.options.storage else "this project"


def plan_search(root: Path, settings: SearchSettings, options: SearchOptions) -> SearchPlan:
    """Check that a search can begin; nothing is changed.

    Raises:
        SettingsError: search.yaml does not fit the project.
        ProjectError: the project is not in a state to begin from.
        GitError: Git does not work in this repository.
    """
    # Where Git refuses a repository, it says why in a line, and DVC ends with a traceback.
    top_folder(root)
    project = read_project(root)
    check(settings, project)
    # A sampler can be a module of the project. Last, so that no file of it hides a module of ours.
    if str(root) not in sys.path:
        sys.path.append(str(root))
    dry_run(settings, project.params_files)
    if project.missing and not options.ray:
        raise ProjectError(f"not in DVC's cache: {', '.join(project.missing)}; dvc pull")
    baseline = _committed_baseline(root, project.modified)
    if not options.allow_stale:
        _refuse_stale(root, baseline)
    return SearchPlan(root, settings, options, project, baseline)


def _refuse_stale(root: Path, baseline: str) -> None:
    """Raise ProjectError where each trial would run more than its own stages."""
    with Reader(root) as reader:
        found = differences(reader.snapshot(baseline))
    if found:
        raise ProjectError(
            f"the results of HEAD are not of its files: {summary(found)}; {remedy(found)}, "
            "or every trial runs these stages again (--allow-stale)"
        )


def _committed_baseline(root: Path, modified_data: list[str]) -> str:
    """Return the last commit, which trials start from; refuse changes that it does not have."""
    try:
        baseline = git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    except GitError:
        raise ProjectError("nothing is committed yet: trials start from a commit") from None
    # Whatever settings of the user, or of .gitmodules, say.
    options = ("--name-only", "--no-relative", "--ignore-submodules=untracked")
    changed = git(root, "diff", *options, "HEAD").splitlines()
    if changed:
        raise ProjectError(
            f"not committed: {', '.join(changed)}; commit or stash first, since trials start from HEAD"
        )
    if modified_data:
        raise ProjectError(
            f"data not as committed: {', '.join(modified_data)}; "
            "`dvc commit` it and commit the change in Git, or `dvc checkout` it"
        )
    return baseline


class Search:
    """A search that runs.

    Args:
        plan: what to do.
        observer: told of what a person wants to know.

    Raises:
        ProjectError: the Git remote, the DVC remote or the cluster cannot be used.
        StoreError: Optuna's storage cannot be used.
        SettingsError: the study is not one of this search.yaml.
    """

    def __init__(self, plan: SearchPlan, observer: Observer) -> None:
        self.plan = plan
        self._observer = observer
        remote = GitRemote(plan.root, plan.settings.study) if plan.options.ray else None
        self._backend = _backend(plan, remote)
        # What a killed search left. Git is asked only then: its worker could still be pushing a trial.
        self._remove_clones()
        # Optuna creates its tables in several steps, which two searches must not do at once.
        with FileLock(study_folder(plan.root) / "studies.lock"):
            study = open_study(plan.settings, plan.storage)
        if not plan.options.storage:
            leave_out(plan.own_storage)
        git_trials = GitTrials(plan.root, plan.settings, remote)
        self.study = SearchStudy(study, plan.settings, plan.project.params_files, git_trials, plan.owner)

    def start(self) -> ReconcilePlan:
        """Bring the study to what Git knows, and set its sampler; returns what was done."""
        done = self.study.reconcile()
        self.study.configure()
        return done

    @cached_property
    def pool(self) -> Pool:
        """The workers and their trials; used after `start`."""
        record = partial(write_processor, self.plan.root)
        return Pool(self.study, self._backend, self._observer, record)

    def run(self) -> None:
        """Run trials until there are enough.

        Raises:
            ProjectError: it cannot go on; the message says why.
        """
        self.pool.run(self.plan.options.trials, self.plan.options.deadline)

    def finish(self) -> None:
        """Remove the clones, and bring the study to what Git knows."""
        self._remove_clones()
        self.study.reconcile()

    def _remove_clones(self) -> None:
        kill_processes(self.plan.folder)
        shutil.rmtree(self.plan.folder, ignore_errors=True)


def _backend(plan: SearchPlan, remote: GitRemote | None) -> Backend:
    workers = plan.options.workers
    if remote is None or plan.options.ray is None:
        return LocalBackend(plan.clone_setup, plan.folder, workers or 1)
    # Imported here: the others do without Ray.
    from .ray_backend import RayBackend, connect

    remote.check()
    connect(plan.options.ray, plan.root)
    return RayBackend(plan.clone_setup, plan.settings.resources, workers, remote)


def make_folder(folder: Path) -> Path:
    """Create the folder of a search's report; Git ignores it, since all in it can be created again."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder.parent / ".gitignore").write_text("*\n")
    return folder


def write_failure(folder: Path, experiment: str, failed: Failed) -> Path:
    """Keep the last output of a failed trial; return the file.

    Args:
        folder: of the search's report.
        experiment: name of the trial's experiment.
        failed: what the worker said.
    """
    place = make_folder(folder) / "failed"
    place.mkdir(exist_ok=True)
    path = place / f"{experiment}.txt"
    parts = [failed.log, failed.error, failed.remark]
    path.write_text("\n\n".join(part for part in parts if part) + "\n", encoding="utf-8")
    return path


class Terminal:
    """Shows the progress of a search as a bar, with other lines above it, on the standard error.

    It is a context manager.

    Args:
        folder: of the report, for the output of failed trials.
        trials: how many are wanted.
    """

    def __init__(self, folder: Path, trials: int) -> None:
        self._folder = folder
        self._trials = trials
        self._bar: tqdm[Any] | None = None

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def progress(self, finished: int, best: float | None) -> None:
        """Move the bar."""
        if self._bar is None:
            # Earlier trials do not count for the speed.
            done = min(finished, self._trials)
            self._bar = tqdm(total=self._trials, initial=done, unit="trial", disable=None)
        if best is not None:
            self._bar.set_postfix_str(f"best {best:.6g}", refresh=False)
        self._bar.update(finished - self._bar.n)

    def trial_failed(self, experiment: str, failed: Failed) -> None:
        """Keep the last output of a failed trial, and show the line that says most."""
        path = write_failure(self._folder, experiment, failed)
        place = os.path.relpath(path)
        remark = f"; {failed.remark}" if failed.remark else ""
        self.notice(f"{experiment} failed: {_most_telling_line(failed)}{remark} (more in {place})")

    def notice(self, text: str) -> None:
        """Show a line."""
        tqdm.write(text, file=sys.stderr)


def _most_telling_line(failed: Failed) -> str:
    """Return the line that says most about why a trial failed."""
    # A stage that failed has said more about it than DVC does; if it ran, and said anything.
    last_line = failed.log.strip().rpartition("\n")[2]
    if failed.error.startswith("failed to reproduce") and last_line:
        return last_line
    return failed.error.partition("\n")[0]


def stop_on_signals(pool: Pool) -> None:
    """Have Ctrl-C finish the running trials; a second one, or any other signal to end, stops them."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        pool.interrupt(at_once=number != signal.SIGINT)
        if pool.interrupts == 1:
            tqdm.write("Finishing the trials that run; Ctrl-C once more stops them", file=sys.stderr)

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # `nohup` asks for one of them to be ignored.
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupt)
