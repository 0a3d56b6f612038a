"""Bounds for what somebody else wrote: no file, text or document takes all memory, or time without end."""

import os
import re
import resource
import signal
import stat
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import yaml

from ..errors import UnreadableError

# Bytes of a params, metrics or pipeline file; those of large projects have one million.
MOST_TEXT = 50_000_000
# Values of such a file, each counted wherever an alias repeats it, and how deep they are nested.
MOST_VALUES = 2_000_000
MOST_DEPTH = 200
# How a line begins that is within so many others.
_DEEP_LINE = re.compile(rf"^[ \t?:-]{{{MOST_DEPTH}}}", re.MULTILINE)
TOO_LONG = f"larger than {MOST_TEXT // 1_000_000} MB"
TOO_DEEP = f"nested more than {MOST_DEPTH} deep"
# For one document: seconds of processor time, and bytes of memory beyond what is in use before.
MOST_SECONDS = 60
MOST_MEMORY = 1_000_000_000


class TooLargeError(ValueError):
    """A text is beyond a bound."""


class _OutOfTime(BaseException):
    """Raised wherever a reader is; not an `Exception`, which decoders of broken pictures catch."""


def require_regular(path: Path) -> None:
    """Refuse what has no end or no content of its own, and must not be replaced: pipes, devices, sockets.

    Raises:
        UnreadableError: the path is one of these.
    """
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return  # it is not there, which is told by whoever needs it
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise UnreadableError(f"{path}: leads to a device, pipe or socket, which is neither read nor written")


def is_doubtful_yaml(text: str | bytes) -> bool:
    """Return whether a YAML text could be refused; most can be seen not to be, which is quicker.

    What is nested deeply would end the process: the loader is written in C.
    """
    decoded = text.decode("latin-1") if isinstance(text, bytes) else text
    if len(decoded) > MOST_TEXT or "*" in decoded:
        return True
    return decoded.count("[") + decoded.count("{") > MOST_DEPTH or bool(_DEEP_LINE.search(decoded))


def require_bounded_yaml(text: str | bytes) -> None:
    """Refuse a YAML text that is too large, too deep, or expands to too much by its aliases.

    Only the parser's events are looked at: nothing is expanded here.

    Raises:
        TooLargeError: it is one of these.
        yaml.YAMLError: it is not YAML.
    """
    if len(text) > MOST_TEXT:
        raise TooLargeError(TOO_LONG)
    size = _ExpandedSize()
    for event in yaml.parse(text, yaml.CSafeLoader):
        if isinstance(event, yaml.NodeEvent):
            size.begin(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            size.end()


def require_bounded_depth(value: Any) -> None:
    """Refuse values that are nested too deeply to be walked through.

    Raises:
        TooLargeError: they are.
    """
    level = [value]
    for _ in range(MOST_DEPTH):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below += item.values()
            elif isinstance(item, list | tuple):
                below += item
        level = below
        if not level:
            return
    raise TooLargeError(TOO_DEEP)


def parse_toml(text: str) -> dict[str, Any]:
    """Parse TOML.

    Raises:
        ValueError: it is not TOML, too large, or nested too deeply.
    """
    if len(text) > MOST_TEXT:
        raise TooLargeError(TOO_LONG)
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise TooLargeError(TOO_DEEP) from None


class _ExpandedSize:
    """Counts values, those below an alias wherever it stands."""

    def __init__(self) -> None:
        self._values = 0
        self._by_anchor: dict[str, int] = {}
        # Of each collection that has not ended: its anchor, and how many values came before it.
        self._open: list[tuple[str | None, int]] = []

    def begin(self, event: yaml.NodeEvent) -> None:
        """Count a value, or what an alias repeats."""
        if isinstance(event, yaml.AliasEvent):
            name = str(event.anchor)
            if any(anchor == name for anchor, _ in self._open):
                raise TooLargeError(f"the anchor {name} holds itself")
            self._values += self._by_anchor.get(name, 0)
        else:
            self._open.append((event.anchor, self._values))
            self._values += 1
            if isinstance(event, yaml.ScalarEvent):
                self.end()
        if self._values > MOST_VALUES:
            raise TooLargeError(f"more than {MOST_VALUES:,} values")
        if len(self._open) > MOST_DEPTH:
            raise TooLargeError(TOO_DEEP)

    def end(self) -> None:
        """Remember how many values are below the anchor of the value that ends."""
        anchor, before = self._open.pop()
        if anchor:
            self._by_anchor[anchor] = self._values - before


@contextmanager
def bounded_reading(what: str) -> Iterator[None]:
    """Bound the processor time and the memory of what is read inside; for the main thread of a command.

    Args:
        what: is read, for the message.

    Raises:
        UnreadableError: a bound was reached.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    limits = resource.getrlimit(resource.RLIMIT_AS)
    handler = signal.signal(signal.SIGPROF, _stop_reading)
    try:
        _limit_memory(limits)
        # Once more each second: what raises inside of a destructor is lost.
        signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS, 1)
        yield
    except _OutOfTime:
        raise UnreadableError(f"{what}: takes more than {MOST_SECONDS} seconds to read") from None
    except MemoryError:
        gigabytes = MOST_MEMORY // 1_000_000_000
        raise UnreadableError(f"{what}: takes more than {gigabytes} GB of memory to read") from None
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, handler)
        resource.setrlimit(resource.RLIMIT_AS, limits)


def _limit_memory(limits: tuple[int, int]) -> None:
    """Let this process use little more memory than it has; nothing is limited where that is not known."""
    status = Path("/proc/self/statm")
    if not status.exists():
        return
    used = int(status.read_text().split()[0]) * resource.getpagesize()
    most = used + MOST_MEMORY
    if limits[0] != resource.RLIM_INFINITY:
        most = min(most, limits[0])
    resource.setrlimit(resource.RLIMIT_AS, (most, limits[1]))


def _stop_reading(number: int, frame: FrameType | None) -> None:
    raise _OutOfTime
