# /// script
# dependencies = []
# [tool.joint]
# question = "Environments"
# tool = "containers"
# joint = "src/locatable/results/coordinates.py"
# small = true
# ///
"""The digest of an image is a dependency of a stage: in a Dockerfile, in a file of its own, or in params."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import tiny_dvc
from tiny_git import write

from locatable import read_coordinates
from locatable.results.coordinates import Coordinates

DIGEST = "sha256:" + 64 * "1"
OTHER_DIGEST = "sha256:" + 64 * "2"
FILES = {
    "Dockerfile": f"FROM python@{DIGEST}\nRUN apt-get install gdal-bin=3.6.2\n",
    "image.txt": f"python@{DIGEST}\n",
    "params.yaml": f"image: python@{DIGEST}\n",
}
# `docker run` is only shown: what matters is what DVC and the coordinates know of the image.
PIPELINE = """\
vars: [params.yaml]
stages:
  dockerfile:
    cmd: echo docker run example > a.txt
    deps: [Dockerfile]
    outs: [a.txt]
  file:
    cmd: echo docker run $(cat image.txt) > b.txt
    deps: [image.txt]
    outs: [b.txt]
  param:
    cmd: echo docker run ${image} > c.txt
    params: [image]
    outs: [c.txt]
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    tiny_dvc.init(root)
    write(root, {"dvc.yaml": PIPELINE, **FILES})
    rebuild(root)
    return root


def rebuild(root: Path, files: Mapping[str, str] | None = None) -> list[str]:
    """Write files and have DVC run what is out of date; returns the stages that ran, and commits."""
    write(root, files or {})
    with tiny_dvc.dvc(root) as repo:
        ran = [stage.addressing for stage in repo.reproduce()]
    tiny_dvc.commit(root)
    return ran


def coordinates(root: Path) -> Coordinates:
    return read_coordinates(root, "HEAD")


def test_a_declared_dockerfile_is_the_environment(root: Path) -> None:
    assert list(coordinates(root).environment.content["files"]) == ["Dockerfile"]


def test_beside_a_lock_a_declared_dockerfile_counts_as_code(root: Path) -> None:
    rebuild(root, {"requirements.lock": "six==1.17.0\n"})
    assert list(coordinates(root).environment.content["files"]) == ["requirements.lock"]
    assert "Dockerfile" in coordinates(root).code.content["files"]


def test_a_file_with_the_digest_counts_as_code(root: Path) -> None:
    assert list(coordinates(root).code.content["files"]) == ["image.txt"]


def test_a_digest_in_params_is_a_param(root: Path) -> None:
    assert coordinates(root).params.content == {"image": f"python@{DIGEST}"}


@pytest.mark.parametrize(
    ("file", "stage", "coordinate"),
    [
        ("Dockerfile", "dockerfile", "environment"),
        ("image.txt", "file", "code"),
        ("params.yaml", "param", "params"),
    ],
)
def test_another_digest_makes_results_out_of_date(root: Path, file: str, stage: str, coordinate: str) -> None:
    before = getattr(coordinates(root), coordinate).digest
    assert rebuild(root, {file: FILES[file].replace(DIGEST, OTHER_DIGEST)}) == [stage]
    assert getattr(coordinates(root), coordinate).digest != before
