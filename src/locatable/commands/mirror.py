"""Show all DVC experiments in MLflow: one run each, with everything that its page can show.

Git stays the truth: a run's identity is its commit, so mirroring again adds only what is
new, repairs what a killed mirror began, and makes a deleted store again.

What DVC runs now is shown, too, by a provisional run: `dvc exp run`, the queue, `dvc repro` and trials of a
search in this checkout. When DVC commits the result, that run becomes the commit's.

Where a project has scripts/mirror.py, its function `describe` may change what runs show. A
change of that file reaches all runs with the next mirror.
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

# Seconds between two looks at what runs, and after which what Git does not tell is looked for: fetched files.
TICK = 1.0
LONGEST_PAUSE = 300.0
# How often the time between two looks is doubled at most, where one after the other fails.
MOST_DOUBLINGS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `locatable mirror`."""
    parser.add_argument("--tracking-uri", metavar="URI", help="server or database")
    parser.add_argument("--experiment", metavar="NAME", help="MLflow experiment; default: the project's name")
    parser.add_argument(
        "--watch",
        metavar="SECONDS",
        type=float,
        nargs="?",
        const=1.0,
        help="go on: what runs is shown as it grows, what is new after this pause (default: 1)",
    )
    parser.add_argument("--prune", action="store_true", help="delete runs whose experiment is gone")
    parser.add_argument("--all-commits", action="store_true", help="also all commits that have a dvc.lock")
    parser.add_argument("--copy-models", action="store_true", help="model files too, not only where they are")
    add_json_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Mirror once, or again and again; the exit code says whether all went well."""
    pause = arguments.watch
    if pause is not None and not 0 < pause < math.inf:
        raise UsageError("--watch: give it a number of seconds above 0")
    try:
        if pause is not None:
            _watch(arguments, pause)
        said = _mirror(arguments)
        said.print()
        _show_running(_running_runs(arguments))
        return said.exit_code
    except KeyboardInterrupt:
        raise LocatableError("stopped; the next call goes on from here", exit_code=INTERRUPTED) from None


def _watch(arguments: argparse.Namespace, pause: float) -> NoReturn:
    """Show what runs every second, and mirror where something else has changed."""
    # It takes two seconds, for which the first point is not to wait.
    importlib.import_module("locatable.mlflow.store")
    runs = _running_runs(arguments)
    files: object = None
    seen: object = None
    running: object = None
    mirrored = -math.inf
    said: _Said | None = None
    failure: _Said | None = None
    failures = 0
    while True:
        try:
            # Taken before the mirror: what changes meanwhile is for the next one.
            stamp = _stamp(runs)
            if stamp.files != files:
                files = stamp.files
                runs = _running_runs(arguments)  # another store knows none of those that were shown
            ids = runs.ids()
            if running and ids != running:
                _show_running(runs)  # the last points of what has ended
            since = time.monotonic() - mirrored
            is_new = stamp != seen and since >= pause
            if is_new or ids != running or since >= LONGEST_PAUSE:
                mirrored = time.monotonic()
                seen, running = stamp, ids
                said = _mirror(arguments).print_unless(said)
            if ids:
                _show_running(runs)
            failure, failures = None, 0
        except (GitError, StoreError) as error:  # it may be well the next time: DVC is at work
            reason = "; ".join(filter(None, (str(error), error.hint)))
            failure = _Said(1, "", (reason,)).print_unless(failure)
            seen = None
            runs = _running_runs(arguments)
            failures = min(failures + 1, MOST_DOUBLINGS)
        time.sleep(min(pause, TICK) * 2**failures)


@dataclass(frozen=True)
class _Said:
    """What a mirror has to say: its exit code, a line for the output, and lines beside it."""

    exit_code: int
    text: str
    notes: tuple[str, ...]

    def print_unless(self, said: "_Said | None") -> "_Said":
        """Print it, unless it was said last."""
        if self != said:
            self.print()
        return self

    def print(self) -> None:
        if self.text:
            print(self.text, flush=True)
        for note in self.notes:
            print(note, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class _Stamp:
    """What changes where a mirror may have something to do: refs, the project's script, the store."""

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

    store = sqlite_file(runs.settings.uri)
    places = [runs.root / SCRIPT, *([store] if store else [])]
    files = []
    for place in places:
        with suppress(OSError):
            files.append(place.stat().st_ino)
    return _Stamp(refs_stamp(runs.root), tuple(files))


def _announce_script(root: Path) -> None:
    """Say once for each text of a project's script that it is run: the repository can be a stranger's."""
    from ..mlflow.describe import SCRIPT, find_script
    from ..mlflow.settings import agree, has_agreed

    script = find_script(root)
    agreed = f"script {root} {script.digest}" if script else ""
    if script and not has_agreed(agreed):
        agree(agreed)
        once = "; this is said once" if has_agreed(agreed) else ""
        print(f"runs `describe` of this repository's {SCRIPT}{once}", file=sys.stderr)


def _mirror(arguments: argparse.Namespace) -> _Said:
    """Mirror once, and return what came of it."""
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
    return _Said(1 if result.failures else 0, text, tuple(notes))


def _why_nothing(reader: "Reader") -> str:
    """Return why there is no run; empty where that is plain from what was asked for."""
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
