"""Finds results by a name: of an experiment, of a Git revision, or of an MLflow run."""

import re

from ..clone_limits import limits
from ..errors import NotFoundError
from ..history.reader import Reader
from ..history.revisions import commit_id, revisions_named
from .result import Result


def find_name(reader: Reader, name: str) -> list[Result]:
    """Results of that name; several only where experiments of different baselines share it.

    Raises:
        NotFoundError: there is none.
    """
    named = revisions_named(reader, name)
    if not named:
        mirrored = _mirrored_revision(reader, name)
        named = revisions_named(reader, mirrored) if mirrored else []
    if not named:
        raise NotFoundError(
            f"{name}: no file, experiment, Git revision or MLflow run of that name",
            hint="; ".join(limits(reader.root, bool(reader.experiments()))),
        )
    snapshots = reader.snapshots(one.rev for one in named)
    return [Result(snapshot, one.experiment) for snapshot, one in zip(snapshots, named, strict=True)]


def abbreviated_commit(reader: Reader, text: str) -> str | None:
    """Full id of the commit whose id begins with a text, None where it is a whole id or another name."""
    commit = commit_id(reader, text)
    if commit is None or commit == text.lower() or not commit.startswith(text.lower()):
        return None
    refs = [f"refs/{kind}/{text}" for kind in ("heads", "tags", "remotes")]
    is_ref = any(reader.objects.read(refs))
    is_experiment = any(experiment.name == text for experiment in reader.experiments())
    return None if is_ref or is_experiment else commit


def _mirrored_revision(reader: Reader, run_id: str) -> str | None:
    """The revision that an MLflow run mirrors, None when there is no such run.

    Raises:
        NotFoundError: it could be a run, but MLflow is not installed.
    """
    if not re.fullmatch("[0-9a-f]{32}", run_id):
        return None
    try:
        from ..mlflow import store  # MLflow takes seconds to import.

        return store.revision(reader, run_id)
    except ModuleNotFoundError as error:
        if error.name != "mlflow":
            raise
        raise NotFoundError(
            f"{run_id}: no file, experiment or Git revision of that name",
            hint="if it is an MLflow run: pip install 'locatable[mlflow]'",
        ) from None
