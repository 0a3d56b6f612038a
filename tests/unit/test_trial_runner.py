"""Trials that something else proposes run in a clone, and become experiments."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import tiny_dvc
from tiny_git import IDENTITY, git

from locatable import LocatableError, TrialRunner
from locatable.clones import kill_processes
from locatable.repository.running import RunningExperiments, State

METRICS = ["metrics.yaml:loss"]
# Without Python: a stage of milliseconds, but while there is a file that holds it.
PIPELINE = """\
stages:
  train:
    cmd:
    - while test -e "$HOLD"; do sleep 0.1; done
    - test $(sed -n 's/^x. //p' params.yaml) -lt 9 && sed 's/^x/loss/' params.yaml > metrics.yaml
    params: [x]
    outs: [{metrics.yaml: {cache: false}}]
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runner") / "repository"
    tiny_dvc.with_results(root, {"dvc.yaml": PIPELINE, "params.yaml": "x: 1\n"})
    return root


@pytest.fixture(scope="module")
def runner(project: Path) -> Iterator[TrialRunner]:
    before = dict(os.environ)
    source = str(Path(__file__).parents[2] / "src")
    os.environ.update(IDENTITY, PYTHONPATH=source, HOLD=str(project.parent / "hold"))
    with TrialRunner(METRICS, project) as started:
        yield started
    os.environ.clear()
    os.environ.update(before)


def test_a_trial_has_the_value_of_its_params(runner: TrialRunner) -> None:
    assert runner.run("mine-0", {"x": 3}).values == [3.0]


def test_a_trial_is_an_experiment_of_the_repository(runner: TrialRunner, project: Path) -> None:
    trial = runner.run("mine-1", {"x": 4})
    assert git(project, "for-each-ref", "--format=%(objectname)", "refs/exps/**/mine-1") == trial.rev
    assert git(project, "show", f"{trial.rev}:params.yaml") == "x: 4"


def test_the_checkout_stays_as_it_is(runner: TrialRunner, project: Path) -> None:
    runner.run("mine-2", {"x": 5})
    assert git(project, "status", "--porcelain") == ""


def test_a_trial_is_found_while_it_runs_and_not_after(runner: TrialRunner, project: Path) -> None:
    hold = project.parent / "hold"
    hold.touch()
    running = RunningExperiments(project)
    with ThreadPoolExecutor(1) as pool:
        trial = pool.submit(runner.run, "mine-8", {"x": 7})
        while not running.find() and not trial.done():
            time.sleep(0.1)
        found = running.find()
        hold.unlink()
        trial.result()
    told = [(one.name, one.location, one.state) for one in found]
    assert (told, running.find()) == ([("mine-8", "search", State.RUNNING)], [])


def test_a_trial_that_fails_says_why(runner: TrialRunner) -> None:
    with pytest.raises(LocatableError, match=r"mine-3 failed: .*train"):
        runner.run("mine-3", {"x": 9})


def test_after_a_failure_the_next_trial_runs(runner: TrialRunner) -> None:
    with pytest.raises(LocatableError):
        runner.run("mine-4", {"x": 9})
    assert runner.run("mine-5", {"x": 6}).values == [6.0]


def test_it_does_without_optuna() -> None:
    code = "import sys; from locatable import TrialRunner; sys.exit('optuna' in sys.modules)"
    source = str(Path(__file__).parents[2] / "src")
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": source}).returncode == 0


def test_the_clone_is_removed_in_the_end(project: Path) -> None:
    clones = project / ".dvc/tmp/search"
    before = set(clones.glob("*"))
    with TrialRunner(METRICS, project):
        assert set(clones.glob("*")) > before
    assert set(clones.glob("*")) == before


def test_without_its_worker_no_trial_runs_and_none_waits(project: Path) -> None:
    before = set((project / ".dvc/tmp/search").glob("runner-*"))
    with TrialRunner(METRICS, project) as runner:
        (folder,) = set((project / ".dvc/tmp/search").glob("runner-*")) - before
        kill_processes(folder.resolve())
        for name in ("mine-6", "mine-7"):
            with pytest.raises(LocatableError, match="its worker died"):
                runner.run(name, {"x": 3})
