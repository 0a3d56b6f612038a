"""What the command line prints on a terminal and elsewhere."""

import contextlib
import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from locatable.output import SafeOutput, visible, wrapped

SOURCES = Path(__file__).parents[2] / "src"
ACTING = {
    "\x1b]0;title\x07": r"\x1b]0;title\x07",
    "\x1b[8mhidden": r"\x1b[8mhidden",
    "a\rb": r"a\rb",
    "\x9b31m": r"\x9b31m",
    "gnp.\u202eexe": r"gnp.\u202eexe",
    "\u2066a\u2069": r"\u2066a\u2069",
    "in\u200bvisible": r"in\u200bvisible",
    "line\u2028separator": r"line\u2028separator",
    "undecoded \udcff": r"undecoded \udcff",
}


class Terminal(io.StringIO):
    """A terminal of forty columns."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    return Terminal()


@pytest.mark.parametrize("text", ACTING)
def test_a_name_cannot_act_on_a_terminal(text):
    assert visible(text) == ACTING[text]


@pytest.mark.parametrize("text", ["Ωméga, 数据, 📈", "two\nlines\tand a tab", "right-to-left: שלום"])
def test_letters_of_all_languages_stay(text):
    assert visible(text) == text


def test_what_is_printed_is_visible():
    stream = io.StringIO()
    print("plot\x1b[2J.png", file=SafeOutput(stream))
    assert stream.getvalue() == "plot\\x1b[2J.png\n"


def test_a_bar_of_progress_goes_back_to_the_beginning_of_its_line(terminal):
    SafeOutput(terminal).write("\r50 %|" + 50 * "#")
    assert terminal.getvalue() == "\r50 %|" + 50 * "#"


def test_lines_on_a_terminal_break_between_words(terminal):
    print("word " * 20, file=SafeOutput(terminal))
    lines = terminal.getvalue().splitlines()
    assert max(map(len, lines)) <= 40
    assert {word for line in lines for word in line.split()} == {"word"}


def test_lines_elsewhere_do_not_break():
    stream = io.StringIO()
    print("word " * 20, file=SafeOutput(stream))
    assert stream.getvalue().count("\n") == 1


def test_json_on_a_terminal_does_not_break(terminal):
    print("word " * 20, file=SafeOutput(terminal, wraps=False))
    assert terminal.getvalue().count("\n") == 1


def test_what_follows_a_label_stays_in_its_column():
    assert wrapped("  data     one two three four\n", 22) == "  data     one two\n           three four\n"


def test_a_word_that_is_longer_than_a_line_stays_whole():
    assert "x" * 50 in wrapped(f"see {'x' * 50} there", 20)


def test_a_command_that_can_be_copied_stays_in_one_line():
    line = "    git clone https://example.org/project project && cd project\n"
    assert wrapped(line, 20) == line


PLAIN = os.environ | {"PYTHONPATH": str(SOURCES), "TERM": "xterm", "COLUMNS": "80"}


def on_terminal(code: str) -> bytes:
    """Return what a program shows on a terminal as its standard error."""
    ours, terminal = pty.openpty()
    subprocess.run((sys.executable, "-c", code), stderr=terminal, env=PLAIN, check=True)
    os.close(terminal)
    shown = b""
    with contextlib.suppress(OSError):  # the end of what a terminal got
        while part := os.read(ours, 10_000):
            shown += part
    return shown


def elsewhere(code: str) -> str:
    """Return what a program writes to a file as its standard error; ten seconds are 0.05."""
    code = f"from locatable import output\noutput.PAUSE = 0.05\n{code}"
    done = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, env=PLAIN, check=True)
    return done.stderr


FOLLOWED = """
import pathlib, time
from locatable.output import Steps
log = pathlib.Path({log!r})
log.write_text("epoch 1\\nepoch 2\\n")
with Steps(shows_log={shows_log}) as steps:
    steps.begin("building")
    steps.follow(log)
    time.sleep(0.7)
"""


def test_a_terminal_shows_for_how_long_something_is_done():
    code = "from locatable.output import Steps\nwith Steps() as steps: steps.begin('building')"
    assert re.search(rb"building .*0:00:0\d", on_terminal(code))


def test_a_terminal_shows_the_last_line_of_a_log_on_request(tmp_path: Path):
    shown = on_terminal(FOLLOWED.format(log=str(tmp_path / "log"), shows_log=True))
    assert b"epoch 2" in shown
    assert b"epoch 1" not in shown


def test_a_terminal_shows_no_log_unasked(tmp_path: Path):
    assert b"epoch" not in on_terminal(FOLLOWED.format(log=str(tmp_path / "log"), shows_log=False))


def test_programs_get_a_line_for_each_thing_that_is_done():
    code = "from locatable.output import Steps\nwith Steps() as steps: steps.begin('a'); steps.begin('b')"
    done = subprocess.run((sys.executable, "-c", code), capture_output=True, env=PLAIN, check=True)
    assert done.stderr == b"a\nb\n"


def test_programs_are_told_again_what_takes_long_with_the_last_line_of_its_log(tmp_path: Path):
    lines = elsewhere(FOLLOWED.format(log=str(tmp_path / "log"), shows_log=True)).splitlines()
    assert lines[0] == "building"
    assert set(lines[1:]) <= {"building, 0 s so far: epoch 2", "building, 1 s so far: epoch 2"}
    assert 2 <= len(lines[1:]) <= 4  # each time after twice as long


def test_programs_are_told_how_far_a_long_count_is():
    code = (
        "import time\nwith output.progress_bar('wrote {n_fmt} of {total_fmt} runs', total=4) as bar:"
        "\n for _ in range(4): time.sleep(0.06); bar.update()"
    )
    lines = elsewhere(code).splitlines()
    assert "wrote 2 of 4 runs" in lines
    assert all(re.fullmatch("wrote [1-4] of 4 runs", line) for line in lines)


def test_programs_are_told_nothing_of_a_short_count():
    assert elsewhere("list(output.progress_bar('{n_fmt}', iterable=[1, 2]))") == ""
