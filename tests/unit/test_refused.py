"""Machines on which no command can do anything: each says so in one line, which is true."""

import os
import re
import tempfile
from pathlib import Path

import pytest
import tiny_dvc
import tiny_git

from locatable import cli

COMMANDS = ["locate HEAD", "mirror", "search", "reproduce", "declare", "ui"]
SEARCH = "study: s\nmetric: m.json:m\ndirection: minimize\nspace: {x: {type: int, low: 1, high: 9}}\n"
# What commands say before they read the pipeline, and of a commit that DVC refuses.
BEGUN = {"reproduce --env current": "preparing a clean clone\n"}
KIND = {"reproduce --env current": "cannot try: ", "archive HEAD": "cannot try: "}
commands = pytest.mark.parametrize("command", COMMANDS)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that has not run yet; it is the current folder."""
    root = tmp_path / "project"
    tiny_dvc.init(root)
    tiny_git.write(root, {"params.yaml": "x: 1\n", "search.yaml": SEARCH, "m.json": '{"m": 1}'})
    tiny_git.write(root, {"dvc.yaml": "stages:\n  make:\n    cmd: 'true'\n    params: [x]\n"})
    tiny_dvc.commit(root)
    monkeypatch.chdir(root)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SUDO_UID", raising=False)
    return root


def refusal(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """All that a command says that does nothing."""
    assert cli.main(command.split()) != 0
    said = capsys.readouterr()
    assert said.out == ""
    return said.err


@pytest.mark.parametrize("command", [command for command in COMMANDS if command != "declare"])
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a checkout to another user")
def test_the_checkout_of_another_user(
    project: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (project, project / ".git"):
        os.chown(path, 12345, 12345)
    advice = f"git config --global --add safe.directory {project}"
    expected = rf".*detected dubious ownership in repository at '{project}'; {re.escape(advice)}.*\n"
    assert re.fullmatch(expected, refusal(command, capsys))


@commands
def test_a_repository_of_a_newer_git(project: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As one with reftables is for a Git before 2.45."""
    extend(project, "neverKnown")
    expected = {"declare": r"DVC cannot read this repository, .* format neverKnown .*\n"}
    usual = r".*unknown repository extension found:? neverknown\n"
    assert re.fullmatch(expected.get(command, usual), refusal(command, capsys))


@pytest.mark.parametrize("command", ["search", "declare"])
def test_a_repository_that_git_reads_and_dvc_does_not(
    project: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    extend(project, "preciousObjects")
    expected = r"DVC cannot read this repository, .* format preciousObjects .*\n"
    assert re.fullmatch(expected, refusal(command, capsys))


# What a file is made to hold, and DVC's own reason: it raises errors of many types.
OF_DVC = {
    "a date in params": (
        {"params.yaml": "x: 1\nday: 2024-05-01\n"},
        "Unsupported value of type 'date' in 'params.yaml:day'",
    ),
    "a set in params": (
        {"params.yaml": "x: 1\nnames: !!set {a, b}\n"},
        "Unsupported value of type 'set' in 'params.yaml:names'",
    ),
    "params that are no YAML": (
        {"params.yaml": "x: 1\ny: [1\n"},
        "unable to read: 'params.yaml', YAML file structure is corrupted; line 3: .*",
    ),
    "a stage without a command": (
        {"dvc.yaml": "stages:\n  make: {deps: [a]}\n"},
        "dvc.yaml: stages.make.cmd: required key not provided",
    ),
}


readers = pytest.mark.parametrize("command", ["search", "reproduce --env current", "declare", "archive HEAD"])


@readers
@pytest.mark.parametrize(("files", "reason"), OF_DVC.values(), ids=OF_DVC)
def test_what_dvc_refuses(
    project: Path, command: str, files: dict[str, str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_git.write(project, files)
    tiny_git.git(project, "commit", "--quiet", "--all", "-m", "Next")
    expected = f"{BEGUN.get(command, '')}{KIND.get(command, '')}{reason}\n"
    assert re.fullmatch(expected, refusal(command, capsys))


@readers
def test_a_command_that_is_a_mapping(project: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """DVC itself sees it only when it is to run it."""
    tiny_git.write(project, {"dvc.yaml": "stages:\n  make:\n    cmd:\n    - echo level: info\n"})
    tiny_git.git(project, "commit", "--quiet", "--all", "-m", "Next")
    reason = "dvc.yaml: stages.make.cmd: YAML reads {'echo level': 'info'}, .*: put the command in quotes\n"
    assert re.fullmatch(BEGUN.get(command, "") + reason, refusal(command, capsys))


def test_a_reason_of_several_lines_is_told_whole(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stage = "{cmd: ls, outs: [o]}"
    tiny_git.write(project, {"dvc.yaml": f"stages:\n  a: {stage}\n  b: {stage}\n"})
    tiny_git.git(project, "commit", "--quiet", "--all", "-m", "Next")
    reason = "output 'o' is specified in: [ab], [ab]; Use `dvc remove` with any of .*"
    command = "reproduce --env current"
    assert re.fullmatch(f"{BEGUN[command]}{KIND[command]}{reason}\n", refusal(command, capsys))


@pytest.mark.usefixtures("project")
def test_a_folder_for_temporary_files_in_which_no_program_may_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mount with `noexec` is imitated: it takes an administrator."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    mounted = os.statvfs_result((4096, 4096, 1, 1, 1, 1, 1, 1, os.ST_NOEXEC, 255))
    monkeypatch.setattr(os, "statvfs", lambda folder: mounted)
    assert refusal("reproduce --env current", capsys) == (
        f"cannot try: no program may run in {tmp_path} (mounted noexec): "
        "set TMPDIR to a folder of another file system\n"
    )


def extend(repository: Path, name: str) -> None:
    """Give a repository a format that not every program knows."""
    tiny_git.git(repository, "config", "core.repositoryFormatVersion", "1")
    tiny_git.git(repository, "config", f"extensions.{name}", "true")
