"""A step series, as DVCLive writes it: one line a step, the value in the last column."""

import csv
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from ..clones.processes import INTERVAL, kill_processes
from ..errors import UnreadableError
from .messages import Progress


def points(path: str, text: str) -> Iterator[Progress]:
    """Each line that is written to its end, as a step and its value.

    Args:
        path: tells the separator: a tab in .tsv, a comma elsewhere.
        text: with a header; lines are counted as steps where no column is called `step`.

    Raises:
        ValueError: a value is no number, or a step no whole number from zero on.
    """
    complete_lines = text[: text.rfind("\n") + 1].splitlines()
    separator = "\t" if path.endswith(".tsv") else ","
    for position, row in enumerate(csv.DictReader(complete_lines, delimiter=separator)):
        step = int(row.get("step") or position)
        if step < 0:
            raise ValueError(f"step {step} is negative")
        yield Progress(step, float(list(row.values())[-1]))


class SeriesWatcher:
    """Reports a growing series, and kills the stages of a trial that has to stop.

    Args:
        folder: the clone in which the trial runs.
        path: the series; None where there is none to report.
        stop: set from outside when the trial has to stop.
        report: called with each new point.
    """

    def __init__(
        self, folder: Path, path: Path | None, stop: threading.Event, report: Callable[[Progress], None]
    ) -> None:
        self._folder = folder
        self._path = path
        self._stop = stop
        self._report = report
        # Until this changes, the series is still the baseline's.
        self._baseline_stamp = self._stamp()
        self._reported = 0

    def watch(self, done: threading.Event) -> None:
        """Watch until the trial is done.

        Raises:
            UnreadableError: the file is not a series.
        """
        fault: UnreadableError | None = None
        ended = False
        while not ended:
            # Once more at the end: the last steps may have come since.
            ended = done.wait(INTERVAL)
            if self._stop.is_set():
                # Those, too, that start later.
                kill_processes(self._folder, stages_only=True)
                continue
            if fault:
                continue
            try:
                self._report_new_points()
            except UnreadableError as error:
                fault = error
        if fault:
            raise fault

    def _report_new_points(self) -> None:
        stamp = self._stamp()
        if self._path is None or stamp is None or stamp == self._baseline_stamp:
            return
        try:
            series = list(points(self._path.name, self._path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return
        except ValueError as error:
            raise UnreadableError(str(error)) from None
        for point in series[self._reported :]:
            self._report(point)
        self._reported = len(series)

    def _stamp(self) -> tuple[int, int] | None:
        """Tells two versions of the file apart; None where there is none."""
        if self._path is None:
            return None
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns
