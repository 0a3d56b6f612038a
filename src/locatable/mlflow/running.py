"""Shows experiments that run now, and `dvc repro`, as provisional runs.

A provisional run is identified by the running experiment, not by a commit, and has no coordinates. When DVC
commits the result, it becomes the run of that commit. `RunningRuns` creates provisional runs and logs
what the stages have written so far; `resolve_provisional_runs` decides what becomes of a run when its
experiment ends.
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
from ..repository.reader import Reader, commit_id
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

# Milliseconds by which a commit may seem older than the experiment that made it, because Git's times have no
# milliseconds. DVC takes longer than this to begin the next experiment of the same name.
TOLERANCE = 2000
STARTED = "runs now and is not committed: nobody will find this run again unless DVC records a result of it"
ENDED = {
    State.FINISHED: "ended, and its results are not committed: nobody will find this run again",
    State.FAILED: "ended, and DVC left no result of it: nobody will find this run again",
    State.KILLED: "ended before DVC committed a result of it: nobody will find this run again",
}


@dataclass(frozen=True)
class Provisional:
    """The tag of a provisional run, which identifies the experiment that it shows.

    Attributes:
        checkout: identifies the checkout in which the experiment runs; no other can find out its state.
        id: the id of the experiment in that checkout.
        began: when the experiment began, in milliseconds since 1970.
        baseline: the commit from which the experiment started.
        name: the name of the experiment; empty for `dvc repro`.
    """

    checkout: str
    id: str
    began: int
    baseline: str
    name: str

    @property
    def text(self) -> str:
        """The text of the tag."""
        return f"{self.checkout} {self.id} {self.began} {self.baseline} {self.name}"

    @classmethod
    def parse(cls, text: str) -> "Provisional":
        """Read the text of a tag.

        Raises:
            ValueError: the text is not the tag of a provisional run.
        """
        checkout, experiment_id, began, baseline, name = text.split(" ", 4)
        return cls(checkout, experiment_id, int(began), baseline, name)

    @property
    def is_repro(self) -> bool:
        """True for `dvc repro`, whose result the user commits; False for an experiment, which DVC commits."""
        return self.id.startswith(REPRO)


def checkout_id(root: Path) -> str:
    """Return a digest that identifies a checkout among those of all machines."""
    return sha256(f"{socket.gethostname()} {root}".encode()).hexdigest()[:12]


@dataclass(frozen=True)
class ResolvedRuns:
    """The runs of a store after each provisional run was checked.

    Attributes:
        known: all runs by key. A provisional run whose result is committed has the key of the commit.
        endings: the final state, by the id of each provisional run that MLflow still shows as running.
        deleted: the ids of provisional runs to delete, because another run shows the result or it is gone.
    """

    known: KnownRuns
    endings: dict[str, State] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)


def resolve_provisional_runs(
    known: KnownRuns,
    wanted: "WantedRuns",
    reader: Reader,
    running: RunningExperiments,
    states: Mapping[str, State],
    prune: bool,
) -> ResolvedRuns:
    """Decide what becomes of the provisional runs of this checkout; those of other checkouts are left alone.

    Args:
        known: the runs that the store has.
        wanted: the runs that should exist.
        reader: the reader of the repository.
        running: the experiments that run in the repository.
        states: the states by id, read before `wanted`: the commit of a finished experiment is among the
            wanted.
        prune: also delete the runs of experiments that ended without a commit.
    """
    resolved = ResolvedRuns(dict(known))
    ours = _provisional_runs(known, checkout_id(reader.root))
    # An experiment that began after `states` was read counts as running, even if it has ended by now: its
    # commit may be missing in `wanted`, and the next mirror finds it.
    states = {experiment.id: State.RUNNING for experiment in running.find()} | dict(states)
    # The latest come first: if two have the same name, the later one made the commit.
    for key, provisional in sorted(ours.items(), key=lambda item: -item[1].began):
        run = known[key][0]
        state = states.get(provisional.id) or running.ending_of(provisional.id, provisional.began)
        commit = _find_commit(provisional, wanted, known, reader, state)
        is_replaced = any(_replaces(other, provisional) for other in ours.values())
        # DVC recorded a result, and there is no commit of it: the user has removed the experiment.
        is_removed = state is State.FINISHED and not provisional.is_repro
        has_ended = state is not State.RUNNING
        if commit and commit not in resolved.known:
            resolved.known[commit] = [replace(run, key=commit, provisional="")]
            del resolved.known[key]
        elif commit or (has_ended and (prune or is_replaced or is_removed)):
            resolved.deleted.append(run.run_id)
        elif has_ended and run.is_running:
            resolved.endings[run.run_id] = state
    return resolved


def _provisional_runs(known: KnownRuns, checkout: str) -> dict[str, Provisional]:
    """Return the provisional runs of a checkout by their keys."""
    found = {}
    for key, runs in known.items():
        with suppress(ValueError):  # the run shows a commit, or its tag was not written by a mirror
            provisional = Provisional.parse(runs[0].provisional)
            if provisional.checkout == checkout:
                found[key] = provisional
    return found


def _replaces(later: Provisional, earlier: Provisional) -> bool:
    """Return whether a run is a later attempt at the same experiment, or a later `dvc repro`."""
    if later.began <= earlier.began or later.is_repro != earlier.is_repro:
        return False
    return earlier.is_repro or (later.name, later.baseline) == (earlier.name, earlier.baseline)


def _find_commit(
    provisional: Provisional, wanted: "WantedRuns", known: KnownRuns, reader: Reader, state: State
) -> str | None:
    """Return the commit that holds the result of a provisional run; None if there is none.

    For `dvc repro`, this is a child of its baseline that has no run yet. The store checks whether that
    commit has the same params and points.
    """
    if not provisional.is_repro:
        for key, run in wanted.items():
            experiment = run.experiment
            if not experiment:
                continue
            is_same = (experiment.name, experiment.baseline) == (provisional.name, provisional.baseline)
            if is_same and 1000 * experiment.committed >= provisional.began - TOLERANCE:
                return key
    elif state in (State.FINISHED, State.KILLED):
        new = [key for key, run in wanted.items() if not run.is_study and key not in known]
        parent = f"\nparent {provisional.baseline}\n".encode()
        for key, commit in zip(new, reader.objects.read(new), strict=True):
            if commit and parent in commit.content:
                return key
    return None


class GrowingValues:
    """The params of a running experiment, and the values that it has written so far.

    Args:
        reader: the reader of the repository.
        experiment: the running experiment.

    Attributes:
        baseline: the commit from which the experiment started.
        params: values by key.

    Raises:
        LocatableError: the experiment's pipeline or params cannot be read at the moment.
    """

    def __init__(self, reader: Reader, experiment: Running) -> None:
        self._experiment = experiment
        start_rev = commit_id(reader, experiment.start) or experiment.baseline or "HEAD"
        start = reader.snapshot(start_rev)
        tree = WorkingTree.of(start, experiment.folder)
        self.baseline = experiment.baseline or start.rev
        self.params: dict[str, Any] = redacted(tree.params)
        self._tree = tree
        self._metric_files = tree.metric_files
        self._contents_before = read_outputs(start).contents
        # The contents that the experiment has written, and the time of the last change of each file.
        self._contents: dict[str, bytes] = {}
        self._written: dict[str, int] = {}

    def read_new(self) -> bool:
        """Read the files that changed since the last call; return whether there were any."""
        changed = False
        for file in self._tree.measured():
            with suppress(OSError):  # a stage removed the file in order to write it again
                changed = self._read(file) or changed
        return changed

    def _read(self, file: str) -> bool:
        """Read a file if it has changed; return True if the experiment has written new content."""
        path = self._experiment.folder / file
        written = path.stat().st_mtime_ns
        if written == self._written.get(file) or written < 1_000_000 * self._experiment.began:
            return False
        self._written[file] = written
        content = path.read_bytes()
        if file not in self._contents and content == self._contents_before.get(file):
            return False
        self._contents[file] = content
        return True

    def content(self) -> Content:
        """Return the params, metrics and series, with the keys that the run of a commit would give them."""
        experiment = self._experiment
        found = read_measurements(self._complete_contents(), self._metric_files, experiment.began)
        before = read_measurements(self._contents_before, self._metric_files, experiment.began)
        # The key of a value depends on all other names, so values of the starting commit that were not
        # written again yet take part in naming, with None in place of a value and no points.
        names: dict[str, dict[str, Any]] = {}
        for path, values in before.metrics.items():
            names[path] = dict.fromkeys(values)
        no_points: dict[str, list[Point]] = {path: [] for path in before.series}
        finals, series = name_values(Measurements(names | found.metrics, no_points | found.series, {}))
        metrics = {}
        for name, value in finals.items():
            # DVCLive writes the last point of a series into two files, one after the other, so that the final
            # value can differ from the series for a moment.
            ends_series = name.startswith("final/") and name.removeprefix("final/") in series
            if value is not None and not ends_series:
                metrics[name] = value
        # The time of a metric without steps is the time at which its file was written.
        times = [self._written[file] for file in self._contents if holder(self._metric_files, file)]
        return Content(
            key=experiment.id,
            name=experiment.name or f"dvc repro on {self.baseline[:7]}",
            start=max(times, default=0) // 1_000_000,
            end=0,
            params=self.params,
            metrics=metrics,
            series={name: points for name, points in series.items() if points},
        )

    def _complete_contents(self) -> dict[str, bytes]:
        """Return the written contents without a last line that may be incomplete."""
        complete = {}
        for path, content in self._contents.items():
            lines = content[: content.rfind(b"\n") + 1]
            # Half of a JSON object is not valid JSON, so it needs no line end to be recognized as complete.
            is_json = path.endswith(".json") and content.lstrip().startswith((b"{", b"["))
            complete[path] = content if is_json else lines
        return complete


@dataclass(frozen=True)
class RunningReport:
    """A running experiment, for people to read.

    Attributes:
        name: the name of the experiment.
        location: how the experiment is run, as in `Running`.
        folder: the DVC root in which the stages run; `HOST:FOLDER` on a different machine.
        since: when the experiment began, in milliseconds since 1970.
        baseline: the commit from which the experiment started.
        params: values by key.
        values: the last value of each metric and series by name.
    """

    name: str
    location: str
    folder: str
    since: int
    baseline: str
    params: dict[str, Any]
    values: dict[str, Any]


def report_running(reader: Reader, name: str) -> list[RunningReport]:
    """Return a report on each experiment of this name that runs now.

    Raises:
        LocatableError: the pipeline or the params of an experiment cannot be read at the moment.
    """
    reports = []
    for experiment in RunningExperiments(reader.root).find():
        if experiment.state is not State.RUNNING or not experiment.name or experiment.name != name:
            continue
        growing = GrowingValues(reader, experiment)
        growing.read_new()
        content = growing.content()
        values = {key: number(points[-1].value) for key, points in content.series.items()}
        reports.append(
            RunningReport(
                name=name,
                location=experiment.location,
                folder=experiment.elsewhere or str(experiment.folder),
                since=experiment.began,
                baseline=growing.baseline,
                params=growing.params,
                values=values | content.metrics,
            )
        )
    return reports


@dataclass
class _ShownRun:
    """A provisional run that grows with its experiment.

    Attributes:
        run_id: MLflow's id of the run.
        experiment: the experiment that the run shows.
        values: reads what the experiment writes.
        logged: the points that were logged.
        metrics: the values of metrics without steps that were logged last, by key.
        has_params: true if the params were logged.
    """

    run_id: str
    experiment: Running
    values: GrowingValues
    logged: set[MetricPoint] = field(default_factory=set)
    metrics: dict[str, Any] = field(default_factory=dict)
    has_params: bool = False


class RunningRuns:
    """Shows the running experiments of a checkout as provisional runs; calls MLflow only for new values.

    Args:
        root: the DVC root; also an attribute.
        settings: where the runs are; also an attribute.
    """

    def __init__(self, root: Path, settings: TrackingSettings) -> None:
        self.root = root
        self.settings = settings
        self._running = RunningExperiments(root)
        self._shown: dict[str, _ShownRun] = {}
        # The commit time of each experiment by its baseline and name, read when the refs had this stamp.
        self._refs_stamp: dict[Path, int] = {}
        self._committed: dict[tuple[str, str], int] = {}
        self._writer: RunWriter | None = None

    def ids(self) -> frozenset[str]:
        """Return the ids of the running experiments."""
        return frozenset(self._running_by_id())

    def show(self) -> None:
        """Create a run for each new running experiment, and log what all of them wrote since the last call.

        Raises:
            MlflowException, sqlalchemy.exc.SQLAlchemyError or OSError: the store failed.
        """
        running = self._uncommitted()
        for experiment_id, experiment in running.items():
            if experiment_id not in self._shown:
                self._begin(experiment)
        folders_in_use = {experiment.folder for experiment in running.values()}
        for experiment_id, shown in list(self._shown.items()):
            if experiment_id not in running:
                del self._shown[experiment_id]
                # Log the last points of an experiment that has ended, unless its commit has them or the
                # folder holds those of another experiment by now.
                if shown.experiment.folder in folders_in_use or self._is_committed(shown.experiment):
                    continue
            with suppress(RefusedError):
                self._log(shown)

    def _running_by_id(self) -> dict[str, Running]:
        found = self._running.find()
        return {experiment.id: experiment for experiment in found if experiment.state is State.RUNNING}

    def _uncommitted(self) -> dict[str, Running]:
        """Return the running experiments by id, without those whose result DVC has committed already."""
        running = self._running_by_id()
        if not running and not self._shown:
            return {}
        stamp = refs_stamp(self.root)
        if stamp != self._refs_stamp:
            self._refs_stamp = stamp
            with Reader(self.root) as reader:
                listed = reader.experiments()
            self._committed = {(each.baseline, each.name): 1000 * each.committed for each in listed}
        return {key: experiment for key, experiment in running.items() if not self._is_committed(experiment)}

    def _is_committed(self, experiment: Running) -> bool:
        committed = self._committed.get((experiment.baseline, experiment.name), 0)
        return committed >= experiment.began - TOLERANCE

    def _begin(self, experiment: Running) -> None:
        """Find the provisional run of an experiment, or create it."""
        try:
            with Reader(self.root) as reader:
                values = GrowingValues(reader, experiment)
        except (LocatableError, OSError):
            # A file is half written, the experiment has just ended, or there is no commit yet. The next call
            # tries again.
            return
        provisional = Provisional(
            checkout=checkout_id(self.root),
            id=experiment.id,
            began=experiment.began,
            baseline=values.baseline,
            name=experiment.name,
        )
        key = provisional_key(provisional.text)
        writer = self._connect()
        known = self._known()
        if key not in known:
            content = values.content()
            content.start = experiment.began
            content.tags = {tag.RUNNING: provisional.text, tag.PROVISIONAL: STARTED}
            content.tags[tag.NOTE] = _note(experiment)
            parents = known.get(values.baseline)
            if experiment.location == SEARCH:
                parents = known.get(STUDY + experiment.name.rpartition("-")[0], parents)
            run_id = writer.create_provisional(content, parents[0].run_id if parents else None)
            # Another watcher may have created a run at the same time. Both watchers keep the same one of
            # them.
            known = self._known()
            if key in known and known[key][0].run_id != run_id:
                writer.delete(run_id)
            known.setdefault(key, [KnownRun(run_id, key)])
        self._shown[experiment.id] = _ShownRun(known[key][0].run_id, experiment, values)

    def _log(self, shown: _ShownRun) -> None:
        """Log new values. If another watcher logs the same points, MLflow keeps one of each.

        Raises:
            RefusedError: MLflow does not accept the values.
        """
        if not shown.values.read_new() and shown.has_params:
            return
        content = shown.values.content()
        metrics = content.metrics
        content.metrics = {key: value for key, value in metrics.items() if shown.metrics.get(key) != value}
        if shown.has_params:
            content.params = {}
        try:
            self._connect().log_new_values(shown.run_id, content, shown.logged)
        except RunDeletedError:
            # Another watcher deleted this run and keeps its own, which the next call finds.
            self._shown.pop(shown.experiment.id, None)
        shown.metrics = metrics
        shown.has_params = True

    def _connect(self) -> "RunWriter":
        if self._writer is None:
            # Imported here because importing MLflow takes two seconds, and usually nothing runs.
            from .store import RunWriter, connect

            self._writer = RunWriter(*connect(self.settings))
        return self._writer

    def _known(self) -> KnownRuns:
        return runs_in_file(self.settings) or self._connect().list_runs()


def _note(experiment: Running) -> str:
    """Return the description that MLflow shows on the page of a provisional run."""
    kinds = {REPRO: "`dvc repro` in the workspace", SEARCH: "a worker of a search"}
    kind = kinds.get(experiment.location, f"`dvc exp run` ({experiment.location})")
    place = experiment.elsewhere or f"{socket.gethostname()}:{experiment.folder}"
    host, _, folder = place.partition(":")
    return f"{kind} on {host}, in `{folder}`; the tag {tag.PROVISIONAL} says how it stands"
