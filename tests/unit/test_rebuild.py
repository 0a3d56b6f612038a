"""The commands that rebuild a revision on a clean machine."""

from collections.abc import Mapping
from contextlib import chdir
from pathlib import Path

import pytest
from dvc.exceptions import DvcException
from dvc.repo import Repo
from tiny_git import commit, git

from locatable.cli import main
from locatable.model import Experiment
from locatable.repository.reader import Reader
from locatable.results.rebuild import origin_url, rebuild_commands

URL = "https://example.org/project.git"
LOCK = "schema: '2.0'\nstages:\n  train:\n    cmd: x\n"


def commands(
    top: Path, files: Mapping[str, str], experiment: Experiment | None = None, url: str | None = URL
) -> list[str]:
    """Commands that rebuild a repository with these files in its subfolder `ml`."""
    commit(top, {"ml/.dvc/config": "", **{f"ml/{path}": text for path, text in files.items()}})
    with Reader(top / "ml") as reader:
        return rebuild_commands(reader.snapshot("HEAD"), experiment, url)


def test_a_bare_repository_is_cloned_checked_out_and_run(tmp_path: Path) -> None:
    found = commands(tmp_path, {"dvc.yaml": "stages: {make: {cmd: echo}}\n"})
    rev = git(tmp_path, "rev-parse", "HEAD")
    assert found == [
        f"git clone {URL} project && cd project",
        f"git checkout --detach {rev}",
        "cd ml",
        "dvc repro",
    ]


def test_nothing_is_run_where_there_is_no_stage(tmp_path: Path) -> None:
    assert "dvc repro" not in commands(tmp_path, {})


def test_what_a_lock_alone_records_is_said_not_to_be_rebuilt(tmp_path: Path) -> None:
    assert commands(tmp_path, {"dvc.lock": LOCK})[-1] == (
        "# train: in dvc.lock, and in no dvc.yaml of this commit: no command here rebuilds it"
    )


TWO = "stages:\n  a: {cmd: x, deps: [%s], outs: [%s]}\n  b: {cmd: x, deps: [%s], outs: [%s]}\n"


@pytest.mark.parametrize(
    ("pipeline", "reason"),
    [
        (
            "stages: {make: {cmd: ['a: b', {level: info}]}}",
            "dvc.yaml: stages.make.cmd: YAML reads {'level': 'info'}, which cannot run: put the command in "
            "quotes",
        ),
        (
            "stages: {make: {cmd: ['${x}']}}\nvars: [{x: 5}]\n",
            "dvc.yaml: stages.make.cmd: YAML reads 5, which cannot run: put the command in quotes",
        ),
        ("stages: {make: {cmd: null}}", "dvc.yaml: stages.make.cmd: expected str"),
        ("stages: {make: {cmd: x, live: y}}", "dvc.yaml: stages.make.live: extra keys not allowed"),
        ("stage: {make: {cmd: x}}", "dvc.yaml: stage: extra keys not allowed"),
        (
            "stages: {make: {cmd: x, outs: [y: {cache: 'no'}]}}",
            "dvc.yaml: stages.make.outs.0.y.cache: expected bool",
        ),
        ("plots: [x: {z: y}]", "dvc.yaml: plots.0.x.z: extra keys not allowed"),
        ("artifacts: {x: {type: y}}", "dvc.yaml: artifacts.x.path: required key not provided"),
        (TWO % ("x", "y", "x", "y"), "output 'y' is specified in: a, b"),
        (TWO % ("x", "y", "z", "x.csv"), "output 'x.csv' is specified in: a .dvc file, b"),
        (TWO % ("x", "y", "x", "y/z"), "output 'y' of a has in it 'y/z' of b"),
        (TWO % ("x", "y", "y", "x"), "each of these stages needs the next: a, b, a"),
        (TWO % ("x", "x", "y", "z"), "a has a dependency among its outputs"),
    ],
)
def test_nothing_is_pulled_or_run_where_dvc_refuses_the_pipeline(
    tmp_path: Path, pipeline: str, reason: str
) -> None:
    found = commands(tmp_path, {"dvc.yaml": pipeline, "x.csv.dvc": "outs:\n- path: x.csv\n"})
    with chdir(tmp_path / "ml"), pytest.raises(DvcException), Repo() as repo:
        repo.reproduce(dry="YAML reads" not in reason)
    remark = f"# DVC cannot run the pipeline, and rebuilds nothing here: {reason}"
    assert [line for line in found if line.startswith(("dvc", "#"))] == [remark]


@pytest.mark.parametrize(
    ("params", "kind"),
    [("x: 2024-05-01", "date"), ("x: !!set {y}", "set"), ("x: 2024-05-01 10:00:00", "datetime")],
)
def test_nothing_is_run_where_dvc_refuses_a_param(tmp_path: Path, params: str, kind: str) -> None:
    found = commands(tmp_path, {"dvc.yaml": "stages: {make: {cmd: echo}}", "params.yaml": params})
    reason = f"Unsupported value of type '{kind}' in 'params.yaml:x'"
    assert found[-1] == f"# DVC cannot run the pipeline, and rebuilds nothing here: {reason}"
    with chdir(tmp_path / "ml"), pytest.raises(TypeError, match=reason), Repo() as repo:
        repo.reproduce(dry=True)


@pytest.mark.parametrize(
    ("file", "params", "kind"),
    [
        ("a.toml", "x = 2024-05-01", "date"),
        ("a.yaml", "x: 2024-05-01", "date"),
        ("a.py", "x = {1, 2}", "set"),
    ],
)
def test_nothing_is_run_where_dvc_cannot_record_a_param(
    tmp_path: Path, file: str, params: str, kind: str
) -> None:
    pipeline = f"stages: {{make: {{cmd: touch y, params: [{file}: [x]], outs: [y]}}}}"
    found = commands(tmp_path, {"dvc.yaml": pipeline, file: params})
    reason = f"Object of type {kind} is not JSON serializable"
    what = f"params of make in {file}: {reason}"
    assert found[-1] == f"# DVC cannot run the pipeline, and rebuilds nothing here: {what}"
    with chdir(tmp_path / "ml"), pytest.raises(DvcException) as refused, Repo() as repo:
        repo.reproduce()
    assert reason in str(refused.value.__cause__)


def test_a_date_in_quotes_is_a_param_for_dvc(tmp_path: Path) -> None:
    files = {"dvc.yaml": "stages: {make: {cmd: echo}}", "params.yaml": "x: '2024-05-01'"}
    assert commands(tmp_path, files)[-1] == "dvc repro"


@pytest.mark.parametrize(
    "pipeline",
    [
        "stages: {make: {cmd: echo, meta: {a: 1}, outs: [{y: {desc: b, persist: true}}]}}",
        "stages: {make: {foreach: [a], do: {cmd: 'echo ${item}'}}}\nplots: [x: {x: {y: z}, y: {y: [z]}}]",
    ],
)
def test_what_dvc_alone_can_judge_is_run_where_it_takes_it(tmp_path: Path, pipeline: str) -> None:
    assert commands(tmp_path, {"dvc.yaml": pipeline})[-1] == "dvc repro"


def test_a_repository_without_a_remote_is_cloned_from_its_folder(tmp_path: Path) -> None:
    top = tmp_path / "a b"
    assert commands(top, {}, url=None)[0] == f"git clone '{top}' project && cd project"


def test_a_commit_before_the_project_has_no_folder_to_enter(tmp_path: Path) -> None:
    commit(tmp_path, {"README.md": "a"})
    commands(tmp_path, {})
    with Reader(tmp_path / "ml") as reader:
        found = rebuild_commands(reader.snapshot("HEAD~1"), None, URL)
    rev = git(tmp_path, "rev-parse", "HEAD~1")
    assert found == [f"git clone {URL} project && cd project", f"git checkout --detach {rev}"]


def test_an_experiment_is_fetched_first(tmp_path: Path) -> None:
    experiment = Experiment("first", "1" * 40, "2" * 40, 0)
    assert "git fetch origin 'refs/exps/*:refs/exps/*'" in commands(tmp_path, {}, experiment)


@pytest.mark.parametrize(
    "files",
    [
        {"requirements.lock": "numpy==2.0\n-e file:.\n"},
        {"requirements.lock": "{}\n"},
        {"requirements.lock": "lockfile: 1\n"},
        {"requirements.lock/README.md": "a"},
        {"tools.lock": ""},
    ],
)
def test_a_lock_of_another_tool_or_of_tools_alone_is_not_installed(
    tmp_path: Path, files: Mapping[str, str]
) -> None:
    assert not any("pip install" in command for command in commands(tmp_path, files))


VENV = "python3 -m venv .venv && source .venv/bin/activate"


CONDA = 'eval "$(micromamba shell hook --shell bash)" && micromamba activate ./.venv'


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {"requirements.lock": "numpy==2.0 --hash=sha256:aa\n"},
            [VENV, "pip install --require-hashes -r requirements.lock"],
        ),
        (
            {"requirements.lock": "", "tools.lock": ""},
            [VENV, "pip install --require-hashes -r requirements.lock -r tools.lock"],
        ),
        ({"requirements.txt": "numpy\n"}, [VENV, "pip install -r requirements.txt"]),
        ({"../requirements.txt": "numpy\n"}, [VENV, "pip install -r ../requirements.txt"]),
        (
            {"uv.lock": "", "requirements.txt": ""},
            ["uv sync --frozen --project .", "source ./.venv/bin/activate"],
        ),
        (
            {"pixi.lock": "", "requirements.lock": "numpy==2.0 --hash=sha256:aa\n"},
            [VENV, "pip install --require-hashes -r requirements.lock"],
        ),
        ({"pylock.toml": "", "requirements.txt": ""}, [VENV, "uv pip sync pylock.toml"]),
        ({"../uv.lock": ""}, ["uv sync --frozen --project ..", "source ../.venv/bin/activate"]),
        ({"environment.yml": ""}, ["conda env create --prefix ./.venv --file environment.yml"]),
        (
            {"conda-lock.yml": "version: 1\n"},
            ["micromamba create --yes --quiet --prefix .venv --file conda-lock.yml", CONDA],
        ),
        ({"poetry.lock": ""}, ["poetry --directory . install"]),
        (
            {"requirements.txt": "", "renv.lock": "{}"},
            [
                VENV,
                "pip install -r requirements.txt",
                "(cd . && Rscript -e 'renv::restore(prompt = FALSE)')",
            ],
        ),
        ({"Manifest.toml": ""}, ["julia --project=. -e 'import Pkg; Pkg.instantiate()'"]),
        ({"Dockerfile": "", "dvc.yaml": "stages: {make: {cmd: echo}}\n"}, ["dvc repro"]),
    ],
)
def test_the_environment_that_was_found_is_installed_by_its_tool(
    tmp_path: Path, files: Mapping[str, str], expected: list[str]
) -> None:
    assert commands(tmp_path, files)[3:][: len(expected)] == expected


@pytest.mark.parametrize(
    ("lock", "command"), [("conda-lock.yml", CONDA), ("uv.lock", "uv sync --frozen --project .")]
)
def test_of_two_locks_the_one_that_stages_declare_is_installed(
    tmp_path: Path, lock: str, command: str
) -> None:
    deps = f"    deps:\n    - {{path: {lock}, md5: 5d41402abc4b2a76b9719d911017c592}}\n"
    locks = {"requirements.lock": "", lock: "version: 1\n"}
    pipeline = f"stages:\n  train:\n    cmd: x\n    deps: [{lock}]\n"
    found = commands(tmp_path, {**locks, "dvc.yaml": pipeline, "dvc.lock": LOCK + deps})
    assert command in found


def test_data_is_pulled_by_name(tmp_path: Path) -> None:
    found = commands(tmp_path, {"a b.dvc": "outs:\n- path: a b\n", "c.dvc": "outs:\n- path: c\n"})
    assert "dvc pull 'a b' c" in found


@pytest.mark.parametrize(("number", "command"), [(11, "dvc pull f00 f01"), (12, "dvc pull")])
def test_much_data_is_pulled_without_names(tmp_path: Path, number: int, command: str) -> None:
    names = [f"f{place:02}" for place in range(number)]
    found = commands(tmp_path, {f"{name}.dvc": f"outs:\n- path: {name}\n" for name in names})
    assert found[3].startswith(command)
    assert len(found[3].split()) == (2 if number == 12 else 13)


def test_an_artifact_that_no_stage_made_is_said_not_to_be_rebuilt(tmp_path: Path) -> None:
    pipeline = "artifacts:\n  net: {path: ../net.bin, type: model}\n"
    found = commands(
        tmp_path, {"dvclive/dvc.yaml": pipeline, "net.bin.dvc": "outs: [{path: net.bin, md5: a}]\n"}
    )
    assert found[3:5] == [
        "dvc pull net.bin",
        "# net.bin (artifact net) was made by no stage: no command here rebuilds it",
    ]


def test_stages_that_dvc_3_refuses_are_named(tmp_path: Path) -> None:
    text = "cmd: python train.py\ndeps: [{path: train.py, md5: b}]\nouts: [{path: model, md5: a}]\n"
    found = commands(tmp_path, {"model.dvc": text, "raw.dvc": "outs: [{path: raw, md5: c}]\n"})
    assert found[3:] == [
        "# model.dvc: a stage as DVC 2 wrote it; DVC 3 refuses it, and rebuilds nothing here"
    ]


def test_several_pipelines_are_all_run(tmp_path: Path) -> None:
    pipeline = "stages: {train: {cmd: x}}\n"
    found = commands(tmp_path, {"dvc.yaml": pipeline, "sub/dvc.yaml": pipeline, "sub/dvc.lock": LOCK})
    assert found[-1] == "dvc repro --all-pipelines"


def test_the_origin_is_shown_without_its_password(tmp_path: Path) -> None:
    commit(tmp_path, {})
    with Reader(tmp_path) as reader:
        assert origin_url(reader) is None
    git(tmp_path, "remote", "add", "origin", "https://ada:secret@example.org/project.git")
    with Reader(tmp_path) as reader:
        assert origin_url(reader) == URL


LFS = "*.png filter=lfs diff=lfs merge=lfs -text\n"


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({"../.gitmodules": ""}, "git submodule update --init --recursive"),
        ({".gitattributes": LFS}, "git lfs pull"),
        ({"../.gitattributes": LFS}, "git lfs pull"),
    ],
)
def test_what_git_keeps_elsewhere_is_fetched_where_there_is_any(
    tmp_path: Path, files: Mapping[str, str], command: str
) -> None:
    assert command not in commands(tmp_path, {".gitattributes": "* text=auto\n"})
    assert command in commands(tmp_path, files)


@pytest.mark.parametrize("command", ["locate HEAD", "locate HEAD --cite", "reproduce", "archive"])
def test_no_first_results_are_promised_where_dvc_cannot_record_them(tmp_path, monkeypatch, capsys, command):
    pipeline = "stages: {make: {cmd: x, params: [p.toml: [when]], outs: [y]}}\n"
    commit(tmp_path, {".dvc/config": "", "dvc.yaml": pipeline, "p.toml": "when = 2024-01-02\n"})
    monkeypatch.chdir(tmp_path)
    main(command.split())
    printed = "".join(capsys.readouterr())
    assert "Object of type date is not JSON serializable" in printed
    assert "dvc repro" not in printed
