"""Run each stage of a DVC pipeline as a task of Kubeflow Pipelines; DVC decides what is out of date.

In the folder of a DVC project, after a commit:

    python kubeflow_pipeline.py pipeline.yaml

compiles the pipeline. On a cluster, `folder` is a clone of the project on a volume that all tasks mount
(with `mount_pvc` of `kfp-kubernetes`). IMAGE needs Git, DVC and the packages of the project.
"""

import os
import sys

from kfp import compiler, dsl

from locatable import pipeline

IMAGE = os.environ.get("IMAGE", "python:3.11")


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def repro(folder: str, stage: str) -> str:
    """Run a stage unless nothing has changed, and return what DVC prints."""
    # Kubeflow copies only this function into the task, so it has to import what it needs.
    import subprocess

    done = subprocess.run(
        ("dvc", "repro", "--single-item", stage),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    print(done.stdout)
    done.check_returncode()
    return done.stdout


@dsl.pipeline(name="dvc")
def rebuild(folder: str):  # type: ignore[no-untyped-def] # Kubeflow would take a return type for an output.
    """Run all stages, each one after the stages that it needs."""
    tasks: dict[str, dsl.PipelineTask] = {}
    for address, stage in pipeline("HEAD").stages.items():
        task = repro(folder=folder, stage=address)
        task.set_display_name(address)
        # DVC decides whether a stage has to run, so Kubeflow must not skip it.
        task.set_caching_options(False)
        task.after(*(tasks[other] for other in stage.needs))
        tasks[address] = task


if __name__ == "__main__":
    compiler.Compiler().compile(rebuild, sys.argv[1])
