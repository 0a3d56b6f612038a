"""Write one file with all that is needed to rebuild a result, without your Git server or DVC remote.

    locatable archive [REV | EXPERIMENT] [-o result.zip] [--wheels]
    locatable reproduce result.zip

It holds the commit with its history, the data that stages read, the results, the locks of packages, and a
README of four commands. It describes the result as an RO-Crate. The same revision gives the same bytes.

Data from `dvc import`, passwords in any commit, and paths of this machine are named and refused, unless
`--include` names them.
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
from . import end_as_by_ctrl_c

DEFAULT_LIMIT = "1GB"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `locatable archive`."""
    parser.add_argument(
        "rev", nargs="?", default="HEAD", help="a Git revision or an experiment's name (default: HEAD)"
    )
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("result.zip"), help="the file to write (result.zip)"
    )
    parser.add_argument("--wheels", action="store_true", help="with the packages, for this kind of machine")
    parser.add_argument("--no-outputs", action="store_true", help="without results, which can be rebuilt")
    parser.add_argument(
        "--include",
        action="append",
        default=[],
        metavar="NAME",
        help="what may leave although it looks private",
    )
    parser.add_argument(
        "--max-size", default=DEFAULT_LIMIT, metavar="SIZE", help=f"do not write more ({DEFAULT_LIMIT})"
    )
    add_json_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write the archive, and say what it is and how to prove it."""
    # Where it is missing, that is said before anything is read.
    importlib.import_module("rocrate")
    from ..archive.create import ArchiveOptions, create_archive
    from ..archive.plan import parse_size, show_size

    end_as_by_ctrl_c()
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
    """A person at a terminal, who is told and asked on the standard error."""

    def say(self, line: str) -> None:
        """Show a line."""
        print(line, file=sys.stderr, flush=True)

    def agrees_to(self, size: int) -> bool:
        """Ask, where there is a person to ask."""
        from ..archive.plan import show_size

        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            return False
        print(f"The archive takes {show_size(size)}. Write it? [y/N] ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    @contextlib.contextmanager
    def progress(self, size: int) -> Iterator[Callable[[int], object]]:
        """Show how much is written."""
        plain = "wrote {n_fmt} of {total_fmt} bytes"
        with progress_bar(plain, total=size, unit="B", unit_scale=True) as bar:
            yield bar.update
