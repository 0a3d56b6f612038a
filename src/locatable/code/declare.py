"""Brings the `deps` of stages up to the modules that they import: first a plan, then new files."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..errors import ProjectError
from ..model import Stage, is_inside
from ..repository.pipeline import Declarations
from ..repository.replacing import replacing
from .edits import edit_dependencies, listed_dependencies
from .entry_points import entry_points
from .imports import ImportClosure, ImportReader


@dataclass(frozen=True)
class Missing:
    """A file that a stage imports and does not declare.

    Attributes:
        path: as the stage has to declare it, relative to its folder.
        file: relative to the project.
        importer: the file that imports it, relative to the project; empty if the command itself runs it.
    """

    path: str
    file: str
    importer: str


@dataclass(frozen=True)
class Stale:
    """A Python file that a stage declares and does not import.

    Attributes:
        index: its position in the `deps` of the stage.
        file: relative to the project.
        doubt: why the stage may import it after all; empty if there is no sign of that.
    """

    index: int
    file: str
    doubt: str


@dataclass(frozen=True)
class EntryPlan:
    """What has to change for one entry of a dvc.yaml.

    Attributes:
        name: its key below `stages`.
        pipeline: its dvc.yaml, relative to the project.
        stages: what is made from it.
        is_seen: whether its commands start a Python file of the project.
        missing: to be added to its `deps`.
        stale: not needed there.
        fault: why it was not checked, where its commands or what they import cannot be read.
    """

    name: str
    pipeline: str
    stages: list[Stage]
    is_seen: bool
    missing: tuple[Missing, ...]
    stale: tuple[Stale, ...]
    fault: str = ""

    @property
    def removable(self) -> list[Stale]:
        """The stale dependencies that are not needed, as far as can be seen."""
        return [stale for stale in self.stale if not stale.doubt]

    @property
    def address(self) -> str:
        """What `dvc repro` calls the entry, in the root of the project."""
        return self.name if self.pipeline == "dvc.yaml" else f"{self.pipeline}:{self.name}"

    def missing_sentences(self) -> list[str]:
        """Return a sentence for each dependency that is missing."""
        start = f"{self.name}: {self.pipeline} does not declare"
        return [f"{start} {missing.file}, which {_cause(missing)}" for missing in self.missing]

    def stale_sentences(self) -> list[str]:
        """Return a sentence for each dependency that is not needed."""
        start = f"{self.name}: {self.pipeline} declares"
        return [f"{start} {stale.file}, which the stage does not import" for stale in self.removable]

    def doubtful_sentences(self) -> list[str]:
        """Return a sentence for each dependency that may be needed, though no import of it can be seen."""
        return [
            f"{self.name}: {stale.file} stays in {self.pipeline}: {stale.doubt}"
            for stale in self.stale
            if stale.doubt
        ]

    def addition_sentences(self) -> list[str]:
        """Return a sentence for each dependency that was added."""
        start = f"{self.name}: added to {self.pipeline}:"
        return [f"{start} {missing.file}, which {_cause(missing)}" for missing in self.missing]

    def removal_sentences(self) -> list[str]:
        """Return a sentence for each dependency that was removed."""
        start = f"{self.name}: removed from {self.pipeline}:"
        return [f"{start} {stale.file}, which the stage does not import" for stale in self.removable]


def plan(declarations: Declarations) -> list[EntryPlan]:
    """Compare what stages declare with what they import.

    Raises:
        ProjectError: of all stages, a Python file has a syntax error, or a command starts one that does not
            exist.
    """
    reader = ImportReader(declarations.project)
    plans = []
    errors: dict[str, None] = {}
    for (pipeline, name), stages in declarations.entries.items():
        try:
            plans.append(_plan_entry(name, pipeline, stages, declarations, reader))
        except ProjectError as error:
            errors[error.message] = None
            fault = f"{name}: {error.message.removeprefix(f'{name}: ')}"
            plans.append(EntryPlan(name, pipeline, stages, False, (), (), fault))
    if plans and all(plan.fault for plan in plans):
        raise ProjectError("; ".join(errors))
    return plans


def apply(project: Path, plans: Sequence[EntryPlan], prune: bool = False) -> None:
    """Write what is missing into each dvc.yaml; all files or, if one cannot be changed, none.

    Args:
        project: the project's root.
        plans: what has to change.
        prune: also remove what is not needed.

    Raises:
        ProjectError: the `deps` of an entry cannot be changed without changing anything else, or a dvc.yaml
            cannot be written.
    """
    texts: dict[Path, str] = {}
    for entry_plan in plans:
        removable = entry_plan.removable if prune else []
        if not entry_plan.missing and not removable:
            continue
        pipeline = project / entry_plan.pipeline
        if pipeline not in texts:
            texts[pipeline] = pipeline.read_bytes().decode()
        listed = listed_dependencies(texts[pipeline], entry_plan.name)
        texts[pipeline] = edit_dependencies(
            texts[pipeline],
            entry_plan.name,
            added=_paths_for_all(project, entry_plan),
            removed=[listed[stale.index] for stale in removable],
        )
    for pipeline, text in texts.items():
        target = Path(os.path.realpath(pipeline))  # a link goes on leading to it
        try:
            with replacing(target, target.stat().st_mode) as file:
                file.write(text.encode())
        except OSError as error:
            raise ProjectError(f"{pipeline}: cannot be written: {error.strerror}") from error


def _plan_entry(
    name: str, pipeline: str, stages: list[Stage], declarations: Declarations, reader: ImportReader
) -> EntryPlan:
    """Compare what one entry declares with what it imports."""
    project = declarations.project
    closures = [_closure(name, stage, project, reader) for stage in stages]
    missing: dict[str, Missing] = {}
    stale: list[set[Stale]] = []
    for stage, closure in zip(stages, closures, strict=True):
        for found in _missing(stage, closure, project):
            missing.setdefault(found.path, found)
        stale.append(set(_stale(stage, closure, declarations)))
    # What one stage of several needs has to stay in the list that they share.
    stale_for_all = set.intersection(*stale)
    return EntryPlan(
        name=name,
        pipeline=pipeline,
        stages=stages,
        is_seen=any(closure.importers for closure in closures),
        missing=tuple(missing[path] for path in sorted(missing)),
        stale=tuple(sorted(stale_for_all, key=_index)),
    )


def _closure(name: str, stage: Stage, project: Path, reader: ImportReader) -> ImportClosure:
    """Return all files that a stage runs or imports.

    Raises:
        ProjectError: its command starts a file that does not exist.
    """
    points = entry_points(stage.commands, project / stage.folder, reader)
    if points.missing:
        missing = ", ".join(points.missing)
        raise ProjectError(f"{name}: its command in {stage.pipeline} runs what does not exist: {missing}")
    return reader.closure(points.modules)


def _missing(stage: Stage, closure: ImportClosure, project: Path) -> Iterator[Missing]:
    """Yield the files that a stage imports and neither declares nor writes itself."""
    known = [project / path for path in (*stage.outs, *stage.deps)]
    for file, importer in closure.importers.items():
        if not any(file.is_relative_to(path) for path in known):
            yield Missing(
                path=Path(os.path.relpath(file, project / stage.folder)).as_posix(),
                file=_relative(file, project),
                importer=_relative(importer, project) if importer else "",
            )


def _stale(stage: Stage, closure: ImportClosure, declarations: Declarations) -> Iterator[Stale]:
    """The Python files that a stage declares and does not import, in packages that it does import from."""
    for index, dep in enumerate(stage.deps):
        path = declarations.project / dep
        if not is_inside(dep) or path.suffix != ".py" or path.is_dir():
            continue
        # What a stage writes is data to the stages after it.
        if path in closure.importers or dep in declarations.outputs:
            continue
        if closure.covers(path):
            file = _relative(path, declarations.project)
            yield Stale(index, file, _doubt(file, closure, declarations.project))


def _doubt(file: str, closure: ImportClosure, project: Path) -> str:
    """Return why a stage may import a file though no import of it can be seen.

    Empty if there is no sign of that.
    """
    if closure.dynamic:
        return f"{_relative(closure.dynamic[0], project)} imports modules by computed names"
    for name in PurePosixPath(file).with_suffix("").parts:
        if name in closure.unresolved:
            return f"{_relative(closure.unresolved[name], project)} imports {name} from an unknown folder"
    return ""


def _paths_for_all(project: Path, entry_plan: EntryPlan) -> list[str]:
    """Return the paths that an entry lacks; each has to exist for every stage that is made from it.

    Raises:
        ProjectError: one does not.
    """
    paths = [missing.path for missing in entry_plan.missing]
    for path in paths:
        if not all((project / stage.folder / path).exists() for stage in entry_plan.stages):
            raise ProjectError(
                f"{entry_plan.name}: only some of its stages import {path}; "
                f"declare it by hand in {entry_plan.pipeline}, with ${{}}"
            )
    return paths


def _cause(missing: Missing) -> str:
    """Return why a file is a dependency."""
    return f"{missing.importer} imports" if missing.importer else "its command runs"


def _index(stale: Stale) -> int:
    return stale.index


def _relative(path: Path, project: Path) -> str:
    return path.relative_to(project).as_posix()
