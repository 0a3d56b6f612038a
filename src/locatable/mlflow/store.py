"""An MLflow store: opened, and asked which runs it has. Imports MLflow."""

from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError
from tqdm import tqdm

from ..addresses import redact_urls, sqlite_file
from ..errors import SettingsError, StoreError
from ..repository.reader import Reader
from .client import MlflowClient, MlflowException, entities, reason
from .database import check_connection, create_database
from .known import KnownRun, runs_by_key
from .naming import storable
from .settings import TrackingSettings, read_uri


def connect(settings: TrackingSettings) -> tuple[MlflowClient, str]:
    """Return a client, and the id of the experiment, which is created where there is none.

    Raises:
        MlflowException, sqlalchemy.exc.SQLAlchemyError or OSError: the store cannot be used.
    """
    file = sqlite_file(settings.uri)
    if file and file.is_absolute() and not file.exists():
        # One line on a terminal: MLflow takes many steps, and says nothing of them.
        with tqdm(desc=f"creating {file.name}", bar_format="{desc}", leave=False, disable=None):
            create_database(file)
    check_connection(settings.uri)
    client = MlflowClient(settings.uri)
    experiment = _experiment(client, settings)
    if experiment.lifecycle_stage == "deleted":
        name = experiment.name
        raise MlflowException(f"experiment {name!r} is deleted; restore it, or use another with --experiment")
    return client, experiment.experiment_id


def _experiment(client: MlflowClient, settings: TrackingSettings) -> entities.Experiment:
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
        _create_artifacts_folder(settings.artifacts)
        location = settings.artifacts.as_uri()
    tags = {"mlflow.experimentKind": "custom_model_development"}
    if settings.refused_name is not None:
        tags["mirror.experiment"] = storable(settings.refused_name)
    try:
        return client.get_experiment(client.create_experiment(name, location, tags))
    except MlflowException as error:
        # Another mirror created it a moment ago.
        experiment = client.get_experiment_by_name(name)
        if error.error_code != "RESOURCE_ALREADY_EXISTS" or not experiment:
            raise
        return experiment


def _create_artifacts_folder(folder: Path) -> None:
    """The copies of dvc.yaml in there are neither Git's business nor DVC's."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (".gitignore", ".dvcignore"):
        (folder / name).write_text("*\n")


def list_runs(client: MlflowClient, experiment_id: str) -> dict[str, list[KnownRun]]:
    """Return the mirrored runs by key, as MLflow lists them."""
    runs = []
    token = None
    while True:
        page = client.search_runs([experiment_id], max_results=1000, page_token=token)
        runs += [(run.info.run_id, run.data.tags, run.info.status) for run in page]
        token = page.token
        if not token:
            return runs_by_key(runs)


def revision(reader: Reader, run_id: str) -> str | None:
    """Return the revision that an MLflow run mirrors, None if there is no such run in the store.

    Raises:
        SettingsError: the store cannot be used.
    """
    uri = read_uri(reader.root)
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
    """See that MLflow can use a store.

    Raises:
        StoreError: it cannot: another version of MLflow made it, or it is of a kind that is not read.
    """
    try:
        MlflowClient(uri).search_experiments(max_results=1)
    except (MlflowException, SQLAlchemyError, OSError) as error:
        raise StoreError(f"{redact_urls(uri)}: {reason(error)}") from None
