"""Terminal output and output files.

Control characters are escaped (a file name from a strange repository could contain some), passwords are
removed from URLs, and long lines are wrapped. A file is written completely or not at all, even if the program
is killed meanwhile.
"""

import argparse
import contextlib
import io
import os
import re
import shutil
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress
    from tqdm import tqdm

# Seconds between two progress messages when stderr is not a terminal.
PAUSE = 10.0
# Bytes to read from the end of a log to find its last line.
LONGEST_LINE = 1000

# Characters that move the cursor, set a title, ring the bell, change the text direction, or are invisible.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff\ud800-\udfff]"
)
# The start of a line that is not wrapped, because its spaces matter: a command to be copied, or a table row.
_UNWRAPPED_LINE = re.compile(r" {4}")
# A label, with the spaces up to the column in which its text begins.
_LABEL = re.compile(r" *\S+ {2,}(?=\S)")
_URL = re.compile(r"\w[\w+.-]*://\S+")
# Stands in for the `@` after a user name that is kept.
_KEPT_AT = "\0"


def add_json_option(parser: argparse._ActionsContainer) -> None:
    """Add `--json`, which prints only the result to stdout; all messages go to stderr."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON, and nothing else")


class SafeOutput:
    """A text stream that escapes control characters, so that no text can act on the terminal.

    Args:
        stream: the stream to write to.
        wraps: whether to wrap long lines if the stream is a terminal.
    """

    def __init__(self, stream: TextIO, wraps: bool = True) -> None:
        self._stream = stream
        self._wraps = wraps and stream.isatty()

    def write(self, text: str) -> int:
        """Write a text. A leading carriage return is kept: progress bars redraw their line with it."""
        start = "\r" if text.startswith("\r") else ""
        shown = visible(text.removeprefix(start))
        if self._wraps and not start:
            width = shutil.get_terminal_size().columns
            shown = "".join(wrapped(line, width) for line in shown.splitlines(keepends=True))
        self._stream.write(start + shown)
        return len(text)

    def flush(self) -> None:
        """Flush the underlying stream."""
        self._stream.flush()

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def visible(text: str) -> str:
    r"""Return a text with its control characters escaped as in Python: ESC becomes `\x1b`."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def wrapped(line: str, width: int) -> str:
    """Return a line wrapped at spaces to a width. A single word may still be longer."""
    if len(line.rstrip("\n")) <= width or _UNWRAPPED_LINE.match(line):
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
    )
    end = "\n" if line.endswith("\n") else ""
    return "\n".join(parts) + end


def redact_urls(text: str) -> str:
    """Return the text with passwords and user names removed from its URLs; SSH URLs keep their user names."""
    # If the URL is the whole text, its password may contain `@` or a quote; within a text, these may end it.
    is_url = _URL.fullmatch(text)
    login = r"[^/\s]+" if is_url else r"[^/@\s\"']+"
    text = re.sub(rf"(\b(?:git\+)?ssh://[^/@:\s\"']+)(?::{login})?@", rf"\1{_KEPT_AT}", text)
    text = re.sub(rf"(\w://){login}@", r"\1", text)
    return text.replace(_KEPT_AT, "@")


def progress_bar(line: str, **options: Any) -> "tqdm[Any]":
    """Return a tqdm progress bar; without a terminal, it prints a line every ten seconds instead.

    Args:
        line: the line to print without a terminal, in tqdm's format: `run {n_fmt} of {total_fmt}`.
        options: options of tqdm.
    """
    from tqdm import tqdm

    if sys.stderr.isatty():
        return tqdm(**options)

    class Lines(tqdm):  # type: ignore[type-arg]
        def display(self, msg: str | None = None, pos: int | None = None) -> None:
            # tqdm passes a message only to clear the bar, and a printed line is not cleared.
            if msg is None:
                print(self, file=sys.stderr, flush=True)

    options |= {"file": io.StringIO(), "leave": False, "bar_format": line, "miniters": 1}
    options |= dict.fromkeys(["delay", "mininterval", "maxinterval"], PAUSE)
    return Lines(**options)


class Steps:
    """Shows on stderr which step of a long command is running; a context manager.

    A terminal shows the elapsed time as well. Without one, a line with the time is printed after ten seconds,
    and again each time the elapsed time has doubled.

    Args:
        shows_log: whether to show the last line of the log passed to `follow` too.
    """

    def __init__(self, shows_log: bool = False) -> None:
        self._shows_log = shows_log
        self._log: Path | None = None
        self._progress: Progress | None = None
        self._ended = threading.Event()

    def __enter__(self) -> "Steps":
        return self

    def __exit__(self, *error: Any) -> None:
        self._end()

    def begin(self, line: str) -> None:
        """Start a step: end the one before it, and show this line until the next."""
        self._end()
        self._log = None
        if not sys.stderr.isatty():
            print(line, file=sys.stderr, flush=True)
            self._ended = threading.Event()
            threading.Thread(target=self._repeat, args=(line, self._ended), daemon=True).start()
            return
        from rich.console import Console
        from rich.progress import Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
        from rich.text import Text

        class LastLine(ProgressColumn):
            def render(column, task: Task) -> Text:  # noqa: N805 (`self` is the Steps object)
                return Text(self.last_line, style="dim", overflow="ellipsis", no_wrap=True)

        text = TextColumn("{task.description}", style="", markup=False)
        # Rich writes to the real stderr and does not redirect: output of others keeps its stream.
        self._progress = Progress(
            text,
            TimeElapsedColumn(),
            LastLine(),
            console=Console(file=sys.__stderr__),
            redirect_stdout=False,
            redirect_stderr=False,
            refresh_per_second=2,
        )
        self._progress.add_task(visible(line), total=None)
        self._progress.start()

    def follow(self, log: Path) -> None:
        """Set the log of the program that this step runs, to show its last line."""
        self._log = log

    @property
    def last_line(self) -> str:
        """The last line of the followed log; empty if there is none, or logs are not shown."""
        if not self._shows_log or not self._log:
            return ""
        with contextlib.suppress(OSError), self._log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LONGEST_LINE))
            lines = file.read().decode(errors="replace").strip().splitlines()
            return visible(lines[-1]) if lines else ""
        return ""

    def _repeat(self, line: str, ended: threading.Event) -> None:
        """Print the line again and again with the elapsed time, until the step has ended."""
        begun = time.monotonic()
        pause = PAUSE
        while not ended.wait(pause):
            pause = time.monotonic() - begun
            last = f": {self.last_line}" if self.last_line else ""
            print(f"{line}, {pause:.0f} s so far{last}", file=sys.stderr, flush=True)

    def _end(self) -> None:
        """End the current step, if there is one."""
        self._ended.set()
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


@contextlib.contextmanager
def replacing(target: Path, mode: int | None = None) -> Iterator[IO[bytes]]:
    """Yield a temporary file that replaces the target once its content is safely on the disk.

    Args:
        target: the path to write. An existing file is replaced; if it is a link, the link itself is replaced.
        mode: permissions of the file; by default, only its owner can read and write it.

    Raises:
        OSError: the file cannot be written; the target is unchanged.
    """
    import tempfile  # imported here to keep `locatable --help` fast

    descriptor, name = tempfile.mkstemp(prefix=f".{target.name:.50}.", suffix=".part", dir=target.parent)
    try:
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            os.chmod(name, mode)
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def mode_of_new_files() -> int:
    """Return the permissions of a file created normally, since a temporary file is private to its owner."""
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask
