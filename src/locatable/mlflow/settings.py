"""Where a project's runs are: the address of the store, and the name of the MLflow experiment."""

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
# As many characters as MLflow's databases keep of the name of an experiment.
EXPERIMENT_RULE = Rule(bool, 256)


@dataclass(frozen=True)
class TrackingSettings:
    """Where the runs are.

    Attributes:
        uri: of the tracking server, or of a database; a SQLite file is given by its absolute path.
        experiment: name of the MLflow experiment; None where only its id is given.
        artifacts: folder for the artifacts of runs whose store is a SQLite file.
        experiment_id: of the MLflow experiment, which then has to be there; None where any will do.
        refused_name: the name that was asked for, where no database holds it.
    """

    uri: str
    experiment: str | None
    artifacts: Path
    experiment_id: str | None = None
    refused_name: str | None = None


def read_settings(root: Path, uri: str | None = None, experiment: str | None = None) -> TrackingSettings:
    """Return settings of a project: from the arguments, else MLflow's variables, else pyproject.toml.

    Args:
        root: the DVC root.
        uri: of the store, where a command was told one.
        experiment: name of the MLflow experiment, where a command was told one.

    Raises:
        SettingsError: pyproject.toml is wrong, or a variable is set that cannot be honoured.
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
        written = repository.read_section(root, "project").get("name")
        name = written if isinstance(written, str) and written else root.name or "project"
    allowed = fit_names(EXPERIMENT_RULE, [name])[name] if name else None
    return TrackingSettings(
        uri=read_uri(root, uri),
        experiment=allowed,
        artifacts=main_checkout(root) / "mlartifacts",
        experiment_id=experiment_id,
        refused_name=name if name and name != allowed else None,
    )


def read_uri(root: Path, uri: str | None = None) -> str:
    """Return the address alone; arguments and errors as of `read_settings`.

    A relative SQLite file is one of the main checkout, wherever the command runs. MLflow sends the user's
    credentials to any other address: it must have been given by the user, now or once before.
    """
    given = uri or os.environ.get("MLFLOW_TRACKING_URI")
    if given:
        agree(_trusted(given))
        return absolute_url(given, main_checkout(root))
    pyproject = root / "pyproject.toml"
    written = repository.read_settings(root).get("mlflow-tracking-uri", DEFAULT_URI)
    if not isinstance(written, str) or not written:
        raise SettingsError(f"{pyproject}: mlflow-tracking-uri of [tool.locatable] is not an address")
    file = sqlite_file(written)
    is_of_project = file is not None and not file.is_absolute() and ".." not in file.parts
    if not is_of_project and not has_agreed(_trusted(written)):
        address = redact_urls(written)
        raise SettingsError(
            f"{pyproject} names {address}, and MLflow would send your credentials there",
            hint=f"if you trust it, name it once yourself: locatable mirror --tracking-uri {address}",
        )
    return absolute_url(written, main_checkout(root))


def _trusted(uri: str) -> str:
    """Return the line that is remembered of an address: its server; of a file or profile, all of it."""
    parts = urlsplit(uri)
    server = parts.netloc.rpartition("@")[2]
    return f"tracking {parts.scheme}://{server}" if server else f"tracking {uri}"


def is_server(uri: str) -> bool:
    """Return whether a tracking server answers there, rather than a database."""
    return uri.startswith("http")


def agree(line: str) -> None:
    """Remember what this user agrees to, outside of repositories: these cannot agree in a user's place.

    Where no file can be written, nothing is remembered.
    """
    if not has_agreed(line):
        with contextlib.suppress(OSError):
            _agreements().parent.mkdir(parents=True, exist_ok=True)
            with _agreements().open("a", encoding="utf-8") as file:
                file.write(f"{line}\n")


def has_agreed(line: str) -> bool:
    """Return whether this user has agreed to something before."""
    try:
        return line in _agreements().read_text(encoding="utf-8").splitlines()
    except OSError:
        return False


def _agreements() -> Path:
    # Imported here: most commands never ask.
    import platformdirs

    return Path(platformdirs.user_config_dir("locatable")) / "known"
