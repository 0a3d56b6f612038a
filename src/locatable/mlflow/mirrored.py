"""Runs that a mirror made before: found, and settled to one for each key."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, column, create_engine, select, table
from sqlalchemy.exc import SQLAlchemyError

if TYPE_CHECKING:
    from mlflow import MlflowClient

# The tag `mirror.state` of a run that has everything; how the key of a study's run begins.
COMPLETE, STUDY = "complete", "study "
TAGS = (
    *("mirror.state", "mirror.missing", "mirror.models", "dvc.rev", "dvc.study", "dvc.exp"),
    *("mlflow.parentRunId", "mlflow.runName"),
)


@dataclass(frozen=True)
class Known:
    """A run that the store has; `key` is the revision or study that it mirrors.

    `missing` says which files were not in the DVC cache; `models` whether model files were copied.
    """

    run_id: str
    key: str
    name: str
    parent: str | None
    complete: bool
    experiment: str | None
    missing: str | None
    models: bool

    def lacks(self, models: bool) -> bool:
        """Whether it could have more files now: those of the DVC cache, or model files if they are wanted."""
        return bool(self.missing) or (models and not self.models and not self.key.startswith(STUDY))


def engine(uri: str) -> Engine:
    """A connection to a database, which a server has to answer within ten seconds."""
    patience = {"connect_timeout": 10} if re.match(r"(postgresql|mysql|mssql)", uri) else {}
    return create_engine(uri, connect_args=patience)


def stored(uri: str, name: str) -> dict[str, list[Known]] | None:
    """The mirrored runs by key, straight from MLflow's database; None if that cannot be read here.

    MLflow itself would read each run whole, and take ten times as long; to begin, it needs a second.
    """
    file = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("http") or (uri.startswith("sqlite:///") and not file.exists()):
        return None
    runs = table("runs", *map(column, ("run_uuid", "experiment_id", "lifecycle_stage")))
    experiments = table("experiments", *map(column, ("experiment_id", "name")))
    tags = table("tags", *map(column, ("run_uuid", "key", "value")))
    query = (
        select(tags.c.run_uuid, tags.c.key, tags.c.value)
        .join(runs, runs.c.run_uuid == tags.c.run_uuid)
        .join(experiments, experiments.c.experiment_id == runs.c.experiment_id)
        .where(experiments.c.name == name, runs.c.lifecycle_stage == "active", tags.c.key.in_(TAGS))
        .order_by(tags.c.run_uuid)
    )
    try:
        with engine(uri).connect() as store:
            rows = store.execute(query).all()
    except SQLAlchemyError:
        return None
    grouped = groupby(rows, lambda row: row.run_uuid)
    return _by_key((run_id, {row.key: row.value for row in group}) for run_id, group in grouped)


def listed(client: "MlflowClient", experiment_id: str) -> dict[str, list[Known]]:
    """The mirrored runs by key, as a server lists them."""
    found, token = [], None
    while token != "":
        page = client.search_runs([experiment_id], max_results=1000, page_token=token)
        found += [(run.info.run_id, run.data.tags) for run in page]
        token = page.token or ""
    return _by_key(found)


def _by_key(runs: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, list[Known]]:
    """Lowest run id first: that one stays, whoever made the others."""
    found: dict[str, list[Known]] = {}
    for run_id, tags in sorted(runs, key=lambda run: run[0]):
        if "mirror.state" in tags:
            key = tags.get("dvc.rev") or STUDY + tags.get("dvc.study", "")
            done, parent = tags["mirror.state"] == COMPLETE, tags.get("mlflow.parentRunId")
            more = tags.get("dvc.exp"), tags.get("mirror.missing"), "mirror.models" in tags
            entry = Known(run_id, key, tags.get("mlflow.runName", ""), parent, done, *more)
            found.setdefault(key, []).append(entry)
    return found


def settled(known: dict[str, list[Known]], wanted: dict[str, tuple[str, str | None]]) -> bool:
    """Whether each wanted run is there once, complete, with its name and below its parent."""
    for key, (name, parent) in wanted.items():
        match known.get(key):
            case [run] if run.complete and run.name == name:
                above = known.get(parent, [])
                if above and run.parent != above[0].run_id:
                    return False
            case _:
                return False
    return True


def settle(
    client: "MlflowClient", known: dict[str, list[Known]], wanted: dict[str, tuple[str, str | None]]
) -> int:
    """Leave one run for each key, with the wanted name and parent's key; returns how many are renamed."""
    renamed = 0
    for key, (first, *others) in known.items():
        for other in others:
            client.delete_run(other.run_id)
        name, parent = wanted.get(key, (first.name, None))
        if name != first.name:
            client.update_run(first.run_id, name=name)
            if first.experiment:
                client.set_tag(first.run_id, "dvc.exp", name)
            renamed += 1
        if parent in known and first.parent != known[parent][0].run_id:
            client.set_tag(first.run_id, "mlflow.parentRunId", known[parent][0].run_id)
    return renamed
