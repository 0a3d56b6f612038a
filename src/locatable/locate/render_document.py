"""Where the figures of a document come from, as text and as JSON."""

from collections import Counter
from dataclasses import asdict
from typing import Any

from ..model import json_text
from .document import LocatedDocument, LocatedFigure
from .figure_match import Match
from .render import staleness_lines, title
from .result import Report, Result

# More than so many times closer is not told more exactly.
MOST_TIMES = 20
# Candidates of a tie that are named.
MOST_NAMED = 5


def to_text(document: LocatedDocument, reports: list[Report]) -> str:
    """A line about the document, then some about each figure.

    Args:
        document: the figures.
        reports: on the results that are named.
    """
    warnings = {(report.rev, bool(report.uncommitted)): staleness_lines(report) for report in reports}
    pages = [_summary(document)]
    for figure in document.figures:
        lines = ["  ".join(part for part in (figure.place, figure.name) if part)]
        lines += [f"  {line}" for line in _figure_lines(figure)]
        if figure.is_traced:
            first = figure.results[0]
            lines += warnings.get((first.rev, bool(first.uncommitted)), [])
        pages.append("\n".join(lines))
    names = list(dict.fromkeys(_name(result) for result in document.named_results()))
    if names:
        pages.append(
            "\n".join(["coordinates, and how to rebuild:", *(f"  locatable locate {name}" for name in names)])
        )
    return "\n\n".join(pages)


def to_json(document: LocatedDocument, reports: list[Report]) -> str:
    """The same for machines, with the reports on the results that are named."""
    content = {
        "document": document.target,
        "figures": [_figure_values(figure) for figure in document.figures],
        "left_out": document.left_out,
        "results": [asdict(report) for report in reports],
    }
    return json_text(content, indent=1)


def how_found(figure: LocatedFigure) -> str:
    """A line about how a figure was found."""
    return "  ".join(
        part for part in (figure.place, figure.name, f"{figure.match.value}{_lead(figure)}") if part
    )


def _summary(document: LocatedDocument) -> str:
    counts = Counter(figure.match for figure in document.figures)
    parts = [f"{counts[match]} {match.value}" for match in Match if counts[match]]
    number = len(document.figures)
    return f"{document.target}: {number} figure{'s' if number > 1 else ''}: {', '.join(parts)}"


def _figure_lines(figure: LocatedFigure) -> list[str]:
    if figure.match is Match.NONE:
        return [f"not found: {figure.reason}" if figure.reason else "not found"]
    if figure.match is Match.TIE:
        named = [title(result) for result in [*figure.results[:1], *figure.others]]
        more = [f"and {len(named) - MOST_NAMED} more"] if len(named) > MOST_NAMED else []
        lines = [*named[:MOST_NAMED], *more]
        return [f"cannot tell between {len(named)} figures:", *(f"  {line}" for line in lines)]
    reason = f" ({figure.reason})" if figure.reason else ""
    lines = [f"{figure.match.value}{reason}{_lead(figure)}: {title(figure.results[0])}"]
    if len(figure.results) > 1:
        lines.append(f"also in {_counted(len(figure.results) - 1)}, such as {title(figure.results[1])}")
    return lines


def _lead(figure: LocatedFigure) -> str:
    if figure.match is not Match.SIMILAR:
        return ""
    if figure.closer is None:
        return " (a lead; no other result's figure is like it)"
    times = f"{figure.closer:.1f}" if figure.closer < MOST_TIMES else f"over {MOST_TIMES}"
    return f" (a lead; {times} times closer than {_name(figure.others[0])})"


def _counted(number: int) -> str:
    return f"{number} other result{'s' if number > 1 else ''}"


def _name(result: Result) -> str:
    return result.experiment.name if result.experiment else result.rev[:7]


def _figure_values(figure: LocatedFigure) -> dict[str, Any]:
    return {
        "place": figure.place,
        "name": figure.name,
        "match": figure.match.value,
        "results": [_result_values(result) for result in figure.results],
        "others": [_result_values(result) for result in figure.others],
        "times_closer": figure.closer,
        "reason": figure.reason,
    }


def _result_values(result: Result) -> dict[str, Any]:
    return {
        "rev": result.rev,
        "experiment": result.experiment.name if result.experiment else None,
        "paths": {path: str(role) for path, role in result.roles.items()},
        "uncommitted": result.uncommitted,
    }
