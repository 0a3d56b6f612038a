"""Builds the content of the run of a revision or a study, in MLflow's terms."""

import math
import posixpath
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from operator import attrgetter
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import yaml

from ..errors import joined_lines
from ..model import SERIES_FOLDER, Key, holder, is_series, memory_in
from ..output import redact_urls
from ..repository import parsing
from ..repository.reader import Reader
from ..repository.snapshot import Snapshot
from ..results.coordinates import Coordinates, coordinates_of
from ..results.rebuild import rebuild_commands
from ..results.staleness import differences, summary
from ..results.values import (
    Measurements,
    ModelFile,
    Point,
    model_files,
    number,
    read_measurements,
    read_outputs,
)
from . import content as tag
from .content import Content, Dataset, Model, RunContent, tag_text
from .limits import slashed
from .plan import WantedRun

if TYPE_CHECKING:
    from jinja2 import Template

# The most differences that the note and the tag `dvc.stale` list.
MOST_DIFFERENCES = 10
# The largest output in Git, in bytes, that is copied into each run although it is not a metric or plot.
MOST_BYTES = 1_000_000
# The longest value in a table, in characters.
LONGEST_CELL = 80


def revision_content(
    snapshot: Snapshot, wanted: WantedRun, url: str | None = None, copy_models: bool = False
) -> RunContent:
    """Return the content of the run of an experiment or a commit.

    Args:
        snapshot: the snapshot of the revision.
        wanted: the run that should exist.
        url: the address from which the project can be cloned; None if it has none.
        copy_models: add the model files that are in the DVC cache to the artifacts.

    Raises:
        UnreadableError: a file of the revision is broken.
    """
    coordinates = coordinates_of(snapshot)
    time = 1000 * snapshot.time
    models = model_files(snapshot)
    copied = [model.path for model in models] if copy_models else []
    outputs = read_outputs(snapshot, copied)
    measured = read_measurements(outputs.contents, snapshot.metric_files, time)
    metrics, series = name_values(measured)
    tags = _tags(snapshot, coordinates, wanted, url)
    # Metrics, plots and models are always copied into the run. Other large outputs that Git tracks are only
    # listed in a tag.
    always_shown = [*snapshot.metric_files, *snapshot.plot_files, *copied]
    large = []
    artifacts: dict[str, bytes | None] = {}
    for path, content in (outputs.contents | _definition_files(snapshot)).items():
        is_large = path in outputs.contents and len(content) > MOST_BYTES
        if is_large and snapshot.in_git(path) and not holder(always_shown, path):
            large.append(path)
            continue
        is_logged = is_series(path) and path not in measured.unread  # its points are metrics of the run
        if not is_logged and not path.startswith("../"):
            artifacts[path] = content
    if large:
        tags[tag.IN_GIT] = tag_text(f"in Git only, for their size: {', '.join(large)}")
    return RunContent(
        key=snapshot.rev,
        name=wanted.name,
        start=time,
        end=time,
        tags=tags,
        params=redacted(snapshot.params),
        metrics=metrics,
        series=series,
        datasets=_datasets(snapshot, coordinates, url),
        models=[_model(snapshot, model, url) for model in models],
        artifacts=artifacts,
        missing=outputs.missing,
        lacking=outputs.missing,
        unread=measured.unread,
        has_models=copy_models,
        snapshot=snapshot,
        experiment=wanted.experiment,
    )


def study_content(wanted: WantedRun, reader: Reader) -> Content:
    """Return the content of the run of a study: its best trial so far, and the reports of the search.

    The params of the best trial are tags, because they change with the best trial, and MLflow cannot
    change params.
    """
    root = reader.root
    trials = sorted(wanted.trials, key=attrgetter("committed", "name"))
    note = f"Search `{wanted.name}`, each trial a DVC experiment: `dvc exp apply <dvc.rev of its run>`"
    content = Content(
        key=wanted.key,
        name=wanted.name,
        start=1000 * trials[0].committed,
        end=1000 * trials[-1].committed,
        tags={"dvc.study": wanted.name, tag.NOTE: note},
    )
    for file in (root / "reports" / "search" / wanted.name).rglob("*"):
        if file.is_file():
            content.artifacts[file.relative_to(root).as_posix()] = file.read_bytes()
    best: dict[str, str] = {}
    lowest_loss = math.inf
    for trial, snapshot in zip(trials, reader.snapshots(trial.rev for trial in trials), strict=True):
        try:
            memory = memory_in(snapshot.commit)
            (metric,), (direction,) = memory["metrics"], memory["directions"]
            key = Key.parse(metric)
            value = float(key.value_in(parsing.parse(key.file, snapshot.read(key.file) or b"")))
        except (LookupError, TypeError, ValueError, yaml.YAMLError):
            continue  # the trial has several objectives, or its value cannot be read
        sign = 1 if direction == "minimize" else -1
        if sign * value < lowest_loss:
            lowest_loss = sign * value
            best = {tag.BEST: trial.name}
            for name, param in memory["trial"]["params"].items():
                best[f"{tag.BEST}.{name}"] = str(redacted(param))
        points = content.series.setdefault(f"best_{key.dotted}", [])
        points.append(Point(len(points) + 1, str(sign * lowest_loss), 1000 * trial.committed))
    content.tags |= best
    return content


def name_values(measured: Measurements) -> tuple[dict[str, Any], dict[str, list[Point]]]:
    """Return the final values and the series by the keys under which MLflow shows them.

    A key is the name of a value with slashes in place of dots. If values of different folders or files
    have the same name, the path of the folder or file is put before it. A final value is left out if it
    is the last value of its series.
    """
    series: dict[tuple[str, str], list[Point]] = {}
    for path, points in measured.series.items():
        place, _, file = path.rpartition(SERIES_FOLDER)
        series[place, file.removesuffix(".tsv")] = points
    finals = _final_values(measured.metrics)
    keys = _unique_keys([*series, *finals])
    metrics = {}
    for place_and_name, value in finals.items():
        key = keys[place_and_name]
        if place_and_name not in series:
            metrics[key] = value
        elif points := series[place_and_name]:
            last = points[-1].value
            if str(value) != last and value != number(last):
                metrics[f"final/{key}"] = value
    return metrics, {keys[place_and_name]: points for place_and_name, points in series.items()}


def _final_values(metrics: Mapping[str, Mapping[str, Any]]) -> dict[tuple[str, str], Any]:
    """Return final values by place and name.

    The place is the folder of the metrics file or, if several files of the folder have the name, the file.
    """
    values_in_files: dict[tuple[str, str], Any] = {}
    for path, values in metrics.items():
        count_of_name = Counter(map(slashed, values))
        for dotted, value in values.items():
            name = slashed(dotted)
            if count_of_name[name] > 1:
                name = dotted  # one file has both `x.y` and `x/y`: each keeps its name
            # A file that consists of a single value has an empty key: the value is named after the file.
            values_in_files[path, name or PurePosixPath(path).stem] = value
    count_in_folder = Counter((posixpath.dirname(path), name) for path, name in values_in_files)
    finals = {}
    for (path, name), value in values_in_files.items():
        folder = posixpath.dirname(path)
        place = folder if count_in_folder[folder, name] == 1 else path
        finals[f"{place}/" if place else "", name] = value
    return finals


def _unique_keys(values: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return a unique key for each place and name."""
    distinct = dict.fromkeys(values)
    count_of_name = Counter(name for _, name in distinct)
    keys: dict[tuple[str, str], str] = {}
    taken: set[str] = set()
    for place, name in distinct:
        key = name if count_of_name[name] == 1 else place + name
        attempt = 1
        while key in taken:
            attempt += 1
            key = f"{place}{name} {attempt}"
        keys[place, name] = key
        taken.add(key)
    return keys


def _tags(snapshot: Snapshot, coordinates: Coordinates, wanted: WantedRun, url: str | None) -> dict[str, str]:
    """Return the tags that identify the revision, say how to rebuild it, and link it to Git."""
    commands = rebuild_commands(snapshot, wanted.experiment, url)
    stale = redact_urls(summary(differences(snapshot), MOST_DIFFERENCES))
    tags = {"dvc.rev": snapshot.rev}
    if stale:
        tags["dvc.stale"] = stale[: tag.LONGEST_TEXT]
    for name, digest in coordinates.digests.items():
        tags[f"coordinate.{name}"] = digest
    tags |= {
        "mlflow.source.git.commit": snapshot.rev,
        "mlflow.source.type": "PROJECT",
        "mlflow.source.name": url or snapshot.reader.root.name,
        "mlflow.user": snapshot.author,
        tag.NOTE: revision_note(snapshot.rev, coordinates, commands, stale)[: tag.LONGEST_TEXT],
    }
    if url:
        tags["mlflow.source.git.repoURL"] = url
    return tags | wanted.identity_tags


def redacted(value: Any) -> Any:
    """Return the value of a param, with passwords removed from its URLs."""
    if isinstance(value, str):
        return redact_urls(value)
    if isinstance(value, list):
        return list(map(redacted, value))
    if isinstance(value, dict):
        return {key: redacted(item) for key, item in value.items()}
    return value


def _datasets(snapshot: Snapshot, coordinates: Coordinates, url: str | None) -> list[Dataset]:
    """Return the source data. Its source names no revision, so that equal data is one dataset in MLflow."""
    datasets = []
    for path, digest in coordinates.data.content.items():
        entry = snapshot.sources.get(path, {})
        origins = []
        for dep in entry.get("deps", ()):
            repository = dep.get("repo", {}).get("url")
            origins.append(redact_urls(str(repository or dep.get("path", ""))))
        name = redact_urls(path)
        source = {"dvc": name, "md5": digest, "repo": url or snapshot.reader.root.name}
        if origins:
            source["imported from"] = ", ".join(origins)
        if entry.get("size"):
            source["size"] = entry["size"]
        datasets.append(Dataset(name, digest, source))
    return datasets


def _model(snapshot: Snapshot, model: ModelFile, url: str | None) -> Model:
    """Return a model whose tags describe it and say how to get it."""
    place = shlex.quote(posixpath.join(snapshot.reader.prefix, model.path))
    command = f"dvc get {url or '.'} {place} --rev {snapshot.rev}"
    note = f"{model.desc}\n\n`{model.path}`, md5 `{model.md5}`: `{command}`".strip()
    tags = {"dvc.path": model.path, "dvc.md5": model.md5, "dvc.rev": snapshot.rev, tag.NOTE: note}
    return Model(model.name, model.path, tags)


def _definition_files(snapshot: Snapshot) -> dict[str, bytes]:
    """Return the files that define what was run: pipelines, locks, params files and environment.json."""
    paths = {path for path in snapshot.files if not path.endswith(".dvc")}
    for stage in snapshot.records.values():
        paths.update(stage.params)
    for pipeline in snapshot.pipelines.values():
        paths.update(pipeline.variables)
    files = {}
    for path in sorted({*paths, *snapshot.params_files, "params.yaml"}):
        content = snapshot.files.get(path) or snapshot.read(path)
        if content is not None:
            text = redact_urls(content.decode(errors="surrogateescape"))
            files[path] = text.encode(errors="surrogateescape")
    return files


def revision_note(rev: str, coordinates: Coordinates, commands: list[str], stale: str = "") -> str:
    """Return a note in Markdown: the commands that rebuild a revision, and its five coordinates.

    `stale` lists what has changed since the results were made; empty if nothing has.
    """
    outputs = {}
    for name, stage in coordinates.execution.content["stages"].items():
        for path, md5 in stage["outs"].items():
            outputs[f"{name} → {path}"] = md5
    facts = {"rev": rev, "commands": commands, "stale": stale, "outputs": outputs}
    return redact_urls(_note_template().render(facts, **vars(coordinates)))


@cache
def _note_template() -> "Template":
    # Imported here because a mirror that finds nothing new writes no note.
    from jinja2 import Environment, PackageLoader, StrictUndefined

    templates = Environment(loader=PackageLoader("locatable.mlflow"), undefined=StrictUndefined)  # noqa: S701 (no HTML)
    templates.filters["cell"] = _cell
    return templates.get_template("note.md.j2")


def _cell(value: object) -> str:
    """Return a value as the text of a cell in a Markdown table; a long value is cut and ends with `…`."""
    text = joined_lines(value).replace("|", "\\|").replace("`", "'")
    return text if len(text) <= LONGEST_CELL else text[: LONGEST_CELL - 3] + "…"
