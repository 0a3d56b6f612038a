"""A model that differs in bytes is accepted by the numbers that later stages make of it, or not at all."""

import pytest

from locatable.model import Stage
from locatable.proof.comparison import OutputVerdict, Verdict, accept_by_what_follows
from locatable.proof.contents import Differences


def stage(name: str, *reads: str) -> Stage:
    """A stage that reads some files."""
    return Stage(name, ".", f"run {name}", deps=reads)


def output(of: str, name: str, verdict: Verdict = Verdict.IDENTICAL) -> OutputVerdict:
    """What came of an output."""
    return OutputVerdict(of, name, "aaa", "bbb", verdict, Differences(1e-9))


def model(of: str = "train", name: str = "model.joblib") -> OutputVerdict:
    """What came of a model that differs in bytes."""
    found = Differences(1e-9)
    found.opaque.append(name)
    return OutputVerdict(of, name, "aaa", "bbb", Verdict.DIFFERS, found)


def is_json(path: str) -> bool:
    """Numbers are in JSON files."""
    return path.endswith(".json")


TRAIN = stage("train", "rows.csv")
EVALUATE = stage("evaluate", "model.joblib")


def accepted(verdicts: list[OutputVerdict], *stages: Stage) -> bool:
    """Whether the first of some outputs is accepted by what follows."""
    judged = accept_by_what_follows(verdicts, stages, is_json)
    return judged[0].verdict is Verdict.NUMBERS_AFTER


@pytest.mark.parametrize("verdict", [Verdict.IDENTICAL, Verdict.WITHIN_RTOL])
def test_a_model_whose_numbers_are_as_recorded_is_accepted(verdict):
    assert accepted([model(), output("evaluate", "metrics.json", verdict)], TRAIN, EVALUATE)


@pytest.mark.parametrize("verdict", [Verdict.CLOSE, Verdict.DIFFERS, Verdict.MISSING, Verdict.NOT_TRIED])
def test_a_model_whose_numbers_are_not_as_recorded_is_not_accepted(verdict):
    assert not accepted([model(), output("evaluate", "metrics.json", verdict)], TRAIN, EVALUATE)


def test_a_model_that_no_stage_reads_is_not_accepted():
    assert not accepted([model()], TRAIN)


def test_a_model_that_only_a_picture_follows_is_not_accepted():
    assert not accepted([model(), output("evaluate", "figure.png")], TRAIN, EVALUATE)


def test_a_model_is_not_accepted_where_a_picture_beside_the_numbers_differs():
    after = [output("evaluate", "metrics.json"), model("evaluate", "figure.png")]
    assert not accepted([model(), *after], TRAIN, EVALUATE)


def test_every_stage_that_reads_the_model_counts():
    other = stage("explain", "model.joblib")
    after = [output("evaluate", "metrics.json"), output("explain", "shap.json", Verdict.DIFFERS)]
    assert not accepted([model(), *after], TRAIN, EVALUATE, other)


def test_a_stage_that_reads_the_model_and_was_not_rebuilt_is_unknown():
    frozen = stage("explain", "model.joblib")
    assert not accepted([model(), output("evaluate", "metrics.json")], TRAIN, EVALUATE, frozen)


def test_a_model_of_a_model_is_accepted_by_the_numbers_at_the_end():
    calibrate, last = stage("calibrate", "model.joblib"), stage("evaluate", "calibrated.joblib")
    after = [model("calibrate", "calibrated.joblib"), output("evaluate", "metrics.json")]
    assert accepted([model(), *after], TRAIN, calibrate, last)


def test_a_missing_model_is_not_accepted():
    missing = output("train", "model.joblib", Verdict.MISSING)
    assert not accepted([missing, output("evaluate", "metrics.json")], TRAIN, EVALUATE)


def test_an_output_whose_own_numbers_differ_is_not_accepted_by_what_follows():
    found = Differences(1e-9)
    found.add("loss", 1.0, 2.0)
    table = OutputVerdict("train", "a.csv", "aaa", "bbb", Verdict.DIFFERS, found)
    reader = stage("evaluate", "a.csv")
    assert not accepted([table, output("evaluate", "metrics.json")], TRAIN, reader)
