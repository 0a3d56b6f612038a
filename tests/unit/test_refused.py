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
