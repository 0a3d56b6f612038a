"""What a mirror has to do, as a plan: no MLflow, no Git."""

from dataclasses import replace
from typing import Any

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


def actions(made: MirrorPlan) -> dict[str, Action]:
    """What is done to which run, in order."""
    return {run.wanted.name: run.action for run in made.runs}


def test_nothing_is_done_where_every_run_is_there() -> None:
    wanted = [BASELINE, FOREST, STUDY, TRIAL]
    assert plan(wanted, [BASELINE_RUN, FOREST_RUN, STUDY_RUN, TRIAL_RUN]).is_empty


def test_a_run_that_is_not_there_is_created() -> None:
    assert actions(plan([BASELINE, FOREST], [BASELINE_RUN])) == {"forest": Action.CREATE}


def test_parents_are_created_before_their_children() -> None:
    assert list(actions(plan([STUDY, BASELINE, FOREST, TRIAL], []))) == [
        "wide",
        "baseline aaa",
        "forest",
        "wide-0",
    ]


def test_a_run_that_another_mirror_began_is_finished_after_the_new_ones() -> None:
    begun = replace(BASELINE_RUN, complete=False)
    assert list(actions(plan([BASELINE, FOREST], [begun])).items()) == [
        ("forest", Action.CREATE),
        ("baseline aaa", Action.FINISH),
    ]


def test_a_study_grows_with_a_new_trial_and_before_it() -> None:
    assert list(actions(plan([STUDY, TRIAL], [STUDY_RUN])).items()) == [
        ("wide", Action.GROW),
        ("wide-0", Action.CREATE),
    ]


def test_a_study_whose_trials_are_all_there_is_left_alone() -> None:
    assert plan([STUDY, TRIAL], [STUDY_RUN, TRIAL_RUN]).is_empty


def test_a_run_that_lacks_files_is_extended() -> None:
    lacking = replace(BASELINE_RUN, missing="this machine does not have: p.csv")
    assert actions(plan([BASELINE], [lacking])) == {"baseline aaa": Action.EXTEND}


def test_a_run_without_model_files_is_extended_where_they_are_asked_for() -> None:
    assert actions(plan([BASELINE], [BASELINE_RUN], copy_models=True)) == {"baseline aaa": Action.EXTEND}


def test_a_run_that_has_model_files_is_left_alone() -> None:
    assert plan([BASELINE], [replace(BASELINE_RUN, has_models=True)], copy_models=True).is_empty


def test_a_study_has_no_model_files_to_wait_for() -> None:
    assert plan([STUDY], [STUDY_RUN], copy_models=True).is_empty


def test_a_run_that_another_script_described_is_described_again() -> None:
    described = replace(BASELINE_RUN, description="old")
    assert actions(plan([BASELINE], [described], description="new")) == {"baseline aaa": Action.DESCRIBE}


def test_a_run_is_described_again_where_the_script_is_gone() -> None:
    assert actions(plan([BASELINE], [replace(BASELINE_RUN, description="old")])) == {
        "baseline aaa": Action.DESCRIBE
    }


def test_a_run_that_this_script_described_is_left_alone() -> None:
    described = replace(BASELINE_RUN, description="same", name="my name", own_name="my name")
    assert plan([BASELINE], [described], description="same").is_empty


def test_a_described_run_is_described_again_where_its_experiment_has_another_name() -> None:
    described = replace(FOREST_RUN, description="same", experiment="old name")
    assert actions(plan([FOREST], [described], description="same")) == {"forest": Action.DESCRIBE}


def test_a_study_is_not_described() -> None:
    assert plan([STUDY], [STUDY_RUN], description="new").is_empty


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


def test_runs_of_what_is_gone_are_pruned() -> None:
    assert plan([BASELINE], [BASELINE_RUN, FOREST_RUN], gone=frozenset(["bbb"])).pruned == ["2"]


def test_runs_of_what_this_clone_never_had_are_not_pruned() -> None:
    assert plan([BASELINE], [BASELINE_RUN, FOREST_RUN], gone=frozenset()).pruned == []


def test_a_study_is_pruned_with_its_last_trial() -> None:
    known = [BASELINE_RUN, STUDY_RUN, TRIAL_RUN]
    assert plan([BASELINE], known, gone=frozenset(["ccc"])).pruned == ["3", "4"]


def test_a_study_with_a_trial_left_is_not_pruned() -> None:
    known = [BASELINE_RUN, STUDY_RUN, TRIAL_RUN]
    assert plan([BASELINE], known, gone=frozenset()).pruned == []


def test_nothing_is_pruned_unless_asked_for() -> None:
    assert plan([BASELINE], [BASELINE_RUN, FOREST_RUN, STUDY_RUN]).is_empty


def test_runs_that_are_not_complete_count_as_new() -> None:
    begun = replace(BASELINE_RUN, complete=False)
    assert plan([STUDY, BASELINE, TRIAL], [begun, STUDY_RUN]).number_of_new == 2
