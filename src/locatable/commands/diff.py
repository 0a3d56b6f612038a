"""Explain why two results differ: which inputs and commands changed, and which change came first.

    locatable diff A [B] [--repo FOLDER] [--patch] [--check]
                   [--json | --markdown] [--html FILE]

A and B can each be anything that `locatable locate` accepts (a file, an experiment, a revision, an MLflow run
or a number), or an archive that `locatable archive` wrote. Without B, A is compared with your workspace. With
--repo, B comes from a different clone, for example a colleague's.

The output lists the changes in each coordinate (data, code, params, environment, execution), then the metrics
and outputs that differ, then the first cause: the earliest stage whose own inputs and outputs both differ,
followed by the stages that it affects. A stage with equal inputs and different outputs is not reproducible;
the command that proves this is printed.
"""

import argparse
import contextlib
import re
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import NotFoundError, ProjectError, UsageError
from ..output import add_json_option
from ..repository import find_project

if TYPE_CHECKING:
    from ..diff.changes import Side
    from ..locate import Result
    from ..repository.reader import Reader


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `locatable diff`."""
    add = parser.add_argument
    # Older Pythons take -1e-5 for an option; newer ones use this pattern.
    parser._negative_number_matcher = re.compile(r"-\.?\d")
    add("a", metavar="A", help="a result, as for `locatable locate`, or an archive")
    add("b", metavar="B", nargs="?", help="a second result, in the same forms (default: the workspace)")
    add("--repo", metavar="FOLDER", type=Path, help="take B from this clone")
    form = parser.add_mutually_exclusive_group()
    add_json_option(form)
    form.add_argument("--markdown", action="store_true", help="print Markdown for a pull request")
    add("--patch", action="store_true", help="also show the code changes as a patch")
    add("--html", metavar="FILE", type=Path, help="also write a page with the figures and curves of both")
    add("--check", action="store_true", help="exit with 1 if anything differs")


def works_anywhere(arguments: argparse.Namespace) -> bool:
    """Return true if both results are archives, because then no project is needed."""
    return _is_archive(arguments.a) and _is_archive(arguments.b or "")


def run(arguments: argparse.Namespace) -> int:
    """Print the comparison; return 1 if `--check` was given and the results differ."""
    from ..diff import render
    from ..diff.changes import patch
    from ..diff.compare import compare

    if arguments.html:
        from ..page import check_place

        check_place(arguments.html)
    with contextlib.ExitStack() as opened:
        a = _find(opened, arguments.a, None)
        b = _find(opened, arguments.b, arguments.repo)
        comparison = compare(a, b)
        changes = patch(a, b) if arguments.patch else ""
        if arguments.json:
            print(render.to_json(comparison, changes))
        elif arguments.markdown:
            print(render.to_markdown(comparison, changes))
        else:
            print(render.to_text(comparison))
            if changes:
                print(f"\n{changes}", end="")
        if arguments.html:
            from ..page import write_page

            replaced = write_page(arguments.html, render.to_html(comparison))
            print(f"{'replaced' if replaced else 'wrote'} {arguments.html}", file=sys.stderr)
        return int(arguments.check and comparison.differs)


def _is_archive(target: str) -> bool:
    """Return whether a target is an archive that `locatable archive` wrote, and not another ZIP file."""
    if not target.endswith(".zip") or not Path(target).is_file():
        return False
    from ..archive.format import BUNDLE

    try:
        with zipfile.ZipFile(target) as file:
            return BUNDLE in file.namelist()
    except (OSError, zipfile.BadZipFile):
        return False


def _find(opened: contextlib.ExitStack, target: str | None, repo: Path | None) -> "Side":
    """Return the one result that a target stands for.

    Args:
        opened: closes the archive or the reader in the end.
        target: a target of `locatable locate` or an archive; None for the workspace.
        repo: a folder of the clone to search; None for the project around the current folder.
    """
    from ..diff.changes import Side
    from ..locate import find_name
    from ..locate.by_content import checked_out
    from ..repository.reader import Reader

    if target and _is_archive(target):
        from ..archive.format import unpacked
        from .reproduce import show_checking

        archive = opened.enter_context(unpacked(Path(target), show_checking))
        reader = opened.enter_context(Reader(archive.project))
        result = find_name(reader, archive.manifest.revision)[0]
        _check_results(result)
        return Side(result, target, target)
    if repo is not None and not repo.is_dir():
        raise UsageError(f"--repo {repo}: no such folder")
    here = Path.cwd()
    reader = opened.enter_context(Reader(find_project(repo or here)))
    if target is None:
        result = checked_out(reader)
    else:
        # If the other clone has such a file, a path is relative to that clone, as with `git -C`.
        is_in_repo = repo is not None and (repo / target).exists()
        with contextlib.chdir(repo if repo and is_in_repo else here):
            result = _locate(reader, target)
    _check_results(result)
    unread = _record_edits(result) if target is None or result.uncommitted else []
    is_here = repo is None and not result.uncommitted
    return Side(result, target or "checked out", result.rev[:12] if is_here else "", unread)


def _record_edits(result: "Result") -> list[str]:
    """Record in the snapshot which of DVC's files were edited in the workspace.

    Returns:
        A line if DVC cannot tell which files were edited.
    """
    from ..repository.dvc_repo import edited_in_workspace

    try:
        result.snapshot.edited = edited_in_workspace(result.snapshot.reader.root)
    except ProjectError as error:
        return [f"edits in the workspace of files that DVC keeps: {error}"]
    return []


def _locate(reader: "Reader", target: str) -> "Result":
    """Return the one result that a target belongs to; if several results have a file, the first of them.

    Raises:
        UsageError: the target is ambiguous: a number or a name that several results have, or a document
            with several figures.
    """
    from ..locate import locate, merged, render
    from ..locate.by_content import checked_out

    located = locate(reader, target)
    for note in located.notes:
        print(note, file=sys.stderr)
    for line in located.left_out:
        print(f"left out: {line}", file=sys.stderr)
    if len(located.figures) > 1 or any(not figure.is_traced for figure in located.figures):
        raise UsageError(
            render.document_to_text(target, located, []),
            hint="name one result: an experiment, a commit, or a figure as a file",
        )
    for figure in located.figures:
        print(render.how_found(figure), file=sys.stderr)
    results = merged(located.results)
    # The commit before the first run contains the stages' inputs too, so skip commits without records.
    recorded = [result for result in results if result.snapshot.records]
    first = recorded[0] if recorded else results[0]
    if len(results) > 1:
        if located.is_number:
            raise UsageError(render.candidates(target, results), hint="name one of them")
        if not first.roles:
            names = ", ".join(result.rev[:7] for result in results)
            raise UsageError(f"{target}: {len(results)} experiments have this name; give a commit: {names}")
        print(f"the first of {len(results)} results with {target}: {render.title(first)}", file=sys.stderr)
    if first.uncommitted:
        # The located result has no values of the workspace; `checked_out` reads them too.
        return replace(checked_out(reader), roles=first.roles)
    return first


def _check_results(result: "Result") -> None:
    """Refuse a result that records nothing to compare.

    Raises:
        NotFoundError: the result has no records, no data and no metrics.
    """
    from ..results.rebuild import first_results
    from ..results.staleness import has_unrecorded_pipeline

    snapshot = result.snapshot
    snapshot.check_whole()
    name = result.experiment.name if result.experiment else result.rev[:7]
    if has_unrecorded_pipeline(snapshot):
        raise NotFoundError(f"{name}: no results are recorded yet", hint=first_results(snapshot))
    if not (snapshot.records or snapshot.sources or snapshot.metric_files):
        raise NotFoundError(f"{name}: no results are recorded: no stage, no data and no metrics of DVC")
