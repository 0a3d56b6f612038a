# /// script
# dependencies = ["conda-lock==4.0.3"]
# [tool.joint]
# question = "Environments"
# tool = "conda, mamba"
# joint = "src/locatable/coordinates.py"
# ///
"""A lock of conda is the environment coordinate; a proof runs in the environment that is active."""

import contextlib
import subprocess
from pathlib import Path

import pytest
import tiny_dvc
from tiny_git import git, write

from locatable import read_coordinates
from locatable.errors import CannotTryError
from locatable.proof.reproduce import ProofOptions, reproduce

LOCK = """\
version: 1
metadata:
  content_hash: {linux-64: 3d1b2e7f0a2c4f2f9d7b8c6a5e4f3d2c1b0a9f8e7d6c5b4a3f2e1d0c9b8a7f6e}
  channels: [{url: conda-forge, used_env_vars: []}]
  platforms: [linux-64]
  sources: [environment.yml]
package:
- name: tzdata
  version: 2025b
  manager: conda
  platform: linux-64
  dependencies: {}
  url: https://example.org/conda-forge/noarch/tzdata-2025b-h78e105d_0.conda
  hash: {md5: 4222072737ccff51314b5ece9c7d6f5a}
  category: main
  optional: false
"""
PIPELINE = """\
stages:
  make:
    cmd: cat raw.csv > copy.csv
    deps: [conda-lock.yml, raw.csv]
    outs: [copy.csv]
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project whose stage declares the lock."""
    root = tmp_path / "project"
    tiny_dvc.init(root)
    write(root, {"dvc.yaml": PIPELINE, "conda-lock.yml": LOCK, "raw.csv": "a,b\n1,2\n"})
    rebuild(root)
    return root


def rebuild(root: Path) -> list[str]:
    """Have DVC run what is out of date; returns the stages that ran, and commits."""
    with tiny_dvc.dvc(root) as repo:
        ran = [stage.addressing for stage in repo.reproduce()]
    tiny_dvc.commit(root)
    return ran


def prove(root: Path, fresh_environment: bool) -> bool:
    with contextlib.chdir(root):
        return reproduce(ProofOptions(rev="HEAD", fresh_environment=fresh_environment), print).proven


def test_conda_lock_reads_the_lock_of_these_tests(root: Path) -> None:
    command = ("conda-lock", "render", "--kind", "explicit", "--platform", "linux-64", "conda-lock.yml")
    subprocess.run(command, cwd=root, check=True)
    rendered = (root / "conda-linux-64.lock").read_text()
    assert "tzdata-2025b-h78e105d_0.conda#4222072737ccff51314b5ece9c7d6f5a" in rendered


def test_the_lock_is_the_environment(root: Path) -> None:
    files = read_coordinates(root, "HEAD").environment.content["files"]
    assert list(files) == ["conda-lock.yml"]


def test_environment_yml_is_the_environment_without_being_declared(root: Path) -> None:
    write(root, {"environment.yml": "dependencies: [python=3.11]\n"})
    tiny_dvc.commit(root)
    files = read_coordinates(root, "HEAD").environment.content["files"]
    assert files["environment.yml"] == git(root, "rev-parse", "HEAD:environment.yml")


def test_another_package_makes_results_out_of_date(root: Path) -> None:
    before = read_coordinates(root, "HEAD").environment.digest
    write(root, {"conda-lock.yml": LOCK.replace("2025b", "2025c")})
    assert rebuild(root) == ["make"]
    assert read_coordinates(root, "HEAD").environment.digest != before


def test_a_proof_in_the_environment_that_is_active_passes(root: Path) -> None:
    assert prove(root, fresh_environment=False)


def test_a_fresh_environment_is_not_built_from_it(root: Path) -> None:
    with pytest.raises(CannotTryError, match=r"has no requirements\.lock; .* --env current$"):
        prove(root, fresh_environment=True)
