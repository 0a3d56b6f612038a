"""Why two results differ: which data, code, params, environment or commands, and which of them came first.

    locatable diff A [B] [--repo FOLDER] [--patch] [--check]
                   [--json | --markdown] [--html FILE]

A and B are anything that `locatable locate` takes, a file, an experiment, a revision, an MLflow run, a
number, or an archive that `locatable archive` wrote. Without B, A is compared with what is checked out,
as it is in the workspace. With --repo, B is of another clone, such as a colleague's.

It shows in what each coordinate differs, then the metrics and outputs, then the first cause: the
earliest stage whose own inputs differ and whose outputs do, too, with the stages that follow from it.
Where all inputs of a stage are equal and its outputs differ, it is not reproducible, and the command
that proves it is shown.
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
    # As newer Pythons have it: -1e-5 is no option.
    parser._negative_number_matcher = re.compile(r"-\.?\d")
    parser.add_argument("a", metavar="A", help="a result, as `locatable locate` takes it, or an archive")
    parser.add_argument(
        "b", metavar="B", nargs="?", help="the same of another result (default: what is checked out)"
    )
    parser.add_argument("--repo", metavar="FOLDER", type=Path, help="the clone that B is of")
    form = parser.add_mutually_exclusive_group()
    add_json_option(form)
    form.add_argument("--markdown", action="store_true", help="for a comment on a pull request")
    parser.add_argument("--patch", action="store_true", help="show the changes of code, too")
    parser.add_argument(
        "--html", metavar="FILE", type=Path, help="write a page with the figures and curves of both"
    )
    parser.add_argument("--check", action="store_true", help="exit with 1 if anything differs")


def works_anywhere(arguments: argparse.Namespace) -> bool:
    """Return true for two archives: no project is needed around the current folder."""
    return _is_archive(arguments.a) and _is_archive(arguments.b or "")


def run(arguments: argparse.Namespace) -> int:
    """Print the comparison; the exit code is 1 where `--check` finds a difference."""
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
    """Return whether a target is an archive; data can be a ZIP file, too."""
    if not target.endswith(".zip") or not Path(target).is_file():
        return False
    from ..archive.format import BUNDLE

    try:
        with zipfile.ZipFile(target) as file:
            return BUNDLE in file.namelist()
    except (OSError, zipfile.BadZipFile):
        return False


def _find(opened: contextlib.ExitStack, target: str | None, repo: Path | None) -> "Side":
    """Return the one result that a target belongs to, of the project around a folder or of an archive."""
    from ..diff.changes import Side
    from ..locate import find_name
    from ..locate.by_content import checked_out
    from ..repository.reader import Reader

    if target and _is_archive(target):
        from ..archive.format import unpacked
        from .reproduce import checking

        archive = opened.enter_context(unpacked(Path(target), checking))
        reader = opened.enter_context(Reader(archive.project))
        result = find_name(reader, archive.manifest.revision)[0]
        _check_results(result)
        return Side(result, target, target)
    if repo is not None and not repo.is_dir():
        raise UsageError(f"--repo {repo}: no such folder")
    here = Path.cwd()
    reader = opened.enter_context(Reader(find_project(repo or here)))
    unread: list[str] = []
    if target is None:
        result = checked_out(reader)
    else:
        # A path is seen from the other clone, as after `git -C`, where it has such a file.
        is_there = repo is not None and (repo / target).exists()
        with contextlib.chdir(repo if repo and is_there else here):
            result = _locate(reader, target)
    _check_results(result)
    if target is None or result.uncommitted:
        _note_edits(result, unread)
    is_here = repo is None and not result.uncommitted
    return Side(result, target or "checked out", result.rev[:12] if is_here else "", unread)


def _note_edits(result: "Result", unread: list[str]) -> None:
    """Have DVC find the files of the workspace that it keeps and that differ from their record."""
    from ..repository.dvc_repo import edited_in_workspace

    try:
        result.snapshot.edited = edited_in_workspace(result.snapshot.reader.root)
    except ProjectError as error:
        unread.append(f"edits in the workspace of files that DVC keeps: {error}")


def _locate(reader: "Reader", target: str) -> "Result":
    """Return the one result that a target belongs to; of a file that several have, the first that ran.

    Raises:
        UsageError: it belongs to several.
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
    # What a stage reads, the commit before the first results has, too.
    ran = [result for result in results if result.snapshot.records]
    first = ran[0] if ran else results[0]
    if len(results) > 1:
        if located.is_number:
            raise UsageError(render.candidates(target, results), hint="name one of them")
        if not first.roles:
            names = ", ".join(result.rev[:7] for result in results)
            raise UsageError(f"{target}: {len(results)} experiments have this name; give a commit: {names}")
        print(f"the first of {len(results)} results with {target}: {render.title(first)}", file=sys.stderr)
    if first.uncommitted:
        # With the values of the workspace, too.
        return replace(checked_out(reader), roles=first.roles)
    return first


def _check_results(result: "Result") -> None:
    """Refuse a result that has nothing to compare.

    Raises:
        NotFoundError: it has not.
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
