"""Experiments in Git are trials of a study where their names, params and metrics say so."""

import json

import pytest
import tiny_git

from locatable.search.git_trials import find_experiments, with_other_ids
from locatable.search.settings import SearchSettings

SETTINGS = SearchSettings.model_validate(
    {
        "study": "small",
        "metric": "metrics.json:loss",
        "direction": "minimize",
        "series": "loss.csv",
        "space": {"x": {"type": "float", "low": 0.0, "high": 1.0}},
    }
)


class Repository:
    """A repository with experiments of one baseline."""

    def __init__(self, root):
        self.root = root
        self.baseline = tiny_git.commit(root, {".dvc/config": "", "params.yaml": "x: 0.1\n"})

    def add(self, name, x=0.5, metrics='{"loss": 0.25}', series="step,loss\n0,0.5\n", said="x"):
        """Add an experiment and return its revision."""
        files = {"params.yaml": f"x: {json.dumps(x)}\n", "metrics.json": metrics, "loss.csv": series}
        rev = tiny_git.commit(self.root, files, said)
        ref = f"refs/exps/{self.baseline[:2]}/{self.baseline[2:]}/{name}"
        tiny_git.git(self.root, "update-ref", ref, rev)
        return rev

    def find(self, known=()):
        """What a search finds."""
        return find_experiments(self.root, SETTINGS, known)


@pytest.fixture
def repository(tmp_path):
    """One without experiments."""
    return Repository(tmp_path / "project")


def test_an_experiment_is_a_complete_trial(repository):
    rev = repository.add("small-3", x=0.75)
    (found,) = repository.find().unknown
    assert found.number == 3
    assert found.params == {"x": 0.75}
    assert found.values == [0.25]
    assert found.intermediate_values == {0: 0.5}
    assert found.user_attrs == {"experiment": "small-3", "rev": rev}


def test_experiments_of_other_names_are_no_trials(repository):
    revs = {repository.add(name) for name in ("other-1", "small", "small-x", "very-small-1")}
    found = repository.find()
    assert found.unknown == ()
    assert found.revs == revs


def test_an_experiment_that_the_study_knows_is_not_read_again(repository):
    rev = repository.add("small-0")
    found = repository.find(known=[rev])
    assert found.unknown == ()
    assert found.revs == {rev}


@pytest.mark.parametrize(
    "content",
    [
        {"metrics": '{"other": 1}'},
        {"metrics": '{"loss": "low"}'},
        {"metrics": '{"loss": NaN}'},
        {"metrics": "not JSON"},
        {"x": "high"},
        {"x": True},
        {"series": "step,loss\nfirst,0.5\n"},
    ],
    ids=str,
)
def test_an_experiment_that_does_not_fit_is_left_out(repository, content):
    repository.add("small-0", **content)
    found = repository.find()
    assert found.unknown == ()
    assert found.unfit == 1


MEMORY = {
    "metrics": ["metrics.json:loss"],
    "directions": ["minimize"],
    "trial": {"state": "RUNNING", "params": {}, "distributions": {}, "attributes": {}, "last": None},
}


@pytest.mark.parametrize(
    "memory",
    [0, [], {**MEMORY, "trial": 1}, {**MEMORY, "others": 1}, {**MEMORY, "rungs": 1}, {**MEMORY, "study": 1}],
    ids=str,
)
def test_an_experiment_whose_memory_is_damaged_is_left_out(repository, memory):
    repository.add("small-0", said=f"search: small-0\n\noptuna: {json.dumps(memory)}")
    found = repository.find()
    assert (found.unknown, found.unfit) == ((), 1)


def test_an_experiment_remembers_its_trial(repository):
    repository.add("small-0", said=f"search: small-0\n\noptuna: {json.dumps(MEMORY)}")
    assert [trial.number for trial in repository.find().unknown] == [0]


def test_trials_that_a_sampler_noted_are_named_as_another_storage_names_them():
    noted = {"NSGAIISampler:parent:0": [7, 8, 9], "count": 7}
    assert with_other_ids(noted, {7: 0, 8: 1}) == {"NSGAIISampler:parent:0": [0, 1], "count": 7}
