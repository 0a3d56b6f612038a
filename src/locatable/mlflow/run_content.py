"""What MLflow shows of a revision: params, metrics, series, source data, model, plots, how to rebuild it."""

import posixpath
import re
import shlex
from pathlib import Path
from typing import Any

from ..coordinates import coordinates_of
from ..history.reader import Experiment
from ..history.snapshot import Snapshot, join
from ..rebuild import rebuild_commands
from ..redact import redact_urls
from . import outputs
from .mirrored import STUDY
from .mlflow_runs import Content
from .note import markdown


def of(snapshot: Snapshot, experiment: Experiment | None, url: str | None, copy_models: bool) -> Content:
    """The run of an experiment, or of a baseline commit when `experiment` is None.

    Args:
        snapshot: of the revision.
        experiment: whose revision it is.
        url: where the project can be cloned from.
        copy_models: put model files among the artifacts too, as far as the DVC cache has them.

    Raises:
        UnreadableError: a file in the revision is broken.
    """
    found = coordinates_of(snapshot)
    commands = rebuild_commands(snapshot, experiment, url)
    time = 1000 * snapshot.time
    author = re.search(r"^author (.*) <.*> \d+ [-+]\d+$", snapshot.commit, re.MULTILINE)
    models = _models(snapshot, url)
    contents, missing = outputs.contents(snapshot, list(models) if copy_models else [])
    metrics, unread = outputs.metrics(snapshot, contents, time)
    tags = {
        "dvc.rev": snapshot.rev,
        **{f"coordinate.{name}": getattr(found, name).digest for name in vars(found)},
        "mlflow.source.git.commit": snapshot.rev,
        "mlflow.source.type": "PROJECT",
        "mlflow.source.name": url or snapshot.reader.root.name,
        "mlflow.user": author[1] if author else "",
        "mlflow.note.content": markdown(snapshot, found, commands)[:7900],
    }
    if url:
        tags["mlflow.source.git.repoURL"] = url
    if experiment:
        tags |= {"dvc.exp": experiment.name, "dvc.baseline": experiment.baseline}
        tags |= {"dvc.study": experiment.study} if experiment.study else {}
    if missing:
        tags["mirror.missing"] = f"not in this machine's DVC cache: {', '.join(missing)}"[:7900]
    if unread:
        why = "; ".join(f"{path}: {' '.join(error.split())}" for path, error in unread.items())
        tags["mirror.unread"] = f"among the artifacts only: {why}"[:7900]
    if copy_models:
        tags["mirror.models"] = "copied"
    return Content(
        key=snapshot.rev,
        name=experiment.name if experiment else f"baseline {snapshot.rev[:7]}",
        start=time,
        end=time,
        tags=tags,
        params={key: _public(value) for key, value in snapshot.params.items()},
        metrics=metrics,
        datasets=[
            (redact_urls(path), md5, _source(snapshot, path, md5, url))
            for path, md5 in found.data.content.items()
        ],
        models=list(models.values()),
        files=_files(snapshot, contents, unread),
    )


def study(name: str, trials: tuple[Experiment, ...], root: Path) -> Content:
    """The run that holds a search's trials, with what the search has reported so far."""
    times = [1000 * trial.committed for trial in trials]
    note = f"Search `{name}`, each trial a DVC experiment: `dvc exp apply {name}-<number>`"
    tags = {"dvc.study": name, "mlflow.note.content": note}
    reports = root / "reports/search" / name
    files = {
        file.relative_to(root).as_posix(): file.read_bytes() for file in reports.rglob("*") if file.is_file()
    }
    return Content(STUDY + name, name, min(times), max(times), tags, files=files)


def _public(value: Any) -> Any:
    match value:
        case str():
            return redact_urls(value)
        case list():
            return [_public(item) for item in value]
        case dict():
            return {key: _public(item) for key, item in value.items()}
    return value


def _source(snapshot: Snapshot, path: str, md5: str, url: str | None) -> dict[str, Any]:
    """Where MLflow says that a dataset is: the same for every revision that has it."""
    entry = snapshot.sources.get(path, {})
    came = [
        redact_urls(str(dep.get("repo", {}).get("url") or dep.get("path", "")))
        for dep in entry.get("deps", ())
    ]
    source = {
        "dvc": redact_urls(path),
        "md5": md5,
        "repo": url or snapshot.reader.root.name,
        "imported from": ", ".join(came),
    }
    return {key: value for key, value in {**source, "size": entry.get("size")}.items() if value}


def _models(snapshot: Snapshot, url: str | None) -> dict[str, tuple[str, dict[str, str]]]:
    """Name and tags by path of each output that dvc.yaml calls an artifact of type `model`."""
    outs, found = outputs.hashes(snapshot), {}
    for folder, pipeline in outputs.pipelines(snapshot):
        for name, artifact in (pipeline.get("artifacts") or {}).items():
            path = join(folder, artifact.get("path", ""))
            if artifact.get("type") == "model" and (holder := outputs.holder(outs, path)):
                # Of a folder that this machine has no list of, only its own hash is known.
                md5 = snapshot.reader.folder_files(holder, outs[holder]).get(path, outs[holder])
                tags = {"dvc.path": path, "dvc.md5": md5, "dvc.rev": snapshot.rev}
                place = shlex.quote(posixpath.join(snapshot.reader.prefix, path))
                where = f"`{path}`, md5 `{md5}`: `dvc get {url or '.'} {place} --rev {snapshot.rev}`"
                tags["mlflow.note.content"] = f"{artifact.get('desc', '')}\n\n{where}".strip()
                found[path] = (name, tags)
    return found


def _files(snapshot: Snapshot, contents: dict[str, bytes], unread: dict[str, str]) -> dict[str, bytes]:
    """Artifacts by path; series that could be read are metrics already."""
    asked = {path for stage in snapshot.stages.values() for path in stage.params} | {"params.yaml"}
    pipeline = {path for path in snapshot.files if not path.endswith(".dvc")}
    files = {
        path: content for path, content in contents.items() if outputs.SERIES not in path or path in unread
    }
    for path in sorted(asked | pipeline):
        content = snapshot.files.get(path) or snapshot.read(path)
        if content is not None:
            text = redact_urls(content.decode(errors="surrogateescape"))
            files[path] = text.encode(errors="surrogateescape")
    return {path: content for path, content in files.items() if not path.startswith("../")}
