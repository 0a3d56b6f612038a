"""What `locatable reproduce` prints."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_dvc
import tiny_git

from locatable import cli, output
from locatable.commands import reproduce as command
from locatable.proof import reproduce as proof
from locatable.proof.comparison import OutputVerdict, Verdict
from locatable.proof.reproduce import Report, Seconds
from locatable.results.processor import Processor

LONG = "reports/" + "a-long-name/" * 12 + "metrics.json"


def report(verdict: Verdict = Verdict.IDENTICAL, findings: tuple[str, ...] = (), **changes: object) -> Report:
    """The report of a proof of one output."""
    output = OutputVerdict("train", changes.pop("output", "model.bin"), "a" * 32, "a" * 32, verdict)
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


def test_outputs_of_frozen_stages_are_counted_as_not_proven(capsys):
    lines = printed(capsys, report(Verdict.FROZEN))
    assert lines[1].endswith("frozen, not proven")
    assert lines[-1] == "0 of 1 outputs rebuilt as recorded, 1 of frozen stages not proven, 0 findings"


@pytest.mark.parametrize(
    ("told", "proven"),
    [
        (report(), True),
        (report(Verdict.WITHIN_RTOL), True),
        (report(Verdict.DIFFERS), False),
        (report(Verdict.FROZEN), False),
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
        "params_files_seen_whole",
        "outputs",
        "findings",
        "seconds",
        "processor",
        "recorded_processor",
    ]


def test_durations_in_json_are_by_part_and_by_stage():
    assert report().to_json()["seconds"] == {"preparation": 1.0, "stages": {"train": 3.0}, "environment": 2.0}


def test_a_proof_takes_the_last_commit_and_a_fresh_environment_by_default():
    assert proof.ProofOptions() == proof.ProofOptions("HEAD", None, True, False, 0.0)


HERE = Processor("Xeon", 4, "openblas 0.3.31 SkylakeX", 4)
THERE = Processor("EPYC", 64, "openblas 0.3.31 Zen", 64)


def test_both_processors_are_told_where_something_differs(capsys):
    told = replace(report(Verdict.CLOSE), processor=HERE, recorded_processor=THERE)
    lines = printed(capsys, told)
    assert "processor here: Xeon, 4 CPUs, openblas 0.3.31 SkylakeX, 4 BLAS threads" in lines
    assert "processor of the results: EPYC, 64 CPUs, openblas 0.3.31 Zen, 64 BLAS threads" in lines


def test_a_processor_that_nobody_noted_is_not_made_up(capsys):
    told = replace(report(Verdict.CLOSE), processor=HERE)
    assert "processor of the results: not noted" in printed(capsys, told)


def test_no_processor_is_told_where_all_is_identical(capsys):
    assert not [line for line in printed(capsys, report()) if "processor" in line]


def test_both_processors_are_in_the_report_in_json():
    told = replace(report(), processor=HERE, recorded_processor=THERE).to_json()
    assert (told["processor"]["blas"], told["recorded_processor"]["cpus"]) == ("openblas 0.3.31 SkylakeX", 64)


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """A DVC project, as far as the command line looks."""
    tiny_git.git(tmp_path, "init", "--quiet", "--template=")
    (tmp_path / ".dvc").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_numbers_have_to_be_equal_where_nothing_else_is_said(root):
    assert command.choose_rtol(root, None) == 0.0


def test_a_project_names_its_tolerance(root):
    (root / "pyproject.toml").write_text("[tool.locatable]\nrtol = 1e-9\n")
    assert command.choose_rtol(root, None) == 1e-9


@pytest.mark.parametrize("asked", [0.0, 1e-3])
def test_a_tolerance_that_is_asked_for_has_precedence(root, asked):
    (root / "pyproject.toml").write_text("[tool.locatable]\nrtol = 1e-9\n")
    assert command.choose_rtol(root, asked) == asked


@pytest.mark.parametrize("written", ["-1e-9", "1.0", "nan", "inf", '"1e-9"', "true", "[]"])
def test_a_tolerance_of_a_project_that_is_none_is_refused_in_one_line(root, capsys, written):
    (root / "pyproject.toml").write_text(f"[tool.locatable]\nrtol = {written}\n")
    assert cli.main(["reproduce"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{root}/pyproject.toml: rtol = ")
    assert "such as 1e-9" in line


@pytest.mark.parametrize("asked", ["-1e-9", "1", "nan"])
@pytest.mark.usefixtures("root")
def test_a_tolerance_of_the_command_line_that_is_none_is_refused_in_one_line(capsys, asked):
    assert cli.main(["reproduce", f"--rtol={asked}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("--rtol ")


@pytest.mark.parametrize(("options", "seen"), [(["--log"], True), ([], False)])
def test_the_running_stage_is_counted_and_its_last_line_shown_on_request(
    tmp_path, monkeypatch, capsys, options, seen
):
    stages = "stages:\n  one:\n    cmd: echo epoch 7; sleep 2; echo 1 > one.txt\n    outs: [one.txt]\n"
    tiny_dvc.with_results(tmp_path / "repo", {"dvc.yaml": stages})
    monkeypatch.chdir(tmp_path / "repo")
    monkeypatch.setattr(output, "PAUSE", 0.2)
    assert cli.main(["reproduce", "--env", "current", *options]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert "rebuilding one (1 of 1)" in lines
    again = [line for line in lines if re.match(r"rebuilding one \(1 of 1\), \d+ s so far", line)]
    assert again
    assert any(line.endswith(": epoch 7") for line in again) == seen
