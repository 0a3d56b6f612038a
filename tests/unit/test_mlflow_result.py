"""What a mirror reports."""

from locatable.mlflow.mirror import MirrorResult
from locatable.mlflow.plan import Action


def test_the_summary_of_a_mirror_with_nothing_to_do() -> None:
    assert MirrorResult(present=9).summary == "mirrored 0 new, 9 already there, 0 failed"


def test_the_summary_of_a_mirror_that_did_everything() -> None:
    result = MirrorResult(new=1, present=2, renamed=3, described=4, extended=5, missing=6, pruned=0)
    assert result.summary == (
        "mirrored 1 new, 2 already there, 0 failed, 3 renamed, 4 described again, "
        "5 of them with more files now, 0 pruned, "
        "6 without files that this machine does not have (tag mirror.missing)"
    )


def test_a_study_that_grew_is_no_new_run() -> None:
    result = MirrorResult()
    result.count(Action.GROW, lacks_files=False)
    assert result == MirrorResult()


def test_a_run_that_another_mirror_began_counts_as_new() -> None:
    result = MirrorResult()
    result.count(Action.FINISH, lacks_files=False)
    assert result.new == 1


def test_a_failure_is_told_with_the_name_of_its_run() -> None:
    result = MirrorResult()
    result.fail("forest", "broken")
    assert result.failure_lines == ["forest: broken"]


def test_failures_of_one_reason_are_told_once() -> None:
    result = MirrorResult()
    for name in ("a", "b", "c"):
        result.fail(name, "broken")
    assert result.failure_lines == ["a and 2 more: broken"]
    assert "3 failed" in result.summary
