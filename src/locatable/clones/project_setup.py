"""What a search must know of the user's project, as DVC reads it."""

import json
import subprocess
import sys
from collections.abc import Iterable
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ProjectError
from ..git import git
from ..model import PARAMS_FILE
from ..repository.clone_limits import check_dvc_files
from ..repository.dvc_repo import commands_of, open_repo, remember_parsed_yaml
from .hydra import Composition, composition_of
from .trial_clone import CloneSetup

if TYPE_CHECKING:
    from dvc.repo import Repo

IDENTITY = ("user.name", "user.email")


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
    stages = [stage for stage in repo.index.stages if stage.cmd]
    for stage in stages:
        commands_of(stage)
    tracked = [out for stage in repo.index.stages if not stage.cmd for out in stage.outs]
    written = [out for stage in stages for out in stage.outs if out.is_in_repo]
    frozen = [out for out in written if out.stage.frozen]
    persistent = [out for out in written if out.persist and out.hash_info]
    warm_starts = [out for out in persistent if not out.stage.always_changed]
    # What Hydra composes counts, not what its last run left in params.yaml.
    params_files = _params_files(repo, root)
    composition = composition_of(repo)
    composed = {PARAMS_FILE: composition.compose()} if composition else {}
    is_composed_anew = any(params_files.get(file) != content for file, content in composed.items())
    # Trials start from tracked data, and from what persistent outputs hold.
    status = repo.data_status()
    not_in_cache = {path.rstrip("/") for path in status["not_in_cache"]}
    started_from = [_relative(out.fs_path, root) for out in (*tracked, *persistent)]
    return ProjectSetup(
        top=repo.scm.root_dir,
        subdir=_relative(repo.root_dir, Path(repo.scm.root_dir)),
        identity={name: git(root, "config", "--default", "", name) for name in IDENTITY},
        config=_local_config(repo),
        params_files=params_files | composed,
        composition=composition,
        groups=composition.groups() if composition else {},
        is_composed_anew=is_composed_anew,
        outputs={_relative(out.fs_path, root): out.use_cache for out in written},
        frozen_outputs=_stages_by_path(frozen, root),
        metric_files=[Path(path).as_posix() for path in _collect_top_level_metrics(repo)],
        modified=status["uncommitted"].get("modified", []),
        persistent=_stages_by_path(warm_starts, root),
        missing=[path for path in started_from if path in not_in_cache],
    )


def _stages_by_path(outs: Iterable[Any], root: Path) -> dict[str, str]:
    """Return the address of the stage that writes an output, by the output's path."""
    return {_relative(out.fs_path, root): out.stage.addressing for out in outs}


def _local_config(repo: "Repo") -> dict[str, Any]:
    """Return the user's own config.local, with the cache and the remotes as they are in effect."""
    config: dict[str, Any] = repo.config.load_one("local")
    config["remote"] = repo.config["remote"]
    config["cache"]["dir"] = repo.cache.local_cache_dir
    return config


def _params_files(repo: "Repo", root: Path) -> dict[str, Any]:
    """Content of the files that `dvc params diff` shows, and of those that `vars` of a dvc.yaml names."""
    from dvc.dependency import ParamsDependency
    from dvc.repo.params.show import _collect_params
    from dvc.utils.serialize import LOADERS

    shown = _collect_params(repo, default_file=ParamsDependency.DEFAULT_PARAMS_FILE)
    paths = {root / path.lstrip("/") for path in shown}
    for stage in repo.index.stages:
        paths |= {Path(repo.fs.abspath(file)) for file in getattr(stage, "tracked_vars", None) or ()}
    files = {}
    for path in sorted(paths):
        if path.is_file() and path.suffix.lower() in LOADERS:
            files[_relative(str(path), root)] = LOADERS[path.suffix.lower()](str(path))
    return files


def _relative(path: str, folder: Path) -> str:
    return Path(path).relative_to(folder).as_posix()


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
    # What is `deleted` there is missing in the cache here only.
    return sorted(path for path, state in json.loads(status.stdout).items() if state != "deleted")
