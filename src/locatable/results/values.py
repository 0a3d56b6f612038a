"""Read what the stages of a revision wrote: metrics, series, other values, files for views, and models."""

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

# Outputs with these endings, up to this size, are searched for values even if dvc.yaml does not declare them
# as metrics.
VALUE_FILES = (".json", ".yaml", ".yml", ".toml")
MOST_BYTES = 100_000


class ValueKind(Enum):
    """The kind of a value, in the order in which texts quote them; views print the values of this enum."""

    METRIC = "metric"
    OUTPUT = "value in an output"
    PARAM = "param"


@dataclass(frozen=True)
class NamedValue:
    """A value with its key.

    Attributes:
        kind: the kind of the value.
        key: the key as DVC writes it, `file:dotted.key`. For a file that is a single value, the file's path.
        value: the value, of any type.
    """

    kind: ValueKind
    key: str
    value: Any

    @property
    def dotted(self) -> str:
        """The key without the file."""
        return self.key.rpartition(":")[2]


def preload_values(snapshots: list[Snapshot]) -> None:
    """Load the value files of many revisions at once, because each single file takes a round trip to Git."""
    blobs: list[str] = []
    for snapshot in snapshots:
        blobs += snapshot.blobs.values()
        with suppress(UnreadableError):  # Reading the values later raises the error again.
            for path in [*snapshot.metric_files, *_undeclared_value_files(snapshot), PARAMS_FILE]:
                blobs += snapshot.git_files(path).values()
    if snapshots:
        snapshots[0].reader.objects.preload(blobs)


def values_of(snapshot: Snapshot, unread: list[str]) -> Iterator[NamedValue]:
    """Yield the metrics, the values in other outputs, and the params of a revision.

    The arguments are those of `metrics_of`.
    """
    yield from metrics_of(snapshot, unread)
    for path, content in snapshot.git_contents(_undeclared_value_files(snapshot)).items():
        if len(content) <= MOST_BYTES:
            # dvc.yaml does not say that this file holds values, so it is no error if it does not.
            with suppress(ValueError, yaml.YAMLError):
                yield from _named(ValueKind.OUTPUT, path, content)
    for key, value in snapshot.params.items():
        items = flatten({key: value}, lists=True) if isinstance(value, list) else {key: value}
        for item_key, item in items.items():
            yield NamedValue(ValueKind.PARAM, item_key, item)


def metrics_of(snapshot: Snapshot, unread: list[str]) -> Iterator[NamedValue]:
    """Yield the metrics of a revision whose files are in Git or in this machine's DVC cache.

    Args:
        snapshot: the revision.
        unread: a list that gets a line for each metrics file that is broken or not on this machine.
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
    """Yield the values of a file; each item of a list is a value."""
    for dotted, value in read_metrics(path, content, lists=True).items():
        yield NamedValue(kind, f"{path}:{dotted}" if dotted else path, value)


def _undeclared_value_files(snapshot: Snapshot) -> list[str]:
    """Return the outputs that can hold values, except metrics, plots and environment.json."""
    known = {*snapshot.metric_files, *snapshot.plot_files}
    paths = []
    for path in snapshot.outs:
        is_record = posixpath.basename(path) == "environment.json"
        if path.endswith(VALUE_FILES) and path not in known and not is_record:
            paths.append(path)
    return paths


@dataclass(frozen=True)
class Point:
    """A point of a series.

    Attributes:
        step: the step that it belongs to.
        value: the value as it is written in the file.
        time: milliseconds since 1970.
    """

    step: int
    value: str
    time: int


@dataclass(frozen=True)
class Measurements:
    """The metrics and series that stages wrote.

    Attributes:
        metrics: the values of each metrics file by their dotted names. The name is empty for a file that is a
            single value.
        series: the points of each series, by the path of its file.
        unread: the reason why a file could not be read, by its path.
    """

    metrics: dict[str, dict[str, Any]]
    series: dict[str, list[Point]]
    unread: dict[str, str]


def read_measurements(
    contents: Mapping[str, bytes], metric_files: Collection[str], time: int
) -> Measurements:
    """Return the metrics, and the series of DVCLive, among files that stages wrote.

    Args:
        contents: the content of each file by its path.
        metric_files: the files, and folders of files, that dvc.yaml declares as metrics.
        time: the time of the revision, in milliseconds since 1970.
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


@lru_cache(2_000)  # Many revisions contain the same file.
def read_metrics(path: str, content: bytes, *, lists: bool = False) -> dict[str, Any]:
    """Return the values of a metrics file by their dotted names.

    The name is empty for a file that is a single value. Callers must not change the returned dict, because it
    is cached.

    Args:
        path: the path of the file; its ending decides how it is parsed.
        content: the content of the file.
        lists: true to return each item of a list as a value, with its index at the end of the name.

    Raises:
        ValueError or yaml.YAMLError: the file does not hold such values.
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
    """Return the points of a series that DVCLive wrote.

    If the file has no steps, its lines are numbered from 0. If it has no timestamps, step n gets a time of n
    milliseconds after `time`, because MLflow also draws series over time.

    Raises:
        ValueError or OverflowError: the content is not a series.
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
    """Return a value as a float, or None if it is not a number."""
    try:
        return float(value)  # This includes strings, because DVCLive writes NaN and infinities as strings.
    except (TypeError, ValueError, OverflowError):
        return None


def difference(old: Any, new: Any) -> float | None:
    """Return `new - old`, or None if the difference is NaN or one of the values is not a number."""
    for value in (old, new):
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
    try:
        found = float(new - old)
    except OverflowError:  # The difference is an integer that is too large for a float.
        return None
    return None if math.isnan(found) else found


def signed(found: float) -> str:
    """Return a difference as text, with its sign."""
    return f"{found:+.3g}".replace("-", "−", 1) if found else "0"


@dataclass(frozen=True)
class OutputFiles:
    """The contents of files that stages wrote.

    Attributes:
        contents: the content of each file by its path.
        missing: the files whose content is not on this machine.
    """

    contents: dict[str, bytes]
    missing: list[str]


def read_outputs(snapshot: Snapshot, models: Iterable[str] = ()) -> OutputFiles:
    """Return the contents of outputs, metrics and plots.

    All outputs in Git are read. From DVC's cache, only metrics, plots and `models` are read.
    """
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
            # If the list of a folder's files is not in the cache, the folder's own path stands for its files.
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
    """An output, or a file in an output, that dvc.yaml declares as an artifact of type `model`.

    Attributes:
        name: the name of the artifact.
        path: the path, relative to the DVC root.
        md5: its hash. If the list of its folder's files is not on this machine, the hash of the folder.
        desc: the description in dvc.yaml.
    """

    name: str
    path: str
    md5: str
    desc: str


def model_files(snapshot: Snapshot) -> list[ModelFile]:
    """Return the models of a revision. If several dvc.yaml declare the same path, the last one counts."""
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
