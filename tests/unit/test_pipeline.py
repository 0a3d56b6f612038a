"""`locatable.pipeline`: stages, commands and edges of a revision, read from Git; DVC has the last word."""

import shutil
from pathlib import Path

import pytest
import tiny_dvc
from tiny_dvc import dvc
from tiny_git import git, write

from locatable import LocatableError, Reader, pipeline
from locatable.errors import NotFoundError

TEMPLATES = """\
vars: [sizes.yaml]
stages:
  prepare: {cmd: ["make ${rows}", "check"], params: [rows], outs: [rows]}
  train:
    foreach: ${sizes}
    do: {cmd: "train ${item}", deps: [rows/train], outs: ["${item}.bin"]}
  grid:
    matrix: {size: "${sizes}", loss: [l1]}
    cmd: grid ${item.size} ${item.loss}
    deps: ["${item.size}.bin"]
    outs: ["${item.size}-${item.loss}.txt"]
"""
BELOW = """\
stages:
  report: {cmd: report, wdir: deep, deps: [../../small.bin, rows.csv, ../../made.yaml], outs: [report.txt]}
  tune: {cmd: tune, params: [../made.yaml: [x]], outs: [tuned.txt]}
"""
FILES = {
    "params.yaml": "rows: 5\n",
    "sizes.yaml": "sizes: [small, large]\n",
    "dvc.yaml": TEMPLATES,
    "made/dvc.yaml": "stages: {make: {cmd: make, wdir: .., outs: [made.yaml]}}\n",
    "below/dvc.yaml": BELOW,
    "below/deep/rows.csv.dvc": f"outs:\n- md5: {'a' * 32}\n  path: rows.csv\n",
    ".dvcignore": "hidden\n",
    "hidden/dvc.yaml": "stages: {ghost: {cmd: boo}}\n",
}


@pytest.fixture(scope="module")
def varied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Templates, folders, source data, params that a stage writes; and a second commit without most of it."""
    root = tmp_path_factory.mktemp("varied") / "repository"
    tiny_dvc.init(root)
    write(root, FILES)
    tiny_dvc.commit(root, "Varied")
    git(root, "tag", "varied")
    shutil.rmtree(root / "below")
    write(root, {"dvc.yaml": "stages: {only: {cmd: only}}\n"})
    tiny_dvc.commit(root)
    return root


def test_it_is_of_the_revision_and_not_of_the_checkout(varied: Path) -> None:
    assert "only" not in pipeline("varied", varied).stages
    assert list(pipeline("HEAD", varied).stages) == ["only", "made/dvc.yaml:make"]


def test_stages_and_edges_are_those_of_dvc_in_a_checkout(varied: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    git(varied, "clone", "--quiet", "--branch", "varied", str(varied), str(clone))
    with dvc(clone) as repo:
        graph = repo.index.graph
        edges = {(one.addressing, other.addressing) for one, other in graph.edges if one.cmd and other.cmd}
        stages = {stage.addressing for stage in graph if stage.cmd}
    read = pipeline("varied", varied).stages
    assert set(read) == stages
    assert {(address, other) for address, stage in read.items() for other in stage.needs} == edges
    assert ("below/dvc.yaml:tune", "made/dvc.yaml:make") in edges


def test_edges_that_are_read_from_git_are_those_of_dvc(varied: Path) -> None:
    with Reader(varied) as reader:
        ours = {address: set(stage.needs) for address, stage in reader.snapshot("varied").stages.items()}
    assert ours == {address: set(stage.needs) for address, stage in pipeline("varied", varied).stages.items()}


def test_a_stage_comes_after_those_it_needs(varied: Path) -> None:
    seen: set[str] = set()
    for address, stage in pipeline("varied", varied).stages.items():
        assert seen.issuperset(stage.needs)
        seen.add(address)


def test_templates_of_commands_are_resolved(varied: Path) -> None:
    stages = pipeline("varied", varied).stages
    assert stages["prepare"].commands == ("make 5", "check")
    assert stages["grid@large-l1"].commands == ("grid large l1",)


def test_folders_are_seen_from_the_root(varied: Path) -> None:
    stages = pipeline("varied", varied).stages
    assert stages["below/dvc.yaml:report"].folder == "below/deep"
    assert stages["made/dvc.yaml:make"].folder == stages["prepare"].folder == "."


def test_source_data_are_no_stages(varied: Path) -> None:
    assert pipeline("varied", varied).sources == ["below/deep/rows.csv.dvc"]


def test_it_names_the_commit(varied: Path) -> None:
    assert pipeline("varied", varied).rev == git(varied, "rev-parse", "varied")


def test_an_experiment_is_known_by_its_name(varied: Path) -> None:
    commit = git(varied, "rev-parse", "varied")
    baseline = git(varied, "rev-parse", "HEAD")
    git(varied, "update-ref", f"refs/exps/{baseline[:2]}/{baseline[2:]}/mine", commit)
    assert pipeline("mine", varied).rev == commit


def test_any_folder_of_the_project_will_do(varied: Path) -> None:
    assert pipeline("varied", varied / "made") == pipeline("varied", varied)


def test_a_project_in_a_subfolder_has_addresses_of_its_own(tmp_path: Path) -> None:
    tiny_dvc.init(tmp_path / "top")
    root = tmp_path / "top/project"
    tiny_dvc.init(root, subdir=True)
    write(root, {"dvc.yaml": "stages: {one: {cmd: one, outs: [x]}, two: {cmd: two, wdir: w, deps: [../x]}}"})
    tiny_dvc.commit(root)
    stages = pipeline("HEAD", root).stages
    assert stages["two"].needs == ("one",)
    assert stages["two"].folder == "w"


def test_nothing_is_written(varied: Path) -> None:
    pipeline("varied", varied)
    assert git(varied, "status", "--porcelain") == ""


def test_an_unknown_revision_is_named(varied: Path) -> None:
    with pytest.raises(NotFoundError, match="nope: neither a Git revision nor an experiment"):
        pipeline("nope", varied)


def test_a_folder_without_a_project_is_named(tmp_path: Path) -> None:
    with pytest.raises(LocatableError, match="not inside a DVC project"):
        pipeline("HEAD", tmp_path)


def test_a_circle_is_told_in_one_line(tmp_path: Path) -> None:
    tiny_dvc.init(tmp_path)
    circle = "stages: {a: {cmd: a, deps: [y], outs: [x]}, b: {cmd: b, deps: [x], outs: [y]}}"
    write(tmp_path, {"dvc.yaml": circle})
    tiny_dvc.commit(tmp_path)
    with pytest.raises(LocatableError, match="both a dependency and an output in stages") as raised:
        pipeline("HEAD", tmp_path)
    assert "\n" not in str(raised.value)


def test_a_revision_from_before_the_project_is_told(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--template=")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "-m", "Before")
    git(tmp_path, "tag", "before")
    root = tmp_path / "project"
    tiny_dvc.init(root, subdir=True)
    tiny_dvc.commit(root)
    with pytest.raises(LocatableError, match="does not contain a DVC repo"):
        pipeline("before", root)
