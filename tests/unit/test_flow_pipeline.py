"""Which stages a rebuild runs, in which order: as DVC has them."""

from pathlib import Path

import pytest
from tiny_git import commit

from locatable.errors import ProjectError
from locatable.repository.pipeline import has_default_remote, read_pipeline

pytest.importorskip("dvc")

PIPELINE = """\
stages:
  evaluate: {cmd: evaluate, deps: [model.bin], outs: [report.txt]}
  train: {cmd: train, deps: [prepared.txt, train.py], outs: [model.bin]}
  zero: {cmd: zero, deps: [raw.txt], outs: [prepared.txt]}
  apart: {cmd: apart, outs: [apart.txt]}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A pipeline that begins with tracked data, and a stage that has nothing to do with it."""
    files = {
        ".dvc/config": "",
        "dvc.yaml": PIPELINE,
        "raw.txt.dvc": f"outs:\n- md5: {'a' * 32}\n  path: raw.txt\n",
        "train.py": "",
    }
    commit(tmp_path, files)
    return tmp_path


def test_a_stage_runs_after_those_it_needs(project: Path) -> None:
    stages = list(read_pipeline(project, []).stages)
    assert [stage for stage in stages if stage != "apart"] == ["zero", "train", "evaluate"]
    assert "apart" in stages


def test_targets_run_with_what_they_need(project: Path) -> None:
    stages = read_pipeline(project, ["train"]).stages
    assert {name: stage.needs for name, stage in stages.items()} == {"zero": (), "train": ("zero",)}
    assert set(read_pipeline(project, ["apart", "zero"]).stages) == {"apart", "zero"}


def test_source_data_of_the_targets(project: Path) -> None:
    assert read_pipeline(project, ["train"]).sources == ["raw.txt.dvc"]
    assert read_pipeline(project, ["apart"]).sources == []


def test_an_unknown_target(project: Path) -> None:
    with pytest.raises(ProjectError, match="nope"):
        read_pipeline(project, ["nope"])


def test_the_working_folder_stays(
    project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.chdir(elsewhere)
    read_pipeline(project, [])
    assert Path.cwd() == elsewhere


def test_a_default_remote_is_one_that_dvc_s_settings_name(project: Path) -> None:
    assert not has_default_remote(project)
    section = "['remote \"store\"']\n    url = /store\n"
    (project / ".dvc/config").write_text(f"[core]\n    remote = store\n{section}")
    assert has_default_remote(project)
