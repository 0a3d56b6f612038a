"""The stages of a revision and the data that they start from, as a graph; which of them made a file."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..model import Stage, is_in
from ..repository.snapshot import Snapshot
from .layout import Edge

# From this number on, the stages of one `foreach` or `matrix` share a box.
MOST_BOXES = 24


@dataclass(frozen=True)
class Node:
    """A box: a stage, several of one loop, or source data."""

    name: str
    is_data: bool = False
    made_target: bool = False


@dataclass(frozen=True)
class Graph:
    """Nodes by name, and edges from what writes to what reads."""

    nodes: dict[str, Node]
    edges: list[Edge]


def pipeline_graph(snapshot: Snapshot, makers: Iterable[str]) -> Graph:
    """The graph of a revision.

    Args:
        snapshot: the revision.
        makers: addresses of the stages that wrote the target; those before them made it, too.

    Raises:
        UnreadableError: a dvc.yaml is broken.
    """
    stages = snapshot.stages
    edges = _edges(stages, snapshot.sources)
    names = {address: address for address in stages}
    if len(stages) > MOST_BOXES:
        names = _shared_names(stages)
    used = {start for start, _ in edges if start not in stages}
    names |= {source: source for source in used}
    made = _before(makers, edges)
    nodes: dict[str, Node] = {}
    for key, name in names.items():
        lit = key in made or (name in nodes and nodes[name].made_target)
        nodes[name] = Node(name, key not in stages, lit)
    shown = [(names[start], names[end]) for start, end in edges]
    return Graph(nodes, [edge for edge in dict.fromkeys(shown) if edge[0] != edge[1]])


def _edges(stages: Mapping[str, Stage], sources: Iterable[str]) -> list[Edge]:
    """From each stage or source to the stages that read what it holds."""
    written = [(path, address) for address, stage in stages.items() for path in stage.outs]
    written += [(path, path) for path in sources]
    edges = []
    for address, stage in stages.items():
        for dep in stage.deps:
            for path, writer in written:
                if writer != address and (is_in(path, dep) or is_in(dep, path)):
                    edges.append((writer, address))
    return list(dict.fromkeys(edges))


def _shared_names(stages: Iterable[str]) -> dict[str, str]:
    """What to call each stage where those of one loop (`train@x`) are one."""
    loops: dict[str, int] = {}
    for address in stages:
        loop = address.partition("@")[0]
        loops[loop] = loops.get(loop, 0) + 1
    names = {}
    for address in stages:
        loop = address.partition("@")[0]
        names[address] = f"{loop} ×{loops[loop]}" if loops[loop] > 1 else address
    return names


def _before(makers: Iterable[str], edges: Iterable[Edge]) -> set[str]:
    """These, and all from which edges lead to them."""
    before: dict[str, list[str]] = {}
    for start, end in edges:
        before.setdefault(end, []).append(start)
    found: set[str] = set()
    waiting = list(makers)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += before.get(name, [])
    return found
