# /// script
# dependencies = ["optunahub==0.5.0"]
# [tool.joint]
# question = "Optimisation"
# tool = "OptunaHub"
# joint = "src/locatable/search/settings.py"
# ///
"""A sampler of OptunaHub's registry proposes, and every trial is an experiment."""

from pathlib import Path

import optunahub
import pytest
from searching import check_agreement, experiments
from small_search import TRIALS, make, search

# As published packages are: a sampler of one's own on the base class of the registry.
SAMPLER = """\
import optuna
import optunahub

class Halves(optunahub.samplers.SimpleBaseSampler):
    def __init__(self, search_space=None, steps=4):
        super().__init__(search_space)
        self.steps = steps

    def sample_relative(self, study, trial, search_space):
        return {name: (trial.number % self.steps) / self.steps for name in search_space}
"""


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    """A registry in a folder, where OptunaHub keeps what it has downloaded."""
    folder = tmp_path / "hub/github.com/optuna/optunahub-registry/main/package"
    package = folder / "samplers/halves"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(SAMPLER)
    return folder


def test_the_registry_is_one_of_optunahub(registry: Path) -> None:
    assert optunahub.load_local_module("samplers/halves", registry_root=str(registry)).Halves


def test_a_search_of_twelve_trials(registry: Path, tmp_path: Path) -> None:
    sampler = {"name": "optunahub:samplers/halves/Halves", "steps": 3}
    root = make(tmp_path / "repository", sampler)
    search(root, OPTUNAHUB_CACHE_HOME=str(tmp_path / "hub"))
    assert len(experiments(root)) == TRIALS
    check_agreement(root, keys=("x", "y"))
