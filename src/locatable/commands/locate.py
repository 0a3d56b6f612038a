"""Where a result comes from: which data, code, params, environment and execution made it.

    locatable locate TARGET [--json | --cite] [--html FILE] [--check]

TARGET is any file or folder, wherever it was copied to: it is found by its content, among outputs
and their folders, source data and code of all experiments and of all commits of branches and tags.
Of a PDF, PPTX, DOCX, ODT, ODP, XLSX, EPUB, HTML page, notebook, Markdown or LaTeX text, and of a picture
that was changed, every figure is found: by its bytes, its pixels or what draws it; of a copy that was
scaled or compressed, the most similar one is named as a lead. Exits with 1 if one is not found.
A tracked path, or a figure at one, whose file is not here is answered from the record of HEAD.

It can also be the name of an experiment, a Git revision, or the id of an MLflow run; or a number
as a text quotes it, alone or with its name ("valid.log_loss 0.133"): then the results are meant with
a metric or param that rounds to it, metrics of dvc.yaml before params.

Where code, params or data were changed and committed without `dvc repro`, the results that a
commit records are not of its files: it says so, and names the commit that they are of.
"""

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..locate import Located, Report, Result
    from ..locate.document import LocatedDocument
    from ..repository.reader import Reader

# Results that are shown in full; of more, each gets a line (`--json` has all).
MOST_IN_FULL = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `locatable locate`."""
    parser.add_argument(
        "target", help="a file, a folder, an experiment, a Git revision, an MLflow run id or a number"
    )
    # As newer Pythons have it: -1e-5 is no option.
    parser._negative_number_matcher = re.compile(r"-\.?\d")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="everything, for machines")
    form.add_argument(
        "--cite",
        action="store_true",
        help="a paragraph for a caption or an appendix, and an entry for BibTeX",
    )
    parser.add_argument(
        "--html", metavar="FILE", type=Path, help="write a page about the result, in one file"
    )
    parser.add_argument(
        "--check", action="store_true", help="exit with 1 if recorded results are not of the commit's files"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the results that match."""
    from ..locate import Located
    from ..locate.inside import locate_file_or_figures
    from ..repository.bounds import require_regular
    from ..repository.project import find_project
    from ..repository.reader import Reader

    require_regular(Path(arguments.target))
    with Reader(find_project(Path.cwd())) as reader:
        located = locate_file_or_figures(reader, arguments.target)
        if not isinstance(located, Located):
            return _show_figures(reader, located, arguments)
        _warn(located.left_out)
        for note in located.notes:
            print(note, file=sys.stderr)
        if arguments.cite or arguments.html:
            return _present(reader, located, arguments)
        return _show_results(reader, located, arguments)


def _show_results(reader: "Reader", located: "Located", arguments: argparse.Namespace) -> int:
    """Print reports on results: the first in full, of more a line each."""
    from ..locate import merged, render
    from ..results.rebuild import origin_url

    url = origin_url(reader)
    if arguments.json:
        print(render.to_json(_reports(reader, located.results, url)))
    elif located.is_number:
        pages = [render.to_text(report) for report in _reports(reader, located.results[:1], url)]
        if len(located.results) > 1:
            pages.insert(0, render.candidates(arguments.target, located.results))
        print("\n\n".join(pages))
    else:
        print(_text(reader, merged(located.results), url))
    return int(arguments.check and any(_is_stale(result) for result in located.results))


def _is_stale(result: "Result") -> bool:
    """Whether recorded results are not of the commit's files; what cannot be read is told elsewhere."""
    from ..errors import UnreadableError
    from ..results.staleness import differences

    try:
        return not result.uncommitted and bool(differences(result.snapshot))
    except UnreadableError:
        return False


def _text(reader: "Reader", results: "list[Result]", url: str | None) -> str:
    """Reports on the first results, and a line for each other one, and for what is merely kept in Git."""
    from ..locate import render

    traced = [result for result in results if not result.is_merely_kept]
    kept = [result for result in results if result.is_merely_kept]
    same_in = {(result.rev, bool(result.uncommitted)): result.same_in for result in traced}
    pages = []
    for report in _reports(reader, traced[:MOST_IN_FULL], url):
        pages.append(render.to_text(report, same_in[report.rev, bool(report.uncommitted)]))
    titles = [render.title(result, result.same_in) for result in [*traced[MOST_IN_FULL:], *kept]]
    if titles:
        pages.append("\n".join(titles))
    return "\n\n".join(pages)


def _present(reader: "Reader", located: "Located", arguments: argparse.Namespace, found_by: str = "") -> int:
    """Cite the first result, or write a page about it, or both."""
    from ..locate import report_on
    from ..results.rebuild import origin_url

    result = _first(located)
    url = origin_url(reader)
    report = report_on(reader, result, url)
    if arguments.html:
        from ..page.facts import read_facts
        from ..page.write import check_place, to_html, write_page

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


def _first(located: "Located") -> "Result":
    """The result that is meant, and a line about the others."""
    from ..locate import render

    result = located.results[0]
    if len(located.results) > 1:
        print(f"the first of {len(located.results)} results: {render.title(result)}", file=sys.stderr)
    return result


def _show_figures(reader: "Reader", document: "LocatedDocument", arguments: argparse.Namespace) -> int:
    """Print where the figures of a document come from."""
    from ..errors import UsageError
    from ..locate import Located, render_document
    from ..results.rebuild import origin_url

    _warn(document.left_out)
    named = document.named_results()
    if (arguments.cite or arguments.html) and len(document.figures) == len(named) == 1:
        found_by = render_document.how_found(document.figures[0])
        print(found_by, file=sys.stderr)
        return _present(reader, Located(named), arguments, found_by)
    if arguments.cite or arguments.html:
        raise UsageError(
            f"{arguments.target}: a document, and --cite and --html are about one result",
            hint="name the result: an experiment, a commit, or a figure as a file",
        )
    reports = _reports(reader, named, origin_url(reader))
    to_output = render_document.to_json if arguments.json else render_document.to_text
    print(to_output(document, reports))
    is_stale = arguments.check and any(report.stale for report in reports)
    return int(is_stale or not document.is_traced)


def _reports(reader: "Reader", results: "list[Result]", url: str | None) -> "list[Report]":
    """Reports on results; of several, one that cannot be read does not hide the others."""
    from ..errors import UnreadableError
    from ..locate import report_on

    reports = []
    for result in results:
        try:
            reports.append(report_on(reader, result, url))
        except UnreadableError as error:
            if len(results) == 1:
                raise
            _warn([str(error)])
    return reports


def _warn(left_out: list[str]) -> None:
    for line in left_out:
        print(f"left out: {line}", file=sys.stderr)
