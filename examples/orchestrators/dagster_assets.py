"""Every stage of a DVC pipeline is an asset of Dagster, and DVC decides what is out of date.

In the folder of a DVC project, after a commit:

    dagster dev -f dagster_assets.py

An asset that is materialized runs `dvc repro --single-item STAGE`, which does nothing if nothing changed.
"""

import re
import subprocess

import dagster as dg

from locatable import Stage, pipeline


def key(address: str) -> str:
    """A name that Dagster takes for a stage: `train@small` is `train_small`."""
    return re.sub(r"\W+", "_", address)


def asset(address: str, stage: Stage) -> dg.AssetsDefinition:
    """The outputs of a stage, as one asset."""

    @dg.asset(
        name=key(address),
        deps=[key(other) for other in stage.needs],
        description="\n".join(stage.commands),
        kinds={"dvc"},
    )
    def outputs(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        done = subprocess.run(
            ("dvc", "repro", "--single-item", address),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        context.log.info(done.stdout)
        if done.returncode:
            raise dg.Failure(f"{address} failed: {done.stdout[-1000:]}")
        ran = f"Running stage '{address}':" in done.stdout.splitlines()
        return dg.MaterializeResult(metadata={"ran": ran})

    return outputs


# DVC locks the repository while it works in it: one stage at a time.
definitions = dg.Definitions(
    assets=[asset(address, stage) for address, stage in pipeline("HEAD").stages.items()],
    executor=dg.in_process_executor,
)
