"""`locatable locate DOCUMENT`, as its user meets it: what is printed, and what it exits with."""

import base64
import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from figures import add_experiment, lock, md5, picture, saved, scaled
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageDraw
from pypdf import PdfReader, PdfWriter
from pypdf.generic import DictionaryObject
from tiny_git import commit, git, write

import locatable
from locatable import cli
from locatable.documents.pdf import Canvas
from locatable.documents.picture import pixel_digest
from locatable.git.objects import GitObjects
from locatable.locate import Located
from locatable.locate.document import locate_document
from locatable.repository.reader import Reader


def drawing(seed: int) -> bytes:
    """A small picture of a curve: quicker than what matplotlib draws."""
    image = Image.new("RGB", (200, 150), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((20, 10, 190, 130), outline="black")
    heights = np.random.default_rng(seed).integers(20, 120, 9)
    draw.line([(25 + 20 * x, int(y)) for x, y in enumerate(heights)], fill="blue", width=2)
    return saved(image, "PNG")


MINE, OTHER, FOREIGN = drawing(1), drawing(2), drawing(3)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with two experiments, and the current folder."""
    folder = tmp_path / "project"
    commit(folder, {".dvc/config": "", ".gitignore": ".dvc/tmp\n.dvc/cache\n"})
    add_experiment(folder, "mine", {"loss.png": MINE})
    add_experiment(folder, "other", {"loss.png": OTHER})
    monkeypatch.chdir(folder)
    return folder


def page(folder: Path, *figures: bytes) -> str:
    """An HTML page with these figures, away from the project."""
    tags = [f"<img src='data:image/png;base64,{base64.b64encode(one).decode()}'>" for one in figures]
    (folder / "page.html").write_text("\n".join(tags))
    return str(folder / "page.html")


def said(project: Path, target: str) -> list[tuple[str, list[str]]]:
    """How each figure was found, and the experiments or commits that have it."""
    with Reader(project) as reader:
        document = locate_document(reader, target)
    return summary(document)


def summary(document: Located) -> list[tuple[str, list[str]]]:
    return [
        (figure.match.name, [r.experiment.name if r.experiment else r.rev for r in figure.results])
        for figure in document.figures
    ]


def test_every_figure_is_named(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["locate", page(tmp_path, MINE, saved(picture(OTHER), "PNG", optimize=True))]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("page.html: 2 figures: 1 same bytes, 1 same pixels")
    assert "  same bytes: mine  " in lines[3]
    assert lines[3].endswith("loss.png (output of evaluate)")
    assert "  same pixels: other  " in lines[6]
    assert lines[-2:] == ["  locatable locate mine", "  locatable locate other"]


def test_one_that_is_not_found_fails(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["locate", page(tmp_path, MINE, FOREIGN)]) == 1
    assert "line 2  image/png\n  not found\n" in capsys.readouterr().out


def test_json(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["locate", "--json", page(tmp_path, saved(scaled(MINE, 0.8), "PNG"), FOREIGN)])
    printed = json.loads(capsys.readouterr().out)
    first, second = printed["figures"]
    assert (first["place"], first["match"], first["results"][0]["experiment"]) == (
        "line 1",
        "most similar",
        "mine",
    )
    assert first["times_closer"] > 1.5
    assert (second["match"], second["results"]) == ("not found", [])
    assert [report["rev"] for report in printed["results"]] == [first["results"][0]["rev"]]


def test_a_picture_that_was_saved_again(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "copy.png").write_bytes(saved(picture(MINE), "PNG", optimize=True))
    assert cli.main(["locate", str(tmp_path / "copy.png")]) == 0
    assert "same pixels: mine" in capsys.readouterr().out


@pytest.mark.parametrize("content", [FOREIGN, b"no picture"])
def test_a_picture_of_nothing_of_ours(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    (tmp_path / "copy.png").write_bytes(content)
    assert cli.main(["locate", str(tmp_path / "copy.png")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "copy.png: no experiment and no commit of a branch or tag has a file with this content" in line


def test_a_picture_that_is_too_large(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("1", (20_000, 10_000)).save(tmp_path / "large.png")
    assert cli.main(["locate", str(tmp_path / "large.png")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("pictures of more than 100 megapixels are not opened")


@pytest.mark.parametrize(("name", "instead"), [("a.ppt", ".pptx"), ("a.doc", ".docx")])
def test_a_format_that_is_not_read(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, instead: str
) -> None:
    (tmp_path / name).write_bytes(b"any")
    assert cli.main(["locate", str(tmp_path / name)]) == 1
    ending = Path(name).suffix
    assert capsys.readouterr().err == f"{tmp_path / name}: {ending} is not read; save it as {instead}\n"


def test_a_document_without_figures(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.md").write_text("only text")
    assert cli.main(["locate", str(tmp_path / "a.md")]) == 1
    assert capsys.readouterr().err == f"{tmp_path / 'a.md'}: no figures in it\n"


def test_without_the_extra_it_says_what_to_install(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("locate.document", "locate.figure_match", "locate.known_figures", "documents.picture"):
        monkeypatch.delitem(sys.modules, f"locatable.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert cli.main(["locate", page(tmp_path, MINE)]) == 1
    expected = "locatable locate needs Pillow and pypdf: pip install 'locatable[documents]'\n"
    assert capsys.readouterr().err == expected


def test_a_file_that_is_found_as_a_whole_imports_nothing_of_that(project: Path) -> None:
    code = "import sys; from locatable import cli; cli.main(['locate', 'HEAD']); print(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(Path(locatable.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    imported = set(done.stdout.split())
    assert imported & {"PIL", "numpy", "pypdf", "locatable.documents.text", "html.parser"} == set()


def test_a_report_that_a_stage_wrote_is_located_as_a_file(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = f"<img src='data:image/png;base64,{base64.b64encode(MINE).decode()}'>".encode()
    write(project, {"report.html": report, "dvc.lock": lock({"report.html": report})})
    commit(project, {})
    assert cli.main(["locate", "report.html"]) == 0
    assert capsys.readouterr().out.splitlines()[0].endswith("report.html (output of evaluate)")


def test_a_text_that_git_keeps_is_told_by_its_figures(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commit(project, {"paper/a.md": "![a](../copy.png)"})
    (project / "copy.png").write_bytes(saved(picture(MINE), "PNG", optimize=True))
    assert cli.main(["locate", "paper/a.md"]) == 0
    assert "same pixels: mine" in capsys.readouterr().out


def test_a_text_that_git_keeps_without_figures_of_ours(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commit(project, {"README.md": "![badge](https://example.org/badge.svg)"})
    assert cli.main(["locate", "README.md"]) == 0
    assert capsys.readouterr().out.splitlines()[0].endswith("README.md (kept in Git)")


def test_a_text_that_git_keeps_with_a_figure_of_nothing_of_ours_fails(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commit(project, {"paper/a.md": "![a](../copy.png)"})
    (project / "copy.png").write_bytes(FOREIGN)
    assert cli.main(["locate", "paper/a.md"]) == 1
    assert "line 1  ../copy.png\n  not found\n" in capsys.readouterr().out


def test_a_one_page_pdf_that_git_keeps_is_not_traced_to_itself(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commit(project, {"poster.pdf": saved(picture(FOREIGN), "PDF")})
    assert cli.main(["locate", "poster.pdf"]) == 1
    assert capsys.readouterr().out.startswith("poster.pdf: 1 figure: 1 not found\n")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("paper.tex", "\\graphicspath{{../plots/}}\n\\includegraphics[width=1cm]{loss}"),
        ("paper.md", "![loss](../plots/loss.png)"),
    ],
)
@pytest.mark.parametrize("tracked", ["plots", "plots/loss.png"])
def test_a_figure_that_is_not_here_is_told_by_its_record(
    project: Path, capsys: pytest.CaptureFixture[str], name: str, text: str, tracked: str
) -> None:
    """A public clone has the text and `dvc.lock`, and none of the data."""
    entry = f"    - path: {tracked}\n      hash: md5\n      md5: {'1' * 32}{'.dir' * (tracked == 'plots')}\n"
    rev = commit(project, {f"paper/{name}": text, "dvc.lock": lock({}) + entry})
    assert cli.main(["locate", f"paper/{name}"]) == 0
    printed = capsys.readouterr().out
    assert "1 figure: 1 recorded at its path" in printed
    line = f"  recorded at its path (the file is not here): {rev[:7]}  {tracked} (output of evaluate)\n"
    assert line in printed


def test_figures_that_are_nowhere_ask_git_for_nothing_each(project, tmp_path, monkeypatch):
    asked = []
    read = GitObjects.read

    def counted(objects, names):
        wanted = list(names)
        asked.extend(wanted)
        return read(objects, wanted)

    monkeypatch.setattr(GitObjects, "read", counted)
    times = {}
    for count in (1, 40):
        text = tmp_path / "draft.md"
        text.write_text("".join(f"![]({number}.png)\n\n" for number in range(count)))
        asked.clear()
        assert len(said(project, str(text))) == count
        times[count] = len(asked)
    assert times[40] <= times[1]


def test_a_figure_in_dvc_s_cache(project: Path, tmp_path: Path) -> None:
    content = drawing(4)
    commit(project, {"dvc.lock": lock({"plots/loss.png": content})}, "tracked")
    write(project, {f".dvc/cache/files/md5/{md5(content)[:2]}/{md5(content)[2:]}": content})
    resaved = saved(picture(content), "PNG", optimize=True)
    head = git(project, "rev-parse", "HEAD")
    assert said(project, page(tmp_path, content, resaved)) == [("BYTES", [head]), ("PIXELS", [head])]


def test_a_figure_that_is_in_no_cache_here_is_mentioned(project: Path, tmp_path: Path) -> None:
    commit(project, {"dvc.lock": lock({"plots/loss.png": drawing(4)})}, "tracked")
    with Reader(project) as reader:
        document = locate_document(reader, page(tmp_path, FOREIGN))
    assert document.left_out == [
        "figures, 1 of them, which are not in this machine's DVC cache; `dvc fetch --all-commits` gets them"
    ]


def test_a_figure_in_a_tracked_folder(project: Path, tmp_path: Path) -> None:
    content = drawing(4)
    listing = json.dumps([{"md5": md5(content), "relpath": "loss.png"}])
    name = md5(listing.encode())
    entry = f"    - path: plots\n      hash: md5\n      md5: {name}.dir\n      size: 9\n"
    commit(project, {"dvc.lock": lock({}) + entry}, "tracked")
    write(project, {f".dvc/cache/files/md5/{name[:2]}/{name[2:]}.dir": listing})
    assert said(project, page(tmp_path, content)) == [("BYTES", [git(project, "rev-parse", "HEAD")])]


def test_a_folder_that_a_stage_wrote_is_compared_after_it_became_source_data(
    project: Path, tmp_path: Path
) -> None:
    content = drawing(4)
    listing = json.dumps([{"md5": md5(content), "relpath": "loss.png"}])
    name = md5(listing.encode())
    entry = f"    - path: plots\n      hash: md5\n      md5: {name}.dir\n      size: 9\n"
    written = commit(project, {"dvc.lock": lock({}) + entry}, "written")
    source = f"outs:\n- md5: {name}.dir\n  path: plots\n"
    tracked = commit(project, {"dvc.lock": lock({}), "plots.dvc": source}, "tracked")
    cache = ".dvc/cache/files/md5"
    write(project, {f"{cache}/{name[:2]}/{name[2:]}.dir": listing})
    write(project, {f"{cache}/{md5(content)[:2]}/{md5(content)[2:]}": content})
    resaved = saved(picture(content), "PNG", optimize=True)
    assert said(project, page(tmp_path, resaved)) == [("PIXELS", [written, tracked])]


def test_a_picture_of_the_source_data_is_known_by_its_bytes_alone(project: Path, tmp_path: Path) -> None:
    content = drawing(4)
    commit(project, {"scan.png.dvc": f"outs:\n- md5: {md5(content)}\n  path: scan.png\n"})
    write(project, {f".dvc/cache/files/md5/{md5(content)[:2]}/{md5(content)[2:]}": content})
    head = git(project, "rev-parse", "HEAD")
    resaved = saved(picture(content), "PNG", optimize=True)
    assert said(project, page(tmp_path, content, resaved)) == [("BYTES", [head]), ("NONE", [])]


def test_a_revision_that_cannot_be_read_is_left_out_and_named(project: Path, tmp_path: Path) -> None:
    add_experiment(project, "broken", {"other.png": drawing(4)})
    broken = commit(project, {"loss.png": drawing(4), "dvc.lock": "stages: ["}, "broken")
    with Reader(project) as reader:
        document = locate_document(reader, page(tmp_path, drawing(4)))
    assert summary(document) == [("BYTES", ["broken"])]
    assert document.left_out[0].startswith(f"{broken[:7]}:dvc.lock: ")


def test_a_figure_that_is_not_committed_yet(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = drawing(4)
    write(project, {"loss.png": content, "dvc.lock": lock({"loss.png": content})})
    assert cli.main(["locate", page(tmp_path, saved(picture(content), "PNG", optimize=True))]) == 0
    assert "same pixels: workspace on " in capsys.readouterr().out


def test_the_same_figure_in_several_results(project: Path, tmp_path: Path) -> None:
    add_experiment(project, "again", {"loss.png": MINE})
    ((match, names),) = said(project, page(tmp_path, MINE))
    assert (match, sorted(names)) == ("BYTES", ["again", "mine"])


def test_results_whose_figures_are_alike_but_for_a_pixel_are_a_tie(project: Path, tmp_path: Path) -> None:
    image = picture(MINE)
    image.putpixel((100, 70), (250, 250, 250))
    add_experiment(project, "alike", {"loss.png": saved(image, "PNG")})
    ((match, _),) = said(project, page(tmp_path, saved(scaled(MINE, 0.7), "PNG")))
    assert match == "TIE"


def test_a_stretch_of_500_images_takes_no_longer_than_they_differ(project: Path, tmp_path: Path) -> None:
    assert said(project, page(tmp_path, *[MINE] * 500)) == [("BYTES", ["mine"])] * 500


def heatmap(seed: int) -> bytes:
    """A PDF whose operators are the same for each seed: what differs is in the picture that they place."""
    figure = Figure(figsize=(3, 2))
    FigureCanvasAgg(figure)
    figure.subplots().imshow(np.random.default_rng(seed).random((8, 8)))
    content = io.BytesIO()
    figure.savefig(content, format="pdf")
    return content.getvalue()


def test_pictures_inside_a_vector_figure_are_compared(project: Path, tmp_path: Path) -> None:
    add_experiment(project, "heat", {"map.pdf": heatmap(1)})
    add_experiment(project, "cold", {"map.pdf": heatmap(2)})
    for seed, expected in ((1, ["heat"]), (2, ["cold"]), (3, [])):
        writer = PdfWriter(PdfReader(io.BytesIO(heatmap(seed))))
        writer.add_metadata({"/Author": "Ada"})
        writer.write(tmp_path / "paper.pdf")
        first = said(project, str(tmp_path / "paper.pdf"))[0]
        assert first[1] == expected


def test_a_changed_picture_can_be_cited(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "copy.png").write_bytes(saved(scaled(MINE, 0.8), "PNG"))
    assert cli.main(["locate", "--cite", str(tmp_path / "copy.png")]) == 0
    printed = capsys.readouterr()
    assert "@software{" in printed.out
    assert printed.err.splitlines()[0].startswith("copy.png  most similar (a lead; ")


def test_a_jpeg_is_in_a_pdf_byte_by_byte(project: Path, tmp_path: Path) -> None:
    """PDF keeps the file as it is; LaTeX and others copy it."""
    content = saved(picture(drawing(4)), "JPEG")
    add_experiment(project, "photo", {"photo.jpg": content})
    writer = PdfWriter(PdfReader(io.BytesIO(saved(picture(drawing(4)), "PDF"))))
    (image,) = writer.pages[0]["/Resources"]["/XObject"].values()
    image.get_object()._data = content
    writer.write(tmp_path / "paper.pdf")
    assert said(project, str(tmp_path / "paper.pdf")) == [("BYTES", ["photo"])]


def test_a_figure_that_git_lfs_keeps(project: Path, tmp_path: Path) -> None:
    content = drawing(4)
    oid = hashlib.sha256(content).hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n"
    head = commit(project, {"loss.png": pointer, "dvc.lock": lock({"loss.png": content})}, "tracked")
    write(project, {f".git/lfs/objects/{oid[:2]}/{oid[2:4]}/{oid}": content})
    resaved = saved(picture(content), "PNG", optimize=True)
    assert said(project, page(tmp_path, content, resaved)) == [("BYTES", [head]), ("PIXELS", [head])]


def test_figures_of_a_project_in_a_subfolder(tmp_path: Path) -> None:
    files = {".dvc/config": "", "loss.png": MINE, "dvc.lock": lock({"loss.png": MINE})}
    commit(tmp_path / "top", {f"sub/{path}": content for path, content in files.items()})
    with Reader(tmp_path / "top/sub") as reader:
        document = locate_document(reader, page(tmp_path, saved(picture(MINE), "PNG", optimize=True)))
    (figure,) = document.figures
    assert {path: str(role) for path, role in figure.results[0].roles.items()} == {
        "loss.png": "output of evaluate"
    }


def test_a_figure_of_git_lfs_that_is_not_here_is_mentioned(project: Path, tmp_path: Path) -> None:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'1' * 64}\nsize 9\n"
    commit(project, {"loss.png": pointer}, "tracked")
    with Reader(project) as reader:
        document = locate_document(reader, page(tmp_path, FOREIGN))
    assert document.left_out == [
        "figures, 1 of them, which this clone does not have; `git lfs fetch --all` may get them"
    ]


@pytest.fixture
def many(project: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Twelve experiments whose figures differ in a short line; four are aligned at first."""
    monkeypatch.setattr("locatable.locate.figure_match.FIRST_ALIGNED", 4)
    figures = {}
    for number in range(12):
        image = picture(MINE)
        ImageDraw.Draw(image).line((30 + 12 * number, 20, 40 + 12 * number, 20), fill="red", width=4)
        figures[f"line-{number}"] = saved(image, "PNG")
        add_experiment(project, f"line-{number}", {"loss.png": figures[f"line-{number}"]})
    return figures


@pytest.mark.parametrize("name", ["line-0", "line-7", "line-11"])
def test_of_many_that_are_nearly_alike_the_right_one(
    project: Path, many: dict[str, bytes], tmp_path: Path, name: str
) -> None:
    small = saved(scaled(many[name], 0.8), "PNG")
    assert said(project, page(tmp_path, small)) == [("SIMILAR", [name])]


def test_of_more_than_can_be_looked_at_none_is_guessed(
    project: Path, many: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("locatable.locate.figure_match.MOST_LOOKED_AT", 6)
    ((match, _),) = said(project, page(tmp_path, saved(scaled(many["line-7"], 0.8), "PNG")))
    assert match == "TIE"


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Widths of the pictures that are compared by their pixels."""
    widths = []

    def counted(image: Image.Image) -> bytes:
        widths.append(image.width)
        return pixel_digest(image)

    monkeypatch.setattr("locatable.locate.figure_match.pixel_digest", counted)
    return widths


def test_a_picture_that_is_named_often_is_looked_at_once(
    project: Path, tmp_path: Path, looked_at: list[int]
) -> None:
    (tmp_path / "a.png").write_bytes(FOREIGN)
    (tmp_path / "same.png").write_bytes(FOREIGN)
    (tmp_path / "a.html").write_text("<img src=a.png><img src=same.png>" * 50)
    assert said(project, str(tmp_path / "a.html")) == [("NONE", [])] * 100
    assert len(looked_at) == 1


def test_a_picture_that_many_pages_show_is_looked_at_once(
    project: Path, tmp_path: Path, looked_at: list[int]
) -> None:
    writer = PdfWriter(PdfReader(io.BytesIO(saved(picture(FOREIGN), "PDF"))))
    for _ in range(9):
        writer.add_page(writer.pages[0])
    writer.write(tmp_path / "a.pdf")
    assert said(project, str(tmp_path / "a.pdf")) == [("NONE", [])] * 10
    # The first page was copied with its picture.
    assert len(looked_at) <= 2


def test_a_picture_that_takes_too_much_memory_does_not_hide_the_others(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_much(image: Image.Image) -> bytes:
        raise MemoryError

    monkeypatch.setattr("locatable.locate.figure_match.pixel_digest", too_much)
    with Reader(project) as reader:
        first, second = locate_document(reader, page(tmp_path, FOREIGN, MINE)).figures
    assert (first.reason, second.match.name) == ("comparing it takes too much memory", "BYTES")


def test_an_archive_and_a_text_of_any_name(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "loss.png").write_bytes(MINE)
    (tmp_path / "paper").write_text("\\documentclass{article}\\includegraphics{loss}")
    with zipfile.ZipFile(tmp_path / "paper.zip", "w") as file:
        file.write(tmp_path / "loss.png", "paper/loss.png")
        file.write(tmp_path / "paper", "paper/paper.tex")
    for name in ("paper", "paper.zip"):
        assert cli.main(["locate", str(tmp_path / name)]) == 0
        assert f"{name}: 1 figure: 1 same bytes\n" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["notes", "data.tar.gz", "train.py"])
def test_what_shows_no_figure_is_known_by_its_content_alone(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / name).write_text("savefig('loss.png')")
    if name == "train.py":
        (tmp_path / "loss.png").write_bytes(MINE)
    assert cli.main(["locate", str(tmp_path / name)]) == 1
    assert f"{name}: no experiment and no commit" in capsys.readouterr().err


def test_a_pdf_s_operators_are_hashed_as_words(monkeypatch: pytest.MonkeyPatch) -> None:
    content = b" q\n 1  0 0 1 0 0 cm\t/Image Do Q longer-than-a-piece  "
    whole = hashlib.sha256(b" ".join(content.split())).digest()[:16]
    for size in (1, 2, 3, 7, 1_000):
        monkeypatch.setattr("locatable.documents.pdf.CHUNK_BYTES", size)
        assert Canvas(content, DictionaryObject()).drawing().outline == whole


def test_a_picture_in_a_drawing_that_a_page_shows_twice(project: Path, tmp_path: Path) -> None:
    data = base64.b64encode(MINE).decode()
    drawing = f"<svg><image href='data:image/png;base64,{data}'/></svg>\n"
    (tmp_path / "a.html").write_text(drawing * 2)
    assert said(project, str(tmp_path / "a.html")) == [("BYTES", ["mine"])] * 2


def test_a_text_that_is_not_here_is_no_figure(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.png").write_bytes(FOREIGN)
    (tmp_path / "a.tex").write_text("\\input{intro}\n\\includegraphics{a}\n")
    assert cli.main(["locate", str(tmp_path / "a.tex")]) == 1
    printed = capsys.readouterr().out
    assert "a.tex: 1 figure: 1 not found; 1 part not read\n" in printed
    assert "line 1\n  not read: intro.tex is included, but was not found\n" in printed
