"""A step series is read line by line, while it grows."""

import threading
import time

import pytest

from locatable.errors import UnreadableError
from locatable.search.messages import Progress, points
from locatable.search.worker import SeriesWatcher


def test_each_line_is_a_step_and_the_value_of_the_last_column():
    assert list(points("a.tsv", "step\tloss\n0\t0.5\n2\t0.25\n")) == [Progress(0, 0.5), Progress(2, 0.25)]


def test_lines_are_counted_where_there_are_no_steps():
    assert list(points("a.csv", "loss\n0.5\n0.25\n")) == [Progress(0, 0.5), Progress(1, 0.25)]


def test_a_line_that_is_still_being_written_is_left_out():
    assert list(points("a.csv", "step,loss\n0,0.5\n1,0.2")) == [Progress(0, 0.5)]


@pytest.mark.parametrize("text", ["step,loss\n-1,0.5\n", "step,loss\n0,high\n", "step,loss\nx,0.5\n"])
def test_what_is_no_series_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        list(points("a.csv", text))


def watch(tmp_path, text):
    """What is reported of a series that was there before, and is now written with this text."""
    path = tmp_path / "loss.csv"
    path.write_text("step,loss\n0,9.0\n")
    reported = []
    watcher = SeriesWatcher(tmp_path, path, threading.Event(), reported.append)
    if text is not None:
        time.sleep(0.01)
        path.write_text(text)
    done = threading.Event()
    done.set()
    watcher.watch(done)
    return reported


def test_a_series_that_grows_is_reported(tmp_path):
    assert watch(tmp_path, "step,loss\n0,0.5\n") == [Progress(0, 0.5)]


def test_the_series_of_the_baseline_is_not_reported(tmp_path):
    assert watch(tmp_path, None) == []


def test_a_watched_file_that_is_no_series_is_a_fault(tmp_path):
    with pytest.raises(UnreadableError):
        watch(tmp_path, "step,loss\n0,high\n")
