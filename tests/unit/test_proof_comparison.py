"""A rebuilt output is compared with its record: by hash, and by values where there are any."""

import pytest

from locatable.model import Output
from locatable.proof.comparison import OutputVerdict, Rebuilt, Verdict, compare
from locatable.proof.differences import Differences, values_by_key

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
    return compare("train", OUTPUT, Rebuilt(rebuilt, found))


def opaque(rtol: float = 0.0) -> Differences:
    """Another file of a format that has no values."""
    found = Differences(rtol)
    found.add_opaque("model.joblib")
    return found


def test_the_same_hash_is_identical():
    assert verdict_of("aaa").verdict is Verdict.IDENTICAL


def test_another_hash_differs():
    assert verdict_of("bbb").verdict is Verdict.DIFFERS


def test_no_output_is_missing():
    assert verdict_of(None).verdict is Verdict.MISSING


def test_a_stage_that_did_not_run_is_not_tried():
    assert compare("train", OUTPUT, None).verdict is Verdict.NOT_TRIED


SUM = 0.1 + 0.2
JUDGED = {
    "equal values in other bytes": ({"loss": 1.0}, {"loss": 1.0}, 0.0, Verdict.CLOSE),
    "equal values in other bytes, with a tolerance": (
        {"loss": 1.0},
        {"loss": 1.0},
        1e-9,
        Verdict.WITHIN_RTOL,
    ),
    "another last digit": ({"loss": 0.3}, {"loss": SUM}, 0.0, Verdict.CLOSE),
    "more than rounding": ({"loss": 1.0}, {"loss": 1.00001}, 0.0, Verdict.DIFFERS),
    "whole numbers, which are not rounded": (
        {"s": 1_700_000_000},
        {"s": 1_700_000_001},
        0.0,
        Verdict.DIFFERS,
    ),
    "a text beside rounded numbers": (
        {"loss": 0.3, "name": "a"},
        {"loss": SUM, "name": "b"},
        0.0,
        Verdict.DIFFERS,
    ),
    "further apart than the tolerance": ({"loss": 1.0}, {"loss": 1.1}, 1e-9, Verdict.DIFFERS),
}


@pytest.mark.parametrize("what", JUDGED)
def test_other_bytes_are_judged_by_their_values(what):
    recorded, rebuilt, rtol, verdict = JUDGED[what]
    assert verdict_of("bbb", differences(recorded, rebuilt, rtol)).verdict is verdict


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
    found.add_opaque("model.joblib")
    said = verdict_of("bbb", found).to_json()
    assert (said["largest_relative_difference"], said["not_compared"]) == (0.2, ["model.joblib"])


NAN, INFINITE = float("nan"), float("inf")
CHANGED = {
    "equal values": ({"a": 1, "b": "x"}, {"a": 1, "b": "x"}, 0.0, []),
    "a tolerance, which is relative": (
        {"big": 1e6, "small": 1.0},
        {"big": 1e6 + 1, "small": 2.0},
        1e-5,
        ["small 1.0 -> 2.0"],
    ),
    "an integer and a float of the same value": ({"n": 1}, {"n": 1.0}, 0.0, []),
    "a truth value, which is no number": ({"done": True}, {"done": 0.99}, 0.1, ["done True -> 0.99"]),
    "a truth value and one": ({"done": True}, {"done": 1}, 0.1, ["done True -> 1"]),
    "NaN twice": ({"loss": NAN}, {"loss": NAN}, 0.0, []),
    "NaN and a number": ({"loss": NAN}, {"loss": 1.0}, 0.5, ["loss nan -> 1.0"]),
    "infinity, within no tolerance": ({"loss": INFINITE}, {"loss": 1e300}, 0.5, ["loss inf -> 1e+300"]),
    "a whole number beyond floats": ({"n": 10**400}, {"n": 0.5}, 0.5, [f"n {10**400} -> 0.5"]),
    "a value that is gone": ({"a": 1}, {}, 0.0, ["a 1 -> nothing"]),
    "a new value": ({}, {"a": 1}, 0.0, ["a nothing -> 1"]),
    "null, which is not nothing": ({"a": None}, {}, 0.5, ["a None -> nothing"]),
}


@pytest.mark.parametrize("what", CHANGED)
def test_values_that_changed(what):
    recorded, rebuilt, rtol, lines = CHANGED[what]
    assert changed_values(recorded, rebuilt, rtol) == lines


def test_infinity_has_no_relative_difference():
    assert differences({"loss": float("inf")}, {"loss": 1e300}).largest == 0.0


def test_values_in_lists_are_named_by_position():
    assert values_by_key({"loss": [{"train": 1}, {"train": 2}]}) == {"loss.0.train": 1, "loss.1.train": 2}
    assert values_by_key([3, 4]) == {"0": 3, "1": 4}


@pytest.mark.parametrize("content", [3, "text", None, [], {}])
def test_content_without_keys_is_one_value(content):
    assert values_by_key(content) == {"": content}
