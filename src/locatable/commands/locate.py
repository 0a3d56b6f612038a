"""Find out where a result comes from: which data, code, params, environment and execution produced it.

    locatable locate TARGET [--json | --cite] [--html FILE] [--check]
    locatable locate DOCUMENT --rev REV [--json] [--check]
    locatable locate --everywhere TARGET [--index FILE] [--json] [--check]

TARGET is one of these:

  * A file or folder, wherever it was copied to. It is found by its content
    among the outputs, source data and code of all experiments and of all
    commits of branches and tags. A tracked path whose file is missing here
    is answered from the record of HEAD.
  * A document: a PDF, an office document, a notebook, a text with the files
    that it includes, or an archive of sources. Its figures are found, and
    its numbers are compared with one result.
  * The name of an experiment (also of a running one), a Git revision, or the
    id of an MLflow run.
  * A number as quoted in a text, alone or with its name, for example
    "valid.log_loss 0.133". The results are those with a metric or param that
    rounds to it; metrics of dvc.yaml come before params.

Figures of a document, and pictures that were changed, are matched by their bytes, by their pixels, or by the
operators that draw them. For a copy that was edited or redrawn, the most similar figure is named as a lead.
The exit code is 1 if a figure is not found. Numbers that match a metric of a different result are reported.

With `--everywhere`, all repositories of `locatable index` are searched. This also works outside of a project.

If code, params or data were changed and committed without `dvc repro`, the results that the commit records
do not belong to its files. The output says so, and names the commit that they belong to.
"""

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..output import add_json_option
from . import add_index_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..locate import Located, Report, Result
    from ..repository.reader import Reader

# The number of results that are shown in full. Each further result gets one line; `--json` shows all in full.
MOST_IN_FULL = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `locatable locate`."""
    add = parser.add_argument
    add(
        "target", help="a file, folder, experiment, Git revision, MLflow run id or number, as described above"
    )
    # Older Pythons take -1e-5 for an option; newer ones use this pattern.
    parser._negative_number_matcher = re.compile(r"-\.?\d")
    form = parser.add_mutually_exclusive_group()
    add_json_option(form)
    form.add_argument(
        "--cite", action="store_true", help="print a paragraph for a caption and a BibTeX entry"
    )
    add("--html", metavar="FILE", type=Path, help="write a page about the result, as a single file")
    add(
        "--check",
        action="store_true",
        help="exit with 1 if the recorded results do not belong to the files of their commit, or if a "
        "document has figures or numbers of a different result",
    )
    add("--rev", metavar="REV", help="compare a document with this result")
    add("--everywhere", action="store_true", help="search all repositories of `locatable index`")
    add_index_option(parser)


def works_anywhere(arguments: argparse.Namespace) -> bool:
    """Return true if the index is searched, because then no project is needed."""
    return bool(arguments.everywhere or arguments.index)


def run(arguments: argparse.Namespace) -> int:
    """Print the results that match; return 1 if a figure is not found or `--check` fails."""
    from ..errors import NotFoundError, UsageError
    from ..locate import locate, render
    from ..repository import find_project, require_regular
    from ..repository.reader import Reader

    target = arguments.target
    require_regular(Path(target))
    if arguments.everywhere or arguments.index:
        return _run_everywhere(arguments)
    with Reader(find_project(Path.cwd())) as reader:
        try:
            located = locate(reader, target, arguments.rev)
        except NotFoundError:
            # Imported here because most targets are recorded results, which do not need it.
            from ..mlflow.running import report_running

            running = report_running(reader, target)
            if not running or arguments.cite or arguments.html:
                raise
            print(render.running_to_json(running) if arguments.json else render.running_to_text(running))
            return 0
        _warn(located.left_out, located.notes)
        if arguments.cite or arguments.html:
            return _present(reader, located, arguments)
        if located.figures or located.numbers.numbers:
            return _print_document(reader, located, arguments)
        if arguments.rev:
            raise UsageError(
                "--rev: only a document can be compared with a result", hint=f"locatable locate {target}"
            )
        if arguments.json:
            print(render.to_json(_reports(reader, located.results)))
        elif located.is_number:
            pages = [render.to_text(report) for report in _reports(reader, located.results[:1])]
            if len(located.results) > 1:
                pages.insert(0, render.candidates(target, located.results))
            print("\n\n".join(pages))
        else:
            print(_text(reader, located.results))
        return int(arguments.check and any(_is_stale(result) for result in located.results))


def _run_everywhere(arguments: argparse.Namespace) -> int:
    """Print the matching results of all repositories in an index.

    Raises:
        UsageError: one of the options needs a clone of the repository.
    """
    from ..errors import UsageError
    from ..index import find_everywhere, index_file, reading, to_json, to_text

    if arguments.cite or arguments.html or arguments.rev:
        raise UsageError("--everywhere: --cite, --html and --rev need a clone of the repository: use one")
    with reading(index_file(arguments.index)) as db:
        found, notes = find_everywhere(db, arguments.target)
    for note in notes:
        print(note, file=sys.stderr)
    print(to_json(found) if arguments.json else to_text(found))
    return int(arguments.check and any(one.report.stale for one in found))


def _print_document(reader: "Reader", located: "Located", arguments: argparse.Namespace) -> int:
    """Print where the figures and numbers of a document come from, and return the exit code."""
    from ..locate import render

    reports = _reports(reader, located.results)
    to_output = render.document_to_json if arguments.json else render.document_to_text
    print(to_output(arguments.target, located, reports))
    if not all(figure.is_traced for figure in located.figures):
        return 1
    has_other_results = located.is_of_another or any(report.stale for report in reports)
    return int(arguments.check and has_other_results)


def _is_stale(result: "Result") -> bool:
    """Return true if the recorded results do not belong to the files of their commit."""
    from ..errors import UnreadableError

    try:
        return bool(result.stale)
    except UnreadableError:
        return False  # The report of this result already names the broken file.


def _text(reader: "Reader", results: "list[Result]") -> str:
    """Return reports on the first results, then one line for each further result.

    A result that only keeps the file in Git always gets one line.
    """
    from ..locate import merged, render
    from ..locate.result import identity

    distinct = merged(results)
    traced = [result for result in distinct if not result.is_merely_kept]
    kept = [result for result in distinct if result.is_merely_kept]
    same_in = {identity(result): result.same_in for result in traced}
    pages = []
    for report in _reports(reader, traced[:MOST_IN_FULL]):
        pages.append(render.to_text(report, same_in[identity(report)]))
    titles = [render.title(result, result.same_in) for result in [*traced[MOST_IN_FULL:], *kept]]
    if titles:
        pages.append("\n".join(titles))
    return "\n\n".join(pages)


def _present(reader: "Reader", located: "Located", arguments: argparse.Namespace) -> int:
    """Print a citation of the first result, write a page about it, or both.

    Raises:
        UsageError: the target is a document, unless it has a single figure of a single result.
    """
    from ..errors import UsageError
    from ..locate import render, report_on
    from ..results.rebuild import origin_url

    found_by = ""
    if located.figures or located.numbers.numbers:
        if len(located.figures) != 1 or len(located.results) != 1:
            raise UsageError(
                f"{arguments.target}: this is a document, and --cite and --html need a single result",
                hint="name the result: an experiment, a commit, or a figure as a file",
            )
        found_by = render.how_found(located.figures[0])
        print(found_by, file=sys.stderr)
    result = located.results[0]
    if len(located.results) > 1:
        print(f"the first of {len(located.results)} results: {render.title(result)}", file=sys.stderr)
    url = origin_url(reader)
    report = report_on(reader, result, url)
    if arguments.html:
        from ..page import check_place, to_html, write_page
        from ..page.facts import read_facts

        check_place(arguments.html)
        page = to_html(read_facts(reader, result, report, arguments.target, url, found_by))
        replaced = write_page(arguments.html, page)
        print(f"{'replaced' if replaced else 'wrote'} {arguments.html}", file=sys.stderr)
    if arguments.cite:
        from ..locate.cite import cite

        citation = cite(reader, result, report, url)
        for warning in citation.warnings:
            print(warning, file=sys.stderr)
        print(f"{citation.paragraph}\n\n{citation.bibtex}")
    return int(arguments.check and bool(report.stale))


def _reports(reader: "Reader", results: "list[Result]") -> "list[Report]":
    """Return a report on each result.

    If one of several results cannot be read, a line on the standard error names it in place of a report.

    Raises:
        UnreadableError: the only result cannot be read.
    """
    from ..errors import UnreadableError
    from ..locate import report_on
    from ..results.rebuild import origin_url

    url = origin_url(reader)
    reports = []
    for result in results:
        try:
            reports.append(report_on(reader, result, url))
        except UnreadableError as error:
            if len(results) == 1:
                raise
            _warn([str(error)])
    return reports


def _warn(left_out: list[str], notes: "Sequence[str]" = ()) -> None:
    for line in [*(f"left out: {each}" for each in left_out), *notes]:
        print(line, file=sys.stderr)
