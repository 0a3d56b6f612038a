"""What the stages of a project declare, as DVC resolves it: variables, loops and folders included."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dvc.dependency import ParamsDependency
from dvc.output import Output
from dvc.repo import Repo
from dvc.stage import PipelineStage
from dvc.stage.exceptions import StageFileDoesNotExistError, StageNotFound

from ..errors import NotFoundError
from .dvc_repo import commands_of, open_repo


@dataclass(frozen=True)
class ResolvedStage:
    """A stage as it runs.

    Attributes:
        folder: the folder that its commands run in and its paths start from.
        commands: each is a shell's.
        dependencies: files and folders, in the order of `deps`; None for what is not on this machine's disk.
        outputs: files and folders.
    """

    folder: Path
    commands: tuple[str, ...]
    dependencies: tuple[Path | None, ...]
    outputs: tuple[Path, ...]


@dataclass(frozen=True)
class StageEntry:
    """An entry below `stages` of a dvc.yaml.

    Attributes:
        pipeline: the dvc.yaml.
        name: the entry's key.
        stages: what DVC makes of it: one stage, or as many as `foreach` or `matrix` say.
    """

    pipeline: Path
    name: str
    stages: tuple[ResolvedStage, ...]


@dataclass(frozen=True)
class Declarations:
    """What the stages of a project declare.

    Attributes:
        project: the project's root.
        entries: those asked for, in DVC's order.
        outputs: of all stages of the project.
    """

    project: Path
    entries: tuple[StageEntry, ...]
    outputs: frozenset[Path]


def read_declarations(folder: Path, names: Sequence[str] = ()) -> Declarations:
    """Ask DVC for the stages of the project around a folder.

    Args:
        folder: anywhere in the project.
        names: as `dvc repro` takes them, relative to the working directory; all stages, if there are none.

    Raises:
        NotFoundError: there is no stage of that name.
        ProjectError: there is no DVC project, or DVC cannot read one of its files.
    """
    with open_repo(folder) as repo:
        everything = repo.index.stages
        chosen = set()
        for name in names:
            chosen |= _entries_named(repo, name)
        entries = _entries(everything)
        return Declarations(
            Path(repo.root_dir),
            tuple(entry for entry in entries if not names or (entry.pipeline, entry.name) in chosen),
            frozenset(_paths(out for stage in everything for out in stage.outs)),
        )


def _entries_named(repo: Repo, name: str) -> set[tuple[Path, str]]:
    """The dvc.yaml and the key of each stage that a name stands for."""
    try:
        stages = repo.stage.collect(name)
    except (StageNotFound, StageFileDoesNotExistError) as error:
        raise NotFoundError(f"{name}: no such stage; `dvc stage list --all` names them") from error
    return {(Path(stage.path), _key(stage)) for stage in stages if isinstance(stage, PipelineStage)}


def _entries(stages: Iterable[object]) -> list[StageEntry]:
    """The stages of all dvc.yaml, those of one entry together."""
    grouped: dict[tuple[Path, str], list[ResolvedStage]] = {}
    for stage in stages:
        if isinstance(stage, PipelineStage):
            grouped.setdefault((Path(stage.path), _key(stage)), []).append(_resolved(stage))
    return [StageEntry(pipeline, name, tuple(found)) for (pipeline, name), found in grouped.items()]


def _key(stage: PipelineStage) -> str:
    """The key in dvc.yaml of the entry that a stage was made from."""
    return str(stage.raw_data.generated_from or stage.name)


def _resolved(stage: PipelineStage) -> ResolvedStage:
    """What a stage of DVC's declares, as plain values."""
    listed = [dependency for dependency in stage.deps if not isinstance(dependency, ParamsDependency)]
    return ResolvedStage(
        Path(stage.wdir),
        tuple(commands_of(stage)),
        tuple(_path(dependency) for dependency in listed),
        tuple(_paths(stage.outs)),
    )


def _paths(outputs: Iterable[Output]) -> list[Path]:
    """The paths of those outputs that are on this machine's disk."""
    paths = [_path(output) for output in outputs]
    return [path for path in paths if path is not None]


def _path(output: Output) -> Path | None:
    """The path of an output or dependency; None if it is not on this machine's disk."""
    return Path(output.fs_path) if output.protocol == "local" else None
