"""Runs that a mirror wrote, from their tags."""

from locatable.mlflow.known import KnownRun, known_run, runs_by_key


def test_a_run_without_the_tag_of_a_mirror_is_somebody_elses() -> None:
    assert known_run("1", {"dvc.rev": "aaa"}) is None


def test_a_run_is_complete_when_its_tag_says_so() -> None:
    begun = known_run("1", {"mirror.state": "begun", "dvc.rev": "aaa"})
    assert begun == KnownRun("1", "aaa", complete=False)


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
    assert known_run("1", tags) == KnownRun(
        "1", "aaa", "mine", "7", True, "forest", "p.csv", True, "d1", "mine"
    )


def test_a_run_without_a_revision_is_that_of_a_study() -> None:
    run = known_run("1", {"mirror.state": "complete", "dvc.study": "wide"})
    assert run is not None
    assert run.key == "study wide"


def test_the_lowest_id_of_a_key_comes_first() -> None:
    tags = {"mirror.state": "complete", "dvc.rev": "aaa"}
    found = runs_by_key([("2", tags), ("1", tags), ("3", {})])
    assert [run.run_id for run in found["aaa"]] == ["1", "2"]
