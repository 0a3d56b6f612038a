"""The stages of a revision or a checkout as DVC's own loader reads them, for orchestrators and `declare`.

from locatable import pipeline
for address, stage in pipeline("HEAD").stages.items():
    print(address, stage.commands, stage.needs)
"""

from collections.abc import Iterable, Sequence
from contextlib import chdir, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import networkx as nx
from dvc.config import Config
from dvc.dependency import ParamsDependency
from dvc.repo import Repo
from dvc.scm import RevError
from dvc.stage import PipelineStage
from dvc.stage import Stage as DvcStage
from dvc.stage.exceptions import StageFileDoesNotExistError, StageNotFound

from ..errors import NotFoundError
from ..model import Output, Stage
from . import find_project
from .dvc_repo import commands_of, open_repo, path_in_project


@dataclass(frozen=True)
class Pipeline:
    """The data to fetch and the stages to run for a rebuild.

    Attributes:
        rev: the commit that the pipeline was read from; empty for a checkout.
        sources: paths of the `.dvc` files with source data.
        stages: all stages by their DVC address (`train`, `pipelines/a/dvc.yaml:train@x`), each after the
            stages that it needs.
    """

    rev: str
    sources: list[str]
    stages: dict[str, Stage]


def pipeline(rev: str = "HEAD", repo: str | Path = ".") -> Pipeline:
    """Return the stages of a revision, their commands and dependencies.

    DVC reads them from Git, without a checkout.

    Args:
        rev: a Git revision, or the name of an experiment.
        repo: a folder of the repository.

    Raises:
        UsageError: the folder is not in a DVC project.
        NotFoundError: there is no such revision.
        ProjectError: DVC cannot read the pipeline.
    """
    return read_pipeline(find_project(Path(repo)), [], rev)


def read_pipeline(root: Path, targets: Iterable[str], rev: str | None = None) -> Pipeline:
    """Return the target stages and all stages that these need, as DVC reads them.

    Args:
        root: the root of a DVC project.
        targets: stages, in the form that `dvc repro` takes in the root; if empty, all stages of the project.
        rev: a Git revision, or the name of an experiment; None for the checkout.

    Raises:
        NotFoundError: there is no such revision.
        ProjectError: there is no such stage, or DVC cannot read the pipeline.
    """
    # DVC resolves the targets relative to the working directory.
    with chdir(root), open_repo(root) as repo:
        try:
            with repo.switch(rev) if rev else nullcontext("") as commit:
                return _pipeline(repo, commit, list(targets))
        except RevError:
            raise NotFoundError(f"{rev}: neither a Git revision nor an experiment in {root}") from None


def _pipeline(repo: Repo, commit: str, targets: list[str]) -> Pipeline:
    """Collect the targets, and all stages that they need, from DVC's graph; without targets, all stages."""
    # Each edge leads from a stage to a stage that it needs.
    graph = repo.index.graph
    needed = set() if targets else set(graph)
    for target in targets:
        for stage in repo.stage.collect(target):
            needed |= {stage, *nx.descendants(graph, stage)}
    sources = []
    stages = {}
    for stage in nx.dfs_postorder_nodes(graph):
        if stage not in needed:
            continue
        if stage.cmd:
            needs = tuple(_address(other) for other in graph.successors(stage) if other.cmd)
            stages[_address(stage)] = replace(declared_stage(repo, stage), needs=needs)
        else:
            sources.append(_address(stage))
    return Pipeline(commit, sources, stages)


def _address(stage: DvcStage) -> str:
    """Return a stage's DVC address in the root. DVC's `addressing` is relative to the working directory."""
    path: str = stage.path_in_repo
    name = getattr(stage, "name", None)  # None for a `.dvc` file
    if name is None:
        return path
    return name if path == "dvc.yaml" else f"{path}:{name}"


def has_default_remote(root: Path) -> bool:
    """Return whether a project has a default remote, to which `dvc push` can push."""
    return bool(Config(str(root / ".dvc"))["core"].get("remote"))


# The stages of each entry in the `stages` section of a dvc.yaml: one, or several from `foreach` or `matrix`.
# The key has the path of the dvc.yaml and the name of the entry.
Entries = dict[tuple[str, str], list[Stage]]


@dataclass(frozen=True)
class Declarations:
    """The declarations in the dvc.yaml files of a checkout.

    Attributes:
        project: the root of the project.
        entries: the requested entries, in DVC's order.
        outputs: paths of the outputs of all stages of the project, requested or not.
    """

    project: Path
    entries: Entries
    outputs: frozenset[str]


def read_declarations(folder: Path, names: Sequence[str] = ()) -> Declarations:
    """Return the declared stages of a project, as DVC reads them.

    Args:
        folder: any folder of the project.
        names: stages, in the form that `dvc repro` takes, relative to the working directory; if empty, all
            stages of the project.

    Raises:
        NotFoundError: there is no stage with one of the names.
        ProjectError: the folder is not in a DVC project, or DVC cannot read one of its files.
    """
    with open_repo(folder) as repo:
        stages = repo.index.stages
        root = Path(repo.root_dir)
        requested = set()
        for name in names:
            try:
                requested |= {_entry(stage, root) for stage in repo.stage.collect(name)}
            except (StageNotFound, StageFileDoesNotExistError) as error:
                raise NotFoundError(f"{name}: no such stage; `dvc stage list --all` names them") from error
        entries: Entries = {}
        for stage in stages:
            entry = _entry(stage, root)
            if entry and (not names or entry in requested):
                entries.setdefault(entry, []).append(declared_stage(repo, stage))
        return Declarations(root, entries, frozenset(_paths(repo, repo.index.outs)))


def _entry(stage: object, root: Path) -> tuple[str, str] | None:
    """Return the dvc.yaml and the name of the entry that declares a stage; None for a `.dvc` file."""
    if not isinstance(stage, PipelineStage):
        return None
    return Path(stage.path).relative_to(root).as_posix(), str(stage.raw_data.generated_from or stage.name)


def declared_stage(repo: Repo, stage: DvcStage) -> Stage:
    """Convert a DVC stage into a `Stage`, without params and records."""
    deps = [dep for dep in stage.deps if not isinstance(dep, ParamsDependency)]
    outs = {path: Output(path) for path in _paths(repo, stage.outs)}
    return Stage(
        address=_address(stage),
        folder=repo.fs.relpath(stage.wdir, repo.root_dir),
        cmd=commands_of(stage),
        deps=_paths(repo, deps),
        outs=outs,
    )


def _paths(repo: Repo, items: Iterable[Any]) -> tuple[str, ...]:
    """Return the paths of DVC outputs or dependencies, relative to the DVC root."""
    return tuple(path_in_project(repo, item) for item in items)
