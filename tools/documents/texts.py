"""Row `texts`: the ways to refer to a picture in a text, in archives of sources, and in office documents."""

import base64
import json
import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import docx
import pptx

from .corpus import Row, file_name, placed

ONE = "figures/one.png"
TWO = "figures/two.png"


@dataclass(frozen=True)
class Text:
    """A text that names pictures.

    Attributes:
        file: its file name, whose extension determines the markup.
        text: its content.
        shown: the pictures that it shows.
        unshown: pictures that it names without showing them: in comments and in code.
        others: the contents of further files by name.
    """

    file: str
    text: str
    shown: tuple[str, ...] = (ONE,)
    unshown: tuple[str, ...] = ()
    others: dict[str, str] = field(default_factory=dict)


def _latex(text: str, *shown: str, file: str = "paper.tex", **others: str) -> Text:
    """Return a LaTeX source.

    Args:
        text: the body, or further lines of the preamble and the body with a line `---` between them.
        shown: the pictures that it shows.
        file: its file name.
        others: the contents of further sources in the folder `sections`, by name.
    """
    begin = "\\documentclass{article}\n\\usepackage{graphicx}"
    preamble, _, body = text.rpartition("\n---\n")
    whole = f"{begin}\n{preamble}\n\\begin{{document}}\nIt is so.\n{body}\n\\end{{document}}\n"
    sections = {f"sections/{name}.tex": content for name, content in others.items()}
    return Text(file, whole, shown or (ONE,), others=sections)


def _markdown(text: str, *shown: str, file: str = "paper.md", others: dict[str, str] | None = None) -> Text:
    return Text(file, f"# It\n\nIt is so.\n\n{text}\n\nAnd so on.\n", shown or (ONE,), others=others or {})


def _html(text: str, *shown: str, head: str = "") -> Text:
    whole = (
        f"<!doctype html><html><head><title>It</title>{head}</head><body>\n<p>So.</p>\n{text}\n</body></html>"
    )
    return Text("paper.html", whole, shown or (ONE,))


IN = r"\includegraphics[width=\linewidth]"
LATEX = {
    "includegraphics": _latex(IN + "{figures/one.png}"),
    "includegraphics without an ending": _latex(IN + "{figures/one}"),
    "includegraphics, two in a line": _latex(IN + "{figures/one}" + IN + "{figures/two}", ONE, TWO),
    "includegraphics with a star": _latex(r"\includegraphics*[10,10][90,90]{figures/one}"),
    "includegraphics of several lines": _latex(
        "\\includegraphics[%\n  width=3cm, % so\n  angle=90\n]\n{figures/one}"
    ),
    "includegraphics<1> of beamer": _latex(
        r"\includegraphics<1>[width=3cm]{figures/one}\includegraphics<2>{figures/two}", ONE, TWO
    ),
    "plotone": _latex(r"\begin{figure}\plotone{figures/one.png}\end{figure}"),
    "plottwo": _latex(r"\plottwo{figures/one.png}{figures/two.png}", ONE, TWO),
    "epsfig": _latex(r"\epsfig{file=figures/one.png,width=3cm}"),
    "psfig": _latex(r"\psfig{figure=figures/one.png}"),
    "adjustimage": _latex(r"\adjustimage{max size={0.9\linewidth}{0.9\paperheight}}{figures/one.png}"),
    "adjincludegraphics": _latex(
        r"\adjincludegraphics[width=3cm,trim={0 0 {.5\width} 0},clip]{figures/one.png}"
    ),
    "import": _latex(r"\import{sections/}{one}", "sections/one.png", one=r"\includegraphics{one.png}"),
    "subimport": _latex(r"\subimport{sections/}{one.tex}", "sections/one.png", one=r"\includegraphics{one}"),
    "includefrom": _latex(r"\includefrom{sections/}{one}", "sections/one.png", one=r"\includegraphics{one}"),
    "input": _latex(r"\input{sections/one}", one=IN + "{figures/one}"),
    "input without braces": _latex(r"\input sections/one.tex", one=IN + "{figures/one}"),
    "include": _latex(r"\include{sections/one}", one=IN + "{figures/one}"),
    "subfile": _latex(r"\subfile{sections/one}", "sections/one.png", one=IN + "{one}"),
    "inputs in inputs": _latex(
        r"\input{sections/one}", one=r"\input{sections/two}", two=IN + "{figures/one}"
    ),
    "graphicspath": _latex("\\graphicspath{{other/}{figures/}}\n---\n" + IN + "{one}"),
    "graphicspath of several lines": _latex("\\graphicspath{\n {figures/}\n}\n---\n" + IN + "{one}"),
    "graphicspath in an input": _latex(
        "\\input{sections/one}\n---\n" + IN + "{one}", one=r"\graphicspath{{figures/}}"
    ),
    "graphicspath in the class's options": _latex(IN + "{one}\\graphicspath{{./figures/}}"),
    "a macro with an argument": _latex(
        "\\newcommand{\\fig}[1]{\\includegraphics{figures/#1.png}}\n---\n\\fig{one}"
    ),
    "a macro with a path": _latex(
        "\\newcommand{\\fig}[2]{\\includegraphics[width=#2]{#1}}\n---\n\\fig{figures/one}{3cm}"
    ),
    "a macro for the folder": _latex("\\newcommand{\\figs}{figures}\n---\n" + IN + "{\\figs/one}"),
    "a def for the folder": _latex("\\def\\figs{figures/}\n---\n" + IN + "{\\figs one.png}"),
    "another name for includegraphics": _latex("\\let\\ig\\includegraphics\n---\n\\ig{figures/one.png}"),
    "overpic": _latex(r"\begin{overpic}[width=3cm]{figures/one}\put(1,1){a}\end{overpic}"),
    "tikz node": _latex(r"\tikz\node[inner sep=0] at (0,0) {\includegraphics{figures/one}};"),
    "subcaptionbox": _latex(
        r"\subcaptionbox{It\label{a}}{\includegraphics[width=.5\linewidth]{figures/one}}"
    ),
    "subfloat": _latex(r"\subfloat[It]{\includegraphics{figures/one}}"),
    "pgfimage": _latex(r"\pgfimage[width=3cm]{figures/one}"),
    "pgfdeclareimage": _latex(r"\pgfdeclareimage[width=3cm]{it}{figures/one}\pgfuseimage{it}"),
    "includesvg": _latex(r"\includesvg[width=3cm]{figures/one}", "figures/one.svg"),
    "includepdf": _latex(r"\includepdf[pages=-]{figures/one}", "figures/one.pdf"),
    "fill in a template": _latex(
        r"\begin{tcolorbox}[fill image opacity=1,fill image={figures/one.png}]\end{tcolorbox}"
    ),
    "a name with a space": _latex(r'\includegraphics{"figures/one more"}', "figures/one more.png"),
    "a name with a dot": _latex(r"\includegraphics{figures/one.v2}", "figures/one.v2.png"),
    ".ltx": _latex(IN + "{figures/one}", file="paper.ltx"),
    ".Rnw": _latex("<<a, fig.width=3>>=\nplot(1)\n@\n" + IN + "{figures/one}", file="paper.Rnw"),
    "comment, verbatim": Text(
        "paper.tex",
        "\\includegraphics{figures/one}\n% \\includegraphics{figures/two}\n"
        "\\begin{verbatim}\n\\includegraphics{figures/three.png}\n\\end{verbatim}\n\\verb|\\includegraphics{figures/four.png}|",
        unshown=(TWO, "figures/three.png", "figures/four.png"),
    ),
}
MARKDOWN = {
    "image": _markdown("![It](figures/one.png)"),
    "image with a title": _markdown('![It [1]](figures/one.png "Title (a)"){width=50%}'),
    "image with an escaped space": _markdown("![It](figures/one%20more.png)", "figures/one more.png"),
    "image in angles": _markdown("![It](<figures/one more.png>)", "figures/one more.png"),
    "by reference": _markdown("![It][a]\n\n[a]: figures/one.png"),
    "img": _markdown('<img src="figures/one.png" width="300"/>'),
    "MyST figure": _markdown("```{figure} figures/one.png\n:name: it\n\nIt is so.\n```"),
    "MyST image": _markdown("```{image} figures/one.png\n:width: 200px\n```"),
    "MyST figure with colons": _markdown(":::{figure} figures/one.png\nIt is so.\n:::"),
    "MyST figure-md": _markdown("```{figure-md} it\n![It](figures/one.png)\n\nIt is so.\n```"),
    "MyST include": _markdown(
        "```{include} parts/one.md\n```", others={"parts/one.md": "![It](../figures/one.png)"}
    ),
    "Quarto figure": _markdown("![It](figures/one.png){#fig-one fig-alt='so'}", file="paper.qmd"),
    "Quarto include": _markdown(
        "{{< include _one.qmd >}}", file="paper.qmd", others={"_one.qmd": "![It](figures/one.png)"}
    ),
    "Quarto, from the project's folder": _markdown(
        "![It](/figures/one.png)",
        file="chapters/paper.qmd",
        others={"_quarto.yml": "project:\n  type: book\n"},
    ),
    "Quarto, knitr": _markdown(
        '```{r}\n#| label: it\nknitr::include_graphics("figures/one.png")\n```', file="paper.qmd"
    ),
    "Quarto, Python": _markdown(
        '```{python}\nfrom IPython.display import Image\nImage("figures/one.png")\n```', file="paper.qmd"
    ),
    "R Markdown": _markdown("![It](figures/one.png){width=50%}", file="paper.Rmd"),
    "R Markdown, knitr of several": _markdown(
        "```{r, out.width='50%'}\nknitr::include_graphics(c('figures/one.png', 'figures/two.png'))\n```",
        *(ONE, TWO),
        file="paper.Rmd",
    ),
    "MDX, image": _markdown("![It](./figures/one.png)", file="paper.mdx"),
    "MDX, import": _markdown("import one from './figures/one.png'\n\n<img src={one} />", file="paper.mdx"),
    "MDX, require": _markdown("<Image src={require('./figures/one.png')} alt='it' />", file="paper.mdx"),
    "Hugo figure": _markdown('{{< figure src="figures/one.png" title="It" >}}'),
    "Hugo figure of its static folder": _markdown(
        '{{< figure src="/figures/one.png" >}}',
        "static/figures/one.png",
        file="content/paper.md",
        others={"hugo.toml": 'title = "It"\n'},
    ),
    "Obsidian embed": _markdown("![[figures/one.png]]"),
    "Obsidian embed by name": _markdown(
        "![[one.png|300]]", "attachments/one.png", others={".obsidian/app.json": "{}"}
    ),
    "front matter": Text("paper.md", "---\ntitle: It\nimage: figures/one.png\n---\n\nIt is so.\n"),
    "code": Text(
        "paper.md",
        "![It](figures/one.png)\n\n```\n![It](figures/two.png)\n```\n\n`![](figures/three.png)`\n\n"
        "<!-- ![It](figures/four.png) -->\n",
        unshown=(TWO, "figures/three.png", "figures/four.png"),
    ),
}
HTML = {
    "img": _html('<img alt="it" src="figures/one.png">'),
    "img without quotes": _html("<IMG SRC=figures/one.png>"),
    "srcset": _html('<img srcset="figures/one.png 480w, figures/large.png 800w">'),
    "data-src": _html('<img class="lazy" data-src="figures/one.png">'),
    "picture": _html('<picture><source srcset="figures/one.png" type="image/png"><img alt="it"></picture>'),
    "base": _html('<img src="one.png">', head='<base href="figures/">'),
    "object": _html('<object data="figures/one.svg" type="image/svg+xml"></object>', "figures/one.svg"),
    "embed": _html('<embed src="figures/one.pdf" type="application/pdf">', "figures/one.pdf"),
    "iframe": _html('<iframe src="figures/one.pdf"></iframe>', "figures/one.pdf"),
    "svg image": _html('<svg width="9" height="9"><image href="figures/one.png"/></svg>'),
    "background": _html('<section data-background-image="figures/one.png"></section>'),
    "style": _html("<div style=\"background-image: url('figures/one.png')\"></div>"),
    "style sheet": _html("<div class=a></div>", head="<style>.a {background: url(figures/one.png)}</style>"),
    "poster": _html('<video poster="figures/one.png"></video>'),
    "address of a file": _html('<img src="./figures/../figures/one.png?v=3#a">'),
    "comment, script": Text(
        "paper.html",
        '<img src="figures/one.png"><!-- <img src="figures/two.png"> -->',
        unshown=(TWO,),
    ),
}
OTHERS = {
    "reStructuredText image": Text("paper.rst", "It\n==\n\n.. image:: figures/one.png\n   :width: 50%\n"),
    "reStructuredText figure": Text("paper.rst", "It\n==\n\n.. figure:: figures/one.png\n\n   It is so.\n"),
    "reStructuredText, any ending": Text("paper.rst", "It\n==\n\n.. image:: figures/one.*\n"),
    "reStructuredText, substitution": Text("paper.rst", "It is |it|.\n\n.. |it| image:: figures/one.png\n"),
    "reStructuredText, include": Text(
        "paper.rst",
        "It\n==\n\n.. include:: parts/one.rst\n",
        others={"parts/one.rst": ".. image:: /figures/one.png\n"},
    ),
    "reStructuredText, comment": Text(
        "paper.rst", ".. image:: figures/one.png\n\n..\n   .. image:: figures/two.png\n", unshown=(TWO,)
    ),
    "Org link": Text("paper.org", "* It\n#+CAPTION: so\n[[file:figures/one.png]]\n"),
    "Org link to a folder": Text("paper.org", "* It\n[[./figures/one.png]]\n"),
    "AsciiDoc block": Text("paper.adoc", "= It\n\n.So\nimage::figures/one.png[It,300]\n"),
    "AsciiDoc inline": Text("paper.adoc", "= It\n\nSo image:figures/one.png[It] it is.\n"),
    "AsciiDoc, imagesdir": Text("paper.adoc", "= It\n:imagesdir: figures\n\nimage::one.png[]\n"),
    "AsciiDoc, include": Text(
        "paper.adoc",
        "= It\n\ninclude::parts/one.adoc[]\n",
        others={"parts/one.adoc": "image::figures/one.png[]\n"},
    ),
    "Typst image": Text("paper.typ", '= It\n#image("figures/one.png", width: 50%)\n'),
    "Typst figure": Text("paper.typ", '#figure(\n  image("figures/one.png"),\n  caption: [It],\n)\n'),
    "Typst, from the project's folder": Text("paper.typ", '#figure(image("/figures/one.png"))\n'),
    "Typst, include": Text(
        "paper.typ", '#include "parts/one.typ"\n', others={"parts/one.typ": '#image("../figures/one.png")\n'}
    ),
}
TEXTS = {"LaTeX": LATEX, "Markdown": MARKDOWN, "HTML": HTML, "": OTHERS}


def build(row: Row) -> None:
    """Build the row."""
    for markup, texts in TEXTS.items():
        for name, text in texts.items():
            _write(row, f"{markup} {name}".strip(), text)
    _archives(row)
    for name, make in MADE.items():
        folder = Path(file_name(name))
        plot = row.take(folder / ONE)
        row.add(make(row.folder / folder, row.folder / folder / ONE), placed(name, "", plot))
        shutil.rmtree(row.folder / folder / "figures")


def _write(row: Row, way: str, text: Text) -> None:
    folder = Path(file_name(way)) if way[0] != "." else Path(f"dot-{file_name(way)}")
    placements = []
    for name in text.shown:
        # The place is known by the stem alone, because the text may name the picture without its extension.
        plot = row.take(folder / name)
        placements.append(placed(way, rf"\b{Path(name).stem}\b", plot))
    for name in text.unshown:
        row.take(folder / name)
    path = _write_files(row.folder / folder, text)
    hidden = [placed(f"{way}, not shown", rf"\b{Path(name).stem}\b", None) for name in text.unshown]
    row.add(path, *placements, *hidden)


def _write_files(folder: Path, text: Text) -> Path:
    path = folder / text.file
    for name, content in {text.file: text.text, **text.others}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return path


def _archives(row: Row) -> None:
    """Write archives of sources as Overleaf and arXiv provide them."""
    main = LATEX["inputs in inputs"]
    for way, top in {
        "Overleaf's ZIP": "",
        "ZIP with a folder": "paper/",
        "arXiv's tar.gz": "",
        "tgz": "./",
    }.items():
        folder = Path(file_name(way))
        plot = row.take(folder / "sources" / ONE)
        sources = row.folder / folder / "sources"
        _write_files(sources, main)
        files = sorted(path for path in sources.rglob("*") if path.is_file())
        ending = "zip" if "ZIP" in way else "tar.gz" if "tar.gz" in way else "tgz"
        archive = row.folder / folder / f"paper.{ending}"
        if ending == "zip":
            with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
                for file in files:
                    zipped.write(file, f"{top}{file.relative_to(sources)}")
        else:
            with tarfile.open(archive, "w:gz") as packed:
                for file in files:
                    packed.add(file, f"{top}{file.relative_to(sources)}")
        shutil.rmtree(sources)
        row.add(archive, placed(way, "", plot))


def _docm(folder: Path, picture: Path) -> Path:
    document = docx.Document()
    document.add_picture(os.fspath(picture))
    document.save(os.fspath(folder / "paper.docx"))
    return _retyped(folder / "paper.docx", ".docm", "application/vnd.ms-word.document.macroEnabled.main+xml")


def _ppsx(folder: Path, picture: Path) -> Path:
    kind = "application/vnd.openxmlformats-officedocument.presentationml.slideshow.main+xml"
    return _retyped(_slides(folder, picture), ".ppsx", kind)


def _pptm(folder: Path, picture: Path) -> Path:
    kind = "application/vnd.ms-powerpoint.presentation.macroEnabled.main+xml"
    return _retyped(_slides(folder, picture), ".pptm", kind)


def _slides(folder: Path, picture: Path) -> Path:
    slides = pptx.Presentation()
    slide = slides.slides.add_slide(slides.slide_layouts[6])
    slide.shapes.add_picture(os.fspath(picture), 0, 0)
    slides.save(os.fspath(folder / "slides.pptx"))
    return folder / "slides.pptx"


def _retyped(path: Path, ending: str, kind: str) -> Path:
    """Write a package again with a different content type of its main part."""
    target = path.with_suffix(ending)
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as changed:
        for name in source.namelist():
            content = source.read(name)
            if name == "[Content_Types].xml":
                for part in (b"wordprocessingml.document.main+xml", b"presentationml.presentation.main+xml"):
                    content = content.replace(
                        b"application/vnd.openxmlformats-officedocument." + part, kind.encode()
                    )
            changed.writestr(name, content)
    path.unlink()
    return target


def _data(picture: Path) -> str:
    return base64.b64encode(picture.read_bytes()).decode()


def _notebook_3(folder: Path, picture: Path) -> Path:
    output = {"output_type": "display_data", "png": _data(picture), "metadata": {}}
    cell = {"cell_type": "code", "input": "plot()", "language": "python", "outputs": [output], "metadata": {}}
    notebook = {
        "nbformat": 3,
        "nbformat_minor": 0,
        "metadata": {"name": ""},
        "worksheets": [{"cells": [cell]}],
    }
    return _json(folder / "paper.ipynb", notebook)


def _notebook_4(folder: Path, picture: Path) -> Path:
    output = {"output_type": "display_data", "data": {"image/png": _data(picture)}, "metadata": {}}
    cell = {
        "cell_type": "code",
        "source": "plot()",
        "outputs": [output],
        "metadata": {},
        "execution_count": 1,
    }
    return _json(
        folder / "paper.ipynb", {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}
    )


def _attachment(folder: Path, picture: Path) -> Path:
    attached = {"it.png": {"image/png": _data(picture)}}
    cell = {
        "cell_type": "markdown",
        "source": "![It](attachment:it.png)",
        "attachments": attached,
        "metadata": {},
    }
    return _json(
        folder / "paper.ipynb", {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}
    )


def _json(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


def _data_uri(folder: Path, picture: Path) -> Path:
    path = folder / "paper.html"
    path.write_text(f'<html><img src="data:image/png;base64,{_data(picture)}"></html>')
    return path


def _markdown_data_uri(folder: Path, picture: Path) -> Path:
    path = folder / "paper.md"
    path.write_text(f"![It](data:image/png;base64,{_data(picture)})\n")
    return path


MADE: dict[str, Callable[[Path, Path], Path]] = {
    "docm": _docm,
    "ppsx": _ppsx,
    "pptm": _pptm,
    "notebook of format 3": _notebook_3,
    "notebook's output": _notebook_4,
    "notebook's attachment": _attachment,
    "HTML data URI": _data_uri,
    "Markdown data URI": _markdown_data_uri,
}
