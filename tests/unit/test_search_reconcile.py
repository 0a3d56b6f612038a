"""What has to change in a study so that it says what Git knows: computed without any storage."""

from datetime import datetime

import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from locatable.search.git_trials import FoundExperiments
from locatable.search.study import LARGEST_GAP, MOST_RETRIES, ReconcilePlan, plan_reconcile


def trial(number, state, x=0.5, **attributes):
    """A trial as Optuna knows it."""
    history = attributes.pop("retry_history", None)
    return FrozenTrial(
        number=number,
        state=state,
        value=1.0 if state is TrialState.COMPLETE else None,
        datetime_start=datetime(2026, 1, 1),
        datetime_complete=None,
        params={"x": x},
        distributions={"x": FloatDistribution(0, 1)},
        user_attrs=attributes,
        system_attrs={"retry_history": history} if history else {},
        intermediate_values={},
        trial_id=number,
    )


def complete(number, rev, x=0.5):
    return trial(number, TrialState.COMPLETE, x, rev=rev)


def running(number, x=0.5, **attributes):
    return trial(number, TrialState.RUNNING, x, **attributes)


def experiment(number, rev, x=0.5):
    """An experiment in Git."""
    done = create_trial(
        params={"x": x},
        distributions={"x": FloatDistribution(0, 1)},
        value=0.25,
        user_attrs={"experiment": f"small-{number}", "rev": rev},
    )
    done.number = number
    return done


def plan(trials, *unknown, revs=(), busy=(), unfit=0):
    """The plan for these trials, and these experiments that the study does not know."""
    all_revs = frozenset(revs) | {found.user_attrs["rev"] for found in unknown}
    return plan_reconcile(trials, FoundExperiments(all_revs, unknown, unfit), "me", busy)


A, B = complete(0, "a"), complete(1, "b")
# Trials, experiments that are new, what else is known, and all that changes or is found.
LEFT_ALONE = {
    "both agree": ([A], [], {"revs": ["a"]}, ReconcilePlan()),
    "a busy trial": ([running(0)], [], {"busy": [0]}, ReconcilePlan()),
    "what a busy worker has just pushed": (
        [running(0)],
        [experiment(0, "a")],
        {"busy": [0]},
        ReconcilePlan(),
    ),
    "a trial of another machine": ([running(0, owner="other")], [], {}, ReconcilePlan(elsewhere=1)),
    "an experiment that does not fit": ([], [], {"unfit": 1}, ReconcilePlan(unfit=1)),
    "a complete trial whose experiment was removed": ([A, B], [], {"revs": ["b"]}, ReconcilePlan(gone=1)),
}


@pytest.mark.parametrize(("trials", "new", "known", "expected"), LEFT_ALONE.values(), ids=LEFT_ALONE)
def test_what_is_left_alone(trials, new, known, expected):
    assert plan(trials, *new, **known) == expected


@pytest.mark.parametrize(
    ("trials", "number", "revs"), [([], LARGEST_GAP, []), ([A], 0, ["a"])], ids=["too far away", "taken"]
)
def test_a_number_that_cannot_be_kept_leaves_no_gap(trials, number, revs):
    assert len(plan(trials, experiment(number, "new"), revs=revs).additions) == 1


def test_an_experiment_becomes_a_trial():
    (addition,) = plan([], experiment(0, "a")).additions
    assert addition.user_attrs["rev"] == "a"


def test_additions_are_in_the_order_of_their_numbers():
    additions = plan([], experiment(2, "c"), experiment(0, "a"), experiment(1, "b")).additions
    assert [addition.user_attrs["rev"] for addition in additions] == ["a", "b", "c"]


def test_a_gap_keeps_the_number_of_a_trial():
    additions = plan([], experiment(1, "b"), experiment(4, "e")).additions
    assert [addition.user_attrs.get("rev") for addition in additions] == [None, "b", None, None, "e"]


def test_a_trial_that_fills_a_gap_has_the_params_of_the_next_one():
    missing, _ = plan([], experiment(1, "b", x=0.75)).additions
    # Without any, an exhaustive sampler would have nothing left to try.
    assert (missing.state, missing.params) == (TrialState.FAIL, {"x": 0.75})


def test_of_two_experiments_of_a_trial_the_newest_completes_it():
    (completion,) = plan([running(0)], experiment(0, "older"), experiment(0, "newer")).completions
    assert completion.user_attrs["rev"] == "newer"


def test_a_running_trial_with_its_experiment_is_complete():
    found = plan([running(0)], experiment(0, "a"))
    assert [completion.number for completion in found.completions] == [0]
    assert found.additions == ()
    assert found.losses == ()


def test_an_experiment_of_other_params_does_not_complete_a_trial():
    found = plan([running(0, x=0.1)], experiment(0, "a", x=0.9))
    assert found.completions == ()
    assert found.losses == (0,)
    assert len(found.additions) == 1


def test_a_running_trial_without_its_experiment_is_lost_and_run_again():
    found = plan([running(0)])
    assert found.losses == found.retries == (0,)


def test_a_trial_is_not_run_again_for_ever():
    found = plan([running(3, retry_history=list(range(MOST_RETRIES)))])
    assert (found.losses, found.retries) == ((3,), ())


def test_a_loss_that_is_noted_to_be_run_again_is_not_noted_twice():
    found = plan([running(0), trial(1, TrialState.WAITING, retry_history=[0])])
    assert (found.losses, found.retries) == ((0,), ())


def test_the_summary_has_a_line_for_each_kind_of_change():
    found = plan([running(0), running(1, x=0.1)], experiment(0, "a"), experiment(5, "f"))
    assert found.summary() == [
        "1 trials that were running are complete",
        "1 trials that were running are lost, since their workers ended",
        "1 of these are run again",
        "1 experiments of the study read from Git",
    ]


def test_the_summary_of_an_empty_plan_is_empty():
    assert ReconcilePlan().summary() == []
