"""Bring the `deps` of stages up to the modules that they import: first a plan, then new files."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from operator import attrgetter
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import ProjectError
from ..model import Stage, is_inside
from ..output import replacing
from ..repository.pipeline import Declarations
from .edits import edit_dependencies, listed_dependencies
from .entry_points import entry_points
from .imports import ImportClosure, ImportReader


@dataclass(frozen=True)
class Missing:
    """A file that a stage needs and does not declare.

    Attributes:
        path: as the stage has to declare it, relative to its folder.
        file: relative to the project.
        cause: why it is needed, such as `train.py imports`.
    """

    path: str
    file: str
    cause: str


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
    """A change of one entry of a dvc.yaml.

    Attributes:
        name: its key below `stages`.
        pipeline: its dvc.yaml, relative to the project.
        stages: those that DVC makes from it.
        is_seen: whether its commands start a Python file of the project.
        missing: to be added to its `deps`.
        stale: not needed there.
        fault: why it was not checked, where its commands or what they import cannot be read.
    """

    name: str
    pipeline: str
    stages: list[Stage]
    is_seen: bool = False
    missing: Sequence[Missing] = ()
    stale: Sequence[Stale] = ()
    fault: str = ""

    @property
    def removable(self) -> list[Stale]:
        """The stale dependencies that are not needed, as far as can be seen."""
        return [stale for stale in self.stale if not stale.doubt]

    @property
    def address(self) -> str:
        """The name that `dvc repro` takes for the entry, in the root of the project."""
        return self.name if self.pipeline == "dvc.yaml" else f"{self.pipeline}:{self.name}"

    def to_json(self) -> dict[str, Any]:
        """Return the plan as `--json` prints it."""
        return {
            "stage": self.address,
            "checked": self.is_seen and not self.fault,
            "missing": [missing.file for missing in self.missing],
            "stale": [stale.file for stale in self.removable],
            "fault": self.fault,
        }

    def missing_sentences(self, *, added: bool = False) -> list[str]:
        """Return a sentence for each dependency that is missing, or was added."""
        start = f"added to {self.pipeline}:" if added else f"{self.pipeline} does not declare"
        return [f"{self.name}: {start} {missing.file}, which {missing.cause}" for missing in self.missing]

    def stale_sentences(self, *, removed: bool = False) -> list[str]:
        """Return a sentence for each dependency that is not needed, or was removed."""
        start = f"removed from {self.pipeline}:" if removed else f"{self.pipeline} declares"
        end = "which the stage does not import"
        return [f"{self.name}: {start} {stale.file}, {end}" for stale in self.removable]

    def doubtful_sentences(self) -> list[str]:
        """Return a sentence for each dependency that may be needed, though no import of it can be seen."""
        sentences = []
        for stale in self.stale:
            if stale.doubt:
                sentences.append(f"{self.name}: {stale.file} stays in {self.pipeline}: {stale.doubt}")
        return sentences


def plan(declarations: Declarations) -> list[EntryPlan]:
    """Compare what stages declare with what they import.

    Raises:
        ProjectError: of all stages, a Python file has a syntax error, or a command starts one that does not
            exist.
    """
    reader = ImportReader(declarations.project)
    plans = []
    errors = []
    for (pipeline, name), stages in declarations.entries.items():
        try:
            plans.append(_plan_entry(name, pipeline, stages, declarations, reader))
        except ProjectError as error:
            errors.append(error.message)
            fault = f"{name}: {error.message.removeprefix(f'{name}: ')}"
            plans.append(EntryPlan(name, pipeline, stages, fault=fault))
    if plans and len(errors) == len(plans):
        # Several entries can have one fault.
        raise ProjectError("; ".join(dict.fromkeys(errors)))
    return plans


def apply(project: Path, plans: Sequence[EntryPlan], prune: bool = False) -> None:
    """Write what is missing into each dvc.yaml, and `prune` what is not needed.

    All files are written or, if one cannot be changed, none.

    Raises:
        ProjectError: the `deps` of an entry cannot be changed without changing anything else, or a dvc.yaml
            cannot be written.
    """
    texts: dict[Path, str] = {}
    for entry_plan in plans:
        removable = entry_plan.removable if prune else []
        if not entry_plan.missing and not removable:
            continue
        _check_that_all_have(project, entry_plan)
        pipeline = project / entry_plan.pipeline
        if pipeline not in texts:
            texts[pipeline] = pipeline.read_bytes().decode()
        listed = listed_dependencies(texts[pipeline], entry_plan.name)
        added = [missing.path for missing in entry_plan.missing]
        removed = [listed[stale.index] for stale in removable]
        texts[pipeline] = edit_dependencies(texts[pipeline], entry_plan.name, added, removed)
    for pipeline, text in texts.items():
        target = Path(os.path.realpath(pipeline))  # a link goes on leading to it
        try:
            with replacing(target, target.stat().st_mode) as file:
                file.write(text.encode())
        except OSError as error:
            raise ProjectError(f"{pipeline}: cannot be written: {error.strerror}") from error


def _check_that_all_have(project: Path, entry_plan: EntryPlan) -> None:
    """Raise `ProjectError` unless a missing dependency exists for every stage that is made from an entry."""
    for missing, stage in product(entry_plan.missing, entry_plan.stages):
        if not (project / stage.folder / missing.path).exists():
            raise ProjectError(
                f"{entry_plan.name}: only some of its stages import {missing.path}; "
                f"declare it by hand in {entry_plan.pipeline}, with ${{}}"
            )


def _plan_entry(
    name: str, pipeline: str, stages: list[Stage], declarations: Declarations, reader: ImportReader
) -> EntryPlan:
    """Compare what one entry declares with what it imports.

    Raises:
        ProjectError: its command starts a file that does not exist.
    """
    project = declarations.project
    is_seen = False
    missing: dict[str, Missing] = {}
    stale: set[Stale] | None = None
    for stage in stages:
        points = entry_points(stage.commands, project / stage.folder, reader)
        if points.missing:
            absent = ", ".join(points.missing)
            raise ProjectError(f"{name}: its command in {stage.pipeline} runs what does not exist: {absent}")
        closure = reader.closure(points.modules)
        is_seen = is_seen or bool(closure.importers)
        for found in _missing(stage, closure, project):
            missing.setdefault(found.path, found)
        stale_here = _stale(stage, closure, declarations)
        # What one stage of several needs has to stay in the list that they share.
        stale = stale_here if stale is None else stale & stale_here
    return EntryPlan(
        name,
        pipeline,
        stages,
        is_seen,
        missing=sorted(missing.values(), key=attrgetter("path")),
        stale=sorted(stale or (), key=attrgetter("index")),
    )


def _missing(stage: Stage, closure: ImportClosure, project: Path) -> list[Missing]:
    """Return the files that a stage imports and neither declares nor writes itself."""
    known = [project / path for path in (*stage.outs, *stage.deps)]
    missing = []
    for file, importer in closure.importers.items():
        if any(file.is_relative_to(path) for path in known):
            continue
        path = Path(os.path.relpath(file, project / stage.folder)).as_posix()
        cause = f"{_relative(importer, project)} imports" if importer else "its command runs"
        missing.append(Missing(path, _relative(file, project), cause))
    return missing


def _stale(stage: Stage, closure: ImportClosure, declarations: Declarations) -> set[Stale]:
    """Return the Python files that a stage declares and does not import, in packages that it imports from."""
    found = set()
    for index, dep in enumerate(stage.deps):
        path = declarations.project / dep
        if not is_inside(dep) or path.suffix != ".py" or path.is_dir():
            continue
        # What a stage writes is data to the stages after it.
        if path in closure.importers or dep in declarations.outputs or not closure.covers(path):
            continue
        file = _relative(path, declarations.project)
        found.add(Stale(index, file, _doubt(file, closure, declarations.project)))
    return found


def _doubt(file: str, closure: ImportClosure, project: Path) -> str:
    """Return why a stage may import a file though no import of it can be seen; empty without a sign of it."""
    if closure.dynamic:
        return f"{_relative(closure.dynamic[0], project)} imports modules by computed names"
    for name in PurePosixPath(file).with_suffix("").parts:
        if name in closure.unresolved:
            return f"{_relative(closure.unresolved[name], project)} imports {name} from an unknown folder"
    return ""


def _relative(path: Path, project: Path) -> str:
    return path.relative_to(project).as_posix()
