"""Run each stage of a DVC pipeline as a task of a Flyte workflow; DVC decides what is out of date.

In the folder of a DVC project, after a commit:

    pyflyte run flyte_workflow.py rebuild

runs the stages on this machine. On a cluster, the working folder of the tasks has to be a volume with a clone
of the project.
"""

import subprocess

from flytekit import Workflow, task
from flytekit.exceptions.user import FlyteUserException

from locatable import pipeline


@task
def repro(stage: str) -> str:
    """Run a stage unless nothing has changed, and return what DVC prints."""
    done = subprocess.run(
        ("dvc", "repro", "--single-item", stage),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise FlyteUserException(f"{stage} failed: {done.stdout[-1000:]}")
    return done.stdout


rebuild = Workflow(name="rebuild")
nodes = {}
for address, stage in pipeline("HEAD").stages.items():
    nodes[address] = rebuild.add_entity(repro, stage=address)
    for other in stage.needs:
        nodes[other] >> nodes[address]
