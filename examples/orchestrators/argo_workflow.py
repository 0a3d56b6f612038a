"""Run each stage of a DVC pipeline as a task of an Argo workflow; DVC decides what is out of date.

In the folder of a DVC project, after a commit:

    python argo_workflow.py IMAGE REPOSITORY > workflow.yaml
    argo submit workflow.yaml

IMAGE needs Git, DVC and the packages of the project; REPOSITORY is a URL to clone. The pods work one after
another in a clone on a volume of the workflow, which passes on `dvc.lock` and the results.
"""

import re
import shlex
import sys

from hera.workflows import DAG, Container, Parameter, Task, Volume, Workflow
from hera.workflows.models import VolumeMount

from locatable import pipeline

FOLDER = "/work"
CHECK_OUT = """\
git clone --quiet {repository} project
cd project
git checkout --quiet {rev}
dvc pull --allow-missing
"""


def name(address: str) -> str:
    """Return a name for a stage that Kubernetes accepts: `train-small` for `train@small`."""
    return re.sub(r"[\W_]+", "-", address).strip("-").lower()


def workflow(image: str, repository: str) -> Workflow:
    """Return a workflow that checks out the last commit, runs its pipeline, and pushes the results."""
    read = pipeline("HEAD")
    with Workflow(
        generate_name="dvc-",
        entrypoint="stages",
        # DVC locks the repository while it works in it, so run only one stage at a time.
        parallelism=1,
        volumes=[Volume(name="work", size="10Gi", mount_path=FOLDER)],
    ) as made:
        shell = Container(
            name="shell",
            image=image,
            command=["sh", "-ec"],
            args=["{{inputs.parameters.command}}"],
            inputs=[Parameter(name="command")],
            working_dir=FOLDER,
            volume_mounts=[VolumeMount(name="work", mount_path=FOLDER)],
        )
        with DAG(name="stages"):

            def task(named: str, command: str) -> Task:
                made_task: Task = shell(name=named, arguments={"command": command})
                return made_task

            begin = task("check-out", CHECK_OUT.format(repository=shlex.quote(repository), rev=read.rev))
            end = task("push", "cd project; dvc push")
            begin >> end
            tasks: dict[str, Task] = {}
            for address, stage in read.stages.items():
                command = f"cd project; dvc repro --single-item {shlex.quote(address)}"
                tasks[address] = task(name(address), command)
                begin >> tasks[address] >> end
                for other in stage.needs:
                    tasks[other] >> tasks[address]
    return made


if __name__ == "__main__":
    print(workflow(*sys.argv[1:]).to_yaml())
