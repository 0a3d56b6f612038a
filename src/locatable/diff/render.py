"""A comparison as text of one screen, as Markdown, as JSON, and as a page with the figures of both."""

import re
import textwrap
from collections.abc import Iterable
from dataclasses import asdict
from shlex import join
from typing import Any

from ..errors import joined_lines
from ..locate import render
from ..model import json_text
from ..results.outputs import read_outputs
from .changes import DIGITS, Change, Side, Value
from .compare import Cause, Comparison

WIDTH = 80
# Lines of a screen.
MOST_LINES = 40
# Items of each list that are shown, or fewer where the screen would not hold them; JSON has all.
MOST_ITEMS = 4
# Metrics in a comment, which is no screen.
MOST_ROWS = 12
# Characters of a value, or a command.
LONGEST_VALUE = 40
MARGIN = 14


def to_json(found: Comparison, patch: str = "") -> str:
    """Return the whole comparison as JSON, with the changes of code as Git shows them, if any."""
    coordinates = {}
    for name, changes in found.changes.items():
        coordinates[name] = {"same": not changes, "changes": [asdict(change) for change in changes]}
    causes = [_cause_values(cause) for cause in found.causes]
    content = {
        "a": _side_values(found.a),
        "b": _side_values(found.b),
        "differs": found.differs,
        "coordinates": coordinates,
        "values": [asdict(value) for value in found.values],
        "outputs": [{"path": path, "stage": stage} for path, stage in found.outputs.items()],
        "first_cause": causes[0] if causes else None,
        "other_causes": causes[1:],
        "without_effect": [_cause_values(cause) for cause in found.idle],
        "proof": proof_command(found),
        "notes": found.notes,
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


def to_text(found: Comparison) -> str:
    """Return the comparison for people to read, on one screen."""
    lines: list[str] = []
    for most in range(MOST_ITEMS, 1, -1):
        lines = _lines(found, most)
        if len(lines) <= MOST_LINES:
            break
    return "\n".join(map(_cut, lines))


def _lines(found: Comparison, most: int) -> list[str]:
    lines: list[str] = []
    for letter, side in (("A", found.a), ("B", found.b)):
        lines.append(f"{letter}  {title(side)}")
        if side.stale:
            lines.append(f"   NOT OF THESE FILES: {side.stale}")
    lines += [f"   {note}" for note in _shortened(found.notes, most)]
    lines.append("")
    for name, changes in found.changes.items():
        told = _shortened(map(sentence, changes), most) or ["same"]
        if name == "environment" and (changes or _are_of_two_processors(found)):
            told += _processors(found)
        lines += _labelled(name, told)
    lines += ["", *_labelled("values", _value_lines(found, most))]
    lines += _labelled("outputs", _wrapped(outputs_line(found)))
    return [*lines, "", *_labelled("first cause", cause_lines(found, most))]


def title(side: Side) -> str:
    """Return what a result is called, with what was asked for."""
    name = render.title(side.result)
    is_told = side.asked in name or side.result.rev.startswith(side.asked)
    return name if is_told else f"{name}  {side.asked}"


def _labelled(label: str, items: Iterable[str]) -> list[str]:
    lines = []
    for item in items:
        before, arrow, after = item.partition(" → ")
        is_long = arrow and len(item) > WIDTH - MARGIN
        for part in (before, f"  → {after}") if is_long else (item,):
            lines.append(f"{'':<{MARGIN}}{part}")
    if lines:
        lines[0] = f"{label:<{MARGIN}}{lines[0][MARGIN:]}"
    return lines


def _wrapped(line: str) -> list[str]:
    return textwrap.wrap(line, WIDTH - MARGIN, break_long_words=False, break_on_hyphens=False)


def _cut(line: str) -> str:
    is_command = line.lstrip().startswith("locatable ")
    return line if len(line) <= WIDTH or is_command else f"{line[: WIDTH - 1]}…"


def _shortened(items: Iterable[str], most: int) -> list[str]:
    """Return the first items, and how many more there are."""
    listed = list(items)
    if len(listed) <= most:
        return listed
    return [*listed[: most - 1], f"and {len(listed) - most + 1} more"]


def sentence(change: Change) -> str:
    """Return a change in words."""
    if change.coordinate == "execution":
        return f"{change.name}: {_execution(change)}"
    is_file = change.name == change.source or change.coordinate in ("data", "code")
    if not is_file:
        detail = f" ({change.detail})" if change.detail else ""
        return f"{change.name}: {_short(change.a)} → {_short(change.b)}{detail}"
    if change.a is None or change.b is None:
        only = f"only in {'B' if change.a is None else 'A'}"
        return "  ".join(filter(None, [change.name, only, change.detail]))
    hashes = f"{str(change.a)[:DIGITS]} → {str(change.b)[:DIGITS]}"
    return f"{change.name}  {change.detail or hashes}"


def _execution(change: Change) -> str:
    if change.a is None or change.b is None:
        return change.detail
    return f"command {_short(change.a)} → {_short(change.b)}"


def _short(value: Any) -> str:
    if isinstance(value, list):
        value = "; ".join(map(str, value))
    text = "none" if value is None else joined_lines(value) or "''"
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else _short(value)


def signed(difference: float) -> str:
    """Return a difference with its sign."""
    return f"{difference:+.3g}".replace("-", "−", 1) if difference < 0 else f"{difference:+.3g}"


def _value_lines(found: Comparison, most: int) -> list[str]:
    """Return the metrics that differ, below the file of each; what a search judges by comes first."""
    if not found.values:
        return [f"{found.equal_values} metrics, all equal" if found.equal_values else "no metrics"]
    shown = sorted(found.values, key=lambda value: not value.better)[: most + 2]
    width = max(len(_name(value)) for value in shown)
    files: dict[str, list[str]] = {}
    for value in shown:
        line = f"  {_name(value):<{width}}  {_number(value.a)} → {_number(value.b)}"
        files.setdefault(value.key.rpartition(":")[0], []).append(f"{line}{_verdict(value)}")
    lines = []
    for file, inside in files.items():
        lines += [file, *inside] if file else inside
    rest = [(len(found.values) - len(shown), "more differ"), (found.equal_values, "equal")]
    told = [f"{count} {what}" for count, what in rest if count]
    return [*lines, f"and {', '.join(told)}"] if told else lines


def _name(value: Value) -> str:
    return value.key.rpartition(":")[2]


def _verdict(value: Value) -> str:
    if value.difference is None:
        return ""
    better = f"  {value.better.upper()} is better" if value.better else ""
    return f"  {signed(value.difference)}{better}"


def outputs_line(found: Comparison) -> str:
    """Return how many outputs differ, and which come first."""
    total = len(found.outputs) + found.equal_outputs
    if not found.outputs:
        return f"{total} outputs, all equal" if total else "no stage has recorded any"
    first = ", ".join(_shortened(found.outputs, 3))
    return f"{len(found.outputs)} of {total} differ: {first}"


def _are_of_two_processors(found: Comparison) -> bool:
    noted = (found.a.processor, found.b.processor)
    return None not in noted and noted[0] != noted[1]


def _processors(found: Comparison) -> list[str]:
    """Return a line about the processors that are noted of both results."""
    old, new = found.a.processor, found.b.processor
    if old == new:
        return [f"processor of both: {old}"] if old else []
    return [f"processor: {old or 'not noted'} → {new or 'not noted'}"]


def cause_lines(found: Comparison, most: int = MOST_ITEMS) -> list[str]:
    """Return lines about the first cause, what follows from it, and other causes."""
    if not found.causes:
        return _lines_without_effect(found, most)
    first, *others = found.causes
    reason, *more = _reasons(first, most)
    lines = [f"{first.stage}: {reason}", *(f"{' ' * len(first.stage)}  {line}" for line in more)]
    if not first.changes:
        lines += [*_processors(found), *filter(None, [proof_command(found)])]
    followers = []
    for follower in first.follows:
        outcome = _differ(follower.outputs) if follower.outputs else "its outputs are equal"
        followers.append(f"{'  ' * min(follower.depth, 8)}{follower.stage}  {outcome}")
    lines += _shortened(followers, most + 1)
    told = [f"also {cause.stage}: {', '.join(_reasons(cause, most))}" for cause in others]
    for cause in found.idle:
        told.append(f"without effect {cause.stage}: {', '.join(_reasons(cause, most))}")
    return lines + _shortened(told, most)


def _lines_without_effect(found: Comparison, most: int) -> list[str]:
    if found.idle:
        lines = []
        for cause in found.idle:
            lines += [f"{cause.stage}: {reason}" for reason in _reasons(cause, most)]
        return [*_shortened(lines, most), "without effect: no output differs"]
    if not found.differs:
        return ["none: coordinates, values and outputs are the same"]
    if not found.equal_outputs:
        return ["none: no stage is recorded, and so nothing says what came first"]
    return ["none: no stage read or wrote what differs"]


def _reasons(cause: Cause, most: int) -> list[str]:
    """Return what of a stage differs by itself, in lines."""
    if not cause.changes:
        remarks = [cause.remark] if cause.remark else []
        return ["not reproducible", f"its inputs are equal, and {_differ(cause.outputs)}", *remarks]
    reasons = []
    for change in cause.changes:
        is_its_own = change.coordinate == "execution" and change.name == cause.stage
        reasons.append(_execution(change) if is_its_own else sentence(change))
    lines = _shortened(reasons, most)
    if not cause.is_declared:
        lines[-1] += " (which it does not declare)"
    return lines


def _differ(outputs: list[str]) -> str:
    more = f" and {len(outputs) - 1} more" if len(outputs) > 1 else ""
    return f"{outputs[0]}{more} differ{'' if more else 's'}"


def proof_command(found: Comparison) -> str:
    """Return the command that proves that a stage is not reproducible; empty where none is."""
    if not found.causes or found.causes[0].changes:
        return ""
    named = [side.target for side in (found.a, found.b) if side.target]
    if not named:
        return ""
    return join(["locatable", "reproduce", named[0], "--stage", found.causes[0].stage])


def to_markdown(found: Comparison, patch: str = "") -> str:
    """Return the comparison as a comment on a pull request shows it, with the changes of code, if any."""
    lines = [f"**A** {_code(title(found.a))} → **B** {_code(title(found.b))}", ""]
    for letter, side in (("A", found.a), ("B", found.b)):
        if side.stale:
            lines.append(f"> **{letter} is not of its commit:** {_code(side.stale)}\n")
    lines += [f"> {_code(note)}\n" for note in found.notes[:MOST_ITEMS]]
    first, *more = cause_lines(found)
    lines += [f"**First cause** {_code(first)}", *(f"<br>{_code(line)}" for line in more), ""]
    lines += ["| coordinate | | what |", "|---|---|---|"]
    for name, changes in found.changes.items():
        told = "<br>".join(map(_code, _shortened(map(sentence, changes), MOST_ITEMS)))
        lines.append(f"| {name} | {'differs' if changes else 'same'} | {told} |")
    lines += ["", f"Outputs: {_code(outputs_line(found))}"]
    if found.values:
        lines += ["", "| metric | A | B | difference | |", "|---|---:|---:|---:|---|"]
        for value in found.values[:MOST_ROWS]:
            difference = "" if value.difference is None else signed(value.difference)
            verdict = f"{value.better.upper()} is better" if value.better else ""
            cells = (_code(value.key), _code(_number(value.a)), _code(_number(value.b)), difference, verdict)
            lines.append(f"| {' | '.join(cells)} |")
        if len(found.values) > MOST_ROWS:
            lines.append(f"\nand {len(found.values) - MOST_ROWS} more metrics")
    if patch:
        # As long as none in the code can be.
        fence = "`" * (max(map(len, re.findall("`+", patch)), default=2) + 1)
        lines += ["", f"{fence}diff", patch.rstrip("\n"), fence]
    return "\n".join(lines)


# What Markdown, HTML or a table would take for marks.
_MARKS = {ord(mark): f"&#{ord(mark)};" for mark in "&<>|*_`[]\\~\n\r"}


def _code(text: str) -> str:
    """Return a text that Markdown shows as it is, in a cell of a table, too."""
    return f"<code>{text.translate(_MARKS).replace('  ', '&nbsp; ')}</code>"


def to_html(found: Comparison) -> str:
    """Return a page with the comparison, and figures and curves of both results.

    Raises:
        ModuleNotFoundError: it has curves, and matplotlib is not installed.
    """
    # What pages are made with takes a moment to import.
    from .. import __version__
    from ..page.figures import MOST_FIGURES, figures, read_curves
    from ..page.write import page_environment

    old, new = (read_outputs(side.snapshot) for side in (found.a, found.b))
    pictures = [{figure.path: figure for figure in figures(each.contents)} for each in (old, new)]
    paths = sorted(pictures[0].keys() | pictures[1].keys())
    pairs = [(path, pictures[0].get(path), pictures[1].get(path)) for path in paths]
    template = page_environment().get_template("diff.html.j2")
    return template.render(
        found=found,
        titles=[title(found.a), title(found.b)],
        changes={name: list(map(sentence, changes)) for name, changes in found.changes.items()},
        causes=cause_lines(found),
        outputs=outputs_line(found),
        pairs=pairs[:MOST_FIGURES],
        more_figures=len(pairs[MOST_FIGURES:]),
        curves=read_curves(found.b.snapshot, new.contents, old.contents),
        missing=[*old.missing, *new.missing],
        signed=signed,
        version=__version__,
    )
