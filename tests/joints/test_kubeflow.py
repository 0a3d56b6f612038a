# /// script
# dependencies = ["kfp==2.17.3"]
# [tool.joint]
# question = "Orchestration"
# tool = "Kubeflow Pipelines"
# joint = "examples/orchestrators/kubeflow_pipeline.py"
# ///
"""Kubeflow Pipelines runs the stages of a DVC pipeline in processes, and DVC decides which of them run."""

from pathlib import Path

import pytest
import tiny_dvc
import yaml
from kfp import compiler, local
from orchestrated import check, load, rebuild_three_times
from tiny_git import write


def rebuild(root: Path) -> None:
    local.init(
        runner=local.SubprocessRunner(use_venv=False),
        pipeline_root=str(root.parent / "outputs"),
        raise_on_error=True,
    )
    load("kubeflow_pipeline").rebuild(folder=str(root))


def test_dvc_decides_what_runs(tmp_path: Path) -> None:
    check(rebuild_three_times(tmp_path, rebuild))


def test_a_stage_that_fails_is_a_failed_pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_dvc.init(tmp_path / "repository")
    write(tmp_path / "repository", {"dvc.yaml": "stages: {fail: {cmd: exit 3}}"})
    tiny_dvc.commit(tmp_path / "repository")
    monkeypatch.chdir(tmp_path / "repository")
    with pytest.raises(RuntimeError, match="failed"):
        rebuild(tmp_path / "repository")


def test_the_compiled_pipeline_has_the_edges_of_dvc(tmp_path: Path) -> None:
    compiled = tmp_path / "pipeline.yaml"

    def compile_pipeline(root: Path) -> None:
        compiler.Compiler().compile(load("kubeflow_pipeline").rebuild, str(compiled))

    rebuild_three_times(tmp_path, compile_pipeline)
    tasks = yaml.safe_load(compiled.read_text())["root"]["dag"]["tasks"].values()
    names = {task["taskInfo"]["name"] for task in tasks}
    assert names == {"prepare", "train@small", "train@large", "report/dvc.yaml:sum"}
    assert sorted(len(task.get("dependentTasks", [])) for task in tasks) == [0, 1, 1, 2]
