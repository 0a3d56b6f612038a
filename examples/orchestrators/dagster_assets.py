"""Make each stage of a DVC pipeline an asset of Dagster; DVC decides what is out of date.

In the folder of a DVC project, after a commit:

    dagster dev -f dagster_assets.py

Materializing an asset runs `dvc repro --single-item STAGE`, which does nothing if nothing has changed.
"""

import re
import subprocess

import dagster as dg

from locatable import Stage, pipeline


def key(address: str) -> str:
    """Return a valid asset key for a stage: `train_small` for `train@small`."""
    return re.sub(r"\W+", "_", address)


def asset(address: str, stage: Stage) -> dg.AssetsDefinition:
    """Return one asset for all outputs of a stage."""

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


# DVC locks the repository while it works in it, so run only one stage at a time.
definitions = dg.Definitions(
    assets=[asset(address, stage) for address, stage in pipeline("HEAD").stages.items()],
    executor=dg.in_process_executor,
)
