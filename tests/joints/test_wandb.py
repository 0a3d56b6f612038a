# /// script
# dependencies = ["wandb==0.31.0"]
#
# [tool.joint]
# question = "Tracking"
# tool = "W&B"
# joint = "examples/trackers/wandb_runs.py"
# ///
"""W&B: what the example writes, as `wandb leet inspect` reads it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tracked
import wandb

EXAMPLE = "wandb_runs"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("wandb") / "repo"


@pytest.fixture(scope="module")
def rev(root: Path) -> str:
    """The commit of a repository, mirrored."""
    commit = tracked.repository(root)
    assert tracked.mirror(root, EXAMPLE, "team/project") == [f"wrote baseline {commit[:7]}"]
    return commit


@pytest.fixture(scope="module")
def folder(root: Path, rev: str) -> Path:
    """The folder of the only run."""
    (found,) = (root / "wandb").glob(f"offline-run-*-{rev}")
    return found


@pytest.fixture(scope="module")
def records(folder: Path) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def run(records: list[dict[str, Any]]) -> dict[str, Any]:
    (found,) = (record["run"] for record in records if record["type"] == "run")
    return found


def history(records: list[dict[str, Any]], key: str) -> list[tuple[int, Any]]:
    """Steps and values of a key."""
    items = [record["history"]["item"] for record in records if record["type"] == "history"]
    return [(item["_step"], item[key]) for item in items if key in item]


def test_metrics_have_each_of_their_values(records: list[dict[str, Any]]) -> None:
    assert history(records, "train/loss") == [(0, 0.5), (1, 0.25), (2, "NaN")]
    assert history(records, "acc") == [(0, 0.75)]


def test_params_are_its_config_and_what_no_float_holds_is_text(run: dict[str, Any]) -> None:
    config = run["config"]["update"]
    assert (config["rate"], config["on"], config["layers"]) == (0.1, True, "[3, 4]")
    assert config["exact"] == "123456789012345678901"


def test_a_run_says_where_it_came_from(run: dict[str, Any], rev: str, root: Path, folder: Path) -> None:
    noted = run["config"]["update"]["locatable"]
    assert (run["run_id"], noted["tags"]["dvc.rev"]) == (rev, rev)
    assert noted["inputs"]["dataset raw.csv"] == tracked.data_hash(root)
    assert "dvc repro" in run["notes"]
    assert (folder / "files/params.yaml").read_text() == tracked.PARAMS


def test_it_goes_to_the_project_that_was_asked_for(run: dict[str, Any]) -> None:
    assert (run["entity"], run["project"]) == ("team", "project")


def test_a_name_that_is_too_long_is_told_with_its_own(folder: Path) -> None:
    assert "x" * 300 in (folder / "files/mirror/kept.json").read_text()


def test_the_run_has_ended_well(records: list[dict[str, Any]]) -> None:
    assert records[-1]["exit"]["exit_code"] == 0


@pytest.mark.usefixtures("rev")
def test_mirroring_again_adds_nothing(root: Path) -> None:
    before = tracked.files(root / "wandb")
    assert tracked.mirror(root, EXAMPLE, "team/project") == []
    assert tracked.files(root / "wandb") == before


@pytest.mark.usefixtures("rev")
def test_an_interrupted_mirror_leaves_nothing_that_counts(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example, run = tracked.load(EXAMPLE), tracked.only_run(root)
    monkeypatch.setattr(wandb.Run, "log", tracked.interrupt)
    monkeypatch.setattr(example, "FOLDER", tmp_path)
    with pytest.raises(KeyboardInterrupt):
        example.write(run, "", "project")
    assert example.known() == set()
    assert list(tmp_path.iterdir()) == []
