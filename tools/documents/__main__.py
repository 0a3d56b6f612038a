"""Build documents with other tools, ask `locatable locate` about each, and count: `make documents`.

    python -m tools.documents [ROW ...]

Documents are kept in build/documents, and a row that is there is not built again: remove its folder to have
it built anew. What came of each figure is in score.json of the row's folder. Exits with 1 where a row is
below its goal or anything is wrong. Needs these packages of Debian; without one, its documents are not built:

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
from .score import Outcome, ask, faults, outcomes

# By program, the package of Debian that has it.
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
class Kind:
    """A row: what builds it, and which share of its figures is to be found."""

    build: Callable[[Row], None]
    goal: float


ROWS = {
    "exact": Kind(exact.build, 1.0),
    "vector": Kind(vector.build, 0.9),
    "edited": Kind(edited.build, 0.9),
    "foreign": Kind(foreign.build, 1.0),
    "texts": Kind(texts.build, 1.0),
    # Many cannot be read at all: what counts is how the command ends.
    "hostile": Kind(hostile.build, 0.0),
}


def main() -> int:
    """Build and score rows; returns the exit code."""
    packages = textwrap.fill(
        " ".join(sorted(set(PROGRAMS.values()))), 100, subsequent_indent="    ", break_on_hyphens=False
    )
    formatter = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").format(packages=packages), formatter_class=formatter
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"all by default: {', '.join(ROWS)}")
    parser.add_argument("--build", action="store_true", help="build the documents, and ask nothing")
    arguments = parser.parse_args()
    # Matplotlib says of each figure what EPS cannot show.
    logging.disable(logging.WARNING)
    unknown = sorted(set(arguments.rows) - set(ROWS))
    if unknown:
        parser.error(f"no row {', '.join(unknown)}; there are {', '.join(ROWS)}")
    missing = [program for program in PROGRAMS if not shutil.which(program)]
    if missing:
        print(f"not here: {', '.join(missing)}; --help names Debian's packages", flush=True)
    repository = Repository(FOLDER / "repository")
    good = True
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
            good = report(name, score(name, repository)) and good
    return 0 if good else 1


def score(name: str, repository: Repository) -> list[dict[str, object]]:
    """Ask about each document of a row; returns what came of each figure."""
    scored: list[dict[str, object]] = []
    documents, _ = read_truth(FOLDER / name)
    for document in documents:
        said = ask(FOLDER / document.path, repository.folder)
        found = faults(said)
        for placement, outcome in zip(
            document.placements, outcomes(document.placements, said.answers), strict=True
        ):
            figure = {"document": document.path, "way": placement.way, "place": placement.place}
            scored.append({**figure, "outcome": outcome.value, "faults": found, "seconds": said.seconds})
        (FOLDER / name / "score.json").write_text(json.dumps(scored, indent=1))
    return scored


def report(name: str, scored: list[dict[str, object]]) -> bool:
    """Print the counts of a row and what is wrong; returns whether it reaches its goal."""
    counts = Counter(one["outcome"] for one in scored)
    faulty = {str(one["document"]): one["faults"] for one in scored if one["faults"]}
    parts = [f"{counts[outcome.value]} {outcome.value}" for outcome in Outcome]
    print(
        f"{name}: {len(scored)} figures: {', '.join(parts)}; {len(faulty)} documents slow or broken",
        flush=True,
    )
    for one in scored:
        if one["outcome"] == Outcome.WRONG.value:
            print(f"  wrong: {one['way']}: {one['document']} {one['place']}", flush=True)
    for document, found in faulty.items():
        print(f"  {document}: {'; '.join(found)}", flush=True)  # type: ignore[arg-type]
    enough = counts[Outcome.FOUND.value] >= ROWS[name].goal * len(scored)
    return enough and not counts[Outcome.WRONG.value] and not faulty


if __name__ == "__main__":
    sys.exit(main())
