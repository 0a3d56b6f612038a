"""What Git knows of one revision of a DVC repository: stages, outputs, params, metrics, source data."""

import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any, Protocol

import yaml

from ..dvc.structure import has_templates, resolve_pipeline
from ..errors import UnreadableError
from ..keys import PARAMS_FILE, Key, flatten
from . import formats
from .dvc_lock import lock_stages
from .objects import GitObjects

# Files whose names end with these are read with every revision.
DVC_FILES = ("dvc.lock", "dvc.yaml", ".dvc", "environment.json")
_COMMITTER = re.compile(r"^committer .* (\d+) [-+]\d+$", re.MULTILINE)


class Repository(Protocol):
    """What a snapshot must know of its repository; a `Reader` is one."""

    top: Path
    root: Path
    prefix: str
    objects: GitObjects

    def cached_file(self, md5: str) -> Path | None:
        """A file of the DVC cache by its hash."""

    def folder_files(self, path: str, md5: str) -> dict[str, str]:
        """Hashes by path of the files of a cached folder."""


@dataclass(frozen=True)
class Stage:
    """What `dvc.lock` says of a stage; all paths are relative to the DVC root.

    Attributes:
        cmd: a command or a list of them.
        deps: entry of the lock (`md5`, `size`, and `nfiles` of a folder) by path.
        outs: the same for outputs.
        params: values by file, nested as the lock has them.
    """

    cmd: str | list[str]
    deps: dict[str, dict[str, Any]]
    outs: dict[str, dict[str, Any]]
    params: dict[str, dict[str, Any]]


@dataclass
class Snapshot:
    """A revision of a DVC repository; all paths are relative to its root.

    Attributes:
        reader: the repository that it was read from.
        rev: full commit id.
        commit: text of the commit object.
        tree: id of the DVC root's tree, empty when the revision has no such folder.
        files: content by path of each dvc.lock, dvc.yaml, .dvc file and environment.json.
    """

    reader: Repository
    rev: str
    commit: str
    tree: str
    files: dict[str, bytes]
    _pipelines: dict[str, dict[str, Any]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def time(self) -> int:
        """When it was committed, in seconds since 1970."""
        return int(_COMMITTER.findall(self.commit)[0])

    def git_files(self, path: str) -> dict[str, str]:
        """Blob ids by path of a file, or of all files in a folder, as far as Git itself keeps them."""
        return self.reader.objects.files(self.tree, path)

    def root_files(self) -> list[str]:
        """Names in the DVC root's folder."""
        return self.reader.objects.names(self.tree)

    def in_git(self, path: str) -> bool:
        """Whether Git keeps a file or folder at this path."""
        return self.reader.objects.entry(self.tree, path) is not None

    def read(self, path: str) -> bytes | None:
        """Content of a file that Git keeps, None when it keeps none there."""
        blob = self.git_files(path).get(path)
        return self.reader.objects.blobs([blob])[blob] if blob else None

    @cached_property
    def stages(self) -> dict[str, Stage]:
        """Stages of each dvc.lock, by their DVC address: `train`, `pipelines/a/dvc.yaml:train@x`.

        Raises:
            UnreadableError: a dvc.lock, or the dvc.yaml beside it, is broken.
        """
        stages = {}
        for path in self._paths("dvc.lock"):
            folder = posixpath.dirname(path)
            for name, entry in self._parsed(path, lock_stages).items():
                address = f"{folder}/dvc.yaml:{name}" if folder else name
                try:
                    stages[address] = _stage(entry, self._wdir(folder, name))
                except (AttributeError, KeyError, TypeError) as error:
                    raise self._unusual(path, error) from None
        return stages

    @cached_property
    def sources(self) -> dict[str, dict[str, Any]]:
        """What `.dvc` files track: entry by path, its `deps` saying where an import comes from.

        Raises:
            UnreadableError: a `.dvc` file is broken.
        """
        sources = {}
        for path in self.files:
            if not path.endswith(".dvc"):
                continue
            tracked = self._parsed(path, formats.load_yaml)
            try:
                wdir = join(posixpath.dirname(path), tracked.get("wdir") or ".")
                origins = tracked.get("deps") or []
                for entry in tracked.get("outs") or ():
                    sources[join(wdir, entry["path"])] = {**entry, "deps": origins}
            except (KeyError, TypeError) as error:
                raise self._unusual(path, error) from None
        return sources

    @cached_property
    def params(self) -> dict[str, Any]:
        """Values that stages used, by the keys of `dvc exp run -S`; of all params files where none ran.

        Raises:
            UnreadableError: a dvc.lock, or a params file that is needed, is broken.
        """
        if not self.stages:
            return _flat_params(self._declared_params())
        used = []
        for stage in self.stages.values():
            used += list(stage.params.items())
        return _flat_params(used)

    def _declared_params(self) -> list[tuple[str, dict[str, Any]]]:
        """Each params file that Git keeps, and its content."""
        files = [PARAMS_FILE]
        for path in self._paths("dvc.yaml"):
            folder = posixpath.dirname(path)
            files += [join(folder, file) for file in self.pipeline(folder).get("params") or ()]
        declared = []
        for file in dict.fromkeys(files):
            content = self.read(file)
            if content:
                declared.append((file, self._checked(file, content, partial(formats.parse, file))))
        return declared

    @cached_property
    def metric_files(self) -> list[str]:
        """Paths that dvc.yaml files call metrics.

        Raises:
            UnreadableError: a dvc.yaml is broken.
        """
        declared = []
        for path in self._paths("dvc.yaml"):
            folder = posixpath.dirname(path)
            pipeline = self.pipeline(folder)
            try:
                declared += _metric_files(pipeline, folder)
            except (AttributeError, TypeError) as error:
                raise self._unusual(path, error) from None
        return list(dict.fromkeys(declared))

    def pipeline(self, folder: str) -> dict[str, Any]:
        """The dvc.yaml of a folder, with `${...}`, `foreach` and `matrix` resolved by DVC's own parser.

        Raises:
            UnreadableError: it is broken.
        """
        if folder not in self._pipelines:
            self._pipelines[folder] = self._resolved_pipeline(folder)
        return self._pipelines[folder]

    def _resolved_pipeline(self, folder: str) -> dict[str, Any]:
        path = join(folder, "dvc.yaml")
        if path not in self.files:
            return {}
        definition = self._parsed(path, formats.load_yaml)
        if not has_templates(self.files[path], definition):
            return definition
        place = posixpath.join(self.reader.prefix, folder)
        try:
            return resolve_pipeline(definition, self.reader.top, self.rev, place)
        except UnreadableError as error:
            raise self._unreadable(path, error.message) from None

    def _wdir(self, folder: str, name: str) -> str:
        """Where a stage runs, which its lock does not tell."""
        definition = self.files.get(join(folder, "dvc.yaml"), b"")
        if b"wdir" not in definition:
            return folder
        stages = self.pipeline(folder).get("stages") or {}
        stage = stages.get(name) or {}
        return join(folder, stage.get("wdir") or ".")

    def _paths(self, name: str) -> list[str]:
        """Paths of the files of this name."""
        return [path for path in self.files if posixpath.basename(path) == name]

    def _parsed(self, path: str, parse: Callable[[bytes], Any]) -> dict[str, Any]:
        return self._checked(path, self.files[path], parse)

    def _checked(self, path: str, content: bytes, parse: Callable[[bytes], Any]) -> dict[str, Any]:
        """Keys and values in a file; none where it is empty."""
        try:
            values = parse(content)
        except (yaml.YAMLError, ValueError) as error:
            raise self._unreadable(path, " ".join(str(error).split())) from None
        if values is not None and not isinstance(values, dict):
            raise self._unreadable(path, f"expected keys and values, found {values!r:.60}")
        return values or {}

    def _unreadable(self, path: str, reason: str) -> UnreadableError:
        return UnreadableError(f"{self.rev[:7]}:{path}: {reason}")

    def _unusual(self, path: str, error: Exception) -> UnreadableError:
        return self._unreadable(path, f"not as DVC writes it: {error!r}")


def _stage(entry: dict[str, Any], wdir: str) -> Stage:
    """A stage of a lock, whose paths are seen from the folder that it runs in."""
    params = entry.get("params") or {}
    return Stage(
        cmd=entry.get("cmd") or "",
        deps={join(wdir, dep["path"]): dep for dep in entry.get("deps") or ()},
        outs={join(wdir, out["path"]): out for out in entry.get("outs") or ()},
        params={join(wdir, file): values or {} for file, values in params.items()},
    )


def _flat_params(files: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """Values of params files by the keys of `dvc exp run -S`."""
    values = {}
    for file, content in files:
        for dotted, value in flatten(content).items():
            values[_key(file, dotted)] = value
    return values


@lru_cache(10_000)
def _key(file: str, dotted: str) -> str:
    return str(Key(file, dotted))


def _metric_files(pipeline: dict[str, Any], folder: str) -> list[str]:
    """Paths that a dvc.yaml calls metrics: at its top, or among the outputs of a stage."""
    files = [join(folder, file) for file in pipeline.get("metrics") or ()]
    stages = pipeline.get("stages") or {}
    for stage in stages.values():
        wdir = join(folder, stage.get("wdir") or ".")
        for metric in stage.get("metrics") or ():
            # Either a path, or a path with its settings.
            paths = [metric] if isinstance(metric, str) else metric
            files += [join(wdir, path) for path in paths]
    return files


@lru_cache(10_000)
def join(*parts: str) -> str:
    """A path as seen from the DVC root; URLs and absolute paths stay as they are."""
    if "://" in parts[-1]:
        return parts[-1]
    return posixpath.normpath(posixpath.join(*parts))
