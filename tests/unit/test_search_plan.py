"""What a search begins from: results of the baseline's own files, and a sampler that can be the project's."""

import json
import sys
from pathlib import Path

import pytest
from tiny_dvc import commit, with_results
from tiny_git import write

from locatable.errors import ProjectError, SettingsError
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
    files = {"dvc.yaml": PIPELINE, "code.py": "1\n", "params.yaml": "x: 0.5\n"}
    with_results(root, {**files, "search.yaml": json.dumps(SEARCH)})
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


SAMPLER = "import optuna\n\nclass Halves(optuna.samplers.RandomSampler):\n    pass\n"


@pytest.fixture
def own_sampler(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project with modules of samplers, of which search.yaml names one."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    write(root, {"halves_of_mine.py": SAMPLER, "broken_of_mine.py": "import missing_of_mine\n"})
    write(root, {"search.yaml": json.dumps({**SEARCH, "sampler": {"name": "halves_of_mine.Halves"}})})
    commit(root)
    return root


def test_a_sampler_beside_search_yaml_is_found_and_no_module_of_the_project_hides_an_installed_one(
    own_sampler: Path,
) -> None:
    assert plan(own_sampler).settings.sampler == {"name": "halves_of_mine.Halves"}
    assert sys.path[-1] == str(own_sampler)


def test_a_module_that_cannot_be_imported_says_why(own_sampler: Path) -> None:
    write(own_sampler, {"search.yaml": json.dumps({**SEARCH, "sampler": {"name": "broken_of_mine.Any"}})})
    with pytest.raises(SettingsError, match=r"broken_of_mine\.Any: No module named 'missing_of_mine'"):
        plan(own_sampler)
