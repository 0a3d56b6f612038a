"""Files that the stages of a revision wrote, as far as views show them, and the series among them."""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..git.lfs import object_id
from ..model import holder, is_in
from ..repository.snapshot import Snapshot

SERIES_FOLDER = "plots/metrics/"  # where DVCLive puts series, below its own folder


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
    """Return what Git keeps of outputs, metrics and plots; what DVC's cache has of metrics, plots and models.

    Args:
        snapshot: of the revision.
        models: paths of model files to read, too.
    """
    outs = snapshot.outs
    shown = [*snapshot.metric_files, *snapshot.plot_files]
    files = OutputFiles({}, [])
    for path, content in snapshot.git_contents({*outs, *shown}).items():
        if object_id(content):
            files.missing.append(f"{path} (Git LFS)")
        else:
            files.contents[path] = content
    for path in dict.fromkeys([*shown, *models]):
        output = holder(outs, path)
        if output and not snapshot.in_git(path):
            listed = snapshot.reader.folder_files(output, outs[output])
            # Where nothing lists the files of a folder, the folder itself stands for what is missing.
            named = {file: md5 for file, md5 in listed.items() if file == output or is_in(file, path)}
            _read_cached(snapshot, named, files)
    return files


def _read_cached(snapshot: Snapshot, hashes: Mapping[str, str], files: OutputFiles) -> None:
    """Add files of the cache, or say that they are missing."""
    for path, md5 in hashes.items():
        cached = snapshot.reader.cached_file(md5)
        if cached:
            files.contents[path] = cached.read_bytes()
        elif path not in files.missing:
            files.missing.append(path)


@dataclass(frozen=True)
class Point:
    """A value of a series as its file has it; `time` in milliseconds since 1970."""

    step: int
    value: str
    time: int


def is_series(path: str) -> bool:
    """Return whether a file is one of those that DVCLive writes for values over steps."""
    return SERIES_FOLDER in path


def number(value: Any) -> float | None:
    """Return a value as MLflow takes it, None where it is no number."""
    try:
        return float(value)  # DVCLive writes NaN and infinities as strings
    except (TypeError, ValueError, OverflowError):
        return None


def read_series(content: bytes, time: int) -> list[Point]:
    """Return the lines of a series.

    Where it has no steps, the places of its lines, where no times, one a step.

    MLflow also draws over time, and so needs some: a millisecond a step.

    Raises:
        ValueError or OverflowError: it is none.
    """
    points = []
    for place, row in enumerate(csv.DictReader(io.StringIO(content.decode()), delimiter="\t")):
        step = int(float(row.get("step") or place))
        value = list(row.values())[-1]
        if not isinstance(value, str):
            raise ValueError("a line has not as many values as the first one has names")
        stamp = number(row.get("timestamp"))
        points.append(Point(step, value, int(stamp) if stamp else time + step))
    return points
