"""MLflow's database, read and created without MLflow's own steps where those are slow or not safe."""

import os
import re
from contextlib import suppress
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import Engine, Select, column, create_engine, select, table
from sqlalchemy.exc import SQLAlchemyError

from ..addresses import sqlite_file, sqlite_url
from ..git import leave_out
from .known import TAGS, KnownRun, runs_by_key
from .settings import TrackingSettings, is_server

SERVED_DATABASE = re.compile(r"(postgresql|mysql|mssql)")


def open_engine(uri: str) -> Engine:
    """Return a connection to a database, which a database server has to answer within ten seconds."""
    options = {"connect_timeout": 10} if SERVED_DATABASE.match(uri) else {}
    return create_engine(uri, connect_args=options)


def check_connection(uri: str) -> None:
    """Connect once where a database server has to answer: MLflow itself would try again for an hour.

    Raises:
        SQLAlchemyError: it does not answer.
    """
    if SERVED_DATABASE.match(uri):
        open_engine(uri).connect().close()


def known_runs(settings: TrackingSettings) -> dict[str, list[KnownRun]] | None:
    """Return the mirrored runs by key, straight from MLflow's database; None if only MLflow can tell.

    MLflow reads each run whole, which takes ten times as long, and needs two seconds to be imported.
    """
    file = sqlite_file(settings.uri)
    if is_server(settings.uri) or (file and not file.exists()):
        return None
    if settings.experiment_id and not settings.experiment_id.isdecimal():
        return None  # no database has such an id
    if os.environ.get("MLFLOW_WORKSPACE") or os.environ.get("MLFLOW_ENABLE_WORKSPACES"):
        return None  # each workspace may have an experiment of that name
    try:
        with open_engine(settings.uri).connect() as connection:
            rows = connection.execute(_tags_of_runs(settings)).all()
    except SQLAlchemyError:
        return None
    runs = []
    for (run_id, status), group in groupby(rows, attrgetter("run_uuid", "status")):
        runs.append((run_id, {row.key: row.value for row in group}, status))
    return runs_by_key(runs)


def create_database(file: Path) -> None:
    """Create a database whole or not at all: MLflow's many steps survive neither a kill nor a second creator.

    Git ignores it, since all in it can be made again. Nothing happens where the file is there already, or
    its folder is not.
    """
    from .client import MlflowClient

    if file.exists() or not file.parent.is_dir():
        return
    with TemporaryDirectory(prefix=f"{file.name}.", dir=file.parent) as folder:
        MlflowClient(sqlite_url(Path(folder) / "new")).search_experiments()
        with suppress(FileExistsError):
            os.link(f"{folder}/new", file)
    leave_out(file)


def _tags_of_runs(settings: TrackingSettings) -> Select[tuple[str, str, str, str]]:
    """Id, status, key and value of those tags that make a KnownRun, of all runs that are not deleted."""
    runs = table(
        "runs", column("run_uuid"), column("status"), column("experiment_id"), column("lifecycle_stage")
    )
    experiments = table("experiments", column("experiment_id"), column("name"))
    tags = table("tags", column("run_uuid"), column("key"), column("value"))
    selected = (
        select(tags.c.run_uuid, runs.c.status, tags.c.key, tags.c.value)
        .join(runs, runs.c.run_uuid == tags.c.run_uuid)
        .join(experiments, experiments.c.experiment_id == runs.c.experiment_id)
        .where(runs.c.lifecycle_stage == "active")
        .where(tags.c.key.in_(TAGS))
        .order_by(tags.c.run_uuid)
    )
    if settings.experiment is not None:
        selected = selected.where(experiments.c.name == settings.experiment)
    if settings.experiment_id is not None:
        selected = selected.where(experiments.c.experiment_id == int(settings.experiment_id))
    return selected
