"""Keys of params and metrics."""

import datetime
import json
from typing import Any

import pytest

from locatable.model import Key, flatten, flatten_all, index, json_text, same_value

NAN = float("nan")


@pytest.mark.parametrize(
    ("text", "file", "dotted"),
    [
        ("train.rate", "params.yaml", "train.rate"),
        ("conf/a.toml:train.rate", "conf/a.toml", "train.rate"),
        ("params.yaml:rate", "params.yaml", "rate"),
        ("C:/a.yaml:rate", "C:/a.yaml", "rate"),
    ],
)
def test_a_key_is_a_file_and_a_dotted_key(text: str, file: str, dotted: str) -> None:
    assert Key.parse(text) == Key(file, dotted)


@pytest.mark.parametrize("text", ["train.rate", "conf/a.toml:train.rate"])
def test_a_key_is_written_as_it_was_read(text: str) -> None:
    assert str(Key.parse(text)) == text


def test_the_usual_params_file_is_not_spelled_out() -> None:
    assert str(Key.parse("params.yaml:rate")) == "rate"


def test_a_key_finds_its_value_in_mappings_and_lists() -> None:
    assert Key.parse("train.layers.1.size").value_in({"train": {"layers": [{}, {"size": 5}]}}) == 5


@pytest.mark.parametrize("dotted", ["absent", "train.absent", "train.rate.deeper", "layers.9", "layers.one"])
def test_a_key_without_a_value_is_an_error(dotted: str) -> None:
    with pytest.raises((LookupError, TypeError, ValueError)):
        Key.parse(dotted).value_in({"train": {"rate": 1}, "layers": [1]})


def test_a_part_is_a_position_in_lists_alone() -> None:
    assert (index([1], "0"), index({"0": 1}, "0")) == (0, "0")


@pytest.mark.parametrize(
    ("values", "flat"),
    [
        ({"a": {"b": 1, "c": {"d": 2}}, "e": 3}, {"a.b": 1, "a.c.d": 2, "e": 3}),
        ({"a": {"b": {}}}, {"a.b": {}}),
        ({1: {True: "x"}}, {"1.True": "x"}),
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 2}]}),
    ],
    ids=["nested", "empty", "keys that are no text", "lists"],
)
def test_nested_mappings_become_dotted_keys(values: dict[Any, Any], flat: dict[str, Any]) -> None:
    assert flatten(values) == flat


def test_no_value_is_lost_to_another_of_the_same_dotted_key() -> None:
    values = {"a.b": 1, "a": {"b": 2, "c": [3]}, "a.c.0": 4}
    assert flatten_all(values, lists=True) == {"a.b": 1, "a.b 2": 2, "a.c.0": 3, "a.c.0 2": 4}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (NAN, -float("nan"), True),
        ({"a": [NAN, {"b": NAN}]}, {"a": [NAN, {"b": NAN}]}, True),
        (1, 1.0, True),
        (NAN, None, False),
        (NAN, 0.0, False),
        ([NAN], [NAN, 1], False),
        ({"a": NAN}, {"b": NAN}, False),
        (2**53, 2**53 + 1, False),
        ("1", 1, False),
    ],
)
def test_values_are_the_same_as_in_python_and_a_nan_is_the_same_as_a_nan(
    one: object, other: object, same: bool
) -> None:
    assert same_value(one, other) is same_value(other, one) is same


def test_json_text_has_nothing_that_is_no_json() -> None:
    values = {
        "a": [NAN, (float("inf"), -float("inf"))],
        "b": {datetime.date(2024, 5, 1): {0.5: None}},
        "c": 1e-7,
    }

    def refuse(token: str) -> None:
        raise AssertionError(token)

    assert json.loads(json_text(values, indent=1), parse_constant=refuse) == {
        "a": ["NaN", ["Infinity", "-Infinity"]],
        "b": {"2024-05-01": {"0.5": None}},
        "c": 1e-7,
    }


def test_lists_are_flattened_by_position_where_asked_for() -> None:
    assert flatten({"a": [1, {"b": 2}], "c": []}, lists=True) == {"a.0": 1, "a.1.b": 2, "c": []}
