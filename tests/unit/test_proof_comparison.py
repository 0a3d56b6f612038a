"""A rebuilt output is compared with its record: by hash, and by values where there are any."""

from pathlib import Path

import pytest

from locatable.dvc.stages import Output
from locatable.proof.comparison import (
    OutputVerdict,
    Rebuilt,
    Verdict,
    changed_values,
    compare,
    values_by_key,
)

OUTPUT = Output(Path("/clone/metrics.json"), "metrics.json", recorded="aaa")


def verdict_of(rebuilt: Rebuilt | None, recorded: dict | None = None, rtol: float = 0.0) -> OutputVerdict:
    """The verdict on `OUTPUT`."""
    return compare("train", OUTPUT, recorded, rebuilt, rtol)


def test_the_same_hash_is_identical():
    assert verdict_of(Rebuilt("aaa")).verdict is Verdict.IDENTICAL


def test_another_hash_differs():
    assert verdict_of(Rebuilt("bbb")).verdict is Verdict.DIFFERS


def test_no_output_is_missing():
    assert verdict_of(Rebuilt(None)).verdict is Verdict.MISSING


def test_a_stage_that_did_not_run_is_not_tried():
    assert verdict_of(None).verdict is Verdict.NOT_TRIED


def test_equal_values_in_other_bytes_differ_without_a_tolerance():
    assert verdict_of(Rebuilt("bbb", {"loss": 1.0}), {"loss": 1.0}).verdict is Verdict.DIFFERS


def test_equal_values_in_other_bytes_are_within_a_tolerance():
    assert verdict_of(Rebuilt("bbb", {"loss": 1.0}), {"loss": 1.0}, 1e-9).verdict is Verdict.WITHIN_RTOL


def test_values_further_apart_than_the_tolerance_differ():
    assert verdict_of(Rebuilt("bbb", {"loss": 1.1}), {"loss": 1.0}, 1e-9).verdict is Verdict.DIFFERS


def test_a_tolerance_does_not_excuse_an_output_without_values():
    assert verdict_of(Rebuilt("bbb"), None, 0.5).verdict is Verdict.DIFFERS


def test_a_tolerance_does_not_excuse_an_output_that_can_no_longer_be_read():
    assert verdict_of(Rebuilt("bbb", None), {"loss": 1.0}, 0.5).verdict is Verdict.DIFFERS


def test_what_changed_is_named():
    assert verdict_of(Rebuilt("bbb", {"loss": 2}), {"loss": 1}).changed == ("loss 1 -> 2",)


@pytest.mark.parametrize(
    ("verdict", "fine"),
    [
        (Verdict.IDENTICAL, True),
        (Verdict.WITHIN_RTOL, True),
        (Verdict.DIFFERS, False),
        (Verdict.MISSING, False),
        (Verdict.NOT_TRIED, False),
    ],
)
def test_which_verdicts_are_as_recorded(verdict, fine):
    assert OutputVerdict("train", "a", Path("a"), "aaa", "bbb", verdict).as_recorded is fine


def test_a_verdict_in_json_has_no_path_of_the_clone():
    assert verdict_of(Rebuilt("aaa")).to_json() == {
        "stage": "train",
        "output": "metrics.json",
        "recorded": "aaa",
        "rebuilt": "aaa",
        "verdict": "identical",
        "changed": [],
    }


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


def test_nan_equals_nan():
    assert changed_values({"loss": float("nan")}, {"loss": float("nan")}, 0.0) == []


def test_nan_differs_from_a_number():
    assert changed_values({"loss": float("nan")}, {"loss": 1.0}, 0.5) == ["loss nan -> 1.0"]


def test_infinity_is_within_no_tolerance_of_a_number():
    assert changed_values({"loss": float("inf")}, {"loss": 1e300}, 0.5) == ["loss inf -> 1e+300"]


def test_a_value_that_is_gone_is_a_change():
    assert changed_values({"a": 1}, {}, 0.0) == ["a 1 -> nothing"]


def test_a_new_value_is_a_change():
    assert changed_values({}, {"a": 1}, 0.0) == ["a nothing -> 1"]


def test_values_in_lists_are_named_by_position():
    assert values_by_key({"loss": [{"train": 1}, {"train": 2}]}) == {"loss.0.train": 1, "loss.1.train": 2}


def test_a_list_at_the_top_is_named_by_position():
    assert values_by_key([3, 4]) == {"0": 3, "1": 4}


@pytest.mark.parametrize("content", [3, "text", None, [], {}])
def test_content_without_keys_is_one_value(content):
    assert values_by_key(content) == {"": content}
