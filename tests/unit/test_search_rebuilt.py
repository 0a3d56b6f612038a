"""A study that was made again from Git proposes what the one in the lost database would have proposed."""

import json
from functools import partial

import optuna
import pytest
import tiny_git
from optuna.storages import InMemoryStorage

from locatable.errors import SettingsError
from locatable.model import experiment_message, experiment_ref
from locatable.search.git_trials import find_experiments
from locatable.search.messages import Complete, Progress
from locatable.search.settings import SearchSettings
from locatable.search.study import SearchStudy, open_study

X = {"type": "float", "low": 0.0, "high": 1.0, "step": 0.25}
Y = {"type": "int", "low": 1, "high": 8}
KIND = {"type": "categorical", "choices": ["a", "b"]}
NUMBERS = {"x": X, "y": Y}
MIXED = {"x": X, "y": Y, "kind": KIND}
GRID = {"x": [0.0, 0.5, 1.0], "y": [1, 2, 3], "kind": ["a", "b"]}
TWO = {"metric": ["m.json:a", "m.json:b"], "direction": ["minimize", "maximize"]}
PRUNED = {"series": "loss.csv", "pruner": {"name": "ThresholdPruner", "upper": 1.0}}


def sampler(name, **arguments):
    """What search.yaml says of a sampler."""
    return {"sampler": {"name": name, "seed": 1, **arguments}}


CASES = {
    "RandomSampler": sampler("RandomSampler"),
    "TPESampler": {**sampler("TPESampler", n_startup_trials=3), **PRUNED},
    "TPESampler, multivariate": sampler("TPESampler", n_startup_trials=3, multivariate=True, group=True),
    "CmaEsSampler": {**sampler("CmaEsSampler", popsize=3), "space": NUMBERS},
    "CmaEsSampler, margin": {**sampler("CmaEsSampler", popsize=3, with_margin=True), "space": NUMBERS},
    "CmaEsSampler, pruned": {
        **sampler("CmaEsSampler", popsize=3, consider_pruned_trials=True),
        "space": NUMBERS,
        **PRUNED,
    },
    "NSGAIISampler": {**sampler("NSGAIISampler", population_size=3), **TWO},
    "NSGAIIISampler": {**sampler("NSGAIIISampler", population_size=3), **TWO},
    "GridSampler": sampler("GridSampler", search_space=GRID),
    "QMCSampler": sampler("QMCSampler"),
    "QMCSampler, halton": sampler("QMCSampler", qmc_type="halton", scramble=True),
    "BruteForceSampler": sampler("BruteForceSampler"),
    "PartialFixedSampler": {
        "sampler": {
            "name": "PartialFixedSampler",
            "fixed_params": {"y": 2},
            "base_sampler": {"name": "NSGAIISampler", "population_size": 3, "seed": 1},
        }
    },
}
# PyTorch is too large to be installed for one test: tests/joints has it.
WITH_PYTORCH = {"GPSampler"}


def settings_with(changes):
    usual = {"study": "small", "metric": "m.json:a", "direction": "minimize", "space": MIXED}
    return SearchSettings.model_validate({**usual, **changes})


class Searched:
    """A search of a repository, whose trials have made-up values."""

    def __init__(self, root, settings, database):
        # Ids of trials are no numbers where there is another study.
        optuna.create_study(storage=database).ask()
        self.root = root
        self.settings = settings
        study = open_study(settings, database)
        self.study = SearchStudy(study, settings, {}, partial(find_experiments, root, settings), "me")
        self.study.reconcile()
        self.study.configure()

    def trial(self, number, into_git=False):
        """Run a trial, and return its params; some fail and some are pruned, but not the last one in Git."""
        running = self.study.ask()
        metrics = {"a": running.trial.params["x"] + running.trial.params["y"] ** 0.5, "b": 2 + number % 3}
        if number % 5 == 3:
            self.study.fail(running, "made up")
        elif self.settings.pruner and number % 5 == 1:
            assert self.study.report(running, Progress(3, 1.0 + metrics["a"]))
            self.study.prune(running)
        else:
            rev = self.record(running.job, metrics) if into_git else "none"
            values = [metrics[metric.rpartition(":")[2]] for metric in self.settings.metrics]
            self.study.complete(running, Complete(rev, values))
        return running.trial.params

    def record(self, job, metrics):
        """Make a trial an experiment, as a worker does."""
        said = experiment_message(job.experiment, {}, job.memory)
        tiny_git.write(self.root, {"m.json": json.dumps(metrics)})
        tiny_git.git(self.root, "add", "m.json")
        tree = tiny_git.git(self.root, "write-tree")
        rev = tiny_git.git(self.root, "commit-tree", tree, "-m", said)
        tiny_git.git(self.root, "update-ref", experiment_ref("a" * 40, job.experiment), rev)
        return rev


@pytest.fixture
def root(tmp_path):
    """A repository."""
    tiny_git.commit(tmp_path, {".dvc/config": ""})
    return tmp_path


def test_the_table_has_every_sampler_of_optuna():
    found = [getattr(optuna.samplers, name) for name in optuna.samplers.__all__]
    samplers = {kind.__name__ for kind in found if hasattr(kind, "sample_relative")} - {
        "BaseSampler",
        "BaseGASampler",
    }
    assert {name.partition(",")[0] for name in CASES} | WITH_PYTORCH == samplers


@pytest.mark.parametrize("case", CASES)
def test_the_next_proposals_are_the_same_with_and_without_the_database(root, case):
    check_proposals(root, CASES[case])


def check_proposals(root, changes):
    """Assert that a study with its database and one made from Git propose the same params."""
    settings = settings_with(changes)
    database = InMemoryStorage()
    first = Searched(root, settings, database)
    for number in range(13):
        first.trial(number, into_git=True)
    with_database = Searched(root, settings, database)
    without = Searched(root, settings, InMemoryStorage())
    expected = [with_database.trial(number) for number in range(13, 20)]
    assert [without.trial(number) for number in range(13, 20)] == expected


def test_what_no_later_experiment_remembers_is_all_that_is_lost(root):
    settings = settings_with(CASES["TPESampler"])
    first = Searched(root, settings, InMemoryStorage())
    for number in range(10):
        first.trial(number, into_git=True)
    known = [(trial.state, trial.params, trial.last_step) for trial in first.study.optuna.trials]
    again = Searched(root, settings, InMemoryStorage()).study.optuna.trials
    assert [(trial.state, trial.params, trial.last_step) for trial in again] == known


def test_what_a_pruner_compares_is_known_of_all_but_the_last_trial(root):
    halving = {"name": "SuccessiveHalvingPruner", "min_resource": 1, "reduction_factor": 2}
    settings = settings_with({**sampler("RandomSampler"), "series": "loss.csv", "pruner": halving})
    first = Searched(root, settings, InMemoryStorage())
    for value in (0.9, 0.5, 0.1, 0.7, 0.05):
        running = first.study.ask()
        if first.study.report(running, Progress(1, value)):
            first.study.prune(running)
        else:
            first.study.complete(running, Complete(first.record(running.job, {"a": value}), [value]))
    expected = [trial.system_attrs for trial in first.study.optuna.trials]
    found = [trial.system_attrs for trial in Searched(root, settings, InMemoryStorage()).study.optuna.trials]
    assert {trial.state.name for trial in first.study.optuna.trials} == {"COMPLETE", "PRUNED"}
    assert found[:-1] == expected[:-1]
    assert expected[0]["completed_rung_0"] == 0.9


EDITS = {
    "space: kind: study small was begun with another type, scale or choices": {
        "space": {"kind": {**KIND, "choices": ["a", "b", "c"]}}
    },
    "metric: study small was begun with m.json:a": {"metric": "m.json:b"},
    "direction: study small was begun with minimize": {"direction": "maximize"},
}


@pytest.mark.parametrize("said", EDITS)
def test_an_edit_that_makes_it_another_search_is_refused_without_the_database_too(root, said):
    Searched(root, settings_with({}), InMemoryStorage()).trial(0, into_git=True)
    with pytest.raises(SettingsError) as raised:
        Searched(root, settings_with(EDITS[said]), InMemoryStorage())
    assert str(raised.value) == f"search.yaml: {said}; give the new one a name of its own"


def test_a_narrower_range_keeps_earlier_trials_as_the_database_does(root):
    database = InMemoryStorage()
    first = Searched(root, settings_with({}), database)
    for number in range(3):
        first.trial(number, into_git=True)
    narrow = settings_with({"space": {**MIXED, "y": {**Y, "low": 8}}})
    kept = [Searched(root, narrow, storage) for storage in (database, InMemoryStorage())]
    with_database, without = ([trial.params for trial in each.study.optuna.trials] for each in kept)
    assert without == with_database
