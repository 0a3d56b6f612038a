# /// script
# dependencies = ["flytekit==1.16.31"]
# [tool.joint]
# question = "Orchestration"
# tool = "Flyte"
# joint = "examples/orchestrators/flyte_workflow.py"
# ///
"""Flyte runs the stages of a DVC pipeline on this machine, and DVC decides which of them run."""

from pathlib import Path

import pytest
import tiny_dvc
from orchestrated import check, load, rebuild_three_times
from tiny_git import write


def rebuild(root: Path) -> None:
    load("flyte_workflow").rebuild()


def test_dvc_decides_what_runs(tmp_path: Path) -> None:
    check(rebuild_three_times(tmp_path, rebuild))


def test_a_stage_that_fails_is_a_failed_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_dvc.init(tmp_path / "repository")
    write(tmp_path / "repository", {"dvc.yaml": "stages: {fail: {cmd: exit 3}}"})
    tiny_dvc.commit(tmp_path / "repository")
    monkeypatch.chdir(tmp_path / "repository")
    with pytest.raises(Exception, match="fail failed"):
        rebuild(tmp_path)
