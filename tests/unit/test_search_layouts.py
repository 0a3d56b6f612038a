"""Trials in repositories whose metric or params are not of a stage of the root's pipeline."""

import json
import sys
from pathlib import Path
from shlex import quote

import pytest
import tiny_dvc
import tiny_git
from tiny_proof import clone_of

from locatable.clones.trial_clone import read_project
from locatable.errors import ProjectError, SettingsError
from locatable.search.settings import check, load

SQUARE = """
import yaml
x = yaml.safe_load(open("params.yaml"))["x"]
open("m.yaml", "w").write(f"m: {x * x}\\n")
"""
STAGE = {
    "cmd": f"{quote(sys.executable)} make.py",
    "deps": ["make.py"],
    "params": ["x"],
    "metrics": [{"m.yaml": {"cache": False}}],
}


@pytest.fixture(autouse=True)
def _identity(tmp_path, monkeypatch):
    tiny_git.identify(tmp_path, monkeypatch)


def repository(tmp_path: Path, pipelines: dict[str, object], files: dict[str, str]) -> Path:
    """A DVC repository with these pipelines, by folder, after they all ran."""
    definitions = {f"{place}/dvc.yaml": json.dumps(pipeline) for place, pipeline in pipelines.items()}
    tiny_dvc.with_results(tmp_path / "project", files | definitions)
    return tmp_path / "project"


def settings_error(folder: Path, metric: str, key: str) -> str | None:
    """What is wrong with a search.yaml of this metric and param, None if nothing is."""
    space = {key: {"type": "int", "low": 1, "high": 9}}
    search = {"study": "s", "metric": metric, "direction": "minimize", "space": space}
    (folder / "search.yaml").write_text(json.dumps(search))
    try:
        check(load(folder / "search.yaml"), read_project(folder))
    except SettingsError as error:
        return error.message
    return None


ROOT = {"stages": {"first": {"cmd": "echo 1 > one.txt", "outs": ["one.txt"]}}}


@pytest.mark.parametrize(
    "pipelines", [{"b": {"stages": {"make": STAGE}}}, {".": ROOT, "b": {"stages": {"make": STAGE}}}]
)
def test_a_trial_runs_the_pipeline_of_its_metric(tmp_path, pipelines):
    folder = repository(tmp_path, pipelines, {"b/params.yaml": "x: 3\n", "b/make.py": SQUARE})
    clone = clone_of(folder)
    rev = clone.run("s-0", {"b/params.yaml:x": 4}, ["b/m.yaml"])
    assert clone.read(rev, "b/m.yaml:m") == 16


def test_params_that_a_pipeline_only_reads_can_be_searched(tmp_path):
    stage = {**STAGE, "deps": ["make.py", "params.yaml"]}
    del stage["params"]
    folder = repository(
        tmp_path, {".": {"stages": {"make": stage}}}, {"params.yaml": "x: 3\n", "make.py": SQUARE}
    )
    assert settings_error(folder, "m.yaml:m", "x") is None
    clone = clone_of(folder)
    assert clone.read(clone.run("s-0", {"x": 5}, ["m.yaml"]), "m.yaml:m") == 25


def test_params_that_are_only_templated_can_be_searched(tmp_path):
    stage = {"cmd": "echo 'm: ${x}' > m.yaml", "metrics": [{"m.yaml": {"cache": False}}]}
    folder = repository(tmp_path, {".": {"stages": {"make": stage}}}, {"params.yaml": "x: 3\n"})
    assert settings_error(folder, "m.yaml:m", "x") is None
    clone = clone_of(folder)
    assert clone.read(clone.run("s-0", {"x": 5}, ["m.yaml"]), "m.yaml:m") == 5


def test_params_of_a_file_that_vars_names_can_be_searched(tmp_path):
    stage = {"cmd": "echo 'm: ${y}' > m.yaml", "metrics": [{"m.yaml": {"cache": False}}]}
    pipeline = {"vars": ["more.yaml"], "stages": {"make": stage}}
    folder = repository(tmp_path, {".": pipeline}, {"more.yaml": "y: 3\n"})
    assert settings_error(folder, "m.yaml:m", "more.yaml:y") is None


def top_level_metrics(tmp_path: Path, code: str) -> Path:
    """A repository whose metrics are in no stage, as DVCLive declares them."""
    stage = {"cmd": f"{quote(sys.executable)} make.py", "deps": ["make.py"], "params": ["x"]}
    pipeline = {"metrics": ["m.yaml"], "stages": {"make": stage}}
    return repository(tmp_path, {".": pipeline}, {"params.yaml": "x: 3\n", "make.py": code})


def test_metrics_that_are_in_no_stage_can_be_searched_for(tmp_path):
    folder = top_level_metrics(tmp_path, SQUARE)
    assert settings_error(folder, "m.yaml:m", "x") is None
    clone = clone_of(folder)
    assert clone.read(clone.run("s-0", {"x": 5}, ["m.yaml"]), "m.yaml:m") == 25


def test_a_trial_without_a_metric_of_its_own_fails(tmp_path):
    # The stage writes its metric only where it is told to; the baseline's lies there.
    code = SQUARE.replace("open(", "x == 3 and open(", 2).replace(
        "x = yaml.safe_load(x == 3 and open", "x = yaml.safe_load(open"
    )
    folder = top_level_metrics(tmp_path, code)
    with pytest.raises(ProjectError, match=r"^m.yaml: no stage wrote it in this trial$"):
        clone_of(folder).run("s-0", {"x": 5}, ["m.yaml"])


def test_a_metric_of_a_frozen_stage_is_refused(tmp_path):
    folder = repository(
        tmp_path, {".": {"stages": {"make": STAGE}}}, {"params.yaml": "x: 3\n", "make.py": SQUARE}
    )
    pipeline = {"stages": {"make": {**STAGE, "frozen": True}}}
    tiny_git.write(folder, {"dvc.yaml": json.dumps(pipeline)})
    message = "search.yaml: metric: m.yaml: make, which writes it, is frozen: dvc unfreeze make"
    assert settings_error(folder, "m.yaml:m", "x") == message
