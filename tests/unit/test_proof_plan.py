"""Which stages a proof rebuilds, and what it takes from DVC, is decided before anything runs."""

import re

import pytest

from locatable.errors import CannotTryError
from locatable.model import Output, Stage
from locatable.proof.plan import plan_proof

RAW = Output("data", entry={"md5": "raw"})


def output(name: str, **changes: object) -> Output:
    """A recorded output."""
    return Output(name, **{"entry": {"md5": f"hash of {name}"}, **changes})


def stage(name: str, reads: str, writes: Output, **changes: object) -> Stage:
    """A stage with one dependency and one output."""
    address = changes.pop("address", name)
    return Stage(address, ".", "true", deps=(reads,), outs={writes.path: writes}, **changes)


TABLE, MODEL = output("table.csv"), output("model.bin")
PREPARE = stage("prepare", "data/raw.csv", TABLE)
TRAIN = stage("train", "table.csv", MODEL)
OUTPUTS = [RAW, TABLE, MODEL]


def addresses(plan) -> list[str]:
    """Addresses of the stages to rebuild."""
    return [stage.address for stage in plan.stages]


def test_all_stages_are_rebuilt_in_their_order():
    assert addresses(plan_proof([PREPARE, TRAIN], OUTPUTS, None)) == ["prepare", "train"]


def test_source_data_is_taken_as_recorded():
    assert plan_proof([PREPARE, TRAIN], OUTPUTS, None).taken_as_recorded == (RAW,)


def test_data_is_fetched_for_the_stage_that_reads_a_file_of_it():
    plan = plan_proof([PREPARE, TRAIN], OUTPUTS, None)
    assert [plan.recorded_inputs(stage) for stage in plan.stages] == [[RAW], []]


def test_data_inside_a_folder_that_a_stage_reads_is_fetched():
    reader = stage("read", ".", MODEL)
    assert plan_proof([reader], [RAW, MODEL], None).recorded_inputs(reader) == [RAW]


def test_a_params_file_that_dvc_holds_is_fetched():
    params = output("settings.yaml")
    reader = stage("train", "code.py", MODEL, params={params.path: []})
    assert plan_proof([reader], [params, MODEL], None).recorded_inputs(reader) == [params]


def test_what_git_holds_is_not_fetched():
    assert plan_proof([TRAIN], [output("table.csv", cached=False), MODEL], None).recorded_inputs(TRAIN) == []


def test_one_stage_alone_takes_its_inputs_as_recorded():
    plan = plan_proof([PREPARE, TRAIN], OUTPUTS, "train")
    assert (addresses(plan), plan.recorded_inputs(TRAIN)) == (["train"], [TABLE])


@pytest.mark.parametrize("name", ["sub/dvc.yaml:train", "train"])
def test_a_stage_can_be_named_by_its_address_or_the_end_of_it(name):
    nested = stage("train", "table.csv", MODEL, address="sub/dvc.yaml:train")
    assert addresses(plan_proof([PREPARE, nested], OUTPUTS, name)) == ["sub/dvc.yaml:train"]


def test_a_frozen_stage_is_taken_as_recorded():
    frozen = stage("prepare", "data/raw.csv", TABLE, frozen=True)
    plan = plan_proof([frozen, TRAIN], OUTPUTS, None)
    assert (addresses(plan), plan.frozen, plan.recorded_inputs(TRAIN)) == (["train"], (frozen,), [TABLE])


def test_that_all_stages_are_frozen_is_said():
    frozen = stage("prepare", "data/raw.csv", TABLE, frozen=True)
    with pytest.raises(CannotTryError, match=r"all stages are frozen: prepare; `--stage NAME` rebuilds one"):
        plan_proof([frozen], OUTPUTS, None)


def test_a_frozen_stage_that_is_asked_for_is_rebuilt():
    frozen = stage("prepare", "data/raw.csv", TABLE, frozen=True)
    assert addresses(plan_proof([frozen, TRAIN], OUTPUTS, "prepare")) == ["prepare"]


def test_an_unknown_stage_is_refused_with_the_names_there_are():
    with pytest.raises(CannotTryError, match="no stage none in this revision; it has: prepare, train"):
        plan_proof([PREPARE, TRAIN], OUTPUTS, "none")


def test_a_revision_without_stages_is_refused():
    with pytest.raises(CannotTryError, match="no stage to rebuild in this revision; it has: none"):
        plan_proof([], [RAW], None)


def test_a_stage_that_never_ran_is_refused():
    never_ran = stage("train", "data", output("model.bin", entry=None))
    with pytest.raises(CannotTryError, match="train: no record in this revision's dvc"):
        plan_proof([PREPARE, never_ran], [RAW], None)


def test_a_revision_before_its_first_results_is_refused_as_a_whole():
    never_ran = stage("train", "data", output("model.bin", entry=None))
    with pytest.raises(CannotTryError, match="no results are recorded yet in this revision: `dvc repro`"):
        plan_proof([never_ran], [RAW], None)


@pytest.mark.parametrize("path", ["/elsewhere/raw.csv", "..", "../raw.csv", "s3://bucket/raw.csv"])
def test_a_dependency_outside_of_the_project_is_refused(path):
    reader = Stage("train", ".", "true", deps=(path,))
    with pytest.raises(CannotTryError, match=rf"train: {re.escape(path)} is outside the project"):
        plan_proof([reader], [], None)


def test_a_stage_that_is_not_part_of_the_proof_is_not_checked():
    never_ran = stage("other", "data", output("other.bin", entry=None))
    assert addresses(plan_proof([never_ran, PREPARE], OUTPUTS, "prepare")) == ["prepare"]
