"""What a page says about a result: read from Git and DVC's cache."""

import os
import posixpath
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import ProjectError
from ..locate.cite import Citation, cite
from ..locate.result import Report, Result, Role, RoleKind, ValueRole, baseline_of
from ..model import holder
from ..repository.reader import Reader
from ..repository.snapshot import Snapshot
from ..results.outputs import read_outputs
from ..results.staleness import summary
from ..results.values import metrics_of
from .curves import Curves, read_curves
from .figures import MOST_BYTES, MOST_FIGURES, Figure, figure, figures
from .lineage import Step, lineage

MOST_DIFFERENCES = 10


@dataclass(frozen=True)
class Metric:
    """A metric, and what it was in the baseline; None where there is no such value."""

    key: str
    value: Any
    before: Any = None

    @property
    def file(self) -> str:
        """The file that holds it."""
        return self.key.rpartition(":")[0]

    @property
    def name(self) -> str:
        """The key within that file."""
        return self.key.rpartition(":")[2]

    @property
    def difference(self) -> str:
        """By how much a number differs from the baseline's."""
        if not (_is_number(self.value) and _is_number(self.before)):
            return ""
        try:
            difference = float(self.value - self.before)
        except OverflowError:  # a whole number that no float can be
            return ""
        return f"{difference:+.3g}".replace("-", "−") if difference else "0"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True)
class Facts:
    """All that a page says.

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
    """Read all that there is to say about a result.

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
    try:
        citation = cite(reader, result, report, origin)
    except ProjectError:  # a warning says why
        citation = None
    # What cannot be read is left out.
    values = {metric.key: metric.value for metric in metrics_of(snapshot, [])}
    values_before = {metric.key: metric.value for metric in metrics_of(before, [])} if before else {}
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
        metrics=[Metric(key, values.get(key), values_before.get(key)) for key in {**values, **values_before}],
        baseline=before.rev if before else None,
        curves=read_curves(snapshot, outputs.contents, written_before),
        missing=outputs.missing,
        found_by=found_by,
    )


def _baseline(reader: Reader, result: Result) -> Snapshot | None:
    """Return the revision that a result is compared with, as far as this clone has it."""
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
