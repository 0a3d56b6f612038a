"""The figures of results: pictures among outputs and in Git, and their fingerprints.

A figure's key is the Git or DVC hash of its content, so that the same figure in many results has one key. The
fingerprints are cached in files that can be deleted at any time. An entry belongs to a content and not to a
path, so it is never out of date.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from ..documents import PICTURES, Drawing, Look, looks_of, read_bounded, unbounded_time
from ..documents.picture import SIDE, Part, blocks, pixel_digest, small_enough, square
from ..errors import UnreadableError
from ..git.objects import FOLDER, LINK, SUBMODULE, bytes_hash
from ..git.pointers import lfs_file, lfs_id, lfs_pointer_hash_of
from ..output import replacing
from ..repository.hashes import content_hash, md5_of
from ..repository.reader import Reader
from ..repository.snapshot import Snapshot
from .by_content import Commits, order, path_in, recorded_hashes, role_at, workspace_outputs
from .result import Result, Role, RoleKind, note_projects, uncommitted_coordinates

FIGURES = (*PICTURES, ".pdf")
# Number of figures that are read into memory at once.
TOGETHER = 32
# Largest picture, and largest list of a folder's files, in bytes. Anything larger is data, not figures.
MOST_BYTES = 50_000_000
LONGEST_LIST = 5_000_000
# A folder with more pictures than this is a data set: its pictures are found by their bytes only.
MOST_IN_FOLDER = 1_000
# `git:BLOB` or `md5:HASH`.
Key = str
Place = tuple[Snapshot, str]
# The fingerprints that a caller of `read_rows` computes for a figure.
Rows = TypeVar("Rows")

# The folder and files of the cached fingerprints. The numbers in the names are versions of their format.
INDEXES = ".dvc/tmp/locatable"
DIGESTS = "figures-2.npy"
LOOKS = "looks-1.npy"
_LONGEST_KEY = 72
# A PDF has a row for each page. A figure that cannot be read has one as well, so that it is not read again.
DIGEST_ROW = np.dtype([("key", f"S{_LONGEST_KEY}"), ("digest", "u1", 16)])
# Number of blocks of a figure that are compared, the largest ones first. It is enough for a large picture of
# small plots.
MOST_BLOCKS = 16
LOOK_ROW = np.dtype(
    [
        ("key", f"S{_LONGEST_KEY}"),
        ("digest", "u1", 16),
        ("box", "<u2", 4),
        ("inside", "u1", (SIDE, SIDE)),
    ]
)
# Longer side, in pixels, to which a figure is scaled down before it is compared.
LONGER_SIDE = 1_000
# Number of opened figures that are kept in memory.
OPENED = 32


class FigureFiles:
    """The files of figures that are on this machine: in the workspace, in Git, or in DVC's cache.

    Args:
        reader: the reader of the repository.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._in_workspace: dict[Key, Path] = {}

    def contents(self, keys: Iterable[Key]) -> Iterator[dict[Key, bytes | None]]:
        """Yield the contents of figures by key, some at a time; None for one that this machine lacks."""
        wanted = list(keys)
        for start in range(0, len(wanted), TOGETHER):
            batch = wanted[start : start + TOGETHER]
            ids = [key.removeprefix("git:") for key in batch if key.startswith("git:")]
            blobs = self._reader.objects.present_blobs(ids)
            contents: dict[Key, bytes | None] = {}
            for key in batch:
                kind, _, hashed = key.partition(":")
                if kind == "git":
                    contents[key] = self._in_git(blobs.get(hashed))
                else:
                    contents[key] = self._in_cache(key)
            yield contents

    def content(self, key: Key) -> bytes | None:
        """Return the content of a figure; None if this machine does not have it."""
        return next(self.contents([key]))[key]

    def _in_git(self, blob: bytes | None) -> bytes | None:
        """Return the content of the Git LFS file that a blob points to, or the blob itself if it is none."""
        oid = lfs_id(blob) if blob else None
        if not oid:
            return blob
        stored = lfs_file(self._reader.lfs, oid)
        return stored.read_bytes() if stored else None

    def _in_cache(self, key: Key) -> bytes | None:
        file = self._in_workspace.get(key) or self._reader.cached_file(key.removeprefix("md5:"))
        if file and file.stat().st_size > MOST_BYTES:
            return b""  # the file is on this machine, but too large for a figure
        return file.read_bytes() if file else None


class KnownFigures(FigureFiles):
    """All figures of all experiments, of all commits of branches and tags, and of the workspace.

    Attributes:
        compared: the keys of figures that are also compared by their looks.
        left_out: lines about revisions and folders whose figures are not known, with the reasons.
        unlisted: the paths of tracked folders whose lists of files are not on this machine.
        excluded: the paths of the document whose figures are looked up; see `exclude`.
    """

    def __init__(self, reader: Reader) -> None:
        super().__init__(reader)
        self._commits = Commits(reader)
        self.compared: dict[Key, None] = {}
        self.left_out: list[str] = []
        self.unlisted: set[str] = set()
        self.excluded: set[str] = set()
        # The places where results have a figure by itself, and those where they have a tracked folder, by the
        # hash of the folder. A figure in a folder is stored once, as the folder's hash and its name in it.
        self._places: dict[Key, list[Place]] = {}
        self._folders: dict[str, list[Place]] = {}
        self._in_folders: dict[Key, list[tuple[str, str]]] = {}
        # The figures of folders that no stage has written in the revisions so far.
        self._uncompared: dict[str, list[Key]] = {}
        # The path and blob of each figure below a tree. Many revisions share most of their trees.
        self._trees: dict[str, list[tuple[str, str]]] = {}
        for snapshot in self._commits.snapshots():
            try:
                self._add_revision(snapshot)
            except UnreadableError as error:
                self.left_out.append(str(error))
        head = self._commits.head
        self._head = reader.snapshot(head) if head else None
        if self._head:
            self._add_workspace(self._head)
        # The figures of a document are often compared with the same few pictures, so these stay open.
        self._opened = lru_cache(OPENED)(self._open)

    def exclude(self, document: Path) -> None:
        """Exclude a document from the known figures, with its copies and older versions.

        Otherwise a document that is kept in the repository would be found in itself.
        """
        paths: set[str] = set()
        for key in self.keys_of(read_bounded(document)):
            paths.update(path for _, path in self.places(key))
        path = path_in(self._head, document) if self._head else None
        self.excluded = paths | {path} if path else paths

    def places(self, key: Key) -> list[Place]:
        """Return the snapshot and path of each result with a figure; empty if no result has it."""
        # `results_recorded` also looks up the hash of a tracked folder, so folders count as places.
        places = list(self._places.get(key, ()))
        places += self._folders.get(key.removeprefix("md5:"), ())
        for folder, name in self._in_folders.get(key, ()):
            for snapshot, path in self._folders[folder]:
                places.append((snapshot, f"{path}/{name}"))
        return [(snapshot, path) for snapshot, path in places if path not in self.excluded]

    def revisions(self, key: Key) -> set[str]:
        """Return the revisions that have a figure; empty if no result has it."""
        return {snapshot.rev for snapshot, _ in self.places(key)}

    def is_output(self, key: Key) -> bool:
        """Return true if a stage of any result wrote a figure."""
        return any(role_at(*place).kind is RoleKind.OUTPUT for place in self.places(key))

    def keys_of(self, content: bytes) -> list[Key]:
        """Return the keys of results' figures with exactly these bytes."""
        id_length = self._commits.id_length
        keys = [f"md5:{content_hash(content)}", f"git:{bytes_hash(content, id_length)}"]
        if self._reader.lfs.is_dir():
            keys.append(f"git:{lfs_pointer_hash_of(content, id_length)}")
        return [key for key in keys if self.places(key)]

    def results(self, keys: Iterable[Key]) -> list[Result]:
        """Return the results with any of the figures, in the order of `by_content.order`."""
        snapshots: dict[str, Snapshot] = {}
        roles: dict[str, dict[str, Role]] = {}
        for key in keys:
            for snapshot, path in self.places(key):
                name = "workspace" if key in self._in_workspace else snapshot.rev
                snapshots[name] = snapshot
                roles.setdefault(name, {})[path] = role_at(snapshot, path)
        results = []
        for name, snapshot in snapshots.items():
            uncommitted = []
            if name == "workspace":
                head = self._reader.snapshot(snapshot.rev)
                # If all coordinates are equal, a stage was run again and wrote a different figure.
                uncommitted = uncommitted_coordinates(snapshot, head) or ["execution"]
            experiment = self._commits.experiments.get(name)
            results.append(Result(snapshot, experiment, roles[name], uncommitted))
        note_projects(self._reader, results)
        return sorted(results, key=order)

    def results_recorded(self, file: Path) -> list[Result]:
        """Return the results with the figure that HEAD records at the path of a missing file."""
        head = self._head
        path = path_in(head, file) if head else None
        if not head or not path:
            return []
        keys = []
        for hashed in recorded_hashes(head, path):
            keys += [f"git:{hashed}", f"md5:{hashed}"]
        if not keys:
            return []
        return self.results(keys) or [Result(head, None, {path: role_at(head, path)})]

    def _add_revision(self, snapshot: Snapshot) -> None:
        """Add the figures of a revision.

        Raises:
            UnreadableError: a DVC file of the revision is broken. Then none of its figures is added.
        """
        snapshot.check_whole()
        tracked = snapshot.tracked
        # The copy does not keep what was read from the snapshot: there can be thousands of revisions.
        copy = replace(snapshot)
        for path, blob in self._figures_below(snapshot.tree):
            self._add(f"git:{blob}", (copy, path))
        for path, entry in tracked.items():
            md5 = str(entry.get("md5", ""))
            if not md5 or snapshot.in_git(path):
                continue
            is_output = path not in snapshot.sources
            if md5.endswith(".dir"):
                self._add_folder(md5, entry, (copy, path), is_output)
            elif is_figure(path):
                self._add(f"md5:{md5}", (copy, path), is_output)

    def _add(self, key: Key, place: Place, is_compared: bool = True) -> None:
        self._places.setdefault(key, []).append(place)
        if is_compared:
            self.compared[key] = None

    def _add_folder(self, folder: str, entry: Mapping[str, Any], place: Place, is_compared: bool) -> None:
        """Add a place of a folder that DVC tracks; its files are listed the first time only."""
        if folder not in self._folders:
            self._folders[folder] = []
            figures = self._figures_in(folder, entry, place[1])
            for name, md5 in figures.items():
                self._in_folders.setdefault(f"md5:{md5}", []).append((folder, name))
            if len(figures) <= MOST_IN_FOLDER:
                self._uncompared[folder] = [f"md5:{md5}" for md5 in figures.values()]
        if is_compared:
            self.compared |= dict.fromkeys(self._uncompared.pop(folder, ()))
        self._folders[folder].append(place)

    def _figures_in(self, folder: str, entry: Mapping[str, Any], path: str) -> dict[str, str]:
        """Return the hashes of a tracked folder's figures, by their path in the folder."""
        listing = self._reader.cached_file(folder)
        if listing and listing.stat().st_size > LONGEST_LIST:
            self.left_out.append(f"pictures in {path}, which is too large to look at")
            return {}
        if not listing and not entry.get("files"):
            self.unlisted.add(path)
        files = self._reader.folder_files(path, entry)
        return {file.removeprefix(f"{path}/"): md5 for file, md5 in files.items() if is_figure(file)}

    def _figures_below(self, tree: str) -> list[tuple[str, str]]:
        """Return the path and blob of each figure below a Git tree."""
        if tree not in self._trees:
            figures = []
            for name, (mode, entry) in self._reader.objects.entries(tree).items():
                if mode == FOLDER:
                    for path, blob in self._figures_below(entry):
                        figures.append((f"{name}/{path}", blob))
                elif mode not in (SUBMODULE, LINK) and is_figure(name):
                    figures.append((name, entry))
            self._trees[tree] = figures
        return self._trees[tree]

    def _add_workspace(self, head: Snapshot) -> None:
        """Add figures that the workspace's dvc.lock records and that are in no commit."""
        try:
            workspace, outputs = workspace_outputs(head, lambda path: is_figure(path.name) and path.is_file())
        except UnreadableError as error:
            self.left_out.append(f"workspace on {error}")
            return
        for path, file in outputs.items():
            if not self.keys_of(file.read_bytes()):
                key = f"md5:{md5_of(file)}"
                self._add(key, (workspace, path))
                self._in_workspace[key] = file

    @property
    def missing(self) -> list[Key]:
        """The keys of figures that cannot be compared because this machine does not have them."""
        return self._digests[1]

    @cached_property
    def _digests(self) -> tuple[dict[bytes, list[Key]], list[Key]]:
        """The keys of figures by digest, and the keys of missing figures; read on first use."""
        rows, missing = self._rows_in(DIGESTS, DIGEST_ROW, digest_rows)
        return _keys_by_digest(rows), missing

    def with_digest(self, digest: bytes) -> list[Key]:
        """Return the keys of figures with a digest, which is one of pixels or of a drawing's outline."""
        by_digest, _ = self._digests
        return by_digest.get(digest, [])

    @cached_property
    def looks(self) -> np.ndarray:
        """The distinct blocks of all figures, as an array of `LOOK_ROW`; PDF figures are rendered."""
        rows, _ = self._rows_in(LOOKS, LOOK_ROW, look_rows)
        self._by_look = _keys_by_digest(rows)
        return distinct(rows)

    def with_look(self, row: np.void) -> tuple[Key, ...]:
        """Return the keys of all results' figures that look like the figure of a row of `looks`."""
        keys = self._by_look[row["digest"].tobytes()]
        return tuple(key for key in keys if self.places(key))

    def part(self, row: np.void) -> Part | None:
        """Return the block of a row of `looks`; None if this machine no longer has the figure."""
        picture = self._opened(row["key"].decode())
        return None if picture is None else Part(picture, tuple(row["box"].tolist()))

    def _open(self, key: Key) -> Image.Image | None:
        content = self.content(key)
        return None if content is None else compared_picture(content)

    def _rows_in(
        self, name: str, kind: np.dtype, rows_of: Callable[[list[Look]], np.ndarray]
    ) -> tuple[np.ndarray, list[Key]]:
        """Return the fingerprints of all compared figures, and the keys of figures that this machine lacks.

        Fingerprints are read from the cache file `name`. Those that are not in it are computed and added to
        it. If the computation is interrupted, what is done so far is saved.
        """
        file = self._reader.root / INDEXES / name
        rows = _load(file, kind)
        keys = np.array(list(self.compared), dtype=kind["key"])
        unread = np.setdiff1d(keys, rows["key"]).astype(str).tolist()
        new: list[np.ndarray] = []
        missing: list[Key] = []
        # The time limit protects from documents of unknown origin. It does not apply here, because reading
        # thousands of the repository's own figures can take longer.
        with unbounded_time():
            try:
                for rows_by_key, absent in read_rows(self, unread, rows_of):
                    for key, figure_rows in rows_by_key.items():
                        figure_rows["key"] = key.encode()
                        new.append(figure_rows)
                    missing += absent
            finally:
                if new:
                    rows = np.concatenate([rows, *new])
                    _save(file, rows)
        return rows[np.isin(rows["key"], keys)], missing


def is_figure(path: str) -> bool:
    """Return true if a path has the suffix of a picture or PDF."""
    return path.lower().endswith(FIGURES)


def compared_picture(content: bytes) -> Image.Image | None:
    """Return a figure scaled to the size at which it is compared; None if it cannot be rendered."""
    picture = rendered(figure_looks(content))
    return None if picture is None else small_enough(picture, LONGER_SIDE)


def distinct(rows: np.ndarray) -> np.ndarray:
    """Return the rows that have a block, without duplicates of the same block of the same picture."""
    with_block = rows[rows["box"].any(axis=1)]
    # A dictionary is ten times as fast here as `np.unique` of digest and box.
    first: dict[bytes, int] = {}
    for position, (digest, box) in enumerate(zip(with_block["digest"], with_block["box"], strict=True)):
        first.setdefault(digest.tobytes() + box.tobytes(), position)
    return np.asarray(with_block[list(first.values())])


def _keys_by_digest(rows: np.ndarray) -> dict[bytes, list[Key]]:
    by_digest: dict[bytes, dict[Key, None]] = {}
    for key, digest in zip(rows["key"].tolist(), rows["digest"], strict=True):
        by_digest.setdefault(digest.tobytes(), {})[key.decode()] = None
    return {digest: list(keys) for digest, keys in by_digest.items()}


def _load(path: Path, kind: np.dtype) -> np.ndarray:
    """Read rows from a cache file; return none if it does not exist, is damaged, or has other columns."""
    with suppress(OSError, ValueError, EOFError):
        rows = np.load(path, allow_pickle=False)
        if rows.dtype == kind:
            return np.asarray(rows)
    return np.empty(0, kind)


def _save(path: Path, rows: np.ndarray) -> None:
    """Write rows to a cache file, atomically. On failure nothing is written, and the rows are computed again.

    Nothing is written, either, if `.dvc` does not exist.
    """
    if not path.parents[2].is_dir():
        return
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            np.save(file, rows, allow_pickle=False)


def read_rows(
    files: FigureFiles, keys: list[Key], rows_of: Callable[[list[Look]], Rows]
) -> Iterator[tuple[dict[Key, Rows], set[Key]]]:
    """Compute the fingerprints of figures, some figures at a time.

    Args:
        files: the files of the figures.
        keys: the keys of the figures.
        rows_of: computes the fingerprints from the looks of a figure, which are empty if it is unreadable.

    Yields:
        The fingerprints by key, and the keys of figures that this machine does not have.
    """

    def read(content: bytes) -> Rows:
        return rows_of(figure_looks(content))

    # Threads help because Pillow and zlib release the interpreter lock while they work.
    with ThreadPoolExecutor() as threads:
        for contents in files.contents(keys):
            present = {key: content for key, content in contents.items() if content is not None}
            rows = threads.map(read, present.values())
            yield dict(zip(present, rows, strict=True)), contents.keys() - present.keys()


def figure_looks(content: bytes) -> list[Look]:
    """Return the looks of a figure, as `looks_of` does; empty if the file cannot be read."""
    try:
        return looks_of(content)
    except UnreadableError:
        return []


def rendered(looks: list[Look]) -> Image.Image | None:
    """Render the single look of a figure as a picture; None for a PDF of several pages, and on failure."""
    if len(looks) != 1:
        return None
    (look,) = looks
    if not isinstance(look, Drawing):
        return look
    try:
        return look.render() if look.render else None
    except UnreadableError:
        return None


def digest_rows(looks: list[Look]) -> np.ndarray:
    """Return a `DIGEST_ROW` for a picture, or for each page of a PDF."""
    rows = np.zeros(max(1, len(looks)), DIGEST_ROW)
    for row, look in zip(rows, looks, strict=False):
        digest = look.outline if isinstance(look, Drawing) else pixel_digest(look)
        row["digest"] = np.frombuffer(digest, np.uint8)
    return rows


def look_rows(looks: list[Look]) -> np.ndarray:
    """Return a `LOOK_ROW` for each block of a figure; a single empty row if it cannot be rendered."""
    picture = rendered(looks)
    if picture is None:
        return np.zeros(1, LOOK_ROW)
    digest = np.frombuffer(pixel_digest(picture), np.uint8)
    picture = small_enough(picture, LONGER_SIDE)
    boxes = blocks(picture)[:MOST_BLOCKS]
    rows = np.zeros(max(1, len(boxes)), LOOK_ROW)
    for row, box in zip(rows, boxes, strict=False):
        row["digest"] = digest
        row["box"] = box
        row["inside"] = square(picture, box)
    return rows
