"""Finds a target as a whole, or the figures in it; what looks for these is imported when it is needed."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..documents.figure import instead_of, is_document, is_picture
from ..errors import NotFoundError, UnreadableError
from ..repository.reader import Reader
from . import locate
from .result import Located, RoleKind

if TYPE_CHECKING:
    from .document import LocatedDocument


def locate_file_or_figures(reader: Reader, target: str) -> "Located | LocatedDocument":
    """Find the revisions that a target belongs to; of a document that is unknown as a whole, its figures'.

    Args:
        reader: of the repository to search.
        target: see `locate`; also a document or a picture.

    Raises:
        NotFoundError: nothing matches, or a document has no figures.
        UnreadableError: the document is broken, encrypted, or of a format that is not read.
        ModuleNotFoundError: what reads documents is not installed.
    """
    try:
        located = locate(reader, target)
    except NotFoundError as error:
        path = Path(target)
        is_file = os.path.isfile(target)
        if is_file and is_picture(path):
            return _changed_picture(reader, target, error)
        if is_file and (is_document(path) or instead_of(path)):
            from .document import locate_document

            return locate_document(reader, target)
        raise
    kinds = {role.kind for result in located.results for role in result.roles.values()}
    if not (kinds and kinds <= {RoleKind.IN_GIT, RoleKind.INPUT} and is_document(Path(target))):
        return located
    # A text that no stage wrote: its figures say more.
    try:
        from .document import locate_document

        document = locate_document(reader, target)
    except (ModuleNotFoundError, NotFoundError, UnreadableError):
        return located
    says_less = RoleKind.INPUT in kinds or document.has_foreign_figures_only
    return located if document.finds_nothing and says_less else document


def _changed_picture(reader: Reader, target: str, not_found: NotFoundError) -> "LocatedDocument":
    """What a picture shows that has other bytes than any result's."""
    try:
        from .document import locate_document

        document = locate_document(reader, target)
    except ModuleNotFoundError:
        install = "if it was changed since: pip install 'locatable[documents]'"
        hint = "; ".join(part for part in (not_found.hint, install) if part)
        raise NotFoundError(not_found.message, hint=hint) from None
    if document.finds_nothing:
        reason = document.figures[0].reason
        raise NotFoundError(
            not_found.message, hint="; ".join(part for part in (reason, not_found.hint) if part)
        )
    return document
