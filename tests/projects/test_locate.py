"""`locatable locate`: any file, experiment, revision or MLflow run leads to its coordinates."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support import run

Shell = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def searched(rebuilt: Path, env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with an experiment; copy it, do not change it."""
    project = Path(shutil.copytree(rebuilt, tmp_path_factory.mktemp("locate") / "project", symlinks=True))
    changes = ("-S", "train.logistic.alpha=0.01", "-S", "train.logistic.epochs=4")
    run("dvc", "exp", "run", "--quiet", "--name", "weak", *changes, cwd=project, env=env)
    shutil.copy(project / "reports/evaluate/figures/roc.png", project.parent / "weak.png")
    shutil.copy(project / "models/model.joblib", project.parent / "weak.joblib")
    run("git", "checkout", "--quiet", ".", cwd=project, env=env)
    run("dvc", "checkout", "--quiet", cwd=project, env=env)
    return project


@pytest.fixture
def found(searched: Path, env: dict[str, str]) -> Callable[..., list[dict]]:
    """What `locate --json` says."""

    def call(target: str | Path) -> list[dict]:
        said = run("locatable", "locate", target, "--json", cwd=searched, env=env).stdout
        return json.loads(said)

    return call


def test_a_copied_plot_leads_to_its_experiment(searched: Path, found: Callable) -> None:
    (told,) = found(searched.parent / "weak.png")
    assert told["experiment"]["name"] == "weak"
    assert told["roles"] == {"reports/evaluate/figures/roc.png": "output of evaluate"}
    assert told["params_changed"] == {"train.logistic.alpha": [0.001, 0.01], "train.logistic.epochs": [30, 4]}
    assert told["coordinates"]["code"]["content"]["commit"] == told["rev"]


def test_a_plot_is_told_in_80_columns(searched: Path, env: dict[str, str]) -> None:
    said = run("locatable", "locate", searched.parent / "weak.png", cwd=searched, env=env).stdout
    head, *lines = said.splitlines()
    assert head.startswith("weak  ")
    # A long list of values goes on in the next line, further to the right.
    begun = [line.split()[0] for line in lines if not line.startswith("    ")]
    assert begun[:5] == ["data", "code", "params", "environment", "execution"]
    assert max(map(len, lines[: lines.index("  rebuild")])) <= 80
    assert "train.logistic.alpha 0.001 → 0.01" in said


def test_the_commands_rebuild_the_result(
    searched: Path, found: Callable, env: dict[str, str], tmp_path: Path
) -> None:
    (told,) = found("weak")
    # The environment is there already; all else is run as it stands, beside the remote.
    commands = [line for line in told["rebuild"] if not line.startswith(("python3 -m venv", "pip install"))]
    assert len(commands) == len(told["rebuild"]) - 2
    run("dvc", "push", "--quiet", cwd=searched, env=env)
    shutil.copytree(searched.parent / "tumour-classifier-dvc", tmp_path / "tumour-classifier-dvc")
    run("bash", "-c", "\n".join(["set -e", *commands]), cwd=tmp_path, env=env)
    rebuilt = tmp_path / "project" / "models/model.joblib"
    assert rebuilt.read_bytes() == (searched.parent / "weak.joblib").read_bytes()


def test_more_revisions_than_are_kept_in_memory(searched: Path, found: Callable, env: dict[str, str]) -> None:
    few = "from locatable.git import objects; from locatable.repository import reader; "
    few += "objects.MOST_TREES = reader.TOGETHER = 1; "
    call = ("python", "-c", few + "import sys; from locatable.cli import main; sys.exit(main())", "locate")
    for target in (searched.parent / "weak.png", searched / "tumour_classifier/models.py"):
        said = run(*call, target, "--json", cwd=searched, env=env).stdout
        assert json.loads(said) == found(target)


def test_a_run_of_mlflow_leads_to_its_experiment(
    searched: Path, found: Callable, env: dict[str, str]
) -> None:
    (weak,) = found("weak")
    run("locatable", "mirror", cwd=searched, env=env)
    ask = (
        "import mlflow; c = mlflow.MlflowClient('sqlite:///mlflow.db'); "
        f"print(c.search_runs(['1'], \"tags.`dvc.rev` = '{weak['rev']}'\")[0].info.run_id)"
    )
    run_id = run("python", "-c", ask, cwd=searched, env=env).stdout.split()[-1]
    assert found(run_id) == [weak]


def test_an_unknown_target_is_one_line(searched: Path, env: dict[str, str]) -> None:
    done = run("locatable", "locate", "nobody", cwd=searched, env=env, code=1)
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "nobody" in done.stderr


def test_mlflow_is_not_imported(searched: Path, env: dict[str, str]) -> None:
    said = run(
        "python", "-X", "importtime", "-m", "locatable", "locate", "weak", cwd=searched, env=env
    ).stderr
    assert "locatable.results.coordinates" in said
    assert not {"mlflow", "dvc", "pandas"} & {line.split("|")[-1].strip() for line in said.splitlines()}


def test_a_model_is_found_from_outside_of_any_repository(
    searched: Path, env: dict[str, str], tmp_path: Path
) -> None:
    indexed = env | {"LOCATABLE_INDEX": str(tmp_path / "index.sqlite")}
    run("locatable", "index", "add", searched, cwd=tmp_path, env=indexed)
    model = searched.parent / "weak.joblib"
    said = run("locatable", "locate", "--everywhere", model, "--json", cwd=tmp_path, env=indexed).stdout
    (told,) = json.loads(said)
    assert (told["repository"], told["experiment"]["name"]) == (str(searched), "weak")
    assert told["roles"] == {"models/model.joblib": "output of train"}
