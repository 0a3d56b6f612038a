"""Declare what stages import: update the `deps` in every dvc.yaml to match the Python files that stages run.

    locatable declare [STAGE ...] [--prune] [--check]

The command adds each module of the project that a stage imports, directly or through other modules, but does
not declare. Without the declaration, DVC would not notice that the code behind a result has changed.
Comments, order and formatting of dvc.yaml stay as they are.

It finds `import` statements anywhere in a file, and `importlib.import_module` with a literal name. It cannot
find imports that Python resolves only at run time, such as computed names and plug-ins; `locatable reproduce`
can.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..model import json_text
from ..output import add_json_option

if TYPE_CHECKING:
    from ..code.declare import EntryPlan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `locatable declare`."""
    add = parser.add_argument
    add("stages", metavar="STAGE", nargs="*", help="a stage, as for `dvc repro` (default: all stages)")
    add(
        "--prune",
        action="store_true",
        help="also remove Python files that a stage no longer imports; data and folders always stay",
    )
    add(
        "--check",
        action="store_true",
        help="change nothing; list missing and unneeded dependencies, and exit with 1 if there are any",
    )
    add_json_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Change the files or check them, and report the result."""
    # Imported here because importing DVC takes most of a second, and `--help` should be fast.
    from ..code import declare
    from ..repository.pipeline import read_declarations

    declarations = read_declarations(Path.cwd(), arguments.stages)
    plans = declare.plan(declarations)
    problems = []
    if arguments.check:
        for plan in plans:
            problems += plan.missing_sentences() + plan.stale_sentences()
        lines = problems or _all_declared(plans)
    else:
        declare.apply(declarations.project, plans, arguments.prune)
        lines = _changes(plans, arguments.prune)
        if not lines:
            lines = [f"nothing to do: {line}" for line in _all_declared(plans)]
    if arguments.json:
        print(json_text([plan.to_json() for plan in plans], indent=2))
    else:
        print("\n".join([*lines, *_unchecked(plans)]))
    # A stage that could not be checked may have undeclared imports, so it fails the command too.
    return int(bool(problems) or any(plan.fault for plan in plans))


def _all_declared(plans: "list[EntryPlan]") -> list[str]:
    """Return the line that says that all imports are declared, or an empty list if no stage was checked."""
    checked = [plan for plan in plans if plan.starts_python]
    if not checked:
        return []
    if len(checked) == len(plans):
        return ["all imports are declared"]
    return ["all imports are declared, where they were checked"]


def _changes(plans: "list[EntryPlan]", prune: bool) -> list[str]:
    """Return lines about the changes, about dependencies that stay, and about stages that DVC will rerun."""
    lines = []
    for plan in plans:
        lines += plan.missing_sentences(added=True)
        if prune:
            lines += plan.stale_sentences(removed=True) + plan.doubtful_sentences()
        else:
            lines += [f"{sentence}; --prune removes it" for sentence in plan.stale_sentences()]
    outdated = [plan.address for plan in plans if plan.missing]
    if outdated:
        lines.append(f"`dvc repro` will now run again: {', '.join(outdated)}")
    return lines


def _unchecked(plans: "list[EntryPlan]") -> list[str]:
    """Return lines that name the stages that could not be checked, with the reasons."""
    lines = [f"not checked: {plan.fault}" for plan in plans if plan.fault]
    names = [plan.address for plan in plans if not plan.starts_python and not plan.fault]
    if names:
        reason = "their commands name no Python file of the project"
        lines.append(f"not checked, because {reason}: {', '.join(names)}")
    return lines
