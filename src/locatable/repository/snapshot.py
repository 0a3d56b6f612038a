"""What Git knows of one revision of a DVC repository: stages, outputs, params, metrics, source data."""

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
from .dvc_files import IGNORE_FILE, Pipelines, is_ignore_file, is_written, lock_stages, may_hide
from .hashes import BlobHashes, cache_folder, cached_file, files_of, with_hash

# Files whose names end with these are read with every revision.
DVC_FILES = ("dvc.lock", "dvc.yaml", ".dvc", "environment.json")


class Repository:
    """A DVC repository that revisions are read from, by one Git process for all.

    Attributes:
        top: root of the Git repository.
        root: root of the DVC repository, which can be a subfolder of it.
        prefix: path from `top` to `root`, empty where they are the same.
        objects: the Git objects around.
        hashes: what DVC calls the files among them.
        pipelines: what was read of dvc.yaml files.

    Raises:
        GitError: there is no Git repository.
    """

    def __init__(self, repo: str | Path) -> None:
        here = Path(repo).resolve()
        self.top = top_folder(here)
        self.root = _dvc_root(here, self.top)
        self.prefix = "" if self.root == self.top else self.root.relative_to(self.top).as_posix()
        self.pipelines = Pipelines(self.prefix)
        self.objects = GitObjects(self.root, (*DVC_FILES, IGNORE_FILE))
        self.hashes = BlobHashes(self.objects, self.full_content)
        # By what decides it: the rules of all .dvcignore, and the paths.
        self._hidden: dict[tuple[frozenset[str], frozenset[str]], frozenset[str]] = {}

    @cached_property
    def cache(self) -> Path:
        """Folder of the DVC cache, as DVC's settings on this machine say."""
        return cache_folder(self.root)

    def cached_file(self, md5: str) -> Path | None:
        """Return a file of the DVC cache by its hash, None when this machine does not have it."""
        return cached_file(self.cache, md5)

    @cached_property
    def lfs(self) -> Path:
        """Folder of Git LFS; there is none where the repository does not use it."""
        return lfs_storage(self.top)

    def full_content(self, blob: bytes) -> bytes | None:
        """Return what a blob is, or what it stands for where it is a pointer of Git LFS.

        None where this machine has no more than the pointer.
        """
        oid = lfs_id(blob)
        if oid is None:
            return blob
        stored = lfs_file(self.lfs, oid)
        return stored.read_bytes() if stored else None

    @cached_property
    def has_annex(self) -> bool:
        """Whether git-annex keeps files of the repository: its branch is in every clone."""
        branches = ("refs/heads/git-annex", "refs/remotes/*/git-annex")
        return bool(git(self.top, "for-each-ref", "--count=1", *branches))

    def folder_files(self, path: str, entry: Entry) -> dict[str, str]:
        """Return hashes by path of the files of a tracked folder.

        Of `path` itself where this machine lists none.
        """
        md5 = str(entry.get("md5", ""))
        listing = self.cached_file(md5) if md5.endswith(".dir") else None
        return files_of(path, entry, listing)

    def hidden_files(self, rev: str, tree: str, paths: Collection[str]) -> frozenset[str]:
        """Return those of some files that the `.dvcignore` of a revision hides from DVC.

        Raises:
            UnreadableError: a `.dvcignore` is broken, or missing from this clone.
        """
        files = self.objects.matching_files(tree)
        rules = {f"{path}:{blob}": blob for path, blob in files.items() if is_ignore_file(path)}
        key = (frozenset(rules), frozenset(paths))
        if key not in self._hidden:
            hidden: frozenset[str] = frozenset()
            # DVC is asked only if a rule may hide one: that takes a fifth of a second.
            if may_hide(self.objects.blobs(rules.values()).values(), paths):
                from .dvc_repo import hidden_in_revision

                hidden = hidden_in_revision(self.top, rev, self.prefix, paths)
            self._hidden[key] = hidden
        return self._hidden[key]


def _dvc_root(here: Path, top: Path) -> Path:
    """Return the nearest DVC repository around a folder; the Git repository itself where there is none."""
    for folder in (here, *here.parents):
        if not folder.is_relative_to(top):
            break
        if (folder / ".dvc").is_dir():
            return folder
    return committed_project(here, top) or top


@dataclass
class Snapshot:
    """A revision of a DVC repository; all paths are relative to its root.

    What is read of DVC's files raises `UnreadableError` where one of them is broken, or missing.

    Attributes:
        reader: the repository that it was read from.
        rev: full commit id.
        commit: text of the commit object, empty where this clone lacks it.
        tree: id of the DVC root's tree, empty when the revision has no such folder.
        blobs: ids by path of each dvc.lock, dvc.yaml, .dvc file and environment.json.
        files: content by path of the same; in the workspace, of its own.
        damage: what this clone lacks of it, empty if nothing.
        edited: in the workspace, hashes by path of the files and folders of DVC's that are not as recorded.
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
        """Raise an `UnreadableError` if this clone does not have all of the revision."""
        if self.damage:
            raise UnreadableError(f"{self.rev[:7]}: {self.damage}")

    @property
    def time(self) -> int:
        """When it was committed, in seconds since 1970; 0 where this clone lacks the commit."""
        return commit_time(self.commit)

    @property
    def author(self) -> str:
        """Name of who wrote the commit; empty where that is not known."""
        return author(self.commit)

    def git_files(self, path: str) -> dict[str, str]:
        """Return blob ids by path of a file, or of all files in a folder, as far as Git itself keeps them."""
        return self.reader.objects.files(self.tree, path)

    def root_files(self) -> list[str]:
        """Return names in the DVC root's folder."""
        return self.reader.objects.names(self.tree)

    def in_git(self, path: str) -> bool:
        """Return whether Git keeps a file or folder at this path."""
        return self.reader.objects.entry(self.tree, path) is not None

    def in_repository(self, path: str) -> bool:
        """Return whether Git, or a submodule, keeps something at this path, in the project or beside it."""
        objects, tree = self.reader.objects, self.tree
        if path.startswith("../"):
            tree, path = self.root_tree, join(self.reader.prefix, path)
        return bool(objects.entry(tree, path)) or objects.is_in_submodule(tree, path)

    def read(self, path: str) -> bytes | None:
        """Return content of a file that Git keeps, None when it keeps none there."""
        blob = self.git_files(path).get(path)
        return self.reader.objects.blob(blob) if blob else None

    def git_contents(self, paths: Iterable[str]) -> dict[str, bytes]:
        """Return content by path of files that Git keeps at these paths, and in these folders.

        Of a file that Git LFS keeps it is the file's own, or its pointer where this machine has no more.
        """
        blobs: dict[str, str] = {}
        for path in sorted(paths):
            blobs |= self.git_files(path)
        contents = self.reader.objects.blobs(blobs.values())
        files = {}
        for path, blob in blobs.items():
            full = self.reader.full_content(contents[blob])
            files[path] = contents[blob] if full is None else full
        return files

    def kept_files(self, path: str) -> dict[str, bytes]:
        """Return content by path of a file, or of a folder's files, as far as Git or DVC's cache has it."""
        if path.startswith("../"):  # of the Git repository, and not of the project in a subfolder of it
            outside = self._read_from_top(join(self.reader.prefix, path))
            return {} if outside is None else {path: outside}
        files = self.git_contents([path])
        for file, md5 in self._tracked_files(path).items():
            cached = None if file in files else self.reader.cached_file(md5)
            if cached:
                files[file] = cached.read_bytes()
        return files

    def _tracked_files(self, path: str) -> dict[str, str]:
        """Return hash by path of what DVC tracks at a path, in that folder, or in a folder around it."""
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
        """Stages by their DVC address: what dvc.yaml declares, and what dvc.lock records of it."""
        stages = {}
        for pipeline in self.pipelines.values():
            for stage in pipeline.stages.values():
                stages[stage.address] = stage.with_record(self.records.get(stage.address))
        return with_needs(stages)

    @cached_property
    def records(self) -> dict[str, Record]:
        """What dvc.lock files record, by the stage's DVC address: `train`, `pipelines/a/dvc.yaml:train@x`.

        What a lock says of a stage that the dvc.yaml beside it no longer has, DVC does not read.
        """
        records = {}
        for path in self._paths("dvc.lock"):
            folder = posixpath.dirname(path)
            if is_written(folder, self.pipelines):
                continue
            pipeline = self.pipelines.get(folder)
            for name, entry in self._checked(path, self.files[path], lock_stages).items():
                if pipeline and name not in pipeline.stages:
                    continue
                wdir = pipeline.stages[name].folder if pipeline else folder
                try:
                    records[address_of(folder, name)] = entry.record(wdir)
                except (AttributeError, KeyError, TypeError, ValueError) as error:
                    raise self._unusual(path, error) from None
        return records

    @property
    def locks(self) -> dict[str, str]:
        """Id by path of each dvc.lock."""
        return {path: blob for path, blob in self.blobs.items() if posixpath.basename(path) == "dvc.lock"}

    @property
    def outs(self) -> dict[str, Entry]:
        """Entry by path of each output of a stage."""
        outs = {}
        for record in self.records.values():
            outs.update(record.outs)
        return outs

    @cached_property
    def sources(self) -> dict[str, dict[str, Any]]:
        """What `.dvc` files track: entry by path, its `deps` saying where an import comes from.

        Up to DVC 2, a `.dvc` file could be a stage: then `stage` of the entry is its path.
        """
        self.check_whole()
        sources = {}
        for path in self.files:
            if not path.endswith(".dvc") or is_written(posixpath.dirname(path), self.pipelines):
                continue
            tracked = self._checked(path, self.files[path], parsing.load_yaml)
            try:
                wdir = join(posixpath.dirname(path), tracked.get("wdir") or ".")
                made = {"stage": path} if tracked.get("cmd") else {}
                origins = [] if made else [dict(origin) for origin in tracked.get("deps") or ()]
                for entry in tracked.get("outs") or ():
                    sources[join(wdir, entry["path"])] = {**with_hash(entry), "deps": origins, **made}
            except (KeyError, TypeError, ValueError) as error:
                raise self._unusual(path, error) from None
        return sources

    @property
    def tracked(self) -> dict[str, Entry]:
        """Entry by path of what `.dvc` files track and of what stages wrote."""
        return {**self.sources, **self.outs}

    @cached_property
    def params(self) -> dict[str, Any]:
        """Values by the keys of `dvc exp run -S`.

        They are those that stages used, as their lock has them; those that stages without a record name, and
        templates; and all of a file that a dvc.yaml calls params. `params.yaml` counts as one where no stage
        names a value of it, or where a stage reads the whole file.
        """
        # By what counts most, last.
        variables: list[tuple[str, dict[str, Any]]] = []
        unrecorded: list[tuple[str, dict[str, Any]]] = []
        used: list[tuple[str, dict[str, Any]]] = []
        for pipeline in self.pipelines.values():
            variables += pipeline.variables.items()
            for stage in pipeline.stages.values():
                if stage.address in self.records:
                    continue
                for file, names in stage.params.items():
                    # Neither Git nor DVC's cache may have the file.
                    content = self.kept_files(file).get(file)
                    values = self._parsed_values(file, content) if content else {}
                    unrecorded.append((file, named_values(values, names)))
        for record in self.records.values():
            used += record.params.items()
        return flat_params([*self.params_files.items(), *variables, *unrecorded, *used])

    @cached_property
    def params_files(self) -> dict[str, dict[str, Any]]:
        """Values by file of the params files all of whose values count."""
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
                    values[file] = self._parsed_values(file, content)
        return values

    def _parsed_values(self, file: str, content: bytes) -> dict[str, Any]:
        return self._checked(file, content, partial(parsing.parse, file))

    @cached_property
    def metric_files(self) -> list[str]:
        """What dvc.yaml files call metrics."""
        declared = chain.from_iterable(pipeline.metrics for pipeline in self.pipelines.values())
        return list(dict.fromkeys(declared))

    @cached_property
    def plot_files(self) -> list[str]:
        """What dvc.yaml files call plots."""
        declared = chain.from_iterable(pipeline.plots for pipeline in self.pipelines.values())
        return list(dict.fromkeys(declared))

    @cached_property
    def artifacts(self) -> list[Artifact]:
        """What dvc.yaml files call artifacts."""
        return list(chain.from_iterable(pipeline.artifacts for pipeline in self.pipelines.values()))

    @cached_property
    def pipelines(self) -> dict[str, PipelineFile]:
        """What each dvc.yaml declares, by the folder that it is in."""
        pipelines: dict[str, PipelineFile] = {}
        # Files of outer folders come first.
        for path in self._paths("dvc.yaml"):
            folder = posixpath.dirname(path)
            if is_written(folder, pipelines):
                continue
            read = self.reader.pipelines.read
            try:
                pipelines[folder] = read(folder, self.files[path], self._read_from_top)
            except UnreadableError as error:
                raise self._unreadable(path, error.message) from None
            except (yaml.YAMLError, ValueError) as error:
                raise self._unreadable(path, joined_lines(error)) from None
            except (AttributeError, KeyError, TypeError) as error:
                raise self._unusual(path, error) from None
        return pipelines

    def _read_from_top(self, path: str) -> bytes | None:
        """Return content of a file that Git keeps, by its path as seen from the Git root."""
        inside = posixpath.relpath(path, self.reader.prefix or ".")
        if not inside.startswith("../"):
            return self.read(inside)
        if path.startswith("../"):
            return None
        answer = self.reader.objects.read([f"{self.rev}:{path}"])[0]
        return answer[1] if answer else None

    def _paths(self, name: str) -> list[str]:
        """Return paths of the files of this name."""
        self.check_whole()
        return [path for path in self.files if posixpath.basename(path) == name]

    def _checked(self, path: str, content: bytes, parse: Callable[[bytes], Any]) -> dict[str, Any]:
        """Return keys and values in a file; none where it is empty."""
        try:
            values = parse(content)
        except (yaml.YAMLError, ValueError) as error:
            raise self._unreadable(path, joined_lines(error)) from None
        if values is not None and not isinstance(values, dict):
            raise self._unreadable(path, f"expected keys and values, found {values!r:.60}")
        return values or {}

    def _unreadable(self, path: str, reason: str) -> UnreadableError:
        return UnreadableError(f"{self.rev[:7]}:{path}: {reason}")

    def _unusual(self, path: str, error: Exception) -> UnreadableError:
        return self._unreadable(path, f"not as DVC writes it: {error!r}")
