"""`locatable declare` on tiny repositories: what DVC then reads, and what else is in dvc.yaml."""

import os
import re
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path

import pytest
from dvc.dependency import ParamsDependency
from dvc.repo import Repo
from tiny_git import write

from locatable.commands import declare
from locatable.errors import LocatableError, NotFoundError, ProjectError
from locatable.testing import unchecked_stages, undeclared_imports

DVC_YAML = """\
# The pipeline.
stages:
  train:
    desc: Fit the model on a line that is longer than the eighty columns at which YAML writers like to break
    cmd: python -m pkg.train
    deps: # sorted
      - data.csv
      - pkg/__init__.py # the package
      - pkg/train.py
    params: ["a",   'b']   # aligned by hand

  other:
      cmd: echo  "x"
      outs:
      - other.txt
"""
SOURCES = {
    "pkg/__init__.py": "",
    "pkg/train.py": "from . import models\n",
    "pkg/models.py": "",
    "pkg/old.py": "",
    "params.yaml": "a: 1\nb: 2\n",
}


def run(*arguments: str) -> int:
    """`locatable declare`; its exit code."""
    parser = ArgumentParser()
    declare.add_arguments(parser)
    return declare.run(parser.parse_args(arguments))


def declared(project: Path, stage: str = "train") -> list[str]:
    """The dependencies of a stage as DVC loads them, relative to the project."""
    with Repo(str(project)) as repo:
        (found,) = (each for each in repo.index.stages if each.addressing == stage)
        listed = [dep for dep in found.deps if not isinstance(dep, ParamsDependency)]
        return [Path(dep.fs_path).relative_to(project).as_posix() for dep in listed]


@pytest.fixture(scope="module")
def site_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for what DVC keeps of all projects."""
    return tmp_path_factory.mktemp("site")


@pytest.fixture
def project(tmp_path: Path, site_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DVC project, as working directory, whose stage `train` does not declare pkg/models.py."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(site_cache))
    monkeypatch.chdir(tmp_path)
    # As `dvc init --no-scm` leaves it, which takes ten times as long.
    write(tmp_path, SOURCES | {"dvc.yaml": DVC_YAML, ".dvc/config": "[core]\n    no_scm = True\n"})
    return tmp_path


@pytest.fixture
def pipeline(project: Path) -> Callable[[str], None]:
    """Write another dvc.yaml."""
    return lambda text: write(project, {"dvc.yaml": text})


def test_dvc_reads_what_was_declared(project: Path) -> None:
    run()
    assert declared(project) == ["data.csv", "pkg/__init__.py", "pkg/models.py", "pkg/train.py"]


def test_one_line_is_added_and_every_other_byte_stays(project: Path) -> None:
    run()
    before = "      - pkg/__init__.py # the package\n"
    expected = DVC_YAML.replace(before, f"{before}      - pkg/models.py\n")
    assert (project / "dvc.yaml").read_text() == expected


def test_a_second_run_changes_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run()
    before = (project / "dvc.yaml").stat().st_ino
    capsys.readouterr()
    assert run("train") == 0
    assert capsys.readouterr().out == "nothing to do: all imports are declared\n"
    assert (project / "dvc.yaml").stat().st_ino == before


@pytest.mark.usefixtures("project")
def test_it_says_what_it_changed_and_what_will_run(capsys: pytest.CaptureFixture[str]) -> None:
    run()
    assert capsys.readouterr().out.splitlines() == [
        "train: added to dvc.yaml: pkg/models.py, which pkg/train.py imports",
        "`dvc repro` will now run again: train",
        "not checked, because their commands name no Python file of the project: other",
    ]


def test_dvc_takes_the_stage_for_changed(project: Path) -> None:
    write(project, {"data.csv": "1\n", "other.txt": "x\n"})
    with Repo(str(project)) as repo:
        repo.commit(force=True)
        assert repo.status(["train"]) == {}
    run()
    with Repo(str(project)) as repo:
        assert "train" in repo.status(["train"])


TRAIN = "  train:\n    cmd: python -m pkg.train\n"
THREE = "deps:\n      - pkg/__init__.py\n      - pkg/models.py\n      - pkg/train.py\n"
BRACKETS = "deps: [pkg/__init__.py, pkg/models.py, pkg/train.py]"
LOOP = "    foreach: [1, 2]\n    do:\n      cmd: python -m pkg.train ${item}\n"
# What stands below `stages`; between « and » is what was missing.
LAYOUTS = {
    "a list that is not sorted": (
        f"{TRAIN}    deps:\n    - pkg/train.py\n    - pkg/__init__.py\n«    - pkg/models.py\n»"
    ),
    "an item that comes first": (
        "  train:\n    deps:\n«      - pkg/__init__.py\n»      - pkg/models.py\n      - pkg/train.py\n"
        "    cmd: python -m pkg.train\n"
    ),
    "brackets": (
        "  train: {cmd: python -m pkg.train, deps: [ pkg/__init__.py,« pkg/models.py,»  pkg/train.py ]}\n"
    ),
    "brackets, an item that comes first": (
        "  train: {cmd: python -m pkg.train, deps: [«pkg/__init__.py, »pkg/models.py, pkg/train.py]}\n"
    ),
    "empty brackets": f"{TRAIN}    deps: [«pkg/__init__.py, pkg/models.py, pkg/train.py»]\n",
    "no list": f"{TRAIN}«    {THREE}»    outs:\n      - model\n",
    "no list, and others as DVC writes them": (
        f"{TRAIN}«    {THREE.replace('  -', '-')}»    outs:\n    - model\n"
    ),
    "no list, and a wdir": f"{TRAIN}    wdir: .\n«    {THREE}»    # the model\n    outs: [model]\n",
    "no list, at the end of a stage": (
        f"  train:\n    cmd: >-\n      python -m\n      pkg.train\n«    {THREE}»\n"
        "  # Another.\n  other:\n    cmd: echo\n"
    ),
    "no list, after a shell script": (
        f"  train:\n    cmd: |\n      python -m pkg.train\n      # the end\n«    {THREE}»    outs: [model]\n"
    ),
    "no list and no line break": f"{TRAIN.rstrip()}«\n    {THREE.rstrip()}»",
    "no list, between braces": f"  train: {{cmd: python -m pkg.train, «{BRACKETS}, »outs: [model]}}\n",
    "comments between groups": (
        f"{TRAIN}    deps:\n      # data\n      - data.csv\n\n      # code\n      - pkg/__init__.py\n"
        "«      - pkg/models.py\n»      - pkg/train.py\n"
    ),
    "a comment above the group it belongs to": (
        f"{TRAIN}    deps:\n      - data.csv\n      # code\n«      - pkg/__init__.py\n»"
        "      - pkg/models.py\n      - pkg/train.py\n"
    ),
    "a loop": (f"  train:\n{LOOP}      deps: [pkg]\n  fit:\n{LOOP}«      {THREE.replace('  -', '    -')}»"),
    "a matrix": (
        "  train:\n    matrix:\n      seed: [1, 2]\n    cmd: python -m pkg.train ${item.seed}\n"
        f"«    {THREE}»"
    ),
    "a working directory": (
        "  train:\n    wdir: pkg\n    cmd: cd .. && python -m pkg.train\n"
        "    deps: [../pkg/train.py«, __init__.py, models.py»]\n"
    ),
    "variables": (
        "  train:\n    cmd: python -m ${module}\n"
        "    deps: ['${folder}/train.py', pkg/__init__.py«, pkg/models.py»]\n"
        "vars: [{module: pkg.train, folder: pkg}]\n"
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_dependencies_are_added_in_the_style_of_the_file_and_dvc_finds_them(
    project: Path, pipeline: Callable[[str], None], layout: str
) -> None:
    before = re.sub("«[^»]*»", "", LAYOUTS[layout])
    after = LAYOUTS[layout].translate({ord(mark): None for mark in "«»"})
    pipeline(f"stages:\n{before}")
    run()
    assert (project / "dvc.yaml").read_text() == f"stages:\n{after}"
    modules = {"pkg/__init__.py", "pkg/models.py", "pkg/train.py"}
    with Repo(str(project)) as repo:
        for stage in repo.index.stages:
            paths = {Path(dep.fs_path).relative_to(project).as_posix() for dep in stage.deps}
            if "pkg.train" in stage.cmd and "pkg" not in paths:
                assert modules <= paths


def test_a_template_that_starts_other_modules_declares_them_all(
    project: Path, pipeline: Callable[[str], None]
) -> None:
    write(project, {"pkg/a.py": "", "pkg/b.py": ""})
    pipeline("stages:\n  fit:\n    foreach: [a, b]\n    do:\n      cmd: python -m pkg.${item}\n")
    run("fit")
    assert declared(project, "fit@a") == ["pkg/__init__.py", "pkg/a.py", "pkg/b.py"]


def test_a_template_declares_nothing_that_one_of_its_stages_lacks(
    project: Path, pipeline: Callable[[str], None]
) -> None:
    text = "stages:\n  fit:\n    foreach: [a, b]\n    do:\n      wdir: ${item}\n      cmd: python fit.py\n"
    write(project, {"a/fit.py": "import extra\n", "a/extra.py": "", "b/fit.py": ""})
    pipeline(text)
    with pytest.raises(ProjectError, match=r"^fit: only some of its stages import extra\.py"):
        run()
    assert (project / "dvc.yaml").read_text() == text


def test_crlf_stays(project: Path, pipeline: Callable[[str], None]) -> None:
    pipeline(DVC_YAML.replace("\n", "\r\n"))
    run()
    text = (project / "dvc.yaml").read_bytes().decode()
    assert "      - pkg/models.py\r\n" in text
    assert text.count("\n") == text.count("\r\n")


def test_a_link_leads_to_the_changed_file(project: Path) -> None:
    (project / "dvc.yaml").rename(project / "real.yaml")
    (project / "dvc.yaml").symlink_to("real.yaml")
    run()
    assert (project / "dvc.yaml").is_symlink()
    assert "pkg/models.py" in (project / "real.yaml").read_text()


def test_permissions_stay_and_no_other_file_is_left(project: Path) -> None:
    (project / "dvc.yaml").chmod(0o640)
    names = set(os.listdir(project))
    run()
    assert (project / "dvc.yaml").stat().st_mode & 0o777 == 0o640
    assert set(os.listdir(project)) == names


@pytest.mark.parametrize(
    "fields",
    ["deps: [pkg]", "deps: [pkg/__init__.py, pkg/train.py], outs: [pkg/models.py]"],
    ids=["what a declared folder holds", "what the stage writes itself"],
)
def test_nothing_is_missing(pipeline: Callable[[str], None], fields: str) -> None:
    pipeline(f"stages:\n  train: {{cmd: python -m pkg.train, {fields}}}\n")
    assert run("--check") == 0


def test_a_path_that_yaml_would_misread_is_quoted(project: Path, pipeline: Callable[[str], None]) -> None:
    write(project, {"a, b/fit #1.py": ""})
    pipeline("stages:\n  train:\n    cmd: |\n      python 'a, b/fit #1.py'\n")
    run()
    assert declared(project) == ["a, b/fit #1.py"]


def test_a_pipeline_in_a_folder_declares_relative_to_it_where_it_is_asked_for(project: Path) -> None:
    write(project, {"sub/dvc.yaml": "stages:\n  fit:\n    wdir: ..\n    cmd: python -m pkg.old\n"})
    run("train")
    assert declared(project, "sub/dvc.yaml:fit") == []
    run("sub/dvc.yaml:fit")
    assert declared(project, "sub/dvc.yaml:fit") == ["pkg/__init__.py", "pkg/old.py"]


def test_it_works_from_a_folder_of_the_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project / "pkg")
    run()
    monkeypatch.chdir(project)
    assert "pkg/models.py" in declared(project)


STALE = DVC_YAML.replace(
    "      - pkg/train.py\n", "      - pkg/models.py\n      - pkg/old.py\n      - pkg/train.py\n"
)


def test_stale_modules_stay_without_prune(
    project: Path, pipeline: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline(STALE)
    assert run("train") == 0
    assert (project / "dvc.yaml").read_text() == STALE
    assert capsys.readouterr().out == (
        "train: dvc.yaml declares pkg/old.py, which the stage does not import; --prune removes it\n"
    )


def test_prune_removes_the_line_of_a_stale_module(
    project: Path, pipeline: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline(STALE)
    assert run("train", "--prune") == 0
    assert (project / "dvc.yaml").read_text() == STALE.replace("      - pkg/old.py\n", "")
    assert capsys.readouterr().out == (
        "train: removed from dvc.yaml: pkg/old.py, which the stage does not import\n"
    )


def test_prune_adds_what_is_missing_too_and_removes_a_module_that_is_gone(project: Path) -> None:
    write(project, {"dvc.yaml": DVC_YAML.replace("pkg/train.py", "pkg/old.py")})
    (project / "pkg/old.py").unlink()
    run("--prune")
    assert declared(project) == ["data.csv", "pkg/__init__.py", "pkg/models.py", "pkg/train.py"]


@pytest.mark.parametrize(
    "before",
    [
        "[pkg/old.py, pkg/__init__.py, pkg/models.py, pkg/train.py]",
        "[pkg/__init__.py, pkg/old.py, pkg/models.py, pkg/train.py]",
        "[pkg/__init__.py, pkg/models.py, pkg/train.py, pkg/old.py]",
        "[pkg/old.py, pkg/older.py, pkg/__init__.py, pkg/models.py, pkg/train.py]",
    ],
)
def test_prune_removes_from_brackets(project: Path, pipeline: Callable[[str], None], before: str) -> None:
    pipeline(f"stages:\n  train:\n    cmd: python -m pkg.train\n    deps: {before}\n")
    run("--prune")
    assert (
        (project / "dvc.yaml").read_text().endswith("deps: [pkg/__init__.py, pkg/models.py, pkg/train.py]\n")
    )


KEPT = {
    "data": "data.csv",
    "a file that is not Python": "pkg/settings.json",
    "a script elsewhere": "tools/other.py",
    "a folder": "pkg.py",
    "what another stage writes": "pkg/generated.py",
}


@pytest.mark.parametrize("kind", KEPT)
def test_prune_keeps_what_is_no_module_of_the_stages_packages(
    project: Path, pipeline: Callable[[str], None], kind: str
) -> None:
    (project / "pkg.py").mkdir()
    write(project, {KEPT[kind] if kind != "a folder" else "pkg.py/x.txt": ""})
    deps = f"[pkg/__init__.py, pkg/models.py, pkg/train.py, {KEPT[kind]}]"
    pipeline(
        f"stages:\n  train:\n    cmd: python -m pkg.train\n    deps: {deps}\n"
        "  generate:\n    cmd: echo > pkg/generated.py\n    outs: [pkg/generated.py]\n"
    )
    run("--prune")
    assert KEPT[kind] in declared(project)


def test_prune_keeps_what_one_stage_of_a_template_imports(
    project: Path, pipeline: Callable[[str], None]
) -> None:
    write(project, {"pkg/a.py": "", "pkg/b.py": ""})
    pipeline(
        "stages:\n  fit:\n    foreach: [a, b]\n    do:\n      cmd: python -m pkg.${item}\n"
        "      deps: [pkg/__init__.py, pkg/a.py, pkg/b.py, pkg/old.py]\n"
    )
    run("--prune")
    assert declared(project, "fit@a") == ["pkg/__init__.py", "pkg/a.py", "pkg/b.py"]


UNSURE = {
    "import importlib\nimportlib.import_module(name)\n": "imports modules by computed names",
    "import sys\nsys.path.append('pkg')\nimport old\n": "imports old from an unknown folder",
}


@pytest.mark.parametrize("source", UNSURE)
def test_prune_keeps_modules_that_may_be_imported(
    project: Path, pipeline: Callable[[str], None], capsys: pytest.CaptureFixture[str], source: str
) -> None:
    write(project, {"pkg/models.py": source})
    pipeline(STALE)
    run("train", "--prune")
    assert (project / "dvc.yaml").read_text() == STALE
    assert capsys.readouterr().out == f"train: pkg/old.py stays in dvc.yaml: pkg/models.py {UNSURE[source]}\n"


CHECKED = {
    "what is missing": (DVC_YAML, "dvc.yaml does not declare pkg/models.py, which pkg/train.py imports"),
    "what a command runs undeclared": (
        "stages:\n  train:\n    cmd: python -m pkg.models\n    deps: [pkg/__init__.py]\n",
        "dvc.yaml does not declare pkg/models.py, which its command runs",
    ),
    "what is stale": (STALE, "dvc.yaml declares pkg/old.py, which the stage does not import"),
}


@pytest.mark.parametrize("what", CHECKED)
def test_check_names_what_it_finds_and_changes_nothing(
    project: Path, pipeline: Callable[[str], None], capsys: pytest.CaptureFixture[str], what: str
) -> None:
    text, line = CHECKED[what]
    pipeline(text)
    assert run("train", "--check") == 1
    assert (project / "dvc.yaml").read_text() == text
    assert capsys.readouterr().out == f"train: {line}\n"


def test_check_passes_when_all_is_declared(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(project, {"pkg/train.py": ""})
    assert run("train", "--check") == 0
    assert capsys.readouterr().out == "all imports are declared\n"


SHARED = {
    "an anchor": (
        "  train:\n    cmd: python -m pkg.train\n    deps: &code [pkg/train.py]\n"
        "  other:\n    cmd: echo\n    deps: *code\n"
    ),
    "a merge": (
        "  other: &code\n    cmd: echo\n    deps: [data.csv]\n"
        "  train:\n    <<: *code\n    cmd: python -m pkg.train\n"
    ),
}


@pytest.mark.parametrize("kind", SHARED)
def test_lists_that_stages_share_are_left_to_the_user(
    project: Path, pipeline: Callable[[str], None], kind: str
) -> None:
    pipeline(f"stages:\n{SHARED[kind]}")
    with pytest.raises(ProjectError, match=r"^train: its deps in dvc\.yaml are shared by a YAML anchor"):
        run()
    assert (project / "dvc.yaml").read_text() == f"stages:\n{SHARED[kind]}"


def test_nothing_is_written_when_one_file_cannot_be_changed(
    project: Path, pipeline: Callable[[str], None]
) -> None:
    text = "stages:\n  fit:\n    cmd: python -m pkg.old\n"
    pipeline(text + SHARED["an anchor"])
    with pytest.raises(ProjectError):
        run()
    assert (project / "dvc.yaml").read_text() == text + SHARED["an anchor"]


FAULTS = {
    "stages:\n  train:\n    cmd: [python\n  other: x\n": r"^dvc\.yaml:4: invalid YAML: ",
    "stages:\n  train:\n    command: python\n": r"^dvc\.yaml: stages\.train\.",
    "stages:\n  train:\n    cmd: ${nothing}\n": "Could not find 'nothing'",
    "stages:\n  train:\n    cmd: python -m pkg.nothing\n": (
        r"^train: its command in dvc\.yaml runs what does not exist: pkg\.nothing$"
    ),
    "stages:\n  train:\n    cmd: python -m pkg.broken\n": r"^pkg/broken\.py:1: ",
}


@pytest.mark.parametrize("text", FAULTS)
def test_a_fault_is_said_in_one_line(project: Path, pipeline: Callable[[str], None], text: str) -> None:
    write(project, {"pkg/broken.py": "def (\n"})
    pipeline(text)
    with pytest.raises(ProjectError, match=FAULTS[text]) as caught:
        run()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("fault", list(FAULTS)[3:])
@pytest.mark.parametrize("options", [[], ["--check"]])
def test_a_stage_that_cannot_be_read_does_not_hide_the_others(
    project: Path, capsys: pytest.CaptureFixture[str], fault: str, options: list[str]
) -> None:
    write(project, {"pkg/broken.py": "def (\n"})
    write(project, {"dvc.yaml": DVC_YAML + fault.removeprefix("stages:\n").replace("train:", "faulty:")})
    assert run(*options) == 1
    first, *others = capsys.readouterr().out.splitlines()
    assert "pkg/models.py, which pkg/train.py imports" in first
    (line,) = (each for each in others if "faulty" in each)
    assert re.match(
        FAULTS[fault].lstrip("^").removeprefix("train: "), line.removeprefix("not checked: faulty: ")
    )
    assert undeclared_imports(project)[-1:] == [line]


@pytest.mark.parametrize("options", [[], ["--check"]])
def test_what_was_not_looked_at_is_not_called_declared(
    pipeline: Callable[[str], None], capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    pipeline("stages:\n  other:\n    cmd: Rscript fit.R\n")
    assert run(*options) == 0
    assert capsys.readouterr().out == (
        "not checked, because their commands name no Python file of the project: other\n"
    )


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("name", ["nothing", "nothing/dvc.yaml:train", "dvc.yaml:nothing"])
def test_a_stage_that_does_not_exist_is_named(name: str) -> None:
    with pytest.raises(NotFoundError, match=f"^{name}: no such stage; `dvc stage list --all` names them$"):
        run(name)


def test_outside_of_a_project_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LocatableError, match=r"^not in a DVC project: "):
        run()


def test_help_imports_neither_dvc_nor_a_yaml_library() -> None:
    code = (
        "import argparse, sys; from locatable.commands import declare; "
        "declare.add_arguments(argparse.ArgumentParser()); print({'dvc', 'ruamel.yaml'} & set(sys.modules))"
    )
    env = os.environ | {"PYTHONPATH": str(Path(declare.__file__).parents[2])}
    done = subprocess.run((sys.executable, "-c", code), env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_a_projects_tests_get_undeclared_imports_and_unchecked_stages_and_nothing_of_stale_modules(
    project: Path, pipeline: Callable[[str], None]
) -> None:
    assert undeclared_imports(project) == [f"train: {CHECKED['what is missing'][1]}"]
    assert unchecked_stages(project) == ['other: no Python file to be seen in `echo  "x"`']
    pipeline(STALE)
    assert undeclared_imports(project) == []
