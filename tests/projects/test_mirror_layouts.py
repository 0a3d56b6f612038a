"""The mirror and `locate` in DVC repositories that were not made from the template."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from mirrored import dump, git
from support import run

Shell = Callable[..., subprocess.CompletedProcess[str]]
STAGE = """
import json, os
for name, value in {"train.json": '{"acc": 0.9}', "test.json": '{"acc": 0.7}', "one.json": "0.93", "list.json": "[1]"}.items():
    open(name, "w").write(value)
os.makedirs("plots/metrics", exist_ok=True)
open("plots/metrics/loss.tsv", "w").write("step\\tloss\\n0\\t0.5\\n1\\t0.25\\n")
open("plots/metrics/cut.tsv", "w").write("step\\tcut\\n0\\t0.5\\n1\\n")
os.makedirs("models", exist_ok=True)
open("models/net.bin", "w").write("weights")
"""  # noqa: E501
PIPELINE: dict[str, Any] = {
    "stages": {
        "make": {
            "cmd": "python make.py",
            "deps": ["make.py"],
            "outs": ["models"],
            # As DVC does by itself: cached.
            "metrics": ["train.json", "test.json", "one.json", "list.json"],
            "plots": ["plots/metrics"],
        }
    },
    "artifacts": {"net": {"path": "models/net.bin", "type": "model"}},
}


@pytest.fixture(scope="module")
def made(env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small repository with committed results; copy it."""
    folder = tmp_path_factory.mktemp("layouts") / "small repo"
    folder.mkdir()
    (folder / "make.py").write_text(STAGE)
    (folder / "dvc.yaml").write_text(yaml.safe_dump(PIPELINE))
    (folder / ".gitignore").write_text("/mlflow.db*\n")
    for command in (
        ("git", "init", "--quiet", "--initial-branch=main"),
        ("dvc", "init", "--quiet"),
        ("dvc", "config", "--local", "core.site_cache_dir", folder.parent / "site"),
        ("dvc", "repro", "--quiet"),
        ("git", "add", "--all"),
        ("git", "commit", "--quiet", "-m", "Results"),
    ):
        run(*command, cwd=folder, env=env)
    return folder


@pytest.fixture
def sh(tmp_path: Path, made: Path, env: dict[str, str]) -> Shell:
    """Run a command in a small repository of the test's own."""
    folder = Path(shutil.copytree(made, tmp_path / made.name, symlinks=True))

    def call(*command: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        return run(*command, **{"cwd": folder, "env": env, **options})

    return call


@pytest.fixture
def repo(sh: Shell) -> Path:
    return Path(sh("pwd").stdout.strip())


def runs(repo: Path, env: dict[str, str]) -> list[dict[str, Any]]:
    return dump(f"sqlite:///{repo}/mlflow.db", repo.name, env, repo)


def test_nothing_is_lost_or_overwritten(sh: Shell, repo: Path, env: dict[str, str]) -> None:
    assert sh("locatable", "mirror").stdout == "mirrored 1 new, 0 already there, 0 failed\n"
    (found,) = runs(repo, env)
    assert found["metrics"] == {"train.json/acc": 0.9, "test.json/acc": 0.7, "one": 0.93, "loss": 0.25}
    assert [point[:2] for point in sorted(found["series"]["loss"])] == [[0, 0.5], [1, 0.25]]
    # What cannot be read is said, and kept.
    assert "list.json: expected keys and values" in found["tags"]["mirror.unread"]
    assert "cut.tsv: a line has not as many values" in found["tags"]["mirror.unread"]
    assert {"list.json", "train.json", "plots/metrics/cut.tsv"} <= found["files"].keys()
    ((name, _, tags),) = found["models"]
    assert (name, tags["dvc.path"]) == ("net", "models/net.bin")
    listed = json.loads(next((repo / ".dvc/cache/files/md5").rglob("*.dir")).read_text())
    assert tags["dvc.md5"] in {entry["md5"] for entry in listed} | {
        entry["md5"]
        for file in (repo / ".dvc/cache/files/md5").rglob("*.dir")
        for entry in json.loads(file.read_text())
    }
    # MLflow's copies of dvc.yaml are no pipelines of the repository.
    assert git(repo, "status", "--porcelain") == ""
    assert "mlartifacts" not in sh("dvc", "status").stdout


def test_a_run_gets_files_that_come_later(sh: Shell, repo: Path, env: dict[str, str]) -> None:
    cache = repo / ".dvc/cache"
    cache.rename(repo.parent / "elsewhere")
    assert "1 without files" in sh("locatable", "mirror").stdout
    (found,) = runs(repo, env)
    assert "train.json" in found["tags"]["mirror.missing"]
    assert "train.json" not in found["files"]
    again = sh("locatable", "mirror").stdout
    assert again.startswith("mirrored 0 new, 1 already there, 0 failed, 1 without files")

    (repo.parent / "elsewhere").rename(cache)
    assert "1 of them with more files now" in sh("locatable", "mirror").stdout
    (found,) = runs(repo, env)
    assert "mirror.missing" not in found["tags"]
    assert found["metrics"]["one"] == 0.93
    assert "models/net.bin" not in found["files"]
    sh("locatable", "mirror", "--copy-models")
    assert "models/net.bin" in runs(repo, env)[0]["files"]
    done = sh("locatable", "mirror", "--copy-models").stdout
    assert done == "mirrored 0 new, 1 already there, 0 failed\n"


def test_a_clone_without_experiments_prunes_none(sh: Shell, repo: Path, env: dict[str, str]) -> None:
    sh("dvc", "exp", "save", "--name", "mine")
    sh("locatable", "mirror")
    # By its URL: a clone of a folder has all objects of the folder.
    sh("git", "clone", "--quiet", repo.as_uri(), repo.parent / "clone")
    team = ("--tracking-uri", f"sqlite:///{repo}/mlflow.db", "--experiment", repo.name, "--prune")
    said = sh("locatable", "mirror", *team, cwd=repo.parent / "clone").stdout
    assert said.endswith("0 pruned\n")
    assert {found["name"] for found in runs(repo, env)} >= {"mine"}
    sh("dvc", "exp", "remove", "mine")
    assert sh("locatable", "mirror", "--prune").stdout.endswith("1 pruned\n")


def test_a_remote_branch_is_searched_too(sh: Shell, repo: Path) -> None:
    sh("git", "checkout", "--quiet", "-b", "side")
    (repo / "make.py").write_text(STAGE.replace("weights", "other weights"))
    sh("dvc", "repro", "--quiet")
    sh("git", "commit", "--quiet", "--all", "-m", "Other")
    shutil.copy(repo / "models/net.bin", repo.parent / "copy.bin")
    shutil.copytree(repo / ".dvc/cache", repo.parent / "cache")
    sh("git", "checkout", "--quiet", "main")
    clone = repo.parent / "clone"
    sh("git", "clone", "--quiet", "--branch", "main", repo, clone)
    sh("dvc", "cache", "dir", "--local", repo.parent / "cache", cwd=clone)
    (told,) = json.loads(sh("locatable", "locate", "../copy.bin", "--json", cwd=clone).stdout)
    assert told["roles"] == {"models": "output of make"}
