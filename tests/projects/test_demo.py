"""`git clone` and `make demo`, as one command on a machine with Python, Git and make.

That the template's own environment is built there is seen by whoever starts these tests with `make test`.
"""

import json
import os
import sys
from pathlib import Path

import pytest
from searching import experiments, kept, strays, trials
from support import TEMPLATE, check_printed, run

# Each command of the demo has daily tests of its own; that it has these options, test_docs.py sees.
pytestmark = pytest.mark.weekly


@pytest.fixture
def clone(tmp_path: Path, bare_env: dict[str, str]) -> Path:
    """A clone of the template in a folder whose name has a space, as homes have.

    Of the template's environment just one program is used: all other commands are the project's own.
    """
    clone = tmp_path / "a clone"
    run("git", "clone", "--quiet", TEMPLATE, clone, cwd=tmp_path, env=bare_env)
    (clone / ".venv/bin").mkdir(parents=True)
    for name in ("cookiecutter", "uv"):
        (clone / ".venv/bin" / name).symlink_to(Path(sys.prefix) / "bin" / name)
    (clone / ".venv/ready").touch()
    return clone


@pytest.mark.parametrize("lent", [True, False])
def test_a_clone_shows_itself(clone, env, bare_env, lent):
    """With the environment of the tests, or with one that it builds, which takes longest."""
    user = env | {"VENV": env["VIRTUAL_ENV"]} if lent else bare_env
    shown = run("make", "demo", cwd=clone, env=user, timeout=900).stdout
    project = clone / "build/tumour-classifier"

    def git(*command):
        return run("git", *command, cwd=project, env=bare_env).stdout.split()

    # Every path and command that it ends with is there to be tried.
    assert len(list((project / "reports/evaluate/figures").glob("*.png"))) == 4
    assert json.loads((project / "environment.json").read_text())["drift"] == {}
    refs = experiments(project)
    assert refs.keys() == {"forest", "boosting", *(f"baseline-search-{number}" for number in range(4))}
    for name in ("forest", "boosting"):
        assert f"[{name}]" in shown
        params = kept(project, refs[name], "params.yaml")["train"]
        assert params["model"] == name
        (used,) = kept(project, refs[name], "dvc.lock")["stages"]["train"]["params"].values()
        assert used["train"] == params
    # Searched, mirrored (the experiments, their baseline, the study), located, compared, proved.
    assert "baseline-search: 4 complete, 0 pruned, 0 failed" in shown
    assert "mirrored 8 new, 0 already there, 0 failed" in shown
    readme = (TEMPLATE / "README.md").read_text()
    located = readme.partition("```text\n")[2].partition("```")[0]
    assert "same pixels: boosting" in located
    check_printed(located.splitlines(), shown)
    assert "forest  RUNS NOW (" in shown
    assert "first cause   train: train.model: logistic → boosting" in shown
    assert "10 of 10 outputs rebuilt as recorded, 0 findings" in shown
    assert (project / "mlflow.db").is_file()
    assert (project / "reports/search/baseline-search/history.png").is_file()
    assert git("status", "--porcelain") == git("stash", "list") == strays(project) == []

    # The search has found something better, and the command that it ends with brings it here.
    def loss():
        return json.loads((project / "reports/train/metrics.json").read_text())["valid"]["log_loss"]

    complete = [trial for trial in trials(project, "baseline-search") if trial.state.name == "COMPLETE"]
    best = min(complete, key=lambda trial: trial.value)
    assert best.value < loss()
    name = f"baseline-search-{best.number}"
    assert f"dvc exp apply {name}" in shown
    if not lent:
        env = bare_env | {"PATH": f"{project / '.venv/bin'}{os.pathsep}{bare_env['PATH']}"}
    run("dvc", "exp", "apply", name, cwd=project, env=env)
    ran = run("dvc", "repro", cwd=project, env=env).stdout
    assert [line for line in ran.splitlines() if line.startswith("Running stage")] == [
        "Running stage 'environment':"
    ]
    assert loss() == best.value
    # The template's own repository is as it was cloned.
    assert run("git", "status", "--porcelain", cwd=clone, env=bare_env).stdout == ""


def test_a_clone_shows_the_other_task(clone, env):
    """The penguins, in the environment of the tests."""
    user = env | {"VENV": env["VIRTUAL_ENV"]}
    shown = run("make", "demo", "PROJECT_TASK=regression", cwd=clone, env=user, timeout=900).stdout
    project = clone / "build/penguin-mass"

    assert experiments(project).keys() == {
        "forest",
        "boosting",
        *(f"baseline-search-{number}" for number in range(4)),
    }
    assert "baseline-search: 4 complete, 0 pruned, 0 failed" in shown
    assert "mirrored 8 new, 0 already there, 0 failed" in shown
    assert "reports/evaluate/figures/predicted.png (output of evaluate)" in shown
    assert "forest  RUNS NOW (" in shown
    assert "first cause   train: train.model: logistic → boosting" in shown
    assert "10 of 10 outputs rebuilt as recorded, 0 findings" in shown
    # The columns that the demo compares variants by are there.
    compared = next(line for line in shown.splitlines() if "Experiment" in line)
    assert "rmse" in compared
    assert "train.model" in compared
    plots = json.loads(run("dvc", "plots", "show", "--json", cwd=project, env=env).stdout)["data"]
    assert {"rmse", "mae", "predicted", "residuals"} <= plots.keys()
    assert " passed" in run("pytest", cwd=project, env=env).stdout
    assert run("git", "status", "--porcelain", cwd=project, env=env).stdout == ""
