"""A search does not begin from results that are not of the baseline's files."""

import json
from pathlib import Path

import pytest
from tiny_dvc import commit, dvc, init
from tiny_git import write

from locatable.errors import ProjectError
from locatable.search.run import SearchOptions, SearchPlan, plan_search
from locatable.search.settings import load

PIPELINE = """
stages:
  train:
    cmd: cp params.yaml metrics.yaml
    deps: [code.py]
    params: [x]
    metrics: [metrics.yaml: {cache: false}]
"""
SEARCH = {
    "study": "small",
    "metric": "metrics.yaml:x",
    "direction": "minimize",
    "space": {"x": {"type": "float", "low": 0.0, "high": 1.0}},
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with results."""
    root = tmp_path / "project"
    init(root)
    write(
        root,
        {
            "dvc.yaml": PIPELINE,
            "code.py": "1\n",
            "params.yaml": "x: 0.5\n",
            "search.yaml": json.dumps(SEARCH),
        },
    )
    with dvc(root) as repo:
        repo.reproduce()
    commit(root)
    return root


def plan(root: Path, *, allow_stale: bool = False) -> SearchPlan:
    options = SearchOptions(trials=1, allow_stale=allow_stale)
    return plan_search(root, load(root / "search.yaml"), options)


def test_results_of_the_baseline_are_no_reason_to_refuse(root: Path) -> None:
    assert plan(root).settings.study == "small"


def test_results_of_other_files_are_one_line(root: Path) -> None:
    write(root, {"code.py": "2\n"})
    commit(root)
    with pytest.raises(
        ProjectError, match=r"not of its files: code\.py has changed since; `dvc repro`"
    ) as raised:
        plan(root)
    assert "\n" not in str(raised.value)


def test_they_can_be_allowed(root: Path) -> None:
    write(root, {"code.py": "2\n"})
    baseline = commit(root)
    assert plan(root, allow_stale=True).baseline == baseline


def test_a_baseline_that_nothing_ran_in_is_no_reason_to_refuse(root: Path) -> None:
    (root / "dvc.lock").unlink()
    baseline = commit(root)
    assert plan(root).baseline == baseline
