"""What a mirror has to do, as a plan: no MLflow, no Git."""

from dataclasses import replace
from typing import Any

import pytest

from locatable.mlflow.known import KnownRun
from locatable.mlflow.plan import Action, MirrorPlan, Rename, WantedRun, plan_mirror
from locatable.model import Experiment

BASELINE = WantedRun("aaa", "baseline aaa")
FOREST = WantedRun("bbb", "forest", "aaa", Experiment("forest", "bbb", "aaa", 1))
TRIAL = WantedRun("ccc", "wide-0", "study wide", Experiment("wide-0", "ccc", "aaa", 1, "wide"))
STUDY = WantedRun("study wide", "wide", trials=(Experiment("wide-0", "ccc", "aaa", 1, "wide"),))

BASELINE_RUN = KnownRun("1", "aaa", "baseline aaa")
FOREST_RUN = KnownRun("2", "bbb", "forest", parent="1", experiment="forest")
TRIAL_RUN = KnownRun("3", "ccc", "wide-0", parent="4", experiment="wide-0")
STUDY_RUN = KnownRun("4", "study wide", "wide")


def plan(wanted: list[WantedRun], known: list[KnownRun], **policy: Any) -> MirrorPlan:
    """The plan for these runs."""
    by_key: dict[str, list[KnownRun]] = {}
    for run in known:
        by_key.setdefault(run.key, []).append(run)
    return plan_mirror({run.key: run for run in wanted}, by_key, **policy)


LACKING = replace(BASELINE_RUN, missing="this machine does not have: p.csv")
BEGUN = replace(BASELINE_RUN, complete=False)
DESCRIBED = replace(BASELINE_RUN, description="old")
OWN = replace(BASELINE_RUN, description="same", name="my name", own_name="my name")
RENAMED = replace(FOREST_RUN, description="same", experiment="old name")
WITH_MODELS = replace(BASELINE_RUN, has_models=True)
COPY = {"copy_models": True}
SAME = {"description": "same"}
ALL_RUNS = [BASELINE_RUN, FOREST_RUN, STUDY_RUN, TRIAL_RUN]
FOUR_CREATED = dict.fromkeys(["wide", "baseline aaa", "forest", "wide-0"], Action.CREATE)
# The wanted runs, those that there are, how to mirror, and what is done to which run, in this order.
Case = tuple[list[WantedRun], list[KnownRun], dict[str, Any], dict[str, Action]]
ACTIONS: dict[str, Case] = {
    "nothing where every run is there": ([BASELINE, FOREST, STUDY, TRIAL], ALL_RUNS, {}, {}),
    "a run that is not there": ([BASELINE, FOREST], [BASELINE_RUN], {}, {"forest": Action.CREATE}),
    "parents before their children": ([STUDY, BASELINE, FOREST, TRIAL], [], {}, FOUR_CREATED),
    "a run that another mirror began, after the new ones": (
        *([BASELINE, FOREST], [BEGUN], {}),
        {"forest": Action.CREATE, "baseline aaa": Action.FINISH},
    ),
    "a study with a new trial, before it": (
        *([STUDY, TRIAL], [STUDY_RUN], {}),
        {"wide": Action.GROW, "wide-0": Action.CREATE},
    ),
    "no study whose trials are all there": ([STUDY, TRIAL], [STUDY_RUN, TRIAL_RUN], {}, {}),
    "a run that lacks files": ([BASELINE], [LACKING], {}, {"baseline aaa": Action.EXTEND}),
    "a run that lacks models": ([BASELINE], [BASELINE_RUN], COPY, {"baseline aaa": Action.EXTEND}),
    "no run that has models": ([BASELINE], [WITH_MODELS], COPY, {}),
    "no models of a study": ([STUDY], [STUDY_RUN], COPY, {}),
    "a run of another script": ([BASELINE], [DESCRIBED], SAME, {"baseline aaa": Action.DESCRIBE}),
    "a run whose script is gone": ([BASELINE], [DESCRIBED], {}, {"baseline aaa": Action.DESCRIBE}),
    "no run of this script": ([BASELINE], [OWN], SAME, {}),
    "a described run under a new name": ([FOREST], [RENAMED], SAME, {"forest": Action.DESCRIBE}),
    "no study by a script": ([STUDY], [STUDY_RUN], SAME, {}),
    "nothing is pruned unasked": ([BASELINE], [BASELINE_RUN, FOREST_RUN, STUDY_RUN], {}, {}),
}


@pytest.mark.parametrize(("wanted", "known", "policy", "expected"), ACTIONS.values(), ids=ACTIONS)
def test_what_is_done(wanted: Any, known: Any, policy: Any, expected: dict[str, Action]) -> None:
    made = plan(wanted, known, **policy)
    assert [(run.wanted.name, run.action) for run in made.runs] == list(expected.items())
    assert made.is_empty is not bool(expected)


def test_of_several_runs_for_a_key_the_first_one_stays() -> None:
    twice = [BASELINE_RUN, replace(BASELINE_RUN, run_id="9")]
    assert plan([BASELINE], twice).duplicates == ["9"]


def test_a_run_gets_the_name_that_its_experiment_has_now() -> None:
    old = replace(FOREST_RUN, name="tree", experiment="tree")
    assert plan([BASELINE, FOREST], [BASELINE_RUN, old]).renames == [Rename("2", "forest", FOREST)]


def test_a_run_gets_back_the_name_that_the_script_gave_it() -> None:
    changed = replace(FOREST_RUN, name="by hand", own_name="my name", description="same")
    (rename,) = plan([BASELINE, FOREST], [BASELINE_RUN, changed], description="same").renames
    assert rename.name == "my name"


def test_a_run_is_nested_below_its_parent() -> None:
    apart = replace(FOREST_RUN, parent=None)
    assert plan([BASELINE, FOREST], [BASELINE_RUN, apart]).moves == {"2": "1"}


def test_a_run_whose_parent_is_not_there_stays_where_it_is() -> None:
    assert plan([FOREST], [FOREST_RUN]).moves == {}


STUDIED = [BASELINE_RUN, STUDY_RUN, TRIAL_RUN]
PRUNED: dict[str, tuple[list[KnownRun], list[str], list[str]]] = {
    "runs of what is gone": ([BASELINE_RUN, FOREST_RUN], ["bbb"], ["2"]),
    "no runs of what this clone never had": ([BASELINE_RUN, FOREST_RUN], [], []),
    "a study with its last trial": (STUDIED, ["ccc"], ["3", "4"]),
    "no study with a trial left": (STUDIED, [], []),
}


@pytest.mark.parametrize(("known", "gone", "pruned"), PRUNED.values(), ids=PRUNED)
def test_what_is_pruned(known: list[KnownRun], gone: list[str], pruned: list[str]) -> None:
    assert plan([BASELINE], known, gone=frozenset(gone)).pruned == pruned


def test_runs_that_are_not_complete_count_as_new() -> None:
    assert plan([STUDY, BASELINE, TRIAL], [BEGUN, STUDY_RUN]).number_of_new == 2
