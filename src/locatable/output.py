"""What is shown: no name that others chose acts on a terminal, no URL has a password, lines are broken.

And what is written: a file as a whole or not at all, whatever ends the program meanwhile.
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

# Seconds of work without a word, where there is no terminal.
PAUSE = 10.0
# Bytes of a log's end in which its last line is.
LONGEST_LINE = 1000

# What moves the cursor, sets a title, rings, changes the direction of letters, or cannot be seen.
_ACTING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff\ud800-\udfff]"
)
# A line of a command that can be copied, or of a table within a table: its spaces are of use.
_KEPT_LINE = re.compile(r" {4}")
# A word and the column in which what belongs to it begins.
_LABEL = re.compile(r" *\S+ {2,}(?=\S)")
_URL = re.compile(r"\w[\w+.-]*://\S+")
# Stands for the `@` after a user name that stays.
_KEPT = "\0"


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


def redact_urls(text: str) -> str:
    """Return the text, without passwords in its URLs, and without user names, which only SSH needs."""
    # Alone, a URL ends with the text, and its password can hold an `@`; within a text, a quote can end it.
    is_url = _URL.fullmatch(text)
    login = r"[^/\s]+" if is_url else r"[^/@\s\"']+"
    text = re.sub(rf"(\b(?:git\+)?ssh://[^/@:\s\"']+)(?::{login})?@", rf"\1{_KEPT}", text)
    text = re.sub(rf"(\w://){login}@", r"\1", text)
    return text.replace(_KEPT, "@")


def progress_bar(plain: str, **options: Any) -> "tqdm[Any]":
    """Return a bar of tqdm's; where there is no terminal, a line says every ten seconds how far it is.

    Args:
        plain: the line, as tqdm formats one: `run {n_fmt} of {total_fmt}`.
        options: tqdm's.
    """
    from tqdm import tqdm

    if sys.stderr.isatty():
        return tqdm(**options)

    class Lines(tqdm):  # type: ignore[type-arg]
        def display(self, msg: str | None = None, pos: int | None = None) -> None:
            # With a message, tqdm clears its line.
            if msg is None:
                print(self, file=sys.stderr, flush=True)

    options |= {"file": io.StringIO(), "leave": False, "bar_format": plain, "miniters": 1}
    options |= dict.fromkeys(["delay", "mininterval", "maxinterval"], PAUSE)
    return Lines(**options)


class Steps:
    """Says on the standard error what is done; a context manager.

    A terminal also shows for how long; elsewhere a line says so after ten seconds, and then each time that it
    took twice as long.

    Args:
        shows_log: show the last line of what `follow` names, too.
    """

    def __init__(self, shows_log: bool = False) -> None:
        self._shows_log = shows_log
        self._log: Path | None = None
        self._shown: Progress | None = None
        self._ended = threading.Event()

    def __enter__(self) -> "Steps":
        return self

    def __exit__(self, *error: Any) -> None:
        self._end()

    def begin(self, line: str) -> None:
        """Say what is done from now on."""
        self._end()
        self._log = None
        if not sys.stderr.isatty():
            print(line, file=sys.stderr, flush=True)
            self._ended = threading.Event()
            threading.Thread(target=self._say_again, args=(line, self._ended), daemon=True).start()
            return
        from rich.console import Console
        from rich.progress import Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
        from rich.text import Text

        class LastLine(ProgressColumn):
            def render(column, task: Task) -> Text:  # noqa: N805 (self is what the steps are)
                return Text(self.last_line, style="dim", overflow="ellipsis", no_wrap=True)

        text = TextColumn("{task.description}", style="", markup=False)
        # Other output goes where it would go without us.
        self._shown = Progress(
            text,
            TimeElapsedColumn(),
            LastLine(),
            console=Console(file=sys.__stderr__),
            redirect_stdout=False,
            redirect_stderr=False,
            refresh_per_second=2,
        )
        self._shown.add_task(visible(line), total=None)
        self._shown.start()

    def follow(self, log: Path) -> None:
        """Note where the program that is run now writes what it prints."""
        self._log = log

    @property
    def last_line(self) -> str:
        """The last line of what is followed; empty where nothing is shown of it."""
        if not self._shows_log or not self._log:
            return ""
        with contextlib.suppress(OSError), self._log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LONGEST_LINE))
            lines = file.read().decode(errors="replace").strip().splitlines()
            return visible(lines[-1]) if lines else ""
        return ""

    def _say_again(self, line: str, ended: threading.Event) -> None:
        begun = time.monotonic()
        pause: float = PAUSE
        while not ended.wait(pause):
            pause = time.monotonic() - begun
            last = f": {self.last_line}" if self.last_line else ""
            print(f"{line}, {pause:.0f} s so far{last}", file=sys.stderr, flush=True)

    def _end(self) -> None:
        self._ended.set()
        if self._shown is not None:
            self._shown.stop()
            self._shown = None


@contextlib.contextmanager
def replacing(target: Path, mode: int | None = None) -> Iterator[IO[bytes]]:
    """Yield a file that takes the place of the target when everything in it is on the disk.

    Args:
        target: what is there, if anything, is replaced, also where it is a link.
        mode: permissions of the file; None for its owner alone.

    Raises:
        OSError: it cannot be written; the target is as it was.
    """
    import tempfile  # `locatable --help` needs as little as possible

    number, name = tempfile.mkstemp(prefix=f".{target.name:.50}.", suffix=".part", dir=target.parent)
    try:
        with open(number, "wb") as file:
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
    """Return the permissions that the user's other files have: a temporary one is for its owner alone."""
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask
