"""Runs that a mirror wrote, from their tags and their status."""

import pytest

from locatable.mlflow.known import KnownRun, runs_by_key


def only_run(tags: dict[str, str], status: str = "FINISHED") -> KnownRun:
    """The run with these tags."""
    ((run,),) = runs_by_key([("1", status, tags)]).values()
    return run


def test_a_run_without_the_tag_of_a_mirror_is_somebody_elses() -> None:
    assert runs_by_key([("1", "FINISHED", {"dvc.rev": "aaa"})]) == {}


@pytest.mark.parametrize(("status", "complete"), [("RUNNING", False), ("FINISHED", True)])
def test_a_run_is_complete_when_it_has_ended(status: str, complete: bool) -> None:
    run = only_run({"mirror.state": "complete when FINISHED", "dvc.rev": "aaa"}, status)
    assert run == KnownRun("1", "aaa", complete=complete)


@pytest.mark.parametrize(("state", "complete"), [("begun", False), ("complete", True)])
def test_of_a_run_of_an_earlier_mirror_the_tag_says_it(state: str, complete: bool) -> None:
    run = only_run({"mirror.state": state, "dvc.rev": "aaa"})
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
    assert only_run(tags) == KnownRun("1", "aaa", "mine", "7", True, "forest", "p.csv", True, "d1", "mine")


def test_a_run_without_a_revision_is_that_of_a_study() -> None:
    assert only_run({"mirror.state": "complete", "dvc.study": "wide"}).key == "study wide"


def test_the_lowest_id_of_a_key_comes_first() -> None:
    tags = {"mirror.state": "complete", "dvc.rev": "aaa"}
    found = runs_by_key([(run_id, "FINISHED", tags) for run_id in ("2", "1")])
    assert [run.run_id for run in found["aaa"]] == ["1", "2"]
