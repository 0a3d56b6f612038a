"""Reads everything that a page says about a result from Git and DVC's cache."""

import os
import posixpath
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import ProjectError
from ..locate.cite import Citation, cite
from ..locate.result import Report, Result, Role, RoleKind, ValueRole, read_baseline
from ..model import holder, overlaps, run_order
from ..repository.reader import Reader
from ..repository.snapshot import Snapshot
from ..results.staleness import summary
from ..results.values import difference, metrics_of, read_outputs, signed
from .figures import MOST_BYTES, MOST_FIGURES, Curves, Figure, figure, figures, read_curves

MOST_DIFFERENCES = 10
# If a pipeline has more stages than this, all stages of one `foreach` or `matrix` are shown as one step.
MOST_STEPS = 24


@dataclass
class Metric:
    """A metric of the result and of its baseline; a value is None if the metric does not exist there."""

    key: str
    value: Any = None
    before: Any = None

    @property
    def file(self) -> str:
        """The path of the metrics file."""
        return self.key.rpartition(":")[0]

    @property
    def name(self) -> str:
        """The key within that file."""
        return self.key.rpartition(":")[2]

    @property
    def difference(self) -> str:
        """The signed difference from the baseline; empty unless both values are numbers."""
        found = difference(self.before, self.value)
        return "" if found is None else signed(found)


@dataclass
class Step:
    """A step of the pipeline: a stage, or all stages of one loop.

    Attributes:
        name: the address of the stage, or the name of the loop and the number of its stages.
        depth: the number of steps on the longest path that leads to this step.
        made_target: true if the target of the page depends on this step.
        after: the names of the steps whose outputs this step reads.
        data: the source data that this step reads.
    """

    name: str
    depth: int = 0
    made_target: bool = False
    after: tuple[str, ...] = ()
    data: tuple[str, ...] = ()


@dataclass(frozen=True)
class Facts:
    """The content of a page.

    Attributes:
        title: the title of the result.
        report: the report on the result.
        author: who committed the result.
        time: when the result was committed.
        citation: how to cite the result; None if nobody could rebuild it.
        warnings: warnings to show at the top of the page.
        figures: the target, if it is a picture; otherwise the pictures among the outputs.
        more_figures: the number of pictures that are left out.
        steps: the steps of the pipeline.
        params: values by key.
        metrics: the metrics of the result and of its baseline.
        baseline: the commit with which params, metrics and curves are compared; None if there is none.
        curves: the charts, and the tables of classes.
        missing: the files that belong on the page and that this machine does not have.
        found_by: how the target was recognized, if its bytes differ from the output's; otherwise empty.
    """

    title: str
    report: Report
    author: str
    time: datetime
    citation: Citation | None
    warnings: list[str]
    figures: list[Figure]
    more_figures: int
    steps: list[Step]
    params: dict[str, Any]
    metrics: list[Metric]
    baseline: str | None
    curves: Curves
    missing: list[str] = field(default_factory=list)
    found_by: str = ""


def read_facts(
    reader: Reader, result: Result, report: Report, target: str, origin: str | None, found_by: str = ""
) -> Facts:
    """Read the content of the page about a result; see `Facts` for `found_by`."""
    snapshot = result.snapshot
    before = read_baseline(reader, result)
    outputs = read_outputs(snapshot)
    written_before = read_outputs(before).contents if before else {}
    pictures = _target_figure(target) or figures(outputs.contents)
    try:
        citation = cite(reader, result, report, origin)
    except ProjectError:  # a warning on the page gives the reason
        citation = None
    metrics: dict[str, Metric] = {}
    # The page leaves out metrics files that cannot be read, so the lists of reasons are not kept.
    for found in metrics_of(snapshot, []):
        metrics[found.key] = Metric(found.key, found.value)
    for found in metrics_of(before, []) if before else ():
        metrics.setdefault(found.key, Metric(found.key)).before = found.value
    return Facts(
        title=_title(result, target),
        report=report,
        author=snapshot.author,
        time=datetime.fromtimestamp(snapshot.time, UTC),
        citation=citation,
        warnings=[*_warnings(report), *(citation.warnings if citation else ())],
        figures=pictures[:MOST_FIGURES],
        more_figures=len(pictures[MOST_FIGURES:]),
        steps=lineage(snapshot, _stages_that_wrote_target(result)),
        params=snapshot.params,
        metrics=list(metrics.values()),
        baseline=before.rev if before else None,
        curves=read_curves(snapshot, outputs.contents, written_before),
        missing=outputs.missing,
        found_by=found_by,
    )


def _title(result: Result, target: str) -> str:
    """Return the title of the page: a file's name, a number, the name of an experiment, or a commit."""
    if result.roles:
        if not result.kinds <= set(RoleKind):  # the target is a number, not a file
            return target
        return posixpath.basename(target.rstrip("/")) or target
    return result.experiment.name if result.experiment else f"Commit {result.rev[:7]}"


def _target_figure(target: str) -> list[Figure]:
    """Return the target as the only figure, if it is a picture; otherwise nothing."""
    if not os.path.isfile(target) or os.path.getsize(target) > 2 * MOST_BYTES:
        return []
    found = figure(posixpath.basename(target), Path(target).read_bytes())
    return [found] if found else []


def _stages_that_wrote_target(result: Result) -> list[str]:
    """Return the addresses of the stages that wrote the target."""
    makers = []
    for path, role in result.roles.items():
        if isinstance(role, Role) and role.kind is RoleKind.OUTPUT:
            makers.append(role.stage)
        elif isinstance(role, ValueRole):
            file = path.rpartition(":")[0] or path
            for address, stage in result.snapshot.records.items():
                if holder(stage.outs, file):
                    makers.append(address)
    return makers


def _warnings(report: Report) -> list[str]:
    """Return a warning if the result cannot be rebuilt from its commit; otherwise nothing."""
    if report.uncommitted:
        names = ", ".join(report.uncommitted)
        return [f"In a workspace only ({names}): nobody else can rebuild it before it is committed."]
    if not report.has_results:
        return ["No results are recorded yet."]
    if not report.stale:
        return []
    differences = summary(report.stale, MOST_DIFFERENCES)
    if report.results_of:
        return [f"Not of this commit: {differences}. These results are of {report.results_of[:7]}."]
    return [f"Not of this commit: {differences}. No commit that can be read holds what made these results."]


def lineage(snapshot: Snapshot, makers: Iterable[str]) -> list[Step]:
    """Return the steps of a revision's pipeline in the order in which they run.

    Args:
        snapshot: the snapshot of the revision.
        makers: the addresses of the stages that wrote the target. The stages that they need are marked, too.
    """
    stages = snapshot.stages
    order = run_order({address: stage.needs for address, stage in stages.items()})
    made = set(makers)
    for address in reversed(order):
        if address in made:
            made.update(stages[address].needs)
    names = _step_names(stages)
    steps: dict[str, Step] = {}
    depths: dict[str, int] = {}
    for address in order:
        needs = stages[address].needs
        # In a cycle, a stage can come before one that it needs, whose depth is not known yet.
        before = [depths[need] for need in needs if need in depths]
        depths[address] = max(before) + 1 if before else 0
        step = steps.setdefault(names[address], Step(names[address], depths[address]))
        if address in made:
            step.made_target = True
        after = [names[need] for need in needs if names[need] != step.name]
        step.after = tuple(dict.fromkeys([*step.after, *after]))
        # A stage may read a file in a tracked folder, or a folder that contains a tracked file.
        deps = stages[address].deps
        data = [path for path in snapshot.sources if overlaps(path, deps)]
        step.data = tuple(dict.fromkeys([*step.data, *data]))
    return list(steps.values())


def _step_names(stages: Collection[str]) -> dict[str, str]:
    """Return the name of the step for each stage; in a large pipeline, the stages of a loop share a step."""
    loops: dict[str, list[str]] = {}
    for address in stages:
        loop = address.partition("@")[0]
        loops.setdefault(loop, []).append(address)
    names = {}
    for loop, members in loops.items():
        is_one_step = len(stages) > MOST_STEPS and len(members) > 1
        for address in members:
            names[address] = f"{loop} ×{len(members)}" if is_one_step else address
    return names
