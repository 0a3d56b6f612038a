"""The Makefiles, read by the `make` and the Pythons that people have."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
FOLDERS = [REPOSITORY, REPOSITORY / "{{cookiecutter.project_slug}}"]
# What came with GNU make 3.82 or later, and what the 3.81 of macOS would read as something else.
NEWER = {
    "one shell for a recipe": r"^\.ONESHELL",
    "files that make writes": r"\$\(file ",
    "grouped targets": r"&:",
    "other assignments": r":::?:=|(?<!:)::=|^\s*\w+\s*!=",
    "definitions with an operator": r"^define\s+\w+\s*[:?+]?=",
    "options of make": r"--(output-sync|shuffle|trace)",
    "flags of the shell": r"^\.SHELLFLAGS",
    "undefined variables": r"^undefine\b",
    "private and let": r"^private\b|\$\((let|intcmp|guile) ",
}
makefiles = pytest.mark.parametrize("folder", FOLDERS, ids=["template", "project"])


def first_command(folder: Path, programs: Path) -> str:
    """The first command that needs a Python, where `make` finds some programs only.

    Args:
        folder: with the Makefile.
        programs: a folder of programs.
    """
    target = "setup" if (folder / "vendor").exists() else ".venv/ready"
    command = ("/usr/bin/env", "make", "--dry-run", "--always-make", target)
    # Without an environment, whose Python would be found.
    alone = programs / "alone"
    alone.mkdir()
    shutil.copy(folder / "Makefile", alone)
    (alone / "requirements.lock").touch()
    done = subprocess.run(
        command,
        cwd=alone,
        env={"PATH": f"{programs}:/usr/bin:/bin"},
        text=True,
        capture_output=True,
        check=True,
    )
    return done.stdout.splitlines()[0]


def write_program(folder: Path, name: str, exit_code: int) -> None:
    """Write a program that says nothing and ends."""
    (folder / name).write_text(f"#!/bin/sh\nexit {exit_code}\n")
    (folder / name).chmod(0o755)


@makefiles
@pytest.mark.parametrize("feature", NEWER)
def test_a_makefile_has_nothing_that_the_make_of_macos_does_not_read(folder, feature):
    assert re.findall(NEWER[feature], (folder / "Makefile").read_text(), re.MULTILINE) == []


def test_set_up_can_be_read():
    makefile = (FOLDERS[1] / "Makefile").read_text()
    (recipe,) = re.findall(r"^setup:.*\n(?:\t.*\n)+", makefile, re.MULTILINE)
    assert len(recipe.splitlines()) <= 12
    assert max(map(len, recipe.splitlines())) <= 120


@makefiles
def test_the_make_of_macos_finds_programs_of_the_environment(folder):
    """It looks for them in a PATH that a Makefile exports only where the shell is not the usual one."""
    makefile = (folder / "Makefile").read_text()
    assert "\nexport PATH :=" in makefile
    assert "\nSHELL := sh\n" in makefile


@makefiles
def test_a_python_that_only_says_which_versions_there_are_is_passed_over(folder, tmp_path):
    for name, exit_code in {"python3.11": 127, "python3.12": 0, "python3.13": 0}.items():
        write_program(tmp_path, name, exit_code)
    assert first_command(folder, tmp_path).startswith(f'"{tmp_path}/python3.12" ')


@makefiles
def test_where_no_python_works_the_usual_name_is_tried(folder, tmp_path):
    for name in ("python3.11", "python3.12", "python3.13", "python3"):
        write_program(tmp_path, name, 127)
    assert first_command(folder, tmp_path).startswith('"python3" ')
