"""Where a project's runs are."""

from pathlib import Path
from typing import Any

import pytest
from tiny_git import commit, git

from locatable.errors import SettingsError
from locatable.mlflow.settings import is_server, read_settings, read_uri


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a commit."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    commit(tmp_path / "repo", {".dvc/config": ""})
    return tmp_path / "repo"


def test_the_store_is_a_file_of_the_project_by_default(repo: Path) -> None:
    assert read_settings(repo).uri == f"sqlite:///{repo}/mlflow.db"


def name_store(repo: Path, uri: str) -> None:
    (repo / "pyproject.toml").write_text(f'[tool.locatable]\nmlflow-tracking-uri = "{uri}"\n')


def test_pyproject_names_a_database_of_the_project(repo: Path) -> None:
    name_store(repo, "sqlite:///runs/all.db")
    assert read_settings(repo).uri == f"sqlite:///{repo}/runs/all.db"


ELSEWHERE = [
    *("http://host:5000", "https://ada:secret@host", "postgresql://host/db", "databricks://profile"),
    *("sqlite:////home/ada/mlflow.db", "sqlite:///../mlflow.db", "sqlite:///%2e%2e/mlflow.db"),
]


@pytest.mark.parametrize("uri", ELSEWHERE)
def test_a_repository_cannot_have_credentials_sent_to_a_store(repo: Path, uri: str) -> None:
    name_store(repo, uri)
    with pytest.raises(SettingsError, match="would send your credentials there") as caught:
        read_settings(repo)
    assert "--tracking-uri" in (caught.value.hint or "")


@pytest.mark.parametrize("uri", ELSEWHERE)
def test_a_store_that_the_user_has_named_once_can_be_named_by_a_repository(repo: Path, uri: str) -> None:
    name_store(repo, uri)
    assert read_uri(repo, uri) == read_uri(repo)


def test_a_store_on_a_named_server_is_trusted_whatever_its_path(repo: Path) -> None:
    read_uri(repo, "https://host/a")
    name_store(repo, "https://host/b")
    assert read_uri(repo) == "https://host/b"


@pytest.mark.parametrize("uri", ["http://host", "https://host:444", "https://host.evil", "https://host@evil"])
def test_no_other_server_is_trusted_with_a_named_one(repo: Path, uri: str) -> None:
    read_uri(repo, "https://host")
    name_store(repo, uri)
    with pytest.raises(SettingsError):
        read_uri(repo)


def test_a_store_is_trusted_where_nothing_can_be_remembered(repo: Path, tmp_path: Path) -> None:
    (tmp_path / "config").write_text("a file, in which no file can be made")
    assert read_uri(repo, "https://host") == "https://host"


NAMED = {"MLFLOW_EXPERIMENT_NAME": "mine"}
NUMBERED = {"MLFLOW_EXPERIMENT_ID": "7"}
# The project's name, variables, the argument, and the experiment's name and id.
EXPERIMENTS: dict[str, tuple[str, dict[str, str], str | None, str | None, str | None]] = {
    "the folder by default": ("", {}, None, "repo", None),
    "the project": ("tumours", {}, None, "tumours", None),
    "a variable before the project": ("tumours", NAMED, None, "mine", None),
    "an argument before a variable": ("", NAMED, "asked", "asked", None),
    "an id": ("", NUMBERED, None, None, "7"),
    "both a name and an id": ("", {**NAMED, **NUMBERED}, None, "mine", "7"),
    "an argument before an id": ("", NUMBERED, "asked", "asked", None),
    "any name that a database holds": ("", {}, "größe: 7/x", "größe: 7/x", None),
}


@pytest.mark.parametrize(
    ("project", "variables", "argument", "name", "number"), EXPERIMENTS.values(), ids=EXPERIMENTS
)
def test_what_names_the_experiment(
    repo: Path,
    monkeypatch: pytest.MonkeyPatch,
    project: str,
    variables: Any,
    argument: Any,
    name: Any,
    number: Any,
) -> None:
    if project:
        (repo / "pyproject.toml").write_text(f'[project]\nname = "{project}"\n')
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    settings = read_settings(repo, experiment=argument)
    found = (settings.experiment, settings.experiment_id, settings.refused_name)
    assert found == (name, number, None)


def test_an_address_is_that_of_the_argument_or_else_of_mlflow_s_variable(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name_store(repo, "sqlite:///runs/all.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://other")
    assert read_settings(repo).uri == "http://other"
    assert read_settings(repo, "http://asked").uri == "http://asked"


def test_a_run_to_go_on_with_is_refused_by_name(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_RUN_ID", "abc")
    with pytest.raises(SettingsError, match="MLFLOW_RUN_ID is set"):
        read_settings(repo)


def test_a_name_that_no_database_holds_is_cut_and_kept(repo: Path) -> None:
    settings = read_settings(repo, experiment="x" * 600)
    assert settings.experiment
    assert len(settings.experiment) <= 256
    assert settings.refused_name == "x" * 600


def test_a_relative_file_is_one_of_the_main_checkout(repo: Path) -> None:
    git(repo, "worktree", "add", "--quiet", "../tree")
    assert read_uri(repo.parent / "tree", "sqlite:///runs.db") == f"sqlite:///{repo}/runs.db"


def test_artifacts_of_a_worktree_are_those_of_the_main_checkout(repo: Path) -> None:
    git(repo, "worktree", "add", "--quiet", "../tree")
    assert read_settings(repo.parent / "tree").artifacts == repo / "mlartifacts"


@pytest.mark.parametrize("uri", ["sqlite:////data/runs.db", "http://host", "postgresql://host/db"])
def test_other_addresses_stay_as_they_are(repo: Path, uri: str) -> None:
    assert read_uri(repo, uri) == uri


@pytest.mark.parametrize("text", ["[tool.locatable", "[tool.locatable]\nmlflow-tracking-uri = 1\n"])
def test_a_wrong_pyproject_is_named(repo: Path, text: str) -> None:
    (repo / "pyproject.toml").write_text(text)
    with pytest.raises(SettingsError, match=r"pyproject\.toml"):
        read_uri(repo)


@pytest.mark.parametrize(("uri", "served"), [("https://host", True), ("sqlite:///a.db", False)])
def test_a_server_answers_over_http(uri: str, served: bool) -> None:
    assert is_server(uri) == served
