"""Where a result comes from: which data, code, params, environment and execution made it.

    locatable locate TARGET [--json] [--check]

TARGET is any file or folder, wherever it was copied to: it is found by its content, among outputs
and their folders, source data and code of all experiments and of all commits of branches and tags.
Of a PDF, PPTX, DOCX, ODT, ODP, XLSX, EPUB, HTML page, notebook, Markdown or LaTeX text, and of a picture
that was changed, every figure is found: by its bytes, its pixels or what draws it; of a copy that was
scaled or compressed, the most similar one is named as a lead. Exits with 1 if one is not found.

It can also be the name of an experiment, a Git revision, or the id of an MLflow run.

Where code, params or data were changed and committed without `dvc repro`, the results that a
commit records are not of its files: it says so, and names the commit that they are of.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..history.reader import Reader
    from ..locate import Report, Result
    from ..locate.document import LocatedDocument

# Results that are shown in full; of more, each gets a line (`--json` has all).
MOST_IN_FULL = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `locatable locate`."""
    parser.add_argument("target", help="a file, a folder, an experiment, a Git revision or an MLflow run id")
    parser.add_argument("--json", action="store_true", help="everything, for machines")
    parser.add_argument(
        "--check", action="store_true", help="exit with 1 if recorded results are not of the commit's files"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the results that match."""
    from ..history.reader import Reader
    from ..locate import Located, render
    from ..locate.inside import locate_file_or_figures
    from ..project import find_project
    from ..rebuild import origin_url

    with Reader(find_project(Path.cwd())) as reader:
        located = locate_file_or_figures(reader, arguments.target)
        if not isinstance(located, Located):
            return _show_figures(reader, located, arguments)
        _warn(located.left_out)
        every = arguments.json or arguments.check
        reported = located.results if every else located.results[:MOST_IN_FULL]
        reports = _reports(reader, reported, origin_url(reader))
    if arguments.json:
        print(render.to_json(reports))
    else:
        pages = [render.to_text(report) for report in reports]
        titles = [render.title(result) for result in located.results[len(reported) :]]
        if titles:
            pages.append("\n".join(titles))
        print("\n\n".join(pages))
    return int(arguments.check and any(report.stale for report in reports))


def _show_figures(reader: "Reader", document: "LocatedDocument", arguments: argparse.Namespace) -> int:
    """Print where the figures of a document come from."""
    from ..locate import render_document
    from ..rebuild import origin_url

    _warn(document.left_out)
    reports = _reports(reader, document.named_results(), origin_url(reader))
    render = render_document.to_json if arguments.json else render_document.to_text
    print(render(document, reports))
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
