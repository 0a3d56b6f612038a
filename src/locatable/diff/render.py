"""Renders a comparison as text of one screen, as Markdown, as an HTML page with figures, and as JSON.

All forms but JSON show the same `Summary`.
"""

import re
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from os.path import commonprefix
from shlex import join
from typing import Any

from ..errors import joined_lines
from ..locate import render
from ..model import json_text
from ..results.values import read_outputs, signed
from .changes import Change, Side, Value
from .compare import Cause, Comparison

WIDTH = 80
# The width of the column of labels.
MARGIN = 14
# The most lines of a screen.
MOST_LINES = 40
# The most items of each list on a screen or in a comment. A screen shows fewer if they do not fit.
MOST_ITEMS = 4
# The most metrics in a comment, which may be longer than a screen.
MOST_ROWS = 12
# The most items of a list on a page that people can read.
MOST_ON_PAGE = 100
# The longest value or command, in characters.
LONGEST_VALUE = 40
# The characters to show before the first difference between two long values.
CONTEXT = 10
# The characters of a hash to show.
DIGITS = 8
# Stages deeper than this are not indented further, because the screen is narrow.
DEEPEST = 8


def to_json(comparison: Comparison, patch: str = "") -> str:
    """Return the whole comparison as JSON, with the changes of code in `patch` unless it is empty."""
    coordinates = {}
    for name, changes in comparison.changes.items():
        coordinates[name] = {"same": not changes, "changes": list(map(asdict, changes))}
    causes = list(map(_cause_values, comparison.causes))
    content = {
        "a": _side_values(comparison.a),
        "b": _side_values(comparison.b),
        "differs": comparison.differs,
        "coordinates": coordinates,
        "values": list(map(asdict, comparison.values)),
        "outputs": [{"path": path, "stage": stage} for path, stage in comparison.outputs.items()],
        "first_cause": causes[0] if causes else None,
        "other_causes": causes[1:],
        "without_effect": list(map(_cause_values, comparison.without_effect)),
        "proof": proof_command(comparison),
        "notes": comparison.notes,
    }
    if patch:
        content["patch"] = patch
    return json_text(content, indent=1)


def _side_values(side: Side) -> dict[str, Any]:
    experiment = side.result.experiment
    return {
        "rev": side.result.rev,
        "experiment": experiment.name if experiment else None,
        "uncommitted": side.result.uncommitted,
        "digests": side.coordinates.digests,
        "processor": side.processor.to_json() if side.processor else None,
        "not_of_this_commit": side.stale,
    }


def _cause_values(cause: Cause) -> dict[str, Any]:
    return {**asdict(cause), "reproducible": bool(cause.changes)}


@dataclass(frozen=True)
class MetricSummary:
    """A metric that differs, as texts.

    Attributes:
        key: the key as DVC writes it, `file:dotted.key`.
        a: the value in the first result.
        b: the value in the second result.
        difference: the difference with its sign; empty unless both values are numbers.
        better: says which of the two results is better; empty if that is not known.
    """

    key: str
    a: str
    b: str
    difference: str
    better: str


@dataclass(frozen=True)
class Summary:
    """A comparison as texts.

    Attributes:
        a: the title of the first result.
        b: the title of the second result.
        warnings: the warnings to show at the top.
        coordinates: the lines about each coordinate by name; empty for a coordinate that is the same.
        processors: a line about the processors of both results; empty if they cannot explain anything.
        metrics: the metrics that differ, first those for which it is known which result is better.
        other_metrics: a line with the number of metrics that are not listed; empty if there are none.
        outputs: a line with the number of outputs that differ, and the first of them.
        causes: the lines about the first cause, the stages that follow from it, and other causes.
    """

    a: str
    b: str
    warnings: list[str]
    coordinates: dict[str, list[str]]
    processors: str
    metrics: list[MetricSummary]
    other_metrics: str
    outputs: str
    causes: list[str]


def summarize(comparison: Comparison, most: int, most_metrics: int) -> Summary:
    """Return a comparison as texts.

    Args:
        comparison: the comparison.
        most: the most items of each list.
        most_metrics: the most metrics.
    """
    warnings = []
    for letter, side in (("A", comparison.a), ("B", comparison.b)):
        if side.stale:
            warnings.append(f"{letter}'s results are not of its files: {side.stale}")
    coordinates = {}
    for name, changes in comparison.changes.items():
        coordinates[name] = _shortened(map(sentence, changes), most)
    values = sorted(comparison.values, key=lambda value: not value.better)
    return Summary(
        a=title(comparison.a),
        b=title(comparison.b),
        warnings=warnings + _shortened(comparison.notes, most),
        coordinates=coordinates,
        processors=_processor_line(comparison),
        metrics=[_summarize_metric(value) for value in values[:most_metrics]],
        other_metrics=_other_metrics_line(comparison, most_metrics),
        outputs=_outputs_line(comparison),
        causes=_cause_lines(comparison, most),
    )


def title(side: Side) -> str:
    """Return the title of a result, followed by the name that the user gave, unless the title contains it."""
    name = render.title(side.result)
    if side.requested in name or side.result.rev.startswith(side.requested):
        return name
    return f"{name}  {side.requested}"


def _shortened(items: Iterable[str], most: int) -> list[str]:
    """Return the items or, if there are too many, the first ones and a line with the number of the others."""
    listed = list(items)
    if len(listed) <= most:
        return listed
    shown = listed[: most - 1]
    return [*shown, f"and {len(listed) - len(shown)} more"]


def sentence(change: Change) -> str:
    """Return a change as a text of one line."""
    if change.coordinate == "execution":
        return f"{change.name}: {_command_sentence(change)}"
    if change.coordinate in ("data", "code") or change.name == change.source:
        return _file_sentence(change)
    if change.a is None and change.b is None:
        return f"{change.name}: {change.detail}"
    old, new = _contrasting_texts(change.a, change.b)
    text = f"{change.name}: {old} → {new}"
    return f"{text} ({change.detail})" if change.detail else text


def _command_sentence(change: Change) -> str:
    """Return the change of a stage's command, or the reason why one result has no command, as a text."""
    if change.a is None or change.b is None:
        return change.detail
    old, new = _contrasting_texts(_command_text(change.a), _command_text(change.b))
    return f"command {old} → {new}"


def _command_text(cmd: str | list[str]) -> str:
    return cmd if isinstance(cmd, str) else "; ".join(cmd)


def _file_sentence(change: Change) -> str:
    """Return the change of a file or folder as a text of one line."""
    parts = [change.name]
    if change.a is None:
        parts.append("only in B")
    elif change.b is None:
        parts.append("only in A")
    elif not change.detail:
        parts.append(f"{_short_hash(change.a)} → {_short_hash(change.b)}")
    if change.detail:
        parts.append(change.detail)
    return "  ".join(parts)


def _short_hash(recorded: str) -> str:
    """Return the first digits of a hash, or of each hash if stages have read several versions of a file."""
    versions = recorded.split("+")
    return "+".join(version[:DIGITS] for version in versions)


def _value_text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, list):
        return _json_value(value)
    return joined_lines(value) or "''"


def _number_text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else _value_text(value)


def _json_value(value: Any) -> str:
    """Return a value as JSON."""
    return json_text(value, ensure_ascii=False)


def _contrasting_texts(old: Any, new: Any, show: Callable[[Any], str] = _value_text) -> tuple[str, str]:
    """Return two values as short texts that include the first difference between them."""
    old_text = show(old)
    new_text = show(new)
    if old_text == new_text:  # the values differ only in their types, spaces or last digits
        old_text = _json_value(old)
        new_text = _json_value(new)
    equal_length = len(commonprefix([old_text, new_text]))  # noqa: RUF071 (these are not paths)
    if equal_length >= LONGEST_VALUE - 1:
        start = equal_length - CONTEXT
        old_text = f"…{old_text[start:]}"
        new_text = f"…{new_text[start:]}"
    return _cut(old_text, LONGEST_VALUE), _cut(new_text, LONGEST_VALUE)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _processor_line(comparison: Comparison) -> str:
    """Return a line about the processors of both results, or an empty text.

    The line is shown if both processors are noted and differ. It is also shown if the environment differs
    or the first cause is not reproducible, because the processor may be the reason.
    """
    old = comparison.a.processor
    new = comparison.b.processor
    if old and new and old != new:
        return f"processor: {old} → {new}"
    if not comparison.changes["environment"] and not _is_not_reproducible(comparison):
        return ""
    if old == new:
        return f"processor of both: {old}" if old else ""
    return f"processor: {old or 'not noted'} → {new or 'not noted'}"


def _is_not_reproducible(comparison: Comparison) -> bool:
    return bool(comparison.causes) and not comparison.causes[0].changes


def _summarize_metric(value: Value) -> MetricSummary:
    old, new = _contrasting_texts(value.a, value.b, _number_text)
    difference = "" if value.difference is None else signed(value.difference)
    better = f"{value.better.upper()} is better" if value.better else ""
    return MetricSummary(value.key, old, new, difference, better)


def _other_metrics_line(comparison: Comparison, shown: int) -> str:
    """Return a line about the metrics that are not listed, because they are equal or too many."""
    if not comparison.values:
        return _all_equal(comparison.equal_values, "metric") or "no metrics"
    rest = []
    if len(comparison.values) > shown:
        rest.append(f"{len(comparison.values) - shown} more differ")
    if comparison.equal_values:
        rest.append(f"{comparison.equal_values} equal")
    return f"and {', '.join(rest)}" if rest else ""


def _all_equal(count: int, what: str) -> str:
    """Return that all metrics or outputs are equal; empty if there are none."""
    if count < 2:
        return f"1 {what}, equal" if count else ""
    return f"{count} {what}s, all equal"


def _outputs_line(comparison: Comparison) -> str:
    total = len(comparison.outputs) + comparison.equal_outputs
    if not total:
        return "none is recorded in both"
    if not comparison.outputs:
        return _all_equal(total, "output")
    first = ", ".join(_shortened(comparison.outputs, 3))
    return f"{len(comparison.outputs)} of {total} differ: {first}"


def _cause_lines(comparison: Comparison, most: int) -> list[str]:
    """Return the lines about the first cause, the stages that depend on it, and the other causes."""
    if not comparison.causes:
        return _lines_without_cause(comparison, most)
    first, *others = comparison.causes
    reason, *more_reasons = _reasons(first, most)
    lines = [f"{first.stage}: {reason}"]
    indent = " " * len(f"{first.stage}: ")
    for line in more_reasons:
        lines.append(f"{indent}{line}")
    if _is_not_reproducible(comparison):
        lines += filter(None, [_processor_line(comparison), proof_command(comparison)])
    followers = []
    for follower in first.follows:
        indent = "  " * min(follower.depth, DEEPEST)
        outcome = _outputs_sentence(follower.outputs) if follower.outputs else "its outputs are equal"
        followers.append(f"{indent}{follower.stage}  {outcome}")
    lines += _shortened(followers, most + 1)
    also = [f"also {cause.stage}: {', '.join(_reasons(cause, most))}" for cause in others]
    for cause in comparison.without_effect:
        also.append(f"{cause.stage}, without effect: {', '.join(_reasons(cause, most))}")
    return lines + _shortened(also, most)


def _lines_without_cause(comparison: Comparison, most: int) -> list[str]:
    """Return the lines that explain why there is no cause."""
    lines = []
    for cause in comparison.without_effect:
        for reason in _reasons(cause, most):
            lines.append(f"{cause.stage}: {reason}")
    if lines:
        return [*_shortened(lines, most), "without effect: no output differs"]
    if not comparison.differs:
        return ["none: coordinates, values and outputs are the same"]
    if not comparison.a.snapshot.records and not comparison.b.snapshot.records:
        return ["none: no stage is recorded, and so nothing says what came first"]
    return ["none: no stage read or wrote what differs"]


def _reasons(cause: Cause, most: int) -> list[str]:
    """Return the lines that explain why a stage differs."""
    if not cause.changes:
        reasons = ["not reproducible", f"its inputs are equal, and {_outputs_sentence(cause.outputs)}"]
        return [*reasons, cause.remark] if cause.remark else reasons
    reasons = []
    for change in cause.changes:
        is_own_command = change.coordinate == "execution" and change.name == cause.stage
        reasons.append(_command_sentence(change) if is_own_command else sentence(change))
    lines = _shortened(reasons, most)
    if not cause.is_declared:
        lines[-1] += " (which it does not declare)"
    return lines


def _outputs_sentence(outputs: list[str]) -> str:
    first, *others = outputs
    return f"{first} and {len(others)} more differ" if others else f"{first} differs"


def proof_command(comparison: Comparison) -> str:
    """Return the command that proves that the first cause is not reproducible; empty if there is none."""
    if not _is_not_reproducible(comparison):
        return ""
    stage = comparison.causes[0].stage
    for side in (comparison.a, comparison.b):
        if side.reproduce_target and stage in side.snapshot.records:
            return join(["locatable", "reproduce", side.reproduce_target, "--stage", stage])
    return ""


def to_text(comparison: Comparison) -> str:
    """Return the comparison as text that fits on one screen."""
    lines: list[str] = []
    for most in range(MOST_ITEMS, 1, -1):
        # Each metric can take two lines, because the path of its file is a line of its own.
        lines = _lines(summarize(comparison, most, 2 * most - 2))
        if len(lines) <= MOST_LINES:
            break
    return "\n".join(lines)


def _lines(summary: Summary) -> list[str]:
    """Return the lines of the text for a terminal of 80 columns."""
    lines = _wrapped(f"A  {summary.a}", WIDTH, "   ")
    lines += _wrapped(f"B  {summary.b}", WIDTH, "   ")
    for warning in summary.warnings:
        lines += _wrapped(f"   {warning}", WIDTH, "     ")
    lines.append("")
    for name, differences in summary.coordinates.items():
        items = differences or ["same"]
        if name == "environment" and summary.processors:
            items = [*items, summary.processors]
        lines += _labelled(name, items)
    lines += ["", *_labelled("values", _metric_lines(summary))]
    lines += _labelled("outputs", [summary.outputs])
    return [*lines, "", *_labelled("first cause", summary.causes)]


def _labelled(label: str, items: Iterable[str]) -> list[str]:
    """Return the lines of a label with its items below one another."""
    parts: list[str] = []
    for item in items:
        if item.startswith("locatable "):  # a command is not wrapped, so that people can copy it
            parts.append(item)
        else:
            parts += _wrapped(item, WIDTH - MARGIN, "  ")
    first, *more = parts
    lines = [f"{label:<{MARGIN}}{first}"]
    for part in more:
        lines.append(" " * MARGIN + part)
    return lines


def _wrapped(text: str, width: int, indent: str) -> list[str]:
    lines = textwrap.wrap(
        text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return [_cut(line, width) for line in lines]


def _metric_lines(summary: Summary) -> list[str]:
    """Return the lines about metrics, grouped below the path of each file."""
    files: dict[str, dict[str, MetricSummary]] = {}
    for metric in summary.metrics:
        file, colon, name = metric.key.partition(":")  # a name may contain colons, too
        if not colon:  # the file consists of a single value
            file, name = "", metric.key
        files.setdefault(file, {})[name] = metric
    lines: list[str] = []
    for file, metrics in files.items():
        if file:
            lines.append(file)
        width = max(map(len, metrics))
        for name, metric in metrics.items():
            parts = [f"  {name:<{width}}", f"{metric.a} → {metric.b}", metric.difference, metric.better]
            lines.append("  ".join(filter(None, parts)))
    if summary.other_metrics:
        lines.append(summary.other_metrics)
    return lines


def to_markdown(comparison: Comparison, patch: str = "") -> str:
    """Return the comparison, and the changes of code in `patch`, as a comment on a pull request."""
    # Imported here because most comparisons need no template, and the import takes time.
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(  # noqa: S701 (each text is escaped by `code`)
        loader=PackageLoader(__package__), undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["code"] = _code
    # The fence must be longer than every run of backticks in the code, and have at least three.
    fences = ["``", *re.findall("`+", patch)]
    comment = environment.get_template("comment.md.j2").render(
        summary=summarize(comparison, MOST_ITEMS, MOST_ROWS),
        patch=patch.rstrip("\n"),
        fence=max(fences, key=len) + "`",
    )
    return comment.rstrip()


# The characters that have a meaning in Markdown, in HTML or in a table.
_MARKS = {ord(mark): f"&#{ord(mark)};" for mark in "&<>|*_`[]\\~\n\r"}


def _code(text: str) -> str:
    """Return Markdown that shows a text exactly as it is, also in a cell of a table."""
    return f"<code>{text.translate(_MARKS).replace('  ', '&nbsp; ')}</code>"


def to_html(comparison: Comparison) -> str:
    """Return an HTML page with the comparison, and the figures and curves of both results.

    Raises:
        ModuleNotFoundError: the page has curves, and matplotlib is not installed.
    """
    # Imported here because most comparisons write no page, and the imports take time.
    from .. import __version__
    from ..page import page_environment
    from ..page.figures import MOST_FIGURES, figures, read_curves

    old = read_outputs(comparison.a.snapshot)
    new = read_outputs(comparison.b.snapshot)
    old_figures = {figure.path: figure for figure in figures(old.contents)}
    new_figures = {figure.path: figure for figure in figures(new.contents)}
    pairs = []
    for path in sorted({*old_figures, *new_figures}):
        pairs.append((path, old_figures.get(path), new_figures.get(path)))
    template = page_environment().get_template("diff.html.j2")
    return template.render(
        summary=summarize(comparison, MOST_ON_PAGE, MOST_ON_PAGE),
        pairs=pairs[:MOST_FIGURES],
        more_figures=len(pairs[MOST_FIGURES:]),
        curves=read_curves(comparison.b.snapshot, new.contents, old.contents),
        missing=[*old.missing, *new.missing],
        version=__version__,
    )
