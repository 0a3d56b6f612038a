"""What a search found, as a person reads it."""

import csv
from operator import attrgetter

import optuna
import pytest
from matplotlib import pyplot
from matplotlib.text import Text
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.storages import RetryHeartbeatStaleTrialCallback
from optuna.trial import TrialState, create_trial

from locatable.commands.search import write_failure
from locatable.model import Experiment
from locatable.search import summary
from locatable.search.messages import Failed
from locatable.search.summary import best_trials, recommend, table, totals, write_trials

KEY = "train.boosting.learning_rate"
LONG = CategoricalDistribution(["a-very-long-choice-that-needs-room", "short"])


def study_with(*values, direction="minimize", params=None):
    """A study with a complete trial for each value."""
    study = optuna.create_study(direction=direction)
    study.set_metric_names(["reports/metrics.json:valid.log_loss"])
    for number, value in enumerate(values):
        study.add_trial(
            create_trial(
                params=params or {KEY: 0.123456789},
                distributions=dict.fromkeys(params, LONG) if params else {KEY: FloatDistribution(0, 1)},
                value=value,
                user_attrs={"experiment": f"small-{number}", "rev": f"rev-{number}"},
            )
        )
    return study


@pytest.fixture
def wide_study():
    """A study with names that Optuna would cut, and a choice longer than a column of a paper."""
    study = study_with()
    for number, value in enumerate((0.5, 0.25, 0.75)):
        spaces = {KEY: FloatDistribution(0.1, 1, log=True), "train.kind": LONG}
        params = {KEY: 0.1 + 0.3 * number, "train.kind": LONG.choices[number % 2]}
        study.add_trial(create_trial(params=params, distributions=spaces, value=value))
    return study


def test_the_table_has_experiment_objective_and_params():
    assert table(study_with(0.25), width=80).splitlines() == [
        "experiment  valid.log_loss  params",
        "small-0     0.25            train.boosting.learning_rate=0.12346",
    ]


def test_the_best_is_first():
    lines = table(study_with(0.3, 0.1, 0.2), width=80).splitlines()
    assert [line.split()[0] for line in lines] == ["experiment", "small-1", "small-2", "small-0"]


def test_the_table_fits_into_80_columns():
    params = {f"train.model.param_{number}": "short" for number in range(8)}
    lines = table(study_with(0.25, params=params), width=80).splitlines()
    assert len(lines) > 2
    assert max(len(line) for line in lines) <= 80


def test_no_param_is_broken_in_two():
    params = {"train.model.kind": "a-very-long-choice-that-needs-room", "train.other": "short"}
    text = table(study_with(0.25, params=params), width=40)
    assert "train.model.kind=a-very-long-choice-that-needs-room" in text


def test_the_highest_is_best_where_the_objective_is_maximized():
    assert best_trials(study_with(0.3, 0.1, 0.2, direction="maximize"))[0].values == [0.3]


def test_only_five_are_listed():
    assert len(best_trials(study_with(*range(9)))) == 5


def test_of_several_objectives_those_are_best_that_no_other_beats():
    study = optuna.create_study(directions=["minimize", "minimize"])
    for values in ([1.0, 3.0], [3.0, 1.0], [3.0, 3.0]):
        study.add_trial(create_trial(values=values))
    assert sorted(trial.values for trial in best_trials(study)) == [[1.0, 3.0], [3.0, 1.0]]


def test_a_trial_that_was_stopped_is_no_failed_one():
    study = study_with(0.25)
    for state in (TrialState.PRUNED, TrialState.FAIL, TrialState.FAIL):
        study.add_trial(create_trial(state=state))
    RetryHeartbeatStaleTrialCallback()(study, study.trials[-1])
    assert totals(study) == ("1 complete, 1 pruned, 1 failed, 1 stopped (run again by the next search)")
    study.ask()  # the one that was stopped
    assert totals(study) == "1 complete, 1 pruned, 1 failed"


def test_all_trials_are_in_the_csv(tmp_path):
    study = study_with(0.25)
    study.add_trial(create_trial(state=TrialState.FAIL, user_attrs={"error": "it broke"}))
    write_trials(study, tmp_path / "trials.csv")
    header, complete, failed = csv.reader((tmp_path / "trials.csv").open())
    assert header == ["number", "state", "experiment", "reports/metrics.json:valid.log_loss", KEY, "error"]
    assert complete == ["0", "COMPLETE", "small-0", "0.25", "0.123456789", ""]
    assert failed == ["1", "FAIL", "", "", "", "it broke"]


def experiment(number, baseline="base"):
    return Experiment(f"small-{number}", f"rev-{number}", baseline * 2, 0)


def test_the_best_trial_of_this_commit_can_be_taken_over():
    said = recommend(study_with(0.2, 0.1), [experiment(0), experiment(1)], "basebase", attrgetter("name"))
    assert said == "Take a trial over:  dvc exp apply small-1"


def test_the_next_best_is_recommended_where_the_best_was_removed():
    said = recommend(study_with(0.2, 0.1), [experiment(0)], "basebase", attrgetter("rev"))
    assert said == "Take a trial over:  dvc exp apply rev-0"


def test_trials_of_an_earlier_commit_are_named():
    said = recommend(study_with(0.1), [experiment(0, "other")], "basebase", attrgetter("name")).splitlines()
    assert said == [
        "Some of these trials start from other commits: otherot",
        "How to take the best one over:  locatable locate small-0",
    ]


def test_that_no_trial_has_an_experiment_is_said():
    assert (
        recommend(study_with(0.1), [], "basebase", attrgetter("name"))
        == "None of these has an experiment any more"
    )


def test_what_a_failed_trial_said_is_kept_where_git_ignores_it(tmp_path):
    failed = Failed("it broke", "last line", "a file is missing")
    path = write_failure(tmp_path / "search/small", "small-7", failed)
    assert path.read_text() == "last line\n\nit broke\n\na file is missing\n"
    assert (tmp_path / "search/.gitignore").read_text() == "*\n"


@pytest.mark.parametrize("name", ["history", "slices", "parallel", "importances"])
def test_a_figure_has_the_width_of_a_paper_and_no_label_is_cut(wide_study, name):
    figure = dict(summary._figures(wide_study))[name]
    figure.canvas.draw()
    texts = [text for text in figure.findobj(Text) if text.get_visible()]
    pyplot.close("all")
    said = "".join(text.get_text().replace("\n", "") for text in texts)
    assert figure.get_figwidth() <= summary.TWO_COLUMNS
    assert {text.get_fontsize() for text in texts} == {summary.FONT_SIZE}
    assert "..." not in said
    assert name == "history" or KEY in said


def test_a_long_choice_is_broken_and_not_cut(wide_study):
    figure = dict(summary._figures(wide_study))["slices"]
    pyplot.close("all")
    labels = [label.get_text() for axes in figure.axes for label in axes.get_xticklabels()]
    (long,) = [label for label in labels if label.startswith("a-very-long")]
    assert long.replace("\n", "") == LONG.choices[0]
    assert max(map(len, long.split("\n"))) <= summary.LABEL_WIDTH
