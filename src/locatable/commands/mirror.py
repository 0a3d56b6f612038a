"""Show all DVC experiments in MLflow: one run each, with everything that its page can show.

    locatable mirror [--tracking-uri URI] [--experiment NAME] [--watch SECONDS] [--prune]
                             [--all-commits] [--copy-models]

Git stays the truth: a run's identity is its commit, so mirroring again adds only what is
new, repairs what a killed mirror began, and makes a deleted store again.
"""

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from ..errors import LocatableError, UnreadableError, UsageError
from ..git import git, main_checkout
from ..history.reader import BRANCHES, Experiment, Reader
from ..mlflow import mirrored, store
from ..rebuild import origin_url
from ..redact import redact_urls


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
    lacking = {key for key in (known or {}) if key in wanted and known[key][0].lacks(copy_models)}
    if (
        known
        and mirrored.settled(known, places)
        and not (lacking or (prune and known.keys() - wanted.keys()))
    ):
        return f"mirrored 0 new, {len(wanted)} already there, 0 failed", []

    # Imported here: two seconds that all the above does without.
    from mlflow.exceptions import MlflowException
    from tqdm import tqdm

    from ..mlflow import mlflow_runs, run_content

    if uri.startswith("sqlite:////"):
        store.new_database(Path(uri.removeprefix("sqlite:///")))
    client, experiment_id = mlflow_runs.connect(uri, name, main_checkout(reader.root) / "mlartifacts")
    known = known or mirrored.listed(client, experiment_id)
    ids = {key: runs[0].run_id for key, runs in known.items()}
    lacking = {key for key, runs in known.items() if key in wanted and runs[0].lacks(copy_models)}
    begun = {key for key, runs in known.items() if not runs[0].complete}
    # What another mirror has begun comes last: if it is still alive, it has finished by then.
    new = [key for key in wanted if key not in ids] + [key for key in wanted if key in begun]
    parents = {wanted[key].parent for key in new}
    grown = [key for key in wanted if key in parents - begun and key in ids and wanted[key].trials]
    again = dict.fromkeys(key for key in wanted if key in lacking and key not in begun)
    todo, there = [*grown, *new, *again], len(wanted) - len(new)

    url = origin_url(reader)
    snapshots = reader.snapshots(key for key in todo if not wanted[key].trials)
    made, repaired, missing, failed = 0, 0, 0, []
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
            lacks = content.tags.get("mirror.missing")
            if key in again and lacks and lacks == known[key][0].missing:
                missing += 1
                continue  # what was not in the DVC cache still is not
            mlflow_runs.complete(client, experiment_id, ids[key], content, key in begun, key in again)
        except mlflow_runs.LostError:
            there += 1
        except (UnreadableError, MlflowException) as error:
            if isinstance(error, MlflowException) and error.error_code != "INVALID_PARAMETER_VALUE":
                raise
            failed.append(f"{want.name}: {' '.join(str(error).split())}")
        else:
            made += key not in grown and key not in again
            repaired += key in again
            missing += "mirror.missing" in content.tags

    if made:
        known = mirrored.stored(uri, name) or mirrored.listed(client, experiment_id)
    parts = [f"mirrored {made} new", f"{there} already there", f"{len(failed)} failed"]
    renamed = mirrored.settle(client, known, {key: (want.name, want.parent) for key, want in wanted.items()})
    parts += [f"{renamed} renamed"] if renamed else []
    parts += [f"{repaired} of them with more files now"] if repaired else []
    if prune:
        gone = _gone(reader, wanted, known)
        for key in gone:
            client.delete_run(known[key][0].run_id)
        parts.append(f"{len(gone)} pruned")
    if missing:
        parts.append(f"{missing} without files that are not in this machine's DVC cache (tag mirror.missing)")
    return ", ".join(parts), failed


def _wanted(reader: Reader, all_commits: bool) -> dict[str, Wanted]:
    """Runs that should be there, by key; parents come before their children."""
    found = reader.experiments()
    head = reader.objects.read(["HEAD^" + "{commit}"])[0]
    commits = [experiment.baseline for experiment in found] + ([head[0]] if head else [])
    if all_commits:
        commits += git(reader.root, "rev-list", *BRANCHES, *(["HEAD"] if head else [])).split()
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


def _gone(reader: Reader, wanted: dict[str, Wanted], known: dict[str, list[mirrored.Known]]) -> list[str]:
    """Keys of runs whose experiment, study or commit is in no ref any more.

    A commit that this clone has never had says nothing: its experiment may live elsewhere.
    """
    candidates = [key for key in known if key not in wanted]
    kept = set(git(reader.root, "rev-list", *BRANCHES).split()) if candidates else set()
    present = dict(
        zip(candidates, reader.objects.read(f"{key}^" + "{commit}" for key in candidates), strict=True)
    )
    gone = [key for key in candidates if present[key] and key not in kept]
    above = {runs[0].parent for key, runs in known.items() if key not in gone}
    empty = [
        key for key in candidates if key.startswith(mirrored.STUDY) and known[key][0].run_id not in above
    ]
    return gone + empty


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
        why = redact_urls(" ".join(str(error).split()).partition(" [SQL: ")[0])
        where = redact_urls(uri)
        print(f"{where}: {why[:400]}; nothing is lost, the next call goes on from here", file=sys.stderr)
        return False
    for line in failed:
        print(line, file=sys.stderr)
    print(summary, flush=True)
    return not failed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `locatable mirror`."""
    parser.add_argument("--tracking-uri", metavar="URI", help="server or database")
    parser.add_argument("--experiment", metavar="NAME", help="MLflow experiment; default: the project's name")
    parser.add_argument("--watch", metavar="SECONDS", type=float, help="again and again, with this pause")
    parser.add_argument("--prune", action="store_true", help="delete runs whose experiment is gone")
    parser.add_argument("--all-commits", action="store_true", help="also all commits that have a dvc.lock")
    parser.add_argument("--copy-models", action="store_true", help="model files too, not only where they are")


def run(arguments: argparse.Namespace) -> int:
    """Mirror once, or again and again; the exit code says whether all went well."""
    if arguments.watch is not None and not 0 < arguments.watch < float("inf"):
        raise UsageError("--watch: give it a number of seconds above 0")
    try:
        while True:
            with Reader(".") as reader:
                uri, name = store.settings(reader.root)
                uri = store.absolute(arguments.tracking_uri or uri, reader.root)
                well = report(reader, uri, arguments.experiment or name, arguments)
            if arguments.watch is None:
                return int(not well)
            time.sleep(arguments.watch)
    except KeyboardInterrupt:
        raise LocatableError("stopped; the next call goes on from here") from None
