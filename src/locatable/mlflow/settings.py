"""Where a project's runs are: the address of the store, and the name of the MLflow experiment."""

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import SettingsError
from ..git import main_checkout

SQLITE = "sqlite:///"
DEFAULT_URI = f"{SQLITE}mlflow.db"


@dataclass(frozen=True)
class TrackingSettings:
    """Where the runs are.

    Attributes:
        uri: of the tracking server, or of a database; a SQLite file is given by its absolute path.
        experiment: name of the MLflow experiment.
        artifacts: folder for the artifacts of runs whose store is a SQLite file.
    """

    uri: str
    experiment: str
    artifacts: Path


def read_settings(root: Path, uri: str | None = None, experiment: str | None = None) -> TrackingSettings:
    """Settings of a project: from the arguments, else from MLflow's variables, else from pyproject.toml.

    Args:
        root: the DVC root.
        uri: of the store, where a command was told one.
        experiment: name of the MLflow experiment, where a command was told one.

    Raises:
        SettingsError: pyproject.toml is wrong, or a variable is set that cannot be honoured.
    """
    return TrackingSettings(
        uri=read_uri(root, uri),
        experiment=experiment or _experiment_of_environment() or _written_name(root),
        artifacts=main_checkout(root) / "mlartifacts",
    )


def read_uri(root: Path, uri: str | None = None) -> str:
    """The address alone; arguments and errors as of `read_settings`."""
    uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or _written_uri(root)
    path = uri.removeprefix(SQLITE)
    if path in (uri, ""):
        return uri
    # A relative SQLite file is one of the main checkout, wherever the command runs.
    return f"{SQLITE}{main_checkout(root) / path}"


def database_file(uri: str) -> Path | None:
    """The file of a SQLite database, None for every other store."""
    if not uri.startswith(SQLITE):
        return None
    return Path(uri.removeprefix(SQLITE))


def is_server(uri: str) -> bool:
    """Whether a tracking server answers there, rather than a database."""
    return uri.startswith("http")


def _experiment_of_environment() -> str | None:
    """The name that MLflow's variables give.

    Raises:
        SettingsError: they give a number only, which says nothing about the experiments of another store.
    """
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME")
    if not name and os.environ.get("MLFLOW_EXPERIMENT_ID"):
        raise SettingsError(
            "MLFLOW_EXPERIMENT_ID is set, and an experiment is found by its name here",
            hint="set MLFLOW_EXPERIMENT_NAME as well, or use --experiment",
        )
    return name


def _written_uri(root: Path) -> str:
    tools = _section(root, "tool").get("locatable", {})
    uri = tools.get("mlflow-tracking-uri", DEFAULT_URI) if isinstance(tools, dict) else None
    if not isinstance(uri, str) or not uri:
        file = root / "pyproject.toml"
        raise SettingsError(f"{file}: mlflow-tracking-uri of [tool.locatable] is not an address")
    return uri


def _written_name(root: Path) -> str:
    name = _section(root, "project").get("name")
    return name if isinstance(name, str) and name else root.name


def _section(root: Path, name: str) -> dict[str, Any]:
    """A section of pyproject.toml; empty where there is none."""
    file = root / "pyproject.toml"
    if not file.exists():
        return {}
    try:
        section = tomllib.loads(file.read_text(encoding="utf-8")).get(name)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: {error}") from None
    return section if isinstance(section, dict) else {}
