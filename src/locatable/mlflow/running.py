"""Runs of what DVC runs now: provisional, until DVC commits the result, and then the commit's own.

A provisional run is known by what runs, not by a commit, and claims no coordinates. `settle` says what
becomes of it when that ends; `RunningRuns` shows what runs, as far as it is written.
"""

import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import LocatableError
from ..git import refs_stamp
from ..model import holder
from ..repository.reader import Reader
from ..repository.running import REPRO, SEARCH, Running, RunningExperiments, State, WorkingTree
from ..results.values import Measurements, Point, number, read_measurements, read_outputs
from . import content as tag
from .content import Content
from .known import STUDY, KnownRun, KnownRuns, RefusedError, RunDeletedError, provisional_key, runs_in_file
from .limits import MetricPoint
from .revision import name_values, redacted
from .settings import TrackingSettings

if TYPE_CHECKING:
    from .plan import WantedRuns
    from .store import RunWriter

# Milliseconds by which a commit can seem to be older than what made it: Git counts seconds. DVC takes longer
# to begin the next experiment of that name.
TOLERANCE = 2000
STARTED = "runs now and is not committed: nobody will find this run again unless DVC records a result of it"
ENDED = {
    State.FINISHED: "ended, and its results are not committed: nobody will find this run again",
    State.FAILED: "ended, and DVC left no result of it: nobody will find this run again",
    State.KILLED: "ended before DVC committed a result of it: nobody will find this run again",
}


@dataclass(frozen=True)
class Provisional:
    """What a run in MLflow says of what it shows, while there is no commit.

    Attributes:
        place: the checkout that it runs in: no other can tell how it stands.
        id: of what runs there.
        began: when, in milliseconds since 1970.
        baseline: the commit that it started from.
        name: of the experiment; empty for `dvc repro`.
    """

    place: str
    id: str
    began: int
    baseline: str
    name: str

    @property
    def text(self) -> str:
        """All of it, as a tag holds it."""
        return f"{self.place} {self.id} {self.began} {self.baseline} {self.name}"

    @classmethod
    def parse(cls, text: str) -> "Provisional":
        """Return what a tag holds."""
        place, own, began, baseline, name = text.split(" ", 4)
        return cls(place, own, int(began), baseline, name)

    @property
    def is_repro(self) -> bool:
        """Whether it is a `dvc repro`, whose result the user commits."""
        return self.id.startswith(REPRO)


def place_of(root: Path) -> str:
    """Return what tells a checkout on a machine from all others."""
    return sha256(f"{socket.gethostname()} {root}".encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Settled:
    """What becomes of provisional runs.

    Attributes:
        known: all runs by key, those whose result is committed by the commit's.
        endings: how it ended by id of each run that shows it as running.
        deleted: ids of runs that nothing is left to say of.
    """

    known: KnownRuns
    endings: dict[str, State] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)


def settle(
    known: KnownRuns,
    wanted: "WantedRuns",
    reader: Reader,
    running: RunningExperiments,
    states: Mapping[str, State],
    prune: bool,
) -> Settled:
    """Say what becomes of the provisional runs of this checkout; those of others are theirs.

    Args:
        known: the runs that the store has.
        wanted: those that there should be.
        reader: of the repository.
        running: what runs in it.
        states: how each stood before it was known what is wanted: what ended since then may be committed.
        prune: delete those of what ended without a commit, too.
    """
    settled = Settled(dict(known))
    ours = _provisional_runs(known, place_of(reader.root))
    # What began since then runs, whatever its record says by now: the next mirror looks for its commit.
    states = {one.id: State.RUNNING for one in running.find()} | dict(states)
    # Of two of one name, the later one made the commit.
    for key, one in sorted(ours.items(), key=lambda item: -item[1].began):
        run = known[key][0]
        state = states.get(one.id) or running.ending_of(one.id, one.began)
        commit = _commit_of(one, wanted, known, reader, state)
        is_replaced = any(_replaces(other, one) for other in ours.values())
        # Of an experiment that was recorded and is gone, the user removed it.
        is_removed = state is State.FINISHED and not one.is_repro
        if commit and commit not in settled.known:
            settled.known[commit] = [replace(run, key=commit, provisional="")]
            del settled.known[key]
        elif commit or (state is not State.RUNNING and (prune or is_replaced or is_removed)):
            settled.deleted.append(run.run_id)
        elif state is not State.RUNNING and run.is_running:
            settled.endings[run.run_id] = state
    return settled


def _provisional_runs(known: KnownRuns, place: str) -> dict[str, Provisional]:
    """Return what the provisional runs of a checkout say, by their keys."""
    found = {}
    for key, runs in known.items():
        with suppress(ValueError):  # it has a commit, or somebody else wrote its tag
            one = Provisional.parse(runs[0].provisional)
            if one.place == place:
                found[key] = one
    return found


def _replaces(other: Provisional, one: Provisional) -> bool:
    """Return whether a later run is of what an earlier one was of."""
    is_same = (other.name, other.is_repro) == (one.name, one.is_repro)
    return is_same and (one.is_repro or other.baseline == one.baseline) and other.began > one.began


def _commit_of(
    one: Provisional, wanted: "WantedRuns", known: KnownRuns, reader: Reader, state: State
) -> str | None:
    """Return the commit that holds the result; None where there is none.

    Of `dvc repro` it is one that follows its baseline and is not shown yet; whether that has the same params
    and points, the store sees.
    """
    for key, run in wanted.items():
        experiment = run.experiment
        if experiment and not one.is_repro:
            is_its_name = (experiment.name, experiment.baseline) == (one.name, one.baseline)
            if is_its_name and 1000 * experiment.committed >= one.began - TOLERANCE:
                return key
        elif (
            one.is_repro and state in (State.FINISHED, State.KILLED) and not run.is_study and key not in known
        ):
            commit = reader.objects.read([key])[0]
            if commit and f"\nparent {one.baseline}\n".encode() in commit[1]:
                return key
    return None


class GrowingValues:
    """The params of what runs, and the values that it has written so far.

    Args:
        reader: of the repository.
        one: what runs.

    Attributes:
        params: value by key.

    Raises:
        LocatableError: its pipeline or its params cannot be read now.
    """

    def __init__(self, reader: Reader, one: Running) -> None:
        self._running = one
        start = reader.snapshot(one.start if reader.objects.read([one.start])[0] else one.baseline or "HEAD")
        tree = WorkingTree.of(start, one.folder)
        self.baseline = one.baseline or start.rev
        self.params: dict[str, Any] = redacted(tree.params)
        self._tree = tree
        self._metric_files = tree.metric_files
        self._before = read_outputs(start).contents
        # What it has written, and when.
        self._contents: dict[str, bytes] = {}
        self._written: dict[str, int] = {}

    def look(self) -> bool:
        """Read what was written since the last look; return whether there was anything."""
        changed = False
        for file in self._tree.measured():
            with suppress(OSError):  # it was removed, to be written again
                changed = self._read(file) or changed
        return changed

    def _read(self, file: str) -> bool:
        """Read a file that has changed; what it started with is not its own."""
        place = self._running.folder / file
        written = place.stat().st_mtime_ns
        if written == self._written.get(file) or written < 1_000_000 * self._running.began:
            return False
        self._written[file] = written
        content = place.read_bytes()
        if file not in self._contents and content == self._before.get(file):
            return False
        self._contents[file] = content
        return True

    def content(self) -> Content:
        """Return the params, metrics and series, with the names that the run of a commit would give them."""
        one = self._running
        found = read_measurements(self._whole(), self._metric_files, one.began)
        before = read_measurements(self._before, self._metric_files, one.began)
        # They count for the names alone.
        own: dict[str, dict[str, Any]] = {
            path: dict.fromkeys(values) for path, values in before.metrics.items()
        }
        steps: dict[str, list[Point]] = {path: [] for path in before.series}
        everything = Measurements(own | found.metrics, steps | found.series, {})
        finals, series = name_values(everything)
        metrics = {}
        for name, value in finals.items():
            # DVCLive writes the end of a series into two files, one after the other.
            is_of_series = name.startswith("final/") and name.removeprefix("final/") in series
            if value is not None and not is_of_series:
                metrics[name] = value
        # A metric without steps has the time at which it was written.
        times = [self._written[file] for file in self._contents if holder(self._metric_files, file)]
        return Content(
            key=one.id,
            name=one.name or f"dvc repro on {self.baseline[:7]}",
            start=max(times, default=0) // 1_000_000,
            end=0,
            params=self.params,
            metrics=metrics,
            series={name: points for name, points in series.items() if points},
        )

    def _whole(self) -> dict[str, bytes]:
        """Return what it wrote without lines, or values, that may be cut."""
        whole = {}
        for path, content in self._contents.items():
            lines = content[: content.rfind(b"\n") + 1]
            is_json = path.endswith(".json") and content.lstrip().startswith((b"{", b"["))
            whole[path] = content if is_json else lines
        return whole


@dataclass(frozen=True)
class RunningReport:
    """What is known of an experiment while it runs.

    Attributes:
        name: of the experiment.
        location: how it is run, as `Running` has it.
        folder: the DVC root that its stages run in; `HOST:FOLDER` on another machine.
        since: when it began, in milliseconds since 1970.
        baseline: the commit that it started from.
        params: value by key.
        values: the last value by name of each metric and series.
    """

    name: str
    location: str
    folder: str
    since: int
    baseline: str
    params: dict[str, Any]
    values: dict[str, Any]


def report_running(reader: Reader, name: str) -> list[RunningReport]:
    """Return what is known of the experiments of that name that run now.

    Raises:
        LocatableError: what one works with cannot be read now.
    """
    reports = []
    for one in RunningExperiments(reader.root).find():
        if one.state is not State.RUNNING or not one.name or one.name != name:
            continue
        growing = GrowingValues(reader, one)
        growing.look()
        content = growing.content()
        values = {key: number(points[-1].value) for key, points in content.series.items()}
        reports.append(
            RunningReport(
                name=name,
                location=one.location,
                folder=one.elsewhere or str(one.folder),
                since=one.began,
                baseline=growing.baseline,
                params=growing.params,
                values=values | content.metrics,
            )
        )
    return reports


@dataclass
class _Shown:
    """A run that is shown while it grows.

    Attributes:
        run_id: MLflow's.
        running: what it shows.
        values: of what runs.
        logged: the points that MLflow has.
        last: the last value by key of each metric without steps.
        has_params: whether MLflow has its params.
    """

    run_id: str
    running: Running
    values: GrowingValues
    logged: set[MetricPoint] = field(default_factory=set)
    last: dict[str, Any] = field(default_factory=dict)
    has_params: bool = False


class RunningRuns:
    """Shows what runs in a checkout as provisional runs; MLflow is asked only where there is something new.

    Args:
        root: the DVC root.
        settings: where the runs are.

    Both are attributes, too.
    """

    def __init__(self, root: Path, settings: TrackingSettings) -> None:
        self.root = root
        self.settings = settings
        self._running = RunningExperiments(root)
        self._shown: dict[str, _Shown] = {}
        # The time of each experiment by its baseline and name, as of these refs.
        self._stamp: dict[Path, int] = {}
        self._committed: dict[tuple[str, str], int] = {}
        self._writer: RunWriter | None = None

    def ids(self) -> frozenset[str]:
        """Return the ids of what runs."""
        return frozenset(self._running_by_id())

    def show(self) -> None:
        """Begin a run for each experiment that runs, and log what all of them wrote since the last time.

        Raises:
            MlflowException, sqlalchemy.exc.SQLAlchemyError or OSError: the store failed.
        """
        present = self._uncommitted()
        for own, one in present.items():
            if own not in self._shown:
                self._begin(one)
        busy = {one.folder for one in present.values()}
        for own, shown in list(self._shown.items()):
            has_ended = own not in present
            if has_ended:
                del self._shown[own]
            # After its end there can be last points, unless something else writes them by now.
            if not has_ended or not (shown.running.folder in busy or self._is_committed(shown.running)):
                with suppress(RefusedError):
                    self._log(shown)

    def _running_by_id(self) -> dict[str, Running]:
        return {one.id: one for one in self._running.find() if one.state is State.RUNNING}

    def _uncommitted(self) -> dict[str, Running]:
        """Return what runs by its id, without what DVC has committed and not put away yet."""
        running = self._running_by_id()
        if not running and not self._shown:
            return {}
        stamp = refs_stamp(self.root)
        if stamp != self._stamp:
            self._stamp = stamp
            with Reader(self.root) as reader:
                listed = reader.experiments()
            self._committed = {(each.baseline, each.name): 1000 * each.committed for each in listed}
        return {own: one for own, one in running.items() if not self._is_committed(one)}

    def _is_committed(self, one: Running) -> bool:
        return self._committed.get((one.baseline, one.name), 0) >= one.began - TOLERANCE

    def _begin(self, one: Running) -> None:
        """Find the run of something that runs, or create it."""
        try:
            with Reader(self.root) as reader:
                values = GrowingValues(reader, one)
        except (LocatableError, OSError):
            return  # half written, or it has just ended, or there is no commit yet: the next look may tell
        own = Provisional(place_of(self.root), one.id, one.began, values.baseline, one.name)
        key = provisional_key(own.text)
        writer = self._connect()
        known = self._known()
        if key not in known:
            content = values.content()
            content.start = one.began
            content.tags = {tag.RUNNING: own.text, tag.PROVISIONAL: STARTED, tag.NOTE: _note(one)}
            study = known.get(STUDY + one.name.rpartition("-")[0]) if one.location == SEARCH else None
            parents = study or known.get(values.baseline)
            made = writer.begin(content, parents[0].run_id if parents else None)
            # Another watcher may have created one meanwhile: of both, the same one stays.
            known = self._known()
            if key in known and known[key][0].run_id != made:
                writer.delete(made)
            known.setdefault(key, [KnownRun(made, key)])
        self._shown[one.id] = _Shown(known[key][0].run_id, one, values)

    def _log(self, shown: _Shown) -> None:
        """Log what is new; MLflow keeps one of the points that another watcher has logged, too.

        Raises:
            RefusedError: MLflow does not take it.
        """
        if not shown.values.look() and shown.has_params:
            return
        content = shown.values.content()
        last = content.metrics
        content.metrics = {key: value for key, value in last.items() if shown.last.get(key) != value}
        if shown.has_params:
            content.params = {}
        try:
            self._connect().grow(shown.run_id, content, shown.logged)
        except RunDeletedError:
            self._shown.pop(shown.running.id, None)  # another watcher's run stays; it is found next time
        shown.last, shown.has_params = last, True

    def _connect(self) -> "RunWriter":
        if self._writer is None:
            # Imported here: MLflow takes two seconds, and mostly nothing runs.
            from .store import RunWriter, connect

            self._writer = RunWriter(*connect(self.settings))
        return self._writer

    def _known(self) -> KnownRuns:
        return runs_in_file(self.settings) or self._connect().list_runs()


def _note(one: Running) -> str:
    """Return what the page of a provisional run says."""
    where = {REPRO: "`dvc repro` in the workspace", SEARCH: "a worker of a search"}
    place = where.get(one.location, f"`dvc exp run` ({one.location})")
    host, _, folder = (one.elsewhere or f"{socket.gethostname()}:{one.folder}").partition(":")
    return f"{place} on {host}, in `{folder}`; the tag {tag.PROVISIONAL} says how it stands"
