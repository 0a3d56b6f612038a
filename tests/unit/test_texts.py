"""Which pictures a text shows, whatever its markup is, and what of hostile texts is not opened."""

import base64
import gzip
import io
import json
import os
import socket
import tarfile
from itertools import cycle
from pathlib import Path

import pytest
from figures import picture, saved
from test_documents import BLUE, DATA, RED, archive, content_of, found, reason, write

from locatable.documents import read_figures
from locatable.documents.passages import read_passages
from locatable.documents.picture import opened
from locatable.documents.text import Manuscript

ROC, LOSS = RED, BLUE


@pytest.fixture
def paper(tmp_path: Path) -> Path:
    """A folder with two figures, each in two places."""
    for folder in ("", "figs/", "static/"):
        write(tmp_path / f"{folder}roc.png", ROC)
        write(tmp_path / f"{folder}loss.png", LOSS)
    write(tmp_path / "figs/only.png", ROC)
    write(tmp_path / "figs/my roc.png", ROC)
    return tmp_path


TEX = {
    r"\plotone{roc.png}": [ROC],
    r"\plotone{roc}": [ROC],
    r"\plottwo{roc}{loss}": [ROC, LOSS],
    r"\adjustimage{max size={0.9\linewidth}{0.9\paperheight}}{figs/only.png}": [ROC],
    r"\includegraphics<1>[width=3cm]{roc}": [ROC],
    r"\includegraphics<1->{figs/only}": [ROC],
    r"\includegraphics*{roc.png}": [ROC],
    r"\includegraphics{{figs/only}.png}": [ROC],
    r"\includegraphics{\detokenize{figs/only}}": [ROC],
    r'\includegraphics{"figs/my roc.png"}': [ROC],
    r"\epsfig{file=roc.png,width=3cm}": [ROC],
    r"\begin{figure}\plotone{roc}\end{figure}": [ROC],
    r"\def\figs{figs/}" "\n" r"\includegraphics{\figs only}": [ROC],
    r"\newcommand{\fig}[1]{\includegraphics{figs/#1}}" "\n" r"\fig{only}": [ROC],
    r"\newcommand{\fig}[2][3cm]{\includegraphics[width=#1]{figs/#2}}" "\n" r"\fig{only} \fig[1cm]{loss}": [
        ROC,
        LOSS,
    ],
    r"\newcommand\fig[1]{\includegraphics{figs/#1}}\newcommand{\two}[2]{\fig{#1}\fig{#2}}"
    "\n"
    r"\two{only}{loss}": [ROC, LOSS],
    r"\def\fig#1{\includegraphics{figs/#1}}" "\n" r"\fig{only}": [ROC],
    r"\NewDocumentCommand{\fig}{O{3cm} m}{\includegraphics[width=#1]{figs/#2}}" "\n" r"\fig{only}": [ROC],
    r"\newcommand{\figs}{figs}" "\n" r"\includegraphics{\figs/only}": [ROC],
    r"\newenvironment{shown}[1]{\includegraphics{figs/#1}}{}" "\n" r"\begin{shown}{only}\end{shown}": [ROC],
    r"\graphicspath{{plots/}{figs/}}" "\n" r"\includegraphics{only}": [ROC],
    r"\journalfigure{roc}{A caption}": [ROC],
    r"\journalfigure{roc.png}{A caption}": [ROC],
    r"\label{fig:roc} \ref{roc} \figref{roc} roc": [],
    "% \\includegraphics{roc}\n50\\% of \\includegraphics{loss}": [LOSS],
    "\\begin{verbatim}\n\\includegraphics{roc}\n\\end{verbatim} \\verb|\\includegraphics{roc}|": [],
    "\\iffalse \\includegraphics{roc} \\fi": [],
    "\\includegraphics{gone}": ["there is no such file"],
    "\\includegraphics{roc} \\includegraphics{roc}": [ROC, ROC],
}
HTML = {
    "<img srcset='figs/gone.png 1x, figs/only.png 2x' src='gone.png'>": [ROC],
    "<img data-src='roc.png'>": [ROC],
    "<picture><source srcset='roc.png'><img src='gone.png'></picture>": [ROC],
    "<picture><source srcset='gone.avif'><img src='gone.png'></picture>": ["there is no such file"],
    "<base href='figs/'><img src='only.png'>": [ROC],
    "<div style='background: url(roc.png)'>": [ROC],
    "<style>.a { background: url('figs/my roc.png') }</style>": [ROC],
    f"<style>.a {{ background: url({DATA}) }}</style>": [RED],
    "<section data-background-image='roc.png'>": [ROC],
    "<a href='roc.png'><img src='roc.png'></a>": [ROC],
    "<!-- <img src='roc.png'> --><script>a = 'roc.png'</script><code>roc.png</code>": [],
    "<p>`<img src='roc.png'>`</p>": [ROC],
    "<img src='/roc.png'>": [ROC],
    "<img src='file:roc.png'>": [ROC],
    "<iframe src='a.html'></iframe><iframe src='gone.pdf'></iframe>": ["there is no such file"],
}
MARKDOWN = {
    "![](roc.png){width=50%}": [ROC],
    "![](/roc.png)": [ROC],
    "[![](roc.png)](roc.png)": [ROC],
    "![](missing.png)": ["there is no such file"],
    '{{< figure src="roc.png" title="loss.png" >}}': [ROC, LOSS],
    '{{< figure src="/roc.png" >}}': [ROC],
    "![[roc.png|300]] ![[figs/my roc.png]]": [ROC, ROC],
    "```{figure} roc.png\n:name: roc\n```": [ROC],
    "```{image} roc.png\n:alt: loss\n```": [ROC],
    ":::{figure} gone.png\n:::": ["there is no such file"],
    '```{r}\nknitr::include_graphics("roc.png")\n```': [ROC],
    '```{r, out.width="50%"}\n# include_graphics("roc.png")\nggsave("loss.png")\n```': [],
    "```python\nshow('roc.png')\n```": [],
    "`roc.png` <!-- ![](roc.png) -->": [],
    "import roc from './roc.png'\n\n<img src={roc} />": [ROC],
    "{/* ![](roc.png) */}": [],
    "<Image src={require('./roc.png')} />": [ROC],
    "\\includegraphics{roc}": [ROC],
    "The paper is [here](paper.pdf).": [],
}
OTHERS = {
    "a.rst": {
        ".. image:: roc.png\n   :width: 50%\n": [ROC],
        ".. figure:: figs/my roc.png\n": [ROC],
        ".. |roc| image:: roc.*\n": [ROC],
        ".. no image:: roc.png\n": [],
        "..\n   .. image:: roc.png\n\n.. image:: loss.png": [LOSS],
        ".. code-block:: rst\n\n   .. image:: roc.png\n\n.. image:: loss.png\n": [LOSS],
    },
    "a.org": {
        "[[file:roc.png]] [[./figs/only.png]]": [ROC, ROC],
        "# [[file:roc.png]]\n#+begin_src\nroc.png\n#+end_src\n#+ATTR_HTML: :width 3\n[[file:loss.png]]": [
            LOSS
        ],
    },
    "a.adoc": {
        "image::roc.png[The curve, 300]\n\nan image:loss.png[] in a line": [ROC, LOSS],
        ":imagesdir: figs\n\nimage::only.png[]": [ROC],
        "// image::roc.png[]\n----\nimage::roc.png[]\n----\nimage::gone.png[]": ["there is no such file"],
    },
    "a.typ": {
        '#figure(image("roc.png", width: 50%))': [ROC],
        '#image("/roc.png") // #image("loss.png")': [ROC],
        '#image("gone.svg")': ["there is no such file"],
    },
    "a.Rnw": {
        "<<>>=\nknitr::include_graphics('roc.png')\n@\n\\includegraphics{loss}": [ROC, LOSS],
    },
    "a.ltx": {r"\includegraphics{roc}": [ROC]},
    "paper": {
        "\\documentclass{article}\n\\includegraphics{roc} % \\includegraphics{loss}": [ROC],
        "\n<html><img src='roc.png'></html>": [ROC],
        "See roc.png, and not rock.png.": [ROC],
    },
}
CASES = [("a.tex", *case) for case in TEX.items()] + [("a.html", *case) for case in HTML.items()]
CASES += zip(cycle(("a.md", "a.qmd", "a.Rmd", "a.mdx")), MARKDOWN, MARKDOWN.values(), strict=False)
for _name, _cases in OTHERS.items():
    CASES += [(_name, *case) for case in _cases.items()]


@pytest.mark.parametrize(("name", "text", "expected"), CASES)
def test_a_text_s_figures(paper: Path, name: str, text: str, expected: list[bytes | str]) -> None:
    assert [content for _, content in found(write(paper / name, text))] == expected


INCLUDES = {
    r"\input{parts/one}": "a.tex",
    r"\input parts/one": "a.tex",
    r"\include{parts/one}": "a.tex",
    r"\subfile{parts/one.tex}": "a.tex",
    r"\import{parts/}{one}": "a.tex",
    r"\subimport{parts}{one.tex}": "a.tex",
    r"\newcommand{\section}[1]{\input{parts/#1}} \section{one}": "a.tex",
    "{{< include parts/one.tex >}}": "a.qmd",
    "```{include} parts/one.tex\n```": "a.md",
    '```{r child="parts/one.tex"}\n```': "a.Rmd",
    "<<child='parts/one.tex'>>=\n@": "a.Rnw",
    ".. include:: parts/one.tex": "a.rst",
    "include::parts/one.tex[]": "a.adoc",
    '#include "parts/one.tex"': "a.typ",
    '#+INCLUDE: "parts/one.tex"': "a.org",
}


@pytest.mark.parametrize(("text", "name"), INCLUDES.items())
def test_a_text_that_another_includes(paper: Path, text: str, name: str) -> None:
    write(paper / "parts/one.tex", "\n\\includegraphics{roc.png}\n")
    assert found(write(paper / name, text)) == [("parts/one line 2", ROC)]


MISSING = {
    r"\input{intro}": "intro.tex",
    r"\input intro": "intro.tex",
    r"\include{parts/gone}": "parts/gone.tex",
    r"\subfile{gone.tex}": "gone.tex",
    r"\import{parts/}{gone}": "gone.tex",
    r"\input{roc.pgf} \input{roc.pgf}": "roc.pgf",
    r"\newcommand{\part}[1]{\input{parts/#1}} \part{gone}": "parts/gone.tex",
    r"\usepackage{gone} \input{glyphtounicode} \input{a.bbl} % \input{gone}": "",
    r"\input{\name} \input{|ls} \IfFileExists{gone}{\input{gone}}{}": "",
    "{{< include gone.qmd >}}": "",
}


@pytest.mark.parametrize(("text", "name"), MISSING.items())
def test_a_text_that_is_included_and_is_not_here(paper: Path, text: str, name: str) -> None:
    told = [("line 3", f"{name} is included, but was not found")] if name else []
    write(paper / "parts/one.tex", "")
    assert found(write(paper / "a.tex", f"\n\n{text}\n")) == told


def test_paths_of_an_imported_text_begin_at_its_folder(paper: Path) -> None:
    write(paper / "parts/roc.png", LOSS)
    write(paper / "parts/deep/loss.png", ROC)
    write(paper / "parts/one.tex", "\\includegraphics{roc}\\subimport{deep}{two}")
    write(paper / "parts/deep/two.tex", "\\includegraphics{loss}")
    text = "\\import{parts/}{one}\n\\includegraphics{roc}"
    assert [content for _, content in found(write(paper / "a.tex", text))] == [LOSS, ROC, ROC]


def test_an_included_text_says_where_pictures_are_and_defines_macros(paper: Path) -> None:
    write(
        paper / "preamble.tex",
        "\\graphicspath{{figs/}}\n\\newcommand{\\fig}[1]{\n  \\includegraphics{#1}\n}\n",
    )
    write(paper / "style.sty", "\\newcommand{\\other}[1]{\\includegraphics{figs/#1}}")
    text = "\\input{preamble}\n\\usepackage{graphicx,style}\n\n\\fig{only}\n\\other{only}"
    assert found(write(paper / "a.tex", text)) == [("line 4", ROC), ("line 5", ROC)]


def test_texts_that_include_each_other_are_read_once(paper: Path) -> None:
    write(paper / "one.tex", "\\input{a}\\input{one}\\includegraphics{roc}")
    text = "\\input{one}\\input{a}\\input{one}\\includegraphics{loss}"
    assert [content for _, content in found(write(paper / "a.tex", text))] == [ROC, LOSS]


def test_the_lines_of_a_text_with_those_that_it_includes(paper: Path) -> None:
    write(paper / "parts/one.tex", "An accuracy % not 0.9\nof \\acc.")
    text = "\\newcommand{\\acc}{0.943}\nBefore\n\\input{parts/one}\nafter."
    chunks = Manuscript(write(paper / "a.tex", text), [paper]).chunks()
    assert [(chunk.place(chunk.line), chunk.text) for chunk in chunks] == [
        ("line 1", "\nBefore\n"),
        ("parts/one line 1", "An accuracy \nof 0.943."),
        ("line 3", "\nafter."),
    ]


def tarred(path: Path, members: dict[str, bytes | tarfile.TarInfo]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                content.name = name
                archive.addfile(content)
            else:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return path


SOURCES = {
    "main.tex": b"\\documentclass{article}\\input{parts/one}\n\\includegraphics{figs/loss}",
    "parts/one.tex": b"\\includegraphics{figs/roc}",
    "notes.md": b"![](figs/roc.png)",
    "figs/roc.png": ROC,
    "figs/loss.png": LOSS,
}


@pytest.mark.parametrize("folder", ["", "paper-main/"])
def test_an_archive_of_sources(tmp_path: Path, folder: str) -> None:
    members = {folder + name: content for name, content in SOURCES.items()}
    expected = [("parts/one line 1", ROC), ("line 2", LOSS)]
    assert found(archive(tmp_path / "a.zip", members)) == expected
    assert found(tarred(tmp_path / "a.tar.gz", members)) == expected
    # What arXiv gives has no better name.
    assert found(tarred(tmp_path / "2301.00001.gz", members)) == expected


def test_an_archive_without_tex(tmp_path: Path) -> None:
    members = {"a.md": b"![](a.png)", "b/c.html": b"<img src=../a.png>", "a.png": ROC}
    assert found(archive(tmp_path / "a.zip", members)) == [("a.md line 1", ROC), ("b/c.html line 1", ROC)]


def test_a_compressed_text(tmp_path: Path) -> None:
    path = write(tmp_path / "2301.00001.gz", gzip.compress(b"\n\\includegraphics{gone}"))
    assert found(path) == [("line 2", "there is no such file")]


@pytest.mark.parametrize("name", ["../roc.png", "/roc.png", "a/../../roc.png", "inner.zip"])
def test_members_that_lead_out_of_an_archive(tmp_path: Path, name: str) -> None:
    members = {"a.md": b"![](roc.png)", name: ROC}
    for path in (archive(tmp_path / "a.zip", members), tarred(tmp_path / "a.tgz", members)):
        figures = found(path)
        assert figures == [
            ("line 1", "there is no such file"),
            ("the rest", f"{name}: is in the archive, and not read"),
        ]
    assert not list(tmp_path.rglob("roc.png"))


def test_several_members_that_lead_out_of_an_archive_are_counted(tmp_path: Path) -> None:
    members = {"a.md": b"![](a.png)", "a.png": ROC, "../b.png": ROC, "../c.png": ROC, "inner.zip": ROC}
    rest = found(archive(tmp_path / "a.zip", members))[-1]
    assert rest == ("the rest", "../b.png: is in the archive, and not read; and 2 more")


@pytest.mark.parametrize("name", ["roc.png/inner.png", f"{'a' * 300}.png"])
def test_a_member_that_cannot_be_written_is_told(tmp_path: Path, name: str) -> None:
    members = {"a.md": b"![](roc.png)", "roc.png": ROC, name: LOSS}
    (first, (place, problem)) = found(tarred(tmp_path / "a.tgz", members))
    assert (first, place) == (("line 1", ROC), "the rest")
    assert str(problem).startswith(f"{name}: ")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_an_archive(tmp_path: Path, kind: bytes) -> None:
    secret = write(tmp_path / "secret.png", ROC)
    info = tarfile.TarInfo()
    info.type = kind
    info.linkname = str(secret)
    path = tarred(tmp_path / "a.tar", {"a.md": b"![](roc.png)", "roc.png": info})
    assert found(path)[0] == ("line 1", "there is no such file")


def test_an_archive_that_unpacks_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("locatable.documents.package.MOST_UNPACKED", 1_000_000)
    members = {"a.md": b"![](a.png)", "a.png": ROC, "b.png": bytes(2_000_000)}
    last = ("the rest", "more than 1 MB of the archive are not read")
    for path in (archive(tmp_path / "a.zip", members), tarred(tmp_path / "a.tgz", members)):
        assert found(path) == [("line 1", ROC), last]


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "a.tar", "a.gz"])
def test_a_broken_archive(tmp_path: Path, name: str) -> None:
    assert reason(write(tmp_path / name, b"PK\3\4 nothing")).startswith("encrypted or broken: ")


@pytest.mark.parametrize("kind", ["AVIF", "JPEG2000"])
def test_newer_formats_of_pictures(paper: Path, kind: str) -> None:
    ending = {"AVIF": "avif", "JPEG2000": "jp2"}[kind]
    write(paper / f"a.{ending}", saved(picture(ROC), kind))
    ((_, content),) = found(write(paper / "a.md", f"![](a.{ending})"))
    assert opened(content).size == (60, 50)


def test_a_notebook_of_format_3(paper: Path) -> None:
    coded = base64.b64encode(ROC).decode()
    cells = [
        {"cell_type": "markdown", "source": ["![](loss.png)"]},
        {"cell_type": "code", "outputs": [{"output_type": "display_data", "png": coded, "text": ["a"]}]},
    ]
    notebook = {"nbformat": 3, "worksheets": [{"cells": cells}]}
    path = write(paper / "a.ipynb", json.dumps(notebook))
    assert found(path) == [("cell 1", LOSS), ("cell 2", ROC)]


OUTSIDE = "outside of the document's folder and project: not opened"
NO_FILE = "a device, pipe or socket: not opened"


@pytest.mark.parametrize(
    ("link", "problem"),
    [
        ("/dev/zero", OUTSIDE),
        ("/proc/self/mem", OUTSIDE),
        ("file:///dev/random", OUTSIDE),
        ("../secret.png", OUTSIDE),
        ("link.png", OUTSIDE),
        ("above/secret.png", OUTSIDE),
        ("zero.png", OUTSIDE),
        ("fifo.png", NO_FILE),
        ("socket.png", NO_FILE),
    ],
)
@pytest.mark.parametrize("text", ["a.html", "a.tex"])
def test_what_a_text_names_and_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, link: str, problem: str
) -> None:
    """A pipe would never end, nor would most of the others."""
    folder = write(tmp_path / "paper/b.png", ROC).parent
    write(tmp_path / "secret.png", ROC)
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / "above").symlink_to(tmp_path)
    (folder / "zero.png").symlink_to("/dev/zero")
    os.mkfifo(folder / "fifo.png")
    monkeypatch.chdir(folder)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.png")
        content = f"<img src='{link}'>" if text == "a.html" else f"\\includegraphics{{{link}}}"
        if not (text == "a.tex" and ":" in link):
            assert found(write(folder / text, content)) == [("line 1", problem)]


def test_a_text_that_is_included_from_outside_is_not_read(tmp_path: Path) -> None:
    write(tmp_path / "secret.tex", "\\includegraphics{b}")
    write(tmp_path / "paper/b.png", ROC)
    assert found(write(tmp_path / "paper/a.tex", "\n\\input{../secret}")) == [("line 2", OUTSIDE)]


def test_a_text_may_name_pictures_of_its_repository_and_of_other_folders_given(tmp_path: Path) -> None:
    cached = write(tmp_path / "cache/ab/cdef", ROC)
    write(tmp_path / "project/figs/loss.png", LOSS)
    (tmp_path / "project/.git").mkdir()
    (tmp_path / "project/figs/roc.png").symlink_to(cached)
    path = write(
        tmp_path / "project/paper/a.md", "![](../figs/loss.png) ![](../figs/roc.png) ![](/figs/loss.png)"
    )
    assert [content for _, content in found(path)] == [LOSS, OUTSIDE, LOSS]
    figures = read_figures(path, (tmp_path / "project", tmp_path / "cache"))
    assert [bool(figure.problem) for figure in figures] == [False, False, False]


def test_texts_in_texts_have_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("locatable.documents.text.MOST_LEVELS", 3)
    for number in range(5):
        write(tmp_path / f"{number}.tex", f"\\includegraphics{{g}}\n\\input{{{number + 1}}}")
    problem = "4: too many included texts"
    gone = "there is no such file"
    assert found(tmp_path / "0.tex") == [
        *(("line 1" if not n else f"{n} line 1", gone) for n in range(4)),
        ("3 line 2", problem),
    ]


def test_macros_that_expand_without_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("locatable.documents.text.MOST_EXPANDED", 1_000)
    text = "\\newcommand{\\a}[1]{\\a{#1#1#1#1}\\a{#1}}" + "\\a{xxxxxxxx}" * 1_000
    chunks = Manuscript(write(tmp_path / "a.tex", text), [tmp_path]).chunks()
    assert sum(len(chunk.text) for chunk in chunks) < 100_000


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.html", "<picture>" + "<img src=a.png>" * 50_000),
        ("a.html", "<base href=a/>" * 20_000 + "<img src=b.png>" * 100),
        ("a.html", "(data:image/," * 50_000),
        ("a.tex", "\\newcommand{\\a}[1]{" * 50_000),
        ("a.tex", "\\begin{verbatim}" * 50_000),
        ("a.tex", "\\input" + " " * 200_000),
        ("a.md", "```{r}\n" * 50_000),
        ("a.rst", "\n" * 200_000),
        ("a.md", "a" * 200_000 + ".png"),
    ],
)
def test_what_has_no_end_in_other_markups_takes_no_time(tmp_path: Path, name: str, text: str) -> None:
    assert len(found(write(tmp_path / name, text))) <= 100


HOSTILE = {
    "a.md": [
        *(
            "![",
            "[",
            "<",
            "`",
            "``` ",
            "~~~\n",
            "$",
            "![a](",
            "![a](<",
            "[a](",
            "![a][",
            "[a@",
            "a@",
            "{",
            "<!--",
        ),
        *("|", "|-", "| |\n|-|\n", "---\n", "-", "\n", " ", "References\n", 'image("'),
    ],
    "a.tex": [
        *(
            "\\begin{",
            "\\begin{table}",
            "\\begin{tabular}",
            "\\begin{tabular}\\caption[",
            "{",
            "[",
            "\\",
            "1",
        ),
        *("\\verb|", "\\def ", "\\def\\a#1", "\\fig{", "\\fig[", "\\cite{", "\\multirow[", "\\ref("),
    ],
    "a.html": ["<table", "<td", "<table><caption>", "<sup", "<p", "<svg", "<picture>", "<img a=", "<base "],
    "a.rst": ["..\n", ".. a\n", ".. code::\n\n", "  .. a\n   b\n"],
}
ENDLESS = [(name, text) for name, texts in HOSTILE.items() for text in texts]


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("name", "text"), ENDLESS)
def test_a_text_of_beginnings_without_an_end_shows_nothing(tmp_path: Path, name: str, text: str) -> None:
    """Time that grows with the square of the length would end in the limit of the test."""
    whole = text * (200_000 // len(text))
    path = write(tmp_path / name, whole)
    assert found(path) == []
    lines = [passage.line for passage in read_passages(path)]
    assert lines == sorted(lines)
    assert max(lines, default=1) <= whole.count("\n") + 1


def test_a_picture_that_obsidian_keeps_among_attachments(tmp_path: Path) -> None:
    write(tmp_path / "attachments/roc.png", ROC)
    assert found(write(tmp_path / "a.md", "![[roc.png]]")) == [("line 1", ROC)]


def test_a_picture_in_an_svg_is_a_part_of_it(paper: Path) -> None:
    (figure,) = read_figures(write(paper / "a.html", "\n<svg width='9'>\n<image href='roc.png'/></svg>"))
    assert [(part.place, content_of(part)) for part in figure.parts] == [("line 3", ROC)]
