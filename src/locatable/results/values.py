"""The numbers that a revision holds: metrics, params, and others that stages wrote into small files."""

import posixpath
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any

import yaml

from ..errors import UnreadableError
from ..model import PARAMS_FILE, flatten, flatten_all
from ..repository import parsing
from ..repository.snapshot import Snapshot

# Endings of files whose numbers are looked at where no dvc.yaml calls them metrics, and their greatest size.
VALUE_FILES = (".json", ".yaml", ".yml", ".toml")
MOST_BYTES = 100_000


class ValueKind(Enum):
    """What a number is; the values are the words for it. What is most often quoted comes first."""

    METRIC = "metric"
    OUTPUT = "value in an output"
    PARAM = "param"


@dataclass(frozen=True)
class NamedValue:
    """A value and what it is called.

    Attributes:
        kind: what it is.
        key: as DVC writes it: `file:dotted.key`; of a file that is one value, the file's path.
        value: of any type.
    """

    kind: ValueKind
    key: str
    value: Any

    @property
    def dotted(self) -> str:
        """The key without the file."""
        return self.key.rpartition(":")[2]


def preload_values(snapshots: list[Snapshot]) -> None:
    """Read the files of many revisions that hold values at once: one by one, each takes a round trip."""
    blobs: list[str] = []
    for snapshot in snapshots:
        blobs += snapshot.blobs.values()
        with suppress(UnreadableError):  # whoever asks for its values is told
            for path in [*snapshot.metric_files, *_undeclared(snapshot), PARAMS_FILE]:
                blobs += snapshot.git_files(path).values()
    if snapshots:
        snapshots[0].reader.objects.preload(blobs)


def values_of(snapshot: Snapshot, unread: list[str]) -> Iterator[NamedValue]:
    """Yield all values of a revision that can be numbers.

    Args:
        snapshot: the revision.
        unread: gets a line for each metrics file that cannot be read, or is not on this machine.

    Raises:
        UnreadableError: a file of DVC's in it is broken.
    """
    contents = metrics_contents(snapshot)
    for path in snapshot.metric_files:
        if path in snapshot.outs and path not in contents and not snapshot.in_git(path):
            missing = "not in this machine's DVC cache; `dvc fetch --all-commits` gets it"
            unread.append(f"{snapshot.rev[:7]}:{path}: {missing}")
    for path, content in contents.items():
        try:
            yield from _values_in(ValueKind.METRIC, path, content)
        except (ValueError, yaml.YAMLError) as error:
            unread.append(f"{snapshot.rev[:7]}:{path}: {' '.join(str(error).split())}")
    for path, content in snapshot.git_contents(_undeclared(snapshot)).items():
        if len(content) <= MOST_BYTES:
            try:
                yield from _values_in(ValueKind.OUTPUT, path, content)
            except (ValueError, yaml.YAMLError):
                continue  # nobody says that it has values
    for key, value in snapshot.params.items():
        items = flatten({key: value}, lists=True) if isinstance(value, list) else {key: value}
        for item_key, item in items.items():
            yield NamedValue(ValueKind.PARAM, item_key, item)


def metrics_contents(snapshot: Snapshot) -> dict[str, bytes]:
    """Return content by path of what dvc.yaml files call metrics, as far as Git or DVC's cache has it."""
    contents = snapshot.git_contents(snapshot.metric_files)
    for path in snapshot.metric_files:
        if not snapshot.in_git(path):
            contents |= snapshot.kept_files(path)
    return contents


def metric_values(path: str, content: bytes) -> dict[str, Any]:
    """Return values of a metrics file by DVC's keys.

    Raises:
        ValueError or yaml.YAMLError: it has none.
    """
    values = parsing.parse(path, content)
    if isinstance(values, list):
        values = dict(enumerate(values))
    if isinstance(values, dict):
        return {f"{path}:{dotted}": value for dotted, value in flatten_all(values, lists=True).items()}
    return {path: values}


def _values_in(kind: ValueKind, path: str, content: bytes) -> tuple[NamedValue, ...]:
    return tuple(NamedValue(kind, key, value) for key, value in _parsed(path, content))


@lru_cache(2_000)
def _parsed(path: str, content: bytes) -> tuple[tuple[str, Any], ...]:
    """Return the same file is in many revisions."""
    return tuple(metric_values(path, content).items())


def _undeclared(snapshot: Snapshot) -> list[str]:
    """Return outputs that look as if they hold values, and are no metrics, plots or records of ours."""
    known = {*snapshot.metric_files, *snapshot.plot_files}
    return [
        path
        for path in snapshot.outs
        if path.endswith(VALUE_FILES) and path not in known and posixpath.basename(path) != "environment.json"
    ]
