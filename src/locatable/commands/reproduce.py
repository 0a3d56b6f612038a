"""Prove that a result can be rebuilt: every stage again, from a clean clone, in a fresh environment.

    locatable reproduce [REV | EXPERIMENT | ARCHIVE.zip] [--stage NAME]
                        [--env lock|current] [--allow-build]
                        [--vary] [--rtol R] [--log] [--json]

Each stage sees only what it declares, and the outputs of earlier stages as they were just
rebuilt, so that nothing but the source data is taken on trust. What it writes is compared with
`dvc.lock`; what differs is compared number by number. Exit 0: identical, or within the
tolerance; 1: something differs, is of a frozen stage and so not rebuilt (`--stage` rebuilds
one), or a stage needs what it does not declare; 2: could not be tried. Your checkout, cache and
remote are only read. An archive, which `locatable archive` wrote, is checked first; it needs no
project around.
"""

import argparse
import contextlib
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import CannotTryError, LocatableError, SettingsError, UsageError, disk_full_errors
from ..model import json_text
from ..output import Steps, add_json_option, progress_bar, visible
from ..repository import find_project, read_settings
from . import end_as_by_ctrl_c

if TYPE_CHECKING:
    from ..proof.reproduce import Report

# In the table, so many characters of a hash are shown.
SHORT_HASH = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `locatable reproduce`."""
    parser.add_argument(
        "rev",
        nargs="?",
        default="HEAD",
        help="a Git revision, an experiment's name or an archive (default: HEAD)",
    )
    parser.add_argument("--stage", help="this stage alone, from recorded inputs")
    parser.add_argument(
        "--env", choices=["lock", "current"], default="lock", help="fresh from the lock, or this one"
    )
    parser.add_argument(
        "--allow-build",
        action="store_true",
        help="let packages of the lock run code, with the network, while they are installed",
    )
    parser.add_argument("--vary", action="store_true", help="each stage once more, under other conditions")
    parser.add_argument(
        "--rtol", type=float, help="relative tolerance for numbers (default: rtol of [tool.locatable], or 0)"
    )
    parser.add_argument("--log", action="store_true", help="show the last line that the running stage prints")
    add_json_option(parser)


def works_anywhere(arguments: argparse.Namespace) -> bool:
    """Return true for an archive: no project is needed around the current folder."""
    return bool(arguments.rev.endswith(".zip"))


def run(arguments: argparse.Namespace) -> int:
    """Print the report; the exit code is 1 where something differs."""
    # A job that is ended, too, leaves no stage running and no folder behind.
    end_as_by_ctrl_c()
    logging.getLogger("dvc").setLevel(logging.CRITICAL)
    try:
        with disk_full_errors(), Steps(arguments.log) as steps:
            report = _report(arguments, steps)
    except LocatableError as error:
        error.exit_code = CannotTryError.exit_code  # 1 says that something differs
        raise
    if arguments.json:
        print(json_text(report.to_json(), indent=2))
    else:
        _print_report(report)
    return 0 if report.proven else 1


def _report(arguments: argparse.Namespace, steps: Steps) -> "Report":
    """Prove a revision; that of an archive where it was checked and unpacked."""
    if not works_anywhere(arguments):
        return _prove(arguments, arguments.rev, steps)
    from ..archive.format import unpacked

    with unpacked(Path(arguments.rev), checking) as archive, contextlib.chdir(archive.project):
        return _prove(arguments, archive.manifest.revision, steps, archive.wheels)


@contextlib.contextmanager
def checking(size: int) -> Iterator[Callable[[int], object]]:
    """Show how many of so many bytes are checked."""
    print("checking the archive", file=sys.stderr, flush=True)
    plain = "checked {n_fmt} of {total_fmt} bytes"
    with progress_bar(plain, total=size, unit="B", unit_scale=True, leave=False) as bar:
        yield bar.update


def _prove(arguments: argparse.Namespace, rev: str, steps: Steps, wheels: Path | None = None) -> "Report":
    """Prove a revision of the project around the current folder."""
    from ..proof.reproduce import ProofOptions, reproduce

    options = ProofOptions(
        rev=rev,
        stage=arguments.stage,
        fresh_environment=arguments.env == "lock",
        vary=arguments.vary,
        rtol=choose_rtol(find_project(Path.cwd()), arguments.rtol),
        wheels=wheels,
        allow_build=arguments.allow_build,
        follow=steps.follow,
    )
    return reproduce(options, steps.begin)


def choose_rtol(root: Path, asked: float | None) -> float:
    """Return the tolerance that is asked for, else that of `[tool.locatable]` in pyproject.toml, else none.

    Raises:
        UsageError: the command line asks for something that is no tolerance.
        SettingsError: pyproject.toml does.
    """
    expected = "a relative difference is a number from 0 to below 1, such as 1e-9"
    if asked is not None:
        if not _is_tolerance(asked):
            raise UsageError(f"--rtol {asked}: {expected}")
        return asked
    written = read_settings(root).get("rtol", 0.0)
    if not _is_tolerance(written):
        raise SettingsError(f"{root / 'pyproject.toml'}: rtol = {written!r} of [tool.locatable]: {expected}")
    return float(written)


def _is_tolerance(value: object) -> bool:
    # One would accept any number for any other of its sign. A truth value is a number for Python alone.
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1


def _print_report(report: "Report") -> None:
    _print_table(report)
    print(f"\nrevision {report.revision[:12]}; environment: {report.environment}; {report.isolation}")
    if report.varied:
        print(f"each stage also with another {', '.join(report.varied)}")
    if report.processor:
        print(f"processor here: {report.processor}")
        print(f"processor of the results: {report.recorded_processor or 'not noted'}")
    for stage, files in report.seen_whole.items():
        print(f"{stage} saw all of {', '.join(files)}, whose undeclared keys cannot be taken out safely")
    for finding in report.findings:
        print(finding)
    print(report.summary)


def _print_table(report: "Report") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    for title in ("stage", "output", "recorded", "rebuilt", "verdict"):
        table.add_column(title, overflow="fold")
    for verdict in report.outputs:
        table.add_row(
            visible(verdict.stage),
            visible(verdict.output),
            (verdict.recorded or "-")[:SHORT_HASH],
            (verdict.rebuilt or "-")[:SHORT_HASH],
            str(verdict),
        )
    console = Console(highlight=False, markup=False, color_system=None)
    if not console.is_terminal:
        # Programs that read it want one line for each output, however long.
        console.width = 10_000
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        print(line.rstrip())
