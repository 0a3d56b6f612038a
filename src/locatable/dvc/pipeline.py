"""The stages of a project in the order in which to run them."""

from collections.abc import Iterable
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ProjectError
from .repository import open_repo

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc.stage import Stage


@dataclass(frozen=True)
class Pipeline:
    """What a rebuild has to fetch and to run, by DVC's addresses.

    Attributes:
        sources: `.dvc` files with source data.
        stages: for each stage, in the order to run them, those whose outputs it reads.
    """

    sources: list[str]
    stages: dict[str, list[str]]


def read_pipeline(root: Path, targets: Iterable[str]) -> Pipeline:
    """Ask DVC for stages, and for all that they need.

    Args:
        root: of a DVC project.
        targets: stages, as after `dvc repro`; all if there are none.

    Raises:
        ProjectError: there is no such stage, or DVC cannot read the pipeline.
    """
    from dvc.exceptions import DvcException

    try:
        # DVC looks for stages in the working folder.
        with chdir(root), open_repo(root) as repo:
            return _pipeline(repo, list(targets))
    except DvcException as error:
        raise ProjectError(str(error).splitlines()[0]) from None


def _pipeline(repo: "Repo", targets: list[str]) -> Pipeline:
    import networkx as nx

    # Edges lead from a stage to those that it needs.
    graph = repo.index.graph
    needed = _needed(repo, graph, targets)
    ordered = [stage for stage in nx.dfs_postorder_nodes(graph) if stage in needed]
    stages = {}
    for stage in ordered:
        if stage.cmd:
            stages[stage.addressing] = [other.addressing for other in graph.successors(stage) if other.cmd]
    return Pipeline([stage.addressing for stage in ordered if not stage.cmd], stages)


def _needed(repo: "Repo", graph: Any, targets: list[str]) -> "set[Stage]":
    import networkx as nx

    if not targets:
        return set(graph)
    needed = set()
    for target in targets:
        for stage in repo.stage.collect(target):
            needed |= {stage, *nx.descendants(graph, stage)}
    return needed


def has_default_remote(root: Path) -> bool:
    """Whether `dvc push` of a project has somewhere to push to."""
    from dvc.config import Config

    return bool(Config(str(root / ".dvc"))["core"].get("remote"))
