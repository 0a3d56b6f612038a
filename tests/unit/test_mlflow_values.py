"""Metrics and series out of files, by the keys that MLflow shows them under."""

from types import SimpleNamespace
from typing import Any

import pytest

from locatable.mlflow.revision import name_values
from locatable.results.values import Point, number, read_measurements, read_metrics, read_series

TIME = 1_700_000_000_000


def values(files: dict[str, str], metric_files: list[str] | None = None) -> Any:
    """Values of these files, of which those that are JSON are metrics unless others are named."""
    if metric_files is None:
        metric_files = [path for path in files if path.endswith(".json")]
    contents = {path: text.encode() for path, text in files.items()}
    measured = read_measurements(contents, metric_files, TIME)
    metrics, series = name_values(measured)
    return SimpleNamespace(metrics=metrics, series=series, unread=measured.unread)


def test_nested_metrics_have_slashes_between_their_names() -> None:
    assert values({"metrics.json": '{"test": {"acc": 0.9}}'}).metrics == {"test/acc": 0.9}


def test_a_dot_before_a_digit_is_part_of_a_name() -> None:
    assert values({"metrics.json": '{"top.5": 1, "recall@0.5": 2}'}).metrics == {"top.5": 1, "recall@0.5": 2}


def test_metrics_whose_names_would_become_the_same_are_both_there() -> None:
    assert values({"m.json": '{"x/y": 5, "x": {"y": 6, "z": 7}}'}).metrics == {"x/y": 5, "x.y": 6, "x/z": 7}
    assert values({"m.json": '{"x.y": 5, "x": {"y": 6}}'}).metrics == {"x/y": 5, "x/y 2": 6}


def test_a_file_that_is_one_value_has_the_key_of_its_name() -> None:
    assert values({"reports/auc.v2.json": "0.93"}).metrics == {"auc.v2": 0.93}


def test_a_file_that_is_a_list_has_no_values() -> None:
    with pytest.raises(ValueError, match="expected keys and values"):
        read_metrics("list.json", b"[1]")


def test_files_that_are_not_declared_as_metrics_are_none() -> None:
    assert values({"metrics.json": '{"acc": 1}'}, metric_files=[]).metrics == {}


def test_a_file_in_a_folder_of_metrics_is_one() -> None:
    assert values({"reports/a.json": '{"acc": 1}'}, metric_files=["reports"]).metrics == {"acc": 1}


def test_the_same_name_in_two_folders_has_its_folder_before_it() -> None:
    files = {"train/m.json": '{"acc": 1, "only": 3}', "test/m.json": '{"acc": 2}'}
    assert values(files).metrics == {"train/acc": 1, "test/acc": 2, "only": 3}


def test_the_same_name_in_two_files_of_a_folder_has_its_file_before_it() -> None:
    files = {"train.json": '{"acc": 1}', "test.json": '{"acc": 2}'}
    assert values(files).metrics == {"train.json/acc": 1, "test.json/acc": 2}


def test_a_series_has_a_point_for_each_line() -> None:
    series = values({"live/plots/metrics/loss.tsv": "step\tloss\n0\t0.5\n2\t0.25\n"}).series
    assert series == {"loss": [Point(0, "0.5", TIME), Point(2, "0.25", TIME + 2)]}


def test_a_series_without_steps_counts_its_lines() -> None:
    assert [point.step for point in read_series(b"loss\n0.5\n0.25\n", TIME)] == [0, 1]


def test_times_of_a_series_are_its_own_where_it_has_some() -> None:
    assert read_series(b"timestamp\tstep\tloss\n1600000000000\t0\t0.5\n", TIME)[0].time == 1_600_000_000_000


def test_a_time_that_is_no_number_makes_a_series_unreadable() -> None:
    assert (
        "live/plots/metrics/a.tsv"
        in values({"live/plots/metrics/a.tsv": "timestamp\tstep\ta\nnan\t0\t1\n"}).unread
    )


def test_a_series_that_was_cut_off_is_unreadable_and_says_why() -> None:
    unread = values({"plots/metrics/cut.tsv": "step\tcut\n0\t0.5\n1\n"}).unread
    assert unread == {"plots/metrics/cut.tsv": "a line has not as many values as the first one has names"}


def test_a_broken_metrics_file_hides_no_other() -> None:
    found = values({"a.json": "{", "b.json": '{"acc": 1}'})
    assert (found.metrics, list(found.unread)) == ({"acc": 1}, ["a.json"])


def test_a_final_value_that_ends_a_series_is_not_shown_twice() -> None:
    files = {"live/plots/metrics/loss.tsv": "step\tloss\n0\t0.5\n", "live/metrics.json": '{"loss": 0.5}'}
    assert values(files).metrics == {}


def test_a_final_value_that_a_series_does_not_end_with_is_shown_beside_it() -> None:
    files = {"live/plots/metrics/loss.tsv": "step\tloss\n0\t0.5\n", "live/metrics.json": '{"loss": 0.1}'}
    assert values(files).metrics == {"final/loss": 0.1}


def test_a_final_value_at_the_root_belongs_to_the_series_at_the_root() -> None:
    files = {"plots/metrics/loss.tsv": "step\tloss\n0\t0.5\n", "metrics.json": '{"loss": 0.5}'}
    found = values(files)
    assert (found.metrics, list(found.series)) == ({}, ["loss"])


def test_two_series_never_share_a_key() -> None:
    table = "step\tloss\n0\t1\n"
    files = {
        "plots/metrics/x/loss.tsv": table,
        "x/plots/metrics/loss.tsv": table,
        "y/plots/metrics/loss.tsv": table,
    }
    assert sorted(values(files).series) == ["x/loss", "x/loss 2", "y/loss"]


@pytest.mark.parametrize("value", ["text", None, [], 10**400])
def test_what_is_no_number_is_none(value: object) -> None:
    assert number(value) is None


@pytest.mark.parametrize("value", ["inf", "-inf", 1, True, "1e-5"])
def test_numbers_may_be_written_as_text(value: object) -> None:
    assert number(value) is not None
