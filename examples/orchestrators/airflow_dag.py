"""Run each stage of a DVC pipeline as a task of an Airflow DAG; DVC decides what is out of date.

Put this file into Airflow's folder of DAGs, and set DVC_PROJECT to a clone that the workers can read.
To run the DAG once, without a scheduler:

    DVC_PROJECT=. python airflow_dag.py
"""

import os
import re
import shlex
import sys
from pathlib import Path

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

from locatable import pipeline

PROJECT = Path(os.environ["DVC_PROJECT"]).resolve()


def task_id(address: str) -> str:
    """Return a valid task id for a stage: `train.small` for `train@small`."""
    return re.sub(r"[^\w.-]+", ".", address)


# DVC locks the repository while it works in it, so allow only one stage and one run at a time.
with DAG("dvc", schedule=None, max_active_tasks=1, max_active_runs=1) as dag:
    tasks: dict[str, BashOperator] = {}
    for address, stage in pipeline("HEAD", PROJECT).stages.items():
        tasks[address] = BashOperator(
            task_id=task_id(address),
            bash_command=f"dvc repro --single-item {shlex.quote(address)}",
            cwd=str(PROJECT),
            doc="\n".join(stage.commands),
        )
        for other in stage.needs:
            tasks[other] >> tasks[address]

if __name__ == "__main__":
    sys.exit(dag.test().state != "success")
