"""What `locatable reproduce` prints."""

from pathlib import Path

import pytest

from locatable.commands import reproduce as command
from locatable.proof import reproduce as proof
from locatable.proof.comparison import OutputVerdict, Verdict
from locatable.proof.report import Report, Seconds

LONG = "reports/" + "a-long-name/" * 12 + "metrics.json"


def report(verdict: Verdict = Verdict.IDENTICAL, findings: tuple[str, ...] = (), **changes: object) -> Report:
    """The report of a proof of one output."""
    output = OutputVerdict(
        "train", changes.pop("output", "model.bin"), Path("model.bin"), "a" * 32, "a" * 32, verdict
    )
    return Report(
        revision="0123456789abcdef" * 2,
        environment="fresh, from requirements.lock",
        isolation="folders only: bubblewrap is not installed",
        varied=changes.pop("varied", ()),
        outputs=(output,),
        findings=findings,
        seconds=Seconds(preparation=1.0, environment=2.0, stages={"train": 3.0}),
    )


def printed(capsys, told: Report) -> list[str]:
    """The lines that are printed of a report."""
    command._print_report(told)
    return capsys.readouterr().out.splitlines()


def test_each_output_is_one_line(capsys):
    assert printed(capsys, report())[1].split() == ["train", "model.bin", "aaaaaaaa", "aaaaaaaa", "identical"]


def test_a_long_name_is_not_broken_where_a_program_reads(capsys):
    assert LONG in printed(capsys, report(output=LONG))[1]


def test_no_line_ends_with_spaces(capsys):
    assert not [line for line in printed(capsys, report()) if line != line.rstrip()]


def test_the_revision_the_environment_and_the_isolation_are_told(capsys):
    assert (
        "revision 0123456789ab; environment: fresh, from requirements.lock; "
        "folders only: bubblewrap is not installed"
    ) in printed(capsys, report())


def test_conditions_are_told_where_they_were_changed(capsys):
    assert "each stage also with another time zone, umask" in printed(
        capsys, report(varied=("time zone", "umask"))
    )


def test_the_last_line_counts(capsys):
    assert printed(capsys, report(Verdict.DIFFERS, ("train is wrong",)))[-2:] == [
        "train is wrong",
        "0 of 1 outputs rebuilt as recorded, 1 findings",
    ]


@pytest.mark.parametrize(
    ("told", "proven"),
    [
        (report(), True),
        (report(Verdict.WITHIN_RTOL), True),
        (report(Verdict.DIFFERS), False),
        (report(findings=("train is wrong",)), False),
    ],
)
def test_nothing_is_proven_where_something_is_wrong(told, proven):
    assert told.proven is proven


def test_the_report_in_json_has_the_keys_that_programs_know():
    assert list(report().to_json()) == [
        "revision",
        "environment",
        "isolation",
        "varied",
        "outputs",
        "findings",
        "seconds",
    ]


def test_durations_in_json_are_by_part_and_by_stage():
    assert report().to_json()["seconds"] == {"preparation": 1.0, "stages": {"train": 3.0}, "environment": 2.0}


def test_a_proof_takes_the_last_commit_and_a_fresh_environment_by_default():
    assert proof.ProofOptions() == proof.ProofOptions("HEAD", None, True, False, 0.0)
