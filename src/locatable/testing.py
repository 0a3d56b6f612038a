"""Checks for a project's own tests.

A module of tests that has this line has a test of its own project:

    from locatable.testing import test_stages_declare_what_they_import
"""

from pathlib import Path
from typing import TYPE_CHECKING

from .code.declare import plan
from .repository.pipeline import read_declarations

if TYPE_CHECKING:
    import pytest


def test_stages_declare_what_they_import(request: "pytest.FixtureRequest") -> None:
    """Fail where a stage of the project that is tested imports a module and does not declare it in dvc.yaml.

    It counts as skipped where stages start Python in other ways: `locatable reproduce` checks these.

    Args:
        request: what pytest knows of the module of tests, which lies in the project.

    Raises:
        AssertionError: with a sentence for each import.
    """
    import pytest

    missing = undeclared_imports(request.path.parent)
    assert not missing, "\n".join(missing)
    if unchecked := unchecked_stages(request.path.parent):
        pytest.skip("\n".join(unchecked))


def undeclared_imports(project: Path = Path()) -> list[str]:
    """Name the modules of a project that its stages import and do not declare in dvc.yaml.

    DVC does not notice a change of such a module. `locatable declare` adds them.

    Args:
        project: a folder of the DVC project; by default, the working directory.

    Returns:
        A sentence for each, and for each stage that runs a module that does not exist or imports a file with
        a syntax error; empty if all is declared. Declared modules that are not imported do not count.

    Raises:
        LocatableError: the folder is in no DVC project, DVC cannot read a dvc.yaml, or no stage can be
            checked.
    """
    sentences = []
    for entry_plan in plan(read_declarations(project)):
        sentences += entry_plan.missing_sentences()
        if entry_plan.fault:
            sentences.append(f"not checked: {entry_plan.fault}")
    return sentences


def unchecked_stages(project: Path = Path()) -> list[str]:
    """Name the stages whose imports `undeclared_imports` cannot see, since they start Python in other ways.

    Args:
        project: a folder of the DVC project; by default, the working directory.

    Returns:
        A sentence for each, with its command.

    Raises:
        LocatableError: as for `undeclared_imports`.
    """
    sentences = []
    for entry_plan in plan(read_declarations(project)):
        if not entry_plan.is_seen and not entry_plan.fault:
            command = "; ".join(entry_plan.stages[0].commands)
            sentences.append(f"{entry_plan.address}: no Python file to be seen in `{command}`")
    return sentences
