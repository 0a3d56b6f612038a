"""Results as text: for people, at 80 columns, and as JSON."""

import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ..model import json_text
from ..results.staleness import summary
from .result import Report, Result

WIDTH = 80
# Items of a list that are shown; JSON has all.
MOST_ITEMS = 5
# Characters of a digest or commit id that are shown.
DIGITS = 12
UNCOMMITTED = "  UNCOMMITTED"
# Candidates for a number that get a line.
MOST_CANDIDATES = 10


def to_json(reports: list[Report]) -> str:
    """Return reports as a JSON list; its keys are the attributes of `Report`. See also `json_text`."""
    return json_text([asdict(report) for report in reports], indent=1)


def title(result: Result | Report, same_in: Sequence[str] = ()) -> str:
    """One line about a result: what it is called, how the target belongs to it, and where it is the same."""
    name = result.rev[:7]
    if result.experiment:
        name = f"{result.experiment.name}  {name} on {result.experiment.baseline[:7]}"
    if result.uncommitted:
        name = f"workspace on {name}"
    if result.project:
        name = f"{name}  of another project, {result.project}"
    parts = [name, *(f"{path} ({role})" for path, role in result.roles.items())]
    if same_in:
        parts.append(f"in {len(same_in) + 1} commits, from {result.rev[:7]} to {same_in[-1][:7]}")
    return "  ".join(parts)


def candidates(target: str, results: list[Result]) -> str:
    """The results that a number can be of, counted, with a line for each of the likeliest."""
    lines = [f"{target}: {len(results)} results have such a value; the likeliest first"]
    lines += [f"  {title(result)}" for result in results[:MOST_CANDIDATES]]
    if len(results) > MOST_CANDIDATES:
        more = len(results) - MOST_CANDIDATES
        lines.append(f"  and {more} more: give more digits, or the name before the number (--json: all)")
    return "\n".join(lines)


def to_text(report: Report, same_in: Sequence[str] = ()) -> str:
    """A report for people to read, with the commits that are told with it."""
    lines = [title(report, same_in), *staleness_lines(report)]
    for name, items in summaries(report).items():
        lines += _coordinate_lines(report, name, items)
    if report.uncommitted:
        lines.append("  commit these before anyone else can rebuild it: git add --all && git commit")
        return "\n".join(lines)
    if report.apply:
        lines.append(f"  {'apply':<12} {report.apply}")
    lines.append(f"  {_rebuild_heading(report)}")
    lines += [f"    {command}" for command in report.rebuild]
    return "\n".join(lines)


def staleness_lines(report: Report) -> list[str]:
    """Whether the results are of the files that the commit holds, where there is something to say."""
    if not report.has_results:
        runs = not report.rebuild or report.rebuild[-1].startswith("dvc repro")
        return ["  no results are recorded yet" + (": dvc repro, then commit" if runs else "")]
    if not report.stale:
        return []
    text = f"NOT OF THIS COMMIT: {summary(report.stale)}"
    lines = textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)
    if report.results_of:
        return [*lines, f"  these results are of {report.results_of[:7]}"]
    if report.unread_history:
        seen = "no commit of its history that this clone can read holds what made these results"
        return [*lines, f"  {seen}", f"  {report.unread_history}"]
    return [*lines, "  no commit in its history holds what made these results"]


def _rebuild_heading(report: Report) -> str:
    if report.results_of:
        return f"rebuild these results, at {report.results_of[:7]}"
    return "run what the commit holds, for results of its own" if report.stale else "rebuild"


def summaries(report: Report) -> dict[str, list[str]]:
    """What to show of each coordinate, by its name."""
    coordinates = report.coordinates
    return {
        "data": [f"{path} {md5}" for path, md5 in coordinates.data.content.items()],
        "code": [f"commit {report.rev[:DIGITS]}", f"{len(coordinates.code.content['files'])} files"],
        "params": _params_summary(report),
        "environment": _environment_summary(coordinates.environment.content),
        "execution": list(coordinates.execution.content["stages"]),
    }


def _params_summary(report: Report) -> list[str]:
    if report.params_changed:
        changes = report.params_changed.items()
        return [f"{key} {before!r} → {after!r}" for key, (before, after) in changes]
    values = f"{len(report.coordinates.params.content)} values"
    return [f"{values}, as in the baseline"] if report.experiment else [values]


def _environment_summary(content: dict[str, Any]) -> list[str]:
    record = content["record"]
    if "python" in record:
        return [f"Python {record['python']}", f"{len(record.get('drift') or {})} packages not as locked"]
    return list(content["files"]) or ["nothing that is recognised records the environment"]


def _coordinate_lines(report: Report, name: str, items: list[str]) -> list[str]:
    digest = getattr(report.coordinates, name).digest
    margin = f"  {name:<12} {digest[:DIGITS]}  "
    mark = UNCOMMITTED if name in report.uncommitted else ""
    first, *more = wrap_items(items, WIDTH - len(margin) - len(mark))
    indent = " " * len(margin)
    return [f"{margin}{first}{mark}", *(indent + line for line in more)]


def wrap_items(items: list[str], width: int) -> list[str]:
    """Items joined by commas in lines of at most `width` characters; longer items are not broken."""
    shown = items[:MOST_ITEMS]
    if len(items) > MOST_ITEMS:
        shown[-1] += f" and {len(items) - MOST_ITEMS} more"
    lines = [""]
    for item in shown:
        joined = f"{lines[-1]}, {item}" if lines[-1] else item
        if lines[-1] and len(joined) >= width:  # one more for the comma
            lines[-1] += ","
            lines.append(item)
        else:
            lines[-1] = joined
    return lines
