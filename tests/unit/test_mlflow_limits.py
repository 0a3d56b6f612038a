"""What MLflow cannot hold is changed in a way that can be undone, and kept as Git has it."""

import json
import math
from typing import Any

import pytest

from locatable.mlflow.content import Content, Dataset, Description, Model
from locatable.mlflow.limits import (
    KEPT_FILE,
    LONGEST_PARAM,
    LONGEST_TAG,
    FittedContent,
    MetricPoint,
    fit,
)
from locatable.mlflow.store import RULES
from locatable.results.values import Point


def fitted(**content: Any) -> FittedContent:
    """A content with these, as MLflow can hold it."""
    return fit(Content(key="aaa", name="a", start=7, end=7, **content), RULES)


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
    assert kept(fitted(metrics={"m": -math.inf}))["metrics"] == {"m": [[0, "-Infinity"]]}


def test_metrics_of_one_name_are_told() -> None:
    found = fitted(metrics={"x/y": 5, "x.y": 6})
    assert {point.key: point.value for point in found.points} == {"x/y": 5, "x.y": 6}
    assert kept(found) == {"metrics of one name": {"x/y": [5, 6]}}


def test_an_integer_that_a_float_rounds_is_kept_too() -> None:
    assert kept(fitted(metrics={"big": 123456789012345678901}))["metrics"] == {
        "big": [[0, 123456789012345678901]]
    }


def test_a_path_has_no_characters_that_an_address_gives_a_meaning() -> None:
    found = fitted(artifacts={"a#b?.txt": b"x"})
    assert found.artifacts["a~23b~3f.txt"] == b"x"
    assert kept(found)["artifacts"] == {"a#b?.txt": "a~23b~3f.txt"}


def test_two_paths_that_become_the_same_stay_two() -> None:
    files = {"out/a#b": b"odd", "out/a~23b": b"plain", "out/plain": b""}
    found = fitted(artifacts=files)
    assert sorted(found.artifacts) == sorted(
        {"out/a~23b", "out/plain", *kept(found)["artifacts"].values(), KEPT_FILE}
    )
    assert found.artifacts[kept(found)["artifacts"]["out/a#b"]] == b"odd"
    assert found.artifacts["out/a~23b"] == b"plain"


def test_a_folder_that_becomes_a_file_of_the_same_name_gets_another_one() -> None:
    found = fitted(artifacts={"a~23": b"file", "a#/b": b"below"})
    assert found.artifacts["a~23"] == b"file"
    assert not kept(found)["artifacts"]["a#/b"].startswith("a~23/")


def test_a_file_name_is_not_longer_than_file_systems_allow() -> None:
    (path,) = set(fitted(artifacts={"?" * 200: b""}).artifacts) - {KEPT_FILE}
    assert len(path) <= 255


def test_a_file_name_that_is_not_utf8_is_kept() -> None:
    found = fitted(artifacts={"caf\udce9.txt": b"x"})
    assert found.artifacts["caf~dce9.txt"] == b"x"
    assert kept(found)["artifacts"] == {"caf\udce9.txt": "caf~dce9.txt"}


def test_a_param_that_no_database_holds_is_kept() -> None:
    found = fitted(params={"p": "a\0b\udce9"})
    assert found.params == {"p": r"a\0b\udce9"}
    assert kept(found)["params"] == {"p": "a\0b\udce9"}


def model(name: str) -> Model:
    return Model(name, f"{name}.bin", {"dvc.path": f"{name}.bin"})


@pytest.mark.parametrize(
    ("name", "taken"),
    [("text/bert-base", "text_bert-base"), ("resnet_50.v2", "resnet_50_v2"), ("größe: 7", "größe_ 7")],
)
def test_a_model_whose_name_mlflow_refuses_has_its_own_in_a_tag(name: str, taken: str) -> None:
    (found,) = fitted(models=[model(name)]).models
    assert (found.name, found.tags) == (taken, {"dvc.path": f"{name}.bin", "dvc.name": name})


def test_a_model_that_keeps_its_name_needs_no_tag_for_it() -> None:
    (found,) = fitted(models=[model("net")]).models
    assert (found.name, found.tags) == ("net", {"dvc.path": "net.bin"})


def test_models_whose_names_become_the_same_get_names_of_their_own() -> None:
    names = [each.name for each in fitted(models=[model("a.b"), model("a_b"), model("a:b")]).models]
    assert names[1] == "a_b"
    assert len(set(names)) == 3


def test_names_of_models_are_kept() -> None:
    assert kept(fitted(models=[model("a.b")]))["models"] == {"a.b": "a_b"}


def test_a_description_of_a_model_is_cut_where_a_database_would_refuse_it() -> None:
    long = Model("net", "net.bin", {"mlflow.note.content": "x" * 10_000})
    assert len(fitted(models=[long]).models[0].tags["mlflow.note.content"]) == LONGEST_TAG


def test_long_names_of_datasets_that_begin_alike_stay_two() -> None:
    found = fitted(datasets=[Dataset("d" * 600 + end, "a" * 32, {}) for end in "ab"])
    assert len({dataset.name for dataset in found.datasets}) == 2
    assert all(len(dataset.name) <= 500 for dataset in found.datasets)


def test_a_long_digest_of_a_dataset_is_hashed() -> None:
    (found,) = fitted(datasets=[Dataset("d", "a" * 40, {})]).datasets
    assert len(found.digest) == 36


def test_a_tag_whose_key_mlflow_refuses_is_renamed_and_kept() -> None:
    found = fitted(tags={"dvc.rev": "aaa", "team@home": "red"})
    assert (found.tags["dvc.rev"], found.tags["team_home"]) == ("aaa", "red")
    assert kept(found)["tags"] == {"team@home": "red"}


def test_a_long_tag_is_cut_and_kept() -> None:
    found = fitted(tags={"note": "x" * 10_000})
    assert len(found.tags["note"]) == LONGEST_TAG
    assert kept(found)["tags"] == {"note": "x" * 10_000}


def test_tags_of_the_projects_script_are_found_under_the_keys_that_mlflow_has() -> None:
    described = Description("digest", tags=("team@home", "gone"))
    found = fitted(tags={"team@home": "red"}, description=described)
    assert found.description
    assert found.description.tags == ("team_home", "gone")


def test_an_artifact_that_is_none_is_left_out() -> None:
    assert fitted(artifacts={"a.txt": None}).artifacts == {}


def test_the_content_itself_stays_as_it_is() -> None:
    content = Content(key="a", name="a", start=0, end=0, artifacts={"a#b": b"x"})
    fit(content, RULES)
    assert content.artifacts == {"a#b": b"x"}
