"""The command line `locatable`: the only place that prints errors and decides exit codes.

Each command is a module of `locatable.commands`, imported only when the command is run: MLflow, Optuna and
DVC take seconds to import, and `locatable --help` should not.
"""

import argparse
import contextlib
import difflib
import errno
import importlib
import os
import pwd
import select
import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import colorama

from . import __version__
from .errors import INTERRUPTED, LocatableError, UsageError, disk_full_errors
from .git import leave_hook
from .output import SafeOutput
from .repository import find_project, require_regular_files

# The commands, each with its line in `locatable --help`.
COMMANDS = {
    "locate": "say which commit, data and params a file, name or run comes from",
    "index": "keep an index of many repositories, for `locate --everywhere`",
    "diff": "say why two results differ, and which cause came first",
    "mirror": "show all DVC experiments in MLflow, one run each",
    "search": "let Optuna propose params; every trial is a DVC experiment",
    "reproduce": "prove that a result can be rebuilt, from a clean clone",
    "archive": "write one file with all that is needed to rebuild a result",
    "declare": "bring the dependencies in dvc.yaml up to what stages import",
    "ui": "open MLflow on the project's store",
    "flow": "rebuild a revision as a Prefect flow",
}
OLDEST_PYTHON = (3, 11)
# The variables in which Python looks for the user's name before it asks the system.
USER_VARIABLES = ("LOGNAME", "USER", "LNAME", "USERNAME")
# Help is wrapped at this width even in a wider terminal, because longer lines are hard to read.
MOST_COLUMNS = 100
# The exit code shells report for a program that was ended by SIGPIPE.
PIPE_CLOSED = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: the arguments after `locatable`; by default, those of this process.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    leave_hook()
    _set_user_and_home()
    # DVC and tqdm call `colorama.init`, which would wrap our streams in streams that interpret escape codes.
    colorama.init = _keep_streams
    output = SafeOutput(sys.stdout, wraps="--json" not in words)
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(SafeOutput(sys.stderr)):
        return _exit_code(words)


def _keep_streams(*settings: object, **named: object) -> None:
    """Replace `colorama.init`, and leave `sys.stdout` and `sys.stderr` as they are."""


def _exit_code(words: list[str]) -> int:
    """Run a command, print its error if it fails, and return the exit code."""
    try:
        exit_code = _run(words)
        sys.stdout.flush()
        return exit_code
    except LocatableError as error:
        _print_error("; ".join(filter(None, [str(error), error.hint])))
        return error.exit_code
    except KeyboardInterrupt:
        _print_error("stopped")
        return INTERRUPTED
    except BrokenPipeError:
        if not _stdout_is_closed():
            raise  # The broken pipe led to a process that we started, not to the reader of our output.
        # Python flushes stdout at exit. Give it a stream that can still be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except OSError as error:
        # The folder belongs to another user, or the file system is read-only.
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS) or not error.filename:
            raise
        _print_error(f"{error.filename}: {error.strerror}; try it in a clone of your own")
        return LocatableError.exit_code


def _print_error(line: str) -> None:
    """Print why a command ends, after everything else it printed, even if both streams go into one file."""
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
    print(line, file=sys.stderr)


def _set_user_and_home() -> None:
    """Set a name and a home for a user without an account, as in containers: DVC asks for both."""
    if any(os.environ.get(name) for name in USER_VARIABLES) and "HOME" in os.environ:
        return
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        os.environ.setdefault("LOGNAME", str(os.getuid()))
        os.environ.setdefault("HOME", "/")  # the home that Docker gives such a user


def _run(words: list[str]) -> int:
    """Check the environment, run the command that the first word names, and return its exit code."""
    _require_python()
    _require_utf8()
    if not words:
        _main_parser().print_help(sys.stderr)
        return UsageError.exit_code
    name, *rest = words
    if name.startswith("-"):
        _main_parser().parse_args(words)
    if name not in COMMANDS:
        raise _unknown_command(name)
    try:
        return _run_command(name, rest)
    except ModuleNotFoundError as error:
        from .commands import find_extra, missing_extra

        extra = find_extra(error.name or "", name)
        if extra is None:
            raise
        raise missing_extra(f"locatable {name}", extra, _project()) from None


def _run_command(name: str, words: list[str]) -> int:
    """Parse the arguments of a command, run it, and return its exit code."""
    command = importlib.import_module(f".commands.{name}", __package__)
    parser = argparse.ArgumentParser(
        prog=f"locatable {name}", description=command.__doc__, formatter_class=_HelpFormatter
    )
    command.add_arguments(parser)
    arguments = parser.parse_args(words)
    # This check is made here for all commands, so that it comes before any of them creates a file.
    works_anywhere = getattr(command, "works_anywhere", None)
    if works_anywhere is None or not works_anywhere(arguments):
        require_regular_files(_project())
    with disk_full_errors():
        return int(command.run(arguments))


def _project() -> Path:
    """Return the root of the project that contains the current folder."""
    try:
        folder = Path.cwd()
    except FileNotFoundError:
        raise UsageError("the current folder does not exist any more") from None
    return find_project(folder)


def _main_parser() -> argparse.ArgumentParser:
    """Return the parser of `locatable --help` and `locatable --version`."""
    commands = "\n".join(f"  {name:<10} {summary}" for name, summary in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="locatable",
        usage="locatable COMMAND ...",
        description=f"Find and rebuild results of a DVC repository.\n\n{commands}",
        epilog="More about one of them: locatable COMMAND --help",
        formatter_class=_HelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"locatable {__version__}")
    return parser


def _require_python() -> None:
    """Refuse an old interpreter, which can run these files only without installing the package."""
    if sys.version_info < OLDEST_PYTHON:
        needed = ".".join(map(str, OLDEST_PYTHON))
        running = ".".join(map(str, sys.version_info[:2]))
        raise UsageError(f"locatable needs Python {needed} or newer, and {sys.executable} is {running}")


def _require_utf8() -> None:
    """Refuse any other encoding, which would misread the file names in DVC's files: they are UTF-8."""
    encoding = sys.getfilesystemencoding()
    if encoding != "utf-8":
        raise UsageError(
            f"Python reads names as {encoding} here, and DVC's files are UTF-8: export PYTHONUTF8=1"
        )


def _unknown_command(name: str) -> UsageError:
    near = difflib.get_close_matches(name, COMMANDS, n=1)
    suggestion = f"; did you mean {near[0]}?" if near else ""
    return UsageError(f"locatable: no command {name!r}{suggestion} (locatable --help)")


def _stdout_is_closed() -> bool:
    """Return whether the reader of our output has closed its end of the pipe, as `head` does."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)  # poll always reports a closed pipe, so no event needs to be named.
    return bool(poll.poll(0))


class _HelpFormatter(argparse.HelpFormatter):
    """Wraps the paragraphs of a description, except indented ones, which are examples."""

    def __init__(self, prog: str) -> None:
        columns = min(shutil.get_terminal_size().columns, MOST_COLUMNS)
        super().__init__(prog, width=columns - 2)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        filled = []
        for paragraph in text.strip().split("\n\n"):
            if paragraph.startswith(" "):
                filled.append(textwrap.indent(paragraph, indent))
            else:
                filled.append(super()._fill_text(paragraph, width, indent))
        return "\n\n".join(filled)
