"""What stages of a revision wrote: metrics, series and other values, files that views show, and models."""

import csv
import io
import math
import posixpath
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any

import yaml

from ..errors import UnreadableError, joined_lines
from ..git.pointers import lfs_id
from ..model import PARAMS_FILE, flatten, flatten_all, holder, is_in, is_series
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
    """Yield all values of a revision that can be numbers; arguments and errors as of `metrics_of`."""
    yield from metrics_of(snapshot, unread)
    for path, content in snapshot.git_contents(_undeclared(snapshot)).items():
        if len(content) <= MOST_BYTES:
            with suppress(ValueError, yaml.YAMLError):  # nobody says that it has values
                yield from _named(ValueKind.OUTPUT, path, content)
    for key, value in snapshot.params.items():
        items = flatten({key: value}, lists=True) if isinstance(value, list) else {key: value}
        for item_key, item in items.items():
            yield NamedValue(ValueKind.PARAM, item_key, item)


def metrics_of(snapshot: Snapshot, unread: list[str]) -> Iterator[NamedValue]:
    """Yield the metrics of a revision, as far as Git or DVC's cache has their files.

    Args:
        snapshot: the revision.
        unread: gets a line for each metrics file that cannot be read, or is not on this machine.
    """
    contents = snapshot.git_contents(snapshot.metric_files)
    for path in snapshot.metric_files:
        if snapshot.in_git(path):
            continue
        kept = snapshot.kept_files(path)
        contents |= kept
        if path in snapshot.outs and not kept:
            missing = "not in this machine's DVC cache; `dvc fetch --all-commits` gets it"
            unread.append(f"{snapshot.rev[:7]}:{path}: {missing}")
    for path, content in contents.items():
        try:
            yield from _named(ValueKind.METRIC, path, content)
        except (ValueError, yaml.YAMLError) as error:
            unread.append(f"{snapshot.rev[:7]}:{path}: {joined_lines(error)}")


def _named(kind: ValueKind, path: str, content: bytes) -> Iterator[NamedValue]:
    """Yield the values of a file by DVC's keys, those in lists one by one."""
    for dotted, value in read_metrics(path, content, lists=True).items():
        yield NamedValue(kind, f"{path}:{dotted}" if dotted else path, value)


def _undeclared(snapshot: Snapshot) -> list[str]:
    """Return outputs that look as if they hold values, and are no metrics, plots or records of ours."""
    known = {*snapshot.metric_files, *snapshot.plot_files}
    paths = []
    for path in snapshot.outs:
        is_record = posixpath.basename(path) == "environment.json"
        if path.endswith(VALUE_FILES) and path not in known and not is_record:
            paths.append(path)
    return paths


@dataclass(frozen=True)
class Point:
    """A value of a series as its file has it; `time` in milliseconds since 1970."""

    step: int
    value: str
    time: int


@dataclass(frozen=True)
class Measurements:
    """What stages measured.

    Attributes:
        metrics: final values of each file by their dotted names; of a file that is one value, by no name.
        series: values over steps, by path.
        unread: why a file could not be read, by path.
    """

    metrics: dict[str, dict[str, Any]]
    series: dict[str, list[Point]]
    unread: dict[str, str]


def read_measurements(
    contents: Mapping[str, bytes], metric_files: Collection[str], time: int
) -> Measurements:
    """Return the series of DVCLive and the metrics among some files.

    Args:
        contents: content by path of what stages wrote.
        metric_files: files, and folders of files, that dvc.yaml calls metrics.
        time: of the revision, in milliseconds since 1970.
    """
    found = Measurements({}, {}, {})
    for path, content in contents.items():
        try:
            if is_series(path) and path.endswith(".tsv"):
                found.series[path] = read_series(content, time)
            elif holder(metric_files, path):
                found.metrics[path] = read_metrics(path, content)
        except (ValueError, OverflowError, yaml.YAMLError) as error:
            found.unread[path] = str(error)
    return found


@lru_cache(2_000)  # the same file is in many revisions
def read_metrics(path: str, content: bytes, *, lists: bool = False) -> dict[str, Any]:
    """Return values of a metrics file by their dotted names; of a file that is one value, by no name.

    The answer is shared by all who ask, so do not change it.

    Args:
        path: of the file; its ending says how it is read.
        content: of the file.
        lists: give items of lists names of their own, which end with their positions.

    Raises:
        ValueError or yaml.YAMLError: it has no such values.
    """
    values = parsing.parse(path, content)
    if isinstance(values, int | float | str):
        return {"": values}
    if lists and isinstance(values, list):
        values = dict(enumerate(values))
    if not isinstance(values, dict):
        raise ValueError(f"expected keys and values, found {values!r:.60}")
    return flatten_all(values, lists=lists)


def read_series(content: bytes, time: int) -> list[Point]:
    """Return the lines of a series.

    Its steps are the places of its lines where it has none. Where it has no times, each step is a
    millisecond after `time`: MLflow also draws over time, and so needs some.

    Raises:
        ValueError or OverflowError: it is none.
    """
    points = []
    text = io.StringIO(content.decode())
    for place, row in enumerate(csv.DictReader(text, delimiter="\t")):
        step = int(float(row.get("step") or place))
        value = list(row.values())[-1]
        if not isinstance(value, str):
            raise ValueError("a line has not as many values as the first one has names")
        stamp = number(row.get("timestamp"))
        points.append(Point(step, value, int(stamp) if stamp else time + step))
    return points


def number(value: Any) -> float | None:
    """Return a value as a float, None where it is no number."""
    try:
        return float(value)  # DVCLive writes NaN and infinities as strings
    except (TypeError, ValueError, OverflowError):
        return None


def difference(old: Any, new: Any) -> float | None:
    """Return how much greater the second number is; None where one of them is no number, or NaN."""
    for value in (old, new):
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
    try:
        found = float(new - old)
    except OverflowError:  # a whole number that no float can be
        return None
    return None if math.isnan(found) else found


def signed(found: float) -> str:
    """Return a difference for people to read, with its sign."""
    return f"{found:+.3g}".replace("-", "−", 1) if found else "0"


@dataclass(frozen=True)
class OutputFiles:
    """What stages wrote.

    Attributes:
        contents: content by path.
        missing: cached files that should be among them and are not on this machine.
    """

    contents: dict[str, bytes]
    missing: list[str]


def read_outputs(snapshot: Snapshot, models: Iterable[str] = ()) -> OutputFiles:
    """Return what Git keeps of outputs, metrics and plots; what DVC's cache has of these and `models`."""
    outs = snapshot.outs
    shown = [*snapshot.metric_files, *snapshot.plot_files]
    files = OutputFiles({}, [])
    for path, content in snapshot.git_contents({*outs, *shown}).items():
        if lfs_id(content):
            files.missing.append(f"{path} (Git LFS)")
        else:
            files.contents[path] = content
    for path in dict.fromkeys([*shown, *models]):
        output = holder(outs, path)
        if not output or snapshot.in_git(path):
            continue
        for file, md5 in snapshot.reader.folder_files(output, outs[output]).items():
            # Where nothing lists the files of a folder, the folder itself stands for what is missing.
            if file != output and not is_in(file, path):
                continue
            cached = snapshot.reader.cached_file(md5)
            if cached:
                files.contents[file] = cached.read_bytes()
            elif file not in files.missing:
                files.missing.append(file)
    return files


@dataclass(frozen=True)
class ModelFile:
    """An output, or file in one, that a dvc.yaml calls an artifact of type `model`.

    Attributes:
        name: that dvc.yaml gives it.
        path: relative to the DVC root.
        md5: its hash; that of the folder around it where this machine has no list of the files in there.
        desc: what dvc.yaml says of it.
    """

    name: str
    path: str
    md5: str
    desc: str


def model_files(snapshot: Snapshot) -> list[ModelFile]:
    """Return the models of a revision; of one path, what the last dvc.yaml says."""
    outs = snapshot.outs
    models: dict[str, ModelFile] = {}
    for artifact in snapshot.artifacts:
        output = holder(outs, artifact.path)
        if artifact.type == "model" and output:
            entry = outs[output]
            listed = snapshot.reader.folder_files(output, entry)
            md5 = listed.get(artifact.path) or str(entry.get("md5", ""))
            models[artifact.path] = ModelFile(artifact.name, artifact.path, md5, artifact.desc)
    return list(models.values())
