"""Prints for the command line: no name that others chose acts on a terminal, and lines break at words."""

import argparse
import re
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress

# What moves the cursor, sets a title, rings, changes the direction of letters, or cannot be seen.
_ACTING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff\ud800-\udfff]"
)
# A line of a command that can be copied, or of a table within a table: its spaces are of use.
_KEPT_LINE = re.compile(r" {4}")
# A word and the column in which what belongs to it begins.
_LABEL = re.compile(r" *\S+ {2,}(?=\S)")


def add_json_option(parser: argparse._ActionsContainer) -> None:
    """Add `--json`: the result goes to the standard output, and all else that is said to the other one."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON, and nothing else")


class SafeOutput:
    """A stream of text in which nothing acts on the terminal that it goes to.

    Args:
        stream: where to.
        wraps: whether long lines are broken where a person reads them.
    """

    def __init__(self, stream: TextIO, wraps: bool = True) -> None:
        self._stream = stream
        self._wraps = wraps and stream.isatty()

    def write(self, text: str) -> int:
        """Write a text; a bar of progress may go back to the beginning of its line."""
        start = "\r" if text.startswith("\r") else ""
        shown = visible(text.removeprefix(start))
        if self._wraps and not start:
            width = shutil.get_terminal_size().columns
            shown = "".join(wrapped(line, width) for line in shown.splitlines(keepends=True))
        self._stream.write(start + shown)
        return len(text)

    def flush(self) -> None:
        """Write what the stream itself still holds."""
        self._stream.flush()

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def visible(text: str) -> str:
    r"""Return a text with control characters as they are written in Python: ESC is `\x1b`."""
    return _ACTING.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def wrapped(line: str, width: int) -> str:
    """Return a line broken at spaces, so that no part of it is longer than a width, if its words allow."""
    if len(line.rstrip("\n")) <= width or _KEPT_LINE.match(line):
        return line
    label = _LABEL.match(line)
    indent = label.end() if label else len(line) - len(line.lstrip()) + 2
    parts = textwrap.wrap(
        line,
        width,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
        drop_whitespace=True,
    )
    end = "\n" if line.endswith("\n") else ""
    return "\n".join(parts) + end


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
