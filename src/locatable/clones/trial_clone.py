"""What a search must know of the user's project, and a clone of it as a place to run DVC experiments.

    clone = Clone(folder, read_project(root).clone_setup(baseline=commit))
    clone.push("search-7", clone.run("search-7", {"train.lr": 0.1}))

Experiments run one after another, in one warm process. `dvc exp run --temp` and `dvc queue` lose some, since
all processes that work in a repository share one stash; a clone has its own.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import GitError, ProjectError, UnreadableError
from ..git import clone_git, git, make_clone
from ..git.objects import fetch_commit
from ..git.pointers import fill_in_annex_for_trials, lfs_storage, needing_lfs_contents
from ..git.submodules import Submodule, checkout_submodules, fetch_submodules
from ..model import PARAMS_FILE, Key, choices_in, experiment_message, experiment_ref
from ..repository import check_dvc_files
from ..repository.dvc_repo import (
    commands_of,
    open_repo,
    path_in_project,
    possibly_new_files,
    remember_parsed_yaml,
    with_causes,
)
from ..repository.running import RECORD, SEARCH, TaskStatus
from .config import write_local_config
from .params_files import Composition, composition_of, same, write_composed

if TYPE_CHECKING:
    from dvc.repo import Repo

IDENTITY = ("user.name", "user.email")


@dataclass(frozen=True)
class CloneSetup:
    """How to make a clone.

    Attributes:
        baseline: commit that all experiments start from.
        url: Git URL, or folder, of the repository that experiments are pushed to.
        subdir: where in the repository the DVC root is.
        identity: Git's user.name and user.email; empty for those of this machine.
        config: what DVC's config.local has to say.
        shared: repository and cache are folders of this machine; otherwise data goes by the DVC remote.
    """

    baseline: str
    url: str
    subdir: str
    identity: dict[str, str]
    config: dict[str, Any]
    shared: bool


@dataclass(frozen=True)
class ProjectSetup:
    """A project at one moment; all paths are relative to its DVC root.

    Attributes:
        top: root of the Git repository.
        subdir: where in it the DVC root is.
        identity: Git's user.name and user.email; empty where they are not set.
        config: what the config.local of a clone has to say, so that it finds the cache and the remotes.
        params_files: content of each file whose values DVC shows as params, by path; of one that Hydra
            composes, what it composes.
        composition: how Hydra composes params.yaml; None where it does not.
        groups: what can be chosen of each group of Hydra's configuration.
        is_composed_anew: the params.yaml that is there is not what Hydra composes.
        outputs: for each path that a stage writes, whether DVC (not Git) keeps it.
        frozen_outputs: address of the stage that would write a path, if it was not frozen, by path.
        metric_files: metrics at the top level of a dvc.yaml, which are in no stage.
        modified: tracked data that is not as committed.
        persistent: address of the stage that may go on from what it wrote at a path, by path
            (`persist: true`); none that DVC runs every time: these replace what they wrote.
        missing: data that trials start from and the cache does not hold.
    """

    top: str
    subdir: str
    identity: dict[str, str]
    config: dict[str, Any]
    params_files: dict[str, Any]
    composition: Composition | None
    groups: dict[str, list[str]]
    is_composed_anew: bool
    outputs: dict[str, bool]
    frozen_outputs: dict[str, str]
    metric_files: list[str]
    modified: list[str]
    persistent: dict[str, str]
    missing: list[str]

    def clone_setup(self, baseline: str) -> CloneSetup:
        """Return how to clone the project on this machine, for experiments that start from `baseline`."""
        return CloneSetup(
            baseline=baseline,
            url=self.top,
            subdir=self.subdir,
            identity=self.identity,
            config=self.config,
            shared=True,
        )


def read_project(root: Path) -> ProjectSetup:
    """Ask DVC for all of it.

    Raises:
        ProjectError: DVC cannot read the project; the message says why.
    """
    check_dvc_files(root)
    remember_parsed_yaml()
    # DVC names stages as seen from the working folder.
    with chdir(root), open_repo(root) as repo:
        return _project_setup(repo)


def _project_setup(repo: "Repo") -> ProjectSetup:
    from dvc.repo.metrics.show import _collect_top_level_metrics

    root = Path(repo.root_dir)
    outputs: dict[str, bool] = {}
    frozen: dict[str, str] = {}
    persistent: dict[str, str] = {}
    # Trials start from tracked data, and from what persistent outputs hold.
    started_from: list[str] = []
    for stage in repo.index.stages:
        if stage.cmd:
            commands_of(stage)
        for out in stage.outs:
            path = path_in_project(repo, out)
            if not stage.cmd:
                started_from.append(path)
                continue
            if not out.is_in_repo:
                continue
            outputs[path] = out.use_cache
            if stage.frozen:
                frozen[path] = stage.addressing
            if out.persist and out.hash_info:
                started_from.append(path)
                if not stage.always_changed:
                    persistent[path] = stage.addressing
    # What Hydra composes counts, not what its last run left in params.yaml.
    values = _params_values(repo, root)
    composition = composition_of(repo)
    groups: dict[str, list[str]] = {}
    is_composed_anew = False
    if composition:
        groups = composition.groups()
        composed = composition.compose()
        is_composed_anew = values.get(PARAMS_FILE) != composed
        values[PARAMS_FILE] = composed
    # The user's own config.local, with the cache and the remotes as they are in effect.
    config = repo.config.load_one("local")
    config["remote"] = repo.config["remote"]
    config["cache"]["dir"] = repo.cache.local_cache_dir
    status = repo.data_status()
    missing = {path.rstrip("/") for path in status["not_in_cache"]}
    return ProjectSetup(
        top=repo.scm.root_dir,
        subdir=root.relative_to(repo.scm.root_dir).as_posix(),
        identity={name: git(root, "config", "--default", "", name) for name in IDENTITY},
        config=config,
        params_files=values,
        composition=composition,
        groups=groups,
        is_composed_anew=is_composed_anew,
        outputs=outputs,
        frozen_outputs=frozen,
        metric_files=[Path(path).as_posix() for path in _collect_top_level_metrics(repo)],
        modified=status["uncommitted"].get("modified", []),
        persistent=persistent,
        missing=[path for path in started_from if path in missing],
    )


def _params_values(repo: "Repo", root: Path) -> dict[str, Any]:
    """Return content of the files that `dvc params diff` shows, and that `vars` of a dvc.yaml names."""
    from dvc.dependency import ParamsDependency
    from dvc.repo.params.show import _collect_params
    from dvc.utils.serialize import LOADERS

    shown = _collect_params(repo, default_file=ParamsDependency.DEFAULT_PARAMS_FILE)
    paths = {root / path.lstrip("/") for path in shown}
    for stage in repo.index.stages:
        for file in getattr(stage, "tracked_vars", None) or ():
            paths.add(Path(repo.fs.abspath(file)))
    files = {}
    for path in sorted(paths):
        if path.is_file() and path.suffix.lower() in LOADERS:
            files[path.relative_to(root).as_posix()] = LOADERS[path.suffix.lower()](str(path))
    return files


def missing_on_remote(root: Path) -> list[str]:
    """Return data of the project that its DVC remote does not hold.

    Raises:
        ProjectError: the remote cannot be asked; the message says why.
    """
    status = subprocess.run(
        (sys.executable, "-m", "dvc", "status", "--cloud", "--json"),
        cwd=root,
        text=True,
        capture_output=True,
        check=False,
    )
    if status.returncode:
        lines = status.stderr.strip().splitlines() or [f"exit code {status.returncode}"]
        raise ProjectError(f"the DVC remote cannot be used: {lines[0].removeprefix('ERROR: ')}")
    states = json.loads(status.stdout)
    # What is `deleted` there is missing in the cache here only.
    return sorted(path for path in states if states[path] != "deleted")


class Clone:
    """A clone in `folder`, where nothing is yet.

    Attributes:
        record: the file that says which trial runs; whoever has called `run` removes it.
        outputs: what stages write, and what DVC tracks, absolute.
        working_folders: that stages run in, absolute, inner ones first.
        submodules: of the baseline, and theirs.

    Raises:
        LocatableError: it cannot be made; the message says why.
    """

    def __init__(self, folder: Path, setup: CloneSetup) -> None:
        remember_parsed_yaml()
        self.folder = folder
        self.root = folder / setup.subdir
        self.record = folder.with_name(f"{folder.name}{RECORD}")
        self.baseline = setup.baseline
        self.url = setup.url
        self.shared = setup.shared
        # Options of `git clean` that leave what DVC tracks; known when DVC can read the clone.
        self._keep_tracked: list[str] = []
        self.working_folders = [self.root]
        self.submodules: list[Submodule] = []
        self._clone(setup)
        # A folder of this machine is read; for anything else, Git knows where submodules come from.
        here = Path(self.url) if self.shared else None
        with needing_lfs_contents(here, self.baseline):
            self.reset()
        fill_in_annex_for_trials(folder, here)
        self.submodules = checkout_submodules(folder, here) if here else fetch_submodules(folder)
        # DVC's Git library writes an index in which Git can miss what changed within the same second.
        core = {**setup.config.get("core", {}), "autostage": False}
        with self._repo() as repo:
            write_local_config(repo.config, {**setup.config, "core": core})
        self.outputs: list[Path] = []
        with self._repo() as repo:
            for out in repo.index.outs:
                if not out.is_in_repo:
                    continue
                place = Path(out.fs_path)
                self.outputs.append(place)
                # What DVC checks out: no trial finds what its baseline does not record (`persist`).
                if out.use_cache and out.hash_info:
                    self._keep_tracked.append(f"--exclude=/{place.relative_to(self.folder).as_posix()}")
            stages = {Path(stage.wdir) for stage in repo.index.stages if stage.cmd}
            self.working_folders = sorted({self.root, *stages}, reverse=True)
            composition = composition_of(repo)
            self._groups = composition.groups() if composition else {}
            if not self.shared:
                repo.pull(allow_missing=True)

    def _clone(self, setup: CloneSetup) -> None:
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        if setup.shared:
            # What Git LFS keeps of a trial is to outlive this clone.
            fetch_commit(Path(setup.url), setup.baseline)
            lfs = f"--config=lfs.storage={lfs_storage(Path(setup.url))}"
            # Nor does Git LFS ask the server that a repository names in `.lfsconfig`.
            here = f"--config=lfs.url={Path(setup.url).as_uri()}"
            make_clone(Path(setup.url), self.folder, "--shared", lfs, here)
        else:
            make_clone(setup.url, self.folder)
        for name, value in setup.identity.items():
            if value:
                clone_git(self.folder, "config", name, value)

    @contextmanager
    def _repo(self) -> Iterator["Repo"]:
        """Open the clone as DVC's repository; errors of DVC become one line each."""
        # DVC looks for the pipeline in the working folder.
        with chdir(self.root), open_repo(self.root) as repo:
            yield repo

    def reset(self) -> None:
        """Go back to the baseline: no earlier trial leaves anything for a later one to pick up."""
        (self.folder / ".git/index.lock").unlink(missing_ok=True)  # of a Git process that was killed
        clone_git(self.folder, "checkout", "--quiet", "--force", "-B", "search", self.baseline)
        # What DVC tracks stays, to be copied once only: DVC checks it out. Byte code follows the source.
        keep = ["--exclude=.dvc", "--exclude=__pycache__", *self._keep_tracked]
        clone_git(self.folder, "clean", "--quiet", "-fdx", *keep)
        for submodule in self.submodules:
            if not submodule.problem:
                submodule.reset()

    def run(
        self,
        name: str,
        params: Mapping[str, Any],
        metric_files: Iterable[str] = (),
        memory: Mapping[str, Any] | None = None,
    ) -> str:
        """Run an experiment and return its revision.

        Args:
            name: of the experiment.
            params: value by key, as after `-S`, but plain: nothing is read as Hydra's grammar.
            metric_files: files that its stages have to write, as seen from the DVC root.
            memory: what Optuna knew of the trial, for the commit's message.

        Raises:
            ProjectError: a stage failed, no stage wrote one of the metric files, or the experiment has other
                params than were asked for.
            GitError: the experiment cannot be committed.
        """
        with self._repo() as repo:
            # DVC brings declared outputs up to date; all else that a stage writes is the baseline's at first.
            undeclared = {}
            for file in metric_files:
                place = self.root / file
                if not any(place.is_relative_to(output) for output in self.outputs):
                    undeclared[file] = stamp(place)
            composed = write_composed(repo, params)
            self._record_running(name)
            # Outputs that an earlier trial left are not those of the baseline.
            repo.checkout(force=True, allow_missing=True)
            # All pipelines: a metric or a param can be of one in a subfolder, and the root may have none.
            repo.reproduce(all_pipelines=True)
            for file, before in undeclared.items():
                if stamp(self.root / file) in (before, None):
                    raise ProjectError(f"{file}: no stage wrote it in this trial")
            new = list(filter(os.path.lexists, possibly_new_files(repo.index.stages)))
            for file in (*undeclared, *composed):
                new.append(str(self.root / file))
        # All that `dvc exp run` commits, without its stash, queue and locks: they take as long as the rest.
        clone_git(self.folder, "add", "--update")
        clone_git(self.folder, "add", "--force", "--", *new)
        choices = {key: value for key, value in params.items() if key in self._groups}
        rev = self._commit(
            clone_git(self.folder, "write-tree"), experiment_message(name, choices, memory or {})
        )
        for key, value in params.items():
            recorded = value if key in choices else self.read(rev, key)
            if not same(recorded, value):
                raise ProjectError(f"{key}: {value!r} was asked for, but the experiment has {recorded!r}")
        return rev

    def _record_running(self, name: str) -> None:
        """Tell who looks at what runs here of a trial: as DVC does it of an experiment."""
        record = {
            "name": name,
            "baseline_rev": self.baseline,
            "location": SEARCH,
            "root_dir": str(self.folder),
            "dvc_dir": (self.root / ".dvc").relative_to(self.folder).as_posix(),
            "status": TaskStatus.RUNNING,
            "pid": os.getpid(),
            "began": round(1000 * time.time()),
        }
        if not self.shared:
            record["elsewhere"] = f"{socket.gethostname()}:{self.root}"
        self.record.write_text(json.dumps(record), encoding="utf-8")

    def _commit(self, tree: str, text: str) -> str:
        # Samplers can know more than fits into an argument of a command.
        return clone_git(self.folder, "commit-tree", tree, "-p", self.baseline, text=f"{text}\n")

    def copy_experiment(self, name: str, rev: str, memory: Mapping[str, Any]) -> str | None:
        """Return a new revision with all results of an experiment.

        None where that is not one of this baseline.
        """
        try:
            parent_and_message = clone_git(self.folder, "log", "-1", "--format=%P %B", rev)
        except GitError:
            return None  # it is not here: a node has only what it made itself
        # Other experiments with the study's name can differ in more than params.
        if not parent_and_message.startswith(f"{self.baseline} search: "):
            return None
        return self._commit(rev + "^{tree}", experiment_message(name, choices_in(parent_and_message), memory))

    def ref(self, name: str) -> str:
        """Return where DVC keeps an experiment of this baseline."""
        return experiment_ref(self.baseline, name)

    def read(self, rev: str, key: str) -> Any:
        """Return the value of `file:dotted.key` that Git has in a revision.

        Raises:
            UnreadableError: there is none.
        """
        from dvc.exceptions import DvcException
        from dvc.utils.serialize import PARSERS

        place = Key.parse(key)
        try:
            text = clone_git(self.root, "show", f"{rev}:./{place.file}")
        except GitError:
            raise UnreadableError(f"{place.file}: Git has no such file in the experiment") from None
        try:
            return place.value_in(PARSERS[Path(place.file).suffix.lower()](text, place.file))
        except DvcException as error:
            raise UnreadableError(with_causes(error)) from None
        except (LookupError, TypeError, ValueError):
            raise UnreadableError(f"{place.file}: {place.dotted} is missing") from None

    def push(self, name: str, rev: str) -> None:
        """Push an experiment to the user's repository; never over another one of the same name.

        Raises:
            LocatableError: Git or DVC refused.
        """
        options = ["--quiet", "--no-verify"]
        if self.shared:
            # Tidying the user's repository is not our business, nor do we need the list of all experiments.
            hidden = f"-c receive.hideRefs=refs/exps -c 'receive.hideRefs=!{self.ref(name)}'"
            no_hooks = f"-c core.hooksPath={os.devnull}"
            options.append(f"--receive-pack=git -c receive.autogc=false {no_hooks} {hidden} receive-pack")
        else:
            with self._repo() as repo:
                repo.push()
        clone_git(self.folder, "push", *options, self.url, f"{rev}:{self.ref(name)}")

    def has_arrived(self, name: str, rev: str) -> bool:
        """Return whether the user's repository has an experiment."""
        try:
            return clone_git(self.folder, "ls-remote", self.url, self.ref(name)).startswith(rev)
        except GitError:
            return False


def stamp(file: Path) -> tuple[int, int] | None:
    """Return what changes whenever a file is written; None where there is none."""
    try:
        return file.stat().st_ino, file.stat().st_mtime_ns
    except FileNotFoundError:
        return None
