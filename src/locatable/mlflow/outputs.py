"""Files that the stages of a revision wrote, as far as MLflow shows them."""

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..errors import UnreadableError
from ..history.snapshot import Snapshot, join


@dataclass(frozen=True)
class OutputFiles:
    """What stages wrote.

    Attributes:
        contents: content by path.
        missing: cached files that should be among them and are not on this machine.
    """

    contents: dict[str, bytes]
    missing: list[str]


def output_hashes(snapshot: Snapshot) -> dict[str, str]:
    """Hash by path of each output."""
    hashes = {}
    for stage in snapshot.stages.values():
        for path, entry in stage.outs.items():
            hashes[path] = str(entry.get("md5", ""))
    return hashes


def containing_output(outputs: Iterable[str], path: str) -> str | None:
    """The output that a path is, or lies in; None if it is no output."""
    return next((output for output in outputs if path == output or path.startswith(f"{output}/")), None)


def pipelines(snapshot: Snapshot) -> list[tuple[str, dict[str, Any]]]:
    """Each dvc.yaml, with the folder that it is in."""
    folders = [posixpath.dirname(path) for path in snapshot.files if posixpath.basename(path) == "dvc.yaml"]
    return [(folder, snapshot.pipeline(folder)) for folder in folders]


@contextmanager
def as_dvc_writes_it(snapshot: Snapshot, folder: str) -> Iterator[None]:
    """Turn errors that a dvc.yaml of an unusual shape leads to into UnreadableError."""
    try:
        yield
    except (AttributeError, TypeError) as error:
        path = join(folder, "dvc.yaml")
        raise UnreadableError(f"{snapshot.rev[:7]}:{path}: not as DVC writes it: {error!r}") from None


def read_outputs(snapshot: Snapshot, models: Iterable[str] = ()) -> OutputFiles:
    """What Git keeps of outputs, metrics and plots; what DVC's cache has of metrics, plots and models.

    Args:
        snapshot: of the revision.
        models: paths of model files to read, too.
    """
    hashes = output_hashes(snapshot)
    shown = [*snapshot.metric_files, *_plots(snapshot)]
    files = OutputFiles(_git_contents(snapshot, {*hashes, *shown}), [])
    for path in dict.fromkeys([*shown, *models]):
        output = containing_output(hashes, path)
        if output and not snapshot.in_git(path):
            listed = snapshot.reader.folder_files(output, hashes[output])
            _read_cached(snapshot, _at_or_below(listed, path, output), files)
    return files


def _git_contents(snapshot: Snapshot, paths: Iterable[str]) -> dict[str, bytes]:
    """Content by path of these files, and of the files in these folders, that Git keeps."""
    blobs: dict[str, str] = {}
    for path in sorted(paths):
        blobs |= snapshot.git_files(path)
    contents = snapshot.reader.objects.blobs(blobs.values())
    return {path: contents[blob] for path, blob in blobs.items()}


def _at_or_below(listed: Mapping[str, str], path: str, output: str) -> dict[str, str]:
    """Those of an output's files that a path names.

    Where this machine has no list of a folder's files, the folder itself stands for what is missing of it.
    """
    return {file: md5 for file, md5 in listed.items() if file == output or containing_output([path], file)}


def _read_cached(snapshot: Snapshot, hashes: Mapping[str, str], files: OutputFiles) -> None:
    """Add files of the cache, or say that they are missing."""
    for path, md5 in hashes.items():
        cached = snapshot.reader.cached_file(md5)
        if cached:
            files.contents[path] = cached.read_bytes()
        elif path not in files.missing:
            files.missing.append(path)


def _plots(snapshot: Snapshot) -> list[str]:
    """Paths that dvc.yaml files call plots, whether Git or DVC keeps them."""
    paths = []
    for folder, pipeline in pipelines(snapshot):
        with as_dvc_writes_it(snapshot, folder):
            paths += [join(folder, path) for path in _declared_plots(pipeline)]
            for stage in (pipeline.get("stages") or {}).values():
                wdir = join(folder, stage.get("wdir") or ".")
                paths += [join(wdir, path) for path in _declared_plots(stage)]
    return paths


def _declared_plots(section: Mapping[str, Any]) -> list[str]:
    """Paths in `plots` of a pipeline or a stage: `PATH`, `PATH: OPTIONS`, or `NAME: {y: {PATH: COLUMN}}`."""
    paths = []
    for plot in section.get("plots") or ():
        options = plot if isinstance(plot, dict) else {plot: None}
        for path, drawn in options.items():
            paths.append(path)
            columns = drawn.get("y") if isinstance(drawn, dict) else None
            if isinstance(columns, dict):
                paths += columns
    return paths
