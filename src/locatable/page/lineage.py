"""The stages of a revision in the order in which they run; which of them made a file."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import networkx

from ..model import Stage, overlaps
from ..repository.snapshot import Snapshot

# From this number on, the stages of one `foreach` or `matrix` are one step.
MOST_STEPS = 24


@dataclass
class Step:
    """A stage, or all stages of one loop.

    Attributes:
        name: address of the stage, or the loop and how many stages it has.
        depth: steps that have to run before it, on the longest way.
        made_target: whether it made what the page is about.
        after: names of the steps whose outputs it reads.
        data: source data that it reads.
    """

    name: str
    depth: int = 0
    made_target: bool = False
    after: tuple[str, ...] = ()
    data: tuple[str, ...] = ()


def lineage(snapshot: Snapshot, makers: Iterable[str]) -> list[Step]:
    """Return the steps of a revision.

    Args:
        snapshot: the revision.
        makers: addresses of the stages that wrote the target; those before them made it, too.

    Raises:
        UnreadableError: a dvc.yaml is broken.
    """
    stages = snapshot.stages
    graph = _graph(stages)
    made = set(makers)
    for maker in made & graph.nodes:
        made = made | networkx.ancestors(graph, maker)
    names = _names(stages)
    steps: dict[str, Step] = {}
    depths: dict[str, int] = {}
    for address in _in_order(graph):
        before = list(graph.predecessors(address))
        depths[address] = 1 + max((depths.get(one, -1) for one in before), default=-1)
        step = steps.setdefault(names[address], Step(names[address], depths[address]))
        step.made_target |= address in made
        step.after = _united(step.after, [names[one] for one in before if names[one] != step.name])
        step.data = _united(step.data, _reads(stages[address], snapshot.sources))
    return list(steps.values())


def _graph(stages: Mapping[str, Stage]) -> networkx.DiGraph:
    """Return a graph of addresses, with edges from what writes to what reads."""
    graph = networkx.DiGraph()
    graph.add_nodes_from(stages)
    for address, stage in stages.items():
        graph.add_edges_from((writer, address) for writer in stage.needs)
    return graph


def _reads(stage: Stage, paths: Iterable[str]) -> list[str]:
    """Return those of some paths that a stage depends on, or of which it depends on a part."""
    return [path for path in paths if overlaps(path, stage.deps)]


def _in_order(graph: networkx.DiGraph) -> list[str]:
    """Return addresses, each after all that it reads from, and otherwise as dvc.yaml has them."""
    position = {address: index for index, address in enumerate(graph)}
    try:
        return list(networkx.lexicographical_topological_sort(graph, key=position.__getitem__))
    except networkx.NetworkXUnfeasible:  # a circle, which DVC refuses to run
        return list(graph)


def _names(stages: Collection[str]) -> dict[str, str]:
    """Return what to call each stage; where there are many, those of one loop (`train@x`) share a name."""
    loops: dict[str, list[str]] = {}
    for address in stages:
        loops.setdefault(address.partition("@")[0], []).append(address)
    names = {}
    is_long = len(stages) > MOST_STEPS
    for loop, members in loops.items():
        for address in members:
            names[address] = f"{loop} ×{len(members)}" if is_long and len(members) > 1 else address
    return names


def _united(one: Iterable[str], other: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*one, *other]))
