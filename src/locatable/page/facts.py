"""Reads all that a page says about a result, from Git and DVC's cache."""

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
# From this number on, the stages of one `foreach` or `matrix` are one step.
MOST_STEPS = 24


@dataclass
class Metric:
    """A metric, and what it was in the baseline; None where there is no such value."""

    key: str
    value: Any = None
    before: Any = None

    @property
    def file(self) -> str:
        """Path of the file that holds it."""
        return self.key.rpartition(":")[0]

    @property
    def name(self) -> str:
        """Key within that file."""
        return self.key.rpartition(":")[2]

    @property
    def difference(self) -> str:
        """Difference from the baseline's number; empty where one of them is none."""
        found = difference(self.before, self.value)
        return "" if found is None else signed(found)


@dataclass
class Step:
    """A stage, or all stages of one loop.

    Attributes:
        name: address of the stage, or the loop and how many stages it has.
        depth: steps that have to run before it, on the longest way.
        made_target: true if it made what the page is about.
        after: names of the steps whose outputs it reads.
        data: source data that it reads.
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
        title: what the result is called.
        report: on it.
        author: who committed it.
        time: of the commit.
        citation: None where nobody could rebuild it.
        warnings: what to know before anything else.
        figures: pictures: the target, or else what the result has.
        more_figures: how many there are beside these.
        steps: of the pipeline.
        params: all values by key.
        metrics: by their keys.
        baseline: commit that params, metrics and curves are compared with; None where there is none.
        curves: charts, and tables of classes.
        missing: files that should be on the page and are not on this machine.
        found_by: how a figure was found that has other bytes than the result's; empty where it has the same.
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
    """Read all that a page says of a result; `found_by` says how a figure was found that has other bytes."""
    snapshot = result.snapshot
    before = read_baseline(reader, result)
    outputs = read_outputs(snapshot)
    written_before = read_outputs(before).contents if before else {}
    pictures = _target_figure(target) or figures(outputs.contents)
    try:
        citation = cite(reader, result, report, origin)
    except ProjectError:  # a warning says why
        citation = None
    metrics: dict[str, Metric] = {}
    # What cannot be read is left out.
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
        steps=lineage(snapshot, _makers(result)),
        params=snapshot.params,
        metrics=list(metrics.values()),
        baseline=before.rev if before else None,
        curves=read_curves(snapshot, outputs.contents, written_before),
        missing=outputs.missing,
        found_by=found_by,
    )


def _title(result: Result, target: str) -> str:
    if result.roles:
        if not result.kinds <= set(RoleKind):  # a number
            return target
        return posixpath.basename(target.rstrip("/")) or target
    return result.experiment.name if result.experiment else f"Commit {result.rev[:7]}"


def _target_figure(target: str) -> list[Figure]:
    """Return the target itself, where it is a picture."""
    if not os.path.isfile(target) or os.path.getsize(target) > 2 * MOST_BYTES:
        return []
    found = figure(posixpath.basename(target), Path(target).read_bytes())
    return [found] if found else []


def _makers(result: Result) -> list[str]:
    """Return addresses of the stages that wrote the target."""
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
    """Return the steps of a revision; those before the makers of the target made it, too."""
    stages = snapshot.stages
    order = run_order({address: stage.needs for address, stage in stages.items()})
    made = set(makers)
    for address in reversed(order):
        if address in made:
            made.update(stages[address].needs)
    names = _names(stages)
    steps: dict[str, Step] = {}
    depths: dict[str, int] = {}
    for address in order:
        needs = stages[address].needs
        before = [depths[need] for need in needs if need in depths]  # of a circle, not all are
        depths[address] = max(before) + 1 if before else 0
        step = steps.setdefault(names[address], Step(names[address], depths[address]))
        if address in made:
            step.made_target = True
        after = [names[need] for need in needs if names[need] != step.name]
        step.after = tuple(dict.fromkeys([*step.after, *after]))
        # It reads source data, or a part of it.
        deps = stages[address].deps
        data = [path for path in snapshot.sources if overlaps(path, deps)]
        step.data = tuple(dict.fromkeys([*step.data, *data]))
    return list(steps.values())


def _names(stages: Collection[str]) -> dict[str, str]:
    """Return what to call each stage; where there are many, those of one loop (`train@x`) share a name."""
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
