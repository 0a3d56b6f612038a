"""What DVC itself says of a commit, asked of the installed DVC in this process."""

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

# Of what DVC could not say.
Reasons = dict[str, str]


@dataclass(frozen=True)
class Recorded:
    """A file or folder as DVC has it in a lock or a `.dvc` file.

    Attributes:
        hash: None where there is none.
        kind: what DVC calls the kind of the hash: `md5`; `md5-dos2unix`, which DVC 1 and 2 computed; others.
        is_cached: whether DVC keeps it, not Git.
    """

    hash: str | None
    kind: str
    is_cached: bool


@dataclass(frozen=True)
class DvcStage:
    """A stage of a dvc.yaml as DVC understands it; all paths are relative to the DVC root.

    Attributes:
        cmd: as the dvc.yaml has it.
        recorded_cmd: as the lock has it; None where the lock has no such stage.
        frozen: whether DVC does not look at its dependencies.
        deps: by path.
        outs: by path.
        params: by file: what is declared, none for all of the file.
        recorded_params: values by file, as the lock has them.
        changed_params: names by file in which the lock and the file differ.
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
        """Whether the lock has the stage."""
        return self.recorded_cmd is not None


@dataclass(frozen=True)
class DvcRevision:
    """What DVC says of a commit.

    Attributes:
        stages: by address.
        sources: what `.dvc` files track, by path.
        params: values by key, as `dvc params diff` shows them; of all of params.yaml.
        default_params: keys of those that DVC shows only as it shows all of a params.yaml or a list.
        metrics: values by file, not nested.
        plots: content by path of the files that `dvc plots` draws.
        artifacts: path and type by address.
        unsaid: why DVC could not say something, by what.
    """

    stages: dict[str, DvcStage]
    sources: dict[str, Recorded]
    params: dict[str, Any]
    default_params: frozenset[str]
    metrics: dict[str, dict[str, Any]]
    plots: dict[str, bytes]
    artifacts: dict[str, tuple[str, str]]
    unsaid: Reasons = field(default_factory=dict)


class RefusedError(Exception):
    """DVC does not read the commit; the message says why, in one line."""


@contextlib.contextmanager
def open_repo(root: Path) -> Iterator[Repo]:
    """DVC in a project, without its remote: what this machine lacks is not fetched."""
    remember_parsed_yaml()  # most files are the same in many commits
    nowhere = {"url": os.fspath(root / ".dvc/tmp/no-remote")}
    settings = {"core": {"remote": "nowhere"}, "remote": {"nowhere": nowhere}}
    with contextlib.chdir(root), Repo(str(root), config=settings) as repo:
        yield repo


def read_revision(repo: Repo, rev: str) -> DvcRevision:
    """Ask DVC about a commit.

    Raises:
        RefusedError: DVC does not read it.
    """
    try:
        side = _Side(repo)
        with repo.switch(rev):
            said = side.read()
        side.read_plots(rev, said.plots)
        return said
    except Exception as error:  # whatever DVC ends with, on whatever a repository holds
        raise RefusedError(one_line(error)) from error


def one_line(error: BaseException) -> str:
    """What an error of DVC's says, with its cause, in one line."""
    cause = f": {error.__cause__}" if error.__cause__ else ""
    return " ".join(f"{type(error).__name__}: {error}{cause}".split())[:300]


class _Side:
    """Reads what the repository is switched to."""

    def __init__(self, repo: Repo) -> None:
        self._repo = repo
        self._unsaid: Reasons = {}

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
            stages, sources, params, default, self._metrics(), {}, self._artifacts(), self._unsaid
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
        """Values by key; and keys of those that DVC shows only as it shows all of a params.yaml or a list."""
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
        """Values by file of what DVC shows; files that it cannot read are noted."""
        if "error" in result:
            self._unsaid[what] = one_line(result["error"])
        shown = {}
        for path, file in result.get("data", {}).items():
            if "error" in file:
                self._unsaid[f"{what} {path}"] = one_line(file["error"])
            else:
                shown[path] = file["data"]
        return shown

    def read_plots(self, rev: str, plots: dict[str, bytes]) -> None:
        """Add content by path of each file that DVC draws of a commit, as far as this machine has it."""
        try:
            # It switches to the commit by itself, and stays there until it is asked for the next one.
            for found in self._repo.plots.collect(revs=[rev]):
                sources = found.get(rev, {}).get("sources", {})
                for path in sources.get("data", {}):
                    self._read_plot(path, plots)
        except Exception as error:  # without a list of a folder's files, for one
            self._unsaid["plots"] = one_line(error)

    def _read_plot(self, path: str, plots: dict[str, bytes]) -> None:
        files = self._repo.dvcfs
        try:
            plots[path] = files.read_bytes(files.join("/", path))
        except (OSError, DvcException) as error:
            self._unsaid[f"plots {path}"] = one_line(error)

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
    """Values of items in lists by the keys that stages declare, as `layers.0.units`; and keys of these lists.

    Of such a list DVC shows all, with nothing for what no stage declares.
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
    """Names of params in which the lock and the file differ; empty if nobody could say."""
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
