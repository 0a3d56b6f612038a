"""Read a commit with the installed DVC, in this process."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dvc.dependency import ParamsDependency
from dvc.exceptions import DvcException
from dvc.output import Output
from dvc.repo import Repo
from dvc.stage import PipelineStage, Stage

from locatable.model import Key, flatten
from locatable.repository.dvc_repo import remember_parsed_yaml

# The reasons why DVC could not read something, by the name of the thing.
Reasons = dict[str, str]


@dataclass(frozen=True)
class Recorded:
    """A file or folder as recorded in a lock or a `.dvc` file.

    Attributes:
        hash: the hash, or None if there is none.
        kind: DVC's name for the kind of the hash: `md5`, `md5-dos2unix` (of DVC 1 and 2), or others.
        is_cached: true if DVC keeps the file, false if Git does.
    """

    hash: str | None
    kind: str
    is_cached: bool


@dataclass(frozen=True)
class DvcStage:
    """A stage of a dvc.yaml as DVC reads it. All paths are relative to the DVC root.

    Attributes:
        cmd: the command in the dvc.yaml.
        recorded_cmd: the command in the lock, or None if the lock does not have the stage.
        frozen: true if DVC ignores its dependencies.
        deps: the dependencies by path.
        outs: the outputs by path.
        params: the declared names by file; an empty list for the whole file.
        recorded_params: the values in the lock, by file.
        changed_params: the names of the params that differ between the lock and the file, by file.
    """

    cmd: Any
    recorded_cmd: Any
    frozen: bool
    deps: dict[str, Recorded]
    outs: dict[str, Recorded]
    params: dict[str, list[str]]
    recorded_params: dict[str, dict[str, Any]]
    changed_params: dict[str, set[str]]

    @property
    def is_recorded(self) -> bool:
        """True if the lock has the stage."""
        return self.recorded_cmd is not None


@dataclass(frozen=True)
class DvcRevision:
    """The content of a commit according to DVC.

    Attributes:
        stages: the stages by address.
        sources: the files and folders that `.dvc` files track, by path.
        params: the values by key, as `dvc params diff` shows them, including all of params.yaml.
        default_params: the keys that no stage declares, but that DVC shows because it shows the whole
            params.yaml or a whole list.
        metrics: the flattened values of each metrics file.
        plots: the contents of the files that `dvc plots` draws, by path.
        artifacts: the path and type of each artifact, by address.
        unread: the reasons why DVC could not read something.
    """

    stages: dict[str, DvcStage]
    sources: dict[str, Recorded]
    params: dict[str, Any]
    default_params: frozenset[str]
    metrics: dict[str, dict[str, Any]]
    plots: dict[str, bytes]
    artifacts: dict[str, tuple[str, str]]
    unread: Reasons = field(default_factory=dict)


class RefusedError(Exception):
    """DVC cannot read the commit; the message is the reason in one line."""


@contextlib.contextmanager
def open_repo(root: Path) -> Iterator[Repo]:
    """Open DVC in a project without its remote, so that missing files are not fetched."""
    remember_parsed_yaml()  # Most files are the same in many commits.
    nowhere = {"url": os.fspath(root / ".dvc/tmp/no-remote")}
    settings = {"core": {"remote": "nowhere"}, "remote": {"nowhere": nowhere}}
    with contextlib.chdir(root), Repo(str(root), config=settings) as repo:
        yield repo


def read_revision(repo: Repo, rev: str) -> DvcRevision:
    """Read a commit with DVC.

    Raises:
        RefusedError: DVC cannot read it.
    """
    try:
        side = _Side(repo)
        with repo.switch(rev):
            revision = side.read()
        side.read_plots(rev, revision.plots)
        return revision
    except Exception as error:  # DVC can fail in any way on unusual repositories.
        raise RefusedError(one_line(error)) from error


def one_line(error: BaseException) -> str:
    """Return the message of a DVC error and its cause as one line."""
    cause = f": {error.__cause__}" if error.__cause__ else ""
    return " ".join(f"{type(error).__name__}: {error}{cause}".split())[:300]


class _Side:
    """Reads the commit to which the repository is switched."""

    def __init__(self, repo: Repo) -> None:
        self._repo = repo
        self._unread: Reasons = {}

    def read(self) -> DvcRevision:
        stages: dict[str, DvcStage] = {}
        sources: dict[str, Recorded] = {}
        for stage in self._repo.index.stages:
            if isinstance(stage, PipelineStage):
                stages[self._address(stage)] = self._stage(stage)
            else:
                sources |= {self._path(out): _recorded(out) for out in stage.outs}
        params, default = self._params(stages)
        return DvcRevision(
            stages, sources, params, default, self._metrics(), {}, self._artifacts(), self._unread
        )

    def _relative(self, path: str) -> str:
        relative: str = self._repo.fs.relpath(path, self._repo.root_dir)
        return relative

    def _path(self, out: Output) -> str:
        if out.protocol != "local" or os.path.isabs(out.def_path):
            return str(out.def_path)
        return self._relative(out.fs_path)

    def _address(self, stage: Stage) -> str:
        path = self._relative(stage.path)
        return str(stage.name) if path == "dvc.yaml" else f"{path}:{stage.name}"

    def _stage(self, stage: PipelineStage) -> DvcStage:
        params = [dep for dep in stage.deps if isinstance(dep, ParamsDependency)]
        lock = stage.dvcfile._lockfile.load().get("stages", {}).get(stage.name, {})
        changed = {self._path(dep): _changed_params(dep) for dep in params if lock}
        recorded = {self._path(dep): dep.hash_info.value or {} for dep in params if dep.hash_info}
        return DvcStage(
            cmd=stage.cmd,
            recorded_cmd=lock.get("cmd"),
            frozen=bool(stage.frozen),
            deps={self._path(dep): _recorded(dep) for dep in stage.deps if dep not in params},
            outs={self._path(out): _recorded(out) for out in stage.outs},
            params={self._path(dep): list(dep.params) for dep in params},
            recorded_params=recorded,
            changed_params={file: names for file, names in changed.items() if names},
        )

    def _params(self, stages: Mapping[str, DvcStage]) -> tuple[dict[str, Any], frozenset[str]]:
        """Return the values by key, and the keys that no stage declares; see `DvcRevision.default_params`."""
        everything = self._shown("params", self._repo.params.show()[""])
        demanded = self._shown("params", self._repo.params.show(deps_only=True)[""])
        values = _by_key(everything)
        items, lists = _items(values, stages)
        default = {key for key in values if Key.parse(key).file == "params.yaml"} - _by_key(demanded).keys()
        return {**values, **items}, frozenset(default | lists)

    def _metrics(self) -> dict[str, dict[str, Any]]:
        metrics = {}
        for path, values in self._shown("metrics", self._repo.metrics.show()[""]).items():
            metrics[path] = flatten(values) if isinstance(values, dict) else {"": values}
        return metrics

    def _shown(self, what: str, result: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values that DVC shows, by file, and record the files that it cannot read."""
        if "error" in result:
            self._unread[what] = one_line(result["error"])
        shown = {}
        for path, file in result.get("data", {}).items():
            if "error" in file:
                self._unread[f"{what} {path}"] = one_line(file["error"])
            else:
                shown[path] = file["data"]
        return shown

    def read_plots(self, rev: str, plots: dict[str, bytes]) -> None:
        """Add the content of each file that DVC draws for a commit, if it is on this machine."""
        try:
            # `collect` is a generator that switches to the commit until its next item is requested.
            for found in self._repo.plots.collect(revs=[rev]):
                sources = found.get(rev, {}).get("sources", {})
                for path in sources.get("data", {}):
                    self._read_plot(path, plots)
        except Exception as error:  # For example, the list of a folder's files is not in the cache.
            self._unread["plots"] = one_line(error)

    def _read_plot(self, path: str, plots: dict[str, bytes]) -> None:
        files = self._repo.dvcfs
        try:
            plots[path] = files.read_bytes(files.join("/", path))
        except (OSError, DvcException) as error:
            self._unread[f"plots {path}"] = one_line(error)

    def _artifacts(self) -> dict[str, tuple[str, str]]:
        artifacts = {}
        for path, named in self._repo.artifacts.read().items():
            folder = os.path.dirname(path)
            for name, artifact in named.items():
                place = os.path.normpath(os.path.join(folder, artifact.path))
                artifacts[f"{folder}:{name}"] = (place, artifact.type or "")
        return artifacts


def _recorded(out: Output) -> Recorded:
    value = out.hash_info.value if out.hash_info else None
    return Recorded(value, str(out.hash_name), bool(out.use_cache))


def _items(values: dict[str, Any], stages: Mapping[str, DvcStage]) -> tuple[dict[str, Any], set[str]]:
    """Return the values of list items that stages declare, such as `layers.0.units`, and the lists' keys.

    DVC shows such a list as a whole, with empty places for the items that no stage declares.
    """
    items, lists = {}, set()
    for stage in stages.values():
        for file, names in stage.params.items():
            for key in (Key(file, name) for name in names):
                for end in range(1, len(key.parts)):
                    around = str(Key(file, ".".join(key.parts[:end])))
                    if isinstance(values.get(around), list):
                        value = Key("", ".".join(key.parts[end:])).value_in(values[around])
                        items |= _by_key({file: {key.dotted: value}})
                        lists.add(around)
    return items, lists


def _changed_params(dep: ParamsDependency) -> set[str]:
    """Return the names of params that differ between the lock and the file; `""` if DVC cannot tell."""
    try:
        status = dep.workspace_status()
    except DvcException:
        return {""}
    (changed,) = status.values() or [()]
    return {""} if isinstance(changed, str) else set(changed)


def _by_key(files: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for file, content in files.items():
        flat = flatten(content) if isinstance(content, dict) else {}
        values |= {str(Key(file, dotted)): value for dotted, value in flat.items()}
    return values
