"""Checks for a project's own tests.

Import the test below into a test module, and pytest runs it on the project that contains this module:

    from locatable.testing import test_stages_declare_what_they_import
"""

from pathlib import Path
from typing import TYPE_CHECKING

from .code.declare import plan
from .repository.pipeline import read_declarations

if TYPE_CHECKING:
    import pytest


def test_stages_declare_what_they_import(request: "pytest.FixtureRequest") -> None:
    """Fail if a stage of the project imports a module that dvc.yaml does not declare as its dependency.

    The test is skipped if all visible imports are declared but some stages start Python in a way that cannot
    be analyzed; `locatable reproduce` checks those stages.

    Args:
        request: pytest's fixture, which knows the path of the test module and so of the project.

    Raises:
        AssertionError: with a sentence for each undeclared import.
    """
    import pytest

    missing = undeclared_imports(request.path.parent)
    assert not missing, "\n".join(missing)
    if unchecked := unchecked_stages(request.path.parent):
        pytest.skip("\n".join(unchecked))


def undeclared_imports(project: Path = Path()) -> list[str]:
    """Return a sentence for each module that stages of a project import but do not declare in dvc.yaml.

    DVC does not notice a change of such a module. `locatable declare` adds them.

    Args:
        project: a folder of the DVC project; by default, the working directory.

    Returns:
        A sentence for each undeclared module, and for each stage that runs a module that does not exist or
        imports a file with a syntax error; empty if everything is declared. Modules that are declared but not
        imported are not reported.

    Raises:
        LocatableError: the folder is not in a DVC project, DVC cannot read a dvc.yaml, or no stage can be
            checked.
    """
    sentences = []
    for entry_plan in plan(read_declarations(project)):
        sentences += entry_plan.missing_sentences()
        if entry_plan.fault:
            sentences.append(f"not checked: {entry_plan.fault}")
    return sentences


def unchecked_stages(project: Path = Path()) -> list[str]:
    """Return a sentence for each stage that `undeclared_imports` cannot check.

    The commands of these stages show no Python file to analyze.

    Args:
        project: a folder of the DVC project; by default, the working directory.

    Returns:
        A sentence for each such stage, with its command.

    Raises:
        LocatableError: as for `undeclared_imports`.
    """
    sentences = []
    for entry_plan in plan(read_declarations(project)):
        if not entry_plan.starts_python and not entry_plan.fault:
            command = "; ".join(entry_plan.stages[0].commands)
            sentences.append(f"{entry_plan.address}: no Python file to be seen in `{command}`")
    return sentences
