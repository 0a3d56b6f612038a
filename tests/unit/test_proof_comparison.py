"""A rebuilt output is compared with its record: by hash, by values, by the numbers that follow from it."""

import pytest

from locatable.model import Output, Stage
from locatable.proof.comparison import (
    Differences,
    OutputVerdict,
    Verdict,
    accept_by_later_results,
    judge,
    unproven,
    values_by_key,
)

OUTPUT = Output("metrics.json", entry={"md5": "aaa"})


def differences(recorded: dict, rebuilt: dict, rtol: float = 0.0) -> Differences:
    """What differs between two contents."""
    found = Differences(rtol)
    found.add_all("", recorded, rebuilt)
    return found


def verdict_of(rebuilt: str | None, found: Differences | None = None) -> OutputVerdict:
    """The verdict on `OUTPUT`."""
    return judge("train", OUTPUT, rebuilt, found)


def opaque(rtol: float = 0.0) -> Differences:
    """Another file of a format that has no values."""
    found = Differences(rtol)
    found.opaque.append("model.joblib")
    return found


SECONDS = {"seconds": 1_700_000_000}, {"seconds": 1_700_000_001}
ROUNDED = {"loss": 0.3}, {"loss": 0.1 + 0.2}
VERDICTS = {
    "the same hash is identical": ("aaa", None, Verdict.IDENTICAL),
    "another hash differs, where the recorded output cannot be had": ("bbb", None, Verdict.DIFFERS),
    "no output is missing": (None, None, Verdict.MISSING),
    "equal values in other bytes are close": ("bbb", differences({"a": 1.0}, {"a": 1.0}), Verdict.CLOSE),
    "equal values in other bytes are within a tolerance": (
        "bbb",
        differences({"a": 1.0}, {"a": 1.0}, 1e-9),
        Verdict.WITHIN_RTOL,
    ),
    "numbers that differ in the last digit are close": ("bbb", differences(*ROUNDED), Verdict.CLOSE),
    "numbers that differ by more than rounding differ": (
        "bbb",
        differences({"a": 1.0}, {"a": 1.00001}),
        Verdict.DIFFERS,
    ),
    "whole numbers are not rounded": ("bbb", differences(*SECONDS), Verdict.DIFFERS),
    "a text that differs beside rounded numbers differs": (
        "bbb",
        differences({"loss": 0.3, "name": "a"}, {"loss": 0.1 + 0.2, "name": "b"}),
        Verdict.DIFFERS,
    ),
    "values further apart than the tolerance differ": (
        "bbb",
        differences({"a": 1.0}, {"a": 1.1}, 1e-9),
        Verdict.DIFFERS,
    ),
    "a tolerance does not excuse an output without values": ("bbb", opaque(rtol=0.5), Verdict.DIFFERS),
}


@pytest.mark.parametrize(("rebuilt", "found", "verdict"), VERDICTS.values(), ids=VERDICTS)
def test_an_output_is_judged_by_its_hash_and_by_its_values(rebuilt, found, verdict):
    assert verdict_of(rebuilt, found).verdict is verdict


def test_a_stage_that_did_not_run_is_not_tried():
    stage = Stage("train", ".", "true", outs={OUTPUT.path: OUTPUT})
    (found,) = unproven(stage, Verdict.NOT_TRIED)
    assert (found.recorded, found.rebuilt, str(found)) == ("aaa", None, "not tried")


def test_a_verdict_shows_the_largest_relative_difference():
    assert str(verdict_of("bbb", differences({"a": 4.0, "b": 1}, {"a": 5.0, "b": 1}))) == (
        "differs (largest relative difference 0.2)"
    )


def test_what_changed_is_named():
    assert verdict_of("bbb", differences({"loss": 1}, {"loss": 2})).changed == ("loss 1 -> 2",)


def test_of_many_values_that_changed_some_are_named():
    recorded, rebuilt = dict.fromkeys(map(str, range(1000)), 1.0), dict.fromkeys(map(str, range(1000)), 2.0)
    assert len(verdict_of("bbb", differences(recorded, rebuilt)).changed) == 20


@pytest.mark.parametrize(
    ("verdict", "fine"),
    [
        (Verdict.IDENTICAL, True),
        (Verdict.WITHIN_RTOL, True),
        (Verdict.NUMBERS_AFTER, True),
        (Verdict.CLOSE, False),
        (Verdict.DIFFERS, False),
        (Verdict.MISSING, False),
        (Verdict.NOT_TRIED, False),
    ],
)
def test_which_verdicts_are_as_recorded(verdict, fine):
    assert OutputVerdict("train", "a", "aaa", "bbb", verdict).as_recorded is fine


def test_a_verdict_in_json_has_no_path_of_the_clone():
    assert verdict_of("aaa").to_json() == {
        "stage": "train",
        "output": "metrics.json",
        "recorded": "aaa",
        "rebuilt": "aaa",
        "verdict": "identical",
        "changed": [],
        "largest_relative_difference": None,
        "not_compared": [],
    }


def test_a_verdict_in_json_has_the_figure_and_what_could_not_be_compared():
    found = differences({"loss": 4.0}, {"loss": 5.0})
    found.opaque.append("model.joblib")
    said = verdict_of("bbb", found).to_json()
    assert (said["largest_relative_difference"], said["not_compared"]) == (0.2, ["model.joblib"])


NAN, INFINITY = float("nan"), float("inf")
CHANGES = {
    "equal values are no change": ({"a": 1, "b": "x"}, {"a": 1, "b": "x"}, 0.0, []),
    "the tolerance is relative": (
        {"big": 1e6, "small": 1.0},
        {"big": 1e6 + 1, "small": 2.0},
        1e-5,
        ["small 1.0 -> 2.0"],
    ),
    "an integer and a float of the same value are equal": ({"n": 1}, {"n": 1.0}, 0.0, []),
    "a truth value is no number": ({"done": True}, {"done": 0.99}, 0.1, ["done True -> 0.99"]),
    "a truth value is not one": ({"done": True}, {"done": 1}, 0.1, ["done True -> 1"]),
    "nan equals nan": ({"loss": NAN}, {"loss": NAN}, 0.0, []),
    "nan differs from a number": ({"loss": NAN}, {"loss": 1.0}, 0.5, ["loss nan -> 1.0"]),
    "infinity is within no tolerance": ({"loss": INFINITY}, {"loss": 1e300}, 0.5, ["loss inf -> 1e+300"]),
    "whole numbers beyond floats": ({"n": 10**400}, {"n": 0.5}, 0.5, [f"n {10**400} -> 0.5"]),
    "a value that is gone": ({"a": 1}, {}, 0.0, ["a 1 -> nothing"]),
    "a new value": ({}, {"a": 1}, 0.0, ["a nothing -> 1"]),
    "null is not nothing": ({"a": None}, {}, 0.5, ["a None -> nothing"]),
    "a text that says so is not nothing": ({"a": "nothing"}, {}, 0.5, ["a nothing -> nothing"]),
}


@pytest.mark.parametrize(("recorded", "rebuilt", "rtol", "changed"), CHANGES.values(), ids=CHANGES)
def test_values_are_compared_one_by_one(recorded, rebuilt, rtol, changed):
    assert differences(recorded, rebuilt, rtol).changed == changed


def test_infinity_has_no_relative_difference():
    assert differences({"loss": float("inf")}, {"loss": 1e300}).largest == 0.0


def test_values_in_lists_are_named_by_position():
    assert values_by_key({"loss": [{"train": 1}, {"train": 2}]}) == {"loss.0.train": 1, "loss.1.train": 2}
    assert values_by_key([3, 4]) == {"0": 3, "1": 4}


@pytest.mark.parametrize("content", [3, "text", None, [], {}])
def test_content_without_keys_is_one_value(content):
    assert values_by_key(content) == {"": content}


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
    judged = accept_by_later_results(verdicts, stages, is_json)
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
