"""The environment of a proof comes from a lock of the revision alone; what differs from it here is named."""

import sys
from pathlib import Path

import pytest

from locatable.errors import CannotTryError
from locatable.model import Stage
from locatable.proof.environment import (
    installer_variables,
    isolated_variables,
    name_packages,
    recorded_python,
    recorded_variables,
)
from locatable.proof.lock_files import (
    KNOWN_SOURCES,
    HashedLock,
    build_environment,
    find_lock,
    install_command,
    only_binary_options,
    venv_step,
)
from locatable.proof.sandbox import Sandbox

FOLDER = Path("/scratch/env")
LOCK = Path("/scratch/clone/requirements.lock")
NO_SANDBOX = Sandbox(FOLDER.parent, FOLDER / "bin", FOLDER.parent)


def test_a_revision_without_a_lock_is_refused(tmp_path):
    expected = (
        r"the root of this project has no requirements\.lock, .* uv\.lock, .* or pixi\.lock; .* --env current"
    )
    with pytest.raises(CannotTryError, match=expected):
        find_lock(tmp_path, [])


def reading(project: Path, *names: str) -> list[Stage]:
    """A pipeline whose one stage depends on these files."""
    return [Stage("make", ".", "true", deps=names)]


BOTH = ["requirements.lock", "conda-lock.yml"]


@pytest.mark.parametrize(
    ("present", "declared", "expected"),
    [
        (["requirements.lock"], [], "requirements.lock"),
        (["requirements.lock"], ["conda-lock.yml"], "requirements.lock"),
        (["conda-lock.yml"], [], "conda-lock.yml"),
        (BOTH, ["conda-lock.yml"], "conda-lock.yml"),
        (BOTH, ["requirements.lock"], "requirements.lock"),
        (BOTH, [], "requirements.lock"),
        (BOTH, BOTH, "requirements.lock"),
        (["uv.lock"], [], "uv.lock"),
        (["uv.lock", "pylock.toml"], [], "uv.lock"),
        (["uv.lock", "pylock.toml"], ["pylock.toml"], "pylock.toml"),
        (["pixi.lock"], [], "pixi.lock"),
        (["pixi.lock", "uv.lock", "requirements.lock"], [], "requirements.lock"),
        (["pixi.lock", "requirements.lock"], ["pixi.lock"], "pixi.lock"),
    ],
)
def test_the_lock_is_the_one_that_is_there_and_of_several_the_one_that_stages_declare(
    tmp_path, present, declared, expected
):
    for name in present:
        (tmp_path / name).write_text("")
    assert find_lock(tmp_path, reading(tmp_path, *declared)).name == expected


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
        "CONDA_SUBDIR",
        "CONDA_SAFETY_CHECKS",
        "MAMBA_ALWAYS_SOFTLINK",
    ],
)
def test_a_variable_that_redirects_or_changes_an_installation_is_dropped(name):
    assert installer_variables({name: "1"}, FOLDER).get(name) in (None, str(FOLDER))


@pytest.mark.parametrize(
    "name",
    [
        "UV_INDEX_URL",
        "UV_CACHE_DIR",
        "UV_OFFLINE",
        "PIP_INDEX_URL",
        "PIP_CERT",
        "CONDARC",
        "CONDA_PKGS_DIRS",
        "MAMBA_ROOT_PREFIX",
        "HTTPS_PROXY",
        "HOME",
    ],
)
def test_a_variable_that_says_where_packages_come_from_is_kept(name):
    assert installer_variables({name: "value"}, FOLDER)[name] == "value"


def test_the_virtual_environment_is_the_one_to_build():
    assert installer_variables({"VIRTUAL_ENV": "/users/own"}, FOLDER)["VIRTUAL_ENV"] == str(FOLDER)


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """An environment without packages, and a uv that installs none and notes its variables."""
    uv = tmp_path / "uv"
    uv.write_text(f"#!/bin/sh\nenv >> {tmp_path}/variables\n")
    uv.chmod(0o755)
    folder = tmp_path / "env"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/python").symlink_to(sys.executable)
    (folder / "lib").mkdir()
    (tmp_path / "requirements.lock").write_text("")
    monkeypatch.setattr("shutil.which", lambda name, path: str(uv))
    return folder


def test_uv_runs_without_variables_that_redirect_it(environment, tmp_path, monkeypatch):
    monkeypatch.setenv("UV_SYSTEM_PYTHON", "1")
    build_environment(HashedLock(), tmp_path, environment, NO_SANDBOX)
    assert "UV_SYSTEM_PYTHON" not in (tmp_path / "variables").read_text()


def test_a_package_may_hold_a_file_that_cannot_be_compiled(environment, tmp_path):
    (environment / "lib/template.py").write_text("import {{ package }}\n")
    (environment / "lib/module.py").write_text("")
    build_environment(HashedLock(), tmp_path, environment, NO_SANDBOX)
    assert [file.name.split(".")[0] for file in environment.glob("lib/__pycache__/*.pyc")] == ["module"]


@pytest.mark.parametrize("uv", ["/usr/bin/uv", None])
def test_the_lock_is_all_that_is_installed(uv):
    fill = install_command(FOLDER, LOCK, uv, None)
    assert [part for part in fill if part.endswith(".lock")] == [str(LOCK)]


@pytest.mark.parametrize("uv", ["/usr/bin/uv", None])
def test_every_package_is_checked_against_its_hash(uv):
    assert "--require-hashes" in install_command(FOLDER, LOCK, uv, None)


@pytest.mark.parametrize("uv", ["/usr/bin/uv", None])
def test_with_wheels_no_index_is_asked(uv):
    fill = install_command(FOLDER, LOCK, uv, Path("/archive/wheels"))
    assert "--no-index" in fill
    assert fill[fill.index("--find-links") + 1] == "/archive/wheels"


def test_uv_is_told_which_environment_to_fill():
    fill = install_command(FOLDER, LOCK, "uv", None)
    assert fill[fill.index("--python") + 1] == str(FOLDER)


def test_pip_is_that_of_the_environment_to_fill():
    assert install_command(FOLDER, LOCK, None, None)[:3] == [f"{FOLDER}/bin/python", "-m", "pip"]


@pytest.mark.parametrize(("uv", "python"), [("uv", "3.13"), (None, "python3.13")])
def test_the_recorded_python_is_used(uv, python):
    assert python in venv_step(FOLDER, "3.13", uv).command


@pytest.mark.parametrize("uv", ["uv", None])
def test_the_running_python_is_used_where_no_other_is_recorded(uv):
    assert sys.executable in venv_step(FOLDER, None, uv).command


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
        build_environment(HashedLock("2.0"), tmp_path, tmp_path / "env", NO_SANDBOX)


def test_no_package_of_a_lock_is_built():
    lock = (
        "six==1.17.0 \\\n    --hash=sha256:ab \\\n    --hash=sha256:cd\nnumpy==2.4.6 ; python_version > '3'\n"
    )
    assert only_binary_options(lock) == ["--only-binary", "six", "--only-binary", "numpy"]


def test_the_source_package_that_dvc_needs_may_be_built():
    (name,) = KNOWN_SOURCES
    assert only_binary_options(f"{name}==4.9.3 \\\n    --hash={KNOWN_SOURCES[name]}\n") == []


def test_another_file_of_that_name_is_not_built():
    (name,) = KNOWN_SOURCES
    lock = f"{name}==4.9.3 \\\n    --hash={KNOWN_SOURCES[name]} \\\n    --hash=sha256:ab\n"
    assert only_binary_options(lock) == ["--only-binary", name]


def test_an_isolated_installer_gets_no_secrets_of_other_programs():
    variables = isolated_variables(
        {"AWS_SECRET_ACCESS_KEY": "s", "HOME": "/users/ada"}, FOLDER, Path("/work")
    )
    assert "AWS_SECRET_ACCESS_KEY" not in variables
    assert variables["HOME"] == "/work"


@pytest.mark.parametrize("name", ["UV_DEFAULT_INDEX", "PIP_INDEX_URL", "https_proxy", "SSL_CERT_FILE"])
def test_an_isolated_installer_knows_where_packages_come_from(name):
    assert isolated_variables({name: "there"}, FOLDER, Path("/work"))[name] == "there"


def test_an_isolated_installer_does_not_use_the_cache_of_the_user():
    assert "UV_CACHE_DIR" not in isolated_variables({"UV_CACHE_DIR": "/cache"}, FOLDER, Path("/work"))


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
