"""One revision of a DVC repository, read from Git: stages, outputs, params, metrics and source data."""

import posixpath
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import Any

import yaml

from ..errors import UnreadableError, joined_lines
from ..git import git, top_folder
from ..git.objects import GitObjects, author, commit_time
from ..git.pointers import lfs_file, lfs_id, lfs_storage
from ..model import (
    PARAMS_FILE,
    Artifact,
    Entry,
    PipelineFile,
    Record,
    Stage,
    address_of,
    flat_params,
    is_in,
    join,
    named_values,
    overlaps,
    with_needs,
)
from . import committed_project, parsing
from .dvc_files import IGNORE_FILE, Pipelines, is_written, lock_stages, may_hide
from .hashes import BlobHashes, cache_folder, cached_file, files_of, with_hash

# The endings of the names of the files that are read with every revision.
DVC_FILES = ("dvc.lock", "dvc.yaml", ".dvc", "environment.json")


class Repository:
    """A DVC repository to read revisions from, with one Git process for all of them.

    Attributes:
        top: root of the Git repository.
        root: root of the DVC repository, which can be a subfolder of the Git repository.
        prefix: path from `top` to `root`; empty if they are the same.
        objects: the reader of Git objects.
        hashes: DVC's hashes of files that Git tracks.
        pipelines: the reader of dvc.yaml files.

    Raises:
        GitError: the folder is not in a Git repository.
    """

    def __init__(self, repo: str | Path) -> None:
        here = Path(repo).resolve()
        self.top = top_folder(here)
        self.root = _dvc_root(here, self.top)
        self.prefix = "" if self.root == self.top else self.root.relative_to(self.top).as_posix()
        self.pipelines = Pipelines(self.prefix)
        self.objects = GitObjects(self.root, (*DVC_FILES, IGNORE_FILE))
        self.hashes = BlobHashes(self.objects, self.full_content)
        # The hidden files, by the paths and blobs of all .dvcignore files and the paths that were checked.
        self._hidden: dict[tuple[frozenset[str], frozenset[str]], frozenset[str]] = {}

    @cached_property
    def cache(self) -> Path:
        """The folder of the DVC cache, according to DVC's settings on this machine."""
        return cache_folder(self.root)

    def cached_file(self, md5: str) -> Path | None:
        """Return the path of a file in the DVC cache by its hash; None if this machine does not have it."""
        return cached_file(self.cache, md5)

    @cached_property
    def lfs(self) -> Path:
        """The folder of Git LFS, which only exists if the repository uses it."""
        return lfs_storage(self.top)

    def full_content(self, blob: bytes) -> bytes | None:
        """Return the file's content that a Git LFS pointer stands for; any other blob is returned as it is.

        The result is None if this machine has only the pointer.
        """
        oid = lfs_id(blob)
        if oid is None:
            return blob
        stored = lfs_file(self.lfs, oid)
        return stored.read_bytes() if stored else None

    @cached_property
    def has_annex(self) -> bool:
        """True if the repository uses git-annex, whose branch is then in every clone."""
        branches = ("refs/heads/git-annex", "refs/remotes/*/git-annex")
        return bool(git(self.top, "for-each-ref", "--count=1", *branches))

    def folder_files(self, path: str, entry: Entry) -> dict[str, str]:
        """Return the hashes of a tracked file, or of the files in a tracked folder, by path.

        If this machine does not have the list of a folder's files, the result has the folder itself.
        """
        md5 = str(entry.get("md5", ""))
        listing = self.cached_file(md5) if md5.endswith(".dir") else None
        return files_of(path, entry, listing)

    def hidden_files(self, rev: str, tree: str, paths: Collection[str]) -> frozenset[str]:
        """Return the paths that a `.dvcignore` hides from DVC in a revision.

        Raises:
            UnreadableError: a `.dvcignore` is broken, or missing from this clone.
        """
        files = self.objects.matching_files(tree)
        rules = {f"{path}:{blob}": blob for path, blob in files.items() if path.endswith(IGNORE_FILE)}
        key = (frozenset(rules), frozenset(paths))
        if key not in self._hidden:
            hidden: frozenset[str] = frozenset()
            # Ask DVC only if a rule may hide one of the files: importing it takes a fifth of a second.
            if may_hide(self.objects.blobs(rules.values()).values(), paths):
                from .dvc_repo import hidden_in_revision

                hidden = hidden_in_revision(self.top, rev, self.prefix, paths)
            self._hidden[key] = hidden
        return self._hidden[key]


def _dvc_root(here: Path, top: Path) -> Path:
    """Return the root of the nearest DVC repository around a folder; if there is none, the Git root."""
    for folder in (here, *here.parents):
        if not folder.is_relative_to(top):
            break
        if (folder / ".dvc").is_dir():
            return folder
    return committed_project(here, top) or top


@dataclass
class Snapshot:
    """A revision of a DVC repository; all paths are relative to the DVC root.

    Properties that are read from DVC's files raise `UnreadableError` if one of these is broken or missing.

    Attributes:
        reader: the repository that the revision was read from.
        rev: the full commit id.
        commit: the text of the commit object; empty if this clone lacks it.
        tree: id of the DVC root's tree; empty if the revision has no such folder.
        blobs: the blob id of each dvc.lock, dvc.yaml, .dvc file and environment.json, by path.
        files: the content of these files, by path; for a workspace or a working tree, as they are there.
        damage: a sentence about an object that this clone lacks; empty if it lacks none.
        edited: for a workspace, the current hash of each file or folder that DVC tracks and that differs from
            its record, by path.
    """

    reader: Repository
    rev: str
    commit: str
    tree: str
    blobs: dict[str, str]
    files: Mapping[str, bytes]
    damage: str = ""
    edited: dict[str, str] = field(default_factory=dict)

    @property
    def root_tree(self) -> str:
        """Id of the Git root's tree."""
        return self.commit.partition("\n")[0].removeprefix("tree ")

    def check_whole(self) -> None:
        """Raise an `UnreadableError` if this clone lacks a part of the revision."""
        if self.damage:
            raise UnreadableError(f"{self.rev[:7]}: {self.damage}")

    @property
    def time(self) -> int:
        """When it was committed, in seconds since 1970; 0 if this clone lacks the commit."""
        return commit_time(self.commit)

    @property
    def author(self) -> str:
        """The name of the commit's author; empty if it is not known."""
        return author(self.commit)

    def git_files(self, path: str) -> dict[str, str]:
        """Return the blob ids of a file, or of all files in a folder, that Git tracks, by path."""
        return self.reader.objects.files(self.tree, path)

    def root_files(self) -> list[str]:
        """Return the names of the files directly in the DVC root."""
        return self.reader.objects.names(self.tree)

    def in_git(self, path: str) -> bool:
        """Return whether Git tracks a file or folder at this path."""
        return self.reader.objects.entry(self.tree, path) is not None

    def in_repository(self, path: str) -> bool:
        """Return whether Git or a submodule tracks something at this path, which may start with `../`."""
        objects = self.reader.objects
        tree = self.tree
        if path.startswith("../"):
            tree = self.root_tree
            path = join(self.reader.prefix, path)
        return bool(objects.entry(tree, path)) or objects.is_in_submodule(tree, path)

    def read(self, path: str) -> bytes | None:
        """Return the content of a file that Git tracks; None if it tracks no file at this path."""
        blob = self.git_files(path).get(path)
        return self.reader.objects.blob(blob) if blob else None

    def git_contents(self, paths: Iterable[str]) -> dict[str, bytes]:
        """Return the contents of the tracked files at these paths and in these folders, by path.

        A Git LFS pointer is replaced by the content of its file if this machine has it.
        """
        blobs: dict[str, str] = {}
        for path in sorted(paths):
            blobs |= self.git_files(path)
        contents = self.reader.objects.blobs(blobs.values())
        files = {}
        for path, blob in blobs.items():
            content = self.reader.full_content(contents[blob])
            files[path] = contents[blob] if content is None else content
        return files

    def kept_files(self, path: str) -> dict[str, bytes]:
        """Return the contents of a file, or of a folder's files, that Git or DVC's cache has, by path."""
        if path.startswith("../"):  # in the Git repository, but outside of the project's folder
            outside = self._read_from_top(join(self.reader.prefix, path))
            return {} if outside is None else {path: outside}
        files = self.git_contents([path])
        for file, md5 in self._tracked_files(path).items():
            if file not in files and (cached := self.reader.cached_file(md5)):
                files[file] = cached.read_bytes()
        return files

    def _tracked_files(self, path: str) -> dict[str, str]:
        """Return the hashes of the files that DVC tracks at a path, or in that folder, by path."""
        files: dict[str, str] = {}
        for output, entry in self.tracked.items():
            if not overlaps(path, [output]):
                continue
            for file, md5 in self.reader.folder_files(output, entry).items():
                if is_in(file, path):
                    files[file] = md5
        return files

    @cached_property
    def stages(self) -> dict[str, Stage]:
        """The stages that dvc.yaml files declare, with their records, by DVC address."""
        stages = {}
        for pipeline in self.pipelines.values():
            for stage in pipeline.stages.values():
                stages[stage.address] = stage.with_record(self.records.get(stage.address))
        return with_needs(stages)

    @cached_property
    def records(self) -> dict[str, Record]:
        """The records in dvc.lock files, by the stage's DVC address: `train`, `pipelines/a/dvc.yaml:train@x`.

        Like DVC, this ignores the record of a stage that the dvc.yaml beside the lock no longer declares.
        """
        records = {}
        for path in self._paths("dvc.lock"):
            folder = posixpath.dirname(path)
            if is_written(folder, self.pipelines):
                continue
            pipeline = self.pipelines.get(folder)
            for name, locked in self._parse(path, self.files[path], lock_stages).items():
                if pipeline and name not in pipeline.stages:
                    continue
                wdir = pipeline.stages[name].folder if pipeline else folder
                try:
                    records[address_of(folder, name)] = locked.record(wdir)
                except (AttributeError, KeyError, TypeError, ValueError) as error:
                    raise self._malformed(path, error) from None
        return records

    @property
    def locks(self) -> dict[str, str]:
        """The blob id of each dvc.lock, by path."""
        return {path: blob for path, blob in self.blobs.items() if posixpath.basename(path) == "dvc.lock"}

    @property
    def outs(self) -> dict[str, Entry]:
        """The recorded entry of each output of a stage, by path."""
        outs = {}
        for record in self.records.values():
            outs.update(record.outs)
        return outs

    @cached_property
    def sources(self) -> dict[str, dict[str, Any]]:
        """The entry of each file or folder that a `.dvc` file tracks, by path.

        In each entry, `deps` says where an import comes from. Up to DVC 2, a `.dvc` file could be a stage:
        then the entry has the path of the `.dvc` file as `stage`.
        """
        self.check_whole()
        sources = {}
        for path in self.files:
            if not path.endswith(".dvc") or is_written(posixpath.dirname(path), self.pipelines):
                continue
            content = self._parse(path, self.files[path], parsing.load_yaml)
            try:
                wdir = join(posixpath.dirname(path), content.get("wdir") or ".")
                origin: dict[str, Any]
                if content.get("cmd"):
                    origin = {"deps": [], "stage": path}
                else:
                    origin = {"deps": [dict(dep) for dep in content.get("deps") or ()]}
                for entry in content.get("outs") or ():
                    sources[join(wdir, entry["path"])] = {**with_hash(entry), **origin}
            except (KeyError, TypeError, ValueError) as error:
                raise self._malformed(path, error) from None
        return sources

    @property
    def tracked(self) -> dict[str, Entry]:
        """The entry of everything that a `.dvc` file tracks or a stage has written, by path."""
        return {**self.sources, **self.outs}

    @cached_property
    def params(self) -> dict[str, Any]:
        """The params, by key in the form of `dvc exp run -S`.

        They come from four sources, of which the later take precedence: all values of params files (see
        `params_files`), values that templates use, values that stages without a record declare, and values
        that stages used according to their record.
        """
        variables: list[tuple[str, dict[str, Any]]] = []
        declared: list[tuple[str, dict[str, Any]]] = []
        recorded: list[tuple[str, dict[str, Any]]] = []
        for pipeline in self.pipelines.values():
            variables += pipeline.variables.items()
            for stage in pipeline.stages.values():
                if stage.address in self.records:
                    continue
                for file, names in stage.params.items():
                    content = self.kept_files(file).get(file)
                    if content:  # the file may be in neither Git nor DVC's cache
                        values = self._parse_values(file, content)
                        declared.append((file, named_values(values, names)))
        for record in self.records.values():
            recorded += record.params.items()
        return flat_params([*self.params_files.items(), *variables, *declared, *recorded])

    @cached_property
    def params_files(self) -> dict[str, dict[str, Any]]:
        """The values of each params file that counts as a whole, by file.

        These are the files that a dvc.yaml declares as `params` at the top level. `params.yaml` counts as a
        whole if no stage has used a value of it, or if a stage depends on the whole file.
        """
        named: set[str] = set()
        read: set[str] = set()
        for record in self.records.values():
            named.update(record.params)
            read.update(record.deps)
        paths = [] if PARAMS_FILE in named - read else [PARAMS_FILE]
        for pipeline in self.pipelines.values():
            paths += pipeline.params
        values = {}
        for path in dict.fromkeys(paths):
            for file, content in self.kept_files(path).items():
                if content:
                    values[file] = self._parse_values(file, content)
        return values

    def _parse_values(self, file: str, content: bytes) -> dict[str, Any]:
        """Parse a params file."""
        return self._parse(file, content, partial(parsing.parse, file))

    @cached_property
    def metric_files(self) -> list[str]:
        """The paths of all metrics that dvc.yaml files declare."""
        paths = chain.from_iterable(pipeline.metrics for pipeline in self.pipelines.values())
        return list(dict.fromkeys(paths))

    @cached_property
    def plot_files(self) -> list[str]:
        """The paths of all plots that dvc.yaml files declare."""
        paths = chain.from_iterable(pipeline.plots for pipeline in self.pipelines.values())
        return list(dict.fromkeys(paths))

    @cached_property
    def artifacts(self) -> list[Artifact]:
        """The artifacts that dvc.yaml files declare."""
        return list(chain.from_iterable(pipeline.artifacts for pipeline in self.pipelines.values()))

    @cached_property
    def pipelines(self) -> dict[str, PipelineFile]:
        """The declarations of each dvc.yaml, by the folder of the file."""
        pipelines: dict[str, PipelineFile] = {}
        # The files of outer folders come first, so their outputs are known when the inner ones are read.
        for path in self._paths("dvc.yaml"):
            folder = posixpath.dirname(path)
            if is_written(folder, pipelines):
                continue
            reader = self.reader.pipelines
            try:
                pipelines[folder] = reader.read(folder, self.files[path], self._read_from_top)
            except UnreadableError as error:
                raise self._unreadable(path, error.message) from None
            except (yaml.YAMLError, ValueError) as error:
                raise self._unreadable(path, joined_lines(error)) from None
            except (AttributeError, KeyError, TypeError) as error:
                raise self._malformed(path, error) from None
        return pipelines

    def _read_from_top(self, path: str) -> bytes | None:
        """Return the content of a file that Git tracks, by its path relative to the Git root."""
        path_in_project = posixpath.relpath(path, self.reader.prefix or ".")
        if not path_in_project.startswith("../"):
            return self.read(path_in_project)
        if path.startswith("../"):
            return None
        file = self.reader.objects.read([f"{self.rev}:{path}"])[0]
        return file.content if file else None

    def _paths(self, name: str) -> list[str]:
        """Return the paths of DVC's files with this name."""
        self.check_whole()
        return [path for path in self.files if posixpath.basename(path) == name]

    def _parse(self, path: str, content: bytes, parse: Callable[[bytes], Any]) -> dict[str, Any]:
        """Parse a file that must contain keys and values; an empty file has none."""
        try:
            values = parse(content)
        except (yaml.YAMLError, ValueError) as error:
            raise self._unreadable(path, joined_lines(error)) from None
        if values is not None and not isinstance(values, dict):
            raise self._unreadable(path, f"expected keys and values, found {values!r:.60}")
        return values or {}

    def _unreadable(self, path: str, reason: str) -> UnreadableError:
        return UnreadableError(f"{self.rev[:7]}:{path}: {reason}")

    def _malformed(self, path: str, error: Exception) -> UnreadableError:
        return self._unreadable(path, f"not as DVC writes it: {error!r}")
