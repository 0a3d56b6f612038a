"""Where a result comes from: `locate(reader, target)` finds the revisions that a file or name belongs to."""

from dataclasses import replace
from pathlib import Path

from ..clone_limits import limits
from ..errors import NotFoundError
from ..history.reader import Reader
from ..history.revisions import revisions_named
from .content import find_content
from .names import find_name
from .result import Located, Report, Result, Role, RoleKind, report_on

__all__ = ["Located", "Report", "Result", "Role", "RoleKind", "locate", "report_on"]


def locate(reader: Reader, target: str) -> Located:
    """Find all revisions that a target belongs to.

    Args:
        reader: of the repository to search.
        target: path of a file or folder, wherever it was copied to; or an experiment's name, a Git revision,
            or the id of an MLflow run. A folder that has the name of one of these is not what is meant.

    Raises:
        NotFoundError: nothing matches.
        UnreadableError: the only revision that can match has a broken file of DVC's.
    """
    path = Path(target)
    is_folder = bool(target) and path.is_dir() and not reader.root.is_relative_to(path.resolve())
    if not path.is_file() and (not is_folder or revisions_named(reader, target)):
        return Located(_with_projects(reader, find_name(reader, target)))
    located = find_content(reader, path)
    if not located.results:
        what = "the content of this folder, nor of a file in it" if is_folder else "a file with this content"
        lacking = limits(reader.root, bool(reader.experiments()))
        where = " of this clone" if lacking else ""
        left_out = _first_of(located.left_out)
        raise NotFoundError(
            f"{target}: no experiment and no commit of a branch or tag{where} has {what}",
            hint="; ".join([left_out, *lacking] if left_out else lacking),
        )
    return replace(located, results=_with_projects(reader, located.results))


def _with_projects(reader: Reader, results: list[Result]) -> list[Result]:
    """Results with the other projects that made them."""
    experiments = [result.experiment for result in results if result.experiment]
    foreign = reader.foreign_projects(experiments)
    return [replace(result, project=foreign.get(result.rev, "")) for result in results]


def _first_of(left_out: list[str]) -> str:
    """What may have kept a file from being found, in one line."""
    if not left_out:
        return ""
    more = f" and {len(left_out) - 1} more" if len(left_out) > 1 else ""
    return f"left out: {left_out[0]}{more}"
