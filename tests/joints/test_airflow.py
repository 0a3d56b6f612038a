# /// script
# dependencies = ["apache-airflow==3.3.2"]
# [tool.joint]
# question = "Orchestration"
# tool = "Airflow"
# joint = "examples/orchestrators/airflow_dag.py"
# ///
"""Airflow runs the stages of a DVC pipeline, without a server, and DVC decides which of them run."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny_dvc
from orchestrated import EXAMPLES, check, rebuild_three_times
from tiny_git import write


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], int]:
    """Runs the DAG of a project once, and returns the exit code."""
    home = tmp_path_factory.mktemp("airflow")
    env = {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(EXAMPLES),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    subprocess.run((sys.executable, "-m", "airflow", "db", "migrate"), env=env, check=True)

    def run_dag(root: Path) -> int:
        command = (sys.executable, str(EXAMPLES / "airflow_dag.py"))
        return subprocess.run(command, cwd=root, env={**env, "DVC_PROJECT": "."}, check=False).returncode

    return run_dag


def test_dvc_decides_what_runs(tmp_path: Path, run: Callable[[Path], int]) -> None:
    check(rebuild_three_times(tmp_path, run))


def test_a_stage_that_fails_is_a_failed_run(tmp_path: Path, run: Callable[[Path], int]) -> None:
    tiny_dvc.init(tmp_path / "repository")
    write(tmp_path / "repository", {"dvc.yaml": "stages: {fail: {cmd: exit 3}, fine: {cmd: exit 0}}"})
    tiny_dvc.commit(tmp_path / "repository")
    assert run(tmp_path / "repository") == 1
