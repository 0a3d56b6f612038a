"""A sampler can be a module of the project."""

import json
import sys
from pathlib import Path

import pytest
from tiny_dvc import commit, init
from tiny_git import write

from locatable.errors import SettingsError
from locatable.search.run import SearchOptions, plan_search
from locatable.search.settings import load

SEARCH = {
    "study": "small",
    "metric": "metrics.yaml:x",
    "direction": "minimize",
    "sampler": {"name": "halves_of_mine.Halves"},
    "space": {"x": {"type": "float", "low": 0.0, "high": 1.0}},
}
SAMPLER = "import optuna\n\nclass Halves(optuna.samplers.RandomSampler):\n    pass\n"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", list(sys.path))
    root = tmp_path / "project"
    init(root)
    stage = "stages: {train: {cmd: train, params: [x], metrics: [metrics.yaml: {cache: false}]}}"
    files = {"dvc.yaml": stage, "params.yaml": "x: 0.5\n", "search.yaml": json.dumps(SEARCH)}
    write(root, {**files, "halves_of_mine.py": SAMPLER})
    commit(root)
    return root


def test_a_sampler_beside_search_yaml_is_found(root: Path) -> None:
    assert plan_search(root, load(root / "search.yaml"), SearchOptions(trials=1)).settings.study == "small"


def test_a_module_that_cannot_be_imported_says_why(root: Path) -> None:
    write(root, {"broken_of_mine.py": "import missing_of_mine\n"})
    write(root, {"search.yaml": json.dumps({**SEARCH, "sampler": {"name": "broken_of_mine.Any"}})})
    with pytest.raises(SettingsError, match=r"broken_of_mine\.Any: No module named 'missing_of_mine'"):
        plan_search(root, load(root / "search.yaml"), SearchOptions(trials=1))


def test_no_module_of_the_project_hides_an_installed_one(root: Path) -> None:
    plan_search(root, load(root / "search.yaml"), SearchOptions(trials=1))
    assert sys.path[-1] == str(root)
