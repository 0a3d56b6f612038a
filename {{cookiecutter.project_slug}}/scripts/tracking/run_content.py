"""What MLflow shows of a revision: params, metrics, series, source data, model, plots, how to rebuild it."""

import csv
import io
import posixpath
import re
from pathlib import Path
from typing import Any

from .. import coordinates
from ..history import describe
from ..history.revisions import Experiment
from ..history.snapshot import Snapshot, join
from .mirrored import STUDY
from .mlflow_runs import Content

SERIES = "plots/metrics/"  # where DVCLive puts them, below its folder


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
    found = coordinates.of(snapshot)
    commands = describe.rebuild(snapshot, experiment, url)
    time = 1000 * snapshot.time
    author = re.search(r"^author (.*) <.*> \d+ [-+]\d+$", snapshot.commit, re.MULTILINE)
    outputs = _outputs(snapshot)
    models = _models(snapshot, url)
    files, missing = _files(snapshot, outputs, list(models) if copy_models else [])
    tags = {
        "dvc.rev": snapshot.rev,
        **{f"coordinate.{name}": getattr(found, name).digest for name in vars(found)},
        "mlflow.source.git.commit": snapshot.rev,
        "mlflow.source.type": "PROJECT",
        "mlflow.source.name": url or snapshot.reader.root.name,
        "mlflow.user": author[1] if author else "",
        "mlflow.note.content": describe.markdown(snapshot, found, commands)[:7900],
    }
    if url:
        tags["mlflow.source.git.repoURL"] = url
    if experiment:
        tags |= {"dvc.exp": experiment.name, "dvc.baseline": experiment.baseline}
        tags |= {"dvc.study": experiment.study} if experiment.study else {}
    if missing:
        tags["mirror.missing"] = f"not in this machine's DVC cache: {', '.join(missing)}"[:7900]
    return Content(
        key=snapshot.rev,
        name=experiment.name if experiment else f"baseline {snapshot.rev[:7]}",
        start=time,
        end=time,
        tags=tags,
        params={key: describe.public(v) if isinstance(v, str) else v for key, v in snapshot.params.items()},
        metrics=_metrics(snapshot, outputs, time),
        datasets=[(path, md5, _source(snapshot, path, md5, url)) for path, md5 in found.data.content.items()],
        models=list(models.values()),
        files=files,
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


def _outputs(snapshot: Snapshot) -> dict[str, bytes]:
    """Content by path of all output files that Git itself keeps."""
    outs = {out for stage in snapshot.stages.values() for out in stage.outs}
    kept = {path: blob for out in sorted(outs) for path, blob in snapshot.kept(out).items()}
    contents = snapshot.reader.objects.blobs(kept.values())
    return {path: contents[blob] for path, blob in kept.items()}


def _metrics(snapshot: Snapshot, outputs: dict[str, bytes], time: int) -> list[tuple[str, Any, int, int]]:
    """Every step of every DVCLive series; and final values, where they are not a series' last step."""
    tables = {}
    for path, content in outputs.items():
        folder, series, name = path.rpartition(SERIES)
        if series and name.endswith(".tsv"):
            tables[folder, name.removesuffix(".tsv")] = content.decode()
    finals = {
        (posixpath.dirname(path) + "/", re.sub(r"\.(?=\D)", "/", key)): value
        for path, values in snapshot.metrics.items()
        for key, value in values.items()
    }
    # The same name in two files: each with its folder before it.
    folders: dict[str, set[str]] = {}
    for folder, name in (*tables, *finals):
        folders.setdefault(name, set()).add(folder)
    found = []
    for (folder, name), table in tables.items():
        key = name if len(folders[name]) == 1 else folder + name
        rows = list(csv.DictReader(io.StringIO(table), delimiter="\t"))
        points = [(int(float(row["step"])), list(row.values())[-1], row.get("timestamp")) for row in rows]
        # A millisecond a step, where the series has no times: MLflow also draws over time, and needs some.
        found += [(key, value, int(stamp) if stamp else time + step, step) for step, value, stamp in points]
        final = finals.pop((folder, name), None)
        if final is not None and points and str(final) != points[-1][1] and final != float(points[-1][1]):
            found.append((f"final/{key}", final, time, 0))
    for (folder, name), value in finals.items():
        found.append((name if len(folders[name]) == 1 else folder + name, value, time, 0))
    return found


def _source(snapshot: Snapshot, path: str, md5: str, url: str | None) -> dict[str, Any]:
    """Where MLflow says that a dataset is: the same for every revision that has it."""
    entry = snapshot.sources.get(path, {})
    came = [
        describe.public(str(dep.get("repo", {}).get("url") or dep.get("path", "")))
        for dep in entry.get("deps", ())
    ]
    source = {
        "dvc": path,
        "md5": md5,
        "repo": url or snapshot.reader.root.name,
        "imported from": ", ".join(came),
    }
    return {key: value for key, value in {**source, "size": entry.get("size")}.items() if value}


def _models(snapshot: Snapshot, url: str | None) -> dict[str, tuple[str, dict[str, str]]]:
    """Name and tags by path of each output that dvc.yaml calls an artifact of type `model`."""
    outs = {path: entry for stage in snapshot.stages.values() for path, entry in stage.outs.items()}
    found = {}
    for folder, pipeline in _pipelines(snapshot):
        for name, artifact in (pipeline.get("artifacts") or {}).items():
            path = join(folder, artifact.get("path", ""))
            if artifact.get("type") == "model" and path in outs:
                tags = {"dvc.path": path, "dvc.md5": str(outs[path].get("md5", "")), "dvc.rev": snapshot.rev}
                where = (
                    f"`{path}`, md5 `{tags['dvc.md5']}`: `dvc get {url or '.'} {path} --rev {snapshot.rev}`"
                )
                tags["mlflow.note.content"] = f"{artifact.get('desc', '')}\n\n{where}".strip()
                found[path] = (name, tags)
    return found


def _files(
    snapshot: Snapshot, outputs: dict[str, bytes], models: list[str]
) -> tuple[dict[str, bytes], list[str]]:
    """Artifacts by path, and the cached files that should be among them but are not on this machine."""
    asked = {path for stage in snapshot.stages.values() for path in stage.params} | {"params.yaml"}
    pipeline = {path for path in snapshot.files if not path.endswith(".dvc")}
    files = {}
    for path in sorted(asked | pipeline):
        content = snapshot.files.get(path) or snapshot.read(path)
        if content is not None:
            files[path] = describe.public(content.decode(errors="surrogateescape")).encode(
                errors="surrogateescape"
            )
    shown = {path: content for path, content in outputs.items() if SERIES not in path}
    files |= {path: content for path, content in shown.items() if path not in snapshot.metrics}
    missing = []
    outs = {path: entry for stage in snapshot.stages.values() for path, entry in stage.outs.items()}
    for path in dict.fromkeys([*_plots(snapshot), *models]):
        if path in outs and not snapshot.has(path):
            for file, md5 in snapshot.reader.inside(path, str(outs[path].get("md5", ""))).items():
                cached = snapshot.reader.cached(md5)
                if cached:
                    files[file] = cached.read_bytes()
                else:
                    missing.append(file)
    return {path: content for path, content in files.items() if not path.startswith("../")}, missing


def _plots(snapshot: Snapshot) -> list[str]:
    """Paths that dvc.yaml calls plots, whether Git or DVC keeps them."""
    found = []
    for folder, pipeline in _pipelines(snapshot):
        places = [(folder, pipeline)]
        places += [
            (join(folder, stage.get("wdir") or "."), stage)
            for stage in (pipeline.get("stages") or {}).values()
        ]
        for where, holder in places:
            for plot in holder.get("plots") or ():
                found += [join(where, path) for path in (plot if isinstance(plot, dict) else [plot])]
    return found


def _pipelines(snapshot: Snapshot) -> list[tuple[str, dict[str, Any]]]:
    folders = [posixpath.dirname(path) for path in snapshot.files if posixpath.basename(path) == "dvc.yaml"]
    return [(folder, snapshot.pipeline(folder)) for folder in folders]
