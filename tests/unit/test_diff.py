"""Why two results differ: what `locatable diff` says of planted causes, and what DVC and Git say of them."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from tiny_dvc import commit, dvc, with_results
from tiny_git import git, write

from locatable.cli import main

# As a generated project has it: what is installed is recorded by the first stage, and read by all others.
RECORD = {"python": "3.11", "lock": "0", "drift": {}, "variables": {}}
LOCK = "numpy==2.1.0\npandas==2.2.3 \\\n    --hash=sha256:0\n"
PIPELINE = """
stages:
  environment:
    cmd: cp installed.txt environment.json
    deps: [requirements.lock]
    params: [prepare, train]
    outs: [environment.json: {cache: false}]
    always_changed: true
  prepare:
    cmd: sh prepare.sh
    deps: [data.csv, environment.json, prepare.sh]
    params: [prepare]
    outs: [prepared.csv]
  train:
    cmd: sh train.sh
    deps: [environment.json, prepared.csv, train.sh]
    params: [train]
    outs: [model.txt]
  evaluate:
    cmd: sh evaluate.sh
    deps: [environment.json, evaluate.sh, model.txt]
    metrics: [metrics.json: {cache: false}]
"""
FILES = {
    "dvc.yaml": PIPELINE,
    "data.csv": "x,y\n1,2\n3,4\n",
    "installed.txt": json.dumps(RECORD),
    "requirements.lock": LOCK,
    "prepare.sh": "cat data.csv environment.json > prepared.csv\n",
    "train.sh": "cat prepared.csv params.yaml > model.txt; test ! -e chance || cat chance >> model.txt\n",
    "evaluate.sh": 'wc -c < model.txt | sed \'s/ *\\([0-9]*\\)/{"size": \\1, "one": 1}/\' > metrics.json\n',
    "params.yaml": "prepare: {rows: 2}\ntrain: {lr: 0.1, kind: tree}\n",
    "search.yaml": "metric: metrics.json:size\ndirection: minimize\n",
    ".gitignore": "/chance\n/installed.txt\n",
}


def installed(**changed: Any) -> dict[str, str]:
    return {"installed.txt": json.dumps({**RECORD, **changed})}


def rerun(root: Path, files: Mapping[str, str], *data: str) -> str:
    """Change files, run what is out of date, and commit."""
    write(root, files)
    with dvc(root) as repo:
        for path in data:
            repo.add(path)
        repo.reproduce()
    return commit(root)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a tag for the first results, and for each cause that was planted on them."""
    root = tmp_path_factory.mktemp("planted") / "project"
    git_tag(root, "first", with_results(root, FILES, "data.csv"))
    for name, (files, _) in CAUSES.items():
        data = ["data.csv"] if "data.csv" in files else []
        git_tag(root, name, rerun(root, files, *data))
        git(root, "reset", "--quiet", "--hard", "first")
        write(root, {"installed.txt": FILES["installed.txt"]})
        with dvc(root) as repo:
            repo.checkout(force=True)
    return root


def git_tag(root: Path, name: str, rev: str) -> None:
    git(root, "tag", "--force", name, rev)


# By what was changed: the files, and stage and name of the first cause.
CAUSES: dict[str, tuple[dict[str, str], tuple[str, list[str]] | None]] = {
    "data": ({"data.csv": "x,y\n1,2\n3,4\n5,6\n"}, ("prepare", ["data.csv"])),
    "code": ({"train.sh": FILES["train.sh"] + "echo more >> model.txt\n"}, ("train", ["train.sh"])),
    "param": ({"params.yaml": FILES["params.yaml"].replace("0.1", "0.25")}, ("train", ["train.lr"])),
    "package": (
        {"requirements.lock": LOCK.replace("2.1.0", "2.2.0"), **installed(lock="1")},
        ("environment", ["numpy"]),
    ),
    "python": (installed(python="3.12"), ("environment", ["Python"])),
    "setting": (installed(variables={"OMP_NUM_THREADS": "4"}), ("environment", ["OMP_NUM_THREADS"])),
    "drift": (
        installed(drift={"pandas": {"locked": "2.2.3", "installed": "2.3.0"}}),
        ("environment", ["pandas"]),
    ),
    "command": (
        {"dvc.yaml": PIPELINE.replace("sh train.sh", "sh -e train.sh && echo >> model.txt")},
        ("train", ["train"]),
    ),
    "none": ({"README.md": "More words.\n"}, None),
}


@pytest.fixture
def project(planted: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(planted)
    return planted


@pytest.mark.parametrize("name", CAUSES)
def test_a_planted_cause_is_named_first_and_nothing_else(
    name: str, project: Path, diff: Callable[..., dict[str, Any]]
) -> None:
    first = diff("first", name)["first_cause"]
    named = first and (first["stage"], [change["name"] for change in first["changes"]])
    assert named == CAUSES[name][1]


@pytest.mark.parametrize("name", CAUSES)
def test_params_and_metrics_differ_as_dvc_says(
    name: str, project: Path, diff: Callable[..., dict[str, Any]]
) -> None:
    with dvc(project) as repo:
        params = repo.params.diff("first", name).get("diff", {}).get("params.yaml", {})
        metrics = repo.metrics.diff("first", name).get("diff", {}).get("metrics.json", {})
    found = diff("first", name)
    changes = found["coordinates"]["params"]["changes"]
    assert {change["name"]: (change["a"], change["b"]) for change in changes} == {
        key: (value["old"], value["new"]) for key, value in params.items()
    }
    assert {value["key"]: value["difference"] for value in found["values"]} == {
        f"metrics.json:{key}": value["diff"] for key, value in metrics.items()
    }


@pytest.mark.parametrize("name", CAUSES)
def test_data_and_outputs_differ_as_dvc_and_git_say(
    name: str, project: Path, diff: Callable[..., dict[str, Any]]
) -> None:
    with dvc(project) as repo:
        modified = {entry["path"] for entry in repo.diff("first", name).get("modified", [])}
    # Outputs that DVC does not keep.
    modified |= set(git(project, "diff", "--name-only", "first", name, "--", "*.json").split())
    found = diff("first", name)
    named = {output["path"] for output in found["outputs"]}
    named |= {change["name"] for change in found["coordinates"]["data"]["changes"]}
    assert named == modified


@pytest.mark.parametrize("name", CAUSES)
def test_the_workspace_is_compared_as_its_commit_would_be(
    name: str, project: Path, diff: Callable[..., dict[str, Any]]
) -> None:
    committed = diff("first", name)
    git(project, "checkout", "--quiet", name, "--", ".")
    try:
        before = git(project, "status", "--porcelain"), git(project, "count-objects")
        in_workspace = diff("first")
        assert (git(project, "status", "--porcelain"), git(project, "count-objects")) == before
    finally:
        git(project, "reset", "--quiet", "--hard", "first")
    same = ("coordinates", "values", "outputs", "first_cause", "without_effect")
    assert {key: in_workspace[key] for key in same} == {key: committed[key] for key in same}


def test_lines_of_code_are_counted_as_git_does(
    project: Path, capsys: pytest.CaptureFixture[str], diff: Callable[..., dict[str, Any]]
) -> None:
    added, removed, path = git(project, "diff", "--numstat", "first", "code", "--", "*.sh").split()
    (change,) = diff("first", "code")["coordinates"]["code"]["changes"]
    assert (change["name"], change["detail"]) == (path, f"+{added} −{removed} lines")
    main(["diff", "first", "code", "--patch"])
    shown = capsys.readouterr().out
    assert git(project, "diff", "first", "code", "--", "*.sh").partition("@@")[2] in shown


@pytest.mark.parametrize("line", ["+echo", "+echo `date`", "+```", "+````"])
def test_code_with_marks_of_markdown_is_one_block_of_a_comment(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    monkeypatch.setattr("locatable.diff.changes.patch", lambda a, b: f"{line}\n")
    main(["diff", "first", "code", "--markdown", "--patch"])
    blocks = [token for token in MarkdownIt().parse(capsys.readouterr().out) if token.type == "fence"]
    assert [(block.info, block.content) for block in blocks] == [("diff", f"{line}\n")]
