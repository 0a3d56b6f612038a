"""Declare what stages import: brings the `deps` in every dvc.yaml up to the Python files that stages run.

    locatable declare [STAGE ...] [--prune] [--check]

Adds each module of the project that a stage imports, directly or through others, and does not declare: DVC
would not notice that the code of a result has changed. Comments, order and formatting stay as they are.

Seen are `import` statements wherever they stand, and `importlib.import_module` of a literal name. What Python
decides only while it runs (computed names, plug-ins) is not; `locatable reproduce` sees that.
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
    parser.add_argument("stages", metavar="STAGE", nargs="*", help="as `dvc repro` takes it (default: all)")
    parser.add_argument(
        "--prune",
        action="store_true",
        help="also remove Python files that a stage does not import any more; never data, never folders",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="change nothing, name what is missing or not needed, and exit with 1 if there is anything",
    )
    add_json_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Change the files, or check them, and say what was done."""
    # Importing DVC takes most of a second, and `--help` should not.
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
    # There may be something in what cannot be read.
    return int(bool(problems) or any(plan.fault for plan in plans))


def _all_declared(plans: "list[EntryPlan]") -> list[str]:
    """Return a line that says what was found to be declared; none where nothing was looked at."""
    seen = [plan for plan in plans if plan.is_seen]
    if not seen:
        return []
    return ["all imports are declared" + ("" if len(seen) == len(plans) else ", where they were checked")]


def _changes(plans: "list[EntryPlan]", prune: bool) -> list[str]:
    """Return lines that say what was changed, what was left, and what DVC makes of it."""
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
    """Return lines that name the stages that could not be looked into, and why."""
    lines = [f"not checked: {plan.fault}" for plan in plans if plan.fault]
    names = [plan.address for plan in plans if not plan.is_seen and not plan.fault]
    if not names:
        return lines
    return [*lines, f"not checked, since no Python file is to be seen in their commands: {', '.join(names)}"]
