"""What is read of documents: which figures, where, and what of bad input is said."""

import base64
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xlsxwriter
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as MatplotlibFigure
from PIL import Image
from pypdf import PdfReader, PdfWriter
from pypdf.generic import ArrayObject, DecodedStreamObject, DictionaryObject, FloatObject, NameObject

from locatable.documents import Encoded, Figure, Pixels, read_figures
from locatable.documents.package import MOST_TOGETHER
from locatable.documents.passages import read_passages
from locatable.documents.picture import opened
from locatable.errors import UnreadableError


def png(colour: str = "red", size: tuple[int, int] = (60, 50)) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", size, colour).save(content, "PNG")
    return content.getvalue()


RED, BLUE = png("red"), png("blue")
DATA = "data:image/png;base64," + base64.b64encode(RED).decode()
DRAWING = "<svg xmlns='http://www.w3.org/2000/svg'><path d='M0 0L9 9'/></svg>"
ODF = (
    'xmlns:office="o" xmlns:text="t" xmlns:draw="d" xmlns:xlink="http://www.w3.org/1999/xlink" '
    'office:version="1.3"'
)


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def archive(path: Path, members: dict[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def found(path: Path) -> list[tuple[str, bytes | str]]:
    """Place, and content or problem, of each figure that is a file of its own."""
    return [(figure.place, content_of(figure)) for figure in read_figures(path)]


def content_of(figure: Figure) -> bytes | str:
    if figure.problem:
        return figure.problem
    (form, *_) = figure.forms
    assert isinstance(form, Encoded)
    return form.content


def reason(path: Path) -> str:
    with pytest.raises(UnreadableError) as error:
        list(read_figures(path))
    return str(error.value).removeprefix(f"{path}: ")


def test_markdown_links_files_and_data(tmp_path: Path) -> None:
    write(tmp_path / "plots/a b.png", RED)
    write(tmp_path / "plots/c.png", BLUE)
    text = f"# Title\n![a](<plots/a b.png> 'title')\n![c][name]\n![d]({DATA})\n\n[name]: plots/c.png\n"
    assert found(write(tmp_path / "a.md", text)) == [("line 2", RED), ("line 3", BLUE), ("line 4", RED)]


def test_markdown_with_html_and_escaped_names(tmp_path: Path) -> None:
    write(tmp_path / "a b.png", RED)
    text = "one\n![a](a%20b.png)\n<img\n src='a b.png'>\n"
    assert found(write(tmp_path / "a.md", text)) == [("line 2", RED), ("line 3", RED)]


def test_code_in_markdown_is_no_figure(tmp_path: Path) -> None:
    text = "```\n![a](a.png)\n```\n`![a](a.png)`\n"
    assert found(write(tmp_path / "a.md", text)) == []


def test_html_links_data_and_drawings(tmp_path: Path) -> None:
    write(tmp_path / "a.png", RED)
    text = f"<p>\n<img src='a.png?v=1'>\n<img src='{DATA}'>\n{DRAWING}\n<object data='a.png'></object>"
    assert found(write(tmp_path / "a.html", text)) == [
        ("line 2", RED),
        ("line 3", RED),
        ("line 4", DRAWING.encode()),
        ("line 5", RED),
    ]


@pytest.mark.parametrize(
    ("link", "problem"),
    [
        ("https://example.org/a.png", "a link to another server, which is not fetched"),
        ("//example.org/a.png", "a link to another server, which is not fetched"),
        ("a.png", "there is no such file"),
        ("data:image/png;base64,A", "its data: URI is broken"),
    ],
)
def test_a_link_that_leads_to_no_figure_says_why(tmp_path: Path, link: str, problem: str) -> None:
    assert found(write(tmp_path / "a.html", f"<img src='{link}'>")) == [("line 1", problem)]


def test_latex_with_inputs_comments_and_a_path(tmp_path: Path) -> None:
    write(tmp_path / "figures/a.png", RED)
    write(tmp_path / "b.pdf", b"%PDF-")
    write(tmp_path / "parts/one.tex", "\n\\includegraphics{a.png}\n\\input{paper}")
    text = (
        "\\graphicspath{{figures/}}\n"
        "\\includegraphics[width=.5\\textwidth, trim={0 1 0 1}]{a} % \\includegraphics{no}\n"
        "\\input{parts/one}\n"
        "\\begin{overpic}[grid]{b}\\end{overpic}\n"
        "\\includegraphics[\n  width=3cm\n]{\n  a.png}\n"
        "\\includegraphics{\\name}\n"
    )
    assert found(write(tmp_path / "paper.tex", text)) == [
        ("line 2", RED),
        ("parts/one line 2", RED),
        ("line 4", b"%PDF-"),
        ("line 5", RED),
        ("line 9", "its name is made by a macro"),
    ]


def test_a_notebook_s_outputs_attachments_and_texts(tmp_path: Path) -> None:
    import json

    write(tmp_path / "a.png", BLUE)
    coded = base64.b64encode(RED).decode()
    cells = [
        {
            "cell_type": "markdown",
            "source": ["![a](a.png)\n", "![b](attachment:b.png)"],
            "attachments": {"b.png": {"image/png": coded}},
        },
        {
            "cell_type": "code",
            "outputs": [
                {"output_type": "display_data", "data": {"image/png": [coded[:20], coded[20:]]}},
                {"output_type": "display_data", "data": {"image/svg+xml": DRAWING, "image/png": coded}},
                {"output_type": "display_data", "data": {"text/html": f"<img src='{DATA}'>"}},
                {"output_type": "stream", "text": "no figure"},
            ],
        },
    ]
    assert found(write(tmp_path / "a.ipynb", json.dumps({"cells": cells}))) == [
        ("cell 1", RED),
        ("cell 1", BLUE),
        ("cell 2", RED),
        ("cell 2", DRAWING.encode()),
        ("cell 2", RED),
    ]


def test_a_figure_in_two_formats_is_one_figure(tmp_path: Path) -> None:
    import json

    data = {"image/svg+xml": DRAWING, "image/png": base64.b64encode(RED).decode()}
    cells = [{"cell_type": "code", "outputs": [{"data": data}]}]
    (figure,) = read_figures(write(tmp_path / "a.ipynb", json.dumps({"cells": cells})))
    assert figure.forms == (Encoded(DRAWING.encode()), Encoded(RED))


def test_sheets(tmp_path: Path) -> None:
    with xlsxwriter.Workbook(tmp_path / "a.xlsx") as book:
        book.add_worksheet("Empty")
        book.add_worksheet("Loss").insert_image("B2", "a.png", {"image_data": io.BytesIO(RED)})
        book.add_worksheet("ROC").insert_image("B2", "b.png", {"image_data": io.BytesIO(BLUE)})
    assert found(tmp_path / "a.xlsx") == [("sheet Loss", RED), ("sheet ROC", BLUE)]


def test_an_opendocument_text(tmp_path: Path) -> None:
    frame = "<draw:frame><draw:image xlink:href='Pictures/a.png'/></draw:frame>"
    content = f"<a {ODF}><text:h>Results</text:h><text:p>{frame}</text:p></a>"
    path = archive(tmp_path / "a.odt", {"content.xml": content, "Pictures/a.png": RED})
    assert found(path) == [('picture 1, below "Results"', RED)]


def test_opendocument_slides(tmp_path: Path) -> None:
    frame = "<draw:frame><draw:image xlink:href='Pictures/{}.png'/></draw:frame>"
    pages = f"<draw:page>{frame.format('a')}</draw:page><draw:page>{frame.format('b')}</draw:page>"
    members = {"content.xml": f"<a {ODF}>{pages}</a>", "Pictures/a.png": RED, "Pictures/b.png": BLUE}
    assert found(archive(tmp_path / "a.odp", members)) == [("slide 1", RED), ("slide 2", BLUE)]


def test_a_picture_in_a_text_box_is_one_picture(tmp_path: Path) -> None:
    box = "<w:p><w:txbxContent><w:p><a:blip r:embed='i'/></w:p></w:txbxContent></w:p>"
    main = "<r><Relationship Id='m' Type='t/officeDocument' Target='word/document.xml'/></r>"
    image = "<r><Relationship Id='i' Type='t/image' Target='media/a.png'/></r>"
    members = {
        "_rels/.rels": main,
        "word/document.xml": f"<w:d xmlns:w='w' xmlns:a='a' xmlns:r='r'>{box}</w:d>",
        "word/_rels/document.xml.rels": image,
        "word/media/a.png": RED,
    }
    assert found(archive(tmp_path / "a.docx", members)) == [("picture 1", RED)]


def test_a_picture_that_is_there_as_svg_too_is_one_and_its_fallback_is_none(tmp_path: Path) -> None:
    alternative = (
        "<m:AlternateContent><m:Choice>{}</m:Choice><m:Fallback>{}</m:Fallback></m:AlternateContent>"
    )
    picture = "<a:blip r:embed='i'><a:extLst><s:svgBlip r:embed='s'/></a:extLst></a:blip>"
    body = alternative.format(picture, "<v:imagedata r:id='f'/>")
    main = "<r><Relationship Id='m' Type='t/officeDocument' Target='word/document.xml'/></r>"
    names = {"i": "a.png", "s": "a.svg", "f": "b.png"}
    images = "".join(
        f"<Relationship Id='{one}' Type='t/image' Target='media/{name}'/>" for one, name in names.items()
    )
    members: dict[str, str | bytes] = {
        "_rels/.rels": main,
        "word/document.xml": f"<d xmlns:a='a' xmlns:m='m' xmlns:r='r' xmlns:s='s' xmlns:v='v'>{body}</d>",
        "word/_rels/document.xml.rels": f"<r>{images}</r>",
        "word/media/a.png": RED,
        "word/media/a.svg": DRAWING,
        "word/media/b.png": BLUE,
    }
    (figure,) = read_figures(archive(tmp_path / "a.docx", members))
    assert [form.content for form in figure.forms] == [RED, DRAWING.encode()]


def test_an_opendocument_text_links_files_beside_it_and_previews_are_none(tmp_path: Path) -> None:
    links = ("../beside.png", "./ObjectReplacements/Object 1")
    frames = "".join(f"<draw:frame><draw:image xlink:href='{link}'/></draw:frame>" for link in links)
    write(tmp_path / "beside.png", RED)
    members = {"content.xml": f"<a {ODF}>{frames}</a>", "ObjectReplacements/Object 1": BLUE}
    assert found(archive(tmp_path / "a.odt", members)) == [("picture 1", RED)]


def epub(path: Path) -> Path:
    manifest = (
        "<item id='two' href='text/2.xhtml'/><item id='one' href='text/1.xhtml'/><item id='i' href='a.png'/>"
    )
    return archive(
        path,
        {
            "META-INF/container.xml": "<c><rootfiles><rootfile full-path='OEBPS/c.opf'/></rootfiles></c>",
            "OEBPS/c.opf": f"<p>{manifest}<spine><itemref idref='one'/><itemref idref='two'/></spine></p>",
            "OEBPS/text/1.xhtml": "<html><img src='../a.png'/></html>",
            "OEBPS/text/2.xhtml": "<html><svg><image href='../a.png'/></svg><img src='../gone.png'/></html>",
            "OEBPS/a.png": RED,
        },
    )


def test_chapters_in_the_order_of_reading(tmp_path: Path) -> None:
    first, *_, last = found(epub(tmp_path / "a.epub"))
    assert first == ("chapter 1 (1.xhtml)", RED)
    assert last == ("chapter 2 (2.xhtml)", "not in the document")


@pytest.mark.parametrize("ending", ["docx", "pptx", "xlsx", "odt", "odp", "epub"])
def test_a_document_that_is_no_zip_file(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"a.{ending}", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))
    assert reason(path) == f"encrypted or broken: not a ZIP file, as a .{ending} has to be"


@pytest.mark.parametrize("ending", ["docx", "pptx", "xlsx", "odt", "odp", "epub"])
def test_a_zip_file_that_is_no_document(tmp_path: Path, ending: str) -> None:
    assert reason(archive(tmp_path / f"a.{ending}", {"a.txt": "text"}))


def test_a_zip_bomb(tmp_path: Path) -> None:
    content = f"<a {ODF}><draw:frame><draw:image xlink:href='a.png'/></draw:frame></a>"
    path = archive(tmp_path / "a.odt", {"content.xml": content, "a.png": bytes(201_000_000)})
    (figure,) = read_figures(path)
    assert figure.problem == "a.png: it unpacks to 201 MB, which is too large"


def test_many_large_members_are_bounded_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_TOGETHER == 2_000_000_000
    monkeypatch.setattr("locatable.documents.package.MOST_TOGETHER", 3_000)
    frames = "".join(f"<draw:frame><draw:image xlink:href='{n}.png'/></draw:frame>" for n in range(4))
    members = {f"{n}.png": bytes(900) for n in range(4)}
    path = archive(tmp_path / "a.odt", {"content.xml": f"<a {ODF}>{frames}</a>", **members})
    assert [bool(figure.problem) for figure in read_figures(path)] == [False, False, True, True]


def test_entities_that_expand_without_limit(tmp_path: Path) -> None:
    content = '<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;&b;">]><a>&c;</a>'
    path = archive(tmp_path / "a.odt", {"content.xml": content})
    assert reason(path) == "content.xml: XML that defines entities is not read"


def test_a_broken_notebook(tmp_path: Path) -> None:
    assert reason(write(tmp_path / "a.ipynb", '{"cells": 3}')) == "not a notebook in nbformat 4 or 3"


@pytest.mark.parametrize("content", [b"%PDF-1.7\nnothing", b""])
def test_a_broken_pdf(tmp_path: Path, content: bytes) -> None:
    assert reason(write(tmp_path / "a.pdf", content)).startswith("not a PDF that can be read: ")


def pdf(path: Path, change: Callable[[PdfWriter], None] = lambda _: None) -> Path:
    content = io.BytesIO()
    Image.new("RGB", (60, 50), "red").save(content, "PDF")
    writer = PdfWriter(PdfReader(content))
    change(writer)
    writer.write(path)
    return path


def test_an_encrypted_pdf(tmp_path: Path) -> None:
    path = pdf(tmp_path / "a.pdf", lambda writer: writer.encrypt("secret", algorithm="RC4-128"))
    assert reason(path) == "encrypted; save it without a password"


def test_a_pdf_that_only_forbids_to_copy(tmp_path: Path) -> None:
    path = pdf(tmp_path / "a.pdf", lambda writer: writer.encrypt("", "owner", algorithm="RC4-128"))
    (page,) = read_figures(path)
    assert len(page.parts) == 1


def test_a_figure_with_too_many_pixels_in_a_pdf(tmp_path: Path) -> None:
    def enlarge(writer: PdfWriter) -> None:
        (image,) = writer.pages[0]["/Resources"]["/XObject"].values()
        image.get_object().update({NAME("/Width"): NUMBER(20_000), NAME("/Height"): NUMBER(10_000)})

    from pypdf.generic import NameObject as NAME  # noqa: N814
    from pypdf.generic import NumberObject as NUMBER  # noqa: N814

    (page,) = read_figures(pdf(tmp_path / "a.pdf", enlarge))
    assert [part.problem for part in page.parts] == ["pictures of more than 100 megapixels are not opened"]


def test_a_figure_without_a_size_does_not_hide_its_page(tmp_path: Path) -> None:
    def forget(writer: PdfWriter) -> None:
        (image,) = writer.pages[0]["/Resources"]["/XObject"].values()
        del image.get_object()["/Width"]

    (page,) = read_figures(pdf(tmp_path / "a.pdf", forget))
    assert not page.problem
    assert [part.problem for part in page.parts] == ["not a picture that can be read: without a size"]


def test_a_page_that_cannot_be_read_does_not_hide_the_others(tmp_path: Path) -> None:
    def damage(writer: PdfWriter) -> None:
        from pypdf.generic import NameObject, NumberObject

        writer.append(PdfReader(pdf(tmp_path / "b.pdf")))
        writer.pages[0][NameObject("/Resources")] = NumberObject(3)
        writer.pages[0][NameObject("/Contents")] = NumberObject(3)

    first, second = read_figures(pdf(tmp_path / "a.pdf", damage))
    assert (bool(first.problem or not first.parts), len(second.parts)) == (True, 1)


@pytest.mark.parametrize("colours", [2, 3, 12, 100, 300])
def test_a_picture_that_a_program_places_mirrored(tmp_path: Path, colours: int) -> None:
    """Matplotlib does: it draws pictures from top to bottom; few colours share a byte."""
    image = Image.new("RGB", (60, 50), "white")
    image.paste("blue", (0, 0, 60, 10))
    for number in range(colours - 2):
        image.putpixel((number % 60, 20 + number // 60), (number % 200, 99, number // 2))
    figure = MatplotlibFigure()
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.imshow(image, interpolation="none")
    axes.set_axis_off()
    figure.savefig(tmp_path / "a.pdf")
    (page,) = read_figures(tmp_path / "a.pdf")
    (part,) = page.parts
    (form,) = part.forms
    assert isinstance(form, Pixels)
    assert form.load().tobytes() == image.tobytes()


def test_a_picture_with_transparency_is_seen_on_white(tmp_path: Path) -> None:
    image = Image.new("RGBA", (60, 50), (0, 0, 255, 128))
    image.paste((255, 0, 0, 255), (0, 0, 30, 25))
    figure = MatplotlibFigure()
    FigureCanvasAgg(figure)
    figure.subplots().imshow(image, interpolation="none")
    figure.savefig(tmp_path / "a.pdf")
    (page,) = read_figures(tmp_path / "a.pdf")
    form = page.parts[0].forms[-1]
    assert isinstance(form, Pixels)
    seen = form.load()
    assert (seen.getpixel((5, 5)), seen.getpixel((55, 45))) == ((255, 0, 0), (127, 127, 255))


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.html", "<svg " * 200_000),
        ("a.html", "<img src='" * 200_001),
        ("a.tex", "\\includegraphics[" * 100_000),
    ],
)
def test_what_has_no_end_takes_no_time(tmp_path: Path, name: str, text: str) -> None:
    assert len(found(write(tmp_path / name, text))) <= 1


def word(path: Path, body: str) -> Path:
    main = "<r><Relationship Id='m' Type='t/officeDocument' Target='word/document.xml'/></r>"
    members = {"_rels/.rels": main, "word/document.xml": f"<w:d xmlns:w='w'>{body}</w:d>"}
    return archive(path, members)


def test_a_table_in_a_table_is_one_of_its_own(tmp_path: Path) -> None:
    inner = "<w:tbl><w:tr><w:tc><w:t>0.94</w:t></w:tc></w:tr></w:tbl>"
    body = f"<w:tbl><w:tr><w:tc><w:t>Loss</w:t>{inner}</w:tc></w:tr></w:tbl>"
    passages = read_passages(word(tmp_path / "a.docx", body))
    assert [passage.rows for passage in passages] == [(("Loss",),), (("0.94",),)]


def test_words_of_an_opendocument_text_are_in_their_order(tmp_path: Path) -> None:
    spans = "A loss <t:span>of <t:span>0.<t:s/></t:span>9</t:span>4."
    content = f"<a><t:p xmlns:t='urn:opendocument:text'>{spans}</t:p></a>"
    (passage,) = read_passages(archive(tmp_path / "a.odt", {"content.xml": content}))
    assert passage.text == "A loss of 0. 94."


@pytest.mark.timeout(60)
@pytest.mark.parametrize("tags", [["w:a"], ["w:p"], ["w:tbl", "w:tr", "w:tc"]])
def test_words_of_elements_deep_in_each_other(tmp_path: Path, tags: list[str]) -> None:
    start = "".join(f"<{tag}>" for tag in tags)
    end = "".join(f"</{tag}>" for tag in reversed(tags))
    path = word(tmp_path / "a.docx", start * 20_000 + end * 20_000)
    assert not any(passage.text for passage in read_passages(path))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"])
def test_pictures_of_every_kind(mode: str) -> None:
    """Saved as TIFF or PNG, whichever has them."""
    image = Image.linear_gradient("L").resize((60, 50))
    if mode not in ("I;16", "F"):
        image = image.convert(mode)
    elif mode == "F":
        image = image.convert("F")
    else:
        image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
    content = io.BytesIO()
    image.save(content, "TIFF" if mode in ("CMYK", "F", "I") else "PNG")
    seen = opened(content.getvalue())
    assert (seen.mode, seen.size) == ("RGB", (60, 50))
    assert seen.getpixel((5, 45)) > seen.getpixel((5, 2))


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_picture_is_said_without_an_address_in_memory(content: bytes) -> None:
    with pytest.raises(UnreadableError) as raised:
        opened(content)
    assert raised.value.message == "not a picture that can be read"


def test_a_page_that_draws_itself_ends_no_process_but_its_reader(tmp_path: Path) -> None:
    """PDFium takes memory for it until there is none, and ends its process then."""
    writer = PdfWriter()
    page = writer.add_blank_page(500, 500)
    form = DecodedStreamObject()
    form.set_data(b"/F Do /F Do")
    reference = writer._add_object(form)
    drawn = DictionaryObject({NameObject("/XObject"): DictionaryObject({NameObject("/F"): reference})})
    form.update({NameObject("/Type"): NameObject("/XObject"), NameObject("/Subtype"): NameObject("/Form")})
    form[NameObject("/BBox")] = ArrayObject([FloatObject(number) for number in (0, 0, 9, 9)])
    form[NameObject("/Resources")] = drawn
    page[NameObject("/Resources")] = drawn
    content = DecodedStreamObject()
    content.set_data(b"/F Do")
    page[NameObject("/Contents")] = writer._add_object(content)
    writer.write(tmp_path / "a.pdf")
    with pytest.raises(UnreadableError, match="too much time or memory"):
        list(read_passages(tmp_path / "a.pdf"))
