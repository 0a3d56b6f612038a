"""Show all DVC experiments in MLflow, one run each, with everything that an MLflow page can show.

Git remains the source of truth, because each run is identified by its commit. Mirroring again adds only new
runs, completes the work of a mirror that was killed, and fills a store that was deleted.

Running experiments appear as provisional runs: those of `dvc exp run`, the queue, `dvc repro` and searches in
this checkout. When DVC commits the result, the provisional run becomes the run of that commit.

If a project has scripts/mirror.py, its function `describe` can change what runs show. After a change of that
file, the next mirror updates all runs.
"""

import argparse
import importlib
import math
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from ..errors import INTERRUPTED, GitError, LocatableError, StoreError, UsageError
from ..model import json_text
from ..output import add_json_option

if TYPE_CHECKING:
    from ..mlflow.running import RunningRuns
    from ..repository.reader import Reader

# Seconds between two checks for running experiments.
TICK = 1.0
# Seconds after which --watch mirrors even if no ref changed: files can have been fetched into DVC's cache.
LONGEST_PAUSE = 300.0
# After each failure in a row, --watch doubles its pause, at most so many times.
MOST_DOUBLINGS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `locatable mirror`."""
    add = parser.add_argument
    add("--tracking-uri", metavar="URI", help="the MLflow server or database")
    add("--experiment", metavar="NAME", help="the MLflow experiment (default: the project's name)")
    add(
        "--watch",
        metavar="SECONDS",
        type=float,
        nargs="?",
        const=1.0,
        help="keep running: show running experiments as they progress, and mirror new ones after this pause "
        "(default: 1)",
    )
    add("--prune", action="store_true", help="delete runs whose experiment is gone from Git")
    add("--all-commits", action="store_true", help="also mirror every commit that has a dvc.lock")
    add("--copy-models", action="store_true", help="copy model files to MLflow, not only links to them")
    add_json_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Mirror once, or repeatedly with `--watch`; return 1 if a run could not be mirrored."""
    pause = arguments.watch
    if pause is not None and not 0 < pause < math.inf:
        raise UsageError("--watch: the number of seconds must be positive")
    try:
        if pause is not None:
            _watch(arguments, pause)
        outcome = _mirror(arguments)
        outcome.print()
        _show_running(_running_runs(arguments))
        return outcome.exit_code
    except KeyboardInterrupt:
        raise LocatableError("stopped; the next call continues from here", exit_code=INTERRUPTED) from None


def _watch(arguments: argparse.Namespace, pause: float) -> NoReturn:
    """Update the provisional runs every second, and mirror whenever something has changed, until Ctrl-C."""
    # Importing MLflow takes two seconds. Import it now, so that the first point does not have to wait.
    importlib.import_module("locatable.mlflow.store")
    runs = _running_runs(arguments)
    files: object = None
    mirrored_stamp: object = None
    mirrored_ids: object = None
    mirrored_at = -math.inf
    outcome: _Outcome | None = None
    failure: _Outcome | None = None
    failures = 0
    while True:
        try:
            # Take the stamp before mirroring: a change during the mirror is then left for the next one.
            stamp = _stamp(runs)
            if stamp.files != files:
                files = stamp.files
                # A new store has none of the provisional runs shown so far, so start from scratch.
                runs = _running_runs(arguments)
            ids = runs.ids()
            if mirrored_ids and ids != mirrored_ids:
                # Log the last points of an experiment that has ended before its commit is mirrored.
                _show_running(runs)
            elapsed = time.monotonic() - mirrored_at
            is_new = stamp != mirrored_stamp and elapsed >= pause
            if is_new or ids != mirrored_ids or elapsed >= LONGEST_PAUSE:
                mirrored_at = time.monotonic()
                mirrored_stamp = stamp
                mirrored_ids = ids
                outcome = _mirror(arguments).print_unless_equal(outcome)
            if ids:
                _show_running(runs)
            failure = None
            failures = 0
        except (GitError, StoreError) as error:
            # DVC may be changing the repository at this moment, so try again later.
            reason = "; ".join(filter(None, (str(error), error.hint)))
            failure = _Outcome(1, "", (reason,)).print_unless_equal(failure)
            mirrored_stamp = None
            runs = _running_runs(arguments)
            failures = min(failures + 1, MOST_DOUBLINGS)
        time.sleep(min(pause, TICK) * 2**failures)


@dataclass(frozen=True)
class _Outcome:
    """The outcome of one mirror: its exit code, a text for standard output, and lines for standard error."""

    exit_code: int
    text: str
    notes: tuple[str, ...]

    def print_unless_equal(self, printed: "_Outcome | None") -> "_Outcome":
        """Print this outcome, unless it equals the one printed last, and return it."""
        if self != printed:
            self.print()
        return self

    def print(self) -> None:
        """Print the text and the notes."""
        if self.text:
            print(self.text, flush=True)
        for note in self.notes:
            print(note, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class _Stamp:
    """A stamp that differs if a new mirror may have something to do.

    Attributes:
        refs: the stamp of all Git refs.
        files: the inodes of scripts/mirror.py and of the store's database.
    """

    refs: dict[Path, int]
    files: tuple[int, ...]


def _running_runs(arguments: argparse.Namespace) -> "RunningRuns":
    from ..mlflow.running import RunningRuns
    from ..mlflow.settings import read_settings
    from ..repository.reader import Reader

    with Reader(".") as reader:
        return RunningRuns(
            reader.root, read_settings(reader.root, arguments.tracking_uri, arguments.experiment)
        )


def _show_running(runs: "RunningRuns") -> None:
    from ..mlflow.mirror import show_running

    show_running(runs)


def _stamp(runs: "RunningRuns") -> _Stamp:
    from ..addresses import sqlite_file
    from ..git import refs_stamp
    from ..mlflow.describe import SCRIPT

    paths = [runs.root / SCRIPT, sqlite_file(runs.settings.uri)]
    inodes = []
    for path in filter(None, paths):
        with suppress(OSError):
            inodes.append(path.stat().st_ino)
    return _Stamp(refs_stamp(runs.root), tuple(inodes))


def _announce_script(root: Path) -> None:
    """Report that the project's script is run, once for each version of it.

    The repository can be a stranger's, so its code should not run without notice.
    """
    from ..mlflow.describe import SCRIPT, find_script
    from ..mlflow.settings import agree, has_agreed

    script = find_script(root)
    agreed = f"script {root} {script.digest}" if script else ""
    if script and not has_agreed(agreed):
        agree(agreed)
        once = "; this is said once" if has_agreed(agreed) else ""
        print(f"runs `describe` of this repository's {SCRIPT}{once}", file=sys.stderr)


def _mirror(arguments: argparse.Namespace) -> _Outcome:
    """Mirror once, and return the outcome."""
    from ..mlflow.mirror import MirrorOptions, mirror
    from ..mlflow.settings import read_settings
    from ..repository import shallow_history
    from ..repository.reader import Reader

    options = MirrorOptions(arguments.prune, arguments.all_commits, arguments.copy_models)
    with Reader(".") as reader:
        shallow = shallow_history(reader.root)
        settings = read_settings(reader.root, arguments.tracking_uri, arguments.experiment)
        _announce_script(reader.root)
        result = mirror(reader, settings, options)
        reason = "" if result.new or result.present or result.failures else _why_nothing(reader)
    notes = []
    if shallow:
        also = ", and nothing is pruned" if options.prune else ""
        notes.append(f"left out: commits that are not here{also}; {shallow}")
    notes += result.failure_lines
    if reason:
        notes.append(reason)
    text = json_text(asdict(result)) if arguments.json else result.summary
    return _Outcome(1 if result.failures else 0, text, tuple(notes))


def _why_nothing(reader: "Reader") -> str:
    """Return a sentence that explains why there is no run to mirror."""
    from ..errors import NotFoundError

    try:
        head = reader.snapshot("HEAD")
    except NotFoundError:
        return "there is no commit yet"
    if head.records:
        return "there is no experiment yet: `dvc exp run` makes one; --all-commits shows commits, too"
    if any(name.endswith(".dvc") and b"cmd:" in content for name, content in head.files.items()):
        return "results of DVC before 1.0, which kept each command in a .dvc file, are not read"
    return "HEAD has no results: no dvc.lock in it names a stage"
