"""Row `vector`: vector figures that a different program redrew, alone and on the pages of a paper."""

import shutil
from pathlib import Path

from . import draw
from .corpus import CHROMIUM, SEED, NotBuiltError, Placement, Row, file_name, placed, run

# Commands that make `out.FORMAT` from `in.pdf`.
FROM_PDF = {
    "Ghostscript": "gs -q -sDEVICE=pdfwrite -o out.pdf in.pdf",
    "Ghostscript for a press": "gs -q -sDEVICE=pdfwrite -dPDFSETTINGS=/prepress -o out.pdf in.pdf",
    "Ghostscript for a screen": "gs -q -sDEVICE=pdfwrite -dPDFSETTINGS=/ebook -o out.pdf in.pdf",
    "Ghostscript by PostScript": "pdftops in.pdf in.ps && ps2pdf in.ps out.pdf",
    "Cairo to PDF": "pdftocairo -pdf in.pdf out.pdf",
    "Cairo by PostScript": "pdftocairo -ps in.pdf in.ps && ps2pdf in.ps out.pdf",
    "Inkscape": "inkscape in.pdf --export-filename=out.pdf",
    "mutool clean -s": "mutool clean -s in.pdf out.pdf",
}
# Commands for a single figure, which is also there as `in.svg` and `in.eps`. `page.tex` shows `in.eps`.
ALONE = {
    **FROM_PDF,
    "Cairo to SVG": "pdftocairo -svg in.pdf out.svg",
    "Inkscape of SVG": "inkscape in.svg --export-filename=out.pdf",
    "Inkscape to plain SVG": "inkscape in.svg --export-plain-svg --export-filename=out.svg",
    "librsvg": "rsvg-convert -f pdf -o out.pdf in.svg",
    "Chromium": f"{CHROMIUM} --print-to-pdf=out.pdf in.svg",
    "EPS by pdftops": "pdftops -eps in.pdf in.eps && latex page && dvips page && ps2pdf page.ps out.pdf",
    "EPS by Cairo": "pdftocairo -eps in.pdf in.eps && latex page && dvips page && ps2pdf page.ps out.pdf",
    "EPS by matplotlib": "latex page && dvips page && ps2pdf page.ps out.pdf",
    "epstopdf": "epstopdf in.eps --outfile=out.pdf",
    "EPS itself": "cp in.eps out.eps",
}
EACH = 4
PAGE = r"""\documentclass{article}\usepackage{graphicx}\begin{document}
Text before it. \includegraphics[width=0.7\linewidth]{in.eps} And after it.
\end{document}
"""
PAPER = r"""\documentclass{article}\usepackage{graphicx,lipsum}\begin{document}
%s
\end{document}
"""
PAPER_PAGE = r"""\lipsum[1]
\begin{figure}[ht]\centering\includegraphics[width=%s\linewidth]{%s}\caption{It is so.}\end{figure}
\lipsum[2]\clearpage
"""


def build(row: Row) -> None:
    """Build the row."""
    for way, command in ALONE.items():
        files = []
        for number in range(EACH):
            folder = Path(file_name(way), str(number))
            try:
                files.append(_drawn_anew(row, folder, way, command))
            except NotBuiltError as error:
                row.not_built.append(f"{way}: {error}")
                break
        row.add_list(way, files)
    _papers(row)


def _drawn_anew(row: Row, folder: Path, way: str, command: str) -> tuple[Path, Placement]:
    plot = row.take(folder / "in.pdf")
    row.repository.copy(plot, row.folder / folder / "in.svg")
    work = row.folder / folder
    draw.draw(draw.KINDS[plot.kind], {"seed": SEED, "strength": plot.strength}, work / "in.eps")
    (work / "page.tex").write_text(PAGE)
    run(command, work)
    made = next(work.glob("out.*"))
    return made, placed(way, rf"\b{folder}/out\b", plot)


def _papers(row: Row) -> None:
    """Build papers with a figure on each page, and convert them with each program."""
    for way, command in FROM_PDF.items():
        folder = Path(f"{file_name(way)}-paper")
        placements = []
        pages = []
        # Inkscape converts only the first page.
        for number in range(1 if way == "Inkscape" else EACH):
            plot = row.take(folder / f"{number}.pdf")
            pages.append(PAPER_PAGE % (0.5 + number / 10, f"{number}.pdf"))
            placements.append(placed(f"{way}, a paper", rf"^page {number + 1}\b", plot))
        work = row.folder / folder
        (work / "in.tex").write_text(PAPER % "".join(pages))
        try:
            run(f"pdflatex -interaction=batchmode in && {command}", work)
        except NotBuiltError as error:
            row.not_built.append(f"{way}, a paper: {error}")
            continue
        paper = work.with_suffix(".pdf")
        shutil.move(work / "out.pdf", paper)
        row.add(paper, *placements)
