"""Build documents with other tools, run `locatable locate` on each, and score the answers: `make documents`.

    python -m tools.documents [ROW ...]

Documents are kept in build/documents. A row that exists there is not built again, unless its folder is
removed. The outcome for each figure is written to score.json in the row's folder. Exits with 1 if a row
misses its goal, or if any answer or run is faulty. Needs these Debian packages; documents that need a
missing one are not built:

    {packages}
"""

import argparse
import json
import logging
import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from . import edited, exact, foreign, hostile, texts, vector
from .corpus import FOLDER, Repository, Row, read_truth
from .score import Outcome, faults, outcomes, run_locate

# The programs that build documents, with the Debian packages that provide them.
PROGRAMS = {
    "chromium": "chromium",
    "convert": "imagemagick",
    "epstopdf": "texlive-font-utils",
    "gs": "ghostscript",
    "inkscape": "inkscape",
    "jupyter-nbconvert": "jupyter-nbconvert",
    "latex": "texlive-latex-extra",
    "lualatex": "texlive-luatex",
    "mutool": "mupdf-tools",
    "pandoc": "pandoc",
    "pdfcrop": "texlive-extra-utils",
    "pdfjam": "texlive-extra-utils",
    "pdftocairo": "poppler-utils",
    "qpdf": "qpdf",
    "rsvg-convert": "librsvg2-bin",
    "soffice": "libreoffice",
    "xelatex": "texlive-xetex",
}


@dataclass(frozen=True)
class RowKind:
    """A kind of row of the corpus.

    Attributes:
        build: the function that builds its documents.
        goal: the share of its figures that must be found.
    """

    build: Callable[[Row], None]
    goal: float


ROWS = {
    "exact": RowKind(exact.build, 1.0),
    "vector": RowKind(vector.build, 0.9),
    "edited": RowKind(edited.build, 0.9),
    "foreign": RowKind(foreign.build, 1.0),
    "texts": RowKind(texts.build, 1.0),
    # Many of these files cannot be read, so the goal is only that the command ends properly.
    "hostile": RowKind(hostile.build, 0.0),
}


def main() -> int:
    """Build and score rows, and return the exit code."""
    packages = textwrap.fill(
        " ".join(sorted(set(PROGRAMS.values()))), 100, subsequent_indent="    ", break_on_hyphens=False
    )
    formatter = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").format(packages=packages), formatter_class=formatter
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"all by default: {', '.join(ROWS)}")
    parser.add_argument("--build", action="store_true", help="only build the documents")
    arguments = parser.parse_args()
    # Matplotlib logs a warning for each figure with a feature that EPS lacks.
    logging.disable(logging.WARNING)
    unknown = sorted(set(arguments.rows) - set(ROWS))
    if unknown:
        parser.error(f"no row {', '.join(unknown)}; there are {', '.join(ROWS)}")
    missing = [program for program in PROGRAMS if not shutil.which(program)]
    if missing:
        print(f"not here: {', '.join(missing)}; --help names Debian's packages", flush=True)
    repository = Repository(FOLDER / "repository")
    is_good = True
    for name in arguments.rows or list(ROWS):
        folder = FOLDER / name
        if not (folder / "truth.json").exists():
            shutil.rmtree(folder, ignore_errors=True)
            row = Row(repository, folder)
            ROWS[name].build(row)
            row.save()
        _, not_built = read_truth(folder)
        for line in not_built:
            print(f"{name}: not built: {line}", flush=True)
        if not arguments.build:
            is_good = report(name, score(name, repository)) and is_good
    return 0 if is_good else 1


def score(name: str, repository: Repository) -> list[dict[str, object]]:
    """Run the command on each document of a row, and return the outcome for each figure."""
    scored: list[dict[str, object]] = []
    documents, _ = read_truth(FOLDER / name)
    for document in documents:
        run = run_locate(FOLDER / document.path, repository.folder)
        results = outcomes(document.placements, run.answers)
        for placement, outcome in zip(document.placements, results, strict=True):
            figure = {"document": document.path, "way": placement.way, "place": placement.place}
            scored.append({**figure, "outcome": outcome.value, "faults": faults(run), "seconds": run.seconds})
        (FOLDER / name / "score.json").write_text(json.dumps(scored, indent=1))
    return scored


def report(name: str, scored: list[dict[str, object]]) -> bool:
    """Print the counts and the faults of a row, and return true if it reaches its goal without faults."""
    counts = Counter(figure["outcome"] for figure in scored)
    faulty = {str(figure["document"]): figure["faults"] for figure in scored if figure["faults"]}
    parts = [f"{counts[outcome.value]} {outcome.value}" for outcome in Outcome]
    print(
        f"{name}: {len(scored)} figures: {', '.join(parts)}; {len(faulty)} documents slow or broken",
        flush=True,
    )
    for figure in scored:
        if figure["outcome"] == Outcome.WRONG.value:
            print(f"  wrong: {figure['way']}: {figure['document']} {figure['place']}", flush=True)
    for document, problems in faulty.items():
        print(f"  {document}: {'; '.join(problems)}", flush=True)  # type: ignore[arg-type]
    reaches_goal = counts[Outcome.FOUND.value] >= ROWS[name].goal * len(scored)
    return reaches_goal and not counts[Outcome.WRONG.value] and not faulty


if __name__ == "__main__":
    sys.exit(main())
