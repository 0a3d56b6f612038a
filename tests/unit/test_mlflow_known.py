"""Runs that a mirror wrote, from their tags and their status."""

import pytest

from locatable.mlflow.known import KnownRun, known_run, runs_by_key


def test_a_run_without_the_tag_of_a_mirror_is_somebody_elses() -> None:
    assert known_run("1", {"dvc.rev": "aaa"}, "FINISHED") is None


@pytest.mark.parametrize(("status", "complete"), [("RUNNING", False), ("FINISHED", True)])
def test_a_run_is_complete_when_it_has_ended(status: str, complete: bool) -> None:
    run = known_run("1", {"mirror.state": "complete when FINISHED", "dvc.rev": "aaa"}, status)
    assert run == KnownRun("1", "aaa", complete=complete)


@pytest.mark.parametrize(("state", "complete"), [("begun", False), ("complete", True)])
def test_of_a_run_of_an_earlier_mirror_the_tag_says_it(state: str, complete: bool) -> None:
    run = known_run("1", {"mirror.state": state, "dvc.rev": "aaa"}, "FINISHED")
    assert run == KnownRun("1", "aaa", complete=complete)


def test_a_run_with_every_tag() -> None:
    tags = {
        "mirror.state": "complete",
        "mirror.missing": "p.csv",
        "mirror.models": "copied",
        "mirror.describe": "d1",
        "mirror.name": "mine",
        "dvc.rev": "aaa",
        "dvc.exp": "forest",
        "dvc.study": "wide",
        "mlflow.parentRunId": "7",
        "mlflow.runName": "mine",
    }
    assert known_run("1", tags, "FINISHED") == KnownRun(
        "1", "aaa", "mine", "7", True, "forest", "p.csv", True, "d1", "mine"
    )


def test_a_run_without_a_revision_is_that_of_a_study() -> None:
    run = known_run("1", {"mirror.state": "complete", "dvc.study": "wide"}, "FINISHED")
    assert run is not None
    assert run.key == "study wide"


def test_the_lowest_id_of_a_key_comes_first() -> None:
    tags = {"mirror.state": "complete", "dvc.rev": "aaa"}
    found = runs_by_key([(run_id, tags, "FINISHED") for run_id in ("2", "1")] + [("3", {}, "RUNNING")])
    assert [run.run_id for run in found["aaa"]] == ["1", "2"]
