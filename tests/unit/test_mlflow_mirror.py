"""A mirror that finds nothing to do, in a database made by hand: it needs no MLflow."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from tiny_git import commit

from locatable.errors import GitError
from locatable.mlflow.known import runs_in_file
from locatable.mlflow.mirror import MirrorOptions, MirrorResult, mirror
from locatable.mlflow.settings import TrackingSettings
from locatable.repository.reader import Reader

LOCK = "schema: '2.0'\nstages:\n  train:\n    cmd: python train.py\n"
TABLES = """
create table experiments (experiment_id integer, name text);
create table runs (run_uuid text, status text, experiment_id integer, lifecycle_stage text);
create table tags (run_uuid text, key text, value text);
insert into experiments values (1, 'ours'), (2, 'theirs');
"""


def store(folder: Path, runs: dict[str, dict[str, str]], experiment: int = 1, stage: str = "active") -> None:
    """Runs with these tags, by id, in a database as MLflow has it."""
    with closing(sqlite3.connect(folder / "mlflow.db")) as database:
        database.executescript(TABLES)
        for run_id, tags in runs.items():
            database.execute("insert into runs values (?, 'FINISHED', ?, ?)", (run_id, experiment, stage))
            for key, value in tags.items():
                database.execute("insert into tags values (?, ?, ?)", (run_id, key, value))
        database.commit()


def settings(folder: Path) -> TrackingSettings:
    return TrackingSettings(f"sqlite:///{folder}/mlflow.db", "ours", folder / "mlartifacts")


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository with results, and a store with the run of its only commit."""
    rev = commit(tmp_path / "repo", {".dvc/config": "", "dvc.lock": LOCK})
    tags = {"mirror.state": "complete", "dvc.rev": rev, "mlflow.runName": f"baseline {rev[:7]}"}
    store(tmp_path / "repo", {"1": tags})
    return tmp_path / "repo"


def test_nothing_new_is_told(repo: Path) -> None:
    with Reader(repo) as reader:
        assert mirror(reader, settings(repo), MirrorOptions()) == MirrorResult(present=1)


def test_nothing_to_prune_is_told(repo: Path) -> None:
    with Reader(repo) as reader:
        assert mirror(reader, settings(repo), MirrorOptions(prune=True)).pruned == 0


def test_commits_without_results_need_no_run(repo: Path) -> None:
    (repo / "dvc.lock").unlink()
    commit(repo, {})
    with Reader(repo) as reader:
        assert mirror(reader, settings(repo), MirrorOptions(all_commits=True)) == MirrorResult(present=1)


def test_mlflow_is_not_imported(repo: Path) -> None:
    code = (
        "import sys; sys.modules['mlflow'] = None; from locatable.cli import main; "
        "sys.exit(main(['mirror', '--experiment', 'ours']))"
    )
    source = str(Path(__file__).parents[2] / "src")
    done = subprocess.run(
        (sys.executable, "-c", code),
        cwd=repo,
        env={"PYTHONPATH": source, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("mirrored 0 new, 1 already there, 0 failed\n", "")


def test_an_error_of_git_is_told_without_mlflow(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise GitError("git rev-list: it ended")

    monkeypatch.setattr("locatable.mlflow.mirror.gone_revisions", fail)
    monkeypatch.setitem(sys.modules, "locatable.mlflow.store", None)
    with Reader(repo) as reader, pytest.raises(GitError, match="it ended"):
        mirror(reader, settings(repo), MirrorOptions(prune=True))


def test_runs_of_another_experiment_are_not_ours(tmp_path: Path) -> None:
    store(tmp_path, {"1": {"mirror.state": "complete", "dvc.rev": "aaa"}}, experiment=2)
    assert runs_in_file(settings(tmp_path)) == {}


def test_deleted_runs_are_not_there(tmp_path: Path) -> None:
    store(tmp_path, {"1": {"mirror.state": "complete", "dvc.rev": "aaa"}}, stage="deleted")
    assert runs_in_file(settings(tmp_path)) == {}


def test_a_database_that_is_not_there_yet_tells_nothing(tmp_path: Path) -> None:
    assert runs_in_file(settings(tmp_path)) is None


def test_a_file_that_is_no_database_tells_nothing(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("a,b\n")
    assert runs_in_file(settings(tmp_path)) is None


def test_a_database_with_other_tables_than_mlflow_makes_tells_nothing(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        database.execute("create table runs (id text, experiment text)")
    assert runs_in_file(settings(tmp_path)) is None


@pytest.mark.parametrize(("number", "found"), [("1", ["aaa"]), ("2", []), ("abc", [])])
def test_runs_are_found_by_the_id_of_their_experiment(tmp_path: Path, number: str, found: list[str]) -> None:
    store(tmp_path, {"1": {"mirror.state": "complete", "dvc.rev": "aaa"}})
    by_id = TrackingSettings(settings(tmp_path).uri, None, tmp_path, experiment_id=number)
    assert list(runs_in_file(by_id) or {}) == found


def test_a_server_is_asked_through_mlflow(tmp_path: Path) -> None:
    assert runs_in_file(TrackingSettings("http://host", "ours", tmp_path)) is None


def test_a_database_with_workspaces_is_asked_through_mlflow(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_WORKSPACE", "team")
    assert runs_in_file(settings(repo)) is None
