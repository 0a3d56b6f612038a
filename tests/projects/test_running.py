"""What DVC runs now, in MLflow: real trainings by DVCLive, read while they grow."""

import random
import shutil
import statistics
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

import psutil
import pytest
from filelock import FileLock
from mirrored import git, refs
from mlflow import MlflowClient
from mlflow.entities import Run
from support import run

TRAIN = """
import time
import yaml
from dvclive import Live

params = yaml.safe_load(open("params.yaml"))
with Live("live", dvcyaml=None, save_dvc_exp=False) as live:
    for step in range(params["steps"]):
        live.log_metric("loss", params["rate"] / (step + 1))
        live.log_metric("written", time.time())
        live.next_step()
        time.sleep(params["pause"])
"""
PIPELINE = """
stages:
  train:
    cmd: python train.py
    deps: [train.py]
    params: [pause, rate, steps]
    metrics: [live/metrics.json: {cache: false}]
    plots: [live/plots/metrics: {x: step, cache: false}]
"""
LONG = ("-S", "steps=12", "-S", "pause=1", "-S", "rate=8")
# Seconds after which what a watcher should have done has not been done.
PATIENCE = 240


class Training:
    """A repository in which something is trained, its watchers, and its runs in MLflow."""

    def __init__(self, root: Path, env: Mapping[str, str]) -> None:
        self.root = root
        self.env = env
        self.processes: list[subprocess.Popen[bytes]] = []
        self._said: dict[int, Path] = {}
        self.client = MlflowClient(f"sqlite:///{root}/mlflow.db")

    def start(self, *command: str, output: IO[bytes] | None = None) -> subprocess.Popen[bytes]:
        """Start a command that goes on in the background."""
        process = subprocess.Popen(
            command, cwd=self.root, env=self.env, stdin=subprocess.DEVNULL, stdout=output
        )
        self.processes.append(process)
        return process

    def watch(self) -> subprocess.Popen[bytes]:
        """Start a watcher; what it says is in a file that `has_begun` looks at."""
        number = len(self.processes)
        with (self.root.parent / f"said-{number}").open("wb") as said:
            process = self.start("locatable", "mirror", "--watch", output=said)
        self._said[process.pid] = Path(said.name)
        return process

    def has_begun(self, watcher: subprocess.Popen[bytes]) -> bool:
        """Return whether a watcher has mirrored once."""
        return self._said[watcher.pid].stat().st_size > 0

    def runs(self) -> list[Run]:
        """Return the runs beside those of baselines."""
        ids = [experiment.experiment_id for experiment in self.client.search_experiments()]
        return [one for one in self.client.search_runs(ids) if "baseline" not in one.info.run_name]

    def until(self, status: str, points: int = 0) -> list[Run]:
        """Look every second until the only run has a status and that many points; return what was seen."""
        seen: list[Run] = []
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            runs = self.runs()
            assert len(runs) <= 1
            seen += runs
            if runs and runs[0].info.status == status and len(self.points(runs[0])) >= points:
                return seen
            time.sleep(1)
        raise AssertionError([(one.info.run_id, one.info.status, one.data.metrics) for one in seen[-1:]])

    def points(self, one: Run) -> list[tuple[int, float]]:
        history = self.client.get_metric_history(one.info.run_id, "loss")
        return sorted((point.step, point.value) for point in history)

    def kill(self, *names: str) -> None:
        """Kill every process of the repository whose command has one of these words; a stage is one."""
        for process in self.processes_of(*names):
            with suppress(psutil.Error):
                process.kill()

    def kill_one(self, name: str, chance: random.Random) -> int:
        """Kill one of these processes; return how many there were to kill: one or none."""
        found = self.processes_of(name)
        for process in chance.sample(found, min(1, len(found))):
            process.kill()
        return min(1, len(found))

    def processes_of(self, *names: str) -> list[psutil.Process]:
        """Return the processes of the repository whose command has one of these words."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if Path(process.cwd()).is_relative_to(self.root) and set(names) & set(process.cmdline()):
                    found.append(process)
        return found


@pytest.fixture(scope="session")
def trained(shared: Path, env: dict[str, str]) -> Path:
    """A repository with results; copy it, do not change it."""
    root = shared / "trained"
    with FileLock(root.with_suffix(".lock")):
        if not root.with_suffix(".done").exists():
            train(root, env)
            root.with_suffix(".done").touch()
    return root


def train(root: Path, env: Mapping[str, str]) -> None:
    """Make a repository, and have DVC run what it declares."""
    root.mkdir()
    run("git", "init", "--quiet", cwd=root, env=env)
    run("dvc", "init", "--quiet", cwd=root, env=env)
    write_site(root)
    (root / "train.py").write_text(TRAIN)
    (root / "dvc.yaml").write_text(PIPELINE)
    (root / "params.yaml").write_text("pause: 0\nrate: 4\nsteps: 2\n")
    for subject in ("Pipeline", "Results"):
        run("git", "add", "--all", cwd=root, env=env)
        run("git", "commit", "--quiet", "-m", subject, cwd=root, env=env)
        run("dvc", "repro", "--quiet", cwd=root, env=env)


def write_site(root: Path) -> None:
    """Have DVC keep what it knows of a repository beside it."""
    (root / ".dvc/config.local").write_text(f"[core]\n    site_cache_dir = {root.parent / 'site'}\n")


@pytest.fixture
def training(tmp_path: Path, trained: Path, env: dict[str, str]) -> Iterator[Training]:
    """A repository with results, mirrored."""
    root = Path(shutil.copytree(trained, tmp_path / "project", symlinks=True))
    write_site(root)
    run("locatable", "mirror", cwd=root, env=env)
    training = Training(root, env)
    yield training
    training.kill("train.py", "dvc", "exp", "queue")
    for process in training.processes:
        process.kill()
        process.wait()


EXPECTED = [(step, 8 / (step + 1)) for step in range(12)]


# In the workspace, a watcher that is killed is followed by another one, below.
@pytest.mark.parametrize(
    "how",
    [
        pytest.param([("dvc", "exp", "run", "--quiet", "--name", "forest", *LONG)], marks=pytest.mark.weekly),
        pytest.param(
            [("dvc", "exp", "run", "--quiet", "--temp", "--name", "forest", *LONG)], marks=pytest.mark.weekly
        ),
        [
            ("dvc", "exp", "run", "--quiet", "--queue", "--name", "forest", *LONG),
            ("dvc", "queue", "start", "--quiet"),
        ],
    ],
    ids=["workspace", "temp", "queue"],
)
def test_an_experiment_is_shown_while_it_grows_and_is_its_commits_run_in_the_end(
    training: Training, how: list[tuple[str, ...]]
) -> None:
    training.watch()
    for command in how:
        training.start(*command).wait() if "--queue" in command else training.start(*command)
    seen = training.until("FINISHED")
    growing = [one for one in seen if one.info.status == "RUNNING"]
    values = [one.data.metrics["loss"] for one in growing if one.data.metrics]
    assert len(set(values)) > 2
    assert values == sorted(values, reverse=True)
    assert {one.info.run_id for one in seen} == {seen[-1].info.run_id}
    assert seen[-1].data.tags["dvc.rev"] == refs(training.root)["forest"]
    assert training.points(seen[-1]) == EXPECTED


def test_a_training_that_is_killed_has_failed_and_keeps_its_points(training: Training) -> None:
    training.watch()
    training.start("dvc", "exp", "run", "--quiet", "--name", "forest", *LONG)
    training.until("RUNNING", points=3)
    training.kill("train.py")
    failed = training.until("FAILED")[-1]
    assert "nobody will find this run again" in failed.data.tags["mirror.provisional"]
    points = training.points(failed)
    assert points == EXPECTED[: len(points)]


@pytest.mark.weekly
def test_an_experiment_whose_dvc_is_killed_was_killed(training: Training) -> None:
    training.watch()
    dvc = training.start("dvc", "exp", "run", "--quiet", "--temp", "--name", "forest", *LONG)
    training.until("RUNNING", points=2)
    dvc.kill()
    dvc.wait()
    training.kill("train.py")
    assert training.until("KILLED")[-1].data.metrics


@pytest.mark.weekly
def test_an_experiment_of_the_queue_whose_process_is_killed_was_killed(training: Training) -> None:
    training.watch()
    queue = ("dvc", "exp", "run", "--quiet", "--queue", "--name", "forest", *LONG)
    run(*queue, cwd=training.root, env=training.env)
    training.start("dvc", "queue", "start", "--quiet")
    training.until("RUNNING", points=2)
    training.kill("exec-run", "train.py")
    assert training.until("KILLED")[-1].data.metrics


def test_a_watcher_that_is_killed_is_followed_by_another_one(training: Training) -> None:
    first = training.watch()
    training.start("dvc", "exp", "run", "--quiet", "--name", "forest", *LONG)
    training.until("RUNNING", points=2)
    first.kill()
    training.watch()
    training.watch()
    seen = training.until("FINISHED")
    assert {one.info.run_id for one in seen} == {seen[-1].info.run_id}
    assert training.points(seen[-1]) == EXPECTED


def test_a_repro_is_shown_and_becomes_the_run_of_the_next_commit(training: Training) -> None:
    training.watch()
    (training.root / "params.yaml").write_text("pause: 1\nrate: 8\nsteps: 12\n")
    repro = training.start("dvc", "repro", "--quiet")
    before = training.until("RUNNING", points=2)[-1]
    assert repro.wait() == 0
    training.until("FINISHED")
    git(training.root, "commit", "--quiet", "--all", "-m", "More steps")
    deadline = time.monotonic() + PATIENCE
    after = before
    # Its name changes before its tags do.
    while "dvc.rev" not in after.data.tags and time.monotonic() < deadline:
        time.sleep(1)
        after = training.client.get_run(before.info.run_id)
    assert after.data.tags["dvc.rev"] == git(training.root, "rev-parse", "HEAD").strip()
    assert training.points(after) == EXPECTED


@pytest.mark.weekly
def test_the_points_of_a_minute_are_shown_within_two_seconds(training: Training) -> None:
    training.watch()
    minute = ("-S", "steps=60", "-S", "pause=1", "-S", "rate=8")
    training.start("dvc", "exp", "run", "--quiet", "--name", "forest", *minute)
    delays: dict[int, float] = {}
    shown = set()
    deadline = time.monotonic() + PATIENCE
    while not refs(training.root) and time.monotonic() < deadline:
        for one in training.runs():
            shown.add(one.info.run_id)
            history = training.client.get_metric_history(one.info.run_id, "written")
            seen = time.time()
            for point in history:
                delays.setdefault(point.step, seen - point.value)
        time.sleep(1)
    last = training.until("FINISHED")[-1]
    assert shown == {last.info.run_id}
    assert last.data.tags["dvc.rev"] == refs(training.root)["forest"]
    assert training.points(last) == [(step, 8 / (step + 1)) for step in range(60)]
    assert len(delays) > 50
    # With the second between two looks of this test; one in two may wait for a mirror of what is new.
    assert statistics.median(delays.values()) < 3


@pytest.mark.weekly
def test_ten_at_once_end_as_one_run_each_whatever_is_killed(training: Training) -> None:
    chance = random.Random(4)  # noqa: S311 (no secret)
    for number in range(10):
        changes = ("-S", f"rate={number + 10}", "-S", "steps=60", "-S", "pause=1")
        run("dvc", "exp", "run", "--queue", *changes, cwd=training.root, env=training.env)
    watchers = [training.watch(), training.watch()]
    training.start("dvc", "queue", "start", "--quiet", "--jobs", "10")
    seen: dict[str, set[int]] = {}
    killed = 0
    next_kill = 0.0
    deadline = time.monotonic() + 3 * PATIENCE
    while len(refs(training.root)) + killed < 10 and time.monotonic() < deadline:
        time.sleep(1)
        for one in training.runs():
            seen.setdefault(one.info.run_id, set()).add(len(training.points(one)))
        # On a slow machine a watcher takes long to begin, and is to have shown something.
        if len(seen) < 10 or not all(map(training.has_begun, watchers)):
            next_kill = time.monotonic() + chance.uniform(4, 12)
        if time.monotonic() < next_kill:
            continue
        for watcher in chance.sample(watchers, chance.choice([1, 2])):
            watcher.kill()
            watchers.remove(watcher)
            watchers.append(training.watch())
        if not killed or chance.random() < 0.3:
            killed += training.kill_one("train.py", chance)
    for watcher in watchers:
        watcher.kill()
    is_over = False
    while not is_over and time.monotonic() < deadline:
        run("locatable", "mirror", cwd=training.root, env=training.env)
        runs = training.runs()
        # DVC takes a moment to note how the last one ended.
        is_over = "RUNNING" not in {one.info.status for one in runs}
    finished = {one.data.tags["dvc.rev"] for one in runs if one.info.status == "FINISHED"}
    assert finished == set(refs(training.root).values())
    assert {one.info.status for one in runs} == {"FINISHED", "FAILED"}
    assert (len(runs), len(finished)) == (10, 10 - killed)
    assert len({one.info.run_name for one in runs}) == 10
    for one in runs:
        points = training.points(one)
        rate = points[0][1] if points else 0
        assert points == [(step, rate / (step + 1)) for step in range(len(points))]
        if one.info.status == "FINISHED":
            assert len(points) == 60
            assert len(seen[one.info.run_id]) > 2
