"""Curves on the page: what is drawn of plots, as DVC finds their points, and how."""

import base64
from pathlib import Path
from xml.etree import ElementTree

import pytest
from tiny_git import commit

from locatable.page.figures import MOST_CHARTS, MOST_CLASSES, Chart, Curves, draw, read_curves
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


def drawn(folder: Path, before: dict[str, str] | None = None, **changed: str) -> Curves:
    commit(folder, {".dvc/config": "", "dvc.yaml": TOP})
    contents = {path: text.encode() for path, text in {**FILES, **changed}.items()}
    baseline = {path: text.encode() for path, text in (before or {}).items()}
    with Reader(folder) as reader:
        return read_curves(reader.snapshot("HEAD"), contents, baseline)


def chart(found: Curves, title: str) -> Chart:
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
    assert lines_of(picture(cloud)) == []


def test_points_of_a_scatter_plot_are_not_beside_the_baseline_s(tmp_path: Path) -> None:
    found = drawn(tmp_path, {**FILES, "numbers.csv": "a,b\n1,2\n3,5\n"})
    assert chart(found, "cloud").baseline == {}


def test_pairs_of_classes_are_counted(tmp_path: Path) -> None:
    (confusion,) = drawn(tmp_path).confusions
    assert confusion.counts == {("cat", "cat"): 2, ("cat", "dog"): 1}


def test_a_table_of_very_many_classes_is_named_and_not_drawn(tmp_path: Path) -> None:
    rows = "".join(f"c{n},c{n}\n" for n in range(MOST_CLASSES + 1))
    found = drawn(tmp_path, **{"confusion.csv": f"actual,predicted\n{rows}"})
    assert found.confusions == []
    assert found.undrawn["confusion.csv"] == f"it has more than {MOST_CLASSES} classes"


def test_a_plot_of_a_file_counts_more_than_one_of_its_folder(tmp_path: Path) -> None:
    for folder, plots in (("one", "[tables, {tables/one.csv: F}]"), ("two", "[{tables/one.csv: F}, tables]")):
        files = {".dvc/config": "", "dvc.yaml": "plots: " + plots.replace("F", "{title: Own}")}
        commit(tmp_path / folder, files)
        with Reader(tmp_path / folder) as reader:
            found = read_curves(reader.snapshot("HEAD"), {"tables/one.csv": b"a,b\n1,2\n2,3\n"}, {})
        assert [one.title for one in found.charts] == ["Own"]


def test_what_is_no_number_is_named_and_not_drawn(tmp_path: Path) -> None:
    assert drawn(tmp_path).undrawn == {"words.csv": "its values are no numbers"}


def test_a_truth_value_is_no_number(tmp_path: Path) -> None:
    found = drawn(tmp_path, **{"plain.json": '[{"v": true}, {"v": false}]'})
    assert found.undrawn["plain.json"] == "its values are no numbers"


@pytest.mark.parametrize(
    "content", ["", "fpr,other\n1,2\n", "fpr\n", "\0", f"fpr,tpr\n{'1' * 200_000},1\n"], ids=range(5)
)
def test_a_broken_file_hides_no_other(tmp_path: Path, content: str) -> None:
    found = drawn(tmp_path, **{"roc.csv": content})
    assert "ROC" not in [one.title for one in found.charts]
    assert chart(found, "losses").lines


def test_curves_of_the_baseline_are_beside_those_that_differ(tmp_path: Path) -> None:
    before = {**FILES, "plots/metrics/valid/loss.tsv": SERIES.replace("0.25", "0.75")}
    found = drawn(tmp_path, before)
    assert chart(found, "losses").baseline == {"valid/loss": [(0, 0.5), (1, 0.75)]}
    assert chart(found, "ROC").baseline == {}


def test_a_scatter_plot_has_no_points_of_the_baseline(tmp_path: Path) -> None:
    commit(tmp_path, {".dvc/config": "", "dvc.yaml": "plots: [{a.csv: {template: scatter, x: a, y: b}}]"})
    with Reader(tmp_path) as reader:
        found = read_curves(reader.snapshot("HEAD"), {"a.csv": b"a,b\n1,2\n"}, {"a.csv": b"a,b\n1,3\n"})
    (scatter,) = found.charts
    assert scatter.is_scatter
    assert scatter.baseline == {}


def test_a_value_that_is_not_finite_is_left_out(tmp_path: Path) -> None:
    found = drawn(tmp_path, **{"roc.csv": "fpr,tpr\n0,nan\n0.5,inf\n1,1\n"})
    assert chart(found, "ROC").lines == {"tpr": [(1, 1)]}


def test_a_page_has_a_bounded_number_of_charts(tmp_path: Path) -> None:
    series = {f"plots/metrics/s{n}.tsv": f"step\ts{n}\n0\t1\n" for n in range(MOST_CHARTS)}
    found = drawn(tmp_path, **series)
    assert len(found.charts) == MOST_CHARTS
    assert found.undrawn[f"s{MOST_CHARTS - 1}"] == f"a page has at most {MOST_CHARTS} charts"


SVG = "{http://www.w3.org/2000/svg}"


def picture(chart: Chart) -> ElementTree.Element:
    """The SVG of a chart, as it is in the page."""
    kind, _, content = draw(chart).partition(";base64,")
    assert kind == "data:image/svg+xml"
    return ElementTree.fromstring(base64.b64decode(content))  # noqa: S314 (our own)


def texts(svg: ElementTree.Element) -> list[str | None]:
    """All that can be read in a chart."""
    return [text.text for text in svg.iter(f"{SVG}text")]


def lines_of(svg: ElementTree.Element) -> list[str]:
    """The style of each line of data in a chart."""
    clipped = [path for path in svg.iter(f"{SVG}path") if path.get("clip-path")]
    return [str(path.get("style")) for path in clipped if "#e3e7eb" not in str(path.get("style"))]  # the grid


def dots_of(svg: ElementTree.Element) -> int:
    """How many points of data a chart shows as dots."""
    clipped = [group for group in svg.iter(f"{SVG}g") if group.get("clip-path")]
    return sum(len(list(group.iter(f"{SVG}use"))) for group in clipped)


def test_a_chart_has_its_labels_as_texts() -> None:
    svg = picture(Chart("title", "<x> & $a$", "]]>", {"line": [(0, 1), (1, 2)]}))
    assert {"<x> & $a$", "]]>"} <= set(texts(svg))


def test_a_label_does_nothing_and_tells_no_password() -> None:
    svg = picture(Chart("t", "a\x1b[1m", "https://ada:secret@example.org", {"y": [(0, 1), (1, 2)]}))
    assert {r"a\x1b[1m", "https://example.org"} <= set(texts(svg))


def test_a_chart_leaves_room_for_points_whatever_its_labels() -> None:
    short, long = (picture(Chart("t", label, label, {"y": [(0, 1), (1, 2)]})) for label in ("x", "x" * 500))
    assert len(lines_of(short)) == len(lines_of(long)) == 1
    assert "…" + 39 * "x" in texts(long)


def test_a_line_of_the_baseline_is_dashed_in_the_same_colour() -> None:
    line = [(0.0, 1.0), (1.0, 2.0)]
    before, after = lines_of(picture(Chart("t", "x", "y", {"a": line}, {"a": line[::-1]})))
    assert "stroke-dasharray" in before
    assert "stroke-dasharray" not in after
    assert "stroke: #0b63b5" in before
    assert "stroke: #0b63b5" in after


@pytest.mark.parametrize(
    "values",
    [[0, 1], [5], [0], [-3, 17], [1e-9, 2e-9], [1e300, -1e300], [1e9, 1e9 + 1], [0.1, 0.1], [5e-324, 0]],
)
def test_any_values_have_a_chart(values: list[float]) -> None:
    points = [(float(index), float(value)) for index, value in enumerate(values)]
    assert texts(picture(Chart("t", "x", "y", {"y": points})))
    assert texts(picture(Chart("t", "x", "y", {"y": [(y, x) for x, y in points]})))


def test_a_single_point_is_a_dot() -> None:
    assert dots_of(picture(Chart("t", "x", "y", {"y": [(0, 1)]}))) == 1
    assert dots_of(picture(Chart("t", "x", "y", {"y": [(0, 1), (1, 2)]}))) == 0


def test_a_line_without_points_hides_no_other() -> None:
    assert len(lines_of(picture(Chart("t", "x", "y", {"none": [], "two": [(0, 1), (1, 2)]})))) == 1


def test_a_value_that_no_axis_can_hold_is_left_out(tmp_path: Path) -> None:
    found = drawn(tmp_path, **{"roc.csv": "fpr,tpr\n0,1.7e308\n0.5,-1.7e308\n1,1\n"})
    assert chart(found, "ROC").lines == {"tpr": [(1, 1)]}


@pytest.mark.parametrize("is_scatter", [False, True])
def test_a_chart_of_many_points_is_small(is_scatter: bool) -> None:
    points = [(float(x), float(x * 7919 % 1009)) for x in range(30_000)]
    assert len(draw(Chart("long", "x", "y", {"y": points}, is_scatter=is_scatter))) < 400_000


def test_settings_of_the_user_change_no_chart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib

    shown = Chart("t", "x", "y", {"a": [(0.0, 1.0), (1.0, 2.0)]})
    usual = draw(shown)
    monkeypatch.setitem(matplotlib.rcParams, "lines.linewidth", 9.0)
    assert draw(shown) == usual
    assert matplotlib.rcParams["lines.linewidth"] == 9


@pytest.mark.parametrize(
    ("axes", "points", "has_diagonal"),
    [
        (("predicted", "observed"), [(0.0, 0.2), (1.0, 1.0)], True),
        (("predicted", "actual"), [(100.0, 120.0), (300.0, 290.0)], True),
        (("false_positive_rate", "true_positive_rate"), [(0.0, 0.2), (1.0, 1.0)], True),
        (("recall", "precision"), [(0.0, 0.2), (1.0, 1.0)], False),
    ],
)
def test_axes_that_are_compared_have_a_diagonal(
    axes: tuple[str, str], points: list[tuple[float, float]], has_diagonal: bool
) -> None:
    svg = picture(Chart("A chart", *axes, {"line": points}))
    line, *diagonal = lines_of(svg)
    assert "stroke: #0b63b5" in line
    assert len(diagonal) == has_diagonal
    marks = [float(str(text)) for text in texts(svg)[:3]]
    assert points[0][0] < marks[2] <= points[1][0]
