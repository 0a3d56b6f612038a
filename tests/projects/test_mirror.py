"""`locatable mirror`: every experiment becomes one MLflow run that says all there is to say."""

import json
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from mirrored import check, check_all, dump, git, refs
from support import run

from bench import synthetic

Shell = Callable[..., subprocess.CompletedProcess[str]]


def summary(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def mirrored(rebuilt: Path, env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with experiments and a search's trials, mirrored into its own SQLite; do not change it."""
    project = Path(shutil.copytree(rebuilt, tmp_path_factory.mktemp("mirror") / "project", symlinks=True))
    git(project, "remote", "add", "origin", "https://ada:secret-token@example.org/lab/tumours.git")
    synthetic.add(project, 3, "plain")
    (project / "search.yaml").write_text("study: wide\n")
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "-m", "Search")
    synthetic.add(project, 3, "wide", trials=True)
    done = run("locatable", "mirror", cwd=project, env=env)
    # Two baselines, a study, six experiments.
    assert summary(done) == "mirrored 9 new, 0 already there, 0 failed"
    return project


@pytest.fixture(scope="module")
def runs(mirrored: Path, env: dict[str, str]) -> list[dict]:
    return dump(f"sqlite:///{mirrored}/mlflow.db", "tumour-classifier", env, mirrored)


@pytest.fixture(scope="module")
def by_name(runs: list[dict]) -> dict[str, dict]:
    """The runs by their names."""
    return {found["name"]: found for found in runs}


def test_every_experiment_has_all_its_values(mirrored: Path, runs: list[dict]) -> None:
    assert len(runs) == 9
    check_all(mirrored, runs)


@pytest.mark.parametrize("rev", ["HEAD", "HEAD~1"])
def test_every_baseline_has_all_its_values(mirrored: Path, runs: list[dict], rev: str) -> None:
    commit = git(mirrored, "rev-parse", rev).strip()
    (found,) = [found for found in runs if found["tags"].get("dvc.rev") == commit]
    assert found["name"] == f"baseline {commit[:7]}"
    check(mirrored, found, commit)


def test_experiments_are_nested_below_their_baseline_and_trials_below_their_study(
    mirrored: Path, runs: list[dict]
) -> None:
    ids = {found["id"]: found["name"] for found in runs}
    head, before = git(mirrored, "rev-list", "-2", "HEAD").split()
    assert {found["name"]: ids.get(found["tags"].get("mlflow.parentRunId")) for found in runs} == {
        **{f"wide-{n}": "wide" for n in range(3)},
        **{f"plain-{n}": f"baseline {before[:7]}" for n in range(3)},
        **dict.fromkeys(("wide", f"baseline {head[:7]}", f"baseline {before[:7]}")),
    }


@pytest.mark.parametrize(
    "answer",
    [
        "git clone https://example.org/lab/tumours.git",
        "git checkout --detach {rev}",
        "pip install --require-hashes -r requirements.lock",
        "dvc pull data/raw.csv",
        "dvc repro",
        "data/raw.csv",
        "tumour_classifier/models.py",
        "prepare.valid_fraction",
        "Python 3.",
        "models/model.joblib",
    ],
)
def test_the_page_of_a_run_answers_where_it_came_from_and_how_to_rebuild_it(
    mirrored: Path, by_name: dict[str, dict], answer: str
) -> None:
    page = by_name["wide-1"]["tags"]["mlflow.note.content"]
    assert answer.format(rev=refs(mirrored)["wide-1"]) in page


@pytest.fixture(scope="module")
def stored(mirrored: Path) -> list[Path]:
    """All files that the store consists of."""
    files = [mirrored / "mlflow.db", *(f for f in (mirrored / "mlartifacts").rglob("*") if f.is_file())]
    assert len(files) > 50
    return files


def test_no_credential_reaches_mlflow(runs: list[dict], stored: list[Path]) -> None:
    assert "secret-token" not in json.dumps(runs)
    assert not any(b"secret-token" in file.read_bytes() for file in stored)


def test_no_model_file_reaches_mlflow(stored: list[Path]) -> None:
    assert not any(file.name == "model.joblib" for file in stored)


def test_again_adds_nothing_and_follows_git(mirrored: Path, env: dict[str, str], tmp_path: Path) -> None:
    project = Path(shutil.copytree(mirrored, tmp_path / "project", symlinks=True))
    uri = f"sqlite:///{project}/again.db"
    call = ("locatable", "mirror", "--tracking-uri", "sqlite:///again.db", "--experiment", "other")
    assert summary(run(*call, cwd=project, env=env)).startswith("mirrored 9 new")
    first = dump(uri, "other", env, project)
    assert summary(run(*call, cwd=project, env=env)) == "mirrored 0 new, 9 already there, 0 failed"
    assert dump(uri, "other", env, project) == first
    # From a linked worktree, the same store is meant.
    git(project, "worktree", "add", "--quiet", "../tree")
    assert "0 new, 9 already" in summary(run(*call, cwd=tmp_path / "tree", env=env))

    run("dvc", "exp", "rename", "--quiet", "plain-0", "simple", cwd=project, env=env)
    run("dvc", "exp", "remove", "--quiet", "plain-1", cwd=project, env=env)
    git(project, "commit", "--quiet", "--amend", "-m", "The last baseline is on no branch now")
    synthetic.add(project, 1, "wide", start=3, trials=True)
    done = run(*call, "--prune", cwd=project, env=env)
    assert summary(done) == "mirrored 2 new, 8 already there, 0 failed, 1 renamed, 1 pruned"
    after = dump(uri, "other", env, project)
    check_all(project, after)
    names = {found["name"] for found in after}
    assert {"simple", "wide-3"} < names
    assert not {"plain-0", "plain-1"} & names
    assert {f["name"] for f in after if f["tags"].get("dvc.study")} == {
        "wide",
        *(f"wide-{n}" for n in range(4)),
    }

    # Git alone makes it all again.
    (project / "again.db").unlink()
    run(*call, cwd=project, env=env)

    def content(found: list[dict]) -> list[dict]:
        tags = [{k: v for k, v in f["tags"].items() if k != "mlflow.parentRunId"} for f in found]
        rest = [{k: v for k, v in f.items() if k not in ("id", "tags")} for f in found]
        return sorted(([t, r] for t, r in zip(tags, rest, strict=True)), key=str)

    assert content(dump(uri, "other", env, project)) == content(after)


def test_all_commits_and_watch(mirrored: Path, env: dict[str, str], tmp_path: Path) -> None:
    project = Path(shutil.copytree(mirrored, tmp_path / "project", symlinks=True))
    call = ("locatable", "mirror", "--experiment", "all", "--all-commits", "--watch", "0.2")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(call, cwd=project, env=env, **pipes) as watching:
        assert watching.stdout.readline().endswith("new, 0 already there, 0 failed\n")
        synthetic.add(project, 1, "late")
        while (line := watching.stdout.readline()).startswith("mirrored 0 new"):
            pass
        assert line.startswith("mirrored 1 new")
        watching.send_signal(signal.SIGINT)
        assert watching.wait(60) == 130
        assert watching.stderr.read() == "stopped; the next call continues from here\n"
    found = dump(f"sqlite:///{project}/mlflow.db", "all", env, project, deep=False)
    commits = git(project, "rev-list", "HEAD").split()
    locked = {rev for rev in commits if "dvc.lock" in git(project, "ls-tree", "--name-only", rev).split()}
    assert len(commits) > len(locked) > 1
    by_rev = {run["tags"]["dvc.rev"] for run in found if "dvc.rev" in run["tags"]}
    assert by_rev == locked | set(refs(project).values())
