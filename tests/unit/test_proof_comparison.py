"""A rebuilt output is compared with its record: by hash, and by values where there are any."""

import pytest

from locatable.model import Output, Stage
from locatable.proof.comparison import OutputVerdict, Verdict, compare, unproven
from locatable.proof.contents import Differences, values_by_key

OUTPUT = Output("metrics.json", entry={"md5": "aaa"})


def differences(recorded: dict, rebuilt: dict, rtol: float = 0.0) -> Differences:
    """What differs between two contents."""
    found = Differences(rtol)
    found.add_all("", recorded, rebuilt)
    return found


def changed_values(recorded: dict, rebuilt: dict, rtol: float) -> list[str]:
    """One line per value that differs."""
    return differences(recorded, rebuilt, rtol).changed


def verdict_of(rebuilt: str | None, found: Differences | None = None) -> OutputVerdict:
    """The verdict on `OUTPUT`."""
    return compare("train", OUTPUT, rebuilt, found)


def opaque(rtol: float = 0.0) -> Differences:
    """Another file of a format that has no values."""
    found = Differences(rtol)
    found.opaque.append("model.joblib")
    return found


def test_the_same_hash_is_identical():
    assert verdict_of("aaa").verdict is Verdict.IDENTICAL


def test_another_hash_differs():
    assert verdict_of("bbb").verdict is Verdict.DIFFERS


def test_no_output_is_missing():
    assert verdict_of(None).verdict is Verdict.MISSING


def test_a_stage_that_did_not_run_is_not_tried():
    stage = Stage("train", ".", "true", outs={OUTPUT.path: OUTPUT})
    (found,) = unproven(stage, Verdict.NOT_TRIED)
    assert (found.recorded, found.rebuilt, str(found)) == ("aaa", None, "not tried")


def test_equal_values_in_other_bytes_are_close_and_not_identical():
    assert verdict_of("bbb", differences({"loss": 1.0}, {"loss": 1.0})).verdict is Verdict.CLOSE


def test_equal_values_in_other_bytes_are_within_a_tolerance():
    assert verdict_of("bbb", differences({"loss": 1.0}, {"loss": 1.0}, 1e-9)).verdict is Verdict.WITHIN_RTOL


def test_numbers_that_differ_in_the_last_digit_are_close():
    assert verdict_of("bbb", differences({"loss": 0.3}, {"loss": 0.1 + 0.2})).verdict is Verdict.CLOSE


def test_numbers_that_differ_by_more_than_rounding_differ():
    assert verdict_of("bbb", differences({"loss": 1.0}, {"loss": 1.00001})).verdict is Verdict.DIFFERS


def test_whole_numbers_are_not_rounded():
    found = differences({"seconds": 1_700_000_000}, {"seconds": 1_700_000_001})
    assert verdict_of("bbb", found).verdict is Verdict.DIFFERS


def test_a_text_that_differs_beside_rounded_numbers_differs():
    found = differences({"loss": 0.3, "name": "a"}, {"loss": 0.1 + 0.2, "name": "b"})
    assert verdict_of("bbb", found).verdict is Verdict.DIFFERS


def test_values_further_apart_than_the_tolerance_differ():
    assert verdict_of("bbb", differences({"loss": 1.0}, {"loss": 1.1}, 1e-9)).verdict is Verdict.DIFFERS


def test_a_verdict_shows_the_largest_relative_difference():
    assert str(verdict_of("bbb", differences({"a": 4.0, "b": 1}, {"a": 5.0, "b": 1}))) == (
        "differs (largest relative difference 0.2)"
    )


def test_a_tolerance_does_not_excuse_an_output_without_values():
    assert verdict_of("bbb", opaque(rtol=0.5)).verdict is Verdict.DIFFERS


def test_a_tolerance_does_not_excuse_a_recorded_output_that_cannot_be_had():
    assert verdict_of("bbb", None).verdict is Verdict.DIFFERS


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


def test_equal_values_are_no_change():
    assert changed_values({"a": 1, "b": "x"}, {"a": 1, "b": "x"}, 0.0) == []


def test_the_tolerance_is_relative():
    assert changed_values({"big": 1e6, "small": 1.0}, {"big": 1e6 + 1, "small": 2.0}, 1e-5) == [
        "small 1.0 -> 2.0"
    ]


def test_an_integer_and_a_float_of_the_same_value_are_equal():
    assert changed_values({"n": 1}, {"n": 1.0}, 0.0) == []


def test_a_truth_value_is_no_number():
    assert changed_values({"done": True}, {"done": 0.99}, 0.1) == ["done True -> 0.99"]


def test_a_truth_value_is_not_one():
    assert changed_values({"done": True}, {"done": 1}, 0.1) == ["done True -> 1"]


def test_nan_equals_nan():
    assert changed_values({"loss": float("nan")}, {"loss": float("nan")}, 0.0) == []


def test_nan_differs_from_a_number():
    assert changed_values({"loss": float("nan")}, {"loss": 1.0}, 0.5) == ["loss nan -> 1.0"]


def test_infinity_is_within_no_tolerance_of_a_number():
    assert changed_values({"loss": float("inf")}, {"loss": 1e300}, 0.5) == ["loss inf -> 1e+300"]


def test_infinity_has_no_relative_difference():
    assert differences({"loss": float("inf")}, {"loss": 1e300}).largest == 0.0


def test_whole_numbers_beyond_the_range_of_floats_are_compared():
    assert len(changed_values({"n": 10**400}, {"n": 0.5}, 0.5)) == 1


def test_a_value_that_is_gone_is_a_change():
    assert changed_values({"a": 1}, {}, 0.0) == ["a 1 -> nothing"]


def test_a_new_value_is_a_change():
    assert changed_values({}, {"a": 1}, 0.0) == ["a nothing -> 1"]


def test_null_is_not_nothing():
    assert changed_values({"a": None}, {}, 0.5) == ["a None -> nothing"]


def test_values_in_lists_are_named_by_position():
    assert values_by_key({"loss": [{"train": 1}, {"train": 2}]}) == {"loss.0.train": 1, "loss.1.train": 2}


def test_a_list_at_the_top_is_named_by_position():
    assert values_by_key([3, 4]) == {"0": 3, "1": 4}


@pytest.mark.parametrize("content", [3, "text", None, [], {}])
def test_content_without_keys_is_one_value(content):
    assert values_by_key(content) == {"": content}
