"""Finds results that are in the workspace and in no commit yet."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from ..coordinates import coordinates_of
from ..git import git
from ..history.hashes import md5_of
from ..history.ignored import IGNORE_FILE, NEVER_SEARCHED, is_ignore_file, may_hide
from ..history.snapshot import Snapshot
from .result import Result, Role, RoleKind, differing_coordinates

# Where DVC, and the stage `environment`, record results.
RECORDS = ("dvc.lock", "dvc.yaml", "*.dvc", "environment.json")


def find_in_workspace(head: Snapshot, file: Path) -> list[Result]:
    """The file, or its original, as an output that the workspace's dvc.lock records and HEAD does not.

    Args:
        head: the commit that is checked out.
        file: any file, wherever it is.

    Raises:
        UnreadableError: a file of DVC's in the workspace is broken.
    """
    records = _workspace_records(head.reader.root)
    if records == head.files:
        return []
    workspace = replace(head, files=records)
    roles = _recorded_outputs(workspace, file)
    if not roles:
        return []
    uncommitted = differing_coordinates(coordinates_of(workspace), coordinates_of(head))
    return [Result(workspace, None, roles, uncommitted)] if uncommitted else []


def _workspace_records(root: Path) -> dict[str, bytes]:
    """Content by path of the files in the workspace that record results."""
    patterns = [f":(glob)**/{name}" for name in (*RECORDS, IGNORE_FILE)]
    listed = git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns)
    found = {}
    for path in filter(None, listed.split("\0")):
        if (root / path).is_file() and not _in_other_project(root, path):
            found[path] = (root / path).read_bytes()
    rules = {path: content for path, content in found.items() if is_ignore_file(path)}
    records = {path: content for path, content in found.items() if path not in rules}
    of_dvc = [path for path in records if not path.endswith("environment.json")]
    if may_hide(rules.values(), of_dvc):
        from ..dvc.ignored import hidden_in_workspace  # takes a fifth of a second

        for path in hidden_in_workspace(root, of_dvc):
            del records[path]
    return records


def _in_other_project(root: Path, path: str) -> bool:
    """Whether a folder between the root and the file is a DVC project of its own, or one of DVC's own."""
    folders = PurePosixPath(path).parents[:-1]
    return any(folder.name in NEVER_SEARCHED or (root / folder / ".dvc").is_dir() for folder in folders)


def _recorded_outputs(workspace: Snapshot, file: Path) -> dict[str, Role]:
    """Files with the same content, among outputs that are in the workspace as its dvc.lock records them."""
    root = workspace.reader.root
    size = file.stat().st_size
    md5 = md5_of(file)
    roles = {}
    for name, stage in workspace.stages.items():
        for out, entry in stage.outs.items():
            same_size = [path for path in _files_in(root / out) if path.stat().st_size == size]
            same = [path for path in same_size if md5_of(path) == md5]
            if same and md5_of(root / out) == entry.get("md5"):
                for path in same:
                    roles[path.relative_to(root).as_posix()] = Role(RoleKind.OUTPUT, name)
    return roles


def _files_in(path: Path) -> Iterator[Path]:
    """The file at a path, or all files below it."""
    paths = path.rglob("*") if path.is_dir() else [path]
    return (each for each in paths if each.is_file())
