"""Show results as text of 80 columns, and as JSON."""

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..model import json_text
from ..results.staleness import summary
from .result import ComparedNumbers, Located, LocatedFigure, LocatedNumber, Match, Report, Result, identity

if TYPE_CHECKING:
    from ..mlflow.running import RunningReport

WIDTH = 80
# Number of items of a list that are shown; the JSON has all.
MOST_ITEMS = 5
# Characters of a digest or commit id that are shown.
DIGITS = 12
UNCOMMITTED = "  UNCOMMITTED"
# Number of candidates for a number that get a line, and of candidates in a tie that are named.
MOST_CANDIDATES = 10
MOST_NAMED = 5
# A larger factor is shown as "over 20": its exact value says nothing more.
MOST_TIMES = 20


def to_json(reports: list[Report]) -> str:
    """Return reports as a JSON list; the keys of each item are the attributes of `Report`."""
    return json_text(list(map(asdict, reports)), indent=1)


def title(result: Result | Report, same_in: Sequence[str] = ()) -> str:
    """Return a line with the name of a result, the target's roles in it, and the commits that share it.

    Args:
        result: the result, or a report on it.
        same_in: the ids of later commits with the same result.
    """
    name = result.rev[:7]
    if result.experiment:
        name = f"{result.experiment.name}  {name} on {result.experiment.baseline[:7]}"
    if result.uncommitted:
        name = f"workspace on {name}"
    if result.project:
        name = f"{name}  of another project, {result.project}"
    parts = [name]
    for path, role in result.roles.items():
        parts.append(f"{path} ({role})")
    if same_in:
        last = same_in[-1]
        parts.append(f"in {len(same_in) + 1} commits, from {result.rev[:7]} to {last[:7]}")
    return "  ".join(parts)


def candidates(target: str, results: list[Result]) -> str:
    """Return a line that counts the results with a number, and a line for each of the likeliest ones."""
    lines = [f"{target}: {len(results)} results have such a value; the likeliest first"]
    for result in results[:MOST_CANDIDATES]:
        lines.append(f"  {title(result)}")
    if len(results) > MOST_CANDIDATES:
        more = len(results) - MOST_CANDIDATES
        lines.append(f"  and {more} more: give more digits, or the name before the number (--json: all)")
    return "\n".join(lines)


def to_text(report: Report, same_in: Sequence[str] = ()) -> str:
    """Return a report as text; `same_in` has the ids of later commits with the same result."""
    lines = [title(report, same_in), *staleness_lines(report)]
    for name, items in summaries(report).items():
        digest = report.coordinates.digests[name][:DIGITS]
        mark = UNCOMMITTED if name in report.uncommitted else ""
        lines += _item_lines(f"  {name:<12} {digest}  ", items, mark)
    if report.uncommitted:
        lines.append("  commit these before anyone else can rebuild it: git add --all && git commit")
        return "\n".join(lines)
    if report.apply:
        lines.append(f"  {'apply':<12} {report.apply}")
    heading = "rebuild"
    if report.results_of:
        heading = f"rebuild these results, at {report.results_of[:7]}"
    elif report.stale:
        heading = "run the files of this commit, for new results"
    commands = textwrap.indent("\n".join(report.rebuild), "    ")
    return "\n".join([*lines, f"  {heading}", commands])


def running_to_json(reports: "list[RunningReport]") -> str:
    """Return reports on running experiments as a JSON list; the keys are those of `RunningReport`."""
    return json_text([asdict(report) for report in reports], indent=1)


def running_to_text(reports: "list[RunningReport]") -> str:
    """Return reports on running experiments as text: where and since when they run, params, last values."""
    lines = []
    for report in reports:
        since = datetime.fromtimestamp(report.since // 1000).astimezone().isoformat(" ")
        lines.append(f"{report.name}  RUNS NOW ({report.location}) on {report.baseline[:7]}")
        facts = {
            "since": [since],
            "in": [report.folder],
            "params": _pairs(report.params),
            "last values": _pairs(report.values) or ["none yet"],
        }
        for name, items in facts.items():
            lines += _item_lines(f"  {name:<12} ", items)
        lines.append("  not committed: it cannot be found again unless DVC records a result of it")
    return "\n".join(lines)


def staleness_lines(report: Report) -> list[str]:
    """Return lines that warn of results that were made from other files, or are not recorded yet."""
    if not report.has_results:
        remedy = ": dvc repro, then commit" if report.can_run else ""
        return [f"  no results are recorded yet{remedy}"]
    if not report.stale:
        return []
    text = f"NOT OF THIS COMMIT: {summary(report.stale)}"
    lines = textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)
    if report.results_of:
        return [*lines, f"  these results are of {report.results_of[:7]}"]
    if report.unread_history:
        seen = "no commit of its history in this clone has the files that made these results"
        return [*lines, f"  {seen}", f"  {report.unread_history}"]
    return [*lines, "  no commit in its history has the files that made these results"]


def summaries(report: Report) -> dict[str, list[str]]:
    """Return the items that summarize each coordinate, by its name."""
    coordinates = report.coordinates
    # A report from an index gives the number of code files instead of a long list.
    code = coordinates.code.content
    files = len(code["files"]) + code.get("unlisted", 0)
    return {
        "data": _pairs(coordinates.data.content),
        "code": [f"commit {report.rev[:DIGITS]}", f"{files} files"],
        "params": _params_summary(report),
        "environment": _environment_summary(coordinates.environment.content),
        "execution": list(coordinates.execution.content["stages"]),
    }


def _pairs(values: Mapping[str, Any]) -> list[str]:
    return [f"{key} {value}" for key, value in values.items()]


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


def _item_lines(label: str, items: list[str], mark: str = "") -> list[str]:
    """Return lines with a label before and a mark after the first one, and the others below it."""
    first, *more = wrap_items(items, WIDTH - len(label) - len(mark))
    lines = [f"{label}{first}{mark}"]
    for line in more:
        lines.append(" " * len(label) + line)
    return lines


def wrap_items(items: list[str], width: int) -> list[str]:
    """Join items by commas, in lines of at most `width` characters; a longer item gets a line by itself."""
    shown = items[:MOST_ITEMS]
    if len(items) > MOST_ITEMS:
        shown[-1] += f" and {len(items) - MOST_ITEMS} more"
    lines = [""]
    for item in shown:
        joined = f"{lines[-1]}, {item}" if lines[-1] else item
        if lines[-1] and len(joined) >= width:  # a comma may follow, so `width` itself is too long
            lines[-1] += ","
            lines.append(item)
        else:
            lines[-1] = joined
    return lines


def document_to_text(target: str, located: Located, reports: list[Report]) -> str:
    """Return text about a document: a summary, its figures, its numbers, and commands for their results."""
    warnings = {identity(report): staleness_lines(report) for report in reports}
    paragraphs = [f"{target}: {_count_figures(located.figures)}"]
    for figure in located.figures:
        lines = [_place(figure), textwrap.indent(_figure_text(figure), "  ")]
        if figure.instead:
            lines.append(f"  {located.numbers.name} has another figure at {figure.instead}")
        if figure.is_traced:
            lines += warnings.get(identity(figure.results[0]), [])
        paragraphs.append("\n".join(lines))
    if located.numbers.result:
        paragraphs += _about_numbers(located.numbers, located.numbers.result)
    commands = dict.fromkeys(f"  locatable locate {_name(result)}" for result in located.results)
    if commands:
        paragraphs.append("\n".join(["coordinates, and how to rebuild:", *commands]))
    return "\n\n".join(paragraphs)


def _count_figures(located: list[LocatedFigure]) -> str:
    figures = [figure for figure in located if not figure.is_unread]
    counts = Counter(figure.match for figure in figures)
    matches = ", ".join(f"{counts[match]} {match.value}" for match in Match if counts[match])
    text = f"{_count(len(figures), 'figure')}: {matches}" if figures else "no figures"
    unread = len(located) - len(figures)
    return f"{text}; {_count(unread, 'part')} not read" if unread else text


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number > 1 else ''}"


def _about_numbers(compared: ComparedNumbers, result: Result) -> list[str]:
    """Return paragraphs about the numbers of a document, those that belong to other results first."""
    if not compared.numbers:
        return []
    name = compared.name
    if name != result.rev[:7]:
        name = f"{name} ({result.rev[:7]})"
    counts = Counter(number.match for number in compared.numbers)
    order = ["older", "newer", "as recorded", "of no result"]
    matches = ", ".join(f"{counts[match]} {match}" for match in order if counts[match])
    paragraphs = [f"{_count(len(compared.numbers), 'number')}, compared with {name}: {matches}"]
    for number in compared.of_others:
        source = _name(number.result) if number.result else ""
        lines = [
            f"{number.place}  {number.match}",
            f"  {number.text} {number.dotted} of {source}; {number.current_text} in {compared.name}",
        ]
        if number.words:
            lines.append(f"    {_cut(number.words, WIDTH - 4)}")
        paragraphs.append("\n".join(lines))
    if compared.recorded:
        paragraphs.append("\n".join(_recorded_line(number) for number in compared.recorded))
    return paragraphs


def _recorded_line(number: LocatedNumber) -> str:
    line = f"{number.place}  {number.text} {number.dotted}"
    width = WIDTH - len(line) - 2
    # Ten or fewer characters of the sentence would say nothing.
    if number.words and width > 10:
        line += f"  {_cut(number.words, width)}"
    return line


def document_to_json(target: str, located: Located, reports: list[Report]) -> str:
    """Return the figures and numbers of a document as JSON, including the numbers of no result."""
    figures = []
    for figure in located.figures:
        values: dict[str, Any] = {
            "place": figure.place,
            "name": figure.name,
            "match": figure.match.value,
            "results": list(map(_result_values, figure.results)),
            "others": list(map(_result_values, figure.others)),
            "times_closer": figure.closer,
            "reason": figure.reason,
            "instead": figure.instead,
        }
        figures.append(values)
    numbers = []
    for number in located.numbers.numbers:
        values = {
            "place": number.place,
            "text": number.text,
            "words": number.words,
            "match": number.match,
            "key": number.key,
            "value": number.value,
            "of": _result_values(number.result) if number.result else None,
            "current": number.current,
        }
        numbers.append(values)
    compared = located.numbers.result
    content: dict[str, Any] = {
        "document": target,
        "compared_with": _result_values(compared) if compared else None,
        "figures": figures,
        "numbers": numbers,
        "left_out": located.left_out,
        "results": list(map(asdict, reports)),
    }
    return json_text(content, indent=1)


def _cut(text: str, width: int) -> str:
    return textwrap.shorten(text, width, placeholder=" …")


def how_found(figure: LocatedFigure) -> str:
    """Return a line that says how a figure was found."""
    return "  ".join(filter(None, [_place(figure), f"{figure.match.value}{_lead(figure)}"]))


def _place(figure: LocatedFigure) -> str:
    return "  ".join(filter(None, [figure.place, figure.name]))


def _figure_text(figure: LocatedFigure) -> str:
    reason = figure.reason
    if figure.match is Match.NONE:
        missing = "not read" if figure.is_unread else "not found"
        return f"{missing}: {reason}" if reason else missing
    if figure.match is Match.TIE:
        tied = [*figure.results[:1], *figure.others]
        lines = [f"cannot tell between {len(tied)} figures:"]
        for result in tied[:MOST_NAMED]:
            lines.append(f"  {title(result)}")
        if len(tied) > MOST_NAMED:
            lines.append(f"  and {len(tied) - MOST_NAMED} more")
        return "\n".join(lines)
    because = f" ({reason})" if reason else ""
    text = f"{figure.match.value}{because}{_lead(figure)}: {title(figure.results[0])}"
    more = len(figure.results) - 1
    if more:
        text += f"\nalso in {_count(more, 'other result')}, such as {title(figure.results[1])}"
    return text


def _lead(figure: LocatedFigure) -> str:
    """Return a remark in brackets that a similar figure is only a lead; empty for other matches."""
    if figure.match is not Match.SIMILAR:
        return ""
    if figure.closer is None:
        return " (a lead; no other result has a similar figure)"
    times = f"{figure.closer:.1f}" if figure.closer < MOST_TIMES else f"over {MOST_TIMES}"
    return f" (a lead; {times} times closer than {_name(figure.others[0])})"


def _name(result: Result) -> str:
    return result.experiment.name if result.experiment else result.rev[:7]


def _result_values(result: Result) -> dict[str, Any]:
    return {
        "rev": result.rev,
        "experiment": result.experiment.name if result.experiment else None,
        "paths": result.roles_in_words,
        "uncommitted": result.uncommitted,
    }
