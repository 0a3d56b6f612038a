"""Addresses of SQLite files: SQLAlchemy opens the file that is meant."""

from pathlib import Path

import pytest
from mlflow.store.db.utils import _make_parent_dirs_if_sqlite
from optuna.storages import RDBStorage
from sqlalchemy import create_engine, make_url, text

from locatable.addresses import absolute_url, sqlite_file, sqlite_url

FOLDERS = ["plain", "runs #2", "100% sure", "what?", "größe é", "{x}", "a%3Fb", "a&b=c;d", "what? {x} 100%"]


@pytest.mark.parametrize("name", FOLDERS)
def test_sqlalchemy_opens_that_file_and_no_other(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with create_engine(sqlite_url(tmp_path / name / "a.db")).begin() as connection:
        connection.execute(text("create table t (x integer)"))
    assert [file.relative_to(tmp_path) for file in tmp_path.rglob("*.db")] == [Path(name) / "a.db"]
    assert len(list(tmp_path.iterdir())) == 1


def test_optuna_opens_that_file_and_no_other(tmp_path: Path) -> None:
    folder = tmp_path / "what? {x} 100%"
    folder.mkdir()
    RDBStorage(sqlite_url(folder / "a.db"))
    assert [*tmp_path.iterdir(), *folder.iterdir()] == [folder, folder / "a.db"]


@pytest.mark.parametrize("name", FOLDERS)
def test_the_file_of_an_address_is_the_one_that_it_was_made_of(name: str) -> None:
    file = Path("/data") / name / "a.db"
    assert sqlite_file(sqlite_url(file)) == file


def test_an_address_is_plain_where_it_can_be() -> None:
    assert sqlite_url(Path("/data/a b.db")) == "sqlite:////data/a b.db"


@pytest.mark.parametrize("url", ["postgresql://host/db", "sqlite://", "sqlite:///:memory:", "http://host"])
def test_other_databases_have_no_file(url: str) -> None:
    assert sqlite_file(url) is None


def test_options_of_an_address_are_no_part_of_the_file() -> None:
    assert sqlite_file("sqlite:////data/a.db?timeout=5") == Path("/data/a.db")


@pytest.mark.parametrize(
    ("url", "absolute"),
    [
        ("sqlite:///a.db", "sqlite:////data/a.db"),
        ("sqlite:///a.db?timeout=5", "sqlite:////data/a.db?timeout=5"),
        ("sqlite:///file:a.db?uri=true&mode=ro", "sqlite:////data/a.db?mode=ro"),
        ("sqlite:////other/a.db", "sqlite:////other/a.db"),
        ("postgresql://host/db", "postgresql://host/db"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
    ],
)
def test_a_relative_file_is_one_of_the_folder(url: str, absolute: str) -> None:
    assert absolute_url(url, Path("/data")) == absolute


def test_options_stay_where_the_folder_has_a_question_mark() -> None:
    url = absolute_url("sqlite:///a.db?timeout=5", Path("/what?"))
    assert sqlite_file(url) == Path("/what?/a.db")
    assert make_url(url).query["timeout"] == "5"


def test_mlflow_makes_no_folder_of_another_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "what? 100%").mkdir()
    _make_parent_dirs_if_sqlite(sqlite_url(tmp_path / "what? 100%" / "a.db"))
    assert [path.name for path in tmp_path.rglob("*")] == ["what? 100%"]
