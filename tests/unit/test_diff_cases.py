"""`locatable diff` where results are odd: other pipelines, other repositories, broken files, chance."""

import base64
import json
import os
import re
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import archived
import pytest
from tiny_dvc import commit, dvc, init, with_results
from tiny_git import experiment, git, write

from locatable.archive.create import ArchiveOptions, create_archive
from locatable.cli import main
from locatable.diff import render
from locatable.diff.changes import Change, Side, Value
from locatable.diff.compare import Cause, Follower, compare
from locatable.locate.result import Result
from locatable.repository.reader import Reader
from locatable.results.locks import locked_versions

STAGE = "stages:\n  train:\n    cmd: sh train.sh\n    deps: [train.sh]\n    outs: [model.txt]\n"
CHANCE = {"dvc.yaml": STAGE, "train.sh": "cat ../chance > model.txt\n"}

Diff = Callable[..., dict[str, Any]]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a project, which is the current one."""
    place = tmp_path / "project"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


def rerun(root: Path, files: dict[str, str], *targets: str) -> str:
    write(root, files)
    with dvc(root) as repo:
        repo.reproduce(list(targets) or None, force=True)
    return commit(root)


def by_chance(root: Path) -> None:
    """Two commits whose only stage has equal inputs and another output."""
    write(root, {"../chance": "1\n"})
    with_results(root, CHANCE)
    rerun(root, {"../chance": "2\n", "README.md": "x\n"})


def test_a_stage_with_equal_inputs_and_other_outputs_is_not_reproducible(root: Path, diff: Diff) -> None:
    by_chance(root)
    found = diff("HEAD~1", "HEAD")
    first = found["first_cause"]
    assert (first["stage"], first["changes"], first["reproducible"]) == ("train", [], False)
    assert found["proof"] == f"locatable reproduce {git(root, 'rev-parse', 'HEAD~1')[:12]} --stage train"


def test_the_command_that_proves_it_is_shown_whole(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    by_chance(root)
    main(["diff", "HEAD~1", "HEAD"])
    text = capsys.readouterr().out
    assert "train: not reproducible\n" in text
    assert "its inputs are equal, and model.txt differs" in text
    assert f"locatable reproduce {git(root, 'rev-parse', 'HEAD~1')[:12]} --stage train" in text


def test_processors_that_are_noted_are_compared_where_no_input_differs(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by_chance(root)
    for rev, name in (("HEAD~1", "Zen"), ("HEAD", "Haswell")):
        git(root, "notes", "--ref", "locatable", "add", "-m", json.dumps({"name": name, "cpus": 2}), rev)
    main(["diff", "HEAD~1", "HEAD"])
    text = capsys.readouterr().out
    assert "\nenvironment   same\n              processor: Zen, 2 CPUs → Haswell, 2 CPUs\n" in text
    # And once more where they may be the reason.
    assert "processor: Zen, 2 CPUs → Haswell, 2 CPUs" in text.partition("not reproducible")[2]
    main(["diff", "HEAD~1", "HEAD", "--markdown"])
    assert "\n<code>processor: Zen, 2 CPUs → Haswell, 2 CPUs</code>\n" in capsys.readouterr().out


def test_packages_that_no_stage_declares_come_before_chance(root: Path, diff: Diff) -> None:
    write(root, {"../chance": "1\n", "requirements.txt": "numpy==1.26.4\npandas==2.2.0\n"})
    with_results(root, CHANCE)
    rerun(root, {"../chance": "2\n", "requirements.txt": "numpy==2.1.0\npandas==2.2.0\n"})
    first = diff("HEAD~1", "HEAD")["first_cause"]
    named = [(change["name"], change["a"], change["b"]) for change in first["changes"]]
    assert (first["stage"], named, first["is_declared"]) == ("train", [("numpy", "1.26.4", "2.1.0")], False)


def test_a_param_that_fills_in_a_command_is_the_cause_and_not_the_command(root: Path, diff: Diff) -> None:
    pipeline = "stages: {train: {cmd: 'echo ${lr} > model.txt', outs: [model.txt]}}\n"
    with_results(root, {"dvc.yaml": pipeline, "params.yaml": "lr: 0.1\n"})
    rerun(root, {"params.yaml": "lr: 0.25\n"})
    first = diff("HEAD~1", "HEAD")["first_cause"]
    assert [change["name"] for change in first["changes"]] == ["lr"]


def test_a_change_without_effect_is_not_the_cause_of_what_differs(root: Path, diff: Diff) -> None:
    pipeline = """stages:
  prepare: {cmd: sh prepare.sh, deps: [prepare.sh], outs: [rows.txt]}
  train: {cmd: sh train.sh, deps: [train.sh, rows.txt], outs: [model.txt]}
"""
    scripts = {"prepare.sh": "echo 1 > rows.txt\n", "train.sh": "cat rows.txt > model.txt\n"}
    with_results(root, {"dvc.yaml": pipeline, **scripts})
    rerun(root, {"prepare.sh": "# said better\necho 1 > rows.txt\n", "train.sh": "echo 2 > model.txt\n"})
    found = diff("HEAD~1", "HEAD")
    assert [found["first_cause"]["stage"], found["other_causes"]] == ["train", []]
    assert [cause["stage"] for cause in found["without_effect"]] == ["prepare"]


def test_what_follows_is_indented_below_its_cause(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stages = ["  s0: {cmd: cat in.txt > s0.txt, deps: [in.txt], outs: [s0.txt]}"]
    for number in range(1, 10):
        before = f"s{number - 1}.txt"
        stages.append(
            f"  s{number}: {{cmd: cat {before} > s{number}.txt, deps: [{before}], outs: [s{number}.txt]}}"
        )
    with_results(root, {"dvc.yaml": "\n".join(["stages:", *stages]), "in.txt": "1\n"})
    rerun(root, {"in.txt": "2\n"})
    main(["diff", "HEAD~1", "HEAD"])
    lines = capsys.readouterr().out.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("first cause"))
    assert lines[start].split()[2:4] == ["s0:", "in.txt"]
    assert [line.strip() for line in lines[start + 1 : start + 3]] == [
        "s1  s1.txt differs",
        "s2  s2.txt differs",
    ]
    indents = [len(line) - len(line.lstrip()) for line in lines[start : start + 3]]
    assert indents[1] < indents[2]
    assert lines[-1].endswith("and 5 more")
    assert len(lines) <= 40


def test_stages_of_one_pipeline_alone_are_named(root: Path, diff: Diff) -> None:
    with_results(root, {"dvc.yaml": STAGE, "train.sh": "echo 1 > model.txt\n"})
    other = "stages: {fit: {cmd: echo 2 > fitted.txt, outs: [fitted.txt]}}\n"
    rerun(root, {"dvc.yaml": other})
    found = diff("HEAD~1", "HEAD")
    details = {change["name"]: change["detail"] for change in found["coordinates"]["execution"]["changes"]}
    assert details == {"train": "a stage of A alone", "fit": "a stage of B alone"}


def test_folders_differ_as_dvc_says(root: Path, diff: Diff) -> None:
    write(root, {"images/a": "1", "images/b": "2", "images/c": "3", "images/old": "4"})
    pipeline = "stages: {train: {cmd: ls images > model.txt, deps: [images], outs: [model.txt]}}\n"
    with_results(root, {"dvc.yaml": pipeline}, "images")
    for name in ("a", "old"):
        os.remove(root / "images" / name)
    write(root, {"images/b": "5", "images/new": "4", "images/d": "6", "images/e": "7"})
    with dvc(root) as repo:
        repo.add("images")
        repo.reproduce()
    commit(root)
    with dvc(root) as repo:
        said = repo.diff("HEAD~1", "HEAD")
    # Without the folder itself.
    counts = {what: sum("images/" in str(each["path"])[:-1] for each in said[what]) for what in said}
    (change,) = diff("HEAD~1", "HEAD")["coordinates"]["data"]["changes"]
    for what in ("added", "deleted", "modified", "renamed"):
        assert f"{counts[what]} {what}" in change["detail"]


def test_a_revision_without_results_is_one_line(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init(root)
    write(root, {"dvc.yaml": STAGE, "train.sh": "echo 1 > model.txt\n"})
    first = commit(root)
    rerun(root, {})
    assert main(["diff", "HEAD~1"]) == 1
    assert capsys.readouterr().err == f"{first[:7]}: no results are recorded yet; `dvc repro`, then commit\n"


def test_data_that_is_older_than_the_first_results_is_of_these(
    root: Path, diff: Diff, monkeypatch: pytest.MonkeyPatch
) -> None:
    init(root)
    pipeline = "stages: {train: {cmd: wc -l data.csv > model.txt, deps: [data.csv], outs: [model.txt]}}\n"
    write(root, {"dvc.yaml": pipeline, "data.csv": "1\n"})
    with dvc(root) as repo:
        repo.add("data.csv")
    with monkeypatch.context() as patch:
        patch.setenv("GIT_COMMITTER_DATE", "2020-01-01T00:00:00Z")
        commit(root)
    first = rerun(root, {})
    assert diff("data.csv")["a"]["rev"] == first


METRICS = """stages:
  train:
    cmd: sh train.sh
    deps: [train.sh]
    metrics: [m.json: {cache: false}]
    outs: [environment.json: {cache: false}]
"""
WRITES = 'echo \'{"auc": 0.9}\' > m.json; echo \'{"python": "3.11"}\' > environment.json\n'


@pytest.mark.parametrize("content", ["", '{"auc": 0.', '{"pyth'])
def test_metrics_that_are_half_written_are_named_and_have_no_value(
    root: Path, content: str, diff: Diff
) -> None:
    with_results(root, {"dvc.yaml": METRICS, "train.sh": WRITES})
    write(root, {"m.json": content})
    found = diff("HEAD")
    assert [(value["key"], value["b"]) for value in found["values"]] == [("m.json:auc", None)]
    assert any(":m.json:" in note for note in found["notes"])


def test_a_record_that_is_half_written_is_named(root: Path, diff: Diff) -> None:
    with_results(root, {"dvc.yaml": METRICS, "train.sh": WRITES})
    write(root, {"environment.json": '{"pyth'})
    assert diff("HEAD")["b"]["not_of_this_commit"] == "environment.json is not what train wrote"


def test_what_a_lock_does_not_record_is_not_said_to_differ_or_to_be_equal(
    root: Path, diff: Diff, capsys: pytest.CaptureFixture[str]
) -> None:
    with_results(root, {"dvc.yaml": STAGE, "train.sh": "echo 1 > model.txt\n"})
    lock = (root / "dvc.lock").read_text()
    write(root, {"dvc.lock": lock.partition("    outs:")[0]})
    found = diff("HEAD")
    assert (found["outputs"], found["first_cause"]) == ([], None)
    assert found["b"]["not_of_this_commit"] == "model.txt of train is not recorded"
    main(["diff", "HEAD"])
    assert "outputs       none is recorded in both\n" in capsys.readouterr().out


def test_a_lock_that_is_half_written_is_one_line(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_results(root, {"dvc.yaml": STAGE, "train.sh": "echo 1 > model.txt\n"})
    lock = (root / "dvc.lock").read_text()
    for end in (lock.rindex("path:") + 2, lock.rindex("md5:") + 10):
        (root / "dvc.lock").write_text(lock[:end])
        capsys.readouterr()
        assert main(["diff", "HEAD"]) == 1
        said = capsys.readouterr().err
        assert (said.startswith("workspace on "), said.count("\n"), "dvc.lock" in said) == (True, 1, True)


def test_b_is_of_a_colleagues_clone(root: Path, tmp_path: Path, diff: Diff) -> None:
    with_results(root, {"dvc.yaml": STAGE, "train.sh": "echo 1 > model.txt\n"})
    git(tmp_path, "clone", "--quiet", str(root), "theirs")
    with dvc(tmp_path / "theirs") as repo:
        repo.config["core"]["analytics"] = False
        repo.reproduce(force=True)
    theirs = rerun(tmp_path / "theirs", {"train.sh": "echo 2 > model.txt\n"})
    for words in (["--repo", "../theirs"], ["model.txt", "--repo", "../theirs"]):
        found = diff("HEAD", *words)
        assert (found["b"]["rev"], found["first_cause"]["changes"][0]["name"]) == (theirs, "train.sh")
        assert found["notes"] == []


def test_repositories_without_a_common_history_are_compared_by_content(
    root: Path, tmp_path: Path, diff: Diff
) -> None:
    files = {"dvc.yaml": STAGE, "train.sh": "echo 1 > model.txt\n"}
    with_results(root, files)
    with_results(tmp_path / "other", {**files, "README.md": "another\n"})
    found = diff("HEAD", "--repo", "../other")
    assert (found["differs"], len(found["notes"])) == (False, 1)
    assert "share no history" in found["notes"][0]


def test_figures_name_the_results_that_made_them(root: Path, tmp_path: Path, diff: Diff) -> None:
    first = with_results(root, {"dvc.yaml": STAGE, "train.sh": "echo 1 > model.txt\n"})
    shutil.copy(root / "model.txt", tmp_path / "draft-1.txt")
    second = rerun(root, {"train.sh": "echo 2 > model.txt\n"})
    shutil.copy(root / "model.txt", tmp_path / "draft-2.txt")
    found = diff("../draft-2.txt", "../draft-1.txt")
    assert (found["a"]["rev"], found["b"]["rev"]) == (second, first)


def test_check_fails_where_anything_differs(root: Path) -> None:
    with_results(root, {"dvc.yaml": STAGE, "train.sh": "echo 1 > model.txt\n"})
    rerun(root, {"train.sh": "echo 2 > model.txt\n"})
    assert main(["diff", "HEAD", "HEAD", "--check"]) == 0
    assert main(["diff", "HEAD~1", "HEAD", "--check"]) == 1


def test_experiments_of_one_name_are_not_guessed_between(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_results(root, {"dvc.yaml": STAGE, "train.sh": "echo 1 > model.txt\n"})
    revs = []
    for number in (1, 2):
        commit(root, f"baseline {number}")
        revs.append(experiment(root, {"README.md": f"{number}\n"}, "tuned")[:7])
    assert main(["diff", "tuned"]) == 2
    said = capsys.readouterr().err
    assert all(rev in said for rev in revs)


def test_markdown_shows_names_as_they_are(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_results(
        root, {"dvc.yaml": "stages: {train: {cmd: 'true', params: [name]}}\n", "params.yaml": "name: a\n"}
    )
    rerun(root, {"params.yaml": "name: '<img src=x> | `*b*`'\n"})
    main(["diff", "HEAD~1", "HEAD", "--markdown"])
    text = capsys.readouterr().out
    row = next(line for line in text.splitlines() if line.startswith("| params |"))
    assert (row.count("|"), "<img" in text, "`" in text) == (4, False, False)


TOML = b"""[[packages]]
name = "numpy"
version = "2.1.0"
[[packages]]
name = "pandas"
version = "2.2"
"""
LOCKS = {
    "requirements.txt": b"numpy==2.1.0 ; python_version > '3.8'\nPandas[extra]>=2.2 # why\n-r more.txt\n",
    "uv.lock": TOML.replace(b"packages", b"package"),
    "pylock.toml": TOML,
    "conda-lock.yml": b"package:\n- {name: numpy, version: 2.1.0}\n- {name: pandas, version: '2.2'}\n",
    "Pipfile.lock": b'{"default": {"numpy": {"version": "==2.1.0"}, "pandas": {"version": "==2.2"}}}',
    "renv.lock": b'{"Packages": {"numpy": {"Version": "2.1.0"}, "pandas": {"Version": "2.2"}}}',
    "environment.yml": b"dependencies: [numpy=2.1.0, pip, {pip: [pandas==2.2]}]\n",
}


@pytest.mark.parametrize("path", LOCKS)
def test_versions_are_read_from_the_locks_of_all_tools(path: str) -> None:
    versions = locked_versions(path, LOCKS[path])
    assert (versions["numpy"], versions["pandas"]) == (
        "2.1.0",
        ">=2.2" if path == "requirements.txt" else "2.2",
    )


@pytest.mark.parametrize("content", [b"\xff", b"[1]", b"package: 5", b"{", b""])
@pytest.mark.parametrize("path", LOCKS)
def test_a_lock_that_is_none_has_no_versions(path: str, content: bytes) -> None:
    assert locked_versions(path, content) == {}


PICTURES = """stages:
  draw:
    cmd: sh draw.sh
    deps: [draw.sh]
    outs: [figure.svg: {cache: false}]
    plots: [loss.csv: {cache: false, x: step, y: loss}]
"""


def drawing(colour: str, loss: float) -> str:
    picture = f"<svg xmlns='http://www.w3.org/2000/svg' fill='{colour}'/>"
    return f'echo "{picture}" > figure.svg; printf "step,loss\\n0,1\\n1,{loss}\\n" > loss.csv\n'


def test_a_page_has_figures_and_curves_of_both(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_results(root, {"dvc.yaml": PICTURES, "draw.sh": drawing("red", 0.5)})
    old = (root / "figure.svg").read_bytes()
    rerun(root, {"draw.sh": drawing("blue", 0.25)})
    new = (root / "figure.svg").read_bytes()
    main(["diff", "HEAD~1", "HEAD", "--html", "../page.html"])
    page = (tmp_path / "page.html").read_text()
    for picture in (old, new):
        assert base64.b64encode(picture).decode() in page
    assert 'class="swatch before"></i>A<' in page
    assert "draw: draw.sh  +1 −1 lines" in page
    assert re.findall(r'(?:src|href)="(?!data:)', page) == []


def test_a_page_takes_the_place_of_no_other_file(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_results(root, {"dvc.yaml": STAGE, "train.sh": "echo 1 > model.txt\n"})
    assert main(["diff", "HEAD", "--html", "model.txt"]) == 2
    assert (root / "model.txt").read_text() == "1\n"


def test_a_number_of_several_results_is_not_guessed_between(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_results(root, {"dvc.yaml": METRICS, "train.sh": WRITES})
    rerun(root, {"train.sh": f"# again\n{WRITES}"})
    assert main(["diff", "auc 0.9"]) == 2
    assert "2 results have such a value" in capsys.readouterr().err


def test_a_name_that_nothing_has_ends_as_locate_does(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_results(root, {"dvc.yaml": STAGE, "train.sh": "echo 1 > model.txt\n"})
    said = []
    for command in ("locate", "diff"):
        assert main([command, "nowhere"]) == 1
        said.append(capsys.readouterr().err)
    assert said[0] == said[1]


def test_however_much_differs_one_screen_shows_it(root: Path) -> None:
    with_results(root, {"dvc.yaml": STAGE, "train.sh": "echo 1 > model.txt\n"})
    with Reader(root) as reader:
        side = Side(Result(reader.snapshot("HEAD"), uncommitted=["code"]))
        found = compare(side, side)
        many = [Change("code", f"{'long/' * 12}{number}.py", "a", "b", "+1 −1 lines") for number in range(50)]
        stages = [Follower(f"stage-{number}", number, ["out"] * 9) for number in range(50)]
        causes = [Cause(f"stage-{number}", many, ["out"], follows=stages) for number in range(9)]
        values = [Value(f"{number}/metrics.json:deep.name", 0.1, 0.25, 0.15, "a") for number in range(50)]
        crowded = replace(
            found,
            changes=dict.fromkeys(found.changes, many),
            values=values,
            outputs=dict.fromkeys(map(str, range(50)), "stage"),
            causes=causes,
            without_effect=causes,
            notes=["note"] * 9,
        )
        lines = render.to_text(crowded).splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 80


def test_a_line_that_is_too_long_goes_on_in_the_next_one(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = " ".join(f"word-{number}" for number in range(12))
    pipeline = "stages: {train: {cmd: echo > model.txt, params: [words], outs: [model.txt]}}\n"
    with_results(root, {"dvc.yaml": pipeline, "params.yaml": "words: a\n"})
    write(root, {"params.yaml": f"words: {words}\n"})
    commit(root)
    main(["diff", "HEAD~1", "HEAD"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:4] == [
        "   B's results are not of its files: words was 'a', is 'word-0 word-1 word-2",
        "     word-3 word-4 wor…",
    ]


def test_a_figure_of_the_workspace_has_the_values_of_the_workspace(root: Path, diff: Diff) -> None:
    with_results(root, {"dvc.yaml": METRICS, "train.sh": WRITES})
    write(root, {"train.sh": WRITES.replace("0.9", "0.95")})
    with dvc(root) as repo:
        repo.reproduce()
    found = diff("HEAD", "m.json")
    assert found["b"]["uncommitted"]
    assert [(value["a"], value["b"]) for value in found["values"]] == [(0.9, 0.95)]


@pytest.mark.parametrize("path", ["model.txt", "folder/part.txt", "log.txt"])
def test_an_output_that_was_edited_in_the_workspace_differs_as_dvc_says(
    root: Path, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = "mkdir folder && echo 1 | tee model.txt folder/part.txt > log.txt"
    outs = "[model.txt, folder, {log.txt: {cache: false}}]"
    with_results(root, {"dvc.yaml": f"stages: {{train: {{cmd: '{command}', outs: {outs}}}}}\n"})
    main(["diff", "HEAD"])
    assert "3 outputs, all equal" in capsys.readouterr().out
    write(root, {path: "2\n"})
    with dvc(root) as repo:
        (changed,) = repo.status()["train"][0]["changed outs"]
    assert main(["diff", "HEAD", "--check"]) == 1
    text = capsys.readouterr().out
    assert f"B's results are not of its files: {changed} is not what train wrote" in text
    assert f"outputs       1 of 3 differ: {changed}\n" in text
    # No stage made the change, and so none is said to be the cause.
    assert "first cause   none: no stage read or wrote what differs" in text


def test_data_that_was_edited_in_the_workspace_is_not_what_its_results_are_of(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline = "stages: {train: {cmd: 'cat raw.txt > model.txt', deps: [raw.txt], outs: [model.txt]}}\n"
    with_results(root, {"dvc.yaml": pipeline, "raw.txt": "1\n"}, "raw.txt")
    write(root, {"raw.txt": "2\n"})
    main(["diff", "HEAD"])
    assert "B's results are not of its files: raw.txt has changed since" in capsys.readouterr().out


def test_an_output_that_was_not_pulled_is_not_edited(root: Path, diff: Diff) -> None:
    with_results(root, CHANCE | {"../chance": "1\n"})
    (root / "model.txt").unlink()
    found = diff("HEAD")
    assert (found["outputs"], found["notes"], found["b"]["not_of_this_commit"]) == ([], [], "")


def test_a_module_that_one_stage_reads_in_its_folder_is_told_once(root: Path, diff: Diff) -> None:
    pipeline = """stages:
  check: {cmd: echo 1 > checked.txt, deps: [code], outs: [checked.txt]}
  train: {cmd: cat code/train.sh > model.txt, deps: [code/train.sh], outs: [model.txt]}
"""
    with_results(root, {"dvc.yaml": pipeline, "code/train.sh": "1\n", "code/other.sh": "1\n"})
    rerun(root, {"code/train.sh": "2\n"})
    found = diff("HEAD~1", "HEAD")
    assert [change["name"] for change in found["coordinates"]["code"]["changes"]] == ["code/train.sh"]
    assert (found["first_cause"]["stage"], found["without_effect"]) == ("train", [])


def test_a_params_file_that_a_stage_reads_as_a_whole_is_told_by_its_values(root: Path, diff: Diff) -> None:
    pipeline = "stages: {train: {cmd: cat params.yaml > model.txt, deps: [params.yaml], outs: [model.txt]}}\n"
    with_results(root, {"dvc.yaml": pipeline, "params.yaml": "lr: 0.1\nkind: tree\n"})
    rerun(root, {"params.yaml": "lr: 0.25\nkind: tree\n"})
    first = diff("HEAD~1", "HEAD")["first_cause"]
    assert [(change["name"], change["a"], change["b"]) for change in first["changes"]] == [("lr", 0.1, 0.25)]


def test_the_workspace_of_a_project_in_a_subfolder_has_its_own_values(
    root: Path, monkeypatch: pytest.MonkeyPatch, diff: Diff
) -> None:
    git(root, "init", "--quiet", "--template=")
    project = root / "ml é"
    init(project, subdir=True)
    write(root, {"note.txt": "beside it\n"})
    write(project, {"dvc.yaml": METRICS, "deep/train.sh": WRITES, "train.sh": ". deep/train.sh\n"})
    rerun(project, {})
    write(root, {"note.txt": "changed\n"})
    write(project, {"train.sh": WRITES.replace("0.9", "0.95"), "deep/train.sh": "changed\n"})
    with dvc(project) as repo:
        repo.reproduce()
    monkeypatch.chdir(project)
    found = diff("HEAD")
    assert [(value["a"], value["b"]) for value in found["values"]] == [(0.9, 0.95)]
    assert [change["name"] for change in found["first_cause"]["changes"]] == ["train.sh"]


def test_an_archive_is_compared_with_what_is_checked_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, diff: Diff
) -> None:
    root = archived.make(tmp_path / "project")
    monkeypatch.chdir(root)
    first = git(root, "rev-parse", "HEAD")
    archive = tmp_path / "result.zip"
    create_archive(ArchiveOptions(archive), archived.Silent())
    rerun(root, {"params.yaml": "copy: {by: 2}\n"})
    found = diff(str(archive))
    changes = found["coordinates"]["params"]["changes"]
    assert found["a"]["rev"] == first
    assert [(change["name"], change["a"], change["b"]) for change in changes] == [("copy.by", 1, 2)]


def test_data_in_a_zip_file_is_no_archive(root: Path, diff: Diff) -> None:
    with zipfile.ZipFile(root / "data.zip", "w") as file:
        file.writestr("rows.csv", "1\n")
    pipeline = "stages: {train: {cmd: cat data.zip > model.txt, deps: [data.zip], outs: [model.txt]}}\n"
    first = with_results(root, {"dvc.yaml": pipeline}, "data.zip")
    assert diff("data.zip", "HEAD")["a"]["rev"] == first


def test_a_run_of_mlflow_is_the_commit_that_it_shows(
    root: Path, monkeypatch: pytest.MonkeyPatch, diff: Diff
) -> None:
    first = with_results(root, {"dvc.yaml": STAGE, "train.sh": "echo 1 > model.txt\n"})
    second = rerun(root, {"train.sh": "echo 2 > model.txt\n"})
    runs = {"a" * 32: first, "b" * 32: second}
    monkeypatch.setattr("locatable.mlflow.store.mirrored_revision", lambda uri, run: runs.get(run))
    found = diff("a" * 32, "b" * 32)
    assert (found["a"]["rev"], found["b"]["rev"]) == (first, second)


def test_an_output_of_a_stage_with_another_name_is_the_same_output(root: Path, diff: Diff) -> None:
    with_results(root, {"dvc.yaml": STAGE, "train.sh": "echo 1 > model.txt\n"})
    rerun(root, {"dvc.yaml": STAGE.replace("train:", "fit:")})
    with dvc(root) as repo:
        assert repo.diff("HEAD~1", "HEAD") == {}
    found = diff("HEAD~1", "HEAD")
    assert (found["outputs"], found["first_cause"], found["without_effect"]) == ([], None, [])


def test_the_cause_in_a_stage_with_another_name_is_what_it_read(root: Path, diff: Diff) -> None:
    use = "  use: {cmd: cp model.txt used.txt, deps: [model.txt], outs: [used.txt]}\n"
    with_results(root, {"dvc.yaml": STAGE + use, "train.sh": "echo 1 > model.txt\n"})
    rerun(root, {"dvc.yaml": STAGE.replace("train:", "fit:") + use, "train.sh": "echo 2 > model.txt\n"})
    found = diff("HEAD~1", "HEAD")
    first = found["first_cause"]
    assert (first["stage"], [change["name"] for change in first["changes"]]) == ("fit", ["train.sh"])
    assert [stage["stage"] for stage in first["follows"]] == ["use"]
    assert found["other_causes"] == []


def test_the_proof_of_a_stage_with_another_name_is_of_a_result_that_has_it(root: Path, diff: Diff) -> None:
    write(root, {"../chance": "1\n"})
    with_results(root, CHANCE)
    second = rerun(root, {"../chance": "2\n", "dvc.yaml": STAGE.replace("train:", "fit:")})
    assert diff("HEAD~1", "HEAD")["proof"] == f"locatable reproduce {second[:12]} --stage fit"


def test_a_param_without_a_value_is_another_thing_than_no_param(root: Path, diff: Diff) -> None:
    pipeline = (
        "stages: {train: {cmd: cat params.yaml > model.txt, params: [{params.yaml: }], outs: [model.txt]}}"
    )
    with_results(root, {"dvc.yaml": pipeline, "params.yaml": "lr: 0.1\n"})
    write(root, {"params.yaml": "lr: 0.1\ndepth:\n"})
    with dvc(root) as repo:
        assert repo.status()["train"] == [{"changed deps": {"params.yaml": {"depth": "new"}}}]
    rerun(root, {})
    found = diff("HEAD~1", "HEAD")
    assert [(change["name"], change["detail"]) for change in found["first_cause"]["changes"]] == [
        ("depth", "only in B")
    ]


def test_the_name_of_a_metric_may_have_a_colon(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_results(root, {"dvc.yaml": METRICS, "train.sh": WRITES.replace("auc", "val:auc")})
    rerun(root, {"train.sh": WRITES.replace("auc", "val:auc").replace("0.9", "0.8")})
    main(["diff", "HEAD~1", "HEAD"])
    text = capsys.readouterr().out
    assert "\nvalues        m.json\n                val:auc  0.9 → 0.8  −0.1\n" in text


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_a_metric_that_is_no_number_is_never_better(root: Path, direction: str, diff: Diff) -> None:
    search = f"metric: m.json:auc\ndirection: {direction}\n"
    with_results(root, {"dvc.yaml": METRICS, "train.sh": WRITES, "search.yaml": search})
    rerun(root, {"train.sh": WRITES.replace("0.9", "NaN")})
    (value,) = diff("HEAD~1", "HEAD")["values"]
    assert (value["b"], value["difference"], value["better"]) == ("NaN", None, "")


@pytest.mark.parametrize(
    "search", ["metric:\n", "metric: 5\ndirection: 5\n", "- 1\n", "metric: m.json:auc\ndirection: up\n"]
)
def test_no_metric_is_better_where_the_project_does_not_say_how(root: Path, search: str, diff: Diff) -> None:
    with_results(root, {"dvc.yaml": METRICS, "train.sh": WRITES, "search.yaml": search})
    rerun(root, {"train.sh": WRITES.replace("0.9", "0.8")})
    assert [value["better"] for value in diff("HEAD~1", "HEAD")["values"]] == [""]


SHOWN = {
    "type": (1, "1", 'lr: 1 → "1"'),
    "spaces": ("a b", "a  b", 'lr: "a b" → "a  b"'),
    "empty list": ([], "", "lr: [] → ''"),
    "long": ("a" * 60 + "b", "a" * 60 + "c", "lr: …aaaaaaaaaab → …aaaaaaaaaac"),
    "number": (0.123456789, 0.2, "lr: 0.123456789 → 0.2"),
    "none": (None, "none", 'lr: null → "none"'),
}


@pytest.mark.parametrize("name", SHOWN)
def test_two_values_that_differ_are_never_shown_as_the_same(name: str) -> None:
    old, new, shown = SHOWN[name]
    assert render.sentence(Change("params", "lr", old, new)) == shown


def test_a_command_is_shown_where_it_changed() -> None:
    command = "python -m package.train --features reports/prepare/features.parquet --folds"
    change = Change("execution", "train", f"{command} 5", f"{command} 10", "command")
    assert render.sentence(change) == "train: command …t --folds 5 → …t --folds 10"


def test_a_lock_that_is_not_the_one_that_was_read_tells_no_versions(root: Path, diff: Diff) -> None:
    pipeline = "stages: {train: {cmd: echo > model.txt, deps: [requirements.txt], outs: [model.txt]}}\n"
    with_results(root, {"dvc.yaml": pipeline, "requirements.txt": "numpy==1.0\n"})
    write(root, {"requirements.txt": "numpy==2.0\n"})
    stale = commit(root)
    rerun(root, {"requirements.txt": "numpy==3.0\n"})
    (change,) = diff(stale, "HEAD")["coordinates"]["environment"]["changes"]
    assert (change["name"], change["detail"]) == (
        "requirements.txt",
        f"{stale[:7]} no longer has what was read",
    )


def test_a_patch_has_no_file_whose_other_version_is_lost(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_results(root, {"dvc.yaml": STAGE, "train.sh": "echo 1 > model.txt\n"})
    write(root, {"train.sh": "echo 2 > model.txt\n"})
    stale = commit(root)
    rerun(root, {"train.sh": "echo 3 > model.txt\n"})
    main(["diff", stale, "HEAD", "--patch"])
    assert "+++" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "record",
    ['{"python": "3", "drift": {"numpy": "1.0"}}', '{"python": "3", "variables": [1]}', '{"python": "3"'],
)
def test_a_record_of_another_tool_is_told_by_its_hash(root: Path, record: str, diff: Diff) -> None:
    writes = WRITES.replace('{"python": "3.11"}', record)
    with_results(root, {"dvc.yaml": METRICS, "train.sh": writes})
    rerun(root, {"train.sh": writes.replace('"3"', '"4"')})
    (change,) = diff("HEAD~1", "HEAD")["coordinates"]["environment"]["changes"]
    assert change["name"] == "environment.json"


def test_a_command_that_changed_beside_its_param_is_a_cause_too(root: Path, diff: Diff) -> None:
    pipeline = "stages: {train: {cmd: 'echo ${flag} > model.txt', outs: [model.txt]}}\n"
    with_results(root, {"dvc.yaml": pipeline, "params.yaml": "flag: true\n"})
    rerun(root, {"params.yaml": "flag: false\n"})
    rerun(root, {"params.yaml": "flag: true\n", "dvc.yaml": pipeline.replace("echo", "printf")})
    named = []
    for old, new in (("HEAD~2", "HEAD~1"), ("HEAD~1", "HEAD")):
        first = diff(old, new)["first_cause"]
        named.append([change["name"] for change in first["changes"]])
    assert named == [["flag"], ["flag", "train"]]


def test_a_stage_without_outputs_is_a_stage(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_results(
        root,
        {"dvc.yaml": "stages: {check: {cmd: 'true', deps: [a.txt]}}\n", "a.txt": "", "b.csv": "1"},
        "b.csv",
    )
    write(root, {"b.csv": "2"})
    with dvc(root) as repo:
        repo.add("b.csv")
    commit(root)
    main(["diff", "HEAD~1", "HEAD"])
    assert "none: no stage read or wrote what differs" in capsys.readouterr().out


def test_a_stage_that_reads_the_same_changed_file_follows_from_the_first_cause(
    root: Path, diff: Diff
) -> None:
    stage = "  {0}:\n    cmd: cat raw.txt > {0}.txt\n    deps: [raw.txt]\n    outs: [{0}.txt]\n"
    with_results(root, {"dvc.yaml": "stages:\n" + stage.format("a") + stage.format("b"), "raw.txt": "1\n"})
    rerun(root, {"raw.txt": "2\n"})
    found = diff("HEAD~1", "HEAD")
    assert found["first_cause"]["stage"] == "a"
    assert [follower["stage"] for follower in found["first_cause"]["follows"]] == ["b"]
    assert found["other_causes"] == []
