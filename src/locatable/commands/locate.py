"""Where a result comes from: which data, code, params, environment and execution made it.

    locatable locate TARGET [--json | --cite] [--html FILE] [--check]
    locatable locate DOCUMENT --rev REV [--json] [--check]
    locatable locate --everywhere TARGET [--index FILE] [--json] [--check]

TARGET is any file or folder, wherever it was copied to: it is found by its content, among outputs
and their folders, source data and code of all experiments and of all commits of branches and tags.
Of a PDF, an office document, a notebook, a text with what it includes, an archive of sources, and of a
picture that was changed, every figure is found: by its bytes, its pixels or what draws it; of a copy that was
changed or written anew, the most similar one is named as a lead. Exits with 1 if one is not found.
The numbers of a document are compared with one result: those of another result's metric are named.
A tracked path, or a figure at one, whose file is not here is answered from the record of HEAD.

It can also be the name of an experiment, also of one that runs now, a Git revision, or the id of an
MLflow run; or a number as a text quotes it, alone or with its name ("valid.log_loss 0.133"): then the
results are meant with a metric or param that rounds to it, metrics of dvc.yaml before params.

With `--everywhere`, in all repositories of `locatable index`, also outside of any.

Where code, params or data were changed and committed without `dvc repro`, the results that a
commit records are not of its files: it says so, and names the commit that they are of.
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

# Results that are shown in full; of more, each gets a line (`--json` has all).
MOST_IN_FULL = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `locatable locate`."""
    parser.add_argument(
        "target", help="a file, a folder, an experiment, a Git revision, an MLflow run id or a number"
    )
    # As newer Pythons have it: -1e-5 is no option.
    parser._negative_number_matcher = re.compile(r"-\.?\d")
    form = parser.add_mutually_exclusive_group()
    add_json_option(form)
    form.add_argument(
        "--cite",
        action="store_true",
        help="a paragraph for a caption or an appendix, and an entry for BibTeX",
    )
    parser.add_argument(
        "--html", metavar="FILE", type=Path, help="write a page about the result, in one file"
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="exit with 1 if recorded results are not of the commit's files, or a document has figures or "
        "numbers of another result",
    )
    parser.add_argument("--rev", metavar="REV", help="the result to compare a document with")
    parser.add_argument("--everywhere", action="store_true", help="in all repositories of `locatable index`")
    add_index_option(parser)


def works_anywhere(arguments: argparse.Namespace) -> bool:
    """Return true where no project is needed."""
    return bool(arguments.everywhere or arguments.index)


def run(arguments: argparse.Namespace) -> int:
    """Print the results that match; the exit code is 1 where `--check` or a figure fails."""
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
            # Imported here: what DVC has recorded is asked for far more often.
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
                "--rev: only a document is compared with a result", hint=f"locatable locate {target}"
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
    """Print the results of all repositories in an index that match.

    Raises:
        UsageError: what was asked for needs the repository itself.
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
    """Print what the figures and numbers of a document are, and return the exit code."""
    from ..locate import render

    reports = _reports(reader, located.results)
    to_output = render.document_to_json if arguments.json else render.document_to_text
    print(to_output(arguments.target, located, reports))
    if not all(figure.is_traced for figure in located.figures):
        return 1
    is_of_another = located.is_of_another or any(report.stale for report in reports)
    return int(arguments.check and is_of_another)


def _is_stale(result: "Result") -> bool:
    """Return true where recorded results are not of the commit's files."""
    from ..errors import UnreadableError

    try:
        return bool(result.stale)
    except UnreadableError:
        return False  # its report says so


def _text(reader: "Reader", results: "list[Result]") -> str:
    """Return reports on the first results, and a line for each other one, and for what is merely in Git."""
    from ..locate import merged, render
    from ..locate.result import identity

    told = merged(results)
    traced = [result for result in told if not result.is_merely_kept]
    kept = [result for result in told if result.is_merely_kept]
    same_in = {identity(result): result.same_in for result in traced}
    pages = []
    for report in _reports(reader, traced[:MOST_IN_FULL]):
        pages.append(render.to_text(report, same_in[identity(report)]))
    titles = [render.title(result, result.same_in) for result in [*traced[MOST_IN_FULL:], *kept]]
    if titles:
        pages.append("\n".join(titles))
    return "\n\n".join(pages)


def _present(reader: "Reader", located: "Located", arguments: argparse.Namespace) -> int:
    """Cite the first result, or write a page about it, or both.

    Raises:
        UsageError: the target is a document, whose figures come from several results.
    """
    from ..errors import UsageError
    from ..locate import render, report_on
    from ..results.rebuild import origin_url

    found_by = ""
    if located.figures or located.numbers.numbers:
        if len(located.figures) != 1 or len(located.results) != 1:
            raise UsageError(
                f"{arguments.target}: a document, and --cite and --html are about one result",
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
    """Return reports on results; of several, one that cannot be read does not hide the others."""
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
