# /// script
# dependencies = ["hera==7.1.0"]
# [tool.joint]
# question = "Orchestration"
# tool = "Argo"
# joint = "examples/orchestrators/argo_workflow.py"
# ///
"""The Argo workflow of a DVC pipeline is as Argo's schema has it, and its tasks rebuild the pipeline.

There is no Kubernetes here: the commands of the tasks are run by a shell in the order of the workflow.
"""

import re
import subprocess
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest
import yaml
from hera.workflows import models
from orchestrated import check, load, rebuild_three_times


def rendered(root: Path) -> dict[str, Any]:
    """The workflow as Argo would be sent it."""
    made = yaml.safe_load(load("argo_workflow").workflow("image", str(root)).to_yaml())
    assert isinstance(made, dict)
    return made


def linted(workflow: dict[str, Any]) -> dict[str, Any]:
    """What of a workflow Argo's schema knows; hera's models are generated from that schema."""
    known = models.Workflow.model_validate(workflow)
    return dict(yaml.safe_load(known.model_dump_json(by_alias=True, exclude_none=True)))


def commands(workflow: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Name and command of each task, in an order that its dependencies allow."""
    tasks = {task["name"]: task for task in workflow["spec"]["templates"][1]["dag"]["tasks"]}
    needed = {name: re.findall(r"[\w-]+", task.get("depends", "")) for name, task in tasks.items()}
    for name in TopologicalSorter(needed).static_order():
        yield name, tasks[name]["arguments"]["parameters"][0]["value"]


def rebuild(root: Path) -> None:
    """Run the tasks of the stages; `project` is the clone that they work in."""
    (root.parent / "project").unlink(missing_ok=True)
    (root.parent / "project").symlink_to(root)
    for name, command in commands(rendered(root)):
        if name not in ("check-out", "push"):
            subprocess.run(("sh", "-ec", command), cwd=root.parent, check=True)


@pytest.fixture(scope="module")
def workflow(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    made: list[dict[str, Any]] = []
    rebuild_three_times(tmp_path_factory.mktemp("argo"), lambda root: made.append(rendered(root)))
    return made[0]


def test_dvc_decides_what_runs(tmp_path: Path) -> None:
    check(rebuild_three_times(tmp_path, rebuild))


def test_argo_knows_all_of_the_workflow(workflow: dict[str, Any]) -> None:
    assert linted(workflow) == workflow


def test_a_key_that_argo_does_not_know_is_found(workflow: dict[str, Any]) -> None:
    wrong = {**workflow, "spec": {**workflow["spec"], "paralelism": 1}}
    assert linted(wrong) != wrong


def test_check_out_comes_first_and_push_last(workflow: dict[str, Any]) -> None:
    names = [name for name, _ in commands(workflow)]
    assert (names[0], names[-1]) == ("check-out", "push")


def test_the_check_out_is_of_the_commit(workflow: dict[str, Any], tmp_path: Path) -> None:
    command = dict(commands(workflow))["check-out"].replace("dvc pull", "true")
    subprocess.run(("sh", "-ec", command), cwd=tmp_path, check=True)
    assert (tmp_path / "project/dvc.yaml").exists()


def test_kubernetes_takes_the_names(workflow: dict[str, Any]) -> None:
    for name, _ in commands(workflow):
        assert re.fullmatch("[a-z0-9]([a-z0-9-]*[a-z0-9])?", name)
