"""Workers, as the pool and a backend see them, and the messages to and from them: one a line, as JSON.

    pool to worker    CloneSetup, once; then Job after Job; Stop prunes the trial that runs
    worker to pool    Ready or Unusable, once; for each job Progress, then Complete, Pruned or Failed
                      from another machine also Began and Written, which its backend shows on this one

A worker stops at once at the end of its input. Messages are plain values, so that a worker can run anywhere.
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
        experiment: the name that the trial gets.
        params: value by key, as after `-S`.
        metrics: the objectives, each as file:dotted.key.
        series: file whose growth is reported step by step; None for none.
        same_params_rev: revision of an experiment with these params, which need not run twice.
        memory: what Optuna knew of the trial, for its commit.
    """

    experiment: str
    params: dict[str, Any]
    metrics: list[str]
    series: str | None = None
    same_params_rev: str | None = None
    memory: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Stop:
    """Prune the trial that runs."""


@dataclass(frozen=True)
class Ready:
    """The worker has its clone, and takes jobs."""


@dataclass(frozen=True)
class Unusable:
    """The worker cannot be set up, and ends."""

    error: str


@dataclass(frozen=True)
class Progress:
    """A new point of the series."""

    step: int
    value: float


@dataclass(frozen=True)
class Began:
    """A trial runs on another machine.

    Attributes:
        record: what its worker says of it.
        files: text by path of its pipeline's files and params files, as seen from the DVC root.
    """

    record: dict[str, Any]
    files: dict[str, str]


@dataclass(frozen=True)
class Written:
    """A trial on another machine has written a metrics file or a series.

    Attributes:
        path: of the file, as seen from the DVC root.
        start: bytes of it that were sent before, and are as they were.
        text: what follows these.
        time: when it was written, in nanoseconds since 1970.
    """

    path: str
    start: int
    text: str
    time: int


@dataclass(frozen=True)
class Complete:
    """The trial is an experiment in the user's repository.

    Attributes:
        rev: its commit.
        values: one for each metric.
        processor: that it was computed on; None where it was taken from elsewhere.
    """

    rev: str
    values: list[float]
    processor: Processor | None = None


@dataclass(frozen=True)
class Pruned:
    """The trial was stopped, as it was asked to be."""


@dataclass(frozen=True)
class Failed:
    """The trial failed.

    Attributes:
        error: what was wrong.
        log: the last lines of its output.
        remark: what a person should know beside that; empty for nothing.
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
    """Return the message that `to_json` made a line of.

    Raises:
        ValueError: it is none.
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
    """A worker, wherever it runs."""

    def send(self, message: PoolMessage) -> None:
        """Send it a message; where it has died, that is received as its end."""

    def clean_up(self) -> None:
        """Remove what it left, after its end."""


# Called, in any thread, with each message of a worker, and with None at its end.
Receive = Callable[[Worker, WorkerMessage | None], None]


class Backend(Protocol):
    """Starts workers."""

    @property
    def clones(self) -> str:
        """The place of the workers' clones, in words."""

    def capacity(self) -> int:
        """Return how many workers can run at a time.

        Raises:
            ProjectError: none can any more.
        """

    def start_worker(self, receive: Receive) -> Worker:
        """Start a worker, which is sent its setup."""

    def shut_down(self) -> None:
        """Stop all workers, at once, and return when they have ended."""


def points(path: str, text: str) -> Iterator[Progress]:
    """Yield the points of a series, as DVCLive writes it: one line a step, the value in the last column.

    A line that is not written to its end yet is left out.

    Args:
        path: tells the separator: a tab in .tsv, a comma elsewhere.
        text: with a header; lines are counted as steps where no column is called `step`.

    Raises:
        ValueError: a value is no number, or a step no whole number from zero on.
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
