"""`locate DOCUMENT`: each figure of five experiments is named rightly, and none is guessed."""

import base64
import io
import re
import shutil
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import docx
import nbformat
import numpy as np
import pptx
import pytest
from figures import curves, drawn, make_project, picture, saved, scaled
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image, ImageDraw, PngImagePlugin
from pypdf import PdfReader, PdfWriter, Transformation
from pypdf.generic import ArrayObject, DecodedStreamObject, DictionaryObject, FloatObject, NameObject
from tiny_git import commit, git

from locatable import documents
from locatable.documents import Look
from locatable.documents.picture import (
    SIDES,
    Alignment,
    Comparison,
    Part,
    agree_closely,
    align,
    align_finely,
    blocks,
    compare,
    lines_agree,
)
from locatable.errors import NotFoundError
from locatable.locate import Located, known_figures
from locatable.locate.document import locate_document
from locatable.locate.figure_match import Candidate, _decide
from locatable.locate.known_figures import KnownFigures, figure_looks, look_rows
from locatable.repository.reader import Reader


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose experiments each have a PNG, a PDF and an SVG of their own."""
    return make_project(
        tmp_path_factory.mktemp("figures") / "project",
        lambda name: {
            "reports/loss.png": drawn(name),
            "reports/loss.pdf": drawn(name, "pdf"),
            "reports/loss.svg": drawn(name, "svg"),
        },
    )


def said(document: Located) -> list[tuple[str, str, str]]:
    """Place, how it was found, and the experiment, of each figure; of a tie, all that it is between."""
    lines = []
    for figure in document.figures:
        named = figure.results[:1] + (figure.others if figure.match.name == "TIE" else [])
        names = " or ".join(sorted(result.experiment.name for result in named if result.experiment))
        lines.append((figure.place, figure.match.name, names))
    return lines


@cache
def copies() -> list[tuple[bytes, str, str]]:
    """Figures as they get into documents: how each should be found, and as whose."""
    stripped = saved(picture(drawn("two")), "PNG", optimize=True)
    small = saved(scaled(drawn("near"), 0.6), "PNG")
    compressed = saved(picture(drawn("nearly")), "JPEG", quality=75)
    foreign = curves(99)
    return [
        (drawn("one"), "BYTES", "one"),
        (stripped, "PIXELS", "two"),
        (small, "SIMILAR", "near"),
        (compressed, "SIMILAR", "nearly"),
        (foreign, "NONE", ""),
    ]


def paper(folder: Path) -> Path:
    """A PDF: vector figures as pdfTeX places them, a picture, a JPEG, a foreign figure."""
    writer = PdfWriter()
    for content in (
        drawn("one", "pdf"),
        drawn("near", "pdf"),
        drawn("nearly", "pdf"),
        curves(99, format="pdf"),
    ):
        figure = PdfReader(io.BytesIO(content)).pages[0]
        page = writer.add_blank_page(595, 842)
        form = DecodedStreamObject()
        form.set_data(figure.get_contents().get_data())
        form.update(
            {
                NameObject("/Type"): NameObject("/XObject"),
                NameObject("/Subtype"): NameObject("/Form"),
                NameObject("/BBox"): ArrayObject([FloatObject(value) for value in figure.mediabox]),
                NameObject("/Resources"): figure["/Resources"].clone(writer),
            }
        )
        place(writer, page, form)
    for image in (scaled(drawn("near"), 0.6), picture(drawn("three"))):
        single = io.BytesIO(saved(image, "PDF", quality=90))
        writer.append(single)
    path = folder / "paper.pdf"
    writer.write(path)
    return path


def place(writer: PdfWriter, page: DictionaryObject, placed: DecodedStreamObject) -> None:
    """Draw an object on a page."""
    objects = DictionaryObject({NameObject("/Fig1"): writer._add_object(placed)})
    page[NameObject("/Resources")] = DictionaryObject({NameObject("/XObject"): objects})
    contents = DecodedStreamObject()
    contents.set_data(b"q 1 0 0 1 72 300 cm /Fig1 Do Q")
    page[NameObject("/Contents")] = writer._add_object(contents)


def test_a_paper_with_vector_figures_and_pictures(reader: Reader, tmp_path: Path) -> None:
    assert said(locate_document(reader, str(paper(tmp_path)))) == [
        ("page 1", "DRAWING", "one"),
        ("page 2", "DRAWING", "near"),
        ("page 3", "DRAWING", "nearly"),
        ("page 4", "NONE", ""),
        ("page 5", "SIMILAR", "near"),
        ("page 6", "SIMILAR", "three"),
    ]


def test_slides(reader: Reader, tmp_path: Path) -> None:
    slides = pptx.Presentation()
    for content, _, _ in copies():
        slide = slides.slides.add_slide(slides.slide_layouts[6])
        slide.shapes.add_picture(io.BytesIO(content), 0, 0)
    slides.save(tmp_path / "talk.pptx")
    expected = [(f"slide {n}", how, name) for n, (_, how, name) in enumerate(copies(), start=1)]
    assert said(locate_document(reader, str(tmp_path / "talk.pptx"))) == expected


def test_a_text(reader: Reader, tmp_path: Path) -> None:
    text = docx.Document()
    text.add_heading("Results", level=1)
    for content, _, _ in copies():
        text.add_picture(io.BytesIO(content))
    text.save(tmp_path / "paper.docx")
    expected = [
        (f'picture {n}, below "Results"', how, name) for n, (_, how, name) in enumerate(copies(), start=1)
    ]
    assert said(locate_document(reader, str(tmp_path / "paper.docx"))) == expected


def test_a_notebook(reader: Reader, tmp_path: Path) -> None:
    notebook = new_notebook()
    for content, _, _ in copies():
        kind = "image/jpeg" if content.startswith(b"\xff\xd8") else "image/png"
        data = {kind: base64.b64encode(content).decode(), "text/plain": "<Figure>"}
        notebook.cells.append(new_code_cell("plot()", outputs=[new_output("display_data", data)]))
    nbformat.write(notebook, tmp_path / "look.ipynb")
    expected = [(f"cell {n}", how, name) for n, (_, how, name) in enumerate(copies(), start=1)]
    assert said(locate_document(reader, str(tmp_path / "look.ipynb"))) == expected


@pytest.mark.parametrize("name", ["one", "near", "nearly"])
@pytest.mark.parametrize(("factor", "quality"), [(0.45, None), (0.45, 75), (0.7, 50), (1.6, 50)])
def test_scaled_and_compressed_copies(
    reader: Reader, tmp_path: Path, name: str, factor: float, quality: int | None
) -> None:
    image = scaled(drawn(name), factor)
    copy = tmp_path / ("copy.jpg" if quality else "copy.png")
    copy.write_bytes(saved(image, "JPEG", quality=quality) if quality else saved(image, "PNG"))
    assert said(locate_document(reader, str(copy))) == [("", "SIMILAR", name)]


@pytest.mark.parametrize("name", ["one", "near", "nearly"])
def test_a_screenshot_with_a_margin(reader: Reader, tmp_path: Path, name: str) -> None:
    image = scaled(drawn(name), 0.8, Image.Resampling.LANCZOS)
    screen = Image.new("RGB", (image.width + 57, image.height + 31), "white")
    screen.paste(image, (40, 11))
    screen.save(tmp_path / "screen.png")
    assert said(locate_document(reader, str(tmp_path / "screen.png"))) == [("", "SIMILAR", name)]


@pytest.mark.parametrize("name", ["near", "nearly"])
def test_where_the_copy_is_too_small_to_tell_it_says_so(reader: Reader, tmp_path: Path, name: str) -> None:
    scaled(drawn(name), 0.11, Image.Resampling.BOX).save(tmp_path / "thumbnail.png")
    (figure,) = said(locate_document(reader, str(tmp_path / "thumbnail.png")))
    assert figure[1] in ("TIE", "NONE")


@pytest.mark.parametrize("seed", range(90, 93))
def test_the_same_kind_of_figure_of_nobody_here(reader: Reader, tmp_path: Path, seed: int) -> None:
    (tmp_path / "foreign.png").write_bytes(curves(seed))
    assert said(locate_document(reader, str(tmp_path / "foreign.png"))) == [("", "NONE", "")]


def confusion_matrix(numbers: list[list[int]], *, has_scale: bool) -> bytes:
    """A confusion matrix as many projects draw it, or with a scale of its colours beside it."""
    figure = Figure(figsize=(8, 6))
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    cells = axes.imshow(numbers, cmap="Blues", aspect="auto")
    axes.spines[:].set_visible(False)
    axes.set_xticks([])
    axes.set_yticks([])
    if has_scale:
        figure.colorbar(cells, ax=axes)
    for row in range(2):
        for column in range(2):
            is_dark = numbers[row][column] > 300
            axes.text(column, row, numbers[row][column], ha="center", color="white" if is_dark else "black")
    content = io.BytesIO()
    figure.savefig(content, dpi=100 if has_scale else 200)
    return content.getvalue()


def test_a_cell_of_a_confusion_matrix_is_not_enough_to_name_another_one(tmp_path: Path) -> None:
    matrix = confusion_matrix([[314, 1], [0, 46]], has_scale=False)
    commit(tmp_path / "repo", {".dvc/config": "", "matrix.png": matrix})
    (tmp_path / "foreign.png").write_bytes(confusion_matrix([[600, 19], [17, 67]], has_scale=True))
    with Reader(tmp_path / "repo") as reader:
        assert said(locate_document(reader, str(tmp_path / "foreign.png"))) == [("", "NONE", "")]


def straight(width: float, height: float) -> bytes:
    """A plot of a straight line, by its size in inches."""
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    figure.subplots().plot([0, 1])
    content = io.BytesIO()
    figure.savefig(content)
    return content.getvalue()


def test_a_straight_line_is_not_named_after_one_in_a_plot_of_another_shape(tmp_path: Path) -> None:
    commit(tmp_path / "repo", {".dvc/config": "", "line.png": straight(6, 4)})
    (tmp_path / "foreign.png").write_bytes(straight(18, 3))
    with Reader(tmp_path / "repo") as reader:
        assert said(locate_document(reader, str(tmp_path / "foreign.png"))) == [("", "NONE", "")]


def with_letter(image: Image.Image) -> Image.Image:
    ImageDraw.Draw(image).text((image.width * 0.66, image.height * 0.12), "B", fill="black", font_size=24)
    return image


def with_arrow(image: Image.Image) -> Image.Image:
    ImageDraw.Draw(image).line((150, 150, 230, 100), fill="red", width=4)
    return image


def with_box(image: Image.Image) -> Image.Image:
    ImageDraw.Draw(image).rectangle((150, 90, 230, 160), outline="red", width=3)
    return image


def framed(image: Image.Image) -> Image.Image:
    whole = Image.new("RGB", (image.width + 10, image.height + 10), "black")
    whole.paste(image, (5, 5))
    return whole


def cropped(share: float) -> Callable[[Image.Image], Image.Image]:
    def crop(image: Image.Image) -> Image.Image:
        across, down = round(share * image.width), round(share * image.height)
        return image.crop((across, down, image.width - across, image.height - down))

    return crop


EDITS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "a panel letter": with_letter,
    "an arrow": with_arrow,
    "a box": with_box,
    "a frame": framed,
    "cropped by 2 %": cropped(0.02),
    "cropped by 5 %": cropped(0.05),
    "without its upper part": lambda image: image.crop((0, 34, *image.size)),
    "stretched": lambda image: image.resize((480, 290), Image.Resampling.BICUBIC),
    "in grey": lambda image: image.convert("L"),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_picture_that_somebody_edited(reader: Reader, tmp_path: Path, name: str) -> None:
    EDITS[name](picture(drawn("near"))).save(tmp_path / "edited.png")
    assert said(locate_document(reader, str(tmp_path / "edited.png"))) == [("", "SIMILAR", "near")]


@pytest.mark.parametrize("name", ["an arrow", "cropped by 5 %", "stretched"])
def test_an_edited_picture_of_nobody_here(reader: Reader, tmp_path: Path, name: str) -> None:
    EDITS[name](picture(curves(90))).save(tmp_path / "edited.png")
    assert said(locate_document(reader, str(tmp_path / "edited.png"))) == [("", "NONE", "")]


@pytest.mark.parametrize(("ending", "options"), [("avif", {"quality": 60}), ("jp2", {})])
def test_a_picture_in_another_format(
    reader: Reader, tmp_path: Path, ending: str, options: dict[str, int]
) -> None:
    picture(drawn("two")).save(tmp_path / f"figure.{ending}", **options)
    ((_, match, name),) = said(locate_document(reader, str(tmp_path / f"figure.{ending}")))
    assert (match in ("SIMILAR", "PIXELS"), name) == (True, "two")


def test_the_parts_of_a_montage(reader: Reader, tmp_path: Path) -> None:
    montage = Image.new("RGB", (830, 630), "white")
    for place, content in enumerate([drawn("one"), drawn("nearly"), curves(90), drawn("three")]):
        montage.paste(picture(content), (430 * (place % 2), 330 * (place // 2)))
    montage.save(tmp_path / "montage.png")
    found = locate_document(reader, str(tmp_path / "montage.png"))
    assert [figure.name for figure in found.figures] == [f"montage.png part {n}" for n in (1, 2, 3, 4)]
    assert [name for _, _, name in said(found)] == ["one", "nearly", "", "three"]


def rewritten(content: bytes, path: Path) -> Path:
    """A PDF whose page draws the figure by its own operators, smaller, as Ghostscript does."""
    writer = PdfWriter()
    page = writer.add_blank_page(595, 842)
    figure = PdfReader(io.BytesIO(content)).pages[0]
    page.merge_transformed_page(figure, Transformation().scale(0.8).translate(150, 400))
    writer.write(path)
    return path


@pytest.mark.parametrize("name", ["one", "near", "nearly"])
def test_a_vector_figure_that_another_program_wrote_anew(reader: Reader, tmp_path: Path, name: str) -> None:
    paper = rewritten(drawn(name, "pdf"), tmp_path / "paper.pdf")
    assert said(locate_document(reader, str(paper))) == [("page 1", "SIMILAR", name)]


def test_a_vector_figure_of_nobody_here_that_was_written_anew(reader: Reader, tmp_path: Path) -> None:
    paper = rewritten(curves(90, format="pdf"), tmp_path / "paper.pdf")
    with pytest.raises(NotFoundError):
        locate_document(reader, str(paper))


def test_a_vector_figure_that_is_a_file_of_its_own(reader: Reader, tmp_path: Path) -> None:
    rewritten(drawn("near", "pdf"), tmp_path / "figure.pdf")
    (tmp_path / "paper.tex").write_text("\\includegraphics{figure.pdf}")
    assert said(locate_document(reader, str(tmp_path / "paper.tex"))) == [("line 1", "SIMILAR", "near")]


def written_anew(content: bytes, path: Path) -> Path:
    """An SVG that draws the same with rounded numbers in groups of its own, as Inkscape and Cairo do."""
    text = re.sub(r"\b[1-9]\d*\.\d{3,}", lambda number: f"{float(number[0]):.2f}", content.decode())
    text = re.sub(r"(<g id=\"figure_1\">)", r'<g><g opacity="1">\1', text).replace("</svg>", "</g></g></svg>")
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["one", "near", "nearly"])
def test_an_svg_that_another_program_wrote_anew(reader: Reader, tmp_path: Path, name: str) -> None:
    path = written_anew(drawn(name, "svg"), tmp_path / "figure.svg")
    assert said(locate_document(reader, str(path))) == [("", "SIMILAR", name)]


def test_an_svg_of_nobody_here(reader: Reader, tmp_path: Path) -> None:
    path = written_anew(curves(90, format="svg"), tmp_path / "figure.svg")
    assert said(locate_document(reader, str(path))) == [("", "NONE", "")]


def test_an_svg_opens_no_other_file(reader: Reader, tmp_path: Path) -> None:
    (tmp_path / "other.png").write_bytes(drawn("one"))
    shown = f'<image width="400" height="300" href="{tmp_path}/other.png"/>'
    path = tmp_path / "figure.svg"
    path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 300">{shown}</svg>')
    assert said(locate_document(reader, str(path))) == [("", "NONE", "")]


def test_metadata_do_not_matter(reader: Reader, tmp_path: Path) -> None:
    details = PngImagePlugin.PngInfo()
    details.add_text("Author", "Ada")
    Image.open(io.BytesIO(drawn("one"))).save(tmp_path / "figure.png", pnginfo=details)
    assert said(locate_document(reader, str(tmp_path / "figure.png"))) == [("", "PIXELS", "one")]


def test_ids_and_metadata_of_an_svg_do_not_matter(reader: Reader, tmp_path: Path) -> None:
    (tmp_path / "figure.svg").write_bytes(curves(1, format="svg"))
    again = (tmp_path / "figure.svg").read_bytes()
    assert again != drawn("two", "svg")  # matplotlib gives parts random ids
    assert said(locate_document(reader, str(tmp_path / "figure.svg"))) == [("", "DRAWING", "two")]


def test_how_much_closer_a_lead_is_than_the_next(reader: Reader, tmp_path: Path) -> None:
    (tmp_path / "copy.png").write_bytes(saved(scaled(drawn("near"), 0.6), "PNG"))
    (figure,) = locate_document(reader, str(tmp_path / "copy.png")).figures
    assert [result.experiment.name for result in figure.others if result.experiment] == ["nearly"]
    assert figure.closer is not None
    assert figure.closer > 2


def test_the_index_can_be_deleted_or_broken(project: Path, reader: Reader, tmp_path: Path) -> None:
    (tmp_path / "copy.png").write_bytes(saved(picture(drawn("one")), "PNG", optimize=True))
    index = project / ".dvc/tmp/locatable/figures-2.npy"
    for content in (None, b"", b"\x93NUMPY\x01\x00", index.read_bytes() if index.exists() else b"x"):
        index.unlink(missing_ok=True)
        if content is not None:
            index.write_bytes(content)
        assert said(locate_document(reader, str(tmp_path / "copy.png"))) == [("", "PIXELS", "one")]


@pytest.mark.parametrize("other", ["same", "older", "stamped"])
def test_a_paper_is_not_traced_to_itself(project: Path, tmp_path: Path, other: str) -> None:
    """Git keeps the paper beside the results; it shows one of their figures, a foreign one, and text."""
    git(project, "checkout", "--quiet", "-b", other)
    content = paper(tmp_path).read_bytes()
    writer = PdfWriter(PdfReader(io.BytesIO(content)))
    writer.add_metadata({"/Title": other})
    stamped = io.BytesIO()
    writer.write(stamped)
    commit(project, {"paper/paper.pdf": content})
    target = project / "paper/paper.pdf"
    if other == "older":
        target.write_bytes(stamped.getvalue())
    elif other == "stamped":
        target = tmp_path / "download.pdf"
        target.write_bytes(stamped.getvalue())
    with Reader(project) as reader:
        document = locate_document(reader, str(target))
    git(project, "checkout", "--quiet", "-f", "-")
    git(project, "branch", "--quiet", "-D", other)
    assert said(document)[:4] == [
        ("page 1", "DRAWING", "one"),
        ("page 2", "DRAWING", "near"),
        ("page 3", "DRAWING", "nearly"),
        ("page 4", "NONE", ""),
    ]


def burn(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


@pytest.fixture
def fresh(project: Path, tmp_path: Path) -> Iterator[Reader]:
    """A clone of the project, in which no figure has been looked at."""
    clone = tmp_path / "clone"
    shutil.copytree(project, clone, ignore=shutil.ignore_patterns("tmp"))
    with Reader(clone) as reader:
        yield reader


def test_the_bound_of_a_document_is_not_that_of_the_repository(
    fresh: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(looks: list[Look]) -> np.ndarray:
        burn(0.2)
        return look_rows(looks)

    monkeypatch.setattr(documents, "MOST_SECONDS", 1)
    monkeypatch.setattr(known_figures, "look_rows", read)
    scaled(drawn("two"), 0.8).save(tmp_path / "copy.png")
    assert said(locate_document(fresh, str(tmp_path / "copy.png"))) == [("", "SIMILAR", "two")]


def test_what_was_looked_at_before_an_interruption_is_not_looked_at_again(
    fresh: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_figures, "TOGETHER", 4)
    seen: list[bytes] = []

    def read(content: bytes) -> list[Look]:
        seen.append(content)
        if len(seen) == 9:
            raise KeyboardInterrupt
        return figure_looks(content)

    monkeypatch.setattr(known_figures, "figure_looks", read)
    with pytest.raises(KeyboardInterrupt):
        _ = KnownFigures(fresh).looks
    before = set(seen[:8])
    seen[:] = [b""] * 9  # from now on, nobody interrupts
    _ = KnownFigures(fresh).looks
    assert (len(before), before & set(seen)) == (8, set())


def scattered(others: int = 0, more: int = 0, red: int = 0) -> Image.Image:
    """240 points in a frame: some of them of another sample, or red; and more points."""
    points = np.random.default_rng(1).integers(20, 460, (240, 2))
    points[:others] = np.random.default_rng(2).integers(20, 460, (others, 2))
    added = np.random.default_rng(3).integers(20, 460, (more, 2))
    image = Image.new("RGB", (480, 480), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((10, 10, 470, 470), outline="black")
    for number, (x, y) in enumerate([*points.tolist(), *added.tolist()]):
        draw.rectangle((x, y, x + 1, y + 1), fill="red" if number < red else "navy")
    return image


SCATTERED = {
    "the same": (scattered(), True),
    "some of another sample": (scattered(others=40), False),
    "all of another sample": (scattered(others=240), False),
    "among many more": (scattered(more=600), False),
    "of which nearly half are red": (scattered(red=110), False),
}


@pytest.mark.parametrize("name", SCATTERED)
def test_points_that_are_another_figure_are_no_copy_however_small_each_is(name: str) -> None:
    picture, is_copy = SCATTERED[name]
    copy, original = (Part(one, (10, 10, 471, 471)) for one in (picture, scattered()))
    alignment, _ = align(copy, original)
    comparison = compare(copy, original, align_finely(copy, original, alignment))
    assert comparison
    assert comparison.is_copy == is_copy


def bars(strength: float) -> bytes:
    """A figure of seven bars, which are longer in stronger experiments, in axes of the same limits."""
    figure = Figure(figsize=(5, 3.6), dpi=150)
    axes = figure.subplots()
    axes.barh([f"feature {number}" for number in range(7)], strength / np.arange(2, 9))
    axes.set(xlim=(0, 1))
    return figure_file(figure)


def histogram(strength: float) -> bytes:
    """A figure of a sample that is further to the right in stronger experiments."""
    figure = Figure(figsize=(5, 3.6), dpi=150)
    axes = figure.subplots()
    axes.hist(np.random.default_rng(1).normal(strength, 1, 300), bins=30)
    axes.set(xlim=(-3, 5), ylim=(0, 40))
    return figure_file(figure)


def noise(strength: float) -> bytes:
    """A figure of a series that goes a little higher in stronger experiments."""
    figure = Figure(figsize=(5, 3.6), dpi=150)
    axes = figure.subplots()
    axes.plot(np.random.default_rng(1).normal(size=600) * strength, linewidth=0.6)
    axes.set(ylim=(-12, 12))
    return figure_file(figure)


def table(strength: float) -> bytes:
    """A figure of 25 numbers, of which the larger ones are others in each experiment."""
    figure = Figure(figsize=(4, 4), dpi=200)
    axes = figure.subplots()
    random = np.random.default_rng(1)
    counts = np.round(strength * (random.poisson(4, (5, 5)) + np.diag(random.poisson(20, 5))))
    axes.imshow(counts, cmap="Blues", vmin=0, vmax=80)
    for (row, column), count in np.ndenumerate(counts):
        axes.text(column, row, f"{count:.0f}", ha="center", va="center")
    return figure_file(figure)


def dark(strength: float) -> bytes:
    """A figure of three curves on a dark ground."""
    figure = Figure(figsize=(5, 3.6), dpi=150, facecolor="#202020")
    axes = figure.subplots()
    axes.set_facecolor("#202020")
    random = np.random.default_rng(round(10 * strength))
    for _ in range(3):
        axes.plot(random.normal(size=100).cumsum())
    return figure_file(figure)


def default(strength: float) -> bytes:
    """A figure of curves with the sizes that matplotlib has where nobody asks for others."""
    figure = Figure()
    axes = figure.subplots()
    random = np.random.default_rng(round(10 * strength))
    for _ in range(3):
        axes.plot(random.normal(size=100).cumsum())
    return figure_file(figure)


def labelled(strength: float) -> bytes:
    """A figure of two curves with names and labels."""
    figure = Figure()
    axes = figure.subplots()
    random = np.random.default_rng(round(10 * strength))
    epochs = np.arange(1, 41)
    for name, floor in (("train", 0.1), ("valid", 0.2)):
        losses = floor + np.exp(-epochs / 12) + 0.02 * random.normal(size=40)
        axes.plot(epochs, losses, label=name)
    axes.set(xlabel="Epoch", ylabel="Log loss", ylim=(0, 1.4))
    axes.legend()
    return figure_file(figure)


def thin(strength: float) -> bytes:
    """A figure of thin curves in pure colours, with hard edges."""
    image = Image.new("RGB", (640, 480), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((60, 20, 620, 440), outline="black")
    random = np.random.default_rng(round(10 * strength))
    for colour in ("blue", "orange", "green", "red"):
        heights = 230 + random.normal(scale=15, size=56).cumsum()
        draw.line([(60 + 10 * x, y) for x, y in enumerate(heights.tolist())], fill=colour, width=2)
    return saved(image, "PNG")


def figure_file(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return content.getvalue()


STRENGTHS = dict(zip(("one", "two", "three", "near", "nearly"), (1.0, 1.1, 1.2, 1.3, 1.4), strict=True))


@pytest.fixture(scope="module")
def stronger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """A project whose experiments differ in strength alone."""
    kinds = (bars, histogram, noise, table, dark, default, labelled, thin)
    folder = make_project(
        tmp_path_factory.mktemp("stronger") / "project",
        lambda name: {f"reports/{kind.__name__}.png": kind(STRENGTHS[name]) for kind in kinds},
    )
    with Reader(folder) as reader:
        yield reader


@pytest.mark.parametrize("kind", [bars, histogram])
@pytest.mark.parametrize("strength", [0.85, 1.05, 1.25])
def test_a_curve_that_would_agree_if_it_were_moved_or_stretched_is_another_figure(
    stronger: Reader, tmp_path: Path, kind: Callable[[float], bytes], strength: float
) -> None:
    (tmp_path / "foreign.png").write_bytes(kind(strength))
    assert said(locate_document(stronger, str(tmp_path / "foreign.png"))) == [("", "NONE", "")]


@pytest.mark.parametrize("kind", [bars, histogram, noise, table, dark])
def test_one_of_several_strengths_is_told_from_the_others(
    stronger: Reader, tmp_path: Path, kind: Callable[[float], bytes]
) -> None:
    edited = with_letter(scaled(kind(1.2), 0.9))
    edited.save(tmp_path / "copy.png")
    assert said(locate_document(stronger, str(tmp_path / "copy.png"))) == [("", "SIMILAR", "three")]


@pytest.mark.parametrize("name", STRENGTHS)
def test_thin_coloured_curves_are_found_in_a_smaller_jpeg(
    stronger: Reader, tmp_path: Path, name: str
) -> None:
    scaled(thin(STRENGTHS[name]), 0.8).save(tmp_path / "copy.jpg", quality=85)
    assert said(locate_document(stronger, str(tmp_path / "copy.jpg"))) == [("", "SIMILAR", name)]


@pytest.mark.parametrize(("kind", "scale"), [(bars, 0.4), (default, 0.35), (default, 0.45), (default, 0.6)])
def test_a_smaller_copy_is_found_where_its_axes_are_at_the_edge_of_what_is_compared(
    stronger: Reader, tmp_path: Path, kind: Callable[[float], bytes], scale: float
) -> None:
    """A line between two pixels is in one of them in the copy and in the other in the original."""
    scaled(kind(1.1), scale).save(tmp_path / "copy.png")
    assert said(locate_document(stronger, str(tmp_path / "copy.png"))) == [("", "SIMILAR", "two")]


@pytest.mark.parametrize("method", [Image.Resampling.BICUBIC, Image.Resampling.BILINEAR])
def test_letters_that_are_blurred_in_a_smaller_copy_are_those_of_the_figure(
    stronger: Reader, tmp_path: Path, method: Image.Resampling
) -> None:
    scaled(labelled(1.2), 0.8, method).save(tmp_path / "copy.png")
    assert said(locate_document(stronger, str(tmp_path / "copy.png"))) == [("", "SIMILAR", "three")]


def ruled(column: int) -> Part:
    """A picture with one vertical line."""
    image = Image.new("RGB", (200, 200), "white")
    ImageDraw.Draw(image).line([(column, 0), (column, 199)], fill="black")
    return Part(image, (0, 0, 200, 200))


@pytest.mark.parametrize(
    ("copy", "original", "agree"),
    [
        pytest.param(100, 101, True, id="in the next column"),
        pytest.param(100, 103, False, id="elsewhere"),
        pytest.param(SIDES - 1, SIDES, True, id="outside and in the first column"),
        pytest.param(SIDES, SIDES + 1, True, id="in the first and the second column"),
        pytest.param(200 - SIDES, 199 - SIDES, True, id="outside and in the last column"),
    ],
)
def test_lines_of_a_copy_are_those_of_the_original_if_no_two_columns_are_between_them(
    copy: int, original: int, agree: bool
) -> None:
    whole = (0, 0, 200, 200)
    for one, other in ((copy, original), (original, copy)):
        assert lines_agree(ruled(one), ruled(other), Alignment(whole, whole)) == agree


@pytest.mark.parametrize(("brightness", "match"), [(200, "SIMILAR"), (150, "TIE")])
def test_a_copy_that_is_no_closer_to_one_result_than_to_another_is_a_tie(brightness: int, match: str) -> None:
    """Also where the other result's figure is, by itself, no copy."""

    def square(value: int) -> np.ndarray:
        values = np.zeros((3, 40, 40), np.uint8)
        values[:, 10:30, 10:30] = value
        return values

    known = SimpleNamespace(revisions=lambda key: {key})
    part = Part(Image.new("RGB", (40, 40)), (0, 0, 40, 40))
    candidates = []
    for name, value, absent in (("one", 200, 0), ("two", 100, 100)):
        comparison = Comparison(square(brightness), square(value), 0.99, 1.0, 0.0, absent, 0.1)
        candidates.append(Candidate((name,), part, Alignment(part.box, part.box), comparison))
    assert _decide(known, candidates, []).match.name == match


@pytest.mark.parametrize("strength", [1.05, 1.15, 1.25, 1.35])
def test_a_table_of_other_numbers_is_another_figure(
    stronger: Reader, tmp_path: Path, strength: float
) -> None:
    (tmp_path / "foreign.png").write_bytes(table(strength))
    (figure,) = said(locate_document(stronger, str(tmp_path / "foreign.png")))
    assert figure[1] in ("TIE", "NONE")


def test_a_figure_of_another_ground_is_cut_like_one_that_is_a_picture_of_its_own() -> None:
    alone = picture(dark(1.3))
    montage = Image.new("RGB", (1540, 560), "white")
    montage.paste(alone, (780, 10))
    moved = {(left + 780, upper + 10, right + 780, lower + 10) for left, upper, right, lower in blocks(alone)}
    assert moved <= set(blocks(montage))


def numbers(changed: str = "2.48") -> Image.Image:
    """A table of 60 numbers, one of which can be another."""
    image = Image.new("RGB", (1000, 1000), "white")
    draw = ImageDraw.Draw(image)
    for row in range(10):
        for column in range(6):
            text = changed if (row, column) == (4, 3) else f"{row}.{column}7"
            draw.text((40 + 160 * column, 40 + 95 * row), text, fill="black", font_size=24)
    return image


@pytest.mark.parametrize(("changed", "agrees"), [("2.48", True), ("2.41", False)])
def test_a_changed_digit_shows_at_the_size_of_the_picture(changed: str, agrees: bool) -> None:
    copy, original = (Part(one, (0, 0, *one.size)) for one in (numbers(changed), numbers()))
    alignment = Alignment(original.box, copy.box)
    comparison = compare(copy, original, alignment)
    assert comparison
    assert comparison.is_copy
    assert agree_closely(copy, original, alignment) == agrees
