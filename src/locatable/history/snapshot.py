"""What Git knows of one revision of a DVC repository: stages, outputs, params, metrics, source data."""

import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import yaml

from ..errors import UnreadableError
from ..keys import flatten
from . import formats

if TYPE_CHECKING:
    from .reader import Reader


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
        rev: full commit id.
        commit: text of the commit object.
        tree: id of the DVC root's tree, empty when the revision has no such folder.
        files: content by path of each dvc.lock, dvc.yaml, .dvc file and environment.json.
    """

    reader: "Reader"
    rev: str
    commit: str
    tree: str
    files: dict[str, bytes]

    @property
    def time(self) -> int:
        """When it was committed, in seconds since 1970."""
        return int(re.search(r"^committer .* (\d+) [-+]\d+$", self.commit, re.MULTILINE)[1])

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
        """Stages of each dvc.lock, by their DVC address: `train`, `pipelines/a/dvc.yaml:train@x`."""
        found = {}
        for path in self._noted("/dvc.lock"):
            folder = posixpath.dirname(path)
            for name, stage in self._parsed(path, formats.lock_stages).items():
                wdir = self._wdir(folder, name)
                try:
                    params = (stage.get("params") or {}).items()
                    found[f"{folder}/dvc.yaml:{name}" if folder else name] = Stage(
                        stage.get("cmd") or "",
                        {join(wdir, entry["path"]): entry for entry in stage.get("deps") or ()},
                        {join(wdir, entry["path"]): entry for entry in stage.get("outs") or ()},
                        {join(wdir, file): values or {} for file, values in params},
                    )
                except (AttributeError, KeyError, TypeError) as error:
                    raise self._strange(path, error) from None
        return found

    @cached_property
    def sources(self) -> dict[str, dict[str, Any]]:
        """What `.dvc` files track: entry by path, its `deps` saying where an import comes from."""
        found = {}
        for path in self._noted(".dvc"):
            tracked = self._parsed(path, formats.load_yaml)
            wdir = join(posixpath.dirname(path), tracked.get("wdir") or ".")
            try:
                for entry in tracked.get("outs") or ():
                    found[join(wdir, entry["path"])] = {**entry, "deps": tracked.get("deps") or []}
            except (KeyError, TypeError) as error:
                raise self._strange(path, error) from None
        return found

    @cached_property
    def params(self) -> dict[str, Any]:
        """Values that stages used, by the keys of `dvc exp run -S`; of all params files where none ran."""
        used = [item for stage in self.stages.values() for item in stage.params.items()]
        if not self.stages:
            folders = [posixpath.dirname(path) for path in self._noted("/dvc.yaml")]
            more = [join(at, file) for at in folders for file in self.pipeline(at).get("params") or ()]
            for file in dict.fromkeys(["params.yaml", *more]):
                if content := self.read(file):
                    used.append((file, self._checked(file, content, partial(formats.parse, file))))
        values = {}
        for file, section in used:
            prefix = "" if file == "params.yaml" else f"{file}:"
            values.update({f"{prefix}{key}": value for key, value in flatten(section).items()})
        return values

    @cached_property
    def metric_files(self) -> list[str]:
        """Paths that dvc.yaml files call metrics."""
        declared = []
        for path in self._noted("/dvc.yaml"):
            folder = posixpath.dirname(path)
            pipeline = self.pipeline(folder)
            declared += [join(folder, file) for file in pipeline.get("metrics") or ()]
            for stage in (pipeline.get("stages") or {}).values():
                wdir = join(folder, stage.get("wdir") or ".")
                outs = stage.get("metrics") or ()
                declared += [join(wdir, *(out if isinstance(out, dict) else [out])) for out in outs]
        return list(dict.fromkeys(declared))

    def pipeline(self, folder: str) -> dict[str, Any]:
        """The dvc.yaml of a folder, with `${...}`, `foreach` and `matrix` resolved by DVC's own parser."""
        path = join(folder, "dvc.yaml")
        if path not in self.files:
            return {}
        definition = self._parsed(path, formats.load_yaml)
        if b"${" not in self.files[path]:
            return definition
        # Imported here: half a second that few projects need.
        from dvc.exceptions import DvcException
        from dvc.fs import GitFileSystem
        from dvc.parsing import DataResolver

        repo = SimpleNamespace(fs=GitFileSystem(path=str(self.reader.top), rev=self.rev), config={})
        try:
            resolver = DataResolver(repo, posixpath.join("/", self.reader.prefix, folder), definition)
            return {
                **definition,
                "stages": resolver.resolve()["stages"],
                "metrics": resolver.resolve_metrics(),
                "artifacts": resolver.resolve_artifacts(),
            }
        except DvcException as error:
            raise UnreadableError(f"{self.rev[:7]}:{path}: {str(error).splitlines()[0]}") from None

    def _wdir(self, folder: str, name: str) -> str:
        """Where a stage runs, which its lock does not tell."""
        if b"wdir" not in self.files.get(join(folder, "dvc.yaml"), b""):
            return folder
        stage = (self.pipeline(folder).get("stages") or {}).get(name) or {}
        return join(folder, stage.get("wdir") or ".")

    def _noted(self, ending: str) -> list[str]:
        return [path for path in self.files if f"/{path}".endswith(ending)]

    def _strange(self, path: str, error: Exception) -> UnreadableError:
        return UnreadableError(f"{self.rev[:7]}:{path}: not as DVC writes it: {error!r}")

    def _parsed(self, path: str, parse: Callable[[bytes], Any]) -> dict[str, Any]:
        return self._checked(path, self.files[path], parse)

    def _checked(self, path: str, content: bytes, parse: Callable[[bytes], Any]) -> dict[str, Any]:
        try:
            values = parse(content)
        except (yaml.YAMLError, ValueError) as error:
            why = " ".join(str(error).split())
            raise UnreadableError(f"{self.rev[:7]}:{path}: {why}") from None
        if values is not None and not isinstance(values, dict):
            raise UnreadableError(f"{self.rev[:7]}:{path}: expected keys and values, found {values!r:.60}")
        return values or {}


@lru_cache(10_000)
def join(*parts: str) -> str:
    """A path as seen from the DVC root; URLs and absolute paths stay as they are."""
    if "://" in parts[-1]:
        return parts[-1]
    return posixpath.normpath(posixpath.join(*parts))
