"""Keep an index of the results of many repositories, for `locatable locate --everywhere`.

    locatable index add PATH-OR-URL ...
    locatable index refresh
    locatable index
    locatable index remove PATH-OR-URL ...

`add` reads repositories. A local folder is read in place; a URL is fetched into a clone in your cache folder.
No file is checked out and no code is run. `refresh` reads new results of all repositories. A repository that
cannot be reached keeps its known results and is listed with the date of the first failure. Without an action,
the command lists the index. The exit code is 1 if a repository cannot be read.

The index is one file: `--index FILE`, otherwise $LOCATABLE_INDEX, otherwise a file in your data folder. It
holds hashes of files, params, metrics, fingerprints of figures, and reports. docs/security.md explains what
it reveals.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..output import add_json_option
from . import add_index_option

if TYPE_CHECKING:
    import sqlite3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `locatable index`."""
    add = parser.add_argument
    add("action", nargs="?", choices=("add", "refresh", "remove"), help="without an action, list the index")
    add("sources", nargs="*", metavar="PATH-OR-URL", help="a repository to add or remove")
    add_index_option(parser)
    add_json_option(parser)


def works_anywhere(arguments: argparse.Namespace) -> bool:
    """Return true, because the command never needs a project."""
    return True


def run(arguments: argparse.Namespace) -> int:
    """Change or list an index; return 1 if a repository cannot be read."""
    from .. import index
    from ..errors import UsageError
    from . import treat_signals_as_ctrl_c

    if bool(arguments.sources) != (arguments.action in ("add", "remove")):
        raise UsageError("locatable index add and remove need PATH-OR-URL; the other actions take none")
    file = index.index_file(arguments.index)
    if not arguments.action:
        with index.reading(file) as db:
            print(_json(db) if arguments.json else _text(db, file))
        return 0
    treat_signals_as_ctrl_c()
    with index.writing(file) as db:
        if arguments.action != "remove":
            return _read(db, arguments.sources)
        for source in arguments.sources:
            index.forget(db, source)
    return 0


def _read(db: "sqlite3.Connection", sources: list[str]) -> int:
    """Read the given repositories, or all in the index if there are none, and print how much is new."""
    from .. import index
    from ..errors import LocatableError
    from ..index.refresh import address, read_new

    exit_code = 0
    for source in sources or [repository.source for repository in index.repositories(db)]:
        try:
            number = read_new(db, address(source) if sources else source)
            print(f"{source}: new results: {number}")
        except LocatableError as error:
            print("; ".join(filter(None, [str(error), error.hint])), file=sys.stderr)
            exit_code = 1
    return exit_code


def _json(db: "sqlite3.Connection") -> str:
    from dataclasses import asdict

    from ..index import repositories
    from ..model import json_text

    return json_text([asdict(repository) for repository in repositories(db)], indent=1)


def _text(db: "sqlite3.Connection", file: Path) -> str:
    """Return one line about the index and one about each repository in it."""
    from ..index import repositories, shown_time

    listed = repositories(db)
    lines = [f"{file}: repositories: {len(listed)}, results: {sum(one.results for one in listed)}"]
    for one in listed:
        parts = [f"  {one.source}", f"results: {one.results}", f"experiments: {one.experiments}"]
        if one.failed_since:
            parts.append(f"UNREACHABLE since {shown_time(one.failed_since)}: {one.problem}")
        else:
            parts += [f"read {shown_time(one.checked)}", one.problem]
        lines.append("  ".join(filter(None, parts)))
    return "\n".join(lines)
