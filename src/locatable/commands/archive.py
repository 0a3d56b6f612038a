"""Write one file that holds everything needed to rebuild a result, without your Git server or DVC remote.

    locatable archive [REV | EXPERIMENT] [-o result.zip] [--wheels]
    locatable reproduce result.zip

The archive holds the commit with its history, the data that stages read, the results, the package locks, and
a README that rebuilds the result with four commands. It describes the result as an RO-Crate. The same
revision always gives the same bytes.

The command refuses to include data from `dvc import`, passwords in any commit, and paths of this machine. It
lists what it found, and `--include` accepts an item of that list.
"""

import argparse
import contextlib
import importlib
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from ..model import json_text
from ..output import add_json_option, progress_bar
from . import treat_signals_as_ctrl_c

DEFAULT_LIMIT = "1GB"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `locatable archive`."""
    add = parser.add_argument
    add("rev", nargs="?", default="HEAD", help="a Git revision or the name of an experiment (default: HEAD)")
    add("-o", "--output", type=Path, default=Path("result.zip"), help="write this file (default: result.zip)")
    add("--wheels", action="store_true", help="include the packages, as wheels for this kind of machine")
    add("--no-outputs", action="store_true", help="leave out the results, which can be rebuilt")
    add("--include", action="append", default=[], metavar="NAME", help="include it although it looks private")
    add(
        "--max-size",
        default=DEFAULT_LIMIT,
        metavar="SIZE",
        help=f"ask before writing more than this, and refuse without a terminal (default: {DEFAULT_LIMIT})",
    )
    add_json_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write the archive, then print a summary of it and the command that proves it."""
    # Imported first, so that a missing extra is reported before anything is read.
    importlib.import_module("rocrate")
    from ..archive.create import ArchiveOptions, create_archive
    from ..archive.plan import parse_size, show_size

    treat_signals_as_ctrl_c()
    logging.getLogger("dvc").setLevel(logging.CRITICAL)
    options = ArchiveOptions(
        target=arguments.output,
        rev=arguments.rev,
        outputs=not arguments.no_outputs,
        wheels=arguments.wheels,
        include=tuple(arguments.include),
        limit=parse_size(arguments.max_size),
    )
    manifest = create_archive(options, OnTerminal())
    if arguments.json:
        content = {
            "file": str(options.target),
            "revision": manifest.revision,
            "experiment": manifest.experiment,
            "size": manifest.size,
        }
        print(json_text(content))
        return 0
    result = f"{manifest.experiment}, " if manifest.experiment else ""
    print(f"{options.target}: {result}commit {manifest.revision[:12]}, {show_size(manifest.size)}")
    print(f"prove it, here or elsewhere: locatable reproduce {options.target}")
    return 0


class OnTerminal:
    """The dialogue with a user at a terminal. Everything is printed on the standard error."""

    def say(self, line: str) -> None:
        """Print a line."""
        print(line, file=sys.stderr, flush=True)

    def agrees_to(self, size: int) -> bool:
        """Ask whether to write an archive of this size; return false if there is no terminal to ask on."""
        from ..archive.plan import show_size

        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            return False
        print(f"The archive takes {show_size(size)}. Write it? [y/N] ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    @contextlib.contextmanager
    def progress(self, size: int) -> Iterator[Callable[[int], object]]:
        """Show a bar of the bytes written so far."""
        plain = "wrote {n_fmt} of {total_fmt} bytes"
        with progress_bar(plain, total=size, unit="B", unit_scale=True) as bar:
            yield bar.update
