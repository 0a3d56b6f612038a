"""Where a result comes from: `locate(reader, target)` finds the revisions that a file or name belongs to."""

import os
from dataclasses import replace
from pathlib import Path

from ..errors import NotFoundError
from ..repository.project import limits
from ..repository.reader import Reader, revisions_named
from .by_content import find_content
from .by_value import QuotedNumber, find_value, parse_quoted
from .names import abbreviated_commit, find_name, find_recorded
from .result import Located, Report, Result, Role, RoleKind, merged, report_on

__all__ = ["Located", "Report", "Result", "Role", "RoleKind", "locate", "merged", "report_on"]

# Git itself shortens no id of a commit to fewer digits, unless it is asked to.
SHORTEST_ID = 7


def locate(reader: Reader, target: str) -> Located:
    """Find all revisions that a target belongs to.

    Args:
        reader: of the repository to search.
        target: path of a file or folder, wherever it was copied to; or an experiment's name, a Git revision,
            or the id of an MLflow run; or a number, with or without the name of the value before it. A folder
            that has the name of one of these is not what is meant.

    Raises:
        NotFoundError: nothing matches.
        UnreadableError: the only revision that can match has a broken file of DVC's.
    """
    path = Path(target)
    is_file = os.path.isfile(target)
    is_folder = os.path.isdir(target) and not reader.root.is_relative_to(path.resolve())
    if not is_file and (not is_folder or revisions_named(reader, target)):
        try:
            located = _name_or_number(reader, target)
        except NotFoundError:
            recorded = find_recorded(reader, target)
            if recorded is None:
                raise
            located = recorded
        return replace(located, results=_with_projects(reader, located.results))
    located = find_content(reader, path)
    if not located.results:
        what = "the content of this folder, nor of a file in it" if is_folder else "a file with this content"
        lacking = limits(reader.root, bool(reader.experiments()))
        where = " of this clone" if lacking else ""
        inside = f" in {reader.prefix}" if reader.prefix else ""
        left_out = [f"left out: {line}" for line in _shortened(located.left_out)]
        raise NotFoundError(
            f"{target}: no experiment and no commit of a branch or tag{where} has {what}{inside}",
            hint="; ".join([*left_out, *lacking]),
        )
    return replace(located, results=_with_projects(reader, located.results))


def _name_or_number(reader: Reader, target: str) -> Located:
    """Results of that name; where nothing has it, results with that number.

    A few digits are sooner a number than the beginning of a commit's id, seven and more sooner such an id.
    """
    quoted = parse_quoted(target)
    if quoted is None:
        return Located(find_name(reader, target))
    commit = abbreviated_commit(reader, target)
    if commit and len(target) < SHORTEST_ID:
        located = _find_number(reader, quoted)
        if located.results:
            note = f"{target}: taken for a number; it is also the beginning of commit {commit[:12]}"
            return replace(located, notes=[note])
    try:
        results = find_name(reader, target)
    except NotFoundError as error:
        return _find_number(reader, quoted, error)
    note = f"{target}: taken for commit {commit[:12]}; for the number, write +{target}" if commit else ""
    return Located(results, notes=[note] if note else [])


def _find_number(reader: Reader, quoted: QuotedNumber, error: NotFoundError | None = None) -> Located:
    """Results with that number; where there are none, raises the error, if any, and says so."""
    found = find_value(reader, quoted)
    left_out = _shortened(found.left_out)
    if error and not found.results:
        what = f"metric or param {quoted.key}" if quoted.key else "metric or param"
        hints = [f"left out: {line}" for line in left_out]
        if found.other_names:
            hints.append(f"{found.other_names} revisions have this number under other names")
        if error.hint:
            hints.append(error.hint)
        message = f"{error.message}, and no {what} that rounds to this number"
        raise NotFoundError(message, hint="; ".join(hints))
    return Located(found.results, left_out, is_number=True)


def _with_projects(reader: Reader, results: list[Result]) -> list[Result]:
    """Results with the other projects that made them."""
    experiments = [result.experiment for result in results if result.experiment]
    foreign = reader.foreign_projects(experiments)
    return [replace(result, project=foreign.get(result.rev, "")) for result in results]


def _shortened(left_out: list[str]) -> list[str]:
    """What may have kept something from being found, in one line at most."""
    more = f" and {len(left_out) - 1} more" if len(left_out) > 1 else ""
    return [f"{line}{more}" for line in left_out[:1]]
