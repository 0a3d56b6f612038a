"""One call of `locatable search`: planned, which changes nothing, and then run.

plan = plan_search(root, settings, options)
search = Search(plan, observer)
search.start()
try:
    search.run()
finally:
    search.finish()
"""

import platform
import shutil
import sys
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from filelock import FileLock

from ..addresses import sqlite_url
from ..clones.processes import kill_processes
from ..clones.project_setup import ProjectSetup, read_project
from ..clones.trial_clone import CloneSetup
from ..errors import GitError, ProjectError
from ..git import git, leave_out, top_folder
from ..repository.reader import Reader
from ..results.processor import write_processor
from ..results.staleness import differences, remedy, summary
from .backend import Backend
from .git_trials import GitTrials
from .local_backend import LocalBackend
from .pool import Observer, Pool
from .reconcile import ReconcilePlan
from .remote import GitRemote
from .sampling import dry_run
from .settings import SearchSettings, check
from .study import SearchStudy, open_study


@dataclass(frozen=True)
class SearchOptions:
    """What a call asks for, beside search.yaml.

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
        """How workers of this machine make their clones."""
        return self.project.clone_setup(self.baseline)

    @property
    def folder(self) -> Path:
        """For clones of workers of this machine."""
        return (study_folder(self.root) / self.settings.study).resolve()

    @property
    def remarks(self) -> list[str]:
        """What a person should know of all trials, one line each."""
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
        """Where Optuna's database is if no other storage is asked for."""
        return self.root / "optuna.db"

    @property
    def storage(self) -> str:
        """URL of the study."""
        return self.options.storage or sqlite_url(self.own_storage)

    @property
    def owner(self) -> str:
        """Marks the trials that this project, on this machine, runs.

        A storage that was named can also have trials of other machines; the project's own moves with it.
        """
        return f"{platform.node()}:{self.root}" if self.options.storage else "this project"


def study_folder(root: Path) -> Path:
    """Where a project keeps what its searches need while they run."""
    return root / ".dvc/tmp/search"


def _find_own_modules(root: Path) -> None:
    """Have samplers found that are modules of the project, by whatever command this process was started."""
    if str(root) not in sys.path:
        sys.path.append(str(root))  # last: no file of a project hides a module of ours


def plan_search(root: Path, settings: SearchSettings, options: SearchOptions) -> SearchPlan:
    """See that a search can begin; nothing is changed.

    Raises:
        SettingsError: search.yaml does not fit the project.
        ProjectError: the project is not in a state to begin from.
        GitError: Git does not work in this repository.
    """
    top_folder(root)  # Git says in a line why it refuses a repository, where DVC ends with a traceback
    project = read_project(root)
    check(settings, project)
    _find_own_modules(root)
    dry_run(settings, project.params_files)
    if project.missing and not options.ray:
        raise ProjectError(f"not in DVC's cache: {', '.join(project.missing)}; dvc pull")
    baseline = _committed_baseline(root, project.modified)
    if not options.allow_stale:
        _refuse_stale(root, baseline)
    return SearchPlan(root, settings, options, project, baseline)


def _refuse_stale(root: Path, baseline: str) -> None:
    """Raise ProjectError where DVC would run more than a trial's own stages, again for each trial."""
    with Reader(root) as reader:
        found = differences(reader.snapshot(baseline))
    if found:
        raise ProjectError(
            f"the results of HEAD are not of its files: {summary(found)}; {remedy(found)}, "
            "or every trial runs these stages again (--allow-stale)"
        )


def _committed_baseline(root: Path, modified_data: list[str]) -> str:
    """The last commit, which trials start from: what is not in it would be left out without a word."""
    try:
        baseline = git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    except GitError:
        raise ProjectError("nothing is committed yet: trials start from a commit") from None
    # Whatever the user, or .gitmodules, would rather not see.
    options = ("--name-only", "--no-relative", "--ignore-submodules=untracked")
    changed = git(root, "diff", *options, "HEAD").splitlines()
    if changed:
        raise ProjectError(
            f"not committed: {', '.join(changed)}; commit or stash first, since trials start from HEAD"
        )
    if modified_data:
        raise ProjectError(
            f"data not as committed: {', '.join(modified_data)}; "
            "`dvc add` it and commit, or `dvc checkout` it"
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
        with FileLock(study_folder(plan.root) / "studies.lock"):  # Optuna makes its tables in several steps
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
        """The workers; to be asked for after `start`."""
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
