"""What a run in MLflow shows of a revision or a study: read from Git, the DVC cache and reports."""

import math
import posixpath
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from ..addresses import redact_urls
from ..model import Key, holder
from ..repository import parsing
from ..repository.experiments import memory_in
from ..repository.reader import Reader
from ..repository.snapshot import Snapshot
from ..results.coordinates import Coordinates, coordinates_of
from ..results.outputs import OutputFiles, Point, is_series, read_outputs
from ..results.rebuild import rebuild_commands
from ..results.staleness import differences, summary
from . import known
from .content import LONGEST_TAG, Content, Dataset, Model, RunContent
from .metrics import read_values
from .naming import storable
from .note import revision_note
from .plan import WantedRun

# That a run tells.
MOST_DIFFERENCES = 10
# Bytes of an output that Git keeps and that no dvc.yaml calls a metric or plot, to be copied into each run.
MOST_BYTES = 1_000_000


def revision_content(
    snapshot: Snapshot, wanted: WantedRun, url: str | None = None, copy_models: bool = False
) -> RunContent:
    """Return the run of an experiment or a baseline commit.

    Args:
        snapshot: of the revision.
        wanted: which run it is.
        url: where the project can be cloned from.
        copy_models: put model files among the artifacts too, as far as the DVC cache has them.

    Raises:
        UnreadableError: a file in the revision is broken.
    """
    coordinates = coordinates_of(snapshot)
    time = 1000 * snapshot.time
    models = _models(snapshot, url)
    outputs = read_outputs(snapshot, [model.path for model in models] if copy_models else [])
    values = read_values(outputs.contents, snapshot.metric_files, time)
    large = _large(snapshot, outputs, [model.path for model in models] if copy_models else [])
    tags = _tags(snapshot, coordinates, wanted, url)
    if large:
        tags[known.IN_GIT] = storable(f"in Git only, for their size: {', '.join(large)}")[:LONGEST_TAG]
    artifacts = _artifacts(snapshot, outputs, values.unread)
    return RunContent(
        key=snapshot.rev,
        name=wanted.name,
        start=time,
        end=time,
        tags=tags,
        params={key: _redacted(value) for key, value in snapshot.params.items()},
        metrics=values.metrics,
        series=values.series,
        datasets=_datasets(snapshot, coordinates, url),
        models=models,
        artifacts={path: content for path, content in artifacts.items() if path not in large},
        missing=outputs.missing,
        lacking=outputs.missing,
        unread=values.unread,
        has_models=copy_models,
        snapshot=snapshot,
        experiment=wanted.experiment,
    )


def study_content(wanted: WantedRun, reader: Reader) -> Content:
    """Return the run that holds a search's trials, with the best of them and what the search has reported."""
    root = reader.root
    best = _best_of(wanted, reader)
    times = [1000 * trial.committed for trial in wanted.trials]
    note = f"Search `{wanted.name}`, each trial a DVC experiment: `dvc exp apply <dvc.rev of its run>`"
    reports = root / "reports" / "search" / wanted.name
    files = [file for file in reports.rglob("*") if file.is_file()]
    return Content(
        key=wanted.key,
        name=wanted.name,
        start=min(times),
        end=max(times),
        tags={"dvc.study": wanted.name, "mlflow.note.content": note, **best.tags},
        series=best.series,
        artifacts={file.relative_to(root).as_posix(): file.read_bytes() for file in files},
    )


@dataclass
class _Best:
    """The best trial of a study, and the best value after each of them; empty for several objectives.

    Params in MLflow cannot change, but the best trial does: so its params are tags.
    """

    tags: dict[str, str] = field(default_factory=dict)
    series: dict[str, list[Point]] = field(default_factory=dict)


def _best_of(wanted: WantedRun, reader: Reader) -> _Best:
    best = _Best()
    best_value = math.inf
    trials = sorted(wanted.trials, key=lambda trial: (trial.committed, trial.name))
    for trial, snapshot in zip(trials, reader.snapshots(trial.rev for trial in trials), strict=True):
        try:
            memory = memory_in(snapshot.commit)
            (metric,), (direction,) = memory["metrics"], memory["directions"]
            key = Key.parse(metric)
            value = float(key.value_in(parsing.parse(key.file, snapshot.read(key.file) or b"")))
        except (LookupError, TypeError, ValueError, yaml.YAMLError):
            continue  # it has no single objective, or none that can be read
        sign = 1 if direction == "minimize" else -1
        if sign * value < best_value:
            best_value = sign * value
            params = memory["trial"]["params"].items()
            best.tags = {f"{known.BEST}.{name}": str(_redacted(param)) for name, param in params}
            best.tags[known.BEST] = trial.name
        points = best.series.setdefault(f"best_{key.dotted}", [])
        points.append(Point(len(points) + 1, str(sign * best_value), 1000 * trial.committed))
    return best


def _tags(snapshot: Snapshot, coordinates: Coordinates, wanted: WantedRun, url: str | None) -> dict[str, str]:
    commands = rebuild_commands(snapshot, wanted.experiment, url)
    stale = redact_urls(summary(differences(snapshot), MOST_DIFFERENCES))
    tags = {"dvc.rev": snapshot.rev}
    if stale:
        tags["dvc.stale"] = stale[:LONGEST_TAG]
    for name in vars(coordinates):
        tags[f"coordinate.{name}"] = getattr(coordinates, name).digest
    tags |= {
        "mlflow.source.git.commit": snapshot.rev,
        "mlflow.source.type": "PROJECT",
        "mlflow.source.name": url or snapshot.reader.root.name,
        "mlflow.user": snapshot.author,
        "mlflow.note.content": revision_note(snapshot.rev, coordinates, commands, stale)[:LONGEST_TAG],
    }
    if url:
        tags["mlflow.source.git.repoURL"] = url
    return tags | wanted.identity_tags


def _redacted(value: Any) -> Any:
    """Return a param without the passwords in its URLs."""
    if isinstance(value, str):
        return redact_urls(value)
    if isinstance(value, list):
        return [_redacted(item) for item in value]
    if isinstance(value, dict):
        return {key: _redacted(item) for key, item in value.items()}
    return value


def _datasets(snapshot: Snapshot, coordinates: Coordinates, url: str | None) -> list[Dataset]:
    datasets = []
    for path, digest in coordinates.data.content.items():
        datasets.append(Dataset(redact_urls(path), digest, _source(snapshot, path, digest, url)))
    return datasets


def _source(snapshot: Snapshot, path: str, digest: str, url: str | None) -> dict[str, Any]:
    """Return where MLflow says that a dataset is: the same for every revision that has it."""
    entry = snapshot.sources.get(path, {})
    origins = []
    for dep in entry.get("deps", ()):
        repository = dep.get("repo", {}).get("url")
        origins.append(redact_urls(str(repository or dep.get("path", ""))))
    source = {
        "dvc": redact_urls(path),
        "md5": digest,
        "repo": url or snapshot.reader.root.name,
        "imported from": ", ".join(origins),
        "size": entry.get("size"),
    }
    return {key: value for key, value in source.items() if value}


def _models(snapshot: Snapshot, url: str | None) -> list[Model]:
    """Return each output, or file in one, that a dvc.yaml calls an artifact of type `model`."""
    outs = snapshot.outs
    models: dict[str, Model] = {}
    for artifact in snapshot.artifacts:
        path = artifact.path
        output = holder(outs, path)
        if artifact.type == "model" and output:
            # Of a folder that this machine has no list of, only its own hash is known.
            files = snapshot.reader.folder_files(output, outs[output])
            tags = _model_tags(snapshot, path, files.get(path, str(outs[output].get("md5", ""))), url)
            note = f"{artifact.desc}\n\n{tags['mlflow.note.content']}".strip()
            models[path] = Model(artifact.name, path, {**tags, "mlflow.note.content": note})
    return list(models.values())


def _model_tags(snapshot: Snapshot, path: str, md5: str, url: str | None) -> dict[str, str]:
    """Return which file a model is, and how to get it."""
    place = shlex.quote(posixpath.join(snapshot.reader.prefix, path))
    command = f"dvc get {url or '.'} {place} --rev {snapshot.rev}"
    return {
        "dvc.path": path,
        "dvc.md5": md5,
        "dvc.rev": snapshot.rev,
        "mlflow.note.content": f"`{path}`, md5 `{md5}`: `{command}`",
    }


def _large(snapshot: Snapshot, outputs: OutputFiles, models: list[str]) -> list[str]:
    """Return outputs that stay in Git alone: they would be copied into each run, the same or not."""
    shown = [*snapshot.metric_files, *snapshot.plot_files, *models]
    large = [path for path, content in outputs.contents.items() if len(content) > MOST_BYTES]
    return [path for path in large if snapshot.in_git(path) and not holder(shown, path)]


def _artifacts(snapshot: Snapshot, outputs: OutputFiles, unread: Mapping[str, str]) -> dict[str, bytes]:
    """Return content by path; series that could be read are metrics already."""
    artifacts = {}
    for path, content in outputs.contents.items():
        if not is_series(path) or path in unread:
            artifacts[path] = content
    for path in _definition_files(snapshot):
        file = snapshot.files.get(path) or snapshot.read(path)
        if file is not None:
            text = redact_urls(file.decode(errors="surrogateescape"))
            artifacts[path] = text.encode(errors="surrogateescape")
    return {path: content for path, content in artifacts.items() if not path.startswith("../")}


def _definition_files(snapshot: Snapshot) -> list[str]:
    """Return files that say what was run: locks, pipelines, params files, environment.json."""
    files = {path for path in snapshot.files if not path.endswith(".dvc")}
    for stage in snapshot.records.values():
        files.update(stage.params)
    for pipeline in snapshot.pipelines.values():
        files.update(pipeline.variables)
    return sorted({*files, *snapshot.params_files, "params.yaml"})
