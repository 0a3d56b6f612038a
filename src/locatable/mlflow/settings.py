"""Reads where a project's runs are: the address of the store, and the name of the MLflow experiment."""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from .. import repository
from ..addresses import absolute_url, sqlite_file
from ..errors import SettingsError
from ..git import main_checkout
from ..output import redact_urls
from .limits import Rule, fit_names

DEFAULT_URI = "sqlite:///mlflow.db"
# MLflow's databases hold 256 characters of an experiment's name.
EXPERIMENT_RULE = Rule(bool, 256)


@dataclass(frozen=True)
class TrackingSettings:
    """The store and the MLflow experiment that hold a project's runs.

    Attributes:
        uri: the address of the tracking server or the database, with the absolute path of a SQLite file.
        experiment: the name of the MLflow experiment; None if only its id is given.
        artifacts: the folder for artifacts, if the store is a SQLite file.
        experiment_id: the id that the MLflow experiment must have; None if any id is accepted.
        refused_name: the requested name of the experiment, if it is too long for MLflow's databases.
    """

    uri: str
    experiment: str | None
    artifacts: Path
    experiment_id: str | None = None
    refused_name: str | None = None


def read_settings(root: Path, uri: str | None = None, experiment: str | None = None) -> TrackingSettings:
    """Read the settings from the arguments, else from MLflow's variables, else from pyproject.toml.

    Args:
        root: the DVC root.
        uri: the address of the store, if it was given to the command.
        experiment: the name of the MLflow experiment, if it was given to the command.

    Raises:
        SettingsError: pyproject.toml is wrong, or MLFLOW_RUN_ID is set, which a mirror cannot follow.
    """
    if os.environ.get("MLFLOW_RUN_ID"):
        raise SettingsError(
            "MLFLOW_RUN_ID is set, and a mirror writes a run for each revision, none of them that one",
            hint="unset MLFLOW_RUN_ID",
        )
    name, experiment_id = experiment, None
    if not name:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME")
        experiment_id = os.environ.get("MLFLOW_EXPERIMENT_ID") or None
    if not name and not experiment_id:
        project = repository.read_section(root, "project").get("name")
        name = project if isinstance(project, str) and project else root.name or "project"
    accepted_name = fit_names(EXPERIMENT_RULE, [name])[name] if name else None
    return TrackingSettings(
        uri=read_uri(root, uri),
        experiment=accepted_name,
        artifacts=main_checkout(root) / "mlartifacts",
        experiment_id=experiment_id,
        refused_name=name if name and name != accepted_name else None,
    )


def read_uri(root: Path, uri: str | None = None) -> str:
    """Read the address of the store alone; see `read_settings` for the arguments and errors.

    A relative SQLite file belongs to the main checkout, wherever the command runs. MLflow sends the user's
    credentials to a server, so an address in pyproject.toml that is not a file of the project is refused
    unless the user has named it once.
    """
    user_uri = uri or os.environ.get("MLFLOW_TRACKING_URI")
    if user_uri:
        agree(_agreement_to(user_uri))
        return absolute_url(user_uri, main_checkout(root))
    pyproject = root / "pyproject.toml"
    project_uri = repository.read_settings(root).get("mlflow-tracking-uri", DEFAULT_URI)
    if not isinstance(project_uri, str) or not project_uri:
        raise SettingsError(f"{pyproject}: mlflow-tracking-uri of [tool.locatable] is not an address")
    file = sqlite_file(project_uri)
    is_in_project = file is not None and not file.is_absolute() and ".." not in file.parts
    if not is_in_project and not has_agreed(_agreement_to(project_uri)):
        address = redact_urls(project_uri)
        raise SettingsError(
            f"{pyproject} names {address}, and MLflow would send your credentials there",
            hint=f"if you trust it, name it once yourself: locatable mirror --tracking-uri {address}",
        )
    return absolute_url(project_uri, main_checkout(root))


def _agreement_to(uri: str) -> str:
    """Return the line that records trust in an address: its server; for a file or a profile, all of it."""
    parts = urlsplit(uri)
    server = parts.netloc.rpartition("@")[2]
    return f"tracking {parts.scheme}://{server}" if server else f"tracking {uri}"


def is_server(uri: str) -> bool:
    """Return whether an address is that of a tracking server, not of a database."""
    return uri.startswith("http")


def agree(line: str) -> None:
    """Record that this user agrees to something.

    The record lies outside of repositories, so that a repository cannot agree in the user's place. If the
    file cannot be written, the agreement is not recorded.
    """
    if not has_agreed(line):
        with contextlib.suppress(OSError):
            _agreements().parent.mkdir(parents=True, exist_ok=True)
            with _agreements().open("a", encoding="utf-8") as file:
                file.write(f"{line}\n")


def has_agreed(line: str) -> bool:
    """Return whether `agree` has recorded this line before."""
    try:
        return line in _agreements().read_text(encoding="utf-8").splitlines()
    except OSError:
        return False


def _agreements() -> Path:
    # Imported here because most commands never read the agreements.
    import platformdirs

    return Path(platformdirs.user_config_dir("locatable")) / "known"
