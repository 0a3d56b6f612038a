"""A package that is not installed as locked is named where a stage does better with it."""

from locatable.proof.environment import name_packages

OWNERS = {
    "mlflow": ["mlflow-skinny", "mlflow", "mlflow-tracing"],
    "pandas": ["pandas"],
    "yaml": ["PyYAML"],
    "dvc_data": ["dvc-data"],
}
HERE = {
    "mlflow": "3.17.2",
    "mlflow-skinny": "3.17.2",
    "mlflow-tracing": "3.17.2",
    "pandas": "3.0.1",
    "PyYAML": "6.0.3",
    "dvc-data": "3.16.0",
}


def named(text: str, **locked: str) -> str:
    """What is named for a stage with this code, where only some packages are locked."""
    return name_packages(HERE, locked, OWNERS, text)


def test_a_package_that_the_stage_imports_and_the_lock_lacks_is_named():
    assert named("import pandas\nimport mlflow", pandas="3.0.1") == "mlflow 3.17.2"


def test_a_package_that_python_did_not_find_is_named():
    assert named("ModuleNotFoundError: No module named 'yaml'", pandas="3.0.1") == "PyYAML 6.0.3"


def test_a_package_that_is_locked_in_another_version_is_named():
    assert named("from pandas import concat", pandas="2.3.0") == "pandas 3.0.1"


def test_a_package_that_shares_the_imported_module_is_named_where_only_it_differs():
    assert named("import mlflow", mlflow="3.17.2", **{"mlflow-tracing": "3.17.2"}) == "mlflow-skinny 3.17.2"


def test_a_package_is_the_same_under_every_spelling_of_its_name():
    assert named("import yaml, dvc_data\nimport dvc_data", pyyaml="6.0.3") == "dvc-data 3.16.0"


def test_a_longer_name_is_not_the_imported_one():
    assert named("import pandasql", **HERE) == ""


def test_a_few_packages_that_differ_are_named_where_the_stage_imports_none_of_them():
    assert len(named("awk '{s += $1}'").split(", ")) == 5
