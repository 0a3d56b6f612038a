"""Where a result comes from: `locate(reader, target)` finds the revisions that a file or name belongs to."""

from pathlib import Path

from ..errors import NotFoundError
from ..history.reader import Reader
from .content import find_content
from .names import find_name
from .result import Located, Report, Result, Role, RoleKind, report_on

__all__ = ["Located", "Report", "Result", "Role", "RoleKind", "locate", "report_on"]


def locate(reader: Reader, target: str) -> Located:
    """Find all revisions that a target belongs to.

    Args:
        reader: of the repository to search.
        target: path of a file, wherever it was copied to; or an experiment's name, a Git revision, or the
            id of an MLflow run.

    Raises:
        NotFoundError: nothing matches.
        UnreadableError: the only revision that can match has a broken file of DVC's.
    """
    if not Path(target).is_file():
        return Located(find_name(reader, target))
    located = find_content(reader, Path(target))
    if not located.results:
        raise NotFoundError(
            f"{target}: no experiment and no commit of a branch or tag has a file with this content",
            hint=_first_of(located.left_out),
        )
    return located


def _first_of(left_out: list[str]) -> str:
    """What may have kept a file from being found, in one line."""
    if not left_out:
        return ""
    more = f" and {len(left_out) - 1} more" if len(left_out) > 1 else ""
    return f"left out: {left_out[0]}{more}"
