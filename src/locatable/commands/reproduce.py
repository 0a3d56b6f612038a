"""Prove that a result can be rebuilt: run every stage again, from a clean clone, in a fresh environment.

    locatable reproduce [REV | EXPERIMENT | ARCHIVE.zip] [--stage NAME]
                        [--env lock|current] [--allow-build]
                        [--vary] [--rtol R] [--log] [--json]

Each stage sees only the files that it declares, with the outputs of earlier stages as they were just rebuilt.
So only the source data is taken on trust. The new outputs are compared with `dvc.lock`; files that differ are
compared number by number.

The exit code is one of these:

    0  all outputs are identical, or within the tolerance
    1  an output differs, a stage needs a file that it does not declare, or
       a stage is frozen and was therefore not rebuilt (--stage rebuilds it)
    2  the proof could not be tried

Your checkout, cache and remote are only read. An archive of `locatable archive` is checked first; it can be
proven outside of a project.
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
from . import treat_signals_as_ctrl_c

if TYPE_CHECKING:
    from ..proof.reproduce import Report

# The table shows only the first characters of a hash.
SHORT_HASH = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `locatable reproduce`."""
    add = parser.add_argument
    add(
        "rev",
        nargs="?",
        default="HEAD",
        help="a Git revision, the name of an experiment, or an archive (default: HEAD)",
    )
    add("--stage", help="rebuild only this stage, from its recorded inputs")
    add(
        "--env",
        choices=["lock", "current"],
        default="lock",
        help="lock: a fresh environment from the lock (default); current: the environment of this command",
    )
    add(
        "--allow-build",
        action="store_true",
        help="allow packages of the lock to run code and use the network during their installation",
    )
    add("--vary", action="store_true", help="run each stage once more, under different conditions")
    add(
        "--rtol",
        type=float,
        help="relative tolerance for numbers (default: rtol of [tool.locatable] in pyproject.toml, or 0)",
    )
    add("--log", action="store_true", help="show the last line printed by the running stage")
    add_json_option(parser)


def works_anywhere(arguments: argparse.Namespace) -> bool:
    """Return true for an archive, because then no project is needed."""
    return bool(arguments.rev.endswith(".zip"))


def run(arguments: argparse.Namespace) -> int:
    """Print the report; return 0 if the revision is proven, 1 if something differs."""
    # When a scheduler terminates the job, no stage may keep running and no folder may be left behind.
    treat_signals_as_ctrl_c()
    logging.getLogger("dvc").setLevel(logging.CRITICAL)
    try:
        with disk_full_errors(), Steps(arguments.log) as steps:
            report = _report(arguments, steps)
    except LocatableError as error:
        # An exit code of 1 would mean that an output differs.
        error.exit_code = CannotTryError.exit_code
        raise
    if arguments.json:
        print(json_text(report.to_json(), indent=2))
    else:
        _print_report(report)
    return 0 if report.proven else 1


def _report(arguments: argparse.Namespace, steps: Steps) -> "Report":
    """Prove a revision of this project or, after checking and unpacking it, the revision of an archive."""
    if not works_anywhere(arguments):
        return _prove(arguments, arguments.rev, steps)
    from ..archive.format import unpacked

    with unpacked(Path(arguments.rev), show_checking) as archive, contextlib.chdir(archive.project):
        return _prove(arguments, archive.manifest.revision, steps, archive.wheels)


@contextlib.contextmanager
def show_checking(size: int) -> Iterator[Callable[[int], object]]:
    """Show a progress bar while an archive of this many bytes is checked."""
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


def choose_rtol(root: Path, option: float | None) -> float:
    """Return the relative tolerance: that of `--rtol`, else that of pyproject.toml, else 0.

    Raises:
        UsageError: the value of `--rtol` is not a tolerance.
        SettingsError: the value in `[tool.locatable]` of pyproject.toml is not a tolerance.
    """
    expected = "a relative difference is a number from 0 to below 1, such as 1e-9"
    if option is not None:
        if not _is_tolerance(option):
            raise UsageError(f"--rtol {option}: {expected}")
        return option
    setting = read_settings(root).get("rtol", 0.0)
    if not _is_tolerance(setting):
        raise SettingsError(f"{root / 'pyproject.toml'}: rtol = {setting!r} of [tool.locatable]: {expected}")
    return float(setting)


def _is_tolerance(value: object) -> bool:
    # A tolerance of 1 would accept any two numbers of the same sign. In Python, True and False are numbers.
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
        # A program that reads the table expects one line for each output, however long it is.
        console.width = 10_000
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        print(line.rstrip())
