"""What MLflow cannot hold is changed in a way that can be undone, and kept as Git has it."""

import json
import math
from typing import Any

import pytest

from locatable.mlflow.content import Content
from locatable.mlflow.limits import (
    KEPT_FILE,
    LONGEST_KEY,
    LONGEST_PARAM,
    FittedContent,
    Keys,
    MetricPoint,
    fit,
    same_value,
)
from locatable.mlflow.values import Point


def fitted(**content: Any) -> FittedContent:
    """A content with these, as MLflow can hold it."""
    return fit(Content(key="aaa", name="a", start=7, end=7, **content))


def kept(found: FittedContent) -> dict[str, Any]:
    """What was kept beside."""
    content: dict[str, Any] = json.loads(found.artifacts[KEPT_FILE])
    return content


def test_plain_values_are_taken_as_they_are() -> None:
    assert fitted(params={"train.model": "forest"}).params == {"train.model": "forest"}


@pytest.mark.parametrize(
    ("value", "text"),
    [(1e-05, "1e-05"), (True, "true"), (None, "null"), ([1, {"a": None}], '[1, {"a": null}]'), ("1", "1")],
)
def test_params_are_written_as_json_writes_them(value: object, text: str) -> None:
    assert fitted(params={"p": value}).params == {"p": text}


def test_nothing_is_kept_beside_where_all_could_be_held() -> None:
    found = fitted(params={"p": 1}, metrics={"m": 0.5}, artifacts={"a.txt": b"a"})
    assert (found.artifacts, found.tags) == ({"a.txt": b"a"}, {})


def test_a_long_param_is_cut_and_kept() -> None:
    found = fitted(params={"p": "x" * 10_000})
    assert len(found.params["p"]) == LONGEST_PARAM
    assert kept(found)["params"] == {"p": "x" * 10_000}


def test_a_run_says_how_much_was_changed() -> None:
    assert fitted(params={"odd@key": 1, "odd#key": 2}).tags == {
        "mirror.kept": "2 as they are in Git: see mirror/kept.json"
    }


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("odd@key", "odd_key"),
        ("größe.日本", "größe.日本"),
        ("..", "__"),
        ("/etc", "_etc"),
        ("a//b", "a__b"),
        ("", "_"),
    ],
)
def test_a_key_has_only_characters_that_mlflow_allows(name: str, key: str) -> None:
    assert Keys().fit(name) == key


def test_two_names_never_get_one_key() -> None:
    keys = Keys()
    assert keys.fit("odd_key") != keys.fit("odd@key")


def test_one_name_always_gets_the_same_key() -> None:
    keys = Keys()
    keys.fit("odd_key")
    assert keys.fit("odd@key") == keys.fit("odd@key")


def test_long_names_that_begin_alike_get_keys_of_their_own() -> None:
    keys = Keys()
    found = {keys.fit("k" * 300 + end) for end in "abc"}
    assert len(found) == 3
    assert all(len(key) <= LONGEST_KEY for key in found)


def test_metrics_are_points_at_the_time_of_the_run() -> None:
    assert fitted(metrics={"m": 0.5}).points == [MetricPoint("m", 0.5, 7, 0)]


def test_series_are_points_at_their_own_times() -> None:
    assert fitted(series={"s": [Point(3, "0.5", 9)]}).points == [MetricPoint("s", 0.5, 9, 3)]


def test_a_metric_that_is_no_number_is_kept_only() -> None:
    found = fitted(metrics={"grade": "good"})
    assert found.points == []
    assert kept(found)["metrics"] == {"grade": [[0, "good"]]}


def test_infinite_values_are_kept_too() -> None:
    assert kept(fitted(series={"s": [Point(2, "inf", 9)]}))["metrics"] == {"s": [[2, "inf"]]}


def test_an_integer_that_a_float_rounds_is_kept_too() -> None:
    assert kept(fitted(metrics={"big": 123456789012345678901}))["metrics"] == {
        "big": [[0, 123456789012345678901]]
    }


def test_a_path_has_no_characters_that_an_address_gives_a_meaning() -> None:
    found = fitted(artifacts={"a#b?.txt": b"x"})
    assert found.artifacts["a~23b~3f.txt"] == b"x"
    assert kept(found)["artifacts"] == {"a#b?.txt": "a~23b~3f.txt"}


def test_an_artifact_that_is_none_is_left_out() -> None:
    assert fitted(artifacts={"a.txt": None}).artifacts == {}


def test_the_content_itself_stays_as_it_is() -> None:
    content = Content(key="a", name="a", start=0, end=0, artifacts={"a#b": b"x"})
    fit(content)
    assert content.artifacts == {"a#b": b"x"}


@pytest.mark.parametrize(
    ("value", "stored"), [(0.5, 0.5), (math.nan, math.nan), (math.inf, 1.7976931348623157e308)]
)
def test_a_value_is_the_one_that_mlflow_gives_back(value: float, stored: float) -> None:
    assert same_value(value, stored)


@pytest.mark.parametrize(("value", "stored"), [(0.5, 0.25), (math.nan, 0.0), (math.inf, -math.inf)])
def test_another_value_is_not(value: float, stored: float) -> None:
    assert not same_value(value, stored)
