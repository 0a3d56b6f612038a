"""A study says what Git knows, and samplers propose what is left."""

from contextlib import suppress

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

from locatable.errors import SettingsError, StoreError
from locatable.search.messages import Complete, Progress
from locatable.search.settings import SearchSettings
from locatable.search.study import FoundExperiments, SearchStudy, open_study

FLOAT = {"type": "float", "low": 0.0, "high": 1.0}
USUAL = {"study": "small", "metric": "m.json:loss", "direction": "minimize", "space": {"x": FLOAT}}


def settings_with(**changes):
    return SearchSettings.model_validate({**USUAL, **changes})


class Found:
    """What Git has, made up."""

    def __init__(self, *experiments):
        self.experiments = experiments

    def __call__(self, known):
        """Those that the study does not know."""
        by_rev = {found.user_attrs["rev"]: found for found in self.experiments}
        unknown = tuple(found for rev, found in by_rev.items() if rev not in known)
        return FoundExperiments(frozenset(by_rev), unknown)


def experiment(number, rev, x):
    trial = create_trial(
        params={"x": x},
        distributions={"x": FloatDistribution(0, 1)},
        value=x,
        user_attrs={"experiment": f"small-{number}", "rev": rev},
    )
    trial.number = number
    return trial


def study_of(*experiments, **changes):
    settings = settings_with(**changes)
    in_memory = optuna.create_study(directions=settings.directions)
    study = SearchStudy(in_memory, settings, {"params.yaml": {"x": 0.5}}, Found(*experiments), "me")
    study.reconcile()
    study.configure()
    return study


def states(study):
    return [trial.state.name for trial in study.optuna.trials]


def test_experiments_become_trials_with_their_numbers():
    study = study_of(experiment(1, "b", 0.2), experiment(3, "d", 0.4))
    assert states(study) == ["FAIL", "COMPLETE", "FAIL", "COMPLETE"]
    assert study.optuna.trials[3].user_attrs == {"experiment": "small-3", "rev": "d"}


def test_a_second_reconciliation_changes_nothing():
    study = study_of(experiment(0, "a", 0.2))
    assert study.reconcile().summary() == []


def test_a_trial_whose_worker_died_after_its_push_is_complete():
    study = study_of()
    running = study.ask()
    study._find.experiments = [experiment(0, "a", running.trial.params["x"])]
    study.reconcile()
    assert states(study) == ["COMPLETE"]
    assert study.optuna.trials[0].user_attrs["rev"] == "a"


def test_a_lost_trial_waits_with_the_same_params():
    study = study_of()
    lost = study.ask()
    study.reconcile()
    assert states(study) == ["FAIL", "WAITING"]
    assert study.ask().trial.params == lost.trial.params


class Killed(BaseException):
    """Ends a search wherever it is raised."""


@pytest.mark.parametrize("writes", range(12))
def test_a_kill_at_any_write_of_a_reconciliation_loses_and_doubles_no_trial(monkeypatch, writes):
    found = [experiment(1, "b", 0.2), experiment(5, "f", 0.6)]
    study = study_of(sampler={"name": "RandomSampler", "seed": 1})
    lost, done = study.ask(), study.ask()
    found.append(experiment(done.trial.number, "done", done.trial.params["x"]))
    study._find.experiments = found
    storage = study.optuna._storage
    remaining = iter(range(writes))

    def counted(name):
        write = getattr(storage, name)

        def write_unless_killed(*arguments, **options):
            if next(remaining, None) is None:
                raise Killed
            return write(*arguments, **options)

        monkeypatch.setattr(storage, name, write_unless_killed)

    for name in ("create_new_trial", "set_trial_user_attr", "set_trial_state_values"):
        counted(name)
    with suppress(Killed):
        study.reconcile()
    monkeypatch.undo()
    study.reconcile()
    again = [trial.params for trial in study.optuna.trials if trial.state is TrialState.WAITING]
    assert again == [lost.trial.params]
    revs = [trial.user_attrs.get("rev") for trial in study.optuna.trials]
    assert sorted(filter(None, revs)) == ["b", "done", "f"]
    assert revs[5] == "f"


def test_a_job_says_all_that_a_worker_needs():
    job = study_of(series="loss.tsv").ask().job
    assert job.experiment == "small-0"
    assert list(job.params) == ["x"]
    assert job.metrics == ["m.json:loss"]
    assert job.series == "loss.tsv"
    assert job.same_params_rev is None


def test_a_job_names_the_experiment_with_the_same_params():
    grid = {"name": "GridSampler", "search_space": {"x": [0.25]}}
    study = study_of(experiment(0, "a", 0.25), sampler=grid)
    assert study.ask().job.same_params_rev == "a"


def test_several_objectives_have_no_series():
    study = study_of(metric=["m.json:a", "m.json:b"], direction=["minimize"] * 2, series="loss.tsv")
    assert study.ask().job.series is None


def test_a_grid_has_an_end():
    study = study_of(sampler={"name": "GridSampler", "search_space": {"x": [0.25]}})
    running = study.ask()
    study.complete(running, Complete("a", [0.1]))
    assert not study.has_more()


@pytest.mark.parametrize(
    "sampler",
    [
        {"name": "GridSampler", "search_space": {"x": [0.0, 0.5, 1.0]}},
        {"name": "BruteForceSampler"},
    ],
    ids=str,
)
def test_a_search_that_continues_tries_no_point_twice(sampler):
    study = study_of(sampler=sampler, space={"x": {**FLOAT, "step": 0.5}})
    for rev in ("a", "b", "c"):
        assert study.has_more()
        study.complete(study.ask(), Complete(rev, [0.1]))
    again = SearchStudy(study.optuna, study._settings, {}, Found(), "me")
    again.configure()
    assert not again.has_more()


def test_a_lost_trial_is_left_to_try_when_the_grid_has_ended():
    study = study_of(sampler={"name": "GridSampler", "search_space": {"x": [0.25, 0.5]}})
    study.ask()
    study.complete(study.ask(), Complete("a", [0.1]))
    study.reconcile()
    assert study.has_more()


def test_the_pruner_is_asked_at_each_step():
    study = study_of(pruner={"name": "ThresholdPruner", "upper": 1.0}, series="loss.tsv")
    running = study.ask()
    assert not study.report(running, Progress(0, 0.5))
    assert study.report(running, Progress(1, 2.0))


def test_a_complete_trial_has_its_experiment():
    study = study_of()
    study.complete(study.ask(), Complete("a", [0.1]))
    (trial,) = study.optuna.trials
    assert (trial.state, trial.user_attrs["rev"], trial.values) == (TrialState.COMPLETE, "a", [0.1])


def test_there_is_no_best_value_before_the_first_complete_trial():
    assert study_of().best_value() is None


def test_there_is_no_best_value_of_several_objectives():
    study = study_of(metric=["m.json:a", "m.json:b"], direction=["minimize"] * 2)
    study.complete(study.ask(), Complete("a", [0.1, 0.2]))
    assert study.best_value() is None


@pytest.fixture
def storage(tmp_path):
    """A study of the usual search, with a trial."""
    url = f"sqlite:///{tmp_path / 'optuna.db'}"
    study = open_study(settings_with(), url)
    study.add_trial(experiment(0, "a", 0.5))
    return url


EDITS = {
    "metric: study small was begun with m.json:loss": {"metric": "m.json:cost"},
    "direction: study small was begun with minimize": {"direction": "maximize"},
    "space: x: study small was begun with another type": {
        "space": {"x": {"type": "int", "low": 0, "high": 1}}
    },
}


@pytest.mark.parametrize("expected", EDITS)
def test_an_edit_that_makes_it_another_search_is_refused(storage, expected):
    with pytest.raises(SettingsError, match=f"^search.yaml: {expected}.*give the new one a name of its own"):
        open_study(settings_with(**EDITS[expected]), storage)


def test_another_range_or_param_is_the_same_search(storage):
    space = {"x": {**FLOAT, "high": 0.9}, "y": FLOAT}
    assert len(open_study(settings_with(space=space), storage).trials) == 1


def test_a_storage_that_cannot_be_used_is_one_line(tmp_path):
    with pytest.raises(StoreError, match=r"^--storage: cannot be used: .") as raised:
        open_study(settings_with(), f"sqlite:///{tmp_path}/no/such/folder/optuna.db")
    assert "\n" not in str(raised.value)


def test_a_password_is_not_repeated():
    with pytest.raises(StoreError) as raised:
        open_study(settings_with(), "nosuchkind://ada:secret@localhost/none")
    assert "secret" not in str(raised.value)
