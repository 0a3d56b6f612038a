"""Values of outputs are read from each format that has them, and compared file by file."""

import sys
from pathlib import Path

import pytest

from locatable.proof.comparison import Differences, can_be_compared, compare_contents, has_numbers

FORMATS = {
    "a.json": '{{"loss": [0.5, {}]}}',
    "a.yaml": "loss: [0.5, {}]",
    "a.yml": "loss: [0.5, {}]",
    "a.toml": "loss = [0.5, {}]",
    "a.csv": "step,loss\n1,0.5\n2,{}\n",
    "a.tsv": "step\tloss\n1\t0.5\n2\t{}\n",
}


def compared(folder: Path, name: str, recorded: str, rebuilt: str, rtol: float = 0.0) -> Differences:
    """What differs between two files of one name."""
    paths = []
    for part, text in (("recorded", recorded), ("rebuilt", rebuilt)):
        (folder / part).mkdir(exist_ok=True)
        (folder / part / name).write_text(text)
        paths.append(folder / part / name)
    return compare_contents(*paths, rtol)


def tables(folder: Path, recorded: dict, rebuilt: dict) -> Differences:
    """What differs between two Parquet files."""
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    for name, columns in (("recorded", recorded), ("rebuilt", rebuilt)):
        parquet.write_table(arrow.table(columns), folder / f"{name}.parquet")
    return compare_contents(folder / "recorded.parquet", folder / "rebuilt.parquet", 0.0)


@pytest.mark.parametrize("name", FORMATS)
def test_the_largest_relative_difference_is_found_in_every_format(tmp_path, name):
    found = compared(tmp_path, name, FORMATS[name].format(4.0), FORMATS[name].format(5.0))
    assert (found.largest, found.opaque) == (0.2, [])


def test_the_largest_relative_difference_is_found_in_parquet(tmp_path):
    found = tables(
        tmp_path, {"loss": [0.5, 4.0], "name": ["a", "b"]}, {"loss": [0.5, 5.0], "name": ["a", "b"]}
    )
    assert (found.largest, found.changed) == (0.2, ["row 2, loss 4.0 -> 5.0"])


def test_lists_in_parquet_are_compared_number_by_number(tmp_path):
    found = tables(tmp_path, {"loss": [[0.5, 4.0]]}, {"loss": [[0.5, 5.0]]})
    assert found.changed == ["row 1, loss.1 4.0 -> 5.0"]


def test_parquet_with_a_column_less_differs(tmp_path):
    assert not tables(tmp_path, {"a": [1.0], "b": [1.0]}, {"a": [1.0]}).only_rounding


def test_parquet_in_other_bytes_with_the_same_values_differs_in_nothing(tmp_path):
    from pyarrow import parquet, table

    parquet.write_table(table({"a": [1.0, float("nan")]}), tmp_path / "one.parquet")
    parquet.write_table(table({"a": [1.0, float("nan")]}), tmp_path / "two.parquet", compression="none")
    found = compare_contents(tmp_path / "one.parquet", tmp_path / "two.parquet", 0.0)
    assert (found.changed, found.only_rounding) == ([], True)


def test_parquet_is_not_compared_where_nothing_reads_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    found = compared(tmp_path, "a.parquet", "one", "two")
    assert found.opaque == ["a.parquet (pyarrow, which reads Parquet, is not installed beside locatable)"]


def test_a_cell_is_named_by_its_line_and_column(tmp_path):
    found = compared(tmp_path, "a.csv", "step,loss\n1,0.5\n", "step,loss\n1,0.7\n")
    assert found.changed == ["line 2, loss 0.5 -> 0.7"]


def test_a_line_that_is_new_differs(tmp_path):
    found = compared(tmp_path, "a.csv", "n\n1\n", "n\n1\n2\n", rtol=0.5)
    assert (found.changed, found.within_rtol) == (["line 3, n nothing -> 2"], False)


def test_columns_of_one_name_are_told_apart(tmp_path):
    found = compared(tmp_path, "a.csv", "a,a\n1,2\n", "a,a\n1,3\n")
    assert found.changed == ["line 2, column 2 2 -> 3"]


def test_columns_without_names_have_numbers(tmp_path):
    assert compared(tmp_path, "a.csv", "1\n2\n", "1\n3\n").changed == ["line 2, column 1 2 -> 3"]


def test_semicolons_separate_columns_where_commas_do_not(tmp_path):
    found = compared(tmp_path, "a.csv", "a;b\n1;4.0\n", "a;b\n1;5.0\n")
    assert found.largest == 0.2


def test_a_text_in_a_table_that_differs_is_no_rounding(tmp_path):
    assert not compared(tmp_path, "a.csv", "name\nx\n", "name\ny\n").only_rounding


@pytest.mark.parametrize("name", ["a.json", "a.toml", "a.yaml"])
def test_a_broken_file_is_not_compared(tmp_path, name):
    assert len(compared(tmp_path, name, "{", "}").opaque) == 1


def test_bytes_that_are_no_text_are_not_compared(tmp_path):
    (tmp_path / "one.csv").write_bytes(b"\xff\xfe1")
    (tmp_path / "two.csv").write_bytes(b"\xff\xfe2")
    assert len(compare_contents(tmp_path / "one.csv", tmp_path / "two.csv", 0.0).opaque) == 1


def test_a_model_is_not_compared(tmp_path):
    assert compared(tmp_path, "model.joblib", "1.0", "2.0").opaque == ["model.joblib"]


@pytest.fixture
def folders(tmp_path) -> tuple[Path, Path]:
    """A folder of a table in a subfolder and a picture, twice."""
    pair = tmp_path / "recorded", tmp_path / "rebuilt"
    for folder in pair:
        (folder / "train").mkdir(parents=True)
        (folder / "train/loss.tsv").write_text("loss\n4.0\n")
        (folder / "figure.png").write_bytes(b"png")
    return pair


def test_equal_folders_differ_in_nothing(folders):
    assert compare_contents(*folders, 0.0) == Differences(0.0)


def test_a_number_in_a_folder_is_named_with_its_file(folders):
    (folders[1] / "train/loss.tsv").write_text("loss\n5.0\n")
    found = compare_contents(*folders, 0.0)
    assert found.changed == ["train/loss.tsv: line 2, loss 4.0 -> 5.0"]


def test_a_picture_in_a_folder_is_not_compared(folders):
    (folders[1] / "figure.png").write_bytes(b"other")
    assert compare_contents(*folders, 0.0).opaque == ["figure.png"]


def test_a_file_that_a_folder_lacks_is_a_difference(folders):
    (folders[1] / "figure.png").unlink()
    found = compare_contents(*folders, 0.5)
    assert (found.changed, found.within_rtol) == (["figure.png a file -> nothing"], False)


def test_a_file_in_place_of_a_folder_is_a_difference(folders):
    found = compare_contents(folders[0], folders[1] / "figure.png", 0.5)
    assert not found.within_rtol


@pytest.mark.parametrize(
    ("name", "text", "numbers"),
    [
        ("a.json", '{"a": {"b": 1}}', True),
        ("a.json", '{"a": "text", "b": true}', False),
        ("a.csv", "name\nx\n", False),
        ("a.csv", "name\n1e-3\n", True),
        ("a.json", "{", False),
        ("a.txt", "1", False),
    ],
)
def test_which_outputs_have_numbers(tmp_path, name, text, numbers):
    (tmp_path / name).write_text(text)
    assert (has_numbers(tmp_path / name), has_numbers(tmp_path)) == (numbers, numbers)


def test_a_folder_without_a_known_format_cannot_be_compared(folders):
    assert (can_be_compared(folders[0]), can_be_compared(folders[0] / "figure.png")) == (True, False)
