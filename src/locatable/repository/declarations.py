"""What the stages of a project declare, as DVC resolves it: variables, loops and folders included."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dvc.dependency import ParamsDependency
from dvc.output import Output as DvcOutput
from dvc.repo import Repo
from dvc.stage import PipelineStage
from dvc.stage import Stage as DvcStage
from dvc.stage.exceptions import StageFileDoesNotExistError, StageNotFound

from ..errors import NotFoundError
from ..model import Output, Stage, address_of
from .dvc_repo import commands_of, open_repo

# Stages by the dvc.yaml and the key of the entry below `stages` that they are made from: one stage, or as
# many as `foreach` or `matrix` say.
Entries = dict[tuple[str, str], list[Stage]]


@dataclass(frozen=True)
class Declarations:
    """What the stages of a project declare, as it is checked out.

    Attributes:
        project: the project's root.
        entries: those asked for, in DVC's order.
        outputs: paths of what all stages of the project write.
    """

    project: Path
    entries: Entries
    outputs: frozenset[str]


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
        root = Path(repo.root_dir)
        entries: Entries = {}
        for stage in everything:
            entry = _entry(stage, root)
            if entry and (not names or entry in chosen):
                entries.setdefault(entry, []).append(declared_stage(repo, stage))
        outputs = frozenset(_path(repo, out) for stage in everything for out in stage.outs)
        return Declarations(root, entries, outputs)


def _entries_named(repo: Repo, name: str) -> set[tuple[str, str]]:
    """Return the entries of the stages that a name stands for."""
    try:
        stages = repo.stage.collect(name)
    except (StageNotFound, StageFileDoesNotExistError) as error:
        raise NotFoundError(f"{name}: no such stage; `dvc stage list --all` names them") from error
    entries = {_entry(stage, Path(repo.root_dir)) for stage in stages}
    return {entry for entry in entries if entry}


def _entry(stage: object, root: Path) -> tuple[str, str] | None:
    """Return the dvc.yaml and the key of the entry that a stage is made from; None for a `.dvc` file."""
    if not isinstance(stage, PipelineStage):
        return None
    return Path(stage.path).relative_to(root).as_posix(), str(stage.raw_data.generated_from or stage.name)


def declared_stage(repo: Repo, stage: DvcStage) -> Stage:
    """Return what a stage of DVC's declares, params and what is recorded aside."""
    read = [_path(repo, dep) for dep in stage.deps if not isinstance(dep, ParamsDependency)]
    written = [_path(repo, out) for out in stage.outs]
    folder, _, _ = stage.path_in_repo.rpartition("/")
    return Stage(
        address=address_of(folder, stage.name),
        folder=repo.fs.relpath(stage.wdir, repo.root_dir),
        cmd=commands_of(stage),
        deps=tuple(read),
        outs={path: Output(path) for path in written},
    )


def _path(repo: Repo, item: DvcOutput) -> str:
    """Return the path of an output or dependency relative to the DVC root; a URL as it is."""
    if "://" in item.def_path:
        return str(item)
    path: str = repo.fs.relpath(item.fs_path, repo.root_dir)
    return path
