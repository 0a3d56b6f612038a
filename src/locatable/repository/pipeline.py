"""The stages of a project in the order in which to run them: what an orchestrator has to know.

from locatable import pipeline
for address, stage in pipeline("HEAD").stages.items():
    print(address, stage.commands, stage.needs)
"""

from collections.abc import Iterable
from contextlib import chdir, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import NotFoundError
from ..model import Stage
from .dvc_repo import open_repo
from .project import find_project

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc.stage import Stage as DvcStage


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
    from dvc.scm import RevError

    # DVC looks for stages in the working folder.
    with chdir(root), open_repo(root) as repo:
        try:
            with repo.switch(rev) if rev else nullcontext("") as commit:
                return _pipeline(repo, commit, list(targets))
        except RevError:
            raise NotFoundError(f"{rev}: neither a Git revision nor an experiment in {root}") from None


def _pipeline(repo: "Repo", commit: str, targets: list[str]) -> Pipeline:
    import networkx as nx

    # Edges lead from a stage to those that it needs.
    graph = repo.index.graph
    needed = _needed(repo, graph, targets)
    ordered = [stage for stage in nx.dfs_postorder_nodes(graph) if stage in needed]
    stages = {_address(stage): _stage(repo, graph, stage) for stage in ordered if stage.cmd}
    return Pipeline(commit, [_address(stage) for stage in ordered if not stage.cmd], stages)


def _address(stage: "DvcStage") -> str:
    """Return what DVC calls a stage in the root; its own `addressing` is seen from the working folder."""
    path: str = stage.path_in_repo
    name = getattr(stage, "name", None)  # a `.dvc` file has none
    if name is None:
        return path
    return name if path == "dvc.yaml" else f"{path}:{name}"


def _stage(repo: "Repo", graph: Any, stage: "DvcStage") -> Stage:
    from .declarations import declared_stage

    needs = tuple(_address(other) for other in graph.successors(stage) if other.cmd)
    return replace(declared_stage(repo, stage), needs=needs)


def _needed(repo: "Repo", graph: Any, targets: list[str]) -> "set[DvcStage]":
    import networkx as nx

    if not targets:
        return set(graph)
    needed = set()
    for target in targets:
        for stage in repo.stage.collect(target):
            needed |= {stage, *nx.descendants(graph, stage)}
    return needed


def has_default_remote(root: Path) -> bool:
    """Return whether `dvc push` of a project has somewhere to push to."""
    from dvc.config import Config

    return bool(Config(str(root / ".dvc"))["core"].get("remote"))
