"""What to install where an optional dependency is missing."""

from pathlib import Path

import pytest

from locatable.commands.extras import EXTRAS, Extra, find_extra, missing_extra

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


def test_a_project_installs_from_its_own_lock(tmp_path: Path) -> None:
    (tmp_path / "extras").mkdir()
    (tmp_path / "extras/prefect.lock").touch()
    error = missing_extra("locatable flow", PREFECT, tmp_path)
    assert str(error) == "locatable flow needs Prefect: make setup EXTRAS=prefect"


def test_without_such_a_lock_pip_installs_the_extra(tmp_path: Path) -> None:
    error = missing_extra("locatable flow", PREFECT, tmp_path)
    assert str(error) == "locatable flow needs Prefect: pip install 'locatable[prefect]'"
