"""One module for each command: `add_arguments(parser)`, and `run(arguments)`, which returns the exit code.

Their docstrings are what `locatable COMMAND --help` shows.
"""

import sys
from typing import TYPE_CHECKING, Any

from ..output import visible

if TYPE_CHECKING:
    from rich.progress import Progress


class Steps:
    """Says on the standard error what is done, and on a terminal for how long; a context manager."""

    def __init__(self) -> None:
        self._shown: Progress | None = None

    def __enter__(self) -> "Steps":
        return self

    def __exit__(self, *error: Any) -> None:
        self._end()

    def begin(self, line: str) -> None:
        """Say what is done from now on."""
        self._end()
        if not sys.stderr.isatty():
            print(line, file=sys.stderr, flush=True)
            return
        from rich.console import Console
        from rich.progress import Progress, TextColumn, TimeElapsedColumn

        text = TextColumn("{task.description}", style="", markup=False)
        # Other output goes where it would go without us.
        self._shown = Progress(
            text,
            TimeElapsedColumn(),
            console=Console(file=sys.__stderr__),
            redirect_stdout=False,
            redirect_stderr=False,
            refresh_per_second=2,
        )
        self._shown.add_task(visible(line), total=None)
        self._shown.start()

    def _end(self) -> None:
        if self._shown is not None:
            self._shown.stop()
            self._shown = None
