"""A clean clone of a revision, and DVC's view of what is in it.

The user's repository, cache and remote are only ever read.
"""

import contextlib
import os
from copy import copy
from pathlib import Path
from shlex import quote
from typing import Any, Self

import dpath
import networkx as nx
from dvc.config import Config
from dvc.dependency import ParamsDependency
from dvc.fs import localfs
from dvc.repo import Repo
from dvc.stage import PipelineStage

from ..addresses import redact_urls
from ..errors import CannotTryError, ProjectError, UsageError
from ..git import annex as git_annex
from ..git import git, is_shallow, top_folder
from ..git.lfs import NO_FILTER, fetch_command, fill_in, storage
from ..git.partial_clone import fetch_commit
from ..git.submodules import checkout_submodules
from ..git.working_clone import clone_git, make_clone
from ..model import PATTERN
from ..repository.cache import cache_folder
from ..repository.checkout_stages import DeclaredParams, Dependency, Output, Stage
from ..repository.clone_limits import check_dvc_files
from ..repository.dvc_repo import bound_parsed_yaml, commands_of
from ..repository.project import find_project
from ..repository.templates import as_recorded
from .files import load_values

# Settings of remotes that name a server to log in to, in place of the cloud's own.
ENDPOINTS = ("endpointurl", "oss_endpoint")


def project_root() -> Path:
    """The DVC project around the current folder.

    Raises:
        CannotTryError: there is none.
    """
    try:
        return find_project(Path.cwd())
    except UsageError:
        raise CannotTryError("not inside a DVC project: run it in the project's folder") from None


class Checkout:
    """A clean clone of a revision; a context manager.

    Attributes:
        user_top: Git root of the user's checkout.
        user_cache: the user's DVC cache.
        tree: Git root of the clone.
        root: the DVC project in it.
        stages: all stages that have a command, each after those that it depends on.
        outputs: all that a stage writes or a .dvc file tracks.
        params_files: params.yaml, and every params file that a stage declares.
    """

    def __init__(self, project: Path, commit: str, folder: Path, scratch: Path) -> None:
        """Clone a commit.

        Args:
            project: the DVC project in the user's checkout; it can be a subfolder of the Git repository.
            commit: what to check out.
            folder: where to; it must not exist.
            scratch: a folder for DVC's own files and for objects from the remote.
        """
        self.user_top = top_folder(project)
        _check_settings(project)
        settings = Config(str(project / ".dvc"))
        self._own_settings = _own_settings(settings, project)
        self.user_cache = cache_folder(project)
        _clone(self.user_top, commit, folder)
        get = fetch_command(self.user_top, commit)
        self._problems = {
            path: f"this machine has only a Git LFS pointer to {path.relative_to(folder)}: `{get}`"
            for path in fill_in(folder, storage(self.user_top))
        }
        self._problems |= _without_annexed(self.user_top, commit, folder)
        for submodule in checkout_submodules(folder, self.user_top):
            self._problems |= submodule.problems(folder)
        self.tree = folder
        self.root = folder / project.relative_to(self.user_top)
        # The user's own settings know best where data is: credentials, a shared cache, a remote that moved.
        config = {name: dict(settings[name]) for name in ("core", "remote")}
        config["core"] |= {"site_cache_dir": str(scratch), "analytics": False, "autostage": False}
        config["cache"] = {"dir": str(scratch / "cache")}
        bound_parsed_yaml()
        self.repo = Repo(str(self.root), config=config)
        self.stages: list[Stage] = []
        self.outputs: list[Output] = []
        self.params_files = {self.root / "params.yaml"}
        self._dvc_objects: dict[Dependency | Output, Any] = {}
        # DVC names stages and files as seen from the current folder.
        with contextlib.chdir(self.root):
            self._load()

    def _load(self) -> None:
        index = self.repo.index
        for out in index.outs:
            output = _output(out)
            self.outputs.append(output)
            self._dvc_objects[output] = out
        stages = [stage for stage in nx.dfs_postorder_nodes(index.graph) if not stage.is_data_source]
        values = _read_params(stages)
        for stage in stages:
            dependencies = []
            for dep in stage.deps:
                if not isinstance(dep, ParamsDependency):
                    dependency = _dependency(dep)
                    dependencies.append(dependency)
                    self._dvc_objects[dependency] = dep
            params = [_params(dep, values) for dep in stage.deps if isinstance(dep, ParamsDependency)]
            self.params_files.update(declared.path for declared in params)
            self.stages.append(_stage(stage, tuple(dependencies), tuple(params)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.repo.close()

    def dvc_output(self, output: Output) -> Any:
        """DVC's own object of an output, for other modules of this package."""
        return self._dvc_objects[output]

    def exists(self, item: Dependency | Output) -> bool:
        """Whether there is something at the path of a dependency or output that DVC does not ignore."""
        return bool(self._dvc_objects[item].exists)

    def hash_of(self, item: Dependency | Output) -> str | None:
        """The hash of what is at the path of a dependency or output now; None where nothing is."""
        # For DVC a link to nowhere exists, and cannot be hashed.
        if not self.exists(item) or not item.path.exists():
            return None
        found: str | None = self._dvc_objects[item].get_hash().value
        return found

    def missing_content(self, item: Dependency) -> str:
        """Why a dependency is not as recorded and what to do, where Git alone does not hold its content."""
        for path, problem in self._problems.items():
            is_part = item.path.is_relative_to(path) or path.is_relative_to(item.path)
            if is_part and self.hash_of(item) != item.recorded:
                return problem
        return ""

    def missing_contents(self) -> dict[str, str]:
        """Why the clone lacks the content of a path and what to do, by the path from the Git root."""
        return {str(path.relative_to(self.tree)): problem for path, problem in self._problems.items()}

    def remote_of(self, output: Output) -> str:
        """Return the address of the remote that has the data of an output; empty where none is set."""
        out = self._dvc_objects[output]
        name = out.remote or self.repo.config["core"].get("remote")
        settings = self.repo.config["remote"].get(name, {})
        return redact_urls(settings.get("url", ""))

    def check_endpoint(self, name: str | None) -> None:
        """See that a remote sends the user's credentials to nobody whom a repository chose.

        Args:
            name: of the remote, None for the default.

        Raises:
            CannotTryError: its settings in Git name a server, and the user's own do not.
        """
        name = name or self.repo.config["core"].get("remote")
        given = self._own_settings.get(name, {})
        for option in ENDPOINTS:
            server = self.repo.config["remote"].get(name, {}).get(option)
            if server and server != given.get(option):
                raise CannotTryError(
                    f"this repository has your credentials for the DVC remote {name!r} sent to "
                    f"{redact_urls(server)}: if you trust it, `dvc remote modify --local {name} {option} "
                    f"{redact_urls(server)}`"
                )

    def files_in(self, folder: Path) -> list[Path]:
        """All files in a folder of the clone, without those that .dvcignore excludes."""
        return [Path(path) for path in self.repo.dvcignore.find(localfs, str(folder))]


def _own_settings(settings: Config, project: Path) -> dict[str, Any]:
    """Return the remotes as the user's own settings have them, by name, without what Git keeps."""
    levels = ["system", "global"]
    # Somebody can have committed what is meant to stay on a machine.
    if not git(project, "ls-files", ".dvc/config.local", settings={"core.fsmonitor": "false"}):
        levels.append("local")
    remotes: dict[str, Any] = {}
    for level in levels:
        for name, values in settings.load_one(level).get("remote", {}).items():
            remotes[name] = {**remotes.get(name, {}), **values}
    return remotes


def _check_settings(project: Path) -> None:
    """See that DVC's settings are there, which say where data is."""
    try:
        check_dvc_files(project, ".dvc/")
    except ProjectError as error:
        raise CannotTryError(error.message) from None


def _clone(top: Path, commit: str, folder: Path) -> None:
    # `--shared`: no object is copied, and experiments are found although a clone has no refs of them.
    # Nor does it matter what this user has Git ignore everywhere: DVC refuses a dvc.lock that Git ignores.
    fetch_commit(top, commit)
    make_clone(top, folder, "--shared", f"--config=core.excludesFile={os.devnull}")
    if is_shallow(top):
        # With a clone of it Git shares no objects, and copies those of branches alone.
        clone_git(folder, "fetch", "--quiet", "--no-tags", "--update-shallow", str(top), commit)
    # Git LFS could download, and write to the user's storage.
    clone_git(folder, "checkout", "--quiet", "--detach", commit, settings=NO_FILTER)


def _without_annexed(top: Path, commit: str, clone: Path) -> dict[Path, str]:
    """Have contents in place of what git-annex keeps; returns what is not here and what to do, by path."""
    common = top / git(top, "rev-parse", "--git-common-dir")
    is_current = git(top, "rev-parse", "HEAD") == commit
    problems = {}
    for path, key in git_annex.fill_in(clone, common).items():
        name = path.relative_to(clone)
        get = f"git annex get {quote(str(name) if is_current else f'--key={key}')}"
        problems[path] = f"git-annex has no content of {name} on this machine: `{get}`"
    return problems


def _name(item: Any) -> str:
    """What DVC calls an output or dependency; beside the project, not by the place of the clone."""
    top = Path(item.repo.scm.root_dir)
    if item.is_in_repo or not Path(item.fs_path).is_relative_to(top):
        return str(item)
    return os.path.relpath(str(item.fs_path), str(item.repo.root_dir))


def _output(out: Any) -> Output:
    return Output(
        path=Path(out.fs_path),
        name=_name(out),
        recorded=out.hash_info.value,
        cached=out.use_cache,
        in_project=out.is_in_repo,
        persistent=out.persist,
        size=out.meta.size,
    )


def _dependency(dep: Any) -> Dependency:
    return Dependency(
        path=Path(dep.fs_path), name=_name(dep), recorded=dep.hash_info.value, in_project=dep.is_in_repo
    )


def _keys(dep: ParamsDependency) -> tuple[str, ...]:
    """The keys that a stage declares, in the place of each pattern those that match it."""
    names = [str(name) for name in dep.params]
    if all(PATTERN.isdisjoint(name) for name in names) or not dep.exists:
        return tuple(names)
    content = load_values(Path(dep.fs_path))
    keys: list[str] = []
    for name in names:
        matching = (
            [] if PATTERN.isdisjoint(name) else dpath.search(content, name, yielded=True, separator=".")
        )
        keys += [str(key) for key, _ in matching] or [name]
    return tuple(keys)


def _read_params(stages: list[Any]) -> dict[tuple[str, bool], dict[str, Any]]:
    """Values by key of all params that stages declare, by file, and whether keys of it are declared.

    DVC would read a file anew for each stage, which takes a quarter of a second for 50 KB.
    """
    files: dict[tuple[str, bool], ParamsDependency] = {}
    keys: dict[tuple[str, bool], dict[str, None]] = {}
    for stage in stages:
        for dep in stage.deps:
            if isinstance(dep, ParamsDependency):
                place = (dep.fs_path, bool(dep.params))
                files[place] = copy(dep)
                keys.setdefault(place, {}).update(dict.fromkeys(dep.params))
    values = {}
    for place, dep in files.items():
        dep.params = list(keys[place])
        values[place] = dep.read_params()
    return values


def _params(dep: ParamsDependency, values: dict[tuple[str, bool], dict[str, Any]]) -> DeclaredParams:
    current = values[dep.fs_path, bool(dep.params)]
    keys = _keys(dep)
    if keys:
        current = {key: current[key] for key in keys if key in current}
    return DeclaredParams(
        path=Path(dep.fs_path),
        name=_name(dep),
        keys=keys,
        recorded=dep.hash_info.value or _recorded_params(dep),
        current=as_recorded(current),
        in_project=dep.is_in_repo,
    )


def _recorded_params(dep: ParamsDependency) -> dict[str, Any]:
    """Return what `dvc.lock` records of a params file that `dvc.yaml` calls by another path than the lock.

    DVC writes `my.yaml` for `./my.yaml`, and does not find it again.
    """
    if not isinstance(dep.stage, PipelineStage):
        return {}
    locked = dep.stage.dvcfile.lockfile_contents.get("stages", {}).get(dep.stage.name, {})
    values: dict[str, Any] = locked.get("params", {}).get(dep.dumpd()[dep.PARAM_PATH]) or {}
    return {key: value for key, value in values.items() if not dep.params or key in dep.params}


def _stage(stage: Any, dependencies: tuple[Dependency, ...], params: tuple[DeclaredParams, ...]) -> Stage:
    commands = commands_of(stage)
    if not isinstance(stage.cmd, list):
        commands = stage.cmd.splitlines()
    return Stage(
        address=stage.addressing,
        name=stage.name or stage.addressing,
        commands=tuple(commands),
        folder=Path(stage.wdir),
        pipeline=Path(stage.path),
        dependencies=dependencies,
        params=params,
        outputs=tuple(_output(out) for out in stage.outs),
        frozen=stage.frozen,
        command_changed=stage.cmd_changed,
    )
