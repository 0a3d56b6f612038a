"""`locatable locate --html`: a page about a result, whole, escaped and loading nothing."""

import base64
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
import tiny_git
from tiny_git import commit, git, md5, write

from locatable.errors import UsageError
from locatable.locate import locate, report_on
from locatable.page import check_place, to_html, write_page
from locatable.page.facts import Facts, Metric, Step, read_facts
from locatable.page.figures import Confusion, Curves, figure, image_type
from locatable.repository.hashes import folder_hash
from locatable.repository.reader import Reader
from locatable.results.rebuild import origin_url

# One red pixel.
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
)
EVIL = "<script>alert('x')</script>"
PIPELINE = """\
stages:
  prepare:
    cmd: python prepare.py
    outs: [table.csv]
  train:
    cmd: python train.py
    deps: [table.csv]
    params: [lr, name]
    metrics:
    - metrics.json: {cache: false}
    outs:
    - figures: {cache: false}
    - plots/metrics: {cache: false}
  describe:
    cmd: python describe.py
    deps: [table.csv]
    outs: [text.txt]
plots: [figures]
"""


def entry(path: str, md5: str) -> dict[str, str]:
    return {"path": path, "hash": "md5", "md5": md5}


def lock(written: dict[str, str | bytes], **params: object) -> str:
    """What DVC records of these files."""
    names = [path for path in written if path.startswith("figures/")]
    figures = folder_hash({path.removeprefix("figures/"): md5(written[path]) for path in names})
    series = folder_hash({"valid/loss.tsv": md5(written["plots/metrics/valid/loss.tsv"])})
    table = entry("table.csv", "1" * 32)
    outs = [
        entry("figures", figures),
        entry("metrics.json", md5(written["metrics.json"])),
        entry("plots/metrics", series),
    ]
    train = {"cmd": "python train.py", "deps": [table], "params": {"params.yaml": params}, "outs": outs}
    text = entry("text.txt", "2" * 32)
    stages = {
        "prepare": {"cmd": "python prepare.py", "outs": [table]},
        "train": train,
        "describe": {"cmd": "python describe.py", "deps": [table], "outs": [text]},
    }
    return json.dumps({"schema": "2.0", "stages": stages}, indent=1)


def files(loss: float = 0.5, **params: object) -> dict[str, str | bytes]:
    values = {"lr": 0.1, "name": "plain", **params}
    written: dict[str, str | bytes] = {
        "metrics.json": json.dumps({"valid": {"loss": loss}}),
        "figures/roc.png": PNG,
        "figures/notes.txt": "no figure",
        "plots/metrics/valid/loss.tsv": f"step\tloss\n0\t1\n1\t{loss}\n",
    }
    return {
        ".dvc/config": "",
        "dvc.yaml": PIPELINE,
        "dvc.lock": lock(written, **values),
        "params.yaml": json.dumps(values),
        **written,
    }


@pytest.fixture
def project(tmp_path: Path) -> Path:
    commit(tmp_path / "project", files())
    return tmp_path / "project"


def experiment(project: Path, called: str, loss: float = 0.25, **params: object) -> str:
    return tiny_git.experiment(project, files(loss, **params), called)


def facts_of(reader: Reader, target: str) -> Facts:
    result = locate(reader, target).results[0]
    url = origin_url(reader)
    return read_facts(reader, result, report_on(reader, result, url), target, url)


class Page(HTMLParser):
    """A page as a browser takes it: elements with their attributes, and their text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("img", "meta", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        """All text that is shown, in one line."""
        return " ".join(" ".join(self.texts).split())

    def images(self) -> list[str]:
        """Where pictures come from."""
        return [str(attributes["src"]) for tag, attributes in self.elements if tag == "img"]


def page_of(reader: Reader, target: str) -> Page:
    return Page(to_html(facts_of(reader, target)))


def test_a_page_is_well_formed(reader: Reader) -> None:
    page = page_of(reader, "HEAD")
    assert page.open == []
    assert [tag for tag, _ in page.elements].count("h1") == 1


def test_the_target_is_shown_where_it_is_a_picture_by_whatever_name(
    project: Path, reader: Reader, tmp_path: Path
) -> None:
    (tmp_path / "figure 3").write_bytes(PNG)
    for target in (project / "figures/roc.png", tmp_path / "figure 3"):
        figure, *_ = page_of(reader, str(target)).images()
        assert figure == f"data:image/png;base64,{base64.b64encode(PNG).decode()}"


def test_a_figure_that_is_only_similar_is_said_to_be(reader: Reader) -> None:
    (result,) = locate(reader, "HEAD").results
    report = report_on(reader, result, None)
    content = read_facts(reader, result, report, "HEAD", None, "most similar (a lead)")
    assert "Found by most similar (a lead)" in Page(to_html(content)).text


def test_the_figures_of_a_result_are_shown_where_the_target_is_none(project: Path, reader: Reader) -> None:
    content = facts_of(reader, str(project / "metrics.json"))
    assert [one.path for one in content.figures] == ["figures/roc.png"]


def test_the_stages_that_made_a_file_or_a_metric_are_marked(project: Path, reader: Reader) -> None:
    for target in (str(project / "metrics.json"), "valid.loss 0.5"):
        steps = facts_of(reader, target).steps
        assert [step.name for step in steps if step.made_target] == ["prepare", "train"]


def test_all_five_coordinates_have_their_digests(reader: Reader) -> None:
    page = page_of(reader, "HEAD")
    report = facts_of(reader, "HEAD").report
    for name, coordinate in vars(report.coordinates).items():
        assert name in page.texts
        assert coordinate.digest in page.texts


def test_params_that_differ_and_metrics_are_beside_the_baseline_s(project: Path, reader: Reader) -> None:
    experiment(project, "wide", lr=0.7)
    text = page_of(reader, "wide").text
    assert "Params that differ from the baseline" in text
    assert "lr 0.1 0.7" in text
    assert "valid.loss 0.25 0.5 −0.25" in text


def test_a_commit_has_metrics_and_no_baseline(reader: Reader) -> None:
    page = page_of(reader, "HEAD")
    assert "valid.loss 0.5" in page.text
    assert "baseline" not in page.text


def test_curves_are_drawn_beside_the_baseline_s(project: Path, reader: Reader) -> None:
    experiment(project, "wide")
    (chart,) = facts_of(reader, "wide").curves.charts
    assert chart.lines == {"loss": [(0, 1), (1, 0.25)]}
    assert chart.baseline == {"loss": [(0, 1), (1, 0.5)]}


def test_the_page_says_how_to_rebuild_and_to_cite(project: Path, reader: Reader) -> None:
    rev = git(project, "rev-parse", "HEAD")
    page = page_of(reader, "HEAD")
    assert f"git checkout --detach {rev}" in page.text
    assert "@software{" in page.text


def test_nothing_is_loaded_from_anywhere(project: Path, reader: Reader) -> None:
    git(project, "remote", "add", "origin", "https://example.org/x.git")
    html = to_html(facts_of(reader, str(project / "figures/roc.png")))
    page = Page(html)
    for tag, attributes in page.elements:
        assert tag not in ("script", "link", "iframe", "object", "embed", "base")
        assert "srcset" not in attributes
        assert str(attributes.get("src", "data:")).startswith("data:")
    assert not re.search(r"url\((?!#)|@import", html)
    policy = [one for tag, one in page.elements if one.get("http-equiv") == "Content-Security-Policy"]
    assert str(policy[0]["content"]).startswith("default-src 'none';")


def test_no_text_of_a_project_becomes_part_of_the_page(project: Path, reader: Reader, tmp_path: Path) -> None:
    # A name of a file has no slash.
    place = tmp_path / f'{EVIL.replace("/", "")}" onerror="alert(1).png'
    place.write_bytes(PNG)
    git(project, "remote", "add", "origin", f"https://example.org/{EVIL}")
    commit(project, files(name=EVIL) | {"CITATION.cff": f'title: "{EVIL}"'})
    experiment(project, "quote'\"<b>", name='"><img src=x onerror=alert(1)>')
    for target in (str(place), "quote'\"<b>"):
        page = page_of(reader, target)
        assert page.open == []
        assert {"script", "b"}.isdisjoint(tag for tag, _ in page.elements)
        assert all(source.startswith("data:") for source in page.images())
        assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert "quote'\"<b>" in page.texts


def test_a_link_that_could_run_something_is_none(project: Path, reader: Reader) -> None:
    commit(project, {"CITATION.cff": "repository-code: 'javascript://example.org/%0aalert(1)'"})
    assert "a" not in [tag for tag, _ in page_of(reader, "HEAD").elements]


def test_no_password_is_told(project: Path, reader: Reader) -> None:
    git(project, "remote", "add", "origin", "https://ada:secret@example.org/x.git")
    commit(project, files(name="https://ada:secret@example.org/data.csv"))
    assert "secret" not in to_html(facts_of(reader, "HEAD"))


def test_names_with_any_bytes_are_shown_as_the_terminal_shows_them(
    project: Path, reader: Reader, tmp_path: Path
) -> None:
    (tmp_path / "a\udcff\x1b[1mb.png").write_bytes(PNG)
    html = to_html(facts_of(reader, str(tmp_path / "a\udcff\x1b[1mb.png")))
    write_page(tmp_path / "page.html", html)
    assert r"<h1>a\udcff\x1b[1mb.png</h1>" in (tmp_path / "page.html").read_text()


def test_the_name_of_a_stage_is_escaped(reader: Reader) -> None:
    facts = replace(facts_of(reader, "HEAD"), steps=[Step('<b>"x', after=("<b>",), data=("<b>",))])
    page = Page(to_html(facts))
    assert "b" not in [tag for tag, _ in page.elements]
    assert '<b>"x' in page.texts


def test_a_table_of_classes_has_a_row_and_a_column_for_each(reader: Reader) -> None:
    counts = Counter({("cat", "cat"): 2, ("cat", "dog"): 1})
    tables = [Confusion("Classes", "said", "is", counts), Confusion("Nothing", "said", "is", Counter())]
    text = Page(to_html(replace(facts_of(reader, "HEAD"), curves=Curves(confusions=tables)))).text
    assert "Classes is ╲ said cat dog cat 2 1 dog 0 0 Nothing" in text


def test_a_single_line_beside_its_baseline_has_a_legend(project: Path, reader: Reader) -> None:
    baseline = git(project, "rev-parse", "--short=7", "HEAD")
    experiment(project, "wide")
    legend = re.compile(r'<p class="legend">.*?</p>', re.DOTALL)
    (shown,) = legend.findall(to_html(facts_of(reader, "wide")))
    assert Page(shown).text == f"this result baseline {baseline}"
    assert legend.findall(to_html(facts_of(reader, "HEAD"))) == []


@pytest.mark.parametrize(
    ("value", "before", "difference"),
    [
        (0.25, 0.5, "−0.25"),
        (3, 1, "+2"),
        (1, 1.0, "0"),
        (1, None, ""),
        ("a", 1, ""),
        (True, False, ""),
        (10**400, 1, ""),
    ],
)
def test_a_difference_is_between_numbers(value: object, before: object, difference: str) -> None:
    assert Metric("m", value, before).difference == difference


def test_a_result_of_other_files_says_so_first(project: Path, reader: Reader) -> None:
    first = git(project, "rev-parse", "HEAD")
    commit(project, {"dvc.yaml": PIPELINE.replace("python train.py", "python train.py -v")})
    text = page_of(reader, "HEAD").text
    assert (
        f"Not of this commit: the command of train has changed since. These results are of {first[:7]}."
        in text
    )


def test_what_is_not_committed_has_no_commands_to_rebuild(project: Path, reader: Reader) -> None:
    write(project, {"table.csv": "new", "dvc.lock": str(files()["dvc.lock"]).replace("1" * 32, md5("new"))})
    text = page_of(reader, str(project / "table.csv")).text
    assert "In a workspace only" in text
    assert "Rebuild it" not in text


def test_the_same_result_is_the_same_page(reader: Reader) -> None:
    assert to_html(facts_of(reader, "HEAD")) == to_html(facts_of(reader, "HEAD"))


def test_a_repository_without_stages(tmp_path: Path) -> None:
    commit(tmp_path / "bare", {".dvc/config": "", "note.txt": "x"})
    with Reader(tmp_path / "bare") as reader:
        text = page_of(reader, "HEAD").text
    assert "Where it comes from" in text
    assert "Pipeline" not in text


def test_only_curves_need_matplotlib(
    project: Path, reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ModuleNotFoundError) as error:
        to_html(facts_of(reader, "HEAD"))
    assert error.value.name == "matplotlib"  # which `extras.py` knows
    commit(tmp_path / "bare", {".dvc/config": "", "note.txt": "x"})
    with Reader(tmp_path / "bare") as bare:
        assert "Curves" not in page_of(bare, "HEAD").text


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\0\0\0\0WEBP", "image/webp"),
        (b"<?xml version='1.0'?>\n<svg>", "image/svg+xml"),
        (b"<svg>", "image/svg+xml"),
        (b"%PDF-1.4", None),
        (b"a text about <svg>", None),
        (b"", None),
    ],
)
def test_a_picture_is_known_by_its_content(content: bytes, kind: str | None) -> None:
    assert image_type(content) == kind


def test_a_picture_that_is_too_large_is_only_named() -> None:
    found = figure("large.png", PNG + b"\0" * 20_000_000)
    assert found
    assert found.uri == ""


def test_a_page_is_replaced(tmp_path: Path) -> None:
    place = tmp_path / "page.html"
    assert not write_page(place, "<!doctype html>\none")
    assert write_page(place, "<!doctype html>\ntwo")
    assert place.read_text() == "<!doctype html>\ntwo"
    assert os.listdir(tmp_path) == ["page.html"]


def test_a_link_goes_on_leading_to_the_page(tmp_path: Path) -> None:
    (tmp_path / "link.html").symlink_to(tmp_path / "page.html")
    write_page(tmp_path / "link.html", "<!doctype html>")
    assert (tmp_path / "link.html").is_symlink()
    assert (tmp_path / "page.html").read_text() == "<!doctype html>"


def test_a_page_has_the_mode_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_page(tmp_path / "page.html", "<!doctype html>")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "page.html")]
    assert modes[0] == modes[1]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("figure.png", "there is a file that is no page in HTML"),
        ("folder", "a folder"),
        ("none/page.html", "there is no folder"),
        ("a" * 300, "File name too long"),
    ],
)
def test_a_place_that_is_not_for_a_page_is_refused(tmp_path: Path, name: str, reason: str) -> None:
    write(tmp_path, {"figure.png": PNG, "folder/file": ""})
    with pytest.raises(UsageError, match=reason) as error:
        write_page(tmp_path / name, "<!doctype html>")
    assert "\n" not in str(error.value)
    assert (tmp_path / "figure.png").read_bytes() == PNG


def test_a_device_is_no_place_for_a_page() -> None:
    with pytest.raises(UsageError):
        check_place(Path("/dev/null"))


def test_a_page_that_cannot_be_written_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_page(tmp_path / "page.html", "<!doctype html>\nold")

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(UsageError, match="No space left on device"):
        write_page(tmp_path / "page.html", "<!doctype html>\nnew")
    assert (tmp_path / "page.html").read_text() == "<!doctype html>\nold"
    assert os.listdir(tmp_path) == ["page.html"]


@pytest.fixture
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not found:
        pytest.skip("there is no Chromium on this machine")
    return found


def test_a_browser_shows_the_page_and_refuses_nothing_of_it(
    chromium: str, project: Path, reader: Reader, tmp_path: Path
) -> None:
    place = tmp_path / "page.html"
    write_page(place, to_html(facts_of(reader, str(project / "figures/roc.png"))))
    options = ("--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/browser")
    done = subprocess.run(
        (
            chromium,
            *options,
            "--enable-logging=stderr",
            f"--print-to-pdf={tmp_path}/page.pdf",
            place.as_uri(),
        ),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "CONSOLE" not in done.stderr  # where a browser says what it did not load
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
