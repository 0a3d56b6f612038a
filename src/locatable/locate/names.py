"""Finds results by a name: of an experiment, a Git revision, an MLflow run, or a path that is recorded."""

import os
import re
from dataclasses import replace
from pathlib import Path
from shlex import quote

from ..errors import NotFoundError
from ..model import is_in
from ..repository.hashes import HashKind
from ..repository.project import limits
from ..repository.reader import Reader, commit_id, revisions_named
from ..repository.snapshot import Snapshot
from .by_content import find_all
from .result import Located, Result, Role, RoleKind, tracked_role


def find_name(reader: Reader, name: str) -> list[Result]:
    """Return results of that name; several only where experiments of different baselines share it.

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


def find_recorded(reader: Reader, target: str) -> Located | None:
    """Find the revisions that have what HEAD records at a path where no file is; None where it records none.

    Args:
        reader: of the repository to search.
        target: path of a file or folder that is not here.

    Raises:
        UnreadableError: a file of DVC's in HEAD is broken.
    """
    found = place_in_head(reader, Path(target))
    if found is None:
        return None
    snapshot, path = found
    names = recorded_names(snapshot, path)
    if not names and path not in snapshot.sources and path not in snapshot.outs:
        return None
    located = find_all(reader, [], names) if names else Located([])
    note = f"{target}: not here; this is what {snapshot.rev[:7]} records of it"
    if not snapshot.in_git(path):
        note += f", and `dvc pull {quote(target)}` may get it"
    results = located.results or [Result(snapshot, None, {path: role_at(snapshot, path)})]
    return replace(located, results=results, notes=[note])


def place_in_head(reader: Reader, target: Path) -> tuple[Snapshot, str] | None:
    """HEAD, and the path in it that a target would have; None where it is outside of the project."""
    head = commit_id(reader, "HEAD")
    place = Path(os.path.abspath(target))
    if not head or not place.is_relative_to(reader.root):
        return None
    return reader.snapshot(head), place.relative_to(reader.root).as_posix()


def recorded_names(snapshot: Snapshot, path: str) -> frozenset[str]:
    """Return what Git or DVC call the file or folder that a revision records at a path.

    Empty where it has no hash.

    Of what is in a tracked folder whose list is not here, and of a folder in it, it is that folder's hash.
    """
    kept = snapshot.reader.objects.entry(snapshot.tree, path)
    if kept:
        is_file = path in snapshot.git_files(path)
        md5 = snapshot.reader.hashes.of_blob(kept, HashKind.MD5) if is_file else None
        return frozenset(filter(None, (kept, md5)))
    for tracked, entry in {**snapshot.sources, **snapshot.outs}.items():
        if not is_in(path, tracked) or "md5" not in entry:
            continue
        files = {} if path == tracked else snapshot.reader.folder_files(tracked, entry)
        is_listed = any(is_in(file, path) for file in files)
        if is_listed or not files or tracked in files:
            return frozenset([files.get(path, str(entry["md5"]))])
    return frozenset()


def role_at(snapshot: Snapshot, path: str) -> Role:
    """Return how a file belongs to a revision."""
    for name, stage in snapshot.records.items():
        if any(is_in(path, out) for out in stage.outs):
            return Role(RoleKind.OUTPUT, name)
    for source in snapshot.sources:
        if is_in(path, source):
            return tracked_role(snapshot, source)
    return Role(RoleKind.IN_GIT)


def _mirrored_revision(reader: Reader, run_id: str) -> str | None:
    """Return the revision that an MLflow run mirrors, None when there is no such run.

    Raises:
        NotFoundError: it could be a run, but MLflow is not installed.
    """
    if not re.fullmatch("[0-9a-f]{32}", run_id):
        return None
    try:
        from ..mlflow.settings import read_uri
        from ..mlflow.store import mirrored_revision  # MLflow takes seconds to import.

        return mirrored_revision(read_uri(reader.root), run_id)
    except ModuleNotFoundError as error:
        if error.name != "mlflow":
            raise
        raise NotFoundError(
            f"{run_id}: no file, experiment or Git revision of that name",
            hint="if it is an MLflow run: pip install 'locatable[mlflow]'",
        ) from None
