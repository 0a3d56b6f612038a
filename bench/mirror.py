"""What a mirror costs, as ratios of one run on one machine: `python -m bench.mirror PROJECT [NUMBER]`.

PROJECT is a generated and rebuilt project, which stays as it is; run this with its environment.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench import synthetic
from bench.scale import PEAK

# Experiments when nothing is new, and to be read.
MANY = 1000


def main() -> None:
    """Measure, and print one line each."""
    project, number = Path(sys.argv[1]).resolve(), int((sys.argv[2:] or ["300"])[0])
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(project, Path(folder) / "project", symlinks=True))
        for store in copy.glob("mlflow.db*"):
            store.unlink()
        synthetic.add(copy, number)
        os.chdir(copy)
        sys.path.insert(0, str(copy))
        against_mlflow(copy, number)
        synthetic.add(copy, MANY - number, "more")
        again(copy)
        reading()


def against_mlflow(copy: Path, number: int) -> None:
    """The mirror beside a bare loop of the fewest client calls, and beside the naive way."""
    from scripts import mirror
    from scripts.history.revisions import Reader
    from scripts.tracking import mlflow_runs, run_content

    with Reader(copy) as reader:
        experiments = reader.experiments()
        contents = [
            run_content.of(snapshot, experiment, None, False)
            for experiment, snapshot in zip(
                experiments, reader.snapshots(e.rev for e in experiments), strict=True
            )
        ]
        mlflow_runs.connect(f"sqlite:///{copy}/warm.db", "warm", copy / "warm")
        bare = timed(lambda: bare_loop(copy, contents))
        ours = timed(lambda: mirror.mirror(reader, f"sqlite:///{copy}/mlflow.db", "bench"))
    few = experiments[: max(5, number // 20)]
    slow = timed(lambda: naive(copy, len(few))) / len(few) * number
    print(f"mirror {number} experiments: {ours:.1f} s; {bare / ours:.2f} of the rate of a bare loop (>= 0.8)")
    print(f"                        {slow / ours:.1f} times the rate of the naive way (>= 8)")


def bare_loop(copy: Path, contents: list) -> None:
    """The same runs with the fewest client calls, everything about them known before."""
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus
    from scripts.tracking import mlflow_runs

    client = MlflowClient(f"sqlite:///{copy}/bare.db")
    experiment = client.create_experiment("bench", (copy / "bare").as_uri())
    for content in contents:
        params, metrics, tags = mlflow_runs._storable(content)
        run_id = client.create_run(experiment, content.start, content.tags, content.name).info.run_id
        with tempfile.TemporaryDirectory() as folder:
            for path, text in content.files.items():
                (Path(folder) / path).parent.mkdir(parents=True, exist_ok=True)
                (Path(folder) / path).write_bytes(text)
            client.log_artifacts(run_id, folder)
        client.log_inputs(run_id, [mlflow_runs._dataset(*dataset) for dataset in content.datasets])
        for name, about in content.models:
            model = client.create_logged_model(experiment, name, run_id, about)
            client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
            client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 0)])
        client.log_batch(run_id, metrics, params, tags)
        client.set_terminated(run_id, "FINISHED", content.end)


def naive(copy: Path, number: int) -> None:
    """`dvc.api.exp_show`, then one MLflow call a value, for the first so many experiments."""
    import csv

    import dvc.api
    from mlflow import MlflowClient, create_external_model, set_tracking_uri

    uri = f"sqlite:///{copy}/naive.db"
    set_tracking_uri(uri)
    client = MlflowClient(uri)
    experiment = client.create_experiment("bench", (copy / "naive").as_uri())
    series = [Path(path) for path in subprocess.check_output(("git", "ls-files", "*.tsv"), text=True).split()]
    figures = subprocess.check_output(("git", "ls-files", "reports/evaluate"), text=True).split()
    for row in [row for row in dvc.api.exp_show() if row["Experiment"]][:number]:
        run_id = client.create_run(experiment, run_name=row["Experiment"]).info.run_id
        for key, value in row.items():
            if isinstance(value, float):
                client.log_metric(run_id, key, value)
            elif value is not None:
                client.log_param(run_id, key.replace("@", "_"), str(value)[:500])
        for path in series:
            with dvc.api.open(str(path), rev=row["rev"] if row.get("rev") else None) as file:
                for point in csv.DictReader(file, delimiter="\t"):
                    *_, (name, value) = point.items()
                    client.log_metric(
                        run_id, f"{path.parent.name}/{name}", float(value), step=int(point["step"])
                    )
        for name in range(10):
            client.set_tag(run_id, f"tag{name}", str(name))
        for path in [*figures, "dvc.lock", "params.yaml", "environment.json"]:
            client.log_artifact(run_id, path)
        create_external_model("classifier", source_run_id=run_id, experiment_id=experiment)
        client.set_terminated(run_id)


def again(copy: Path) -> None:
    """A mirror with nothing to do, beyond `import mlflow`; in processes of their own."""
    importing = timed(lambda: call("import mlflow"), 3)
    command = (
        "from scripts import mirror; from scripts.history.revisions import Reader; "
        f"print(mirror.mirror(Reader('.'), 'sqlite:///{copy}/mlflow.db', 'bench')[0])"
    )
    call(command)
    nothing = timed(lambda: call(command), 3)
    memory = subprocess.check_output((sys.executable, "-c", f"{command}; {PEAK}"), text=True).split()[-1]
    print(
        f"nothing new of {MANY}: {nothing:.2f} s in all, where `import mlflow` takes {importing:.2f} s "
        f"(<= 1.5 s more), {memory} MB (< 500)"
    )


def reading() -> None:
    """Coordinates of all experiments, and `locate` of a file among them."""
    everything = (
        "from scripts import coordinates as c; r = c.Reader('.').__enter__(); e = r.experiments(); "
        "[c.of(s) for s in r.snapshots(x.rev for x in e)]; print(len(e))"
    )
    print(f"coordinates of {MANY} experiments: {timed(lambda: call(everything), 3):.2f} s in all (< 1)")
    locate = (sys.executable, "-m", "scripts.locate", "models/model.joblib")
    took = timed(lambda: subprocess.run(locate, check=True, capture_output=True), 3)
    print(f"locate a file among them: {took:.2f} s (<= 1)")


def call(code: str) -> None:
    subprocess.run((sys.executable, "-c", code), check=True, stdout=subprocess.DEVNULL)


def timed(task: Callable[[], object], times: int = 1) -> float:
    """Seconds that it takes, the least of so many times."""
    took = []
    for _ in range(times):
        start = time.perf_counter()
        task()
        took.append(time.perf_counter() - start)
    return min(took)


if __name__ == "__main__":
    main()
