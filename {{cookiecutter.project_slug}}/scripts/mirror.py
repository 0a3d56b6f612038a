"""Show all DVC experiments in MLflow: one run each, with everything that its page can show.

    python -m scripts.mirror [--tracking-uri URI] [--experiment NAME] [--watch SECONDS] [--prune]
                             [--all-commits] [--copy-models]

Git stays the truth: a run's identity is its commit, so mirroring again adds only what is
new, repairs what a killed mirror began, and makes a deleted store again.
"""

import argparse
import os
import sys
import time
import tomllib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from .history import describe
from .history.revisions import Experiment, Reader, git
from .history.snapshot import UnreadableError
from .tracking import mirrored


@dataclass(frozen=True)
class Wanted:
    """A run that should be there: of an experiment, of a study with its trials, or of a baseline commit."""

    name: str
    parent: str | None = None
    experiment: Experiment | None = None
    trials: tuple[Experiment, ...] = ()


def mirror(
    reader: Reader,
    uri: str,
    name: str,
    prune: bool = False,
    all_commits: bool = False,
    copy_models: bool = False,
) -> tuple[str, list[str]]:
    """Bring an MLflow experiment up to date with Git.

    Args:
        reader: of the DVC repository.
        uri: of the tracking server or database.
        name: of the MLflow experiment.
        prune: delete the runs of what is gone from Git.
        all_commits: mirror every commit of every branch and tag that has results, not only baselines.
        copy_models: add model files to the artifacts.

    Returns:
        A summary, and a line for each run that failed.

    Raises:
        mlflow.exceptions.MlflowException, sqlalchemy.exc.SQLAlchemyError or OSError: the store failed;
            what is written stays, and the next call goes on from there.
    """
    wanted = _wanted(reader, all_commits)
    places = {key: (want.name, want.parent) for key, want in wanted.items()}
    known = mirrored.stored(uri, name)
    if known and mirrored.settled(known, places) and not (prune and known.keys() - wanted.keys()):
        return f"mirrored 0 new, {len(wanted)} already there, 0 failed", []

    # Imported here: two seconds that all the above does without.
    from mlflow.exceptions import MlflowException
    from tqdm import tqdm

    from .tracking import mlflow_runs, run_content

    if uri.startswith("sqlite:////"):
        _new_database(Path(uri.removeprefix("sqlite:///")))
    client, experiment_id = mlflow_runs.connect(uri, name, describe.checkout(reader.root) / "mlartifacts")
    known = known or mirrored.listed(client, experiment_id)
    ids = {key: runs[0].run_id for key, runs in known.items()}
    begun = {key for key, runs in known.items() if not runs[0].complete}
    # What another mirror has begun comes last: if it is still alive, it has finished by then.
    new = [key for key in wanted if key not in ids] + [key for key in wanted if key in begun]
    parents = {wanted[key].parent for key in new}
    grown = [key for key in wanted if key in parents - begun and key in ids and wanted[key].trials]
    todo, there = grown + new, len(wanted) - len(new)

    url = describe.origin(reader)
    snapshots = reader.snapshots(key for key in todo if not wanted[key].trials)
    made, missing, failed = 0, 0, []
    for key in tqdm(todo, unit="run", disable=None):
        want = wanted[key]
        try:
            if want.trials:
                content = run_content.study(want.name, want.trials, reader.root)
            else:
                snapshot = next(snapshots)
                if not want.experiment and not snapshot.stages:
                    continue  # a commit without results
                content = run_content.of(snapshot, want.experiment, url, copy_models)
            if key not in ids:
                ids[key] = mlflow_runs.create(client, experiment_id, content, ids.get(want.parent))
            mlflow_runs.complete(client, experiment_id, ids[key], content, key in begun)
        except mlflow_runs.LostError:
            there += 1
        except (UnreadableError, MlflowException) as error:
            if isinstance(error, MlflowException) and error.error_code != "INVALID_PARAMETER_VALUE":
                raise
            failed.append(f"{want.name}: {' '.join(str(error).split())}")
        else:
            made += key not in grown
            missing += "mirror.missing" in content.tags

    if made:
        known = mirrored.stored(uri, name) or mirrored.listed(client, experiment_id)
    parts = [f"mirrored {made} new", f"{there} already there", f"{len(failed)} failed"]
    renamed = mirrored.settle(client, known, {key: (want.name, want.parent) for key, want in wanted.items()})
    parts += [f"{renamed} renamed"] if renamed else []
    if prune:
        gone = _gone(reader, wanted, list(known))
        for key in gone:
            client.delete_run(known[key][0].run_id)
        parts.append(f"{len(gone)} pruned")
    if missing:
        parts.append(f"{missing} without files that are not in this machine's DVC cache (tag mirror.missing)")
    return ", ".join(parts), failed


def _new_database(file: Path) -> None:
    """Make a database whole or not at all: MLflow's many steps survive neither a kill nor a second maker."""
    from .tracking.mlflow_runs import MlflowClient

    if file.exists() or not file.parent.is_dir():
        return
    with TemporaryDirectory(prefix=f"{file.name}.", dir=file.parent) as folder:
        MlflowClient(f"sqlite:///{folder}/new").search_experiments()
        with suppress(FileExistsError):
            os.link(f"{folder}/new", file)


def _wanted(reader: Reader, all_commits: bool) -> dict[str, Wanted]:
    """Runs that should be there, by key; parents come before their children."""
    found = reader.experiments()
    head = reader.objects.read(["HEAD^" + "{commit}"])[0]
    commits = [experiment.baseline for experiment in found] + ([head[0]] if head else [])
    if all_commits:
        commits += git(reader.root, "rev-list", "--branches", "--tags", "HEAD").split()
    commits = list(dict.fromkeys(commits))
    present = reader.objects.read(f"{commit}^" + "{commit}" for commit in commits)
    studies: dict[str, list[Experiment]] = {}
    for experiment in found:
        if experiment.study:
            studies.setdefault(experiment.study, []).append(experiment)
    wanted = {mirrored.STUDY + name: Wanted(name, trials=tuple(trials)) for name, trials in studies.items()}
    wanted |= {
        rev: Wanted(f"baseline {rev[:7]}") for rev, there in zip(commits, present, strict=True) if there
    }
    for experiment in found:
        parent = mirrored.STUDY + experiment.study if experiment.study else experiment.baseline
        # An experiment that became a baseline of others keeps its place before them.
        wanted[experiment.rev] = Wanted(experiment.name, parent, experiment)
    return wanted


def _gone(reader: Reader, wanted: dict[str, Wanted], known: list[str]) -> list[str]:
    """Keys of runs whose experiment, study or commit is in no ref any more."""
    candidates = [key for key in known if key not in wanted]
    kept = set(git(reader.root, "rev-list", "--branches", "--tags").split()) if candidates else set()
    return [key for key in candidates if key not in kept]


def settings(root: Path) -> tuple[str, str]:
    """Tracking URI and experiment name: from the environment, else from pyproject.toml.

    Raises:
        SystemExit: pyproject.toml is not TOML.
    """
    file = root / "pyproject.toml"
    try:
        project = tomllib.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    except tomllib.TOMLDecodeError as error:
        raise SystemExit(f"{file}: {error}") from None
    written = project.get("tool", {}).get("locatable", {}).get("mlflow-tracking-uri", "sqlite:///mlflow.db")
    name = project.get("project", {}).get("name", root.name)
    uri = os.environ.get("MLFLOW_TRACKING_URI") or written
    return uri, os.environ.get("MLFLOW_EXPERIMENT_NAME") or name


def revision(reader: Reader, run_id: str) -> str | None:
    """The revision that an MLflow run mirrors, None if there is no such run in the store."""
    from .tracking import mlflow_runs

    uri = absolute(settings(reader.root)[0], reader.root)
    try:
        return mlflow_runs.MlflowClient(uri).get_run(run_id).data.tags.get("dvc.rev")
    except mlflow_runs.MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise SystemExit(f"{describe.public(uri)}: {' '.join(str(error).split())[:400]}") from None
        return None


def absolute(uri: str, root: Path) -> str:
    """A relative SQLite file is one of the main checkout, wherever the command runs."""
    path = uri.removeprefix("sqlite:///")
    return uri if path in (uri, "") else f"sqlite:///{describe.checkout(root) / path}"


def report(reader: Reader, uri: str, name: str, asked: argparse.Namespace) -> bool:
    """Mirror once and print what came of it; returns whether all is well."""
    try:
        summary, failed = mirror(reader, uri, name, asked.prune, asked.all_commits, asked.copy_models)
    except Exception as error:
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        if not isinstance(error, MlflowException | SQLAlchemyError | OSError | ImportError):
            raise
        # A database's own words end where the statement and its values begin.
        why = describe.public(" ".join(str(error).split()).partition(" [SQL: ")[0])
        where = describe.public(uri)
        print(f"{where}: {why[:400]}; nothing is lost, the next call goes on from here", file=sys.stderr)
        return False
    for line in failed:
        print(line, file=sys.stderr)
    print(summary, flush=True)
    return not failed


def main() -> None:
    """Run the command line; see the top of this file."""
    parser = argparse.ArgumentParser(prog="python -m scripts.mirror", description=__doc__.splitlines()[0])
    parser.add_argument("--tracking-uri", metavar="URI", help="server or database")
    parser.add_argument("--experiment", metavar="NAME", help="MLflow experiment; default: the project's name")
    parser.add_argument("--watch", metavar="SECONDS", type=float, help="again and again, with this pause")
    parser.add_argument("--prune", action="store_true", help="delete runs whose experiment is gone")
    parser.add_argument("--all-commits", action="store_true", help="also all commits that have a dvc.lock")
    parser.add_argument("--copy-models", action="store_true", help="model files too, not only where they are")
    asked = parser.parse_args()
    try:
        while True:
            with Reader(".") as reader:
                uri, name = settings(reader.root)
                uri = absolute(asked.tracking_uri or uri, reader.root)
                well = report(reader, uri, asked.experiment or name, asked)
            if asked.watch is None:
                sys.exit(not well)
            time.sleep(asked.watch)
    except KeyboardInterrupt:
        sys.exit("stopped; the next call goes on from here")


if __name__ == "__main__":
    main()
