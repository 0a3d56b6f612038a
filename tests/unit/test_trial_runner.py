"""Trials that something else proposes run in a clone, and become experiments."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_dvc
from tiny_git import IDENTITY, git

from locatable import LocatableError, TrialRunner
from locatable.clones.processes import kill_processes

METRICS = ["metrics.yaml:loss"]
# Without Python: a stage of milliseconds.
PIPELINE = """\
stages:
  train:
    cmd: test $(sed -n 's/^x. //p' params.yaml) -lt 9 && sed 's/^x/loss/' params.yaml > metrics.yaml
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
    os.environ.update(IDENTITY, PYTHONPATH=source)
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
