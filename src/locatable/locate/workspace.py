"""Finds results that are in the workspace and in no commit yet."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from ..git import git, paths_left_out
from ..git.objects import NEVER_SEARCHED
from ..repository.hashes import HashKind, md5_of
from ..repository.ignored import IGNORE_FILE, is_ignore_file, may_hide
from ..repository.snapshot import Snapshot
from ..results.coordinates import coordinates_of
from .result import Result, Role, RoleKind, differing_coordinates

# Where DVC, and the stage `environment`, record results.
RECORDS = ("dvc.lock", "dvc.yaml", "*.dvc", "environment.json")


def find_in_workspace(head: Snapshot, targets: list[Path]) -> list[Result]:
    """Files and folders that are outputs, or in them, as the workspace's dvc.lock records and HEAD does not.

    Args:
        head: the commit that is checked out.
        targets: any files and folders, wherever they are.

    Raises:
        UnreadableError: a file of DVC's in the workspace is broken.
    """
    records = _workspace_records(head)
    if records == head.files:
        return []
    workspace = replace(head, files=records)
    roles = _recorded_outputs(workspace, targets)
    if not roles:
        return []
    uncommitted = differing_coordinates(coordinates_of(workspace), coordinates_of(head))
    return [Result(workspace, None, roles, uncommitted)] if uncommitted else []


def workspace_outputs(head: Snapshot, wanted: Callable[[str], bool]) -> tuple[Snapshot, dict[str, Path]]:
    """Return files that stages wrote, as the workspace's dvc.lock records them; none where it is HEAD's.

    Args:
        head: the commit that is checked out.
        wanted: whether a path is of interest.

    Returns:
        HEAD with the workspace's records, and the files by path.

    Raises:
        UnreadableError: a file of DVC's in the workspace is broken.
    """
    records = _workspace_records(head)
    if records == head.files:
        return head, {}
    workspace = replace(head, files=records)
    root = head.reader.root
    files: dict[str, Path] = {}
    for out, entry in workspace.outs.items():
        found = {file.relative_to(root).as_posix(): file for file in _files_in(root / out)}
        of_interest = {path: file for path, file in found.items() if wanted(path)}
        # What is large, such as a model, is not read for nothing.
        if of_interest and md5_of(root / out, HashKind.of_entry(entry)) == entry.get("md5"):
            files |= of_interest
    return workspace, files


def _workspace_records(head: Snapshot) -> dict[str, bytes]:
    """Return content by path of the files in the workspace that record results."""
    root = head.reader.root
    patterns = [f":(glob)**/{name}" for name in (*RECORDS, IGNORE_FILE)]
    listed = git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns)
    found = {}
    for path in filter(None, listed.split("\0")):
        if (root / path).is_file() and not _in_other_project(root, path):
            found[path] = (root / path).read_bytes()
    for path in paths_left_out(root):
        # A sparse checkout has them as they are committed.
        if path in head.files and path not in found:
            found[path] = head.files[path]
    rules = {path: content for path, content in found.items() if is_ignore_file(path)}
    records = {path: content for path, content in found.items() if path not in rules}
    of_dvc = [path for path in records if not path.endswith("environment.json")]
    if may_hide(rules.values(), of_dvc):
        from ..repository.ignored import hidden_in_workspace  # takes a fifth of a second

        for path in hidden_in_workspace(root, of_dvc):
            del records[path]
    return records


def _in_other_project(root: Path, path: str) -> bool:
    """Whether a folder between the root and the file is a DVC project of its own, or one of DVC's own."""
    folders = PurePosixPath(path).parents[:-1]
    return any(folder.name in NEVER_SEARCHED or (root / folder / ".dvc").is_dir() for folder in folders)


def _recorded_outputs(workspace: Snapshot, targets: list[Path]) -> dict[str, Role]:
    """Where the same content is, among outputs that are in the workspace as its dvc.lock records them."""
    root = workspace.reader.root
    sizes = {target.stat().st_size for target in targets if target.is_file()}
    md5s = {md5_of(target) for target in targets}
    has_folder = any(target.is_dir() for target in targets)
    roles = {}
    for name, stage in workspace.records.items():
        for out, entry in stage.outs.items():
            place = root / out
            same = [
                path for path in _files_in(place) if path.stat().st_size in sizes and md5_of(path) in md5s
            ]
            if has_folder and place.is_dir() and md5_of(place) in md5s:
                same.append(place)
            if same and md5_of(place, HashKind.of_entry(entry)) == entry.get("md5"):
                for path in same:
                    roles[path.relative_to(root).as_posix()] = Role(RoleKind.OUTPUT, name)
    return roles


def _files_in(path: Path) -> Iterator[Path]:
    """Yield the file at a path, or all files below it."""
    paths = path.rglob("*") if path.is_dir() else [path]
    return (each for each in paths if each.is_file())
