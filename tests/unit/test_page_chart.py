"""Curves on the page: what is drawn of plots, as DVC finds their points, and how."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from tiny_git import commit

from locatable.page.chart import MOST_POINTS, axis, draw_chart, tick_label
from locatable.page.plots import Chart, Drawings, drawings
from locatable.repository.reader import Reader

TOP = """\
plots:
- roc.csv: {x: fpr, y: tpr, title: ROC}
- losses:
    x: step
    y:
      plots/metrics/train/loss.tsv: loss
      plots/metrics/valid/loss.tsv: loss
- plain.json
- words.csv: {x: a, y: b}
- cloud: {template: scatter, x: a, y: {numbers.csv: b}}
- confusion.csv: {template: confusion, x: predicted, y: actual}
- tables
- gone.csv
"""
SERIES = "step\tloss\n0\t0.5\n1\t0.25\n"
FILES = {
    "roc.csv": "fpr,tpr\n0,0\n0.5,1\n1,1\n",
    "plots/metrics/train/loss.tsv": SERIES,
    "plots/metrics/valid/loss.tsv": SERIES.replace("0.25", "0.375"),
    "plots/metrics/valid/acc.tsv": "step\tacc\n0\t0.5\n",
    "plain.json": '{"points": [{"k": 1, "v": 4}, {"k": 2, "v": 2}]}',
    "words.csv": "a,b\nx,y\n",
    "numbers.csv": "a,b\n1,2\n3,4\n",
    "confusion.csv": "actual,predicted\ncat,cat\ncat,dog\ncat,cat\n",
    "tables/one.csv": "a,b\n1,2\n2,3\n",
    "tables/picture.png": "no table",
}


def drawn(folder: Path, before: dict[str, str] | None = None, **changed: str) -> Drawings:
    commit(folder, {".dvc/config": "", "dvc.yaml": TOP})
    contents = {path: text.encode() for path, text in {**FILES, **changed}.items()}
    baseline = {path: text.encode() for path, text in (before or {}).items()}
    with Reader(folder) as reader:
        return drawings(reader.snapshot("HEAD"), contents, baseline)


def chart(found: Drawings, title: str) -> Chart:
    (one,) = [chart for chart in found.charts if chart.title == title]
    return one


def test_a_plot_has_the_columns_that_its_settings_name(tmp_path: Path) -> None:
    roc = chart(drawn(tmp_path), "ROC")
    assert roc.lines == {"tpr": [(0, 0), (0.5, 1), (1, 1)]}
    assert (roc.x_label, roc.y_label) == ("fpr", "tpr")


def test_a_plot_of_two_files_has_a_line_for_each(tmp_path: Path) -> None:
    assert chart(drawn(tmp_path), "losses").lines == {
        "train/loss": [(0, 0.5), (1, 0.25)],
        "valid/loss": [(0, 0.5), (1, 0.375)],
    }


def test_a_plot_without_settings_has_the_last_column_over_lines(tmp_path: Path) -> None:
    assert chart(drawn(tmp_path), "plain.json").lines == {"v": [(0, 4), (1, 2)]}


def test_each_data_file_of_a_folder_is_a_plot(tmp_path: Path) -> None:
    assert chart(drawn(tmp_path), "tables/one.csv").lines == {"b": [(0, 2), (1, 3)]}


def test_a_series_that_no_plot_names_is_drawn_as_well(tmp_path: Path) -> None:
    assert chart(drawn(tmp_path), "acc").lines == {"acc": [(0, 0.5)]}


def test_a_series_that_a_plot_names_is_drawn_once(tmp_path: Path) -> None:
    assert [one.title for one in drawn(tmp_path).charts if "loss" in one.title] == ["losses"]


def test_points_of_a_scatter_plot_are_not_joined(tmp_path: Path) -> None:
    cloud = chart(drawn(tmp_path), "cloud")
    assert cloud.is_scatter
    assert "<polyline" not in draw_chart(cloud)


def test_pairs_of_classes_are_counted(tmp_path: Path) -> None:
    (confusion,) = drawn(tmp_path).confusions
    assert confusion.counts == {("cat", "cat"): 2, ("cat", "dog"): 1}


def test_what_is_no_number_is_named_and_not_drawn(tmp_path: Path) -> None:
    assert drawn(tmp_path).undrawn == {"words.csv": "its values are no numbers"}


@pytest.mark.parametrize("content", ["", "fpr,other\n1,2\n", "fpr\n", "\0"])
def test_a_broken_file_hides_no_other(tmp_path: Path, content: str) -> None:
    found = drawn(tmp_path, **{"roc.csv": content})
    assert "ROC" not in [one.title for one in found.charts]
    assert chart(found, "losses").lines


def test_curves_of_the_baseline_are_beside_those_that_differ(tmp_path: Path) -> None:
    before = {**FILES, "plots/metrics/valid/loss.tsv": SERIES.replace("0.25", "0.75")}
    found = drawn(tmp_path, before)
    assert chart(found, "losses").baseline == {"valid/loss": [(0, 0.5), (1, 0.75)]}
    assert chart(found, "ROC").baseline == {}


def test_a_value_that_is_not_finite_is_left_out(tmp_path: Path) -> None:
    found = drawn(tmp_path, **{"roc.csv": "fpr,tpr\n0,nan\n0.5,inf\n1,1\n"})
    assert chart(found, "ROC").lines == {"tpr": [(1, 1)]}


@pytest.mark.parametrize(
    "values",
    [[0, 1], [5], [0], [-3, 17], [1e-9, 2e-9], [1e300, -1e300], [1e9, 1e9 + 1], [0.1, 0.1], [5e-324, 0]],
)
def test_an_axis_holds_its_values_and_few_marks(values: list[float]) -> None:
    found = axis(values, 0, 100)
    assert len(found.ticks) <= 9
    for value in values:
        assert -1e-6 <= found.place(value) <= 100 + 1e-6


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([0, 1], ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        ([0, 30], ["0", "10", "20", "30"]),
        ([0.9, 0.95], ["0.90", "0.91", "0.92", "0.93", "0.94", "0.95"]),
        ([0, 2e-5], ["0", "5e-06", "1e-05", "1.5e-05", "2e-05"]),
        ([0, 4e6], ["0", "1e+06", "2e+06", "3e+06", "4e+06"]),
    ],
)
def test_marks_are_round_numbers(values: list[float], labels: list[str]) -> None:
    ticks = axis(values, 0, 1).ticks
    assert [tick_label(tick, ticks) for tick in ticks] == labels


def test_a_long_line_is_thinned_and_keeps_its_end() -> None:
    line = [(float(x), float(x % 7)) for x in range(100_001)]
    picture = draw_chart(Chart("long", "x", "y", {"y": line}))
    places = re.findall(r'points="([^"]*)"', picture)[0].split()
    assert len(places) <= MOST_POINTS + 1
    assert places[-1].startswith("428.0,")


def test_a_chart_is_well_formed_and_escaped() -> None:
    picture = draw_chart(Chart('<i>&"', "<x>", "]]>", {"<a>": [(0, 1), (1, 2)], "b": [(1, 1)]}))
    root = ElementTree.fromstring(picture)  # noqa: S314 (our own)
    assert root.findtext("figcaption") == '<i>&"'


def test_a_single_line_beside_its_baseline_has_a_legend() -> None:
    line = [(0.0, 1.0), (1.0, 2.0)]
    picture = draw_chart(Chart("t", "x", "y", {"a": line}, {"a": line[::-1]}), "abc1234")
    assert re.findall(r"</i>([^<]*)</span>", picture) == ["this result", "baseline abc1234"]


@pytest.mark.parametrize(
    ("axes", "ends"),
    [
        (("predicted", "observed"), [(0.0, 0.0), (1.0, 1.0)]),
        (("false_positive_rate", "true_positive_rate"), [(0.0, 0.0), (1.0, 1.0)]),
        (("recall", "precision"), None),
    ],
)
def test_axes_that_are_compared_have_a_diagonal(axes: tuple[str, str], ends: list | None) -> None:
    shown = Chart("A chart", *axes, {"line": [(0.0, 0.2), (1.0, 1.0), (0.5, 0.0)]})
    svg = ElementTree.fromstring(str(draw_chart(shown))).find("svg")  # noqa: S314
    lines = [line for line in svg.findall("line") if line.get("class") == "diagonal"]
    x_axis, y_axis = axis([0, 1], 58, 428), axis([0, 1], 226, 12)
    expected = [[x_axis.place(x), y_axis.place(y)] for x, y in ends or []]
    assert [[float(line.get(key)) for key in ("x1", "y1", "x2", "y2")] for line in lines] == (
        [expected[0] + expected[1]] if ends else []
    )
