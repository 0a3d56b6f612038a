"""Figures that results have: pictures among outputs and in Git, by what Git and DVC call their content."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import UnreadableError
from ..git import lfs
from ..git.lfs import object_id, stored_file
from ..git.objects import FOLDER, LINK, SUBMODULE, bytes_hash
from ..model import Experiment
from ..repository.hashes import md5_of
from ..repository.reader import Reader, commit_id
from ..repository.snapshot import Snapshot
from .by_content import order, progress, revisions_to_search
from .names import place_in_head, recorded_names, role_at
from .result import Result, Role, RoleKind, differing_coordinates
from .workspace import workspace_outputs

FIGURES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".tif", ".tiff", ".bmp", ".svg", ".pdf")
# Figures that are read together, and so are in memory together.
TOGETHER = 100
# Bytes of a picture that is looked at, and of a folder's list: larger ones are data.
MOST_BYTES = 50_000_000
LONGEST_LIST = 5_000_000
# Pictures in a folder that are looked at: more are a data set, and known by their bytes alone.
MOST_IN_FOLDER = 1_000
# A name that Git or DVC has for the content of a file: `git:BLOB` or `md5:HASH`.
Key = str
Place = tuple[Snapshot, str]


@dataclass
class KnownFigures:
    """All figures of all results.

    Attributes:
        reader: of the repository.
        compared: keys of figures that are compared by their looks, too.
        left_out: a line for each revision whose figures cannot be known.
        unlisted: tracked folders of which this machine does not know what is in them.
        experiments: by their commit.
        in_workspace: files by key, of figures that are in no commit.
        id_length: characters of a Git id here.
        not_counted: paths of the document that is looked into: neither it nor its other versions are known.
    """

    reader: Reader
    compared: dict[Key, None] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    unlisted: set[str] = field(default_factory=set)
    experiments: dict[str, Experiment] = field(default_factory=dict)
    in_workspace: dict[Key, Path] = field(default_factory=dict)
    id_length: int = 40
    not_counted: set[str] = field(default_factory=set)
    # Snapshot and path of each result that has a figure by itself, or a folder; and what is in folders.
    _places: dict[Key, list[Place]] = field(default_factory=dict)
    _folders: dict[str, list[Place]] = field(default_factory=dict)
    _in_folders: dict[Key, list[tuple[str, str]]] = field(default_factory=dict)

    def places(self, key: Key) -> list[Place]:
        """Snapshot and path of each result that has a figure; none where it is no result's."""
        # A folder, too, has a hash of its own.
        places = [*self._places.get(key, ()), *self._folders.get(key.removeprefix("md5:"), ())]
        for folder, name in self._in_folders.get(key, ()):
            places += [(snapshot, f"{path}/{name}") for snapshot, path in self._folders[folder]]
        return [place for place in places if place[1] not in self.not_counted]

    def leave_out(self, document: Path) -> None:
        """Have a document not count, nor its copies and other versions: it would be traced to itself."""
        paths = {path for key in self.keys_of(document.read_bytes()) for _, path in self.places(key)}
        place = place_in_head(self.reader, document)
        self.not_counted = paths | {place[1]} if place else paths

    def is_figure_of_result(self, key: Key) -> bool:
        """Return whether a stage wrote a figure in any result."""
        return any(role_at(*place).kind is RoleKind.OUTPUT for place in self.places(key))

    def add(self, key: Key, place: Place, is_compared: bool = True) -> None:
        """Note that a result has a figure."""
        self._places.setdefault(key, []).append(place)
        if is_compared:
            self.compared[key] = None

    def add_folder(self, entry: Mapping[str, Any], place: Place, is_compared: bool) -> None:
        """Note that a result has a folder that DVC tracks; the same one in many results is read once."""
        folder = str(entry["md5"])
        if folder not in self._folders:
            self._folders[folder] = []
            figures = self._figures_in(entry, place[1])
            for name, md5 in figures.items():
                self._in_folders.setdefault(f"md5:{md5}", []).append((folder, name))
            if is_compared and len(figures) <= MOST_IN_FOLDER:
                self.compared.update(dict.fromkeys(f"md5:{md5}" for md5 in figures.values()))
        self._folders[folder].append(place)

    def _figures_in(self, entry: Mapping[str, Any], path: str) -> dict[str, str]:
        """Return hashes of a folder's figures by their path in it."""
        listing = self.reader.cached_file(str(entry["md5"]))
        if listing and listing.stat().st_size > LONGEST_LIST:
            self.left_out.append(f"pictures in {path}, which is too large to look at")
            return {}
        if not listing and not entry.get("files"):
            self.unlisted.add(path)
        files = self.reader.folder_files(path, entry)
        return {file.removeprefix(f"{path}/"): md5 for file, md5 in files.items() if is_figure(file)}

    def keys_of(self, content: bytes) -> list[Key]:
        """Return keys of results' figures that have the same bytes."""
        names = [f"md5:{hashlib.md5(content, usedforsecurity=False).hexdigest()}"]
        names.append(f"git:{bytes_hash(content, self.id_length)}")
        if self.reader.lfs.is_dir():
            names.append(f"git:{lfs.pointer_hash_of(content, self.id_length)}")
        return [name for name in names if self.places(name)]

    def results_recorded(self, file: Path) -> list[Result]:
        """Return the results that have the figure that HEAD records at a path where no file is."""
        place = place_in_head(self.reader, file)
        if place is None:
            return []
        snapshot, path = place
        names = recorded_names(snapshot, path)
        keys = [f"git:{name}" for name in names] + [f"md5:{name}" for name in names]
        found = self.results(keys)
        return found or ([Result(snapshot, None, {path: role_at(snapshot, path)})] if names else [])

    def contents(self, keys: Iterable[Key]) -> Iterator[tuple[Key, bytes | None]]:
        """Yield content of figures, a few at a time; None where this machine does not have it."""
        wanted = list(keys)
        for start in range(0, len(wanted), TOGETHER):
            together = wanted[start : start + TOGETHER]
            blobs = [key.removeprefix("git:") for key in together if key.startswith("git:")]
            found = self.reader.objects.present_blobs(blobs)
            for key in together:
                kind, _, name = key.partition(":")
                yield key, self._file_of(found.get(name)) if kind == "git" else self._cached(key, name)

    def content(self, key: Key) -> bytes | None:
        """Return content of a figure; None where this machine does not have it."""
        return next(content for _, content in self.contents([key]))

    def results(self, keys: Iterable[Key]) -> list[Result]:
        """Return the results that have any of some figures: what made one first, then by time."""
        snapshots: dict[str, Snapshot] = {}
        roles: dict[str, dict[str, Role]] = {}
        for key in keys:
            for snapshot, path in self.places(key):
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
        from ..results.coordinates import coordinates_of

        head = self.reader.snapshot(workspace.rev)
        return differing_coordinates(coordinates_of(workspace), coordinates_of(head)) or ["execution"]

    def _file_of(self, blob: bytes | None) -> bytes | None:
        """Return what a blob stands for: the file of Git LFS that it points to, or itself."""
        oid = object_id(blob) if blob else ""
        if not oid:
            return blob
        stored = stored_file(self.reader.lfs, oid)
        return stored.read_bytes() if stored else None

    def _cached(self, key: Key, md5: str) -> bytes | None:
        cached = self.in_workspace.get(key) or self.reader.cached_file(md5)
        if cached and cached.stat().st_size > MOST_BYTES:
            return b""
        return cached.read_bytes() if cached else None


def known_figures(reader: Reader) -> KnownFigures:
    """Return all figures of all experiments, of all commits of branches and tags, and of the workspace."""
    known = KnownFigures(reader)
    for experiment in reader.experiments():
        known.experiments.setdefault(experiment.rev, experiment)
    head = commit_id(reader, "HEAD")
    searched = revisions_to_search(reader, known.experiments, head)
    if not searched:
        return known
    known.id_length = len(searched[0])
    trees: dict[str, list[tuple[str, str]]] = {}
    for snapshot in progress(reader.snapshots(searched), len(searched)):
        try:
            snapshot.check_whole()
            _add(known, snapshot, replace(snapshot), trees)
        except UnreadableError as error:
            known.left_out.append(str(error))
    if head:
        _add_workspace(known, reader.snapshot(head))
    return known


def is_figure(path: str) -> bool:
    """Return whether a file is a figure, by its name."""
    return path.lower().endswith(FIGURES)


def _add(
    known: KnownFigures, snapshot: Snapshot, unread: Snapshot, trees: dict[str, list[tuple[str, str]]]
) -> None:
    """Note the figures of a revision, with a copy of it that does not hold what was read."""
    # First what can fail: of a revision with a broken file of DVC's, no figure is known.
    tracked = {**snapshot.sources, **snapshot.outs}
    for path, blob in _figures_below(known.reader, snapshot.tree, trees):
        known.add(f"git:{blob}", (unread, path))
    for path, entry in tracked.items():
        md5 = str(entry.get("md5", ""))
        is_output = path not in snapshot.sources
        if md5.endswith(".dir") and not snapshot.in_git(path):
            known.add_folder(entry, (unread, path), is_output)
        elif md5 and is_figure(path) and not snapshot.in_git(path):
            known.add(f"md5:{md5}", (unread, path), is_output)


def _figures_below(
    reader: Reader, tree: str, trees: dict[str, list[tuple[str, str]]]
) -> list[tuple[str, str]]:
    """Return path and blob of each figure that Git keeps below a tree.

    Most trees are those of other revisions.
    """
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
            known.add(key, (workspace, path))
            known.in_workspace[key] = file
