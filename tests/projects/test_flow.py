"""The Prefect flows, with a real server, a worker that runs deployments, and a schedule."""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import servers
import yaml
from searching import checkout
from support import TEMPLATE, run

pytestmark = pytest.mark.long
# Prefect is slow to start.
wait_for = partial(servers.wait_for, seconds=240)

COMMAND = ("locatable", "flow")
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
# Named so that the order of the alphabet is not that of the pipeline.
STAGES = {
    "stages": {
        "zero": {"cmd": "python zero.py", "deps": ["raw.txt"], "outs": ["prepared.txt"]},
        "train": {
            "cmd": "python train.py",
            "deps": ["prepared.txt", "train.py"],
            "params": ["train"],
            "outs": ["model.bin", {"metrics.json": {"cache": False}}],
        },
        "evaluate": {"cmd": "cp model.bin report.txt", "deps": ["model.bin"], "outs": ["report.txt"]},
    }
}
ZERO = "print('zero says', open('raw.txt').read()); open('prepared.txt', 'w').write('ready')"
TRAIN = """
import json, os, subprocess, sys, time
import yaml
params = yaml.safe_load(open("params.yaml"))["train"]
with open(os.environ["RUNS"], "a+") as file:
    file.write(f"{params['x']}\\n")
    file.seek(0)
    runs = file.read().split().count(str(params["x"]))
if params["x"] == 2 and runs < 3:
    sys.exit("not yet")
if params["x"] == 600:
    subprocess.Popen(["sleep", "600"], start_new_session=True)
    time.sleep(600)
json.dump({"valid": {"loss": params["x"]}}, open("metrics.json", "w"))
open("model.bin", "w").write(repr(params))
"""
SETTINGS = """
[core]
    autostage = true
    remote = store
['remote "store"']
    url = ../../store
"""
SEARCH = {
    "study": "small",
    "metric": "metrics.json:valid.loss",
    "direction": "minimize",
    "space": {"train.x": {"type": "int", "low": 10, "high": 20}},
}


TWICE = "from locatable.flow.flows import rebuild; rebuild(params={'train.x': 2}, delay=0.1)"
# The second rebuild looks for the limit before the first has added it.
TOGETHER = """
from pathlib import Path
from unittest.mock import patch
from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import ObjectNotFound
from locatable.flow.flows import exclusive
with exclusive(Path.cwd()):
    pass
missing = ObjectNotFound(Exception())
with patch.object(SyncPrefectClient, "read_global_concurrency_limit_by_name", side_effect=missing) as read:
    with exclusive(Path.cwd()):
        print("alone", read.call_count)
"""


@pytest.fixture(scope="module")
def user(extras_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a user of Prefect, of the server and of the worker."""
    folder = tmp_path_factory.mktemp("prefect")
    return {
        **{key: value for key, value in extras_env.items() if not key.startswith("PREFECT")},
        "PREFECT_HOME": str(folder),
        "PREFECT_API_URL": f"http://127.0.0.1:{servers.free_port()}/api",
        "PREFECT_RUNNER_POLL_FREQUENCY": "2",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "RUNS": str(folder / "runs"),
    }


@contextmanager
def running(*command: str, cwd: Path, env: Mapping[str, str], log: Path) -> Iterator[None]:
    """A process, told to end at the end, of which nothing is left then."""
    with log.open("w") as file:
        process = subprocess.Popen(
            command, cwd=cwd, env=dict(env), stdout=file, stderr=file, start_new_session=True
        )
    try:
        yield
    finally:
        process.terminate()
        # Where interrupts are ignored (`nohup`), a worker ignores this, too.
        with suppress(subprocess.TimeoutExpired):
            process.wait(30)
        for left in psutil.process_iter():
            with suppress(psutil.Error, ProcessLookupError):
                if os.getsid(left.pid) == process.pid:
                    left.kill()
        process.wait()


def ask(env: Mapping[str, str], path: str, **body: Any) -> Any:
    """What Prefect's server answers; GET without a body. While SQLite is busy (503, silence), ask again."""
    request = urllib.request.Request(  # noqa: S310
        f"{env['PREFECT_API_URL']}/{path}",
        json.dumps(body).encode() if body else None,
        {"Content-Type": "application/json"},
    )

    def answered() -> list[Any]:
        try:
            with urllib.request.urlopen(request, timeout=15) as answer:  # noqa: S310
                return [json.load(answer)]
        except TimeoutError:
            return []
        except urllib.error.HTTPError as failed:
            if failed.code != 503:
                raise
            return []

    return wait_for(answered)[0]


def git(folder: Path, *command: str) -> str:
    done = subprocess.run(("git", "-C", folder, *command), check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def small(rebuilt: Path, user: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of three quick stages, never run, whose data is only in the remote; with an origin."""
    folder = tmp_path_factory.mktemp("small") / "repo"
    run("git", "init", "--quiet", "--initial-branch=main", folder, cwd=folder.parent, env=user)
    run("git", "init", "--quiet", "--bare", folder.parent / "origin", cwd=folder.parent, env=user)
    run("git", "remote", "add", "origin", folder.parent / "origin", cwd=folder, env=user)
    run("dvc", "init", "--quiet", cwd=folder, env=user)
    settings = (
        "[core]\n    autostage = true\n    remote = store\n['remote \"store\"']\n    url = ../../store\n"
    )
    (folder / ".dvc/config").write_text(settings)
    (folder / ".dvc/config.local").write_text(f"[core]\n    site_cache_dir = {folder.parent / 'site'}\n")
    page = (TEMPLATE / "docs/how-to/prefect.md").read_text()
    (folder / "prefect.yaml").write_text(page.partition("```yaml\n")[2].partition("```\n")[0])
    (folder / ".gitignore").write_text("__pycache__/\n/optuna.db*\n/mlflow.db*\n/mlartifacts/\n/raw.txt\n")
    (folder / "raw.txt").write_text("raw")
    (folder / "zero.py").write_text(ZERO)
    (folder / "train.py").write_text(TRAIN)
    (folder / "dvc.yaml").write_text(yaml.safe_dump(STAGES, sort_keys=False))
    (folder / "params.yaml").write_text("train:\n  x: 1 # a comment\n")
    (folder / "search.yaml").write_text(json.dumps(SEARCH))
    run("dvc", "add", "--quiet", "raw.txt", cwd=folder, env=user)
    run("dvc", "push", "--quiet", cwd=folder, env=user)
    run("git", "add", "--all", cwd=folder, env=user)
    run("git", "commit", "--quiet", "-m", "All but results", cwd=folder, env=user)
    shutil.rmtree(folder / ".dvc/cache")
    return folder


@pytest.fixture(scope="module")
def server(rebuilt: Path, user: dict[str, str]) -> Iterator[dict[str, str]]:
    """A server, with the settings of the project's pyproject.toml."""
    port = user["PREFECT_API_URL"].split(":")[2].split("/")[0]
    log = Path(user["PREFECT_HOME"], "server.log")

    def healthy() -> bool:
        try:
            return ask(user, "health")
        except OSError:
            return False

    with running("prefect", "server", "start", "--port", port, cwd=rebuilt, env=user, log=log):
        wait_for(healthy)
        yield user


@pytest.fixture(scope="module")
def worker(server: dict[str, str], small: Path) -> Iterator[dict[str, str]]:
    """A worker that runs the deployments of prefect.yaml."""
    log = Path(server["PREFECT_HOME"], "worker.log")
    run("prefect", "work-pool", "create", "--type", "process", "local", cwd=small, env=server)
    run("prefect", "--no-prompt", "deploy", "--all", cwd=small, env=server)
    with running("prefect", "worker", "start", "--pool", "local", cwd=small.parent, env=server, log=log):
        yield server


def deployed(env: Mapping[str, str], name: str, **parameters: Any) -> str:
    """Ask for a run of a deployment; returns its id."""
    found = ask(env, f"deployments/name/{name}")
    asked = {"parameters": parameters, "idempotency_key": uuid.uuid4().hex}
    return ask(env, f"deployments/{found['id']}/create_flow_run", **asked)["id"]


def ended(env: Mapping[str, str], run_id: str) -> dict[str, Any]:
    """A flow run, when it is over."""

    def over() -> dict[str, Any] | None:
        found = ask(env, f"flow_runs/{run_id}")
        return found if found["state_type"] in ENDED else None

    return wait_for(over)


def tasks(env: Mapping[str, str], run_id: str) -> list[dict[str, Any]]:
    """Its task runs in the order in which they started."""
    found = ask(env, "task_runs/filter", flow_runs={"id": {"any_": [run_id]}})
    return sorted(found, key=lambda task: task["start_time"])


def logged(env: Mapping[str, str], task: Mapping[str, Any]) -> list[str]:
    found = ask(env, "logs/filter", logs={"task_run_id": {"any_": [task["id"]]}})
    return [line["message"] for line in found]


def test_a_rebuild_runs_every_stage_once_and_one_rebuild_at_a_time(server, small):
    before, head = checkout(small), git(small, "rev-parse", "HEAD")
    # Its `train` fails twice, and passes then.
    both = [subprocess.Popen(("python", "-c", TWICE), cwd=small, env=server) for _ in "12"]
    assert [process.wait(240) for process in both] == [0, 0]
    found = ask(server, "flow_runs/filter", flow_runs={"tags": {"all_": [f"rev:{head}"]}})
    assert [flow["state_type"] for flow in found] == ["COMPLETED", "COMPLETED"], found
    runs = sorted((tasks(server, flow["id"]) for flow in found), key=lambda run: run[0]["start_time"])
    names = ["check out", "fetch", "zero", "train", "evaluate", "push", "mirror"]
    assert [[task["name"] for task in run] for run in runs] == [names, names]
    first, second = ({task["name"]: task for task in run} for run in runs)
    assert first["mirror"]["end_time"] <= second["check out"]["start_time"]

    assert [first[stage]["state_name"] for stage in STAGES["stages"]] == ["Completed"] * 3
    assert [second[stage]["state_name"] for stage in STAGES["stages"]] == ["Cached"] * 3
    assert [first[stage]["run_count"] for stage in STAGES["stages"]] == [1, 3, 1]
    assert all(first[stage]["total_run_time"] > 0 for stage in STAGES["stages"])
    assert Path(server["RUNS"]).read_text().split().count("2") == 3
    assert "zero says raw" in logged(server, first["zero"])
    assert "not yet" in logged(server, first["train"])

    # Both kept their result; neither in place of the other's.
    listed = git(small, "for-each-ref", "--format=%(objectname) %(refname)", f"refs/exps/{head[:2]}")
    kept = {ref.rpartition("/")[2]: rev for rev, ref in map(str.split, listed.splitlines())}
    assert sorted(kept) == sorted(f"flow-{flow['id'][:8]}-1" for flow in found)
    assert listed == git(small.parent / "origin", "for-each-ref", "--format=%(objectname) %(refname)")
    for rev in kept.values():
        assert git(small, "show", f"{rev}:params.yaml") == "train:\n  x: 2 # a comment"
        assert json.loads(git(small, "show", f"{rev}:metrics.json")) == {"valid": {"loss": 2}}
    with sqlite3.connect(small / "mlflow.db") as store:
        mirrored = {value for (value,) in store.execute("select value from tags where key = 'dvc.rev'")}
    assert mirrored >= set(kept.values())
    # Whoever has only the remote gets the model.
    (rev, *_) = kept.values()
    clone = small.parent / "colleague"
    run("git", "clone", "--quiet", small, clone, cwd=small, env=server)
    run("git", "fetch", "--quiet", "origin", rev, cwd=clone, env=server)
    run("git", "checkout", "--quiet", rev, cwd=clone, env=server)
    run("dvc", "pull", "model.bin", cwd=clone, env=server)
    assert (clone / "model.bin").read_text() == "{'x': 2}"

    after = {
        name: text for name, text in checkout(small).items() if not name.startswith(("mlflow.db", "mlart"))
    }
    assert after == before
    assert git(small, "status", "--porcelain") == git(small, "stash", "list") == ""


@pytest.mark.weekly
def test_two_rebuilds_may_start_at_the_same_moment(server, small):
    assert run("python", "-c", TOGETHER, cwd=small, env=server).stdout.splitlines()[-1] == "alone 1"


@pytest.mark.weekly
def test_a_stage_that_hangs_is_stopped_with_all_that_it_started(worker, small):
    found = ended(worker, deployed(worker, "rebuild/nightly", params={"train.x": 600}, retries=0, timeout=20))
    assert found["state_type"] == "FAILED"
    last = tasks(worker, found["id"])[-1]
    assert (last["name"], last["state_name"]) == ("train", "TimedOut")
    assert Path(worker["RUNS"]).read_text().split().count("600") == 1
    left = [process.info["environ"] or {} for process in psutil.process_iter(["environ"])]
    assert not [own for own in left if own.get("RUNS") == worker["RUNS"] and "DVC_STAGE" in own]


@pytest.mark.weekly
def test_a_work_pool_rebuilds(worker, small):
    found = ended(worker, deployed(worker, "rebuild/nightly", params={"train.x": 3}))
    assert found["state_type"] == "COMPLETED"
    assert tasks(worker, found["id"])[-1]["name"] == "mirror"


@pytest.mark.weekly
def test_the_search_is_a_flow_too(worker, small):
    found = ended(worker, deployed(worker, "search/search", trials=1))
    assert found["state_type"] == "COMPLETED"
    assert git(small, "for-each-ref", "--format=%(refname)", "refs/exps").count("/small-") == 1


@pytest.mark.weekly
def test_a_schedule_fires(server, small, tmp_path):
    folder = Path(shutil.copytree(small, tmp_path / "repo"))
    shutil.copytree(small.parent / "store", tmp_path / "store")
    git(folder, "remote", "remove", "origin")
    command = (*COMMAND, "--target", "zero", "--cron", "* * * * *")
    with running(*command, cwd=folder, env=server, log=tmp_path / "log"):

        def fired() -> list[dict[str, Any]]:
            scheduled = {"tags": {"all_": ["auto-scheduled"]}, "state": {"type": {"any_": list(ENDED)}}}
            return ask(server, "flow_runs/filter", flow_runs=scheduled)

        found = wait_for(fired)
    assert found[0]["state_type"] == "COMPLETED"
    assert found[0]["id"][:8] in git(folder, "for-each-ref", "--format=%(refname)", "refs/exps")


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        (
            "PREFECT_API_URL",
            "http://ada:secret@127.0.0.1:9/api",
            "no Prefect server answers at http://127.0.0.1:9/api: "
            "`prefect config view` shows where that is set",
        ),
        (
            "PREFECT_HOME",
            "/proc/home",
            "Prefect cannot write to /proc/home: set PREFECT_HOME to a folder that you can write to",
        ),
    ],
)
def test_prefect_without_a_server_is_one_line(user, small, variable, value, expected):
    env = {key: text for key, text in user.items() if key != "PREFECT_API_URL"}
    said = run(*COMMAND, cwd=small, env=env | {variable: value}, code=1).stderr
    assert said.splitlines()[-1] == expected
    assert "Traceback" not in said


@pytest.mark.weekly
def test_a_rebuild_without_a_server_that_is_killed_or_ended(user, small, tmp_path):
    folder = Path(shutil.copytree(small, tmp_path / "repo"))
    shutil.copytree(small.parent / "store", tmp_path / "store")
    git(folder, "remote", "remove", "origin")
    before, runs = checkout(folder), tmp_path / "runs"
    env = {key: value for key, value in user.items() if key != "PREFECT_API_URL"}
    env |= {"PREFECT_HOME": str(tmp_path / "prefect"), "RUNS": str(runs)}

    def stages() -> list[psutil.Process]:
        environs = ((process, process.info["environ"] or {}) for process in psutil.process_iter(["environ"]))
        return [process for process, own in environs if own.get("RUNS") == str(runs) and "DVC_STAGE" in own]

    def of_this_test(process: psutil.Process) -> bool:
        with suppress(psutil.Error):
            return process.environ().get("RUNS") == str(runs)
        return False

    @contextmanager
    def hanging() -> Iterator[subprocess.Popen[bytes]]:
        with (tmp_path / "log").open("wb") as log:
            command = (*COMMAND, "-S", "train.x=600")
            process = subprocess.Popen(
                command, cwd=folder, env=env, stdout=log, stderr=log, start_new_session=True
            )
        wait_for(lambda: runs.exists() and "600" in runs.read_text())
        yield process
        process.wait(60)
        runs.unlink()

    with hanging() as ended_at_once:
        ended_at_once.terminate()
    assert ended_at_once.returncode == 143
    assert stages() == []
    with hanging() as interrupted:
        os.killpg(interrupted.pid, signal.SIGINT)  # as Ctrl-C does
    assert interrupted.returncode == 130
    assert [process.pid for process in psutil.process_iter() if of_this_test(process)] == []
    with hanging() as killed:
        killed.kill()
    # Its stage works on, and its place is taken, until the next rebuild finds both.
    said = run(*COMMAND, "-S", "train.x=3", cwd=folder, env=env)
    assert "waiting for another rebuild of this repository to end" in said.stdout + said.stderr
    assert "of 3 stages ran, experiment flow-" in said.stdout.splitlines()[-1]
    assert stages() == []
    assert not (folder / ".dvc/tmp/flow").exists()
    after = checkout(folder)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert [name for name in changed if not name.startswith(("mlflow.db", "mlartifacts/"))] == []
    assert "telemetry" not in (tmp_path / "log").read_text() + said.stderr
    # Prefect's own server outlives a killed run.
    for process in psutil.process_iter(["environ"]):
        if (process.info["environ"] or {}).get("RUNS") == str(runs):
            process.kill()


@pytest.mark.weekly
def test_an_earlier_revision_and_a_single_stage(server, small, tmp_path):
    folder = Path(shutil.copytree(small, tmp_path / "repo"))
    shutil.copytree(small.parent / "store", tmp_path / "store")
    git(folder, "remote", "remove", "origin")
    earlier = git(folder, "rev-parse", "HEAD")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "Not this one")
    said = run(*COMMAND, "HEAD~1", "--target", "zero", cwd=folder, env=server).stdout.splitlines()[-1]
    assert re.match(rf"{earlier}: [01] of 1 stages ran, experiment flow-", said), said
    ref = f"refs/exps/{earlier[:2]}/{earlier[2:]}/{said.split()[-1]}"
    recorded = yaml.safe_load(git(folder, "show", f"{ref}:dvc.lock"))
    assert list(recorded["stages"]) == ["zero"]


def test_what_was_mistyped_is_said_without_a_traceback_and_not_tried_again(server, small):
    done = run(*COMMAND, "-S", "train.y=1", cwd=small, env=server, code=1)
    assert "params.yaml: train.y is missing" in (done.stdout + done.stderr).splitlines()[-1]
    assert "Traceback" not in done.stdout + done.stderr
    (task,) = ask(server, "task_runs/filter", task_runs={"state": {"type": {"any_": ["FAILED"]}}})
    assert (task["name"], task["run_count"]) == ("check out", 1)


def test_without_prefect_one_line_says_what_to_install(project, sh):
    done = sh(*COMMAND, code=1)
    assert done.stderr == "locatable flow needs Prefect: make setup EXTRAS=prefect\n"


# Each waits until the other has begun.
MEET = """
import os, pathlib, sys, time
own, other = (pathlib.Path(os.environ["MEETING"], name) for name in sys.argv[1:])
own.touch()
while "MEET" in os.environ and not other.exists():
    time.sleep(0.1)
pathlib.Path(own.name).write_text(own.name)
"""
SIDE_BY_SIDE = {
    "stages": {
        "left": {"cmd": "python meet.py left right", "deps": ["meet.py"], "outs": ["left"]},
        "right": {"cmd": "python meet.py right left", "deps": ["meet.py"], "outs": ["right"]},
        "both": {"cmd": "cat left right > both", "deps": ["left", "right"], "outs": ["both"]},
    }
}


def test_stages_that_do_not_need_each_other_run_at_a_time_with_the_lock_of_one_after_the_other(
    server, small, tmp_path
):
    folder = Path(shutil.copytree(small, tmp_path / "repo"))
    shutil.copytree(small.parent / "store", tmp_path / "store")
    git(folder, "remote", "remove", "origin")
    (folder / "meet.py").write_text(MEET)
    (folder / "dvc.yaml").write_text(yaml.safe_dump(SIDE_BY_SIDE, sort_keys=False))
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", "Two sides")
    (tmp_path / "meeting").mkdir()
    env = {**server, "MEETING": str(tmp_path / "meeting")}
    run(*COMMAND, "--workers", "2", "--timeout", "200", cwd=folder, env={**env, "MEET": "yes"})
    head = git(folder, "rev-parse", "HEAD")
    (ref,) = git(folder, "for-each-ref", "--format=%(refname)", f"refs/exps/*/{head[2:]}/*").splitlines()
    run("dvc", "repro", cwd=folder, env=env)
    # Its entries are in the order in which stages ended, which means nothing to DVC.
    assert yaml.safe_load(git(folder, "show", f"{ref}:dvc.lock")) == yaml.safe_load(
        (folder / "dvc.lock").read_text()
    )
