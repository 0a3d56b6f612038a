"""What a run in MLflow shows of a revision or a study, in MLflow's words."""

import math
import posixpath
import shlex
from collections import Counter
from collections.abc import Mapping
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

# That a run tells.
MOST_DIFFERENCES = 10
# Bytes of an output that Git keeps and that no dvc.yaml calls a metric or plot, to be copied into each run.
MOST_BYTES = 1_000_000
# Characters of a value in a table.
LONGEST_CELL = 80


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
    models = model_files(snapshot)
    copied = [model.path for model in models] if copy_models else []
    outputs = read_outputs(snapshot, copied)
    measured = read_measurements(outputs.contents, snapshot.metric_files, time)
    metrics, series = name_values(measured)
    tags = _tags(snapshot, coordinates, wanted, url)
    # Large outputs stay in Git alone: they would be copied into each run, the same or not.
    shown = [*snapshot.metric_files, *snapshot.plot_files, *copied]
    large = []
    artifacts: dict[str, bytes | None] = {}
    for path, content in (outputs.contents | _definition_files(snapshot)).items():
        is_large = path in outputs.contents and len(content) > MOST_BYTES
        if is_large and snapshot.in_git(path) and not holder(shown, path):
            large.append(path)
        # Series that could be read are metrics already.
        elif (not is_series(path) or path in measured.unread) and not path.startswith("../"):
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
    """Return the run that holds a search's trials, with the best of them and what the search has reported.

    Params in MLflow cannot change, but the best trial does: so its params are tags.
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
    best_value = math.inf
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
            best = {tag.BEST: trial.name}
            for name, param in memory["trial"]["params"].items():
                best[f"{tag.BEST}.{name}"] = str(redacted(param))
        points = content.series.setdefault(f"best_{key.dotted}", [])
        points.append(Point(len(points) + 1, str(sign * best_value), 1000 * trial.committed))
    content.tags |= best
    return content


def name_values(measured: Measurements) -> tuple[dict[str, Any], dict[str, list[Point]]]:
    """Return final values and series by the keys that MLflow shows them under.

    A key is the value's own name, with slashes for dots; where two places have that name, a folder or a file
    comes before it. A final value that its series ends with is not shown twice.
    """
    series: dict[tuple[str, str], list[Point]] = {}
    for path, points in measured.series.items():
        place, _, own = path.rpartition(SERIES_FOLDER)
        series[place, own.removesuffix(".tsv")] = points
    finals = _finals(measured.metrics)
    keys = _unique_keys(list(dict.fromkeys([*series, *finals])))
    metrics = {}
    for name, value in finals.items():
        if name not in series:
            metrics[keys[name]] = value
        elif series[name]:
            last = series[name][-1].value
            if str(value) != last and value != number(last):
                metrics[f"final/{keys[name]}"] = value
    return metrics, {keys[name]: points for name, points in series.items()}


def _finals(metrics: Mapping[str, Mapping[str, Any]]) -> dict[tuple[str, str], Any]:
    """Return final values by name and its place: a folder, or a file where two in a folder have the name."""
    named: dict[tuple[str, str], Any] = {}
    for path, values in metrics.items():
        same = Counter(map(slashed, values))
        for dotted, value in values.items():
            own = slashed(dotted)
            if same[own] > 1:
                own = dotted  # `x.y` keeps DVC's own key beside `x/y`
            # A file that is one value gives it its own name.
            named[path, own or PurePosixPath(path).stem] = value
    times = Counter((posixpath.dirname(path), own) for path, own in named)
    finals = {}
    for (path, own), value in named.items():
        folder = posixpath.dirname(path)
        place = folder if times[folder, own] == 1 else path
        finals[f"{place}/" if place else "", own] = value
    return finals


def _unique_keys(names: list[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return the key of each place and name, and never the same key twice."""
    times = Counter(own for _, own in names)
    keys: dict[tuple[str, str], str] = {}
    taken: set[str] = set()
    for place, own in names:
        key = own if times[own] == 1 else place + own
        number_of_same = 1
        while key in taken:
            number_of_same += 1
            key = f"{place}{own} {number_of_same}"
        keys[place, own] = key
        taken.add(key)
    return keys


def _tags(snapshot: Snapshot, coordinates: Coordinates, wanted: WantedRun, url: str | None) -> dict[str, str]:
    commands = rebuild_commands(snapshot, wanted.experiment, url)
    stale = redact_urls(summary(differences(snapshot), MOST_DIFFERENCES))
    tags = {"dvc.rev": snapshot.rev}
    if stale:
        tags["dvc.stale"] = stale[: tag.LONGEST_TEXT]
    for name in vars(coordinates):
        tags[f"coordinate.{name}"] = getattr(coordinates, name).digest
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
    """Return a param without the passwords in its URLs."""
    if isinstance(value, str):
        return redact_urls(value)
    if isinstance(value, list):
        return list(map(redacted, value))
    if isinstance(value, dict):
        return {key: redacted(item) for key, item in value.items()}
    return value


def _datasets(snapshot: Snapshot, coordinates: Coordinates, url: str | None) -> list[Dataset]:
    """Return the source data; where MLflow says that it is, is the same for all revisions that have it."""
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
    """Return a model with what it is and how to get it."""
    place = shlex.quote(posixpath.join(snapshot.reader.prefix, model.path))
    command = f"dvc get {url or '.'} {place} --rev {snapshot.rev}"
    note = f"{model.desc}\n\n`{model.path}`, md5 `{model.md5}`: `{command}`".strip()
    tags = {"dvc.path": model.path, "dvc.md5": model.md5, "dvc.rev": snapshot.rev, tag.NOTE: note}
    return Model(model.name, model.path, tags)


def _definition_files(snapshot: Snapshot) -> dict[str, bytes]:
    """Return files that say what was run: locks, pipelines, params files, environment.json."""
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
    """Return how to rebuild a revision, and its five coordinates, as Markdown.

    `stale` says in what it differs from what made its results; it is empty where they are its own.
    """
    outputs = {}
    for name, stage in coordinates.execution.content["stages"].items():
        for path, md5 in stage["outs"].items():
            outputs[f"{name} → {path}"] = md5
    facts = {"rev": rev, "commands": commands, "stale": stale, "outputs": outputs}
    return redact_urls(_note_template().render(facts, **vars(coordinates)))


@cache
def _note_template() -> "Template":
    # Imported here: a mirror that finds nothing new writes no note.
    from jinja2 import Environment, PackageLoader, StrictUndefined

    templates = Environment(loader=PackageLoader("locatable.mlflow"), undefined=StrictUndefined)  # noqa: S701 (no HTML)
    templates.filters["cell"] = _cell
    return templates.get_template("note.md.j2")


def _cell(value: object) -> str:
    """Return a value as one cell of a Markdown table; longer ones are cut, and say so."""
    text = joined_lines(value).replace("|", "\\|").replace("`", "'")
    return text if len(text) <= LONGEST_CELL else text[: LONGEST_CELL - 3] + "…"
