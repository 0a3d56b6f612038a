# /// script
# dependencies = ["copier==9.19.1"]
#
# [tool.joint]
# question = "Projects"
# tool = "Copier"
# joint = "copier.yml"
# ///
"""Copier: the same project from the same folder as cookiecutter's, and updates of it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from cookiecutter.main import cookiecutter

TEMPLATE = Path(__file__).parents[2]
COPIER = [sys.executable, "-m", "copier"]
# What Copier adds, to update the project later.
ADDED = ".copier-answers.yml"
ODD = "R&D \"quoted\" '{{ 7 * 7 }}' \\ $(touch pwned) 漢 <b>"


def git(folder: Path, *command: str) -> str:
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    return subprocess.check_output(("git", "-C", folder, *identity, *command), text=True).strip()


@pytest.fixture(autouse=True)
def known_to_git(monkeypatch: pytest.MonkeyPatch) -> None:
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Ada")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "ada@example.org")


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """The template as its next release would be: Copier takes what is committed."""
    folder = tmp_path / "template"
    for name in git(TEMPLATE, "ls-files", "-z").rstrip("\0").split("\0"):
        if not (TEMPLATE / name).exists():
            continue
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(TEMPLATE / name, folder / name, follow_symlinks=False)
    git(folder, "init", "--quiet")
    git(folder, "add", "--all", "--force")
    git(folder, "commit", "--quiet", "--message", "Release")
    git(folder, "tag", "v1.0.0")
    return folder


def copy(template: Path, project: Path, code: int = 0, **answers: str) -> str:
    """Have Copier generate a project, and return what it said."""
    given = [part for name, answer in answers.items() for part in ("--data", f"{name}={answer}")]
    command = [*COPIER, "copy", "--quiet", "--trust", "--defaults", *given, str(template), str(project)]
    done = subprocess.run(command, cwd=template.parent, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def content(project: Path) -> dict[str, bytes]:
    """What the files of a project's first commit hold."""
    names = git(project, "ls-tree", "-r", "-z", "--name-only", "HEAD").rstrip("\0").split("\0")
    return {name: (project / name).read_bytes() for name in names}


@pytest.mark.parametrize(
    "answers",
    [
        {},
        {"task": "regression", "license": "Apache-2.0", "dvc_remote": "s3://bucket/path"},
        {"description": ODD, "author": ODD, "project_name": ODD, "license": "BSD-3-Clause"},
    ],
)
def test_a_project_has_the_bytes_that_cookiecutter_gives_it(
    template: Path, tmp_path: Path, answers: dict[str, str]
) -> None:
    copy(template, tmp_path / "copied/a-study", **answers)
    found = content(tmp_path / "copied/a-study")
    recorded = yaml.safe_load(found.pop(ADDED))
    rendered = tmp_path / "answers.json"
    asked = json.loads((template / "cookiecutter.json").read_text())
    known = {name: recorded[name] for name in asked if not name.startswith("_")}
    now = git(tmp_path / "copied/a-study", "log", "-1", "--format=%ad", "--date=format:%Y")
    rendered.write_text(json.dumps({"cookiecutter": {**known, "__year": now, "__answers": ""}}))
    made = cookiecutter(str(template), replay=str(rendered), output_dir=str(tmp_path / "baked"))
    assert found == content(Path(made))
    assert git(tmp_path / "copied/a-study", "status", "--porcelain") == ""
    assert not list(tmp_path.rglob("pwned"))


def test_copier_asks_what_cookiecutter_asks(template: Path) -> None:
    asked = json.loads((template / "cookiecutter.json").read_text())["__prompts__"]
    questions = yaml.safe_load((template / "copier.yml").read_text())
    for name, prompt in asked.items():
        question = questions[name]
        choices = prompt if isinstance(prompt, dict) else {"__prompt__": prompt}
        assert question["help"] == choices.pop("__prompt__")
        assert {value: text for text, value in question.get("choices", {}).items()} == choices
    assert [name for name in questions if questions[name] and "help" in questions[name]] == list(asked)


@pytest.mark.parametrize(
    ("question", "answer"), [("package_name", "json"), ("dvc_remote", "ssh://ada:secret@example.org/x")]
)
def test_a_bad_answer_is_refused_and_leaves_nothing(
    template: Path, tmp_path: Path, question: str, answer: str
) -> None:
    said = copy(template, tmp_path / "study", code=1, **{question: answer})
    assert f"{question}: {answer!r} is not allowed; it should be " in said
    assert not (tmp_path / "study").exists()


def test_an_update_brings_what_the_template_changed_and_keeps_what_the_user_did(
    template: Path, tmp_path: Path
) -> None:
    project = tmp_path / "study"
    copy(template, project)
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("epochs: 30 ", "epochs: 50 "))
    git(project, "commit", "--quiet", "--all", "--message", "More epochs")
    page = template / "{{cookiecutter.project_slug}}/docs/changes.md"
    page.write_text(f"{page.read_text()}\nA line of the next release.\n")
    git(template, "commit", "--quiet", "--all", "--message", "Say more")
    git(template, "tag", "v1.1.0")
    subprocess.run([*COPIER, "update", "--quiet", "--trust", "--defaults"], cwd=project, check=True)
    assert git(project, "status", "--porcelain", "-uall").split("\n") == [f"M {ADDED}", " M docs/changes.md"]
    assert (project / "docs/changes.md").read_text().endswith("A line of the next release.\n")
    assert "epochs: 50 " in params.read_text()
    assert git(project, "log", "-1", "--format=%s") == "More epochs"
