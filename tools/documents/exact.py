"""Row `exact`: documents of tools that place figures unchanged, and plain copies of figures."""

import os
from functools import partial
from pathlib import Path

import docx
import nbformat.v4
import pptx

from .corpus import CHROMIUM, NotBuiltError, Placement, Row, file_name, placed, run

ENGINES = ("pdflatex", "lualatex", "xelatex")
# The pages of a paper: the format of the figure or two figures on each, and the command that places one.
PAGES = {
    "scaled": ("png", r"\includegraphics[width=0.6\linewidth]{%s}"),
    "scaled, JPEG": ("jpg", r"\includegraphics[scale=0.3]{%s}"),
    "scaled, vector": ("pdf", r"\includegraphics[width=0.6\linewidth]{%s}"),
    "turned": ("png", r"\includegraphics[angle=90,width=0.5\linewidth]{%s}"),
    "turned, vector": ("pdf", r"\rotatebox{30}{\includegraphics[width=0.5\linewidth]{%s}}"),
    "trimmed": ("png", r"\includegraphics[trim=20 20 20 20,clip,width=0.5\linewidth]{%s}"),
    "trimmed, vector": ("pdf", r"\includegraphics[trim=10 10 10 10,clip,width=0.5\linewidth]{%s}"),
    "subfigures": ("png", r"\subcaptionbox{A}{\includegraphics[width=3cm]{%s}}"),
    "subfigures, vector": ("pdf", r"\subcaptionbox{A}{\includegraphics[width=3cm]{%s}}"),
    "under a line": ("png", r"\tikz{\node {\includegraphics[width=5cm]{%s}}; \draw (0,0) -- (1,1);}"),
}
PAPER = r"""\documentclass{article}\usepackage{graphicx,subcaption,tikz,lipsum}\begin{document}
%s\end{document}
"""
PAGE = r"\lipsum[1]\begin{figure}[ht]\centering %s\caption{It is so.}\end{figure}\lipsum[2]\clearpage"
SLIDES = r"""\documentclass{beamer}\usepackage{subcaption,tikz}\begin{document}
%s\end{document}
"""
SLIDE = r"\begin{frame}{It}\begin{figure}%s\end{figure}\end{frame}"
# Commands that make `out.pdf` from a paper `in.pdf`, and leave its pages as they are.
AFTERWARDS = {
    "mutool clean": "mutool clean in.pdf out.pdf",
    "mutool clean -gggg -z": "mutool clean -gggg -z in.pdf out.pdf",
    "qpdf, linear": "qpdf --linearize in.pdf out.pdf",
    "qpdf, object streams": "qpdf --object-streams=generate in.pdf out.pdf",
    "pdfunite": "pdfunite in.pdf in.pdf out.pdf",
    "pdfpages": r"pdflatex -jobname out '\documentclass{article}\usepackage{pdfpages}\begin{document}"
    r"\includepdf[pages=-]{in}\end{document}'",
    "pdfjam": "pdfjam --outfile out.pdf in.pdf",
    "pdfcrop": "pdfcrop in.pdf out.pdf",
}
# Commands that make a copy of a picture.
COPIES = {
    "saved again": "convert in.png out.png",
    "TIFF": "convert in.png out.tiff",
    "GIF": "convert in.png out.gif",
    "JPEG of quality 20": "convert in.png -quality 20 out.jpg",
    "halved": "convert in.png -resize 50% out.png",
    "quartered": "convert in.png -resize 25% out.png",
    "as a messenger sends it": "convert in.png -resize 75% -quality 60 -strip out.jpg",
}
EACH = 5
# Commands that make a document with pictures from one of the sources that `_sources` writes.
OFFICE = {
    "pandoc to DOCX": "pandoc in.md -o out.docx",
    "pandoc to ODT": "pandoc in.md -o out.odt",
    "pandoc to PPTX": "pandoc in.md -o out.pptx",
    "pandoc to EPUB": "pandoc in.md -o out.epub --metadata title=It",
    "pandoc to HTML in one file": "pandoc in.md -s --self-contained -o out.html --metadata title=It",
    "pandoc to LaTeX": "pandoc in.md -s -o out.tex",
    "pandoc to PDF": "pandoc in.md -o out.pdf",
    "DOCX by python-docx": "cp in.docx out.docx",
    "DOCX to ODT": "soffice --headless --convert-to odt in.docx && mv in.odt out.odt",
    "DOCX to PDF": "soffice --headless --convert-to pdf in.docx && mv in.pdf out.pdf",
    "PPTX by python-pptx": "cp in.pptx out.pptx",
    "PPTX to ODP": "soffice --headless --convert-to odp in.pptx && mv in.odp out.odp",
    "PPTX to PDF": "soffice --headless --convert-to pdf in.pptx && mv in.pdf out.pdf",
    "printed by Chromium": f"pandoc in.md -o in.html && {CHROMIUM} --print-to-pdf=out.pdf in.html",
    "notebook to HTML": "jupyter-nbconvert --to html --output out in.ipynb",
    "notebook to LaTeX": "jupyter-nbconvert --to latex --output out in.ipynb",
}


def build(row: Row) -> None:
    """Build the row."""
    papers = [(engine, PAPER, PAGE) for engine in ENGINES]
    for name, whole, page in [*papers, ("beamer", SLIDES, SLIDE)]:
        folder = Path(file_name(name))
        placements = _tex(row, folder, name, whole, page)
        engine = "pdflatex" if name == "beamer" else name
        _build(row, name, folder, f"{engine} -interaction=batchmode in && cp in.pdf out.pdf", placements)
    for name, command in AFTERWARDS.items():
        folder = Path(file_name(name))
        placements = _tex(row, folder, name, PAPER, PAGE)
        _build(row, name, folder, f"pdflatex -interaction=batchmode in && {command}", placements)
    for name, command in COPIES.items():
        row.add_changed(name, EACH, partial(run, command))
    for name, command in OFFICE.items():
        folder = Path(file_name(name))
        _build(row, name, folder, command, _sources(row, folder, name))


def _build(row: Row, way: str, folder: Path, command: str, placements: list[Placement]) -> None:
    """Build a document in the folder of its sources, and add it."""
    work = row.folder / folder
    try:
        run(command, work)
    except NotBuiltError as error:
        row.not_built.append(f"{way}: {error}")
        return
    made = next(work.glob("out.*"))
    row.add(made, *placements)


def _tex(row: Row, folder: Path, way: str, whole: str, page: str) -> list[Placement]:
    """Write a paper with one or two figures on each page, and return their placements."""
    placements = []
    pages = []
    for number, (how, (ending, command)) in enumerate(PAGES.items(), start=1):
        figures = []
        for part in "ab" if how.startswith("subfigures") else "a":
            plot = row.take(folder / f"{number}{part}.{ending}")
            placements.append(placed(f"{way}, {how}", rf"^page {number}\b", plot))
            figures.append(command % f"{number}{part}.{ending}")
        pages.append(page % " ".join(figures) + "\n")
    (row.folder / folder / "in.tex").write_text(whole % "".join(pages))
    return placements


def _sources(row: Row, folder: Path, way: str) -> list[Placement]:
    """Write a text, a notebook, a DOCX and a PPTX with the same pictures, and return their placements."""
    placements = []
    work = row.folder / folder
    document = docx.Document()
    slides = pptx.Presentation()
    lines = []
    for number in range(EACH):
        picture = f"{number}.{'jpg' if number == 1 else 'png'}"
        placements.append(placed(way, "", row.take(folder / picture)))
        lines.append(f"# Part {number}\n\n![It is so.]({picture})\n\n")
        document.add_picture(os.fspath(work / picture), width=docx.shared.Cm(8))
        slide = slides.slides.add_slide(slides.slide_layouts[6])
        slide.shapes.add_picture(os.fspath(work / picture), 0, 0, height=pptx.util.Cm(12))
    (work / "in.md").write_text("".join(lines))
    cells = [nbformat.v4.new_markdown_cell(line) for line in lines]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), work / "in.ipynb")
    document.save(os.fspath(work / "in.docx"))
    slides.save(os.fspath(work / "in.pptx"))
    return placements
