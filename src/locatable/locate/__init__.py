"""Find where a result comes from: the revisions that a file, a name or a number belongs to."""

import os
import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import NotFoundError, UnreadableError
from ..repository.reader import Reader, commit_id, revisions_named
from .by_content import find_content, find_recorded
from .result import Located, Report, Result, Role, RoleKind, hints, merged, note_projects, report_on

if TYPE_CHECKING:
    from ..results.values import ValueKind

__all__ = [
    "Located",
    "Report",
    "Result",
    "Role",
    "RoleKind",
    "find_name",
    "identity",
    "locate",
    "merged",
    "report_on",
]

# Git abbreviates commit ids to at least seven digits by default.
SHORTEST_ID = 7


def locate(reader: Reader, target: str, rev: str | None = None) -> Located:
    """Find all revisions that a target belongs to.

    Args:
        reader: the reader of the repository to search.
        target: the path of a file or folder, wherever it was copied to; the name of an experiment; a Git
            revision; the id of an MLflow run; or a number, optionally preceded by the name of the value. If a
            folder has the same name as an experiment or revision, the experiment or revision is located. If
            no result has a picture or document as a whole, its figures and numbers are located.
        rev: the result to compare the numbers of a document with; None for the most likely one.

    Raises:
        NotFoundError: nothing matches, or a document has neither a figure nor a number of a result.
        UnreadableError: the only revision that can match has a broken DVC file; or the document is broken,
            encrypted, or in an unsupported format.
        ModuleNotFoundError: the packages that read documents are not installed.
    """
    # The project's own folder, or one around it, is no target.
    is_folder = os.path.isdir(target) and not reader.root.is_relative_to(Path(target).resolve())
    if os.path.isfile(target):
        located = _locate_file(reader, target, rev)
    elif is_folder and not revisions_named(reader, target):
        located = _locate_content(reader, target)
    else:
        located = _locate_name(reader, target)
    note_projects(reader, located.results)
    return located


def _locate_file(reader: Reader, target: str, rev: str | None) -> Located:
    """Return the results with the content of a file, or the results of its figures and numbers.

    The figures and numbers are located if the file is a document that no stage wrote, such as a paper that is
    kept in Git beside the code.
    """
    path = Path(target)
    try:
        located = _locate_content(reader, target)
    except NotFoundError as not_found:
        return _locate_unknown(reader, target, not_found, rev)
    kinds: set[RoleKind | ValueKind] = set()
    for result in located.results:
        kinds |= result.kinds
    if not kinds <= {RoleKind.IN_GIT, RoleKind.INPUT}:
        return located  # a stage wrote the document, or a `.dvc` file tracks it
    from ..documents import NOT_FETCHED, is_archive, is_document

    if is_archive(path) or (not is_document(path) and rev is None):
        return located
    try:
        document = _locate_figures(reader, target, rev)
    except (ModuleNotFoundError, NotFoundError, UnreadableError):
        return located
    is_read_by_stage = RoleKind.INPUT in kinds
    has_only_links = {figure.reason for figure in document.figures} == {NOT_FETCHED}
    # Such a file is rather data or a README than a paper. Without traced figures, its own content says more.
    if not document.results and (is_read_by_stage or has_only_links):
        return located
    return document


def _locate_unknown(reader: Reader, target: str, not_found: NotFoundError, rev: str | None) -> Located:
    """Return the results that a file shows, although no result has a file with the same bytes."""
    from ..documents import instead_of, is_archive, is_document, is_picture
    from ..documents.passages import has_passages

    path = Path(target)
    if is_picture(path):
        return _locate_changed_picture(reader, target, not_found)
    if instead_of(path) or (is_document(path) and not is_archive(path)):
        return _locate_figures(reader, target, rev)
    if has_passages(path):
        # The name of an archive, a table or a plain text does not say whether it is a manuscript. It counts
        # as one if a figure or number of a result is found in it; otherwise it is an unknown file.
        with suppress(NotFoundError, UnreadableError, ModuleNotFoundError):
            return _locate_figures(reader, target, rev)
    raise not_found


def _locate_content(reader: Reader, target: str) -> Located:
    path = Path(target)
    located = find_content(reader, path)
    if located.results:
        return located
    what = "the content of this folder, nor of a file in it" if path.is_dir() else "a file with this content"
    limits = reader.limits()
    where = " of this clone" if limits else ""
    inside = f" in {reader.prefix}" if reader.prefix else ""
    hint = "; ".join([*hints(located.left_out), *limits])
    raise NotFoundError(
        f"{target}: no experiment and no commit of a branch or tag{where} has {what}{inside}", hint
    )


def _locate_figures(reader: Reader, target: str, rev: str | None = None) -> Located:
    # Imported late: the libraries that compare pictures take a second to import, and are an optional extra.
    from .document import locate_document

    return locate_document(reader, target, rev)


def _locate_changed_picture(reader: Reader, target: str, not_found: NotFoundError) -> Located:
    """Return the results that a changed copy of a picture shows.

    Raises:
        NotFoundError: no result has a similar figure, or the libraries that compare pictures are missing.
    """
    try:
        document = _locate_figures(reader, target)
    except ModuleNotFoundError:
        reasons = [not_found.hint, "if it was changed since: pip install 'locatable[documents]'"]
    else:
        figure = document.figures[0]
        if figure.results:
            return document
        reasons = [figure.reason, not_found.hint]
    raise NotFoundError(not_found.message, hint="; ".join(filter(None, reasons))) from None


def _locate_name(reader: Reader, target: str) -> Located:
    """Return the results with a name or number; if there are none, those of a path that HEAD records."""
    try:
        return _locate_name_or_number(reader, target)
    except NotFoundError:
        recorded = find_recorded(reader, target)
        if recorded:
            return recorded
        raise


def _locate_name_or_number(reader: Reader, target: str) -> Located:
    """Return the results with a name; if there are none, the results with that number.

    Some texts, such as 947, are both a number and the beginning of a commit id. With fewer than seven digits
    the text is taken for a number if a result has it; with seven or more it is taken for the commit.
    """
    from .by_value import find_value, parse_quoted

    quoted = parse_quoted(target)
    if quoted is None:
        return Located(find_name(reader, target))
    commit = _abbreviated_commit(reader, target)
    if commit and len(target) < SHORTEST_ID:
        with suppress(NotFoundError):
            note = f"{target}: taken for a number; it is also the beginning of commit {commit[:12]}"
            return replace(find_value(reader, quoted), notes=[note])
    try:
        results = find_name(reader, target)
    except NotFoundError as no_name:
        try:
            return find_value(reader, quoted)
        except NotFoundError as no_number:
            message = f"{no_name.message}, and {no_number.message}"
            hint = "; ".join(filter(None, [no_number.hint, no_name.hint]))
            raise NotFoundError(message, hint) from None
    notes = [f"{target}: taken for commit {commit[:12]}; for the number, write +{target}"] if commit else []
    return Located(results, notes=notes)


def _abbreviated_commit(reader: Reader, text: str) -> str | None:
    """Return the commit whose id a text abbreviates; None for a full id or any other name."""
    commit = commit_id(reader, text)
    if commit is None or commit == text.lower() or not commit.startswith(text.lower()):
        return None
    refs = [f"refs/heads/{text}", f"refs/tags/{text}", f"refs/remotes/{text}"]
    names = {experiment.name for experiment in reader.experiments()}
    return None if text in names or any(reader.objects.read(refs)) else commit


def find_name(reader: Reader, name: str) -> list[Result]:
    """Return the results with a name; several only if experiments of different baselines share the name.

    Raises:
        NotFoundError: no file, experiment, revision or MLflow run has that name.
    """
    revisions = revisions_named(reader, name)
    if not revisions and re.fullmatch("[0-9a-f]{32}", name):
        mirrored = _mirrored_revision(reader, name)
        revisions = revisions_named(reader, mirrored) if mirrored else []
    if not revisions:
        raise NotFoundError(
            f"{name}: no file, experiment, Git revision or MLflow run of that name",
            hint="; ".join(reader.limits()),
        )
    return [Result(reader.snapshot(revision.rev), revision.experiment) for revision in revisions]


def _mirrored_revision(reader: Reader, run_id: str) -> str | None:
    """Return the revision that an MLflow run mirrors; None if there is no such run.

    Raises:
        NotFoundError: MLflow is not installed.
    """
    try:
        from ..mlflow.settings import read_uri
        from ..mlflow.store import mirrored_revision  # MLflow takes seconds to import.

        return mirrored_revision(read_uri(reader.root), run_id)
    except ModuleNotFoundError as error:
        if error.name != "mlflow":
            raise
        raise NotFoundError(
            f"{run_id}: no file, experiment or Git revision of that name",
            hint="if it is an MLflow run: pip install 'locatable[mlflow]'",
        ) from None
