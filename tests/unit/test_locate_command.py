"""`locatable locate` as a command: numbers, citations and pages, on standard output and standard error."""

import hashlib
import json
from pathlib import Path

import pytest
from tiny_git import commit, git

from locatable.cli import main

PIPELINE = (
    "stages:\n  train:\n    cmd: x\n    params: [lr]\n    metrics:\n    - metrics.json: {cache: false}\n"
)


def files(lr: float, loss: float) -> dict[str, str]:
    metrics = json.dumps({"loss": loss})
    md5 = hashlib.md5(metrics.encode(), usedforsecurity=False).hexdigest()
    lock = (
        "schema: '2.0'\nstages:\n  train:\n    cmd: x\n    params:\n      params.yaml:\n"
        f"        lr: {lr}\n    outs:\n    - path: metrics.json\n      md5: {md5}\n"
    )
    return {
        ".dvc/config": "",
        "dvc.yaml": PIPELINE,
        "dvc.lock": lock,
        "params.yaml": f"lr: {lr}\n",
        "metrics.json": metrics,
    }


@pytest.fixture(scope="module")
def commits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with 13 commits with one loss, and one with another."""
    place = tmp_path_factory.mktemp("numbers") / "project"
    for number in range(13):
        commit(place, files(0.1 + number, 0.13304))
    commit(place, files(0.5, -0.25))
    return place


@pytest.fixture
def project(commits: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(commits)
    return commits


def test_many_results_of_a_number_are_counted_and_one_is_shown_in_full(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["locate", "loss 0.133"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "loss 0.133: 13 results have such a value; the likeliest first"
    assert lines[1].endswith("  metrics.json:loss (metric, 0.13304)")
    assert lines[11].startswith("  and 3 more")
    assert [line for line in lines if line.startswith("  code ")] == [
        line for line in lines[12:] if line.startswith("  code ")
    ]


def test_json_has_all_results_of_a_number(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["locate", "loss 0.133", "--json"])
    reports = json.loads(capsys.readouterr().out)
    assert [report["roles"] for report in reports] == [{"metrics.json:loss": "metric, 0.13304"}] * 13


@pytest.mark.parametrize("number", ["-0.25", "−0.25", "-2.5e-1", "-25%"])
def test_a_negative_number_is_no_option(
    project: Path, number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["locate", number]) == 0
    assert "metrics.json:loss (metric, -0.25)" in capsys.readouterr().out


def test_a_number_that_nothing_has_is_one_line(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["locate", "0.777"]) == 1
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)


def test_a_citation_is_a_paragraph_and_an_entry(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["locate", "loss -0.25", "--cite"]) == 0
    paragraph, entry = capsys.readouterr().out.rstrip("\n").split("\n\n")
    assert paragraph.startswith("metrics.json:loss (metric, -0.25): a result of project (Ada; ")
    assert entry.startswith("@software{project-")


def test_a_citation_of_one_of_several_results_says_so(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["locate", "loss 0.133", "--cite"])
    assert capsys.readouterr().err.startswith("the first of 13 results: ")


def test_a_citation_is_not_json(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["locate", "HEAD", "--cite", "--json"])
    assert exit_.value.code == 2


def test_a_page_is_written_and_named(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "page.html"
    assert main(["locate", "HEAD", "--html", str(place)]) == 0
    assert main(["locate", "HEAD", "--html", str(place)]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert [line for line in said.err.splitlines() if "page.html" in line] == [
        f"wrote {place}",
        f"replaced {place}",
    ]
    assert place.read_text().startswith("<!doctype html>\n<html")


def test_a_place_that_is_not_for_a_page_is_one_line(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = git(project, "status", "--porcelain")
    assert main(["locate", "HEAD", "--html", "metrics.json"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert git(project, "status", "--porcelain") == before


@pytest.fixture
def repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Short ids of commits: results, the same twice with a note, and others with the same metrics."""
    place = tmp_path / "project"
    md5 = hashlib.md5(b"code", usedforsecurity=False).hexdigest()
    results = []
    for rate in (0.1, 0.2):
        project = files(rate, 1.5) | {"train.py": "code"}
        project["dvc.yaml"] = PIPELINE.replace("    params", "    deps: [train.py]\n    params")
        deps = f"    deps:\n    - path: train.py\n      md5: {md5}\n    params:\n"
        project["dvc.lock"] = project["dvc.lock"].replace("    params:\n", deps)
        results.append(project)
    revs = []
    for day, content in enumerate([results[0], {"note.txt": "a note"}, {"other.txt": "another"}, results[1]]):
        monkeypatch.setenv("GIT_COMMITTER_DATE", f"2026-01-0{day + 1}T12:00:00Z")
        revs.append(commit(place, content)[:7])
    monkeypatch.chdir(place)
    return revs


def test_commits_with_equal_coordinates_are_told_as_one(
    repeated: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "figure").write_text(files(0.1, 1.5)["metrics.json"])
    assert main(["locate", str(tmp_path / "figure")]) == 0
    said = capsys.readouterr().out
    assert (
        f"{repeated[0]}  metrics.json (output of train)  in 3 commits, from {repeated[0]} to {repeated[2]}\n"
        in said
    )
    assert f"{repeated[3]}  metrics.json (output of train)\n" in said
    assert said.count("  rebuild") == 2


def test_a_file_that_is_merely_kept_in_git_is_one_line(
    repeated: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["locate", "note.txt"]) == 0
    line = f"{repeated[1]}  note.txt (kept in Git)  in 3 commits, from {repeated[1]} to {repeated[3]}\n"
    assert capsys.readouterr().out == line


@pytest.mark.usefixtures("repeated")
def test_json_has_each_commit_with_equal_coordinates(capsys: pytest.CaptureFixture[str]) -> None:
    main(["locate", "note.txt", "--json"])
    assert len(json.loads(capsys.readouterr().out)) == 3
