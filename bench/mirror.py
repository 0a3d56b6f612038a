"""Measure mirroring, `locate` and the reading of coordinates: `python -m bench.mirror PROJECT [NUMBER]`.

PROJECT is a generated project with results, which is not changed. Run this with the project's environment.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from bench import synthetic
from bench.scale import PEAK

# The number of experiments for everything except the first mirror.
MANY = 1000
# The seconds until a watcher has finished its first mirror, and the seconds for which it is then measured.
SETTLING = 10
WATCHED = 30


def main() -> None:
    """Measure, and print one line for each result."""
    project, number = Path(sys.argv[1]).resolve(), int((sys.argv[2:] or ["300"])[0])
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(project, Path(folder) / "project", symlinks=True))
        for store in copy.glob("mlflow.db*"):
            store.unlink()
        synthetic.add(copy, number)
        os.chdir(copy)
        against_mlflow(copy, number)
        synthetic.add(copy, MANY - number, "more")
        again(copy)
        watching(copy)
        reading()


def against_mlflow(copy: Path, number: int) -> None:
    """Compare the mirror with a loop of as few client calls as possible, and with a naive script."""
    from locatable.mlflow.mirror import MirrorOptions, mirror
    from locatable.mlflow.plan import wanted_runs
    from locatable.mlflow.revision import revision_content
    from locatable.mlflow.settings import TrackingSettings
    from locatable.mlflow.store import connect
    from locatable.repository.reader import Reader

    with Reader(copy) as reader:
        wanted = [run for run in wanted_runs(reader).values() if run.experiment]
        snapshots = reader.snapshots(run.key for run in wanted)
        contents = []
        for run, snapshot in zip(wanted, snapshots, strict=True):
            contents.append(revision_content(snapshot, run, None, copy_models=False))
        connect(TrackingSettings(f"sqlite:///{copy.parent}/warm.db", "warm", copy.parent / "warm"))
        bare = timed(lambda: bare_loop(copy, contents))
        settings = TrackingSettings(f"sqlite:///{copy}/mlflow.db", "bench", copy / "mlartifacts")
        ours = timed(lambda: mirror(reader, settings, MirrorOptions()))
        experiments = reader.experiments()
    few = experiments[: max(5, number // 20)]
    slow = timed(lambda: naive(copy, len(few))) / len(few) * number
    print(f"mirror {number} experiments: {ours:.1f} s; {bare / ours:.2f} of the rate of a bare loop (>= 0.9)")
    print(f"                        {slow / ours:.1f} times the rate of the naive way (>= 8)")


def bare_loop(copy: Path, contents: list) -> None:
    """Write the same runs with as few client calls as possible; their content is already known."""
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus, Metric, Param

    from locatable.mlflow.limits import fit
    from locatable.mlflow.store import RULES, dataset_input

    client = MlflowClient(f"sqlite:///{copy.parent}/bare.db")
    experiment = client.create_experiment("bench", (copy.parent / "bare").as_uri())
    for content in contents:
        fitted = fit(content, RULES)
        params = [Param(key, value) for key, value in fitted.params.items()]
        metrics = [Metric(point.key, point.value, point.time, point.step) for point in fitted.points]
        run_id = client.create_run(experiment, content.start, fitted.tags, content.name).info.run_id
        with tempfile.TemporaryDirectory() as folder:
            for path, text in fitted.artifacts.items():
                (Path(folder) / path).parent.mkdir(parents=True, exist_ok=True)
                (Path(folder) / path).write_bytes(text)
            client.log_artifacts(run_id, folder)
        client.log_inputs(run_id, [dataset_input(dataset) for dataset in fitted.datasets])
        for model in fitted.models:
            logged = client.create_logged_model(experiment, model.name, run_id, model.tags)
            client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
            client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, 0)])
        client.log_batch(run_id, metrics, params)
        client.set_terminated(run_id, "FINISHED", content.end)


def naive(copy: Path, number: int) -> None:
    """Write the first experiments as a simple script would: `dvc.api.exp_show`, and one call per value."""
    import csv

    import dvc.api
    from mlflow import MlflowClient, create_external_model, set_tracking_uri

    uri = f"sqlite:///{copy.parent}/naive.db"
    set_tracking_uri(uri)
    client = MlflowClient(uri)
    experiment = client.create_experiment("bench", (copy.parent / "naive").as_uri())
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
    """Measure the command `mirror` when there is nothing to do."""
    options = ["mirror", "--tracking-uri", f"sqlite:///{copy}/mlflow.db", "--experiment", "bench"]
    command = f"from locatable.cli import main; main({options!r})"
    call(command)
    nothing = timed(lambda: call(command), 3)
    memory = subprocess.check_output((sys.executable, "-c", f"{command}; {PEAK}"), text=True).split()[-1]
    print(f"nothing new of {MANY}: {nothing:.2f} s in all (<= 0.5), {memory} MB (< 500)")


def watching(copy: Path) -> None:
    """Measure `mirror --watch` while nothing changes."""
    store = f"sqlite:///{copy}/mlflow.db"
    command = ("locatable", "mirror", "--watch", "--tracking-uri", store, "--experiment", "bench")
    with subprocess.Popen(command, stdout=subprocess.PIPE) as watcher:
        watcher.stdout.readline()  # The first mirror is complete.
        time.sleep(SETTLING)
        process = psutil.Process(watcher.pid)
        before = sum(process.cpu_times()[:2])
        time.sleep(WATCHED)
        share = (sum(process.cpu_times()[:2]) - before) / WATCHED
        watcher.kill()
    print(f"watching while nothing changes: {100 * share:.2f} % of a processor (<= 1)")


def reading() -> None:
    """Measure the coordinates of all experiments, `locate` of a file of one of them, and `--help`."""
    everything = (
        "from locatable import Reader, coordinates_of; r = Reader('.').__enter__(); e = r.experiments(); "
        "[coordinates_of(s) for s in r.snapshots(x.rev for x in e)]; print(len(e))"
    )
    print(f"coordinates of {MANY} experiments: {timed(lambda: call(everything), 3):.2f} s in all (<= 0.6)")
    locate = ("locatable", "locate", "models/model.joblib")
    took = timed(lambda: subprocess.run(locate, check=True, capture_output=True), 3)
    print(f"locate a file among them: {took:.2f} s (<= 0.5)")
    took = timed(lambda: subprocess.run(("locatable", "--help"), check=True, capture_output=True), 5)
    print(f"locatable --help: {took:.2f} s (<= 0.15)")


def call(code: str) -> None:
    subprocess.run((sys.executable, "-c", code), check=True, stdout=subprocess.DEVNULL)


def timed(task: Callable[[], object], times: int = 1) -> float:
    """Return the seconds that a task takes, the minimum of several times."""
    took = []
    for _ in range(times):
        start = time.perf_counter()
        task()
        took.append(time.perf_counter() - start)
    return min(took)


if __name__ == "__main__":
    main()
