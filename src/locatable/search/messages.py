"""The interfaces of workers and backends, and the messages to and from workers: one JSON object per line.

    pool to worker    one CloneSetup, then one Job after another; a Stop prunes the running trial
    worker to pool    one Ready or Unusable; then for each job some Progress, and Complete, Pruned or Failed.
                      A worker on another machine also sends Began and Written, which its backend uses to
                      show the running trial on this machine

A worker stops immediately when its input ends. Messages are plain values, so a worker can run on any machine.
"""

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, get_args

from ..clones.trial_clone import CloneSetup
from ..results.processor import Processor


@dataclass(frozen=True)
class Job:
    """A trial to run.

    Attributes:
        experiment: the name of the experiment that the trial becomes.
        params: value by key, as in `dvc exp run -S`.
        metrics: the objectives, each as file:dotted.key.
        series: the file whose new rows are reported as steps while the trial runs; None to report nothing.
        same_params_rev: the revision of an earlier experiment with the same params, whose results are copied
            if possible; None if there is no such experiment.
        memory: Optuna's state when the trial began, which is stored in the commit message.
    """

    experiment: str
    params: dict[str, Any]
    metrics: list[str]
    series: str | None = None
    same_params_rev: str | None = None
    memory: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Stop:
    """Prune the running trial."""


@dataclass(frozen=True)
class Ready:
    """The worker has made its clone, and accepts jobs."""


@dataclass(frozen=True)
class Unusable:
    """The worker cannot be set up. It ends after this message."""

    error: str


@dataclass(frozen=True)
class Progress:
    """A new point of the series."""

    step: int
    value: float


@dataclass(frozen=True)
class Began:
    """A trial has begun on another machine.

    Attributes:
        record: the worker's record of the running trial.
        files: the content of the pipeline's files and params files, by path relative to the DVC root.
    """

    record: dict[str, Any]
    files: dict[str, str]


@dataclass(frozen=True)
class Written:
    """A trial on another machine has written a metrics file or a series.

    Attributes:
        path: the path of the file, relative to the DVC root.
        start: the number of bytes at the beginning that were sent before and have not changed.
        text: the content after these bytes.
        time: when the file was written, in nanoseconds since 1970.
    """

    path: str
    start: int
    text: str
    time: int


@dataclass(frozen=True)
class Complete:
    """The trial is an experiment in the user's repository.

    Attributes:
        rev: the commit of the experiment.
        values: the value of each metric, in the order of the job's metrics.
        processor: the processor on which the trial ran; None if its results were copied from an experiment.
    """

    rev: str
    values: list[float]
    processor: Processor | None = None


@dataclass(frozen=True)
class Pruned:
    """The trial was stopped because the worker had received a Stop."""


@dataclass(frozen=True)
class Failed:
    """The trial failed.

    Attributes:
        error: why it failed.
        log: the last lines of its output.
        remark: a possible cause that the user should know about, such as files missing in the clone; empty
            if there is none.
    """

    error: str
    log: str
    remark: str = ""


TrialResult = Complete | Pruned | Failed
WorkerMessage = Ready | Unusable | Progress | Began | Written | TrialResult
PoolMessage = CloneSetup | Job | Stop
Message = PoolMessage | WorkerMessage
TYPES: dict[str, type[Message]] = {kind.__name__: kind for kind in get_args(Message)}


def to_json(message: Message) -> str:
    """Return a message as one line, without the line break."""
    return json.dumps({"type": type(message).__name__, **asdict(message)})


def from_json(line: str) -> Message:
    """Return the message that a line of `to_json` stands for.

    Raises:
        ValueError: the line is not a message.
    """
    fields = json.loads(line)
    try:
        kind = TYPES[fields.pop("type")]
        if kind is Complete and fields["processor"]:
            fields["processor"] = Processor.from_json(fields["processor"])
        return kind(**fields)
    except (AttributeError, LookupError, TypeError):
        raise ValueError(f"no message of a search: {line}") from None


class Worker(Protocol):
    """The pool's side of a worker process, on this machine or on a node."""

    def send(self, message: PoolMessage) -> None:
        """Send the worker a message. If it has died, do nothing: its end is received anyway."""

    def clean_up(self) -> None:
        """Remove the clone and other processes of the worker after it has ended."""


# A callback for each message of a worker, and for None at its end. It is called in a thread of the backend.
Receive = Callable[[Worker, WorkerMessage | None], None]


class Backend(Protocol):
    """Starts workers on this machine or on a cluster."""

    @property
    def clones(self) -> str:
        """The place of the workers' clones, in words for the user."""

    def capacity(self) -> int:
        """Return how many workers can run at a time.

        Raises:
            ProjectError: workers cannot be started any more.
        """

    def start_worker(self, receive: Receive) -> Worker:
        """Start a worker, and send it its setup."""

    def shut_down(self) -> None:
        """Stop all workers immediately, and return when they have ended."""


def points(path: str, text: str) -> Iterator[Progress]:
    """Yield the points of a series in the format of DVCLive: one line per step, the value in the last column.

    The last line is left out if it does not end with a line break, because it is still being written.

    Args:
        path: the path of the series. Its columns are separated by tabs if the file is a .tsv, else by commas.
        text: the content of the series, with a header. If no column is called `step`, lines count as steps.

    Raises:
        ValueError: a value is not a number, or a step is not a whole number of at least zero.
    """
    complete_lines = text[: text.rfind("\n") + 1].splitlines()
    separator = "\t" if path.endswith(".tsv") else ","
    rows = csv.DictReader(complete_lines, delimiter=separator)
    for position, row in enumerate(rows):
        step = int(row.get("step") or position)
        if step < 0:
            raise ValueError(f"step {step} is negative")
        *_, value = row.values()
        yield Progress(step, float(value))
