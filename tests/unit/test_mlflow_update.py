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


def update(wanted: Content, tags: dict[str, str]) -> RunUpdate:
    """What changes in the tags of a stored run."""
    stored: Any = SimpleNamespace(tags=tags, params={}, metrics={})
    return plan_update(stored, fit(wanted, RULES))


SERIES = content(series={"s": [Point(0, "0.5", 0), Point(1, "0.25", 1)]})
PARAM = content(params={"p": 1})
# What is wanted, what is stored of it, and what keeps the one from becoming the other.
OBSTACLES: dict[str, tuple[Content, dict[str, Any], str | None]] = {
    "what is new": (content(params={"p": 1}, metrics={"m": 1.0}, artifacts={"a": b"x"}), {}, None),
    "what is there": (
        content(params={"p": 1}, metrics={"m": 1.0}),
        {"params": {"p": "1"}, "metrics": {"m": 1.0}},
        None,
    ),
    "no number": (content(metrics={"m": math.nan}), {"metrics": {"m": math.nan}}, None),
    "infinity": (content(metrics={"m": math.inf}), {"metrics": {"m": sys.float_info.max}}, None),
    "another value": (content(metrics={"m": 1.0}), {"metrics": {"m": 2.0}}, "m"),
    "0 for no number": (content(metrics={"m": math.nan}), {"metrics": {"m": 0.0}}, "m"),
    "the other infinity": (content(metrics={"m": math.inf}), {"metrics": {"m": -math.inf}}, "m"),
    "another param": (PARAM, {"params": {"p": "2"}}, "p"),
    "a param that is gone": (content(), {"params": {"p": "2"}}, "p"),
    "the last value of a series": (SERIES, {"metrics": {"s": 0.25}}, None),
    "a file that is not here": (content(missing=["m.json"]), {"metrics": {"m": 2.0}}, None),
    "another value beside a file that is not here": (
        content(missing=["m.json"], metrics={"m": 1.0}),
        {"metrics": {"m": 2.0}},
        "m",
    ),
    "an artifact that is not described any more": (content(), {"tags": DESCRIBED}, "notes.md"),
    "one that is again": (content(artifacts={"notes.md": b"new"}), {"tags": DESCRIBED}, None),
    "a run that does not tell what was described": (
        content(),
        {"tags": {"mirror.describe": "old", "mirror.described": ""}},
        "artifacts",
    ),
}


@pytest.mark.parametrize(("wanted", "stored", "expected"), OBSTACLES.values(), ids=OBSTACLES)
def test_what_keeps_a_run_from_being_updated(
    wanted: Content, stored: dict[str, Any], expected: str | None
) -> None:
    data: Any = SimpleNamespace(**{"tags": {}, "params": {}, "metrics": {}, **stored})
    assert find_obstacle(data, fit(wanted, RULES)) == expected


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
