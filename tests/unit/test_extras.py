"""What to install where an optional dependency is missing."""

import ast
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from locatable.commands import EXTRAS, Extra, find_extra, missing_extra

MLFLOW, SEARCH, ARCHIVE, PREFECT, RAY, DOCUMENTS, PAGE = EXTRAS


@pytest.mark.parametrize(
    ("module", "extra"),
    [
        ("mlflow.entities", MLFLOW),
        ("optuna", SEARCH),
        ("rocrate.rocrate", ARCHIVE),
        ("prefect", PREFECT),
        ("ray.util", RAY),
        ("PIL", DOCUMENTS),
        ("matplotlib", PAGE),
        ("rayon", None),
    ],
)
def test_a_module_belongs_to_an_extra(module: str, extra: Extra | None) -> None:
    assert find_extra(module, "locate") == extra


@pytest.mark.parametrize(("command", "extra"), [("mirror", MLFLOW), ("search", SEARCH)])
def test_of_two_extras_that_bring_a_module_the_command_s_own_counts(command: str, extra: Extra) -> None:
    assert find_extra("sqlalchemy", command) == extra


def project(folder: Path, *locks: str) -> Path:
    """A project that offers Prefect on request."""
    (folder / "pyproject.toml").write_text(
        "[project.optional-dependencies]\nprefect = ['locatable[prefect]']\n"
    )
    for lock in locks:
        (folder / lock).parent.mkdir(exist_ok=True)
        (folder / lock).touch()
    return folder


@pytest.mark.parametrize(
    ("extra", "locks", "advice"),
    [
        (PREFECT, ["extras.lock"], "Prefect: make setup EXTRAS=prefect"),
        (PREFECT, ["extras/prefect.lock"], "Prefect: make setup EXTRAS=prefect"),
        (PREFECT, [], "Prefect: pip install 'locatable[prefect]'"),
        (ARCHIVE, ["extras.lock"], "ro-crate-py: pip install 'locatable[archive]'"),
    ],
)
def test_an_extra_comes_from_the_project_s_own_lock_where_that_has_it(
    tmp_path: Path, extra: Extra, locks: list[str], advice: str
) -> None:
    error = missing_extra("locatable do", extra, project(tmp_path, *locks))
    assert str(error) == f"locatable do needs {advice}"


# What a user's own project brings, where it is used at all; each is asked for when it is missing.
OF_PROJECTS = {"optunahub", "pyarrow", "pytest"}
PROJECT = Path(__file__).parents[2]


def test_what_is_imported_is_a_dependency() -> None:
    settings = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    lists = [settings["dependencies"], *settings["optional-dependencies"].values()]
    declared = {canonicalize_name(Requirement(line).name) for lines in lists for line in lines}
    distributions = packages_distributions()
    undeclared = set()
    for name in imported_packages():
        # What is not installed here (Prefect, Ray) has the name that it is imported by.
        if not declared & set(map(canonicalize_name, distributions.get(name, [name]))):
            undeclared.add(name)
    assert undeclared == OF_PROJECTS


def imported_packages() -> set[str]:
    """Return the names of the packages that the sources import, without Python's own."""
    names = set()
    for file in (PROJECT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    return names - sys.stdlib_module_names - {"locatable"}
