"""Figures that results have: pictures among outputs and in Git, by what Git and DVC call their content."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UnreadableError
from ..git_lfs import object_id, stored_file
from ..history import lfs
from ..history.hashes import bytes_hash, md5_of
from ..history.reader import Experiment, Reader
from ..history.revisions import commit_id
from ..history.snapshot import Snapshot
from ..history.trees import FOLDER, LINK, SUBMODULE
from .content import order, revisions_to_search
from .result import Result, Role, RoleKind, differing_coordinates
from .workspace import workspace_outputs

FIGURES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".tif", ".tiff", ".bmp", ".svg", ".pdf")
# Figures that are read together, and so are in memory together.
TOGETHER = 100
# A name that Git or DVC has for the content of a file: `git:BLOB` or `md5:HASH`.
Key = str


@dataclass
class KnownFigures:
    """All figures of all results.

    Attributes:
        reader: of the repository.
        places: snapshot and path of each result that has a figure, by the figure's key.
        left_out: a line for each revision whose figures cannot be known.
        experiments: by their commit.
        in_workspace: files by key, of figures that are in no commit.
        id_length: characters of a Git id here.
    """

    reader: Reader
    places: dict[Key, list[tuple[Snapshot, str]]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    experiments: dict[str, Experiment] = field(default_factory=dict)
    in_workspace: dict[Key, Path] = field(default_factory=dict)
    id_length: int = 40

    def keys_of(self, content: bytes) -> list[Key]:
        """Keys of results' figures that have the same bytes."""
        names = [f"md5:{hashlib.md5(content, usedforsecurity=False).hexdigest()}"]
        names.append(f"git:{bytes_hash(content, self.id_length)}")
        if self.reader.lfs.is_dir():
            names.append(f"git:{lfs.pointer_hash_of(content, self.id_length)}")
        return [name for name in names if name in self.places]

    def contents(self, keys: Iterable[Key]) -> Iterator[tuple[Key, bytes | None]]:
        """Content of figures, a few at a time; None where this machine does not have it."""
        wanted = list(keys)
        for start in range(0, len(wanted), TOGETHER):
            together = wanted[start : start + TOGETHER]
            blobs = [key.removeprefix("git:") for key in together if key.startswith("git:")]
            found = self.reader.objects.present_blobs(blobs)
            for key in together:
                kind, _, name = key.partition(":")
                yield key, self._file_of(found.get(name)) if kind == "git" else self._cached(key, name)

    def content(self, key: Key) -> bytes | None:
        """Content of a figure; None where this machine does not have it."""
        return next(content for _, content in self.contents([key]))

    def results(self, keys: Iterable[Key]) -> list[Result]:
        """The results that have any of some figures: what made one first, then by time."""
        snapshots: dict[str, Snapshot] = {}
        roles: dict[str, dict[str, Role]] = {}
        for key in keys:
            for snapshot, path in self.places[key]:
                name = snapshot.rev if key not in self.in_workspace else "workspace"
                snapshots[name] = snapshot
                roles.setdefault(name, {})[path] = role_at(snapshot, path)
        results = []
        for name, snapshot in snapshots.items():
            experiment = self.experiments.get(name)
            uncommitted = self._uncommitted(snapshot) if name == "workspace" else []
            results.append(Result(snapshot, experiment, roles[name], uncommitted))
        foreign = self.reader.foreign_projects([one.experiment for one in results if one.experiment])
        for index, result in enumerate(results):
            if result.rev in foreign:
                results[index] = Result(
                    result.snapshot, result.experiment, result.roles, [], foreign[result.rev]
                )
        return sorted(results, key=order)

    def _uncommitted(self, workspace: Snapshot) -> list[str]:
        from ..coordinates import coordinates_of

        head = self.reader.snapshot(workspace.rev)
        return differing_coordinates(coordinates_of(workspace), coordinates_of(head)) or ["execution"]

    def _file_of(self, blob: bytes | None) -> bytes | None:
        """What a blob stands for: the file of Git LFS that it points to, or itself."""
        oid = object_id(blob) if blob else ""
        if not oid:
            return blob
        stored = stored_file(self.reader.lfs, oid)
        return stored.read_bytes() if stored else None

    def _cached(self, key: Key, md5: str) -> bytes | None:
        cached = self.in_workspace.get(key) or self.reader.cached_file(md5)
        return cached.read_bytes() if cached else None


def known_figures(reader: Reader) -> KnownFigures:
    """All figures of all experiments, of all commits of branches and tags, and of the workspace."""
    known = KnownFigures(reader)
    for experiment in reader.experiments():
        known.experiments.setdefault(experiment.rev, experiment)
    head = commit_id(reader, "HEAD")
    revisions = revisions_to_search(reader, known.experiments, head)
    if not revisions:
        return known
    known.id_length = len(revisions[0])
    trees: dict[str, list[tuple[str, str]]] = {}
    for snapshot in reader.snapshots(revisions):
        try:
            snapshot.check_whole()
            _add(known, snapshot, trees)
        except UnreadableError as error:
            known.left_out.append(str(error))
    if head:
        _add_workspace(known, reader.snapshot(head))
    return known


def role_at(snapshot: Snapshot, path: str) -> Role:
    """How a file belongs to a revision."""
    for name, stage in snapshot.stages.items():
        if any(path == out or path.startswith(f"{out}/") for out in stage.outs):
            return Role(RoleKind.OUTPUT, name)
    if any(path == source or path.startswith(f"{source}/") for source in snapshot.sources):
        return Role(RoleKind.SOURCE)
    return Role(RoleKind.IN_GIT)


def is_figure(path: str) -> bool:
    """Whether a file is a figure, by its name."""
    return path.lower().endswith(FIGURES)


def _add(known: KnownFigures, snapshot: Snapshot, trees: dict[str, list[tuple[str, str]]]) -> None:
    """Note the figures of a revision."""
    in_git = set()
    for path, blob in _figures_below(known.reader, snapshot.tree, trees):
        in_git.add(path)
        known.places.setdefault(f"git:{blob}", []).append((snapshot, path))
    for path, entry in {**snapshot.sources, **snapshot.outs}.items():
        md5 = str(entry.get("md5", ""))
        if not md5.endswith(".dir") and not is_figure(path):
            continue
        if path in in_git or (md5.endswith(".dir") and snapshot.in_git(path)):
            continue
        for file, name in known.reader.folder_files(path, entry).items():
            if is_figure(file):
                known.places.setdefault(f"md5:{name}", []).append((snapshot, file))


def _figures_below(
    reader: Reader, tree: str, trees: dict[str, list[tuple[str, str]]]
) -> list[tuple[str, str]]:
    """Path and blob of each figure that Git keeps below a tree; most trees are those of other revisions."""
    if tree not in trees:
        found = []
        for name, (mode, entry) in reader.objects.entries(tree).items():
            if mode == FOLDER:
                found += [(f"{name}/{path}", blob) for path, blob in _figures_below(reader, entry, trees)]
            elif mode not in (SUBMODULE, LINK) and is_figure(name):
                found.append((name, entry))
        trees[tree] = found
    return trees[tree]


def _add_workspace(known: KnownFigures, head: Snapshot) -> None:
    """Note figures that are in the workspace, as its dvc.lock records them, and in no commit."""
    try:
        workspace, outputs = workspace_outputs(head, is_figure)
    except UnreadableError as error:
        known.left_out.append(f"workspace on {error}")
        return
    for path, file in outputs.items():
        if not known.keys_of(file.read_bytes()):
            key = f"md5:{md5_of(file)}"
            known.places[key] = [(workspace, path)]
            known.in_workspace[key] = file
