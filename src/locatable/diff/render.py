"""A comparison as text of one screen, as Markdown, as JSON, and as a page with the figures of both."""

import re
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import asdict
from os.path import commonprefix
from shlex import join
from typing import Any

from ..errors import joined_lines
from ..locate import render
from ..model import json_text
from ..results.values import read_outputs
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
# Characters that are shown before the first that differs.
BEFORE = 10


def to_json(found: Comparison, patch: str = "") -> str:
    """Return the whole comparison as JSON, with the changes of code as Git shows them, if any."""
    coordinates = {}
    for name, changes in found.changes.items():
        coordinates[name] = {"same": not changes, "changes": list(map(asdict, changes))}
    causes = list(map(_cause_values, found.causes))
    content = {
        "a": _side_values(found.a),
        "b": _side_values(found.b),
        "differs": found.differs,
        "coordinates": coordinates,
        "values": list(map(asdict, found.values)),
        "outputs": [{"path": path, "stage": stage} for path, stage in found.outputs.items()],
        "first_cause": causes[0] if causes else None,
        "other_causes": causes[1:],
        "without_effect": list(map(_cause_values, found.idle)),
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
        parts = [item]
        if arrow and len(item) > WIDTH - MARGIN:
            parts = [before, f"  → {after}"]
        for part in parts:
            lines.append(f"{label:<{MARGIN}}{part}")
            label = ""
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
        if change.a is None and change.b is None:
            return f"{change.name}: {change.detail}"
        detail = f" ({change.detail})" if change.detail else ""
        return f"{change.name}: {' → '.join(_texts(change.a, change.b))}{detail}"
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


def _digits(seen: str) -> str:
    """Return the first digits of a hash; of several, of the versions that stages have seen, those of each."""
    return "+".join(version[:DIGITS] for version in str(seen).split("+"))


def _execution(change: Change) -> str:
    if change.a is None or change.b is None:
        return change.detail
    old, new = _texts(_commands(change.a), _commands(change.b))
    return f"command {old} → {new}"


def _commands(cmd: Any) -> str:
    return "; ".join(map(str, cmd)) if isinstance(cmd, list) else str(cmd)


def _text(value: Any) -> str:
    if value is None:
        return "none"
    return _literal(value) if isinstance(value, list) else joined_lines(value) or "''"


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else _text(value)


def _texts(old: Any, new: Any, show: Callable[[Any], str] = _text) -> tuple[str, str]:
    """Return two values as short texts that show in what they differ."""
    texts = [show(old), show(new)]
    if texts[0] == texts[1]:  # but for their types, spaces, or last digits
        texts = [_literal(old), _literal(new)]
    same = len(commonprefix(texts))  # noqa: RUF071 (they are no paths)
    is_hidden = same >= LONGEST_VALUE - 1 or texts[0] == texts[1]
    if is_hidden and same > BEFORE:
        texts = [f"…{text[same - BEFORE :]}" for text in texts]
    one, other = map(_short, texts)
    return one, other


def _literal(value: Any) -> str:
    """Return a value as JSON has it."""
    return json_text(value, ensure_ascii=False)


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"


def signed(difference: float) -> str:
    """Return a difference with its sign."""
    return f"{difference:+.3g}".replace("-", "−", 1) if difference < 0 else f"{difference:+.3g}"


def _value_lines(found: Comparison, most: int) -> list[str]:
    """Return the metrics that differ, below the file of each; what a search judges by comes first."""
    if not found.values:
        return [f"{found.equal_values} metrics, all equal" if found.equal_values else "no metrics"]
    shown = sorted(found.values, key=lambda value: not value.better)[: most + 2]
    names = [_place(value) for value in shown]
    width = max(len(name) for _, name in names)
    files: dict[str, list[str]] = {}
    for value, (file, name) in zip(shown, names, strict=True):
        old, new = _texts(value.a, value.b, _number)
        line = f"  {name:<{width}}  {old} → {new}"
        if value.difference is not None:
            line += f"  {signed(value.difference)}"
        if value.better:
            line += f"  {value.better.upper()} is better"
        files.setdefault(file, []).append(line)
    lines = []
    for file, inside in files.items():
        if file:
            lines.append(file)
        lines += inside
    rest = []
    if len(found.values) > len(shown):
        rest.append(f"{len(found.values) - len(shown)} more differ")
    if found.equal_values:
        rest.append(f"{found.equal_values} equal")
    if rest:
        lines.append(f"and {', '.join(rest)}")
    return lines


def _place(value: Value) -> tuple[str, str]:
    """Return file and name of a metric; no file where it is all that the file holds."""
    file, colon, name = value.key.partition(":")  # a name can have colons, too
    return (file, name) if colon else ("", file)


def outputs_line(found: Comparison) -> str:
    """Return how many outputs differ, and which come first."""
    total = len(found.outputs) + found.equal_outputs
    if not found.outputs:
        return f"{total} outputs, all equal" if total else "none is recorded in both"
    first = ", ".join(_shortened(found.outputs, 3))
    return f"{len(found.outputs)} of {total} differ: {first}"


def _are_of_two_processors(found: Comparison) -> bool:
    old, new = found.a.processor, found.b.processor
    return old is not None and new is not None and old != new


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
    lines = [f"{first.stage}: {reason}"]
    for line in more:
        lines.append(f"{' ' * len(first.stage)}  {line}")
    if not first.changes:
        lines += _processors(found)
        proof = proof_command(found)
        if proof:
            lines.append(proof)
    followers = []
    for follower in first.follows:
        indent = "  " * min(follower.depth, 8)
        outcome = _differ(follower.outputs) if follower.outputs else "its outputs are equal"
        followers.append(f"{indent}{follower.stage}  {outcome}")
    lines += _shortened(followers, most + 1)
    told = []
    for word, causes in (("also", others), ("without effect", found.idle)):
        for cause in causes:
            told.append(f"{word} {cause.stage}: {', '.join(_reasons(cause, most))}")
    return lines + _shortened(told, most)


def _lines_without_effect(found: Comparison, most: int) -> list[str]:
    lines = []
    for cause in found.idle:
        for reason in _reasons(cause, most):
            lines.append(f"{cause.stage}: {reason}")
    if lines:
        return [*_shortened(lines, most), "without effect: no output differs"]
    if not found.differs:
        return ["none: coordinates, values and outputs are the same"]
    if not found.a.snapshot.records and not found.b.snapshot.records:
        return ["none: no stage is recorded, and so nothing says what came first"]
    return ["none: no stage read or wrote what differs"]


def _reasons(cause: Cause, most: int) -> list[str]:
    """Return what of a stage differs by itself, in lines."""
    reasons = []
    if not cause.changes:
        reasons += ["not reproducible", f"its inputs are equal, and {_differ(cause.outputs)}"]
        if cause.remark:
            reasons.append(cause.remark)
        return reasons
    for change in cause.changes:
        is_its_own = change.coordinate == "execution" and change.name == cause.stage
        reasons.append(_execution(change) if is_its_own else sentence(change))
    lines = _shortened(reasons, most)
    if not cause.is_declared:
        lines[-1] += " (which it does not declare)"
    return lines


def _differ(outputs: list[str]) -> str:
    if len(outputs) == 1:
        return f"{outputs[0]} differs"
    return f"{outputs[0]} and {len(outputs) - 1} more differ"


def proof_command(found: Comparison) -> str:
    """Return the command that proves that a stage is not reproducible; empty where none is."""
    if not found.causes or found.causes[0].changes:
        return ""
    stage = found.causes[0].stage
    for side in (found.a, found.b):
        if side.target and stage in side.snapshot.records:
            return join(["locatable", "reproduce", side.target, "--stage", stage])
    return ""


def to_markdown(found: Comparison, patch: str = "") -> str:
    """Return the comparison as a comment on a pull request shows it, with the changes of code, if any."""
    lines = [f"**A** {_code(title(found.a))} → **B** {_code(title(found.b))}", ""]
    for letter, side in (("A", found.a), ("B", found.b)):
        if side.stale:
            lines.append(f"> **{letter} is not of its commit:** {_code(side.stale)}\n")
    for note in _shortened(found.notes, MOST_ITEMS):
        lines.append(f"> {_code(note)}\n")
    causes = "\n<br>".join(map(_code, cause_lines(found)))
    lines += [f"**First cause** {causes}", "", "| coordinate | | what |", "|---|---|---|"]
    for name, changes in found.changes.items():
        told = "<br>".join(map(_code, _shortened(map(sentence, changes), MOST_ITEMS)))
        lines.append(f"| {name} | {'differs' if changes else 'same'} | {told} |")
    lines += ["", f"Outputs: {_code(outputs_line(found))}"]
    if found.values:
        lines += ["", "| metric | A | B | difference | |", "|---|---:|---:|---:|---|"]
        lines += map(_row, found.values[:MOST_ROWS])
        if len(found.values) > MOST_ROWS:
            lines.append(f"\nand {len(found.values) - MOST_ROWS} more metrics")
    if patch:
        # Longer than any in the code, and of at least three.
        longest = max([2, *map(len, re.findall("`+", patch))])
        fence = "`" * (longest + 1)
        lines += ["", f"{fence}diff", patch.rstrip("\n"), fence]
    return "\n".join(lines)


def _row(value: Value) -> str:
    """Return a metric as a row of a table."""
    old, new = _texts(value.a, value.b, _number)
    difference = "" if value.difference is None else signed(value.difference)
    better = f"{value.better.upper()} is better" if value.better else ""
    return f"| {_code(value.key)} | {_code(old)} | {_code(new)} | {difference} | {better} |"


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
    from ..page import page_environment
    from ..page.figures import MOST_FIGURES, figures, read_curves

    old = read_outputs(found.a.snapshot)
    new = read_outputs(found.b.snapshot)
    old_figures = {figure.path: figure for figure in figures(old.contents)}
    new_figures = {figure.path: figure for figure in figures(new.contents)}
    pairs = []
    for path in sorted({*old_figures, *new_figures}):
        pairs.append((path, old_figures.get(path), new_figures.get(path)))
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
