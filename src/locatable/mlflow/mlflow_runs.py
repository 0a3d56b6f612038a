"""Runs in an MLflow store: made and completed. Knows MLflow, and nothing of Git or DVC."""

import json
import logging
import math
import os
import posixpath
import re
import tempfile
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

# Before MLflow is imported: nothing is reported to anyone, and no server is waited for without end.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")

from mlflow import MlflowClient
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelOutput,
    LoggedModelStatus,
    Metric,
    Param,
    Run,
    RunTag,
)
from mlflow.exceptions import MlflowException

from .mirrored import COMPLETE, engine

logging.getLogger("alembic").setLevel(logging.WARNING)
# The errors that it logs, with a traceback, it raises as well.
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)

# MLflow's limits: a batch's metrics and params, a key, a param's value.
METRICS, PARAMS, KEY, VALUE = 800, 100, 250, 6000
ODD = re.compile(r"[#?%\x00-\x1f]")


class LostError(Exception):
    """Another mirror made this run too, and its run stays."""


@dataclass
class Content:
    """All of a run; times in milliseconds since 1970."""

    key: str
    name: str
    start: int
    end: int
    tags: dict[str, str]
    params: dict[str, Any] = field(default_factory=dict)
    metrics: list[tuple[str, Any, int, int]] = field(default_factory=list)  # key, value, time, step
    datasets: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)  # name, hash, source
    models: list[tuple[str, dict[str, str]]] = field(default_factory=list)  # name, tags
    files: dict[str, bytes] = field(default_factory=dict)  # content by artifact path


def connect(uri: str, name: str, artifacts: Path) -> tuple[MlflowClient, str]:
    """A client and the id of the experiment `name`, made if need be; `artifacts` go beside a SQLite file.

    Raises:
        MlflowException, sqlalchemy.exc.SQLAlchemyError or OSError: the store cannot be used.
    """
    if re.match(r"(postgresql|mysql|mssql)", uri):
        # MLflow itself would try again for an hour.
        engine(uri).connect().close()
    client = MlflowClient(uri)
    found = client.get_experiment_by_name(name)
    if not found:
        location = artifacts.as_uri() if uri.startswith("sqlite:") else None
        if location:
            # The copies of dvc.yaml in there are neither Git's business nor DVC's.
            artifacts.mkdir(parents=True, exist_ok=True)
            for ignore in (".gitignore", ".dvcignore"):
                (artifacts / ignore).write_text("*\n")
        try:
            return client, client.create_experiment(
                name, location, {"mlflow.experimentKind": "custom_model_development"}
            )
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)  # by another mirror, a moment ago
    if found.lifecycle_stage == "deleted":
        raise MlflowException(f"experiment {name!r} is deleted; restore it, or use another with --experiment")
    return client, found.experiment_id


def create(client: MlflowClient, experiment_id: str, content: Content, parent: str | None) -> str:
    """Make a run that claims its key, and nothing more; returns its id."""
    tags = {**content.tags, "mirror.state": "begun"}
    if parent:
        tags["mlflow.parentRunId"] = parent
    return client.create_run(experiment_id, content.start, tags, content.name).info.run_id


def complete(
    client: MlflowClient, experiment_id: str, run_id: str, content: Content, begun: bool, again: bool = False
) -> None:
    """Give a run all its content, `mirror.state` last; every step can be done twice.

    `begun`: another mirror began this run and may have got anywhere. `again`: it is complete, and there is
    more now. LostError: it was deleted meanwhile.
    """
    params, metrics, tags = _storable(content)
    try:
        run = client.get_run(run_id) if begun or again else None
        if run and run.data.tags.get("mirror.state") == COMPLETE and not again:
            return
        if again:
            tags += [RunTag(key, value) for key, value in content.tags.items() if key.startswith("mirror.")]
            if "mirror.missing" in run.data.tags.keys() - content.tags.keys():
                client.delete_tag(run_id, "mirror.missing")
        if content.files:
            _artifacts(client, run_id, content.files)
        if content.datasets:
            _datasets(client, run_id, content.datasets)
        for name, model_tags in content.models:
            _model(client, experiment_id, run_id, name, model_tags, run)
        client.set_terminated(run_id, "FINISHED", content.end)
        tags.append(RunTag("mirror.state", COMPLETE))
        while len(params) > PARAMS or len(metrics) > METRICS:
            client.log_batch(run_id, metrics[:METRICS], params[:PARAMS])
            params, metrics = params[PARAMS:], metrics[METRICS:]
        client.log_batch(run_id, metrics, params, tags)
    except MlflowException:
        if client.get_run(run_id).info.lifecycle_stage == "deleted":
            raise LostError(run_id) from None
        raise


def _storable(content: Content) -> tuple[list[Param], list[Metric], list[RunTag]]:
    """Params and metrics as MLflow can hold them; what it cannot hold goes to the file mirror/kept.json."""
    kept: dict[str, dict[str, Any]] = {"params": {}, "metrics": {}, "artifacts": {}}
    keys, params, metrics = {}, [], []
    for name, value in content.params.items():
        key, text = _key(name, keys), value if isinstance(value, str) else json.dumps(value, default=str)
        if key != name or len(text) > VALUE:
            kept["params"][name] = value
        params.append(Param(key, text if len(text) <= VALUE else text[: VALUE - 1] + "…"))
    keys = {}
    for name, value, time, step in content.metrics:
        key, real = _key(name, keys), number(value)
        rounded = isinstance(value, int) and real != value
        if key != name or real is None or math.isinf(real) or rounded:
            kept["metrics"].setdefault(name, []).append([step, value])
        if real is not None:
            metrics.append(Metric(key, real, time, step))
    for path in [path for path in content.files if ODD.search(path)]:
        # MLflow's HTTP client takes these characters for parts of an address.
        changed = ODD.sub(lambda found: f"~{ord(found[0]):02x}", path)
        content.files[changed] = content.files.pop(path)
        kept["artifacts"][path] = changed
    count = sum(map(len, kept.values()))
    if not count:
        return params, metrics, []
    content.files["mirror/kept.json"] = json.dumps(kept, indent=1, ensure_ascii=False, default=str).encode()
    return params, metrics, [RunTag("mirror.kept", f"{count} as they are in Git: see mirror/kept.json")]


def _key(name: str, taken: dict[str, str]) -> str:
    """A key that MLflow allows, the same one for the same name and another one for any other."""
    key = re.sub(r"[^\w.\- :/]", "_", name)
    if posixpath.normpath(key) != key or key.startswith(("..", "/", ".")):
        key = re.sub(r"[/.]", "_", key) or "_"
    key = key if len(key) <= KEY else key[: KEY - 9]
    if taken.setdefault(key, name) != name:
        key = f"{key[: KEY - 9]} {sha256(name.encode()).hexdigest()[:8]}"
        taken[key] = name
    return key


def number(value: Any) -> float | None:
    """A value as MLflow takes it, None where it is no number."""
    try:
        return float(value)  # DVCLive writes NaN and infinities as strings
    except (TypeError, ValueError, OverflowError):
        return None


def _artifacts(client: MlflowClient, run_id: str, files: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for path, content in files.items():
            (Path(folder) / path).parent.mkdir(parents=True, exist_ok=True)
            (Path(folder) / path).write_bytes(content)
        client.log_artifacts(run_id, folder)


def _datasets(client: MlflowClient, run_id: str, datasets: list[tuple[str, str, dict[str, Any]]]) -> None:
    entries = [_dataset(*dataset) for dataset in datasets]
    try:
        client.log_inputs(run_id, entries)
    except MlflowException as error:
        # MLflow looks whether it has a dataset, then adds it: another mirror can come in between.
        if error.error_code != "BAD_REQUEST":
            raise
        client.log_inputs(run_id, entries)


def _dataset(name: str, digest: str, source: dict[str, Any]) -> DatasetInput:
    short = digest if len(digest) <= 36 else sha256(digest.encode()).hexdigest()[:36]
    profile = json.dumps({key: source[key] for key in ("size", "nfiles") if key in source})
    dataset = Dataset(name[:500], short, "external", json.dumps(source), profile=profile)
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "source data")])


def _model(
    client: MlflowClient, experiment: str, run_id: str, name: str, tags: dict[str, str], begun: Run | None
):
    """An external logged model, without the empty MLmodel file that doubles what it costs to make one."""
    made = client.search_logged_models([experiment], f"source_run_id = '{run_id}'") if begun else []
    model = next((model for model in made if model.name == name), None)
    if not model:
        model = client.create_logged_model(
            experiment, name, run_id, {**tags, "mlflow.model.isExternal": "true"}
        )
    client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    if not begun or model.model_id not in {output.model_id for output in begun.outputs.model_outputs}:
        client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 0)])
