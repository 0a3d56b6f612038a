"""Finds results by a name: of an experiment, of a Git revision, or of an MLflow run."""

import re

from ..clone_limits import limits
from ..errors import NotFoundError
from ..history.reader import Experiment, Reader
from .result import Result


def find_name(reader: Reader, name: str) -> list[Result]:
    """Results of that name; several only where experiments of different baselines share it.

    Raises:
        NotFoundError: there is none.
    """
    experiments = reader.experiments()
    named = [experiment for experiment in experiments if name in (experiment.name, experiment.rev)]
    if named:
        snapshots = reader.snapshots(experiment.rev for experiment in named)
        pairs = zip(snapshots, named, strict=True)
        return [Result(snapshot, experiment) for snapshot, experiment in pairs]
    rev = commit_id(reader, name) or _mirrored_revision(reader, name)
    if rev is None:
        raise NotFoundError(
            f"{name}: no file, experiment, Git revision or MLflow run of that name",
            hint="; ".join(limits(reader.root, bool(experiments))),
        )
    return [Result(reader.snapshot(rev), _experiment_at(rev, experiments))]


def is_known_name(reader: Reader, name: str) -> bool:
    """Whether an experiment or a Git revision has that name."""
    named = {experiment.name for experiment in reader.experiments()}
    return name in named or commit_id(reader, name) is not None


def commit_id(reader: Reader, name: str) -> str | None:
    """Full id of the commit that Git knows by a name, None when there is none."""
    if "\n" in name:
        return None  # Names are read line by line.
    commit = reader.objects.read([name + "^{commit}"])[0]
    return commit[0] if commit else None


def abbreviated_commit(reader: Reader, text: str) -> str | None:
    """Full id of the commit whose id begins with a text, None where it is a whole id or another name."""
    commit = commit_id(reader, text)
    if commit is None or commit == text.lower() or not commit.startswith(text.lower()):
        return None
    refs = [f"refs/{kind}/{text}" for kind in ("heads", "tags", "remotes")]
    is_ref = any(reader.objects.read(refs))
    is_experiment = any(experiment.name == text for experiment in reader.experiments())
    return None if is_ref or is_experiment else commit


def _experiment_at(rev: str, experiments: list[Experiment]) -> Experiment | None:
    for experiment in experiments:
        if experiment.rev == rev:
            return experiment
    return None


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
