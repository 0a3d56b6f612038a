# /// script
# # Hydra, which DVC brings, needs this ANTLR; without the pin, the newest hides it.
# dependencies = ["dagster==1.13.29", "antlr4-python3-runtime==4.9.3"]
# [tool.joint]
# question = "Orchestration"
# tool = "Dagster"
# joint = "examples/orchestrators/dagster_assets.py"
# ///
"""Dagster materializes the stages of a DVC pipeline, and DVC decides which of them run."""

from pathlib import Path

import dagster as dg
import pytest
import tiny_dvc
from orchestrated import check, load, rebuild_three_times
from tiny_git import write


def rebuild(root: Path) -> dg.ExecuteInProcessResult:
    with dg.DagsterInstance.ephemeral() as instance:
        definitions = load("dagster_assets").definitions
        return definitions.get_implicit_global_asset_job_def().execute_in_process(instance=instance)


def test_dvc_decides_what_runs(tmp_path: Path) -> None:
    check(rebuild_three_times(tmp_path, rebuild))


def test_a_stage_that_fails_is_a_failed_asset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_dvc.init(tmp_path / "repository")
    write(tmp_path / "repository", {"dvc.yaml": "stages: {fail: {cmd: exit 3}}"})
    tiny_dvc.commit(tmp_path / "repository")
    monkeypatch.chdir(tmp_path / "repository")
    with pytest.raises(dg.Failure, match="fail failed"):
        rebuild(tmp_path)
