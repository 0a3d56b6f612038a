"""Whether recorded results are of a commit's files, compared with what `dvc status` says in a checkout."""

import hashlib
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_dvc import commit, dvc, init
from tiny_git import git, write

from locatable.repository.reader import Reader
from locatable.results.staleness import (
    Difference,
    commit_of_results,
    differences,
    has_unrecorded_pipeline,
    remedy,
    summary,
)

PROJECT = {
    "params.yaml": "lr: 0.001\nnet: {width: 8, depth: 2}\nunused: 1\nitems: [a, b]\nname: x\n",
    "extra.toml": "[deep]\nx = 3\n",
    "conf.py": "SIZES = (1, 2)\n",
    "code.py": "print(1)\n",
    "src/one.py": "1\n",
    "src/sub/two.py": "2\n",
    "notes.txt": "one\r\ntwo\r\n",
    ".dvcignore": "*.tmp\n",
    "src/left.tmp": "x\n",
    "dvc.yaml": """
stages:
  prepare:
    cmd: cat raw.csv code.py > table.csv
    deps: [raw.csv, code.py, src, notes.txt]
    params: [lr, net, conf.py: [SIZES]]
    outs: [table.csv]
  train:
    cmd:
      - cp table.csv model.bin
      - cp params.yaml score.yaml
      - mkdir -p figures
      - cp table.csv figures/a.csv
    deps: [table.csv]
    params: [extra.toml: ]
    outs: [model.bin, figures: {cache: false}]
    metrics: [score.yaml: {cache: false}]
  always:
    cmd: echo 1 > always.txt
    always_changed: true
    outs: [always.txt: {cache: false}]
  still:
    cmd: cp code.py copy.py
    frozen: true
    deps: [code.py]
    params: [lr]
    outs: [copy.py]
  each:
    foreach: ${items}
    do:
      wdir: each
      cmd: cp ../code.py ${item}-${name}.py
      deps: [../code.py]
      outs: ['${item}-${name}.py']
""",
    "each/.keep": "",
    "pipelines/b/dvc.yaml": """
stages:
  own: {cmd: cp ../../big/1.csv own.csv, deps: [../../big/1.csv], outs: [own.csv]}
""",
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose last commit has results of all stages."""
    root = tmp_path_factory.mktemp("built") / "project"
    init(root)
    write(root, {**PROJECT, "raw.csv": "1,2\n", "big/1.csv": "one\n", "big/2.csv": "two\n"})
    # DVC never runs a frozen stage.
    write(root, edited("dvc.yaml", "frozen: true", "frozen: false"))
    with dvc(root) as repo:
        repo.add(["raw.csv", "big"])
        repo.reproduce(all_pipelines=True)
    write(root, {"dvc.yaml": PROJECT["dvc.yaml"]})
    commit(root)
    return root


@pytest.fixture
def project(built: Path, tmp_path: Path) -> Path:
    """A copy of it to change."""
    shutil.copytree(built, tmp_path / "project", symlinks=True)
    return tmp_path / "project"


@pytest.fixture
def reader(project: Path) -> Iterator[Reader]:
    with Reader(project) as reader:
        yield reader


def found(root: Path, rev: str = "HEAD") -> list[Difference]:
    with Reader(root) as reader:
        return differences(reader.snapshot(rev))


def sentences(root: Path) -> list[str]:
    return [difference.sentence for difference in found(root)]


def status(root: Path) -> dict[str, Any]:
    """What DVC says in a checkout of the last commit, by stage: files, params and commands that changed."""
    changed = {}
    with dvc(root) as repo:
        repo.checkout(force=True, allow_missing=True)
        for stage, entries in repo.status().items():
            names: set[str] = set()
            for entry in entries:
                if entry == "always changed":
                    continue
                if isinstance(entry, str):
                    names.add(entry)
                    continue
                for files in entry.values():
                    for file, state in files.items():
                        names.update(
                            [f"{file}:{key}" for key in state] if isinstance(state, dict) else [file]
                        )
            if names:
                changed[stage] = names
    return changed


def change(root: Path, files: Mapping[str, str | bytes]) -> None:
    """Commit other files without rebuilding anything."""
    write(root, files)
    commit(root)


def edited(path: str, old: str, new: str) -> dict[str, str]:
    """A file of the project with one change in it."""
    assert old in PROJECT[path]
    return {path: PROJECT[path].replace(old, new)}


def test_results_of_the_same_files_have_no_differences(project: Path) -> None:
    assert status(project) == {}
    assert found(project) == []


UNNOTICED = {
    "a param that no stage uses": edited("params.yaml", "unused: 1", "unused: 2"),
    "a file that no stage reads": {"README.md": "new\n"},
    "a file that .dvcignore hides": {"src/left.tmp": "y\n", "src/right.tmp": ""},
    "a comment in dvc.yaml": edited("dvc.yaml", "stages:\n", "# Mine.\nstages:\n"),
    "a dependency that is declared no more": edited(
        "dvc.yaml", "deps: [raw.csv, code.py, ", "deps: [raw.csv, "
    ),
    "another way to write the same number": edited("params.yaml", "0.001", "1.0e-03"),
    "a tuple written as a list": edited("conf.py", "(1, 2)", "[1, 2]"),
}
NOTICED = {
    "code": ({"code.py": "print(2)\n"}, {"code.py has changed since"}),
    "a file in a folder": ({"src/sub/two.py": "3\n"}, {"src has changed since"}),
    "a new file in a folder": ({"src/three.py": "3\n"}, {"src has changed since"}),
    "only line ends": ({"notes.txt": "one\ntwo\n"}, {"notes.txt had other line ends"}),
    "a param": (edited("params.yaml", "0.001", "0.002"), {"lr was 0.001, is 0.002"}),
    "a value in a section": (edited("params.yaml", "depth: 2", "depth: 3"), {"net.depth was 2, is 3"}),
    "a new value in a section": (
        edited("params.yaml", "depth: 2", "depth: 2, new: 1"),
        {"net.new is 1, was not recorded"},
    ),
    "a value that went": (edited("params.yaml", ", depth: 2", ""), {"net.depth was 2, is gone"}),
    "a param of TOML": (edited("extra.toml", "x = 3", "x = 4"), {"extra.toml:deep.x was 3, is 4"}),
    "a param of Python": (edited("conf.py", "2", "3"), {"conf.py:SIZES was [1, 2], is [1, 3]"}),
    "a param that is newly declared": (
        edited("dvc.yaml", "[lr, net, conf", "[lr, name, net, conf"),
        {"name is 'x', was not recorded"},
    ),
    "a dependency that is newly declared": (
        edited("dvc.yaml", "code.py, src", "code.py, conf.py, src"),
        {"conf.py of prepare is not recorded"},
    ),
    "a command": (
        edited("dvc.yaml", "cp table.csv model.bin", "cat table.csv > model.bin"),
        {"the command of train has changed since"},
    ),
    "a stage": (
        {"dvc.yaml": PROJECT["dvc.yaml"] + "  more: {cmd: cp code.py more, deps: [code.py], outs: [more]}\n"},
        {"more has no recorded results"},
    ),
    "an output in Git": ({"score.yaml": "lr: 7\n"}, {"score.yaml is not what train wrote"}),
    "a folder in Git that is an output": ({"figures/a.csv": "7\n"}, {"figures is not what train wrote"}),
    "a value in a template": (
        edited("params.yaml", "name: x", "name: y"),
        {
            "the command of each@a has changed since",
            "each/a-y.py of each@a is not recorded",
            "the command of each@b has changed since",
            "each/b-y.py of each@b is not recorded",
        },
    ),
    "another item of foreach": (
        edited("params.yaml", "[a, b]", "[a, b, c]"),
        {"each@c has no recorded results"},
    ),
}


@pytest.mark.parametrize("files", UNNOTICED.values(), ids=UNNOTICED)
def test_what_dvc_does_not_care_about_is_no_difference(project: Path, files: Mapping[str, str]) -> None:
    change(project, files)
    assert status(project) == {}
    assert found(project) == []


def test_a_nan_is_the_nan_that_was_recorded(tmp_path: Path) -> None:
    pipeline = "stages:\n  make: {cmd: touch out, params: [bad], outs: [out]}\n"
    init(tmp_path / "project")
    write(tmp_path / "project", {"params.yaml": "bad: {x: .nan, y: [.nan, .inf]}\n", "dvc.yaml": pipeline})
    with dvc(tmp_path / "project") as repo:
        repo.reproduce()
    commit(tmp_path / "project")
    assert found(tmp_path / "project") == []
    change(tmp_path / "project", {"params.yaml": "bad: {x: 1, y: [.nan, -.inf]}\n"})
    assert sentences(tmp_path / "project") == [
        "bad.x was nan, is 1",
        "bad.y was [nan, inf], is [nan, -inf]",
    ]


@pytest.mark.parametrize(("files", "expected"), NOTICED.values(), ids=NOTICED)
def test_what_dvc_would_run_again_is_told(
    project: Path, files: Mapping[str, str], expected: set[str]
) -> None:
    change(project, files)
    assert set(sentences(project)) == expected
    assert {difference.stage for difference in found(project)} == status(project).keys()


def add(root: Path, files: Mapping[str, str], *targets: str) -> None:
    """Change data, have DVC track it, and commit without rebuilding anything."""
    write(root, files)
    with dvc(root) as repo:
        repo.add(list(targets))
    commit(root)


def test_data_that_dvc_tracks_is_compared_by_its_recorded_hash(project: Path) -> None:
    add(project, {"raw.csv": "3,4\n"}, "raw.csv")
    assert sentences(project) == ["raw.csv has changed since"]
    assert status(project).keys() == {"prepare"}


def test_a_file_in_a_tracked_folder_is_looked_up_in_the_list_of_the_folder(project: Path) -> None:
    add(project, {"big/2.csv": "other\n"}, "big")
    assert status(project) == {}
    assert found(project) == []
    add(project, {"big/1.csv": "other\n"}, "big")
    assert sentences(project) == ["big/1.csv has changed since"]
    assert status(project).keys() == {"pipelines/b/dvc.yaml:own"}


def test_a_folder_whose_list_this_machine_lacks_is_not_compared(project: Path) -> None:
    add(project, {"big/1.csv": "other\n"}, "big")
    shutil.rmtree(project / ".dvc/cache")
    assert found(project) == []


def test_nothing_is_asked_of_the_cache_where_git_and_records_suffice(project: Path) -> None:
    shutil.rmtree(project / ".dvc/cache")
    change(project, {"code.py": "print(2)\n"})
    assert sentences(project)[0] == "code.py has changed since"


def test_an_output_of_another_run_of_the_stage_before_is_told(project: Path) -> None:
    write(project, {"code.py": "print(2)\n"})
    with dvc(project) as repo:
        repo.reproduce("prepare", single_item=True)
    git(project, "checkout", "code.py")
    commit(project)
    told = {difference.stage: difference.sentence for difference in found(project)}
    assert told == {"prepare": "code.py has changed since", "train": "table.csv has changed since"}
    assert status(project).keys() == told.keys()


def test_an_output_of_a_stage_without_a_record_is_not_taken_for_missing(project: Path) -> None:
    lock = project / "dvc.lock"
    content = yaml.safe_load(lock.read_text())
    del content["stages"]["prepare"]
    change(project, {"dvc.lock": yaml.safe_dump(content)})
    assert sentences(project) == ["prepare has no recorded results"]


@pytest.mark.parametrize(("file", "stage"), [("notes.txt", "prepare"), ("extra.toml", "train")])
def test_a_dependency_or_params_file_that_is_nowhere_is_told(project: Path, file: str, stage: str) -> None:
    git(project, "rm", "--quiet", file)
    commit(project)
    assert sentences(project) == [f"{file} is in neither Git nor DVC"]
    assert status(project).keys() == {stage}


def test_text_that_an_older_dvc_has_hashed_may_have_other_line_ends(project: Path) -> None:
    lock = (project / "dvc.lock").read_text()
    md5 = hashlib.md5(b"one\ntwo\n", usedforsecurity=False).hexdigest()
    old = rf"\1md5: {md5}\n"
    lock = re.sub(r"(- path: notes.txt\n      )hash: md5\n      md5: \w+\n", old, lock)
    change(project, {"dvc.lock": lock})
    assert status(project) == {}
    assert found(project) == []


def lfs_pointer(content: bytes) -> str:
    oid = hashlib.sha256(content).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n"


def test_a_pointer_of_git_lfs_is_not_taken_for_the_file(project: Path) -> None:
    change(project, {"code.py": lfs_pointer(b"print(2)\n")})
    assert found(project) == []


@pytest.mark.parametrize(
    ("content", "is_here", "said"),
    [
        (b"1\n", True, []),
        (b"2\n", True, ["always.txt is not what always wrote"]),
        (b"2\n", False, []),  # its hash is not known, and its size is the same
        (b"22\n", False, ["always.txt is not what always wrote"]),
    ],
)
def test_an_output_in_git_lfs_is_compared_as_far_as_this_machine_has_it(
    project: Path, content: bytes, is_here: bool, said: list[str]
) -> None:
    oid = hashlib.sha256(content).hexdigest()
    if is_here:
        write(project, {f".git/lfs/objects/{oid[:2]}/{oid[2:4]}/{oid}": content})
    change(project, {"always.txt": lfs_pointer(content)})
    assert sentences(project) == said


def test_what_is_behind_a_symbolic_link_is_not_compared(project: Path) -> None:
    (project / "code.py").rename(project / "real.py")
    (project / "code.py").symlink_to("real.py")
    commit(project)
    assert status(project) == {}
    assert found(project) == []


def test_code_beside_a_project_in_a_subfolder_is_compared(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--template=")
    write(tmp_path, {"shared.py": "1\n", "lib/a.py": "1\n"})
    (tmp_path / "link.py").symlink_to("shared.py")  # of which Git keeps the target alone
    root = tmp_path / "ml"
    init(root, subdir=True)
    stage = "{cmd: cp ../shared.py out, deps: [../shared.py, ../lib, ../link.py], outs: [out]}"
    write(root, {"dvc.yaml": f"stages: {{s: {stage}}}\n"})
    with dvc(root) as repo:
        repo.reproduce()
    commit(root)
    assert found(root) == []
    change(root, {"../shared.py": "2\n", "../lib/a.py": "2\n"})
    assert sentences(root) == ["../shared.py has changed since", "../lib has changed since"]
    assert status(root).keys() == {"s"}


def test_a_commit_without_any_record_has_no_differences_and_says_why(project: Path) -> None:
    for lock in project.rglob("dvc.lock"):
        lock.unlink()
    commit(project)
    with Reader(project) as reader:
        snapshot = reader.snapshot("HEAD")
        assert differences(snapshot) == []
        assert has_unrecorded_pipeline(snapshot)


def test_an_experiment_has_results_of_its_own_files(project: Path) -> None:
    with dvc(project) as repo:
        repo.experiments.run(params=["lr=0.5"], name="wide")
    git(project, "stash", "--quiet")
    with Reader(project) as reader:
        (experiment,) = reader.experiments()
        snapshot = reader.snapshot(experiment.rev)
        assert snapshot.records["prepare"].params["params.yaml"]["lr"] == 0.5
        assert differences(snapshot) == []


def test_stale_results_are_of_the_newest_commit_that_made_them(project: Path, reader: Reader) -> None:
    change(project, {"README.md": "Not read by a stage.\n"})
    made = git(project, "rev-parse", "HEAD")
    change(project, {"code.py": "print(2)\n"})
    change(project, {"code.py": "print(3)\n"})
    assert commit_of_results(reader, reader.snapshot("HEAD")) == made


def test_stale_results_may_be_of_no_commit(project: Path, reader: Reader) -> None:
    write(project, {"code.py": "print(2)\n"})
    with dvc(project) as repo:
        repo.reproduce(all_pipelines=True)
    git(project, "checkout", "code.py")
    commit(project)
    assert commit_of_results(reader, reader.snapshot("HEAD")) is None


def test_each_blob_is_hashed_once(project: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    blobs = reader.objects.blobs
    differences(reader.snapshot("HEAD"))
    monkeypatch.setattr(reader.objects, "blobs", lambda ids: blobs([read.append(one) or one for one in ids]))
    differences(reader.snapshot("HEAD"))
    code = git(project, "rev-parse", "HEAD:code.py")
    assert code not in read


def test_a_file_that_git_ignores_is_to_be_added_and_not_rebuilt(project: Path) -> None:
    """`dvc repro` finds the file in this folder, and nothing to do."""
    git(project, "rm", "--quiet", "--cached", "notes.txt")
    change(project, {".gitignore": (project / ".gitignore").read_text() + "/notes.txt\n"})
    assert remedy(found(project)) == "`git add --force notes.txt`, or `dvc add` where it is data, then commit"
    git(project, "add", "--force", "notes.txt")
    commit(project)
    assert found(project) == []


def test_line_ends_are_to_be_the_same_everywhere(project: Path) -> None:
    """Where Git changes line ends, results of another `dvc repro` are not of the commit's bytes either."""
    git(project, "config", "core.autocrlf", "true")
    write(project, {"notes.txt": "one\r\ntwo\r\n"})
    with dvc(project) as repo:
        repo.reproduce(all_pipelines=True)
    commit(project)
    assert remedy(found(project)) == (
        "`notes.txt text eol=lf` in .gitattributes, `git add --renormalize .`, check it out again, "
        "`dvc repro`, then commit"
    )
    write(project, {".gitattributes": "notes.txt text eol=lf\n"})
    git(project, "add", "--renormalize", ".")
    (project / "notes.txt").unlink()
    git(project, "checkout", "--", "notes.txt")
    with dvc(project) as repo:
        repo.reproduce(all_pipelines=True)
    commit(project)
    assert found(project) == []


def test_a_line_tells_the_first_few_differences_once_and_how_many_more(project: Path) -> None:
    change(project, {"code.py": "2\n"})
    assert len(found(project)) == 3
    assert summary(found(project)) == "code.py has changed since"
    change(project, {"src/one.py": "2\n", "score.yaml": "2\n", "notes.txt": "2\n"})
    assert summary(found(project), 2).endswith("; src has changed since; and 2 more")


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ("kwargs: {moons_size: 16384, seed: 1}\n", []),
        ("kwargs: {moons_size: 9, seed: 2}\n", ["kwargs.moons* was 16384, is 9"]),
        ("kwargs: {seed: 1}\n", ["kwargs.moons* was 16384, is gone"]),
    ],
)
def test_a_pattern_of_params_is_compared_as_dvc_compares_it(
    tmp_path: Path, params: str, expected: list[str]
) -> None:
    root = tmp_path / "project"
    init(root)
    stage = "stages:\n  s:\n    cmd: echo 1 > out\n    params: [kwargs.moons*]\n    outs: [out]\n"
    write(root, {"dvc.yaml": stage, "params.yaml": "kwargs: {moons_size: 16384, seed: 0}\n"})
    with dvc(root) as repo:
        repo.reproduce()
    commit(root)
    change(root, {"params.yaml": params})
    assert sentences(root) == expected
    assert bool(status(root)) == bool(expected)
