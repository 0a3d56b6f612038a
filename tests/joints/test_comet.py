# /// script
# dependencies = ["comet-ml==3.58.8"]
#
# [tool.joint]
# question = "Tracking"
# tool = "Comet"
# joint = "examples/trackers/comet_experiments.py"
# ///
"""Comet: what the example writes, as `comet upload` unpacks it."""

import json
from pathlib import Path
from typing import Any

import comet_ml
import pytest
import tracked
from comet_ml.offline import unzip_offline_archive

EXAMPLE = "comet_experiments"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("comet") / "repo"


@pytest.fixture(scope="module")
def rev(root: Path) -> str:
    """The commit of a repository, mirrored."""
    commit = tracked.repository(root)
    assert tracked.mirror(root, EXAMPLE, "team/project") == [f"wrote baseline {commit[:7]}"]
    return commit


@pytest.fixture(scope="module")
def folder(root: Path, rev: str) -> Path:
    """The archive of the only experiment, unpacked."""
    (archive,) = (root / ".cometml-runs").glob("*.zip")
    assert archive.stem == rev
    return Path(unzip_offline_archive(str(archive)))


@pytest.fixture(scope="module")
def experiment(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "experiment.json").read_text())


@pytest.fixture(scope="module")
def messages(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "messages.json").read_text().splitlines()
    return [json.loads(line)["payload"] for line in lines]


@pytest.fixture(scope="module")
def params(messages: list[dict[str, Any]]) -> dict[str, Any]:
    found = [message["param"] for message in messages if "param" in message]
    return {param["paramName"]: param["paramValue"] for param in found}


@pytest.fixture(scope="module")
def others(messages: list[dict[str, Any]]) -> dict[str, Any]:
    return {message["key"]: message["value"] for message in messages if "key" in message}


@pytest.fixture(scope="module")
def assets(messages: list[dict[str, Any]], folder: Path) -> dict[str, bytes]:
    """Content by name."""
    found = [message for message in messages if "file_path" in message]
    return {
        asset["additional_params"]["fileName"]: (folder / asset["file_path"]).read_bytes() for asset in found
    }


def values(messages: list[dict[str, Any]], name: str) -> list[tuple[int, Any]]:
    """Steps and values of a metric."""
    metrics = [message["metric"] for message in messages if "metric" in message]
    return [(metric["step"], metric["metricValue"]) for metric in metrics if metric["metricName"] == name]


def test_metrics_have_each_of_their_values(messages: list[dict[str, Any]]) -> None:
    assert values(messages, "train/loss") == [(0, 0.5), (1, 0.25), (2, "NaN")]
    assert values(messages, "acc") == [(0, 0.75)]


def test_params_have_their_types_and_what_no_float_holds_is_text(params: dict[str, Any]) -> None:
    assert (params["rate"], params["on"], params["layers"]) == (0.1, True, "[3, 4]")
    assert params["exact"] == "123456789012345678901"


def test_an_experiment_says_where_it_came_from(
    experiment: dict[str, Any], others: dict[str, Any], assets: dict[str, bytes], rev: str, root: Path
) -> None:
    assert (experiment["offline_id"], others["dvc.rev"]) == (rev, rev)
    assert others["dataset raw.csv"] == tracked.data_hash(root)
    assert assets["params.yaml"].decode() == tracked.PARAMS
    assert b"dvc repro" in assets["note.md"]


def test_it_goes_to_the_project_that_was_asked_for(experiment: dict[str, Any]) -> None:
    assert (experiment["workspace"], experiment["project_name"]) == ("team", "project")


def test_no_name_is_cut_and_a_long_one_is_told_with_its_own(
    messages: list[dict[str, Any]], assets: dict[str, bytes]
) -> None:
    assert "truncated" not in json.dumps(messages)
    assert b"x" * 300 in assets["mirror/kept.json"]


@pytest.mark.usefixtures("rev")
def test_mirroring_again_adds_nothing(root: Path) -> None:
    before = tracked.files(root / ".cometml-runs")
    assert tracked.mirror(root, EXAMPLE, "team/project") == []
    assert tracked.files(root / ".cometml-runs") == before


@pytest.mark.usefixtures("rev")
def test_an_interrupted_mirror_leaves_nothing_that_counts(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example, run = tracked.load(EXAMPLE), tracked.only_run(root)
    monkeypatch.setattr(comet_ml.OfflineExperiment, "log_metric", tracked.interrupt)
    monkeypatch.setattr(example, "FOLDER", tmp_path)
    with pytest.raises(KeyboardInterrupt):
        example.write(run, "", "project")
    assert example.known() == set()
    assert list(tmp_path.iterdir()) == []
