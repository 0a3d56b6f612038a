"""What a page says about a result, read from Git and DVC's cache."""

import os
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from ..errors import ProjectError
from ..locate.cite import Citation, cite
from ..locate.result import Report, Result, Role, RoleKind, ValueRole, baseline_of
from ..model import holder
from ..repository.reader import Reader
from ..repository.snapshot import Snapshot
from ..results.outputs import read_outputs
from ..results.staleness import summary
from ..results.values import metric_values, metrics_contents
from .graph import Graph, pipeline_graph
from .images import MOST_BYTES, MOST_FIGURES, Figure, figure, figures
from .plots import Drawings, drawings

MOST_DIFFERENCES = 10


@dataclass(frozen=True)
class Metric:
    """A metric, and what it was in the baseline (None where that has none)."""

    key: str
    value: Any
    before: Any = None


@dataclass(frozen=True)
class PageContent:
    """What a page says.

    Attributes:
        title: what the result is called.
        report: on it.
        author: who committed it.
        time: of the commit.
        citation: None where nobody could rebuild it.
        warnings: what to know before anything else.
        figures: pictures: the target, or else what the result has.
        more_figures: how many there are beside these.
        graph: the pipeline.
        params: all values by key.
        metrics: by their keys.
        baseline: commit that params, metrics and curves are compared with; None where there is none.
        drawings: curves and tables.
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
    graph: Graph
    params: dict[str, Any]
    metrics: list[Metric]
    baseline: str | None
    drawings: Drawings
    missing: list[str] = field(default_factory=list)
    found_by: str = ""


def page_content(
    reader: Reader, result: Result, report: Report, target: str, origin: str | None, found_by: str = ""
) -> PageContent:
    """Read what there is to say about a result.

    Args:
        reader: of the repository.
        result: one that `locate` found.
        report: on it.
        target: what was asked for.
        origin: where the repository can be cloned from, None where it is nowhere but here.
        found_by: how a figure was found that has other bytes than the result's.

    Raises:
        UnreadableError: a file of DVC's in it is broken.
    """
    snapshot = result.snapshot
    before = _baseline(reader, result)
    outputs = read_outputs(snapshot)
    written_before = read_outputs(before).contents if before else {}
    pictures = _target_figure(target) or figures(outputs.contents)
    citation, warnings = _citation(reader, result, report, origin)
    return PageContent(
        title=_title(result, target),
        report=report,
        author=snapshot.author,
        time=datetime.fromtimestamp(snapshot.time, UTC),
        citation=citation,
        warnings=[*_warnings(report), *warnings],
        figures=pictures[:MOST_FIGURES],
        more_figures=len(pictures[MOST_FIGURES:]),
        graph=pipeline_graph(snapshot, _makers(result)),
        params=snapshot.params,
        metrics=_metrics(_values(snapshot), _values(before) if before else {}),
        baseline=before.rev if before else None,
        drawings=drawings(snapshot, outputs.contents, written_before),
        missing=outputs.missing,
        found_by=found_by,
    )


def _baseline(reader: Reader, result: Result) -> Snapshot | None:
    """The revision that a result is compared with, as far as this clone has it."""
    rev = baseline_of(result)
    if rev is None or reader.objects.read([rev])[0] is None:
        return None
    return reader.snapshot(rev)


def _title(result: Result, target: str) -> str:
    if any(isinstance(role, ValueRole) for role in result.roles.values()):
        return target
    if result.roles:
        return posixpath.basename(target.rstrip("/")) or target
    return result.experiment.name if result.experiment else f"Commit {result.rev[:7]}"


def _target_figure(target: str) -> list[Figure]:
    """The target itself, where it is a picture."""
    if not os.path.isfile(target) or os.path.getsize(target) > 2 * MOST_BYTES:
        return []
    found = figure(posixpath.basename(target), Path(target).read_bytes())
    return [found] if found else []


def _makers(result: Result) -> list[str]:
    """Stages that wrote the target."""
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


def _citation(
    reader: Reader, result: Result, report: Report, origin: str | None
) -> tuple[Citation | None, list[str]]:
    try:
        citation = cite(reader, result, report, origin)
    except ProjectError:
        return None, []  # `_warnings` says why
    return citation, citation.warnings


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


def _values(snapshot: Snapshot) -> dict[str, Any]:
    """Metrics by DVC's keys; what cannot be read is left out."""
    values: dict[str, Any] = {}
    for path, content in metrics_contents(snapshot).items():
        try:
            values |= metric_values(path, content)
        except (ValueError, yaml.YAMLError):
            continue
    return values


def _metrics(values: Mapping[str, Any], before: Mapping[str, Any]) -> list[Metric]:
    return [Metric(key, values.get(key), before.get(key)) for key in dict.fromkeys([*values, *before])]
