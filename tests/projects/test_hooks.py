"""Generating as a person does, on the command line: refusals, and the first commit."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import TEMPLATE, checks_of_answers, run
from test_render import DEFAULTS

CLI = [sys.executable, "-m", "cookiecutter", "--no-input"]

REFUSED = [
    ("project_name", " ", "some text"),
    ("project_name", "bell \a", "without control characters"),
    ("project_slug", "../escape", "a folder name"),
    ("project_slug", "..", "a folder name"),
    ("project_slug", "-rf", "a folder name"),
    ("project_slug", "a/b", "a folder name"),
    ("project_slug", "a/b/c", "a folder name"),
    ("project_slug", "com1", "no system reserves"),
    ("package_name", "my-package", "a Python name"),
    ("package_name", "2fast", "a Python name"),
    ("package_name", "größe", "a Python name"),
    ("package_name", "lambda", "no keyword"),
    ("package_name", "None", "no keyword"),
    ("package_name", "json", "uses already"),
    ("package_name", "sklearn", "uses already"),
    ("package_name", "dvc", "uses already"),
    ("package_name", "scripts", "uses already"),
    ("package_name", "Tests", "uses already"),
    ("dvc_remote", "ftp://example.org/x", "begins with s3://, gs://, azure://, ssh://, webdavs://"),
    ("package_name", "psutil", "a name that neither Python nor a package of the project uses already"),
    ("package_name", "p" * 300, "a name of 100 characters at most"),
    ("project_slug", "p" * 101, "a name of 100 characters at most"),
    ("dvc_remote", "s3:bucket", "write a folder out in full"),
    ("dvc_remote", "s3://", "begins with s3://"),
    ("dvc_remote", "~/store", "write a folder out in full"),
    ("dvc_remote", "store", "outside of the project, such as ../NAME"),
    ("dvc_remote", "./data/../store", "outside of the project, such as ../NAME"),
    ("dvc_remote", "ssh://ada:secret@example.org/x", "without a password"),
    ("mlflow_tracking_uri", "mlruns", "http(s)://"),
    ("mlflow_tracking_uri", "gopher://example.org", "http(s)://"),
    ("mlflow_tracking_uri", "https://ada:secret@example.org", "without a password"),
]


@pytest.mark.parametrize(("question", "answer", "allowed"), REFUSED)
def test_a_bad_answer_is_refused_with_what_would_be_allowed(question, answer, allowed):
    assert allowed in checks_of_answers()[question](answer)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("project_name", "bell \a"),
        ("project_slug", "../escape"),
        ("project_slug", "a/b/c"),
        ("package_name", "p" * 300),
        ("dvc_remote", "ssh://ada:secret@example.org/x"),
        ("mlflow_tracking_uri", "mlruns"),
    ],
)
def test_a_refusal_is_one_line_and_leaves_nothing(tmp_path, bare_env, question, answer):
    out = tmp_path / "out"
    done = run(*CLI, "-o", out, TEMPLATE, f"{question}={answer}", cwd=tmp_path, env=bare_env, code=1)
    shown = answer if len(answer) <= 60 else f"{answer[:57]}..."
    allowed = checks_of_answers()[question](answer)
    assert done.stderr.splitlines()[0] == f"{question}: {shown!a} is not allowed; it should be {allowed}"
    assert list(tmp_path.rglob("*")) in ([], [out])


def test_an_absolute_folder_is_refused_and_not_left(tmp_path, bare_env):
    elsewhere = tmp_path / "elsewhere"
    answer = f"project_slug={elsewhere}"
    done = run(*CLI, "-o", tmp_path / "out", TEMPLATE, answer, cwd=tmp_path, env=bare_env, code=1)
    assert "project_slug" in done.stderr.splitlines()[0]
    assert not elsewhere.exists()


@pytest.mark.parametrize("name", ["3D Segmentation", "2025 study", "long " * 60])
def test_every_name_of_a_project_gives_defaults_that_are_allowed(tmp_path, bare_env, name):
    run(*CLI, "-o", tmp_path, TEMPLATE, f"project_name={name}", cwd=tmp_path, env=bare_env)
    (project,) = tmp_path.iterdir()
    assert (project / "dvc.yaml").exists()


def test_what_is_printed_next_are_three_commands(tmp_path, bare_env):
    done = run(*CLI, "-o", tmp_path, TEMPLATE, "project_name=My Study", cwd=tmp_path, env=bare_env)
    assert done.stdout == "\nNext, type:\n\n  cd my-study\n  make setup\n  make repro\n"


def test_every_question_is_asked_in_words_and_enter_is_enough(tmp_path, bare_env):
    done = subprocess.run(
        [sys.executable, "-m", "cookiecutter", "-o", tmp_path, TEMPLATE],
        input="\n" * 9,
        env=bare_env,
        text=True,
        capture_output=True,
        check=True,
    )
    assert done.stdout.count("?") >= 6
    assert "[9/9]" in done.stdout
    assert "[10/" not in done.stdout
    assert (tmp_path / "tumour-classifier/dvc.yaml").is_file()


def test_without_a_git_identity_the_commands_that_finish_the_job_are_printed(tmp_path, bare_env):
    env = bare_env | {"HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}
    (tmp_path / ".gitconfig").write_text("[user]\nuseConfigOnly = true\n")
    done = run(*CLI, "-o", tmp_path, TEMPLATE, cwd=tmp_path, env=env)
    project = tmp_path / "tumour-classifier"
    commands = [line.strip() for line in done.stdout.splitlines() if line.startswith("  git ")]
    assert len(commands) == 3
    for command in commands:
        run("sh", "-c", command, cwd=project, env=env)
    assert run("git", "log", "--format=%an", cwd=project, env=env).stdout == "Your Name\n"
    assert run("git", "status", "--porcelain", cwd=project, env=env).stdout == ""


def test_a_gitignore_of_the_whole_machine_hides_nothing_of_a_project(tmp_path, bare_env):
    (tmp_path / "ignored").write_text("*.dvc\n*.lock\ndata/\nreports/\n.*\n")
    (tmp_path / ".gitconfig").write_text(
        f"[user]\nname = Ada\nemail = ada@example.org\n[core]\nexcludesFile = {tmp_path / 'ignored'}\n"
    )
    env = bare_env | {"HOME": str(tmp_path)}
    run(*CLI, "-o", tmp_path, TEMPLATE, cwd=tmp_path, env=env)
    project = tmp_path / "tumour-classifier"
    committed = set(run("git", "ls-files", cwd=project, env=env).stdout.split())
    assert {"data/raw.csv.dvc", "requirements.lock", ".dvc/config", "data/README.md"} <= committed
    # What stages write later is the project's own, too.
    for name in ("dvc.lock", "data/other.csv.dvc", "reports/train/metrics.json"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).touch()
    status = run("git", "status", "--porcelain", "--untracked-files=all", cwd=project, env=env).stdout
    assert status == "?? data/other.csv.dvc\n?? dvc.lock\n?? reports/train/metrics.json\n"


def test_inside_a_repository_nothing_is_committed(tmp_path, bare_env):
    run("git", "init", "--quiet", cwd=tmp_path, env=bare_env)
    run(*CLI, "-o", tmp_path, TEMPLATE, cwd=tmp_path, env=bare_env)
    assert not (tmp_path / "tumour-classifier/.git").exists()
    assert run("git", "status", "--porcelain", cwd=tmp_path, env=bare_env).stdout == "?? tumour-classifier/\n"


def test_in_a_folder_that_a_repository_ignores_the_project_gets_its_own(tmp_path, bare_env):
    run("git", "init", "--quiet", cwd=tmp_path, env=bare_env)
    (tmp_path / ".gitignore").write_text("/build/\n")
    run(*CLI, "-o", tmp_path / "build", TEMPLATE, cwd=tmp_path, env=bare_env)
    assert (tmp_path / "build/tumour-classifier/.git").is_dir()


def test_a_git_too_old_for_initial_branch_still_makes_main(tmp_path, bare_env):
    """Git before 2.28 does not know `--initial-branch`, nor the setting behind it."""
    git = tmp_path / "bin" / "git"
    git.parent.mkdir()
    real = subprocess.check_output(["which", "git"], text=True).strip()
    refuse = 'case "$*" in *-b*|*--initial-branch*) echo "unknown option" >&2; exit 129;; esac'
    git.write_text(f'#!/bin/sh\n{refuse}\nexec {real} "$@"\n')
    git.chmod(0o755)
    path = f"{git.parent}{os.pathsep}{bare_env['PATH']}"
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        "[user]\nname = Ada\nemail = ada@example.org\n[init]\ndefaultBranch = trunk\n"
    )
    env = bare_env | {"PATH": path, "HOME": str(home)}
    run(*CLI, "-o", tmp_path / "out", TEMPLATE, cwd=tmp_path, env=env)
    head = (tmp_path / "out/tumour-classifier/.git/HEAD").read_text()
    assert head == "ref: refs/heads/main\n"


def test_when_cruft_renders_to_compare_no_repository_is_made(tmp_path, bare_env):
    """Cruft calls `generate_files` on a temporary folder and does not name its output folder."""
    script = (
        "import json, sys; from cookiecutter.generate import generate_files;"
        "generate_files(sys.argv[1], {'cookiecutter': json.loads(sys.argv[2])}, output_dir=sys.argv[3])"
    )
    env = bare_env | {"TMPDIR": str(tmp_path)}
    run(
        *[sys.executable, "-c", script, TEMPLATE, json.dumps(DEFAULTS), tmp_path / "cruft"],
        cwd=tmp_path,
        env=env,
    )
    project = tmp_path / "cruft/tumour-classifier"
    assert (project / "dvc.yaml").is_file()
    assert not (project / ".git").exists()


def test_an_existing_folder_is_not_touched(tmp_path, bare_env):
    kept = tmp_path / "tumour-classifier" / "mine.txt"
    kept.parent.mkdir()
    kept.write_text("mine")
    run(*CLI, "-o", tmp_path, TEMPLATE, cwd=tmp_path, env=bare_env, code=1)
    assert [path.name for path in Path(kept.parent).iterdir()] == ["mine.txt"]
