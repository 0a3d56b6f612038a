"""Where this project's runs are: the store's address, and the database of a store that is a file."""

import os
import tomllib
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from ..errors import SettingsError
from ..git import main_checkout
from ..history.reader import Reader
from ..redact import redact_urls


def settings(root: Path) -> tuple[str, str]:
    """Tracking URI and experiment name: from the environment, else from pyproject.toml.

    Raises:
        SettingsError: pyproject.toml is not TOML.
    """
    file = root / "pyproject.toml"
    try:
        project = tomllib.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{file}: {error}") from None
    written = project.get("tool", {}).get("locatable", {}).get("mlflow-tracking-uri", "sqlite:///mlflow.db")
    name = project.get("project", {}).get("name", root.name)
    uri = os.environ.get("MLFLOW_TRACKING_URI") or written
    return uri, os.environ.get("MLFLOW_EXPERIMENT_NAME") or name


def absolute(uri: str, root: Path) -> str:
    """A relative SQLite file is one of the main checkout, wherever the command runs."""
    path = uri.removeprefix("sqlite:///")
    return uri if path in (uri, "") else f"sqlite:///{main_checkout(root) / path}"


def revision(reader: Reader, run_id: str) -> str | None:
    """The revision that an MLflow run mirrors, None if there is no such run in the store."""
    from . import mlflow_runs

    uri = absolute(settings(reader.root)[0], reader.root)
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists():
        return None
    try:
        return mlflow_runs.MlflowClient(uri).get_run(run_id).data.tags.get("dvc.rev")
    except mlflow_runs.MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise SettingsError(f"{redact_urls(uri)}: {' '.join(str(error).split())[:400]}") from None
        return None


def new_database(file: Path) -> None:
    """Make a database whole or not at all: MLflow's many steps survive neither a kill nor a second maker."""
    from .mlflow_runs import MlflowClient

    if file.exists() or not file.parent.is_dir():
        return
    with TemporaryDirectory(prefix=f"{file.name}.", dir=file.parent) as folder:
        MlflowClient(f"sqlite:///{folder}/new").search_experiments()
        with suppress(FileExistsError):
            os.link(f"{folder}/new", file)
