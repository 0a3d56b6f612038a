"""Stages as DVC's own loader reads them, of a revision or a checkout: what an orchestrator has to know.

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
from ..model import Output, Stage, address_of
from . import find_project
from .dvc_repo import commands_of, open_repo, path_in_project


@dataclass(frozen=True)
class Pipeline:
    """What a rebuild has to fetch and to run, by DVC's addresses (`train`, `pipelines/a/dvc.yaml:train@x`).

    Attributes:
        rev: the commit that it was read from; empty for a checkout.
        sources: `.dvc` files with source data.
        stages: all stages by their address, each after those that it needs.
    """

    rev: str
    sources: list[str]
    stages: dict[str, Stage]


def pipeline(rev: str = "HEAD", repo: str | Path = ".") -> Pipeline:
    """Return stages, commands and edges of a revision, read by DVC from Git: nothing is checked out.

    Args:
        rev: a Git revision, or the name of an experiment.
        repo: a folder of the repository.

    Raises:
        UsageError: there is no DVC project.
        NotFoundError: there is no such revision.
        ProjectError: DVC cannot read the pipeline.
    """
    return read_pipeline(find_project(Path(repo)), [], rev)


def read_pipeline(root: Path, targets: Iterable[str], rev: str | None = None) -> Pipeline:
    """Ask DVC for stages, and for all that they need.

    Args:
        root: of a DVC project.
        targets: stages, as after `dvc repro`; all if there are none.
        rev: a Git revision, or the name of an experiment; None for what is checked out.

    Raises:
        NotFoundError: there is no such revision.
        ProjectError: there is no such stage, or DVC cannot read the pipeline.
    """
    # DVC looks for stages in the working folder.
    with chdir(root), open_repo(root) as repo:
        try:
            with repo.switch(rev) if rev else nullcontext("") as commit:
                return _pipeline(repo, commit, list(targets))
        except RevError:
            raise NotFoundError(f"{rev}: neither a Git revision nor an experiment in {root}") from None


def _pipeline(repo: Repo, commit: str, targets: list[str]) -> Pipeline:
    # Edges lead from a stage to those that it needs.
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
    """Return what DVC calls a stage in the root; its own `addressing` is seen from the working folder."""
    path: str = stage.path_in_repo
    name = getattr(stage, "name", None)  # a `.dvc` file has none
    if name is None:
        return path
    return name if path == "dvc.yaml" else f"{path}:{name}"


def has_default_remote(root: Path) -> bool:
    """Return whether `dvc push` of a project has somewhere to push to."""
    return bool(Config(str(root / ".dvc"))["core"].get("remote"))


# Stages by the dvc.yaml and the key of the entry below `stages` that they are made from: one stage, or as
# many as `foreach` or `matrix` say.
Entries = dict[tuple[str, str], list[Stage]]


@dataclass(frozen=True)
class Declarations:
    """What the stages of a project declare, as it is checked out.

    Attributes:
        project: the project's root.
        entries: those asked for, in DVC's order.
        outputs: paths of what all stages of the project write.
    """

    project: Path
    entries: Entries
    outputs: frozenset[str]


def read_declarations(folder: Path, names: Sequence[str] = ()) -> Declarations:
    """Ask DVC for the stages of the project around a folder.

    Args:
        folder: anywhere in the project.
        names: as `dvc repro` takes them, relative to the working directory; all stages, if there are none.

    Raises:
        NotFoundError: there is no stage of that name.
        ProjectError: there is no DVC project, or DVC cannot read one of its files.
    """
    with open_repo(folder) as repo:
        everything = repo.index.stages
        chosen = set()
        for name in names:
            chosen |= _entries_named(repo, name)
        root = Path(repo.root_dir)
        entries: Entries = {}
        for stage in everything:
            entry = _entry(stage, root)
            if entry and (not names or entry in chosen):
                entries.setdefault(entry, []).append(declared_stage(repo, stage))
        return Declarations(root, entries, frozenset(_paths(repo, repo.index.outs)))


def _entries_named(repo: Repo, name: str) -> set[tuple[str, str]]:
    """Return the entries of the stages that a name stands for."""
    try:
        stages = repo.stage.collect(name)
    except (StageNotFound, StageFileDoesNotExistError) as error:
        raise NotFoundError(f"{name}: no such stage; `dvc stage list --all` names them") from error
    return set(filter(None, (_entry(stage, Path(repo.root_dir)) for stage in stages)))


def _entry(stage: object, root: Path) -> tuple[str, str] | None:
    """Return the dvc.yaml and the key of the entry that a stage is made from; None for a `.dvc` file."""
    if not isinstance(stage, PipelineStage):
        return None
    return Path(stage.path).relative_to(root).as_posix(), str(stage.raw_data.generated_from or stage.name)


def declared_stage(repo: Repo, stage: DvcStage) -> Stage:
    """Return what a stage of DVC's declares, params and what is recorded aside."""
    read = [dep for dep in stage.deps if not isinstance(dep, ParamsDependency)]
    written = _paths(repo, stage.outs)
    folder, _, _ = stage.path_in_repo.rpartition("/")
    return Stage(
        address=address_of(folder, stage.name),
        folder=repo.fs.relpath(stage.wdir, repo.root_dir),
        cmd=commands_of(stage),
        deps=_paths(repo, read),
        outs=dict(zip(written, map(Output, written), strict=True)),
    )


def _paths(repo: Repo, items: Iterable[Any]) -> tuple[str, ...]:
    """Return paths of outputs or dependencies of DVC's, relative to the DVC root."""
    return tuple(path_in_project(repo, item) for item in items)
