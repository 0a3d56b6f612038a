"""What the stages of a revision have made, as far as MLflow shows it: contents, metrics, step series."""

import csv
import io
import posixpath
import re
from collections import Counter
from typing import Any

import yaml

from ..history import formats
from ..history.snapshot import Snapshot, join
from ..keys import flatten
from .mlflow_runs import number

SERIES = "plots/metrics/"  # where DVCLive puts them, below its folder


def hashes(snapshot: Snapshot) -> dict[str, str]:
    """Hash by path of each output."""
    stages = snapshot.stages.values()
    return {path: str(entry.get("md5", "")) for stage in stages for path, entry in stage.outs.items()}


def holder(outs: dict[str, str], path: str) -> str | None:
    """The output that a path is, or lies in."""
    return next((out for out in outs if path == out or path.startswith(f"{out}/")), None)


def contents(snapshot: Snapshot, models: list[str]) -> tuple[dict[str, bytes], list[str]]:
    """Content by path of what Git keeps of outputs, metrics and plots, and what DVC's cache does.

    Returns:
        The contents, and the cached files that should be among them but are not on this machine.
    """
    outs, shown = hashes(snapshot), [*snapshot.metric_files, *_plots(snapshot)]
    kept = {path: blob for one in sorted({*outs, *shown}) for path, blob in snapshot.git_files(one).items()}
    blobs = snapshot.reader.objects.blobs(kept.values())
    found, missing = {path: blobs[blob] for path, blob in kept.items()}, []
    for path in dict.fromkeys([*shown, *models]):
        place = holder(outs, path)
        if place and not snapshot.in_git(path):
            for file, md5 in snapshot.reader.folder_files(place, outs[place]).items():
                if file == place or holder({path: ""}, file):
                    if cached := snapshot.reader.cached_file(md5):
                        found[file] = cached.read_bytes()
                    else:
                        missing.append(file)
    return found, list(dict.fromkeys(missing))


def values(path: str, content: bytes) -> dict[str, Any]:
    """Flattened values of a metrics file; a file that is one value has the key of its own name.

    Raises:
        ValueError or yaml.YAMLError: it has no such values.
    """
    read = formats.parse(path, content)
    if isinstance(read, int | float | str):
        return {posixpath.splitext(posixpath.basename(path))[0]: read}
    if not isinstance(read, dict):
        raise ValueError(f"expected keys and values, found {read!r:.60}")
    return flatten(read)


def _points(content: bytes) -> list[tuple[int, str, str | None]]:
    """Step, value and time stamp, if any, of each line of a series; raises ValueError if it is none."""
    rows = csv.DictReader(io.StringIO(content.decode()), delimiter="\t")
    points = [
        (int(float(row.get("step") or place)), list(row.values())[-1], row.get("timestamp"))
        for place, row in enumerate(rows)
    ]
    if any(not isinstance(value, str) for _, value, _ in points):
        raise ValueError("a line has not as many values as the first one has names")
    return points


def metrics(
    snapshot: Snapshot, outputs: dict[str, bytes], time: int
) -> tuple[list[tuple[str, Any, int, int]], dict[str, str]]:
    """Every step of every DVCLive series; and final values, where they are not a series' last step.

    Returns:
        Key, value, time and step of each; and what is wrong with files, by path.
    """
    tables, read, unread = {}, [], {}
    declared = {path for path in outputs if holder(dict.fromkeys(snapshot.metric_files, ""), path)}
    for path, content in outputs.items():
        folder, series, name = path.rpartition(SERIES)
        try:
            if series and name.endswith(".tsv"):
                tables[folder, name.removesuffix(".tsv")] = _points(content)
            elif path in declared:
                read += [(path, re.sub(r"\.(?=\D)", "/", key), v) for key, v in values(path, content).items()]
        except (ValueError, OverflowError, yaml.YAMLError) as error:
            unread[path] = str(error)
    # The same name in two files of one folder: each with its file before it.
    times = Counter((posixpath.dirname(path), name) for path, name, _ in read)
    finals = {}
    for path, name, value in read:
        folder = posixpath.dirname(path)
        finals[(folder if times[folder, name] == 1 else path) + "/", name] = value
    # The same name in two files: each with its folder before it.
    folders: dict[str, set[str]] = {}
    for folder, name in (*tables, *finals):
        folders.setdefault(name, set()).add(folder)
    found = []
    for (folder, name), points in tables.items():
        key = name if len(folders[name]) == 1 else folder + name
        # A millisecond a step, where the series has no times: MLflow also draws over time, and needs some.
        found += [(key, value, int(number(stamp) or time + step), step) for step, value, stamp in points]
        final = finals.pop((folder, name), None)
        if final is not None and points and str(final) != points[-1][1] and final != number(points[-1][1]):
            found.append((f"final/{key}", final, time, 0))
    for (folder, name), value in finals.items():
        found.append((name if len(folders[name]) == 1 else (folder + name).lstrip("/"), value, time, 0))
    return found, unread


def _plots(snapshot: Snapshot) -> list[str]:
    """Paths that dvc.yaml calls plots, whether Git or DVC keeps them."""
    found = []
    for folder, pipeline in pipelines(snapshot):
        places = [(folder, pipeline)]
        places += [
            (join(folder, stage.get("wdir") or "."), stage)
            for stage in (pipeline.get("stages") or {}).values()
        ]
        for where, section in places:
            for plot in section.get("plots") or ():
                for path, how in (plot if isinstance(plot, dict) else {plot: None}).items():
                    drawn = how.get("y") if isinstance(how, dict) else None
                    found += [
                        join(where, file) for file in (path, *(drawn if isinstance(drawn, dict) else ()))
                    ]
    return found


def pipelines(snapshot: Snapshot) -> list[tuple[str, dict[str, Any]]]:
    """Each dvc.yaml, with the folder that it is in."""
    folders = [posixpath.dirname(path) for path in snapshot.files if posixpath.basename(path) == "dvc.yaml"]
    return [(folder, snapshot.pipeline(folder)) for folder in folders]
