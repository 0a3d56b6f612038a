"""A comparison as text of one screen, as Markdown, as a page with the figures of both, and as JSON.

All but JSON show the same `Summary`.
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
# Characters before what stands behind a label.
MARGIN = 14
# Lines of a screen.
MOST_LINES = 40
# Items of each list that a screen or a comment shows, or fewer where a screen would not hold them.
MOST_ITEMS = 4
# Metrics of a comment, which is no screen.
MOST_ROWS = 12
# Items of a list on a page, which somebody can still read.
MOST_ON_PAGE = 100
# Characters of a value, or a command.
LONGEST_VALUE = 40
# Characters that are shown before the first that differs.
BEFORE = 10
# Characters of a hash that are shown.
DIGITS = 8
# Deeper stages are not indented further: the screen is narrow.
DEEPEST = 8


def to_json(comparison: Comparison, patch: str = "") -> str:
    """Return the whole comparison as JSON, with the changes of code as Git shows them, if any."""
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
        "without_effect": list(map(_cause_values, comparison.idle)),
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
    """A metric that differs, in words.

    Attributes:
        key: as DVC writes it, `file:dotted.key`.
        a: its value in the first result.
        b: in the second one.
        difference: with its sign; empty where there is none.
        better: which of the two results is; empty where nothing says so.
    """

    key: str
    a: str
    b: str
    difference: str
    better: str


@dataclass(frozen=True)
class Summary:
    """A comparison in words.

    Attributes:
        a: title of the first result.
        b: title of the second one.
        warnings: what to know before anything else.
        coordinates: lines about what differs, by name; none where a coordinate is the same.
        processors: a line about those that the results were computed on; empty where it tells nothing.
        metrics: those that differ; what a search judges by comes first.
        other_metrics: how many there are beside these; empty where there are none.
        outputs: how many differ, and which come first.
        causes: lines about the first cause, what follows from it, and other causes.
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
    """Return a comparison in words, with so many items of each list, and so many metrics."""
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
        processors=_processors(comparison),
        metrics=[_summarize_metric(value) for value in values[:most_metrics]],
        other_metrics=_other_metrics(comparison, most_metrics),
        outputs=_outputs(comparison),
        causes=_causes(comparison, most),
    )


def title(side: Side) -> str:
    """Return what a result is called, with what was asked for."""
    name = render.title(side.result)
    if side.asked in name or side.result.rev.startswith(side.asked):
        return name
    return f"{name}  {side.asked}"


def _shortened(items: Iterable[str], most: int) -> list[str]:
    """Return the first items, and how many more there are."""
    listed = list(items)
    if len(listed) <= most:
        return listed
    shown = listed[: most - 1]
    return [*shown, f"and {len(listed) - len(shown)} more"]


def sentence(change: Change) -> str:
    """Return a change in words."""
    if change.coordinate == "execution":
        return f"{change.name}: {_execution(change)}"
    if change.coordinate in ("data", "code") or change.name == change.source:
        return _file_sentence(change)
    if change.a is None and change.b is None:
        return f"{change.name}: {change.detail}"
    old, new = _texts(change.a, change.b)
    text = f"{change.name}: {old} → {new}"
    return f"{text} ({change.detail})" if change.detail else text


def _execution(change: Change) -> str:
    if change.a is None or change.b is None:
        return change.detail
    old, new = _texts(_command(change.a), _command(change.b))
    return f"command {old} → {new}"


def _command(cmd: str | list[str]) -> str:
    return cmd if isinstance(cmd, str) else "; ".join(cmd)


def _file_sentence(change: Change) -> str:
    parts = [change.name]
    if change.a is None:
        parts.append("only in B")
    elif change.b is None:
        parts.append("only in A")
    elif not change.detail:
        parts.append(f"{_digits(change.a)} → {_digits(change.b)}")
    if change.detail:
        parts.append(change.detail)
    return "  ".join(parts)


def _digits(recorded: str) -> str:
    """Return the first digits of a hash; of several, of the versions that stages have seen, those of each."""
    versions = recorded.split("+")
    return "+".join(version[:DIGITS] for version in versions)


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, list):
        return _literal(value)
    return joined_lines(value) or "''"


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else _text(value)


def _literal(value: Any) -> str:
    """Return a value as JSON has it."""
    return json_text(value, ensure_ascii=False)


def _texts(old: Any, new: Any, show: Callable[[Any], str] = _text) -> tuple[str, str]:
    """Return two values as short texts that show in what they differ."""
    one, other = show(old), show(new)
    if one == other:  # but for their types, spaces, or last digits
        one, other = _literal(old), _literal(new)
    same = len(commonprefix([one, other]))  # noqa: RUF071 (they are no paths)
    if same >= LONGEST_VALUE - 1:
        start = same - BEFORE
        one, other = f"…{one[start:]}", f"…{other[start:]}"
    return _cut(one, LONGEST_VALUE), _cut(other, LONGEST_VALUE)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _processors(comparison: Comparison) -> str:
    """Return a line about noted processors that differ, or may be why something does; empty otherwise."""
    old, new = comparison.a.processor, comparison.b.processor
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
    old, new = _texts(value.a, value.b, _number)
    difference = "" if value.difference is None else signed(value.difference)
    better = f"{value.better.upper()} is better" if value.better else ""
    return MetricSummary(value.key, old, new, difference, better)


def _other_metrics(comparison: Comparison, shown: int) -> str:
    if not comparison.values:
        return f"{comparison.equal_values} metrics, all equal" if comparison.equal_values else "no metrics"
    rest = []
    if len(comparison.values) > shown:
        rest.append(f"{len(comparison.values) - shown} more differ")
    if comparison.equal_values:
        rest.append(f"{comparison.equal_values} equal")
    return f"and {', '.join(rest)}" if rest else ""


def _outputs(comparison: Comparison) -> str:
    total = len(comparison.outputs) + comparison.equal_outputs
    if not total:
        return "none is recorded in both"
    if not comparison.outputs:
        return f"{total} outputs, all equal"
    first = ", ".join(_shortened(comparison.outputs, 3))
    return f"{len(comparison.outputs)} of {total} differ: {first}"


def _causes(comparison: Comparison, most: int) -> list[str]:
    if not comparison.causes:
        return _causes_without_effect(comparison, most)
    first, *others = comparison.causes
    reason, *more = _reasons(first, most)
    lines = [f"{first.stage}: {reason}"]
    indent = " " * len(f"{first.stage}: ")
    for line in more:
        lines.append(f"{indent}{line}")
    if _is_not_reproducible(comparison):
        lines += filter(None, [_processors(comparison), proof_command(comparison)])
    followers = []
    for follower in first.follows:
        indent = "  " * min(follower.depth, DEEPEST)
        outcome = _differ(follower.outputs) if follower.outputs else "its outputs are equal"
        followers.append(f"{indent}{follower.stage}  {outcome}")
    lines += _shortened(followers, most + 1)
    less = [f"also {cause.stage}: {', '.join(_reasons(cause, most))}" for cause in others]
    for cause in comparison.idle:
        less.append(f"{cause.stage}, without effect: {', '.join(_reasons(cause, most))}")
    return lines + _shortened(less, most)


def _causes_without_effect(comparison: Comparison, most: int) -> list[str]:
    lines = []
    for cause in comparison.idle:
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
    """Return what of a stage differs by itself, in lines."""
    if not cause.changes:
        reasons = ["not reproducible", f"its inputs are equal, and {_differ(cause.outputs)}"]
        return [*reasons, cause.remark] if cause.remark else reasons
    reasons = []
    for change in cause.changes:
        is_its_own = change.coordinate == "execution" and change.name == cause.stage
        reasons.append(_execution(change) if is_its_own else sentence(change))
    lines = _shortened(reasons, most)
    if not cause.is_declared:
        lines[-1] += " (which it does not declare)"
    return lines


def _differ(outputs: list[str]) -> str:
    first, *others = outputs
    return f"{first} and {len(others)} more differ" if others else f"{first} differs"


def proof_command(comparison: Comparison) -> str:
    """Return the command that proves that a stage is not reproducible; empty where none is."""
    if not _is_not_reproducible(comparison):
        return ""
    stage = comparison.causes[0].stage
    for side in (comparison.a, comparison.b):
        if side.target and stage in side.snapshot.records:
            return join(["locatable", "reproduce", side.target, "--stage", stage])
    return ""


def to_text(comparison: Comparison) -> str:
    """Return the comparison for people to read, on one screen."""
    lines: list[str] = []
    for most in range(MOST_ITEMS, 1, -1):
        # A metric can take two lines, one of them for its file.
        lines = _lines(summarize(comparison, most, 2 * most - 2))
        if len(lines) <= MOST_LINES:
            break
    return "\n".join(lines)


def _lines(summary: Summary) -> list[str]:
    """Return what a terminal of 80 columns shows."""
    lines = _wrapped(f"A  {summary.a}", WIDTH, "   ")
    lines += _wrapped(f"B  {summary.b}", WIDTH, "   ")
    for warning in summary.warnings:
        lines += _wrapped(f"   {warning}", WIDTH, "     ")
    lines.append("")
    for name, told in summary.coordinates.items():
        items = told or ["same"]
        if name == "environment" and summary.processors:
            items = [*items, summary.processors]
        lines += _labelled(name, items)
    lines += ["", *_labelled("values", _metric_lines(summary))]
    lines += _labelled("outputs", [summary.outputs])
    return [*lines, "", *_labelled("first cause", summary.causes)]


def _labelled(label: str, items: Iterable[str]) -> list[str]:
    """Return lines with items below one another, behind a label."""
    parts: list[str] = []
    for item in items:
        if item.startswith("locatable "):  # a command stays whole, for people to copy it
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
    """Return the metrics below the file of each, and how many others there are."""
    files: dict[str, dict[str, MetricSummary]] = {}
    for metric in summary.metrics:
        file, colon, name = metric.key.partition(":")  # a name can have colons, too
        if not colon:  # the file is one value
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
    """Return the comparison as a comment on a pull request shows it, with the changes of code, if any."""
    # Most comparisons need no template, and it takes a moment to import.
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(  # noqa: S701 (each text is escaped by `code`)
        loader=PackageLoader(__package__), undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["code"] = _code
    # A fence is longer than any in the code, and of at least three.
    fences = ["``", *re.findall("`+", patch)]
    comment = environment.get_template("comment.md.j2").render(
        summary=summarize(comparison, MOST_ITEMS, MOST_ROWS),
        patch=patch.rstrip("\n"),
        fence=max(fences, key=len) + "`",
    )
    return comment.rstrip()


# What Markdown, HTML or a table would take for marks.
_MARKS = {ord(mark): f"&#{ord(mark)};" for mark in "&<>|*_`[]\\~\n\r"}


def _code(text: str) -> str:
    """Return a text that Markdown shows as it is, in a cell of a table, too."""
    return f"<code>{text.translate(_MARKS).replace('  ', '&nbsp; ')}</code>"


def to_html(comparison: Comparison) -> str:
    """Return a page with the comparison, and figures and curves of both results.

    Raises:
        ModuleNotFoundError: it has curves, and matplotlib is not installed.
    """
    # What pages are made with takes a moment to import.
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
