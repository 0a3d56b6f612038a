"""`make repositories`: commits of any repositories, compared with what DVC says of them."""

import re
from pathlib import Path
from typing import Any

import pytest
from tiny_git import commit, git
from varied_repositories import FEATURES, build

from locatable.model import Artifact
from locatable.repository.snapshot import Snapshot
from tools.comparison.compare import compare
from tools.repositories import main


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a project in a folder."""
    folder = tmp_path_factory.mktemp("source") / "repo"
    build(folder, "ml", [feature for feature in FEATURES if feature.name in ("plain", "results")])
    return folder


def test_a_repository_is_compared_commit_by_commit(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(repository)]) == 0
    assert capsys.readouterr().out.startswith(f"{repository} ml: 4 commits compared, 0 differences\n")


def test_what_dvc_cannot_read_is_told_with_its_reason(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(repository)])
    # Of the first commit: no stage has written it yet.
    assert "  not compared (1 times): metrics results/kept.json: FileNotFoundError" in capsys.readouterr().out


def test_files_are_found_everywhere_and_foreign_ones_are_not(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "")  # it is set, and no other test is to see that
    assert main(["--everywhere", str(repository)]) == 0
    copies, _, foreign = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"([1-9]\d*) of \1 copies found", copies)
    assert re.fullmatch(r"([1-9]\d*) of \1 foreign files refused", foreign)


@pytest.mark.parametrize(
    ("what", "planted", "told"),
    [
        ("params", {"plain.rate": 2}, "param plain.rate: DVC has 1e-05, we have 2"),
        ("sources", {"a": {"md5": "aa"}}, "source a: DVC has '(nothing)', we have 'aa'"),
        ("metric_files", [], "metric results/kept.json:t in MLflow: DVC has True"),
        ("plot_files", [], "plot results/plots/a.csv: DVC has"),
        ("artifacts", [Artifact("a", "b")], "artifact a b: DVC has '(nothing)'"),
        ("records", {}, "recorded cmd plain: DVC has 'cat plain/in.csv > plain/out.csv'"),
        ("records", {}, "execution plain plain/out.csv: DVC has"),
        ("records", {}, "located plain/out.csv: DVC has 'OUTPUT plain'"),
        ("pipelines", {}, "stage plain: DVC has 'there'"),
    ],
)
def test_a_difference_is_told_with_its_commit_and_key(
    repository: Path, monkeypatch: pytest.MonkeyPatch, what: str, planted: Any, told: str
) -> None:
    last = git(repository, "rev-parse", "HEAD")
    monkeypatch.setattr(Snapshot, what, planted)
    found = [str(mismatch) for mismatch in compare(repository / "ml", [last]).mismatches]
    assert [line for line in found if line.startswith(f"{last[:7]} {told}")]


def test_a_repository_with_a_difference_fails(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Snapshot, "params", {"plain.rate": 2})
    assert main([str(repository)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.endswith("param plain.rate: DVC has 1e-05, we have 2")]


def test_a_repository_that_cannot_be_cloned_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "nowhere")]) == 1
    assert "nowhere: not compared: git clone: " in capsys.readouterr().out


def test_a_repository_without_a_project_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commit(tmp_path / "plain", {"README.md": "no DVC here\n"})
    assert main([str(tmp_path / "plain")]) == 0
    assert "HEAD has no DVC project" in capsys.readouterr().out
