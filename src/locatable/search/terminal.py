"""What a person at a terminal sees of a search that runs, on the standard error, and how they stop it."""

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from tqdm import tqdm

from .messages import Failed
from .pool import Pool
from .report import write_failure


class Terminal:
    """Shows the progress of a search as a bar, and what else happens as lines above it; a context manager.

    Args:
        folder: of the report, for what failed trials said.
        trials: how many are wanted.
    """

    def __init__(self, folder: Path, trials: int) -> None:
        self._folder = folder
        self._trials = trials
        self._bar: tqdm[Any] | None = None

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def progress(self, finished: int, best: float | None) -> None:
        """Move the bar."""
        if self._bar is None:
            # Earlier trials do not count for the speed.
            done = min(finished, self._trials)
            self._bar = tqdm(total=self._trials, initial=done, unit="trial", disable=None)
        if best is not None:
            self._bar.set_postfix_str(f"best {best:.6g}", refresh=False)
        self._bar.update(finished - self._bar.n)

    def trial_failed(self, experiment: str, failed: Failed) -> None:
        """Keep what a failed trial said last, and show the line that says most."""
        path = write_failure(self._folder, experiment, failed)
        place = os.path.relpath(path)
        remark = f"; {failed.remark}" if failed.remark else ""
        self.notice(f"{experiment} failed: {_most_telling_line(failed)}{remark} (more in {place})")

    def notice(self, text: str) -> None:
        """Show a line."""
        tqdm.write(text, file=sys.stderr)


def _most_telling_line(failed: Failed) -> str:
    # A stage that failed has said more about it than DVC does; if it ran, and said anything.
    last_line = failed.log.strip().rpartition("\n")[2]
    if failed.error.startswith("failed to reproduce") and last_line:
        return last_line
    return failed.error.partition("\n")[0]


def stop_on_signals(pool: Pool) -> None:
    """Have Ctrl-C finish the running trials; a second one, or any other signal to end, stops them."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        pool.interrupt(at_once=number != signal.SIGINT)
        if pool.interrupts == 1:
            tqdm.write("Finishing the trials that run; Ctrl-C once more stops them", file=sys.stderr)

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # `nohup` asks for one of them to be ignored.
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupt)
