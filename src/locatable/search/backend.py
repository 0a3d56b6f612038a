"""Where workers run: what the pool asks of a backend, and of each of its workers."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from .messages import PoolMessage, WorkerMessage
from .study import RunningTrial


@dataclass(eq=False)
class Worker(ABC):
    """A worker, as the pool sees it.

    Attributes:
        is_ready: whether it takes jobs.
        running: the trial that it runs, if any.
        is_stopping: whether it was told to stop that trial.
    """

    is_ready: bool = False
    running: RunningTrial | None = None
    is_stopping: bool = False

    @abstractmethod
    def send(self, message: PoolMessage) -> None:
        """Send it a message; where it has died, that is received as its end."""

    @abstractmethod
    def clean_up(self) -> None:
        """Remove what it left, after its end."""


# Called, in any thread, with each message of a worker, and with None at its end.
Receive = Callable[[Worker, WorkerMessage | None], None]


class Backend(Protocol):
    """Starts workers."""

    @property
    def clones(self) -> str:
        """Where the workers have their clones, in words."""

    def capacity(self) -> int:
        """How many workers can run at a time.

        Raises:
            ProjectError: none can any more.
        """

    def start_worker(self, receive: Receive) -> Worker:
        """Start a worker, which is sent its setup."""

    def shut_down(self) -> None:
        """Stop all workers, at once, and return when they have ended."""
