"""A real MLflow store in a folder with an odd name, and odd names of what is mirrored there."""

from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import tiny_dvc
from mlflow import MlflowClient

from locatable.errors import SettingsError
from locatable.mlflow.mirror import MirrorOptions, mirror
from locatable.mlflow.settings import TrackingSettings, read_settings
from locatable.mlflow.store import connect
from locatable.repository.reader import Reader

PIPELINE = """stages:
  make:
    cmd: echo w > a.bin && echo v > b.bin && echo u > c.bin && echo 1 > 'm%23?.json'
    outs: [a.bin, b.bin, c.bin]
    metrics: ['m%23?.json': {cache: false}]
artifacts:
  text/bert-base: {path: a.bin, type: model}
  text_bert-base: {path: b.bin, type: model}
  "größe: 7": {path: c.bin, type: model}
"""
MODELS = {"a.bin": "text/bert-base", "b.bin": "text_bert-base", "c.bin": "größe: 7"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with results, in a folder whose name means something in an address."""
    folder = tmp_path_factory.mktemp("store") / "what? #1 100% größe"
    tiny_dvc.with_results(folder, {"dvc.yaml": PIPELINE})
    return folder


@pytest.fixture(scope="module")
def settings(root: Path) -> TrackingSettings:
    return read_settings(root, experiment="x" * 600)


@pytest.fixture(scope="module")
def mirrored(root: Path, settings: TrackingSettings) -> Any:
    """What two mirrors say, and the client of their store."""
    with Reader(root) as reader:
        first = mirror(reader, settings, MirrorOptions()).summary
        second = mirror(reader, settings, MirrorOptions()).summary
    return SimpleNamespace(first=first, second=second, client=MlflowClient(settings.uri))


@pytest.fixture
def experiment(mirrored: Any, settings: TrackingSettings) -> Any:
    return mirrored.client.get_experiment_by_name(settings.experiment)


def test_a_run_whose_names_mlflow_refuses_is_mirrored(mirrored: Any) -> None:
    assert mirrored.first == "mirrored 1 new, 0 already there, 0 failed"


def test_it_is_not_new_the_second_time(mirrored: Any) -> None:
    assert mirrored.second == "mirrored 0 new, 1 already there, 0 failed"


def test_the_database_is_in_the_folder_and_nowhere_else(mirrored: Any, root: Path) -> None:
    assert (root / "mlflow.db").is_file()
    assert [path.name for path in root.parent.iterdir() if path.name != "site"] == [root.name]


def test_a_terminal_is_told_that_the_database_is_created(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", terminal)
    settings = TrackingSettings(f"sqlite:///{tmp_path}/mlflow.db", "a", tmp_path)
    connect(settings)
    connect(settings)
    assert terminal.getvalue().count("creating mlflow.db") == 1


def test_each_model_has_its_own_name_in_a_tag_where_mlflow_has_another(
    mirrored: Any, experiment: Any
) -> None:
    names = {}
    for model in mirrored.client.search_logged_models([experiment.experiment_id]):
        names[model.tags["dvc.path"]] = model.tags.get("dvc.name", model.name)
    assert names == MODELS


def test_no_two_models_have_one_name(mirrored: Any, experiment: Any) -> None:
    models = mirrored.client.search_logged_models([experiment.experiment_id])
    assert len({model.name for model in models}) == 3


def test_an_artifact_with_an_odd_name_can_be_read(mirrored: Any, experiment: Any, tmp_path: Path) -> None:
    (run,) = mirrored.client.search_runs([experiment.experiment_id])
    file = mirrored.client.download_artifacts(run.info.run_id, "m~2523~3f.json", str(tmp_path))
    assert Path(file).read_text() == "1\n"


def again(root: Path, settings: TrackingSettings) -> str:
    with Reader(root) as reader:
        return mirror(reader, settings, MirrorOptions()).summary


@pytest.fixture
def interrupted(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Settings of a store with one run, whose mirror was killed before its last call of MLflow."""
    settings = TrackingSettings(f"sqlite:///{tmp_path}/mlflow.db", "ours", tmp_path / "artifacts")
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_terminated", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            again(root, settings)
    return settings


def only_run(settings: TrackingSettings) -> Any:
    client = MlflowClient(settings.uri)
    (run,) = client.search_runs([client.get_experiment_by_name(settings.experiment).experiment_id])
    return run


def test_a_run_of_a_killed_mirror_still_runs_and_is_completed_by_the_next(
    interrupted: TrackingSettings, root: Path
) -> None:
    assert only_run(interrupted).info.status == "RUNNING"
    assert again(root, interrupted) == "mirrored 1 new, 0 already there, 0 failed"
    assert only_run(interrupted).info.status == "FINISHED"


def test_what_a_killed_mirror_of_the_first_release_left_is_completed(
    interrupted: TrackingSettings, root: Path
) -> None:
    client, run_id = MlflowClient(interrupted.uri), only_run(interrupted).info.run_id
    # It ended the run first, and said last in a tag that it is complete.
    client.set_tag(run_id, "mirror.state", "begun")
    client.set_terminated(run_id, "FINISHED")
    again(root, interrupted)
    assert only_run(interrupted).data.tags["mirror.state"] == "complete"


def test_an_experiment_whose_name_is_too_long_has_it_in_a_tag(experiment: Any) -> None:
    assert experiment.tags["mirror.experiment"] == "x" * 600


def test_an_experiment_is_found_by_its_id(
    root: Path, experiment: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", experiment.experiment_id)
    with Reader(root) as reader:
        result = mirror(reader, read_settings(root), MirrorOptions())
    assert result.summary == "mirrored 0 new, 1 already there, 0 failed"


@pytest.mark.parametrize("number", ["999", "abc"])
@pytest.mark.usefixtures("mirrored")
def test_an_id_that_no_experiment_has_is_refused_by_name(
    root: Path, monkeypatch: pytest.MonkeyPatch, number: str
) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", number)
    with pytest.raises(SettingsError, match=f"MLFLOW_EXPERIMENT_ID is {number}"):
        connect(read_settings(root))


@pytest.mark.usefixtures("mirrored")
def test_an_id_of_another_experiment_than_the_named_one_is_refused(
    root: Path, experiment: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "Default")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", experiment.experiment_id)
    with pytest.raises(SettingsError, match="has the id 0"):
        connect(read_settings(root))
