"""Opens an MLflow store, lists its runs and writes them.

This is the only module that imports MLflow, which takes two seconds. It knows nothing of Git or DVC.
"""

import json
import logging
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from sqlalchemy import create_engine
from sqlalchemy.exc import SQLAlchemyError
from tqdm import tqdm

from ..addresses import sqlite_file, sqlite_url
from ..errors import SettingsError, StoreError, joined_lines
from ..git import ignore_locally
from ..output import redact_urls
from . import content as tag
from .content import Content, Dataset, Model, storable
from .known import (
    EXPERIMENT_TAGS,
    FINISHED,
    KnownRuns,
    RefusedError,
    RunDeletedError,
    find_obstacle,
    is_complete,
    limited,
    plan_update,
    runs_by_key,
)
from .limits import FittedContent, MetricPoint, NameRules, Rule, fit
from .settings import TrackingSettings

# MLflow reads these variables when it is imported: it sends no telemetry, and does not wait for a server
# forever.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")

from mlflow import MlflowClient, entities
from mlflow.exceptions import MlflowException
from mlflow.utils import validation
from mlflow.utils.uri import validate_path_is_safe

logging.getLogger("alembic").setLevel(logging.WARNING)
# MLflow logs an error of the database with a traceback before it raises the error. Hide the log.
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)

# MLflow's limits for one batch of values.
MOST_METRICS = 800
MOST_PARAMS = 100
MOST_TAGS = 100
# The longest part of an error message that is shown, in characters.
LONGEST_REASON = 400
FILE_STORE = (
    "MLflow no longer writes to folders of files: name a database, such as sqlite:///mlflow.db, into which "
    "`mlflow migrate-filestore` brings the runs of a folder, or set MLFLOW_ALLOW_FILE_STORE=true"
)


def reason(error: Exception) -> str:
    """Return the message of an error of MLflow or its database, cut at the end of a sentence if possible."""
    if "MLFLOW_ALLOW_FILE_STORE" in str(error):
        return FILE_STORE
    # SQLAlchemy appends the statement and its values to the message of the database.
    message = redact_urls(joined_lines(error).partition(" [SQL: ")[0])
    if len(message) <= LONGEST_REASON:
        return message
    sentences = message[:LONGEST_REASON].rpartition(". ")[0]
    return f"{sentences}." if sentences else f"{message[:LONGEST_REASON]} …"


def _accepted_by(check: Callable[[str], object]) -> Callable[[str], bool]:
    """Return a function that tells whether one of MLflow's checks accepts a name."""

    @lru_cache(10_000)  # most runs have the same names
    def accepts(name: str) -> bool:
        try:
            check(name)
        except MlflowException:
            return False
        return True

    return accepts


_is_safe_path = _accepted_by(validate_path_is_safe)
_is_ambiguous_path: Callable[[str], bool] = validation.path_not_unique


def _is_part_of_a_path(name: str) -> bool:
    """Return whether an artifact, or a folder of artifacts, can have this name, also on a tracking server."""
    path = f"{name}/file"
    # MLflow's HTTP client would read these characters as parts of an address.
    is_special = re.search(r"[#?%\x00-\x1f]", name)
    return not is_special and not _is_ambiguous_path(path) and _is_safe_path(path)


# MLflow does not check two of these limits: its databases hold 500 characters of a model's name, and file
# systems 255 bytes of a file's name.
RULES = NameRules(
    param=Rule(_accepted_by(validation._validate_param_name), validation.MAX_ENTITY_KEY_LENGTH),
    metric=Rule(_accepted_by(validation._validate_metric_name), validation.MAX_ENTITY_KEY_LENGTH),
    tag=Rule(_accepted_by(validation._validate_tag_name), validation.MAX_ENTITY_KEY_LENGTH),
    model=Rule(_accepted_by(validation._validate_logged_model_name), 500),
    dataset=Rule(bool, validation.MAX_DATASET_NAME_SIZE),
    artifact=Rule(
        _is_part_of_a_path,
        255,
        size=lambda name: len(os.fsencode(name)),
        replace=lambda character: f"~{ord(character):02x}",
    ),
)


def connect(settings: TrackingSettings) -> tuple[MlflowClient, str]:
    """Return a client and the id of the experiment, which is created if it does not exist.

    Raises:
        MlflowException, sqlalchemy.exc.SQLAlchemyError or OSError: the store cannot be used.
    """
    file = sqlite_file(settings.uri)
    if file and file.is_absolute() and not file.exists():
        # MLflow takes several seconds for this without a message, so one line is shown on a terminal
        # meanwhile.
        with tqdm(desc=f"creating {file.name}", bar_format="{desc}", leave=False, disable=None):
            create_database(file)
    if re.match("(postgresql|mysql|mssql)", settings.uri):
        # Fail after ten seconds if the database server does not answer: MLflow would try again for an hour.
        create_engine(settings.uri, connect_args={"connect_timeout": 10}).connect().close()
    client = MlflowClient(settings.uri)
    experiment = _experiment(client, settings)
    if experiment.lifecycle_stage == "deleted":
        name = experiment.name
        raise MlflowException(f"experiment {name!r} is deleted; restore it, or use another with --experiment")
    return client, experiment.experiment_id


def create_database(file: Path) -> None:
    """Create a database and have Git ignore it: everything in it can be rebuilt from Git.

    MLflow creates a database in many steps, and one that is half created cannot be used. So it is created
    in a temporary folder and linked when it is complete; if another process was faster, that database is
    kept. Does nothing if the file exists, or if its folder does not.
    """
    if file.exists() or not file.parent.is_dir():
        return
    with tempfile.TemporaryDirectory(prefix=f"{file.name}.", dir=file.parent) as folder:
        MlflowClient(sqlite_url(Path(folder) / "new")).search_experiments()
        with suppress(FileExistsError):
            os.link(f"{folder}/new", file)
    ignore_locally(file)


def _experiment(client: MlflowClient, settings: TrackingSettings) -> entities.Experiment:
    """Return the MLflow experiment of these settings; create it if it does not exist."""
    if settings.experiment is None:
        return _experiment_by_id(client, settings)
    experiment = client.get_experiment_by_name(settings.experiment)
    if not experiment:
        experiment = _create_experiment(client, settings.experiment, settings)
    if settings.experiment_id not in (None, experiment.experiment_id):
        raise SettingsError(
            f"MLFLOW_EXPERIMENT_ID is {settings.experiment_id}, and the experiment {settings.experiment!r} "
            f"has the id {experiment.experiment_id}",
            hint="set one of MLFLOW_EXPERIMENT_ID and MLFLOW_EXPERIMENT_NAME, or use --experiment",
        )
    return experiment


def _experiment_by_id(client: MlflowClient, settings: TrackingSettings) -> entities.Experiment:
    try:
        return client.get_experiment(str(settings.experiment_id))
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        raise SettingsError(
            f"MLFLOW_EXPERIMENT_ID is {settings.experiment_id}, and {redact_urls(settings.uri)} has no such "
            "experiment",
            hint="set MLFLOW_EXPERIMENT_NAME instead, or use --experiment",
        ) from None


def _create_experiment(client: MlflowClient, name: str, settings: TrackingSettings) -> entities.Experiment:
    location = None
    if settings.uri.startswith("sqlite:"):
        # Git and DVC must ignore the artifacts: they contain copies of dvc.yaml.
        settings.artifacts.mkdir(parents=True, exist_ok=True)
        for ignored in (".gitignore", ".dvcignore"):
            (settings.artifacts / ignored).write_text("*\n")
        location = settings.artifacts.as_uri()
    tags = {"mlflow.experimentKind": "custom_model_development"}
    if settings.refused_name is not None:
        tags["mirror.experiment"] = storable(settings.refused_name)
    try:
        return client.get_experiment(client.create_experiment(name, location, tags))
    except MlflowException as error:
        # Another mirror may have created it at the same time.
        experiment = client.get_experiment_by_name(name)
        if error.error_code != "RESOURCE_ALREADY_EXISTS" or not experiment:
            raise
        return experiment


def mirrored_revision(uri: str, run_id: str) -> str | None:
    """Return the revision that an MLflow run shows; None if the store has no such run.

    Raises:
        SettingsError: the store cannot be used.
    """
    file = sqlite_file(uri)
    if file and not file.exists():
        return None
    try:
        return MlflowClient(uri).get_run(run_id).data.tags.get("dvc.rev")
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise SettingsError(f"{redact_urls(uri)}: {reason(error)}") from None
        return None


def check_store(uri: str) -> None:
    """Check that MLflow can use a store.

    Raises:
        StoreError: it cannot, because a different version of MLflow created the store, or the kind of
            store is not supported.
    """
    try:
        MlflowClient(uri).search_experiments(max_results=1)
    except (MlflowException, SQLAlchemyError, OSError) as error:
        raise StoreError(f"{redact_urls(uri)}: {reason(error)}") from None


class RunWriter:
    """Writes the runs of one MLflow experiment.

    Every method can be called again after it failed half-way: the status of a run becomes FINISHED only after
    everything else was written.
    """

    def __init__(self, client: MlflowClient, experiment_id: str) -> None:
        self._client = client
        self._experiment_id = experiment_id

    def list_runs(self) -> KnownRuns:
        """Return the mirrored runs by key, as the MLflow client lists them."""
        runs = []
        token = None
        while True:
            page = self._client.search_runs([self._experiment_id], max_results=1000, page_token=token)
            runs += [(run.info.run_id, run.info.status, run.data.tags) for run in page]
            token = page.token
            if not token:
                return runs_by_key(runs)

    def create_provisional(self, content: Content, parent_id: str | None) -> str:
        """Create the provisional run of an experiment, and return the id of the run."""
        tags = {**content.tags, tag.PARENT: parent_id} if parent_id else content.tags
        with _refusals():
            run = self._client.create_run(self._experiment_id, content.start, tags, content.name)
        return str(run.info.run_id)

    def log_new_values(self, run_id: str, content: Content, logged: set[MetricPoint]) -> None:
        """Log the new params and points of a provisional run.

        Args:
            run_id: the id of the run.
            content: everything that the run should show by now.
            logged: the points that were logged before; the new ones are added to this set.

        Raises:
            RunDeletedError: another watcher deleted the run.
            RefusedError: MLflow does not accept the content.
        """
        fitted = fit(content, RULES)
        fitted.points = [point for point in fitted.points if point not in logged]
        with _refusals(), self._deletions(run_id):
            if fitted.params:
                # Another watcher may have logged params, with values that have changed since. MLflow
                # refuses to change them.
                stored = self._client.get_run(run_id).data.params
                fitted.params = {key: text for key, text in fitted.params.items() if key not in stored}
            self._log_values(run_id, fitted, {})
        logged.update(fitted.points)

    def end(self, run_id: str, status: str, text: str) -> None:
        """Set the final status of a provisional run, and the tag that explains it.

        Raises:
            RunDeletedError: another watcher deleted the run.
        """
        with self._deletions(run_id):
            self._client.set_tag(run_id, tag.PROVISIONAL, text)
            self._client.set_terminated(run_id, status)

    def create(self, content: Content, parent_id: str | None) -> str:
        """Create a run with its content, and return its id.

        Raises:
            RunDeletedError: another mirror deleted the run meanwhile.
            RefusedError: MLflow does not accept the content.
        """
        fitted = fit(content, RULES)
        tags = {**fitted.tags, tag.STATE: tag.WHEN_FINISHED}
        if parent_id:
            tags[tag.PARENT] = parent_id
        with _refusals():
            run = self._client.create_run(self._experiment_id, content.start, tags, content.name)
        run_id = str(run.info.run_id)
        with _refusals(), self._deletions(run_id):
            self._write(run_id, fitted, {}, None)
        return run_id

    def finish(self, run_id: str, content: Content, parent_id: str | None) -> str:
        """Complete a run that another mirror began, unless that mirror has completed it; see `update`."""
        with self._deletions(run_id):
            run = self._client.get_run(run_id)
        if is_complete(run.data.tags, run.info.status):
            return run_id
        return self.update(run_id, content, parent_id)

    def update(self, run_id: str, content: Content, parent_id: str | None) -> str:
        """Bring an existing run up to date with its content.

        MLflow cannot change params or metrics, and cannot remove artifacts. If that would be needed, the
        run is deleted and created again. It is refused if files are missing on this machine, because the
        run may have values from them that another machine wrote.

        Returns:
            The id of the run.

        Raises:
            RunDeletedError: another mirror deleted the run meanwhile.
            RefusedError: MLflow does not accept the content, or the run would have to be created again while
                files are missing on this machine.
        """
        with _refusals(), self._deletions(run_id):
            run = self._client.get_run(run_id)
            is_provisional = tag.RUNNING in run.data.tags
            # The start of a run differs from the time of its commit only if the run was provisional.
            began = run.info.start_time
            fitted = fit(content if began == content.start else content.continued(began), RULES)
            obstacle = find_obstacle(run.data, fitted)
            if is_provisional and not obstacle:
                obstacle = self._foreign_point(run, fitted)
            if not obstacle:
                self._update_in_place(run, fitted)
                return run_id
            if content.missing and not is_provisional:
                raise RefusedError(
                    f"MLflow cannot change {obstacle}; the run is created again where no file is missing "
                    "in the DVC cache"
                )
            self._client.delete_run(run_id)
        return self.create(content, parent_id)

    def _update_in_place(self, run: entities.Run, fitted: FittedContent) -> None:
        """Update a run to which there is no obstacle; its tags change in the order of `plan_update`."""
        run_id = run.info.run_id
        update = plan_update(run.data, fitted)
        for key in update.first_deleted:
            self._delete_tag(run_id, key)
        if run.info.run_name != fitted.content.name:
            self._client.update_run(run_id, name=fitted.content.name)
        self._write(run_id, fitted, update.tags, run)
        for key in update.last_deleted:
            self._delete_tag(run_id, key)

    def _delete_tag(self, run_id: str, key: str) -> None:
        """Delete a tag, unless another mirror has deleted it."""
        try:
            self._client.delete_tag(run_id, key)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise

    def rename(self, run_id: str, name: str, experiment_tags: dict[str, str]) -> None:
        """Rename a run, and set the tags that identify its experiment."""
        self._client.update_run(run_id, name=name)
        tags = self._client.get_run(run_id).data.tags
        for key in EXPERIMENT_TAGS:
            if key in experiment_tags and tags.get(key) != experiment_tags[key]:
                self._client.set_tag(run_id, key, experiment_tags[key])
            elif key in tags and key not in experiment_tags:
                self._client.delete_tag(run_id, key)

    def move(self, run_id: str, parent_id: str) -> None:
        """Nest a run below a different parent."""
        self._client.set_tag(run_id, tag.PARENT, parent_id)

    def delete(self, run_id: str) -> None:
        """Mark a run as deleted, as MLflow does, so that it can be restored."""
        self._client.delete_run(run_id)

    def _foreign_point(self, run: entities.Run, fitted: FittedContent) -> str | None:
        """Return the key of a series that has a point in the run but not in the content; None if none has."""
        series: dict[str, set[tuple[int, str]]] = {}
        for point in fitted.points:
            series.setdefault(point.key, set()).add((point.step, str(limited(point.value))))
        for key, points in series.items():
            logged = self._client.get_metric_history(run.info.run_id, key) if len(points) > 1 else []
            if any((point.step, str(point.value)) not in points for point in logged):
                return key
        return None

    def _write(
        self, run_id: str, fitted: FittedContent, tags: dict[str, str], run: entities.Run | None
    ) -> None:
        """Write everything, and the status last; `run` is the existing run, None if it was just created."""
        if fitted.artifacts:
            self._log_artifacts(run_id, fitted.artifacts)
        if fitted.datasets:
            _retry_once(self._client.log_inputs, run_id, list(map(dataset_input, fitted.datasets)))
        for model in fitted.models:
            self._log_model(run_id, model, run)
        self._log_values(run_id, fitted, tags)
        self._client.set_terminated(run_id, FINISHED, fitted.content.end)
        if run and run.data.tags.get(tag.STATE) == tag.BEGUN:
            self._client.set_tag(run_id, tag.STATE, tag.COMPLETE)

    def _log_values(self, run_id: str, fitted: FittedContent, tags: dict[str, str]) -> None:
        """Write values in as few batches as MLflow allows: a batch costs as much time as all values in it."""
        params = [entities.Param(key, value) for key, value in fitted.params.items()]
        run_tags = [entities.RunTag(key, value) for key, value in tags.items()]
        metrics = []
        for point in fitted.points:
            metrics.append(entities.Metric(point.key, point.value, point.time, point.step))
        while params or metrics or run_tags:
            batch = (metrics[:MOST_METRICS], params[:MOST_PARAMS], run_tags[:MOST_TAGS])
            _retry_once(self._client.log_batch, run_id, *batch)
            del metrics[:MOST_METRICS], params[:MOST_PARAMS], run_tags[:MOST_TAGS]

    def _log_artifacts(self, run_id: str, artifacts: dict[str, bytes]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for path, content in artifacts.items():
                file = Path(folder) / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
            self._client.log_artifacts(run_id, folder)

    def _log_model(self, run_id: str, model: Model, run: entities.Run | None) -> None:
        """Log an external model, without an empty MLmodel file: writing one would double the time."""
        model_id = None
        if run:
            of_run = f"source_run_id = '{run_id}'"
            for existing in self._client.search_logged_models([self._experiment_id], of_run):
                if existing.tags.get("dvc.path") == model.path:
                    model_id = existing.model_id
        if not model_id:
            tags = {**model.tags, "mlflow.model.isExternal": "true"}
            created = self._client.create_logged_model(self._experiment_id, model.name, run_id, tags)
            model_id = str(created.model_id)
        self._client.finalize_logged_model(model_id, entities.LoggedModelStatus.READY)
        outputs = run.outputs.model_outputs if run and run.outputs else []
        if model_id not in [output.model_id for output in outputs]:
            self._client.log_outputs(run_id, [entities.LoggedModelOutput(model_id, 0)])

    @contextmanager
    def _deletions(self, run_id: str) -> Iterator[None]:
        """Turn an error of MLflow into RunDeletedError if the run was deleted meanwhile."""
        try:
            yield
        except MlflowException:
            if self._client.get_run(run_id).info.lifecycle_stage == "deleted":
                raise RunDeletedError(run_id) from None
            raise


def _retry_once(log: Callable[..., object], *arguments: object) -> None:
    """Call a method of the MLflow client, and once more if another mirror wrote the same at that moment.

    MLflow checks whether a point or dataset exists before it adds it. If another mirror adds the same one in
    between, the call fails, and the second attempt finds it.
    """
    try:
        log(*arguments)
    except MlflowException as error:
        if error.error_code != "BAD_REQUEST":
            raise
        log(*arguments)


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn MLflow's errors about invalid content into RefusedError."""
    try:
        yield
    except MlflowException as error:
        if error.error_code != "INVALID_PARAMETER_VALUE":
            raise
        raise RefusedError(joined_lines(error)) from None


def dataset_input(dataset: Dataset) -> entities.DatasetInput:
    """Return source data as an input of a run in MLflow."""
    profile = {"size": dataset.source["size"]} if "size" in dataset.source else {}
    source = json.dumps(dataset.source)
    entity = entities.Dataset(dataset.name, dataset.digest, "external", source, profile=json.dumps(profile))
    return entities.DatasetInput(entity, [entities.InputTag("mlflow.data.context", "source data")])
