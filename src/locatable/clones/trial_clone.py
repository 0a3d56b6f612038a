"""Reads the user's project for a search, and runs DVC experiments in a clone of it.

    clone = Clone(folder, read_project(root).clone_setup(baseline=commit))
    clone.push("search-7", clone.run("search-7", {"train.lr": 0.1}))

Experiments run one after another in the same process, which saves the start of DVC for each of them.
`dvc exp run --temp` and `dvc queue` are not used because they can lose experiments: all processes that work
in a repository share its stash, while a clone has its own.
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
    """Everything that a worker needs to make its clone.

    Attributes:
        baseline: the commit from which all experiments start.
        url: the URL or folder of the Git repository to clone and to push experiments to.
        subdir: the path of the DVC root in the repository.
        identity: Git's user.name and user.email; an empty value stands for the machine's own setting.
        config: the content of DVC's config.local.
        shared: true if the clone shares the repository and the cache, which are folders on the same machine.
            Otherwise data is transferred by the DVC remote.
    """

    baseline: str
    url: str
    subdir: str
    identity: dict[str, str]
    config: dict[str, Any]
    shared: bool


@dataclass(frozen=True)
class ProjectSetup:
    """The state of a project when a search begins. All paths are relative to the DVC root.

    Attributes:
        top: the root of the Git repository.
        subdir: the path of the DVC root in the repository.
        identity: Git's user.name and user.email; empty values if they are not set.
        config: the content for a clone's config.local, with which the clone finds the cache and the remotes.
        params_files: the content of each file whose values DVC shows as params, by path. If Hydra composes
            params.yaml, this is the composed content.
        composition: how Hydra composes params.yaml; None if Hydra is not enabled.
        groups: the options of each of Hydra's config groups.
        is_composed_anew: true if params.yaml differs from the content that Hydra composes.
        outputs: for each path that a stage writes, true if DVC stores it and false if Git does.
        frozen_outputs: for each path that only a frozen stage writes, the address of that stage.
        metric_files: the metrics files at the top level of a dvc.yaml, which do not belong to a stage.
        modified: the tracked data that differs from the commit.
        persistent: for each output with `persist: true`, the address of its stage, which can continue from
            the last output. Stages that always run are left out, because they replace their output.
        missing: the data that trials start from and that is not in the cache.
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
        """Return the setup of a clone on this machine, for experiments that start from `baseline`."""
        return CloneSetup(
            baseline=baseline,
            url=self.top,
            subdir=self.subdir,
            identity=self.identity,
            config=self.config,
            shared=True,
        )


def read_project(root: Path) -> ProjectSetup:
    """Read the state of a project by DVC.

    Raises:
        ProjectError: DVC cannot read the project; the message says why.
    """
    check_dvc_files(root)
    remember_parsed_yaml()
    # DVC names stages relative to the current folder.
    with chdir(root), open_repo(root) as repo:
        return _project_setup(repo)


def _project_setup(repo: "Repo") -> ProjectSetup:
    from dvc.repo.metrics.show import _collect_top_level_metrics

    root = Path(repo.root_dir)
    outputs: dict[str, bool] = {}
    frozen: dict[str, str] = {}
    persistent: dict[str, str] = {}
    # Trials start from the tracked data and from the outputs with `persist: true`.
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
    # Every trial composes params.yaml again, so use the composed values, not those of an earlier run.
    values = _params_values(repo, root)
    composition = composition_of(repo)
    groups: dict[str, list[str]] = {}
    is_composed_anew = False
    if composition:
        groups = composition.groups()
        composed = composition.compose()
        is_composed_anew = values.get(PARAMS_FILE) != composed
        values[PARAMS_FILE] = composed
    # Start from the user's own config.local, and add the cache and the remotes from all levels of the config.
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
    """Return the content of the files that `dvc params diff` shows or that `vars` in a dvc.yaml names."""
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
        load = LOADERS.get(path.suffix.lower())
        if load and path.is_file():
            files[path.relative_to(root).as_posix()] = load(str(path))
    return files


def missing_on_remote(root: Path) -> list[str]:
    """Return the paths whose data is not on the project's DVC remote.

    Raises:
        ProjectError: the remote cannot be used; the message says why.
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
    # DVC says `deleted` for data that is on the remote and only missing in the local cache.
    return sorted(path for path in states if states[path] != "deleted")


class Clone:
    """A clone in a new folder, in which experiments run.

    Attributes:
        record: the file that describes the running trial. The caller of `run` removes it.
        outputs: the absolute paths of all outputs of stages and of all data that DVC tracks.
        working_folders: the absolute paths of the folders in which stages run, inner ones first.
        submodules: the submodules of the baseline, including nested ones.

    Raises:
        LocatableError: the clone cannot be made; the message says why.
    """

    def __init__(self, folder: Path, setup: CloneSetup) -> None:
        remember_parsed_yaml()
        self.folder = folder
        self.root = folder / setup.subdir
        self.record = folder.with_name(f"{folder.name}{RECORD}")
        self.baseline = setup.baseline
        self.url = setup.url
        self.shared = setup.shared
        # Options with which `git clean` keeps DVC's outputs. The first reset does not need them: the clone is
        # new, and DVC cannot read it before that.
        self._keep_outputs: list[str] = []
        self.working_folders = [self.root]
        self.submodules: list[Submodule] = []
        self._clone(setup)
        # The contents of Git LFS, git-annex and submodules come from the user's checkout if it is on this
        # machine. Otherwise Git fetches submodules from their own URLs.
        user_checkout = Path(self.url) if self.shared else None
        with needing_lfs_contents(user_checkout, self.baseline):
            self.reset()
        fill_in_annex_for_trials(folder, user_checkout)
        if user_checkout:
            self.submodules = checkout_submodules(folder, user_checkout)
        else:
            self.submodules = fetch_submodules(folder)
        # With autostage, DVC's Git library writes an index in which Git can miss a file that changed within
        # the same second.
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
                # Keep only outputs that DVC can restore from the baseline's record. Any other output is
                # removed, so that a stage with `persist: true` does not continue from an earlier trial.
                if out.use_cache and out.hash_info:
                    self._keep_outputs.append(f"--exclude=/{place.relative_to(self.folder).as_posix()}")
            stages = {Path(stage.wdir) for stage in repo.index.stages if stage.cmd}
            self.working_folders = sorted({self.root, *stages}, reverse=True)
            composition = composition_of(repo)
            self._groups = composition.groups() if composition else {}
            if not self.shared:
                repo.pull(allow_missing=True)

    def _clone(self, setup: CloneSetup) -> None:
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        if setup.shared:
            source = Path(setup.url)
            fetch_commit(source, setup.baseline)
            # The Git LFS contents of a trial must outlive this clone: store them in the user's repository.
            lfs_folder = f"--config=lfs.storage={lfs_storage(source)}"
            # Git LFS must not contact the server that the repository names in `.lfsconfig`.
            lfs_url = f"--config=lfs.url={source.as_uri()}"
            make_clone(source, self.folder, "--shared", lfs_folder, lfs_url)
        else:
            make_clone(setup.url, self.folder)
        for name, value in setup.identity.items():
            if value:
                clone_git(self.folder, "config", name, value)

    @contextmanager
    def _repo(self) -> Iterator["Repo"]:
        """Open the clone as a DVC repository, and raise each of DVC's errors as one line."""
        # DVC looks for the pipeline in the current folder.
        with chdir(self.root), open_repo(self.root) as repo:
            yield repo

    def reset(self) -> None:
        """Restore the baseline, so that no trial finds files of an earlier one."""
        (self.folder / ".git/index.lock").unlink(missing_ok=True)  # left by a Git process that was killed
        clone_git(self.folder, "checkout", "--quiet", "--force", "-B", "search", self.baseline)
        # Keep the outputs that DVC restores anyway, so that unchanged data is not copied for every trial.
        # Python itself notices byte code that is out of date.
        keep = ["--exclude=.dvc", "--exclude=__pycache__", *self._keep_outputs]
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
            name: the name of the experiment.
            params: value by key, as in `dvc exp run -S`, but as plain values and not in Hydra's grammar.
            metric_files: files that a stage must write, relative to the DVC root.
            memory: Optuna's state when the trial began, which is stored in the commit message.

        Raises:
            ProjectError: a stage failed, no stage wrote one of the metric files, or the committed params
                differ from `params`.
            GitError: the experiment cannot be committed.
        """
        with self._repo() as repo:
            # DVC updates declared outputs. A metric file that is not an output is the baseline's at first, so
            # remember its state to check that a stage writes it.
            undeclared = {}
            for file in metric_files:
                place = self.root / file
                if not any(place.is_relative_to(output) for output in self.outputs):
                    undeclared[file] = stamp(place)
            composed = write_composed(repo, params)
            self._record_running(name)
            # Replace the outputs of an earlier trial by those of the baseline.
            repo.checkout(force=True, allow_missing=True)
            # Run all pipelines, because metrics and params can belong to one in a subfolder, and the root may
            # not have any.
            repo.reproduce(all_pipelines=True)
            for file, before in undeclared.items():
                if stamp(self.root / file) in (before, None):
                    raise ProjectError(f"{file}: no stage wrote it in this trial")
            new = list(filter(os.path.lexists, possibly_new_files(repo.index.stages)))
            for file in (*undeclared, *composed):
                new.append(str(self.root / file))
        # Commit the same files as `dvc exp run`, without its stash, queue and locks, which take as much time
        # as everything else.
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
        """Write a record of the running trial in the format in which DVC records a running experiment.

        Commands that show what runs now read it.
        """
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
        # Pass the message by standard input: the state of a sampler can be too long for a command argument.
        return clone_git(self.folder, "commit-tree", tree, "-p", self.baseline, text=f"{text}\n")

    def copy_experiment(self, name: str, rev: str, memory: Mapping[str, Any]) -> str | None:
        """Commit the results of an existing experiment as a new one, and return its revision.

        None if the existing experiment is not a trial of this baseline, or not in this clone.
        """
        try:
            parent_and_message = clone_git(self.folder, "log", "-1", "--format=%P %B", rev)
        except GitError:
            return None  # on another machine, the clone only has the experiments that ran in it
        # An experiment that was not made by a search can differ in more than its params.
        if not parent_and_message.startswith(f"{self.baseline} search: "):
            return None
        return self._commit(rev + "^{tree}", experiment_message(name, choices_in(parent_and_message), memory))

    def ref(self, name: str) -> str:
        """Return the Git ref of an experiment of this baseline."""
        return experiment_ref(self.baseline, name)

    def read(self, rev: str, key: str) -> Any:
        """Return the value of `file:dotted.key` in a revision.

        Raises:
            UnreadableError: Git has no such file in the revision, or the file has no such value.
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
        """Push an experiment to the user's repository. An existing experiment of that name is not replaced.

        Raises:
            LocatableError: Git or DVC failed.
        """
        options = ["--quiet", "--no-verify"]
        if self.shared:
            # A push should not run `git gc` or hooks in the user's repository. Hiding the refs of all other
            # experiments keeps Git from listing them, which takes long if there are many.
            hidden = f"-c receive.hideRefs=refs/exps -c 'receive.hideRefs=!{self.ref(name)}'"
            no_hooks = f"-c core.hooksPath={os.devnull}"
            options.append(f"--receive-pack=git -c receive.autogc=false {no_hooks} {hidden} receive-pack")
        else:
            with self._repo() as repo:
                repo.push()
        clone_git(self.folder, "push", *options, self.url, f"{rev}:{self.ref(name)}")

    def has_arrived(self, name: str, rev: str) -> bool:
        """Return whether the user's repository has the experiment at this revision."""
        try:
            return clone_git(self.folder, "ls-remote", self.url, self.ref(name)).startswith(rev)
        except GitError:
            return False


def stamp(file: Path) -> tuple[int, int] | None:
    """Return a value that changes whenever a file is written; None if the file does not exist."""
    try:
        return file.stat().st_ino, file.stat().st_mtime_ns
    except FileNotFoundError:
        return None
