"""Reports on results: their content, as text at 80 columns, and as JSON."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_git import commit, experiment, git

from locatable.locate import Report, locate, render, report_on
from locatable.locate.result import changed_values, differing_coordinates
from locatable.model import Experiment
from locatable.repository.reader import Reader
from locatable.results.coordinates import Coordinate, Coordinates
from locatable.results.staleness import Difference, Kind

REV, BASELINE = "a" * 40, "b" * 40
DIGEST = "c" * 32
COORDINATES = Coordinates(
    data=Coordinate({"data/raw.csv": "d" * 32}, DIGEST),
    code=Coordinate({"commit": REV, "files": {"train.py": "e" * 32}}, DIGEST),
    params=Coordinate({"train.x": 1, "train.y": 2}, DIGEST),
    environment=Coordinate({"files": {}, "record": {"python": "3.11", "drift": {"a": "1"}}}, DIGEST),
    execution=Coordinate({"commit": REV, "stages": {"prepare": {}, "train": {}}}, DIGEST),
)
COMMIT = Report(
    rev=REV,
    experiment=None,
    roles={"model.bin": "output of train"},
    uncommitted=[],
    coordinates=COORDINATES,
    params_changed={},
    rebuild=["git clone there project", "dvc repro"],
)
EXPERIMENT = replace(
    COMMIT,
    experiment=Experiment("wide", REV, BASELINE, 1_700_000_000),
    params_changed={"train.x": (1, 8)},
)


def line(report: Report, name: str) -> str:
    """The line about a coordinate, after its digest."""
    (found,) = [line for line in render.to_text(report).splitlines() if line.startswith(f"  {name} ")]
    return found[len(f"  {name:<12} {DIGEST[:12]}  ") :]


def test_a_commit_as_text() -> None:
    assert (
        render.to_text(COMMIT)
        == f"""\
aaaaaaa  model.bin (output of train)
  data         cccccccccccc  data/raw.csv {"d" * 32}
  code         cccccccccccc  commit aaaaaaaaaaaa, 1 files
  params       cccccccccccc  2 values
  environment  cccccccccccc  Python 3.11, 1 packages not as locked
  execution    cccccccccccc  prepare, train
  rebuild
    git clone there project
    dvc repro"""
    )


def test_an_experiment_is_called_by_its_name_and_baseline_and_can_be_applied() -> None:
    assert render.title(EXPERIMENT) == "wide  aaaaaaa on bbbbbbb  model.bin (output of train)"
    report = replace(EXPERIMENT, apply="dvc exp apply wide")
    assert "  apply        dvc exp apply wide" in render.to_text(report).splitlines()


def test_params_of_an_experiment_are_those_that_changed() -> None:
    assert line(EXPERIMENT, "params") == "train.x 1 → 8"
    assert line(replace(EXPERIMENT, params_changed={}), "params") == "2 values, as in the baseline"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"requirements.txt": "f" * 32}, "requirements.txt"),
        ({}, "nothing that is recognised records the environment"),
    ],
)
def test_an_environment_without_a_record_is_known_by_its_files(files: dict[str, str], said: str) -> None:
    environment = Coordinate({"files": files, "record": {}}, DIGEST)
    report = replace(COMMIT, coordinates=replace(COORDINATES, environment=environment))
    assert line(report, "environment") == said


def test_what_is_uncommitted_is_marked_and_cannot_be_rebuilt() -> None:
    text = render.to_text(replace(COMMIT, uncommitted=["params"], rebuild=[]))
    assert text.startswith("workspace on aaaaaaa  ")
    assert [each.split()[0] for each in text.splitlines() if each.endswith("  UNCOMMITTED")] == ["params"]
    assert text.endswith("  commit these before anyone else can rebuild it: git add --all && git commit")


def test_long_lists_stay_within_80_columns() -> None:
    changes = {f"section{number}.a_long_name": (number, 10 * number) for number in range(7)}
    report = replace(EXPERIMENT, params_changed=changes, uncommitted=["params"])
    lines = render.to_text(report).splitlines()
    assert max(map(len, lines)) <= 80
    assert "and 2 more" in "\n".join(lines)


@pytest.mark.parametrize(
    ("items", "lines"),
    [
        ([], [""]),
        (["one", "two"], ["one, two"]),
        (["one", "twelve", "three"], ["one,", "twelve,", "three"]),
        (["longer than a line"], ["longer than a line"]),
        (list("abcdefg"), ["a, b, c, d,", "e and 2 more"]),
    ],
)
def test_items_are_wrapped_between_them(items: list[str], lines: list[str]) -> None:
    assert render.wrap_items(items, 11) == lines


def test_json_has_the_attributes_of_a_report_as_keys() -> None:
    (item,) = json.loads(render.to_json([EXPERIMENT]))
    assert list(item) == [
        "rev",
        "experiment",
        "roles",
        "uncommitted",
        "coordinates",
        "params_changed",
        "rebuild",
        "project",
        "has_results",
        "stale",
        "results_of",
        "unread_history",
        "apply",
    ]
    assert item["experiment"] == {
        "name": "wide",
        "rev": REV,
        "baseline": BASELINE,
        "committed": 1_700_000_000,
        "study": None,
    }
    assert item["coordinates"]["params"] == {"content": {"train.x": 1, "train.y": 2}, "digest": DIGEST}
    assert item["params_changed"] == {"train.x": [1, 8]}


def test_json_has_texts_for_what_is_no_json() -> None:
    report = replace(EXPERIMENT, params_changed={"bad": (float("nan"), float("inf"))})
    (item,) = json.loads(render.to_json([report]), parse_constant=pytest.fail)
    assert item["params_changed"] == {"bad": ["NaN", "Infinity"]}


def test_values_that_differ() -> None:
    before, after = {"same": 1, "changed": 2, "gone": 3}, {"same": 1, "changed": 4, "new": 5}
    assert changed_values(before, after) == {"changed": (2, 4), "gone": (3, None), "new": (None, 5)}


def test_coordinates_differ_by_their_digest() -> None:
    other = replace(COORDINATES, code=Coordinate({}, "f" * 32), data=Coordinate({}, DIGEST))
    assert differing_coordinates(COORDINATES, other) == ["code"]


LOCK = """schema: '2.0'
stages:
  train:
    cmd: python train.py
    params:
      params.yaml:
        train.x: {x}
"""


def test_a_report_on_an_experiment(tmp_path: Path) -> None:
    pipeline = "stages: {train: {cmd: x}}\n"
    head = commit(tmp_path, {".dvc/config": "", "dvc.yaml": pipeline, "dvc.lock": LOCK.format(x=1)})
    rev = commit(tmp_path, {"dvc.lock": LOCK.format(x=8)})
    git(tmp_path, "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/wide", rev)
    with Reader(tmp_path) as reader:
        (result,) = locate(reader, "wide").results
        report = report_on(reader, result, "https://example.org/project")
    assert (report.rev, report.params_changed) == (rev, {"train.x": (1, 8)})
    assert report.rebuild[0] == "git clone https://example.org/project project && cd project"
    assert report.rebuild[-1] == "dvc repro"
    assert report.apply == "dvc exp apply wide"


def test_an_experiment_whose_name_is_not_its_own_is_applied_by_its_commit(tmp_path: Path) -> None:
    revs = []
    for number, name in enumerate(["twice", "twice", "branch"]):
        head = commit(tmp_path, {".dvc/config": "", "params.yaml": f"x: {number}\n"})
        revs.append(experiment(tmp_path, {"params.yaml": f"x: {number + 10}\n"}, name))
    git(tmp_path, "branch", "branch", head)
    with Reader(tmp_path) as reader:
        results = [located for rev in revs for located in locate(reader, rev).results]
        applied = [report_on(reader, result, None).apply for result in results]
    assert applied == [f"dvc exp apply {rev[:12]}" for rev in revs]


def difference(sentence: str) -> Difference:
    return Difference("train", Kind.PARAM, "x", 1, 2, sentence)


STALE = replace(COMMIT, stale=[difference("train.alpha was 1, is 2"), difference("a.py has changed since")])


def test_the_second_line_tells_that_results_are_not_of_the_commit() -> None:
    lines = render.to_text(STALE).splitlines()
    assert lines[1] == "  NOT OF THIS COMMIT: train.alpha was 1, is 2; a.py has changed since"


def test_many_differences_are_wrapped_and_counted() -> None:
    many = replace(STALE, stale=[difference(f"package/module_{n}.py has changed since") for n in range(9)])
    lines = render.to_text(many).splitlines()[1:3]
    assert lines == [
        "  NOT OF THIS COMMIT: package/module_0.py has changed since; package/module_1.py",
        "    has changed since; package/module_2.py has changed since; and 6 more",
    ]


def test_the_commit_that_stale_results_are_of_is_the_one_to_rebuild() -> None:
    lines = render.to_text(replace(STALE, results_of=BASELINE)).splitlines()
    assert lines[2] == "  these results are of bbbbbbb"
    assert "  rebuild these results, at bbbbbbb" in lines


def test_where_no_commit_has_what_made_the_results_none_is_said_to_rebuild_them() -> None:
    lines = render.to_text(STALE).splitlines()
    assert lines[2] == "  no commit in its history has the files that made these results"
    assert "  rebuild" not in lines


def test_differences_are_in_the_json() -> None:
    (item,) = json.loads(render.to_json([STALE]))
    assert item["stale"][0] == {
        "stage": "train",
        "kind": "param",
        "name": "x",
        "recorded": 1,
        "present": 2,
        "sentence": "train.alpha was 1, is 2",
        "remedy": "`dvc repro`",
    }


PIPELINE = "stages:\n  train:\n    cmd: x\n    params: [rate]\n"
RECORD = "schema: '2.0'\nstages:\n  train:\n    cmd: x\n    params:\n      params.yaml:\n        rate: 1\n"
MADE = {".dvc/config": "", "dvc.yaml": PIPELINE, "dvc.lock": RECORD, "params.yaml": "rate: 1"}


@pytest.mark.parametrize(
    ("pipeline", "advice"),
    [(PIPELINE, ": dvc repro, then commit"), ("stages: {train: {cmd: [a: b]}}", "")],
)
def test_results_that_no_stage_has_yet_are_said_to_be_missing(
    tmp_path: Path, pipeline: str, advice: str
) -> None:
    commit(tmp_path, {".dvc/config": "", "dvc.yaml": pipeline})
    with Reader(tmp_path) as reader:
        (result,) = locate(reader, "HEAD").results
        lines = render.to_text(report_on(reader, result, None)).splitlines()
    assert lines[1] == f"  no results are recorded yet{advice}"


def test_stale_results_are_rebuilt_at_the_commit_that_made_them(tmp_path: Path) -> None:
    made = commit(tmp_path, MADE)
    commit(tmp_path, {"params.yaml": "rate: 2"})
    with Reader(tmp_path) as reader:
        (result,) = locate(reader, "HEAD").results
        report = report_on(reader, result, None)
    assert report.results_of == made
    assert f"git checkout --detach {made}" in report.rebuild
