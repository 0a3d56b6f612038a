"""What changes in a run that is there, and what MLflow cannot change."""

import math
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from locatable.mlflow.content import Content, Description
from locatable.mlflow.known import RunUpdate, find_obstacle, plan_update
from locatable.mlflow.limits import fit
from locatable.mlflow.store import RULES
from locatable.results.values import Point

DESCRIBED = {"mirror.describe": "old", "mirror.described": '{"tags": ["team"], "artifacts": ["notes.md"]}'}


def content(**parts: Any) -> Content:
    """A run's content with these parts."""
    return Content(key="aaa", name="a", start=0, end=0, **parts)


def obstacle(wanted: Content, tags: Any = None, params: Any = None, metrics: Any = None) -> str | None:
    """What keeps a stored run from becoming the wanted one."""
    return find_obstacle(
        SimpleNamespace(tags=tags or {}, params=params or {}, metrics=metrics or {}), fit(wanted, RULES)
    )


def update(wanted: Content, tags: dict[str, str]) -> RunUpdate:
    """What changes in the tags of a stored run."""
    stored: Any = SimpleNamespace(tags=tags, params={}, metrics={})
    return plan_update(stored, fit(wanted, RULES))


def test_what_is_new_is_no_obstacle() -> None:
    assert obstacle(content(params={"p": 1}, metrics={"m": 1.0}, artifacts={"a": b"x"})) is None


def test_what_is_there_already_is_no_obstacle() -> None:
    wanted = content(params={"p": 1}, metrics={"m": 1.0})
    assert obstacle(wanted, params={"p": "1"}, metrics={"m": 1.0}) is None


@pytest.mark.parametrize(("value", "stored"), [(math.nan, math.nan), (math.inf, sys.float_info.max)])
def test_a_metric_as_mlflow_gives_it_back_is_none(value: float, stored: float) -> None:
    assert obstacle(content(metrics={"m": value}), metrics={"m": stored}) is None


@pytest.mark.parametrize(("value", "stored"), [(1.0, 2.0), (math.nan, 0.0), (math.inf, -math.inf)])
def test_a_metric_of_another_value_is_one(value: float, stored: float) -> None:
    assert obstacle(content(metrics={"m": value}), metrics={"m": stored}) == "m"


def test_a_param_of_another_value_is_one() -> None:
    assert obstacle(content(params={"p": 1}), params={"p": "2"}) == "p"


def test_a_param_that_is_gone_is_one() -> None:
    assert obstacle(content(), params={"p": "2"}) == "p"


def test_the_last_value_of_a_series_is_none() -> None:
    wanted = content(series={"s": [Point(0, "0.5", 0), Point(1, "0.25", 1)]})
    assert obstacle(wanted, metrics={"s": 0.25}) is None


def test_a_metric_whose_file_is_not_on_this_machine_is_none() -> None:
    assert obstacle(content(missing=["m.json"]), metrics={"m": 2.0}) is None


def test_a_metric_that_another_machine_found_elsewhere_is_one_nevertheless() -> None:
    assert obstacle(content(missing=["m.json"], metrics={"m": 1.0}), metrics={"m": 2.0}) == "m"


def test_an_artifact_that_is_not_described_any_more_is_one() -> None:
    assert obstacle(content(), DESCRIBED) == "notes.md"


def test_an_artifact_that_is_described_again_is_none() -> None:
    assert obstacle(content(artifacts={"notes.md": b"new"}), DESCRIBED) is None


def test_a_run_that_does_not_tell_what_was_described_is_an_obstacle() -> None:
    assert obstacle(content(), {"mirror.describe": "old", "mirror.described": ""}) == "artifacts"


def test_tags_that_were_changed_by_hand_stay() -> None:
    assert update(
        content(tags={"mlflow.note.content": "ours"}), {"mlflow.note.content": "theirs", "best": "yes"}
    ) == (RunUpdate(first_deleted=(), tags={}, last_deleted=()))


def test_a_described_tag_is_set() -> None:
    wanted = content(tags={"team": "b"}, description=Description("new", tags=("team",)))
    assert update(wanted, {}).tags["team"] == "b"


def test_a_tag_that_is_not_described_any_more_is_deleted_first() -> None:
    assert update(content(), {**DESCRIBED, "team": "a"}).first_deleted == ("team",)


def test_a_tag_of_ours_that_was_described_before_is_restored() -> None:
    tags = {**DESCRIBED, "team": "theirs"}
    assert update(content(tags={"team": "ours"}), tags).tags == {"team": "ours"}


def test_what_tells_that_a_run_was_described_is_deleted_last() -> None:
    assert update(content(), {**DESCRIBED, "mirror.missing": "p"}).last_deleted == (
        "mirror.missing",
        "mirror.described",
        "mirror.describe",
    )


def test_tags_of_the_experiment_follow_git() -> None:
    wanted = content(tags={"dvc.rev": "aaa", "dvc.exp": "new"})
    found = update(wanted, {"dvc.exp": "old", "dvc.study": "gone"})
    assert found == RunUpdate(("dvc.study",), {"dvc.exp": "new"}, ())


def test_a_run_says_which_files_it_lacks() -> None:
    assert update(content(missing=["p", "q"], lacking=["q"]), {}).tags == {
        "mirror.missing": "this machine does not have: q"
    }


@pytest.mark.parametrize("name", [None, "mine"])
def test_a_description_comes_back_from_its_tags(name: str | None) -> None:
    description = Description("d", name, ("team",), ("notes.md",))
    assert Description.from_tags(description.to_tags()) == description


def test_the_best_trial_of_a_study_changes() -> None:
    stored = {"dvc.best": "s-0", "dvc.best.depth": "3"}
    changed = update(content(tags={"dvc.best": "s-1", "dvc.best.rate": "0.1"}), stored)
    assert changed.first_deleted == ("dvc.best.depth",)
    assert changed.tags == {"dvc.best": "s-1", "dvc.best.rate": "0.1"}
