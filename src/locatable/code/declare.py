"""Update the `deps` of stages to match the modules that they import: plan the changes, then apply them."""

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
    """A file that a stage needs, but does not declare.

    Attributes:
        path: the path that the stage has to declare, relative to its folder.
        file: the path relative to the project.
        cause: why the stage needs it; the end of a sentence such as `model.py, which train.py imports`.
    """

    path: str
    file: str
    cause: str


@dataclass(frozen=True)
class Stale:
    """A Python file that a stage declares, but does not import.

    Attributes:
        index: the position in the `deps` of the stage.
        file: the path relative to the project.
        doubt: why the stage may import it after all; empty if nothing suggests that.
    """

    index: int
    file: str
    doubt: str


@dataclass(frozen=True)
class EntryPlan:
    """The planned change of one entry of a dvc.yaml.

    Attributes:
        name: the key of the entry below `stages`.
        pipeline: the dvc.yaml that holds the entry, relative to the project.
        stages: the stages that DVC creates from the entry; several for a `foreach` or `matrix`.
        starts_python: true if its commands start a Python file of the project.
        missing: the files to add to its `deps`.
        stale: the files in its `deps` for which no import was found.
        fault: why the entry could not be checked; empty if it could.
    """

    name: str
    pipeline: str
    stages: list[Stage]
    starts_python: bool = False
    missing: Sequence[Missing] = ()
    stale: Sequence[Stale] = ()
    fault: str = ""

    @property
    def removable(self) -> list[Stale]:
        """The stale dependencies without a doubt, which `--prune` removes."""
        return [stale for stale in self.stale if not stale.doubt]

    @property
    def address(self) -> str:
        """The name of the entry for `dvc repro` in the root of the project."""
        return self.name if self.pipeline == "dvc.yaml" else f"{self.pipeline}:{self.name}"

    def to_json(self) -> dict[str, Any]:
        """Return the plan as `--json` prints it."""
        return {
            "stage": self.address,
            "checked": self.starts_python and not self.fault,
            "missing": [missing.file for missing in self.missing],
            "stale": [stale.file for stale in self.removable],
            "fault": self.fault,
        }

    def missing_sentences(self, *, added: bool = False) -> list[str]:
        """Return a sentence for each missing dependency.

        Args:
            added: true if the dependencies have been added to dvc.yaml.
        """
        start = f"added to {self.pipeline}:" if added else f"{self.pipeline} does not declare"
        return [f"{self.name}: {start} {missing.file}, which {missing.cause}" for missing in self.missing]

    def stale_sentences(self, *, removed: bool = False) -> list[str]:
        """Return a sentence for each removable dependency.

        Args:
            removed: true if the dependencies have been removed from dvc.yaml.
        """
        start = f"removed from {self.pipeline}:" if removed else f"{self.pipeline} declares"
        end = "which the stage does not import"
        return [f"{self.name}: {start} {stale.file}, {end}" for stale in self.removable]

    def doubtful_sentences(self) -> list[str]:
        """Return a sentence for each dependency that stays because the stage may import it after all."""
        sentences = []
        for stale in self.stale:
            if stale.doubt:
                sentences.append(f"{self.name}: {stale.file} stays in {self.pipeline}: {stale.doubt}")
        return sentences


def plan(declarations: Declarations) -> list[EntryPlan]:
    """Compare the dependencies that stages declare with the files that they import.

    An entry that cannot be checked gets a plan with a `fault`.

    Raises:
        ProjectError: no entry could be checked, because Python files have syntax errors or do not exist.
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
        # Several entries can have the same fault, so remove duplicates.
        raise ProjectError("; ".join(dict.fromkeys(errors)))
    return plans


def apply(project: Path, plans: Sequence[EntryPlan], prune: bool = False) -> None:
    """Add the missing dependencies to each dvc.yaml, and remove the stale ones if `prune` is true.

    All new texts are computed before the first file is written. If an entry cannot be changed, no file is.

    Raises:
        ProjectError: the `deps` of an entry cannot be changed without changing anything else, or a dvc.yaml
            cannot be written.
    """
    texts: dict[Path, str] = {}
    for entry_plan in plans:
        removable = entry_plan.removable if prune else []
        if not entry_plan.missing and not removable:
            continue
        _require_for_all_stages(project, entry_plan)
        pipeline = project / entry_plan.pipeline
        if pipeline not in texts:
            texts[pipeline] = pipeline.read_bytes().decode()
        listed = listed_dependencies(texts[pipeline], entry_plan.name)
        added = [missing.path for missing in entry_plan.missing]
        removed = [listed[stale.index] for stale in removable]
        texts[pipeline] = edit_dependencies(texts[pipeline], entry_plan.name, added, removed)
    for pipeline, text in texts.items():
        target = Path(os.path.realpath(pipeline))  # Write to the target of a symbolic link and keep the link.
        try:
            with replacing(target, target.stat().st_mode) as file:
                file.write(text.encode())
        except OSError as error:
            raise ProjectError(f"{pipeline}: cannot be written: {error.strerror}") from error


def _require_for_all_stages(project: Path, entry_plan: EntryPlan) -> None:
    """Require that each missing dependency exists for every stage that DVC creates from an entry.

    Raises:
        ProjectError: it exists only for some of them, so it cannot be in the list that they share.
    """
    for missing, stage in product(entry_plan.missing, entry_plan.stages):
        if not (project / stage.folder / missing.path).exists():
            raise ProjectError(
                f"{entry_plan.name}: only some of its stages import {missing.path}; "
                f"declare it by hand in {entry_plan.pipeline}, with ${{}}"
            )


def _plan_entry(
    name: str, pipeline: str, stages: list[Stage], declarations: Declarations, reader: ImportReader
) -> EntryPlan:
    """Compare the dependencies that one entry declares with the files that it imports.

    Raises:
        ProjectError: a command starts a file that does not exist, or a Python file cannot be read.
    """
    project = declarations.project
    starts_python = False
    missing: dict[str, Missing] = {}
    stale: set[Stale] | None = None
    for stage in stages:
        points = entry_points(stage.commands, project / stage.folder, reader)
        if points.missing:
            absent = ", ".join(points.missing)
            raise ProjectError(f"{name}: its command in {stage.pipeline} runs what does not exist: {absent}")
        closure = reader.closure(points.modules)
        starts_python = starts_python or bool(closure.importers)
        for found in _missing(stage, closure, project):
            missing.setdefault(found.path, found)
        stale_here = _stale(stage, closure, declarations)
        # All stages of an entry share one list, so a dependency is only stale if none of them needs it.
        stale = stale_here if stale is None else stale & stale_here
    return EntryPlan(
        name,
        pipeline,
        stages,
        starts_python,
        missing=sorted(missing.values(), key=attrgetter("path")),
        stale=sorted(stale or (), key=attrgetter("index")),
    )


def _missing(stage: Stage, closure: ImportClosure, project: Path) -> list[Missing]:
    """Return the files that a stage imports, but neither declares nor writes."""
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
    """Return the Python files that a stage declares, but does not import.

    Only files in packages and folders from which the stage imports other files count, because the stage may
    need a Python file elsewhere in a different way.
    """
    found = set()
    for index, dep in enumerate(stage.deps):
        path = declarations.project / dep
        if not is_inside(dep) or path.suffix != ".py" or path.is_dir():
            continue
        # A Python file that another stage writes is data for this stage.
        if path in closure.importers or dep in declarations.outputs or not closure.covers(path):
            continue
        file = _relative(path, declarations.project)
        found.add(Stale(index, file, _doubt(file, closure, declarations.project)))
    return found


def _doubt(file: str, closure: ImportClosure, project: Path) -> str:
    """Return why a stage may import a file although no import was found; empty if nothing suggests that."""
    if closure.dynamic:
        return f"{_relative(closure.dynamic[0], project)} imports modules by computed names"
    for name in PurePosixPath(file).with_suffix("").parts:
        if name in closure.unresolved:
            return f"{_relative(closure.unresolved[name], project)} imports {name} from an unknown folder"
    return ""


def _relative(path: Path, project: Path) -> str:
    return path.relative_to(project).as_posix()
