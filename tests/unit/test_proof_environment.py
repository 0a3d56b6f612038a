"""The environment of a proof comes from requirements.lock alone, and goes where it should."""

import sys
from pathlib import Path

import pytest

from locatable.errors import CannotTryError
from locatable.proof.environment import (
    build_environment,
    installer_variables,
    name_packages,
    plan_installation,
    recorded_python,
    recorded_variables,
)

FOLDER = Path("/scratch/env")


def test_a_revision_without_a_lock_is_refused(tmp_path):
    with pytest.raises(CannotTryError, match=r"this revision has no requirements\.lock; .* --env current"):
        build_environment(tmp_path, tmp_path / "env")


@pytest.mark.parametrize(
    "name",
    [
        "UV_SYSTEM_PYTHON",
        "UV_PYTHON",
        "UV_PROJECT_ENVIRONMENT",
        "UV_CONSTRAINT",
        "UV_NO_VERIFY_HASHES",
        "UV_WORKING_DIR",
        "PIP_TARGET",
        "PIP_PREFIX",
        "PIP_USER",
        "PYTHONPATH",
        "CONDA_PREFIX",
    ],
)
def test_a_variable_that_redirects_or_changes_an_installation_is_dropped(name):
    assert name not in installer_variables({name: "1"}, FOLDER)


@pytest.mark.parametrize(
    "name", ["UV_INDEX_URL", "UV_CACHE_DIR", "UV_OFFLINE", "PIP_INDEX_URL", "PIP_CERT", "HTTPS_PROXY", "HOME"]
)
def test_a_variable_that_says_where_packages_come_from_is_kept(name):
    assert installer_variables({name: "value"}, FOLDER)[name] == "value"


def test_the_virtual_environment_is_the_one_to_build():
    assert installer_variables({"VIRTUAL_ENV": "/users/own"}, FOLDER)["VIRTUAL_ENV"] == str(FOLDER)


def test_uv_runs_without_variables_that_redirect_it(tmp_path, monkeypatch):
    uv = tmp_path / "uv"
    uv.write_text(f"#!/bin/sh\nenv >> {tmp_path}/variables\n")
    uv.chmod(0o755)
    (tmp_path / "requirements.lock").write_text("")
    monkeypatch.setattr("shutil.which", lambda name, path: str(uv))
    monkeypatch.setenv("UV_SYSTEM_PYTHON", "1")
    build_environment(tmp_path, tmp_path / "env")
    assert "UV_SYSTEM_PYTHON" not in (tmp_path / "variables").read_text()


@pytest.mark.parametrize("uv", ["/usr/bin/uv", None])
def test_the_lock_is_all_that_is_installed(uv):
    fill = plan_installation(FOLDER, None, uv).fill
    assert [part for part in fill if part.endswith(".lock")] == ["requirements.lock"]


@pytest.mark.parametrize("uv", ["/usr/bin/uv", None])
def test_every_package_is_checked_against_its_hash(uv):
    assert "--require-hashes" in plan_installation(FOLDER, None, uv).fill


@pytest.mark.parametrize("uv", ["/usr/bin/uv", None])
def test_with_wheels_no_index_is_asked(uv):
    fill = plan_installation(FOLDER, None, uv, wheels=Path("/archive/wheels")).fill
    assert "--no-index" in fill
    assert fill[fill.index("--find-links") + 1] == "/archive/wheels"


def test_uv_is_told_which_environment_to_fill():
    fill = plan_installation(FOLDER, None, "uv").fill
    assert fill[fill.index("--python") + 1] == str(FOLDER)


def test_pip_is_that_of_the_environment_to_fill():
    assert plan_installation(FOLDER, None, None).fill[:3] == [f"{FOLDER}/bin/python", "-m", "pip"]


@pytest.mark.parametrize(("uv", "python"), [("uv", "3.13"), (None, "python3.13")])
def test_the_recorded_python_is_used(uv, python):
    assert python in plan_installation(FOLDER, "3.13", uv).make


@pytest.mark.parametrize("uv", ["uv", None])
def test_the_running_python_is_used_where_no_other_is_recorded(uv):
    assert sys.executable in plan_installation(FOLDER, None, uv).make


def test_another_python_is_read_from_the_record(tmp_path):
    (tmp_path / "environment.json").write_text('{"python": "2.7"}')
    assert recorded_python(tmp_path) == "2.7"


def test_the_running_python_needs_no_mention(tmp_path):
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    (tmp_path / "environment.json").write_text(f'{{"python": "{running}"}}')
    assert recorded_python(tmp_path) is None


@pytest.mark.parametrize(
    "text", ["", "[]", '{"name": "another tool\'s"}', '{"python": {"major": 3}}', '{"python": "conda"}', None]
)
def test_a_record_without_a_python_names_none(tmp_path, text):
    if text is not None:
        (tmp_path / "environment.json").write_text(text)
    assert recorded_python(tmp_path) is None


def test_a_record_that_is_a_folder_names_no_python(tmp_path):
    (tmp_path / "environment.json").mkdir()
    assert recorded_python(tmp_path) is None


def test_recorded_variables_are_read_from_the_record(tmp_path):
    (tmp_path / "environment.json").write_text('{"python": "3.11", "variables": {"MKL_CBWR": "AVX2"}}')
    assert recorded_variables(tmp_path) == {"MKL_CBWR": "AVX2"}


@pytest.mark.parametrize("text", ["", "[]", '{"variables": ["another tool\'s"]}', '{"python": "3.11"}', None])
def test_a_record_without_variables_has_none(tmp_path, text):
    if text is not None:
        (tmp_path / "environment.json").write_text(text)
    assert recorded_variables(tmp_path) == {}


def test_a_python_that_is_not_here_is_named(tmp_path, monkeypatch):
    (tmp_path / "requirements.lock").write_text("")
    monkeypatch.setattr("shutil.which", lambda name, path: None)
    with pytest.raises(
        CannotTryError, match=r"the result was made with Python 2\.0: there is no python2\.0 here"
    ):
        build_environment(tmp_path, tmp_path / "env", "2.0")


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
