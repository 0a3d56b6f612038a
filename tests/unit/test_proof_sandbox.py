"""What a stage sees in the sandbox, and what bubblewrap is told to hide."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_dvc
import tiny_git
import yaml
from tiny_proof import proof

from locatable.clones.params_text import keep_only
from locatable.proof.sandbox import (
    LIMITS,
    Sandbox,
    allowed_limits,
    hidden_folders,
    isolation_command,
    make_sandbox,
)


@pytest.fixture
def sandbox(tmp_path, monkeypatch) -> Sandbox:
    """A sandbox beside a user's checkout with an environment in it."""
    for folder in ("work", "env/bin", "checkout/.venv/bin", "home/tools/bin", "home/scripts"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "env/bin/python").symlink_to(sys.executable)
    path = [tmp_path / "checkout/.venv/bin", tmp_path / "home/tools/bin", tmp_path / "home/scripts"]
    monkeypatch.setenv("PATH", os.pathsep.join([*map(str, path), "/usr/bin"]))
    hidden = (tmp_path / "checkout", tmp_path / "home", tmp_path / "not there")
    return Sandbox(tmp_path / "work", tmp_path / "env/bin", tmp_path / "checkout", hidden, LIMITS)


def arguments(command: list[str], option: str) -> list[str]:
    """The first argument of each occurrence of an option."""
    return [command[at + 1] for at, part in enumerate(command) if part == option]


def isolation(sandbox: Sandbox, **options: Path) -> list[str]:
    """What stands before a command of a stage."""
    folder = sandbox.work / "run"
    return isolation_command(sandbox, folder, folder / "tree/sub", **options)


def shown(sandbox: Sandbox) -> list[str]:
    """The folders that a stage sees, and cannot change."""
    return arguments(isolation(sandbox), "--ro-bind")


def test_hidden_folders_that_exist_are_empty_ones(sandbox):
    assert arguments(isolation(sandbox), "--tmpfs")[-2:] == [str(sandbox.hidden[0]), str(sandbox.hidden[1])]


def test_an_active_environment_is_none_of_the_programs_of_a_fresh_one(sandbox, tmp_path, monkeypatch):
    monkeypatch.setenv("CONDA_PREFIX", str(tmp_path / "home/tools"))
    assert str(tmp_path / "home/tools/bin") not in shown(sandbox)


def test_an_active_environment_belongs_to_the_current_one(sandbox, tmp_path, monkeypatch):
    monkeypatch.setenv("CONDA_PREFIX", str(tmp_path / "home/tools"))
    current = replace(sandbox, programs=Path(sys.prefix) / "bin")
    assert str(tmp_path / "home/tools/bin") in shown(current)


@pytest.mark.parametrize("option", ["--unshare-net", "--die-with-parent"])
def test_there_is_no_network_and_a_stage_ends_with_the_proof(sandbox, option):
    assert option in isolation(sandbox)


@pytest.mark.parametrize(("option", "folder"), [("--bind", "run"), ("--chdir", "run/tree/sub")])
def test_only_the_folder_of_the_run_can_be_written_to_and_a_stage_runs_in_it(sandbox, option, folder):
    assert arguments(isolation(sandbox), option) == [str(sandbox.work / folder)]


def test_the_environment_of_the_proof_is_shown_and_not_the_root_of_the_machine(sandbox):
    assert str(sandbox.programs.parent) in shown(sandbox)
    assert "/" not in shown(sandbox)


def test_an_environment_that_was_made_by_the_python_of_another_is_shown_with_it(sandbox, tmp_path):
    (tmp_path / "home/first/bin").mkdir(parents=True)
    (tmp_path / "home/first/bin/python3").symlink_to(sys.executable)
    (sandbox.programs / "python").unlink()
    (sandbox.programs / "python").symlink_to(tmp_path / "home/first/bin/python3")
    assert str(tmp_path / "home/first/bin") in shown(sandbox)


def test_the_environment_of_the_user_is_not_shown(sandbox):
    assert not [folder for folder in shown(sandbox) if folder.startswith(str(sandbox.user_top))]


def test_a_folder_of_programs_is_shown_without_the_files_of_a_user_beside_it(sandbox, tmp_path):
    assert str(tmp_path / "home/tools/bin") in shown(sandbox)
    assert str(tmp_path / "home/tools") not in shown(sandbox)


def test_installed_software_is_shown_with_its_folder_of_programs(sandbox, tmp_path):
    (tmp_path / "home/tools/conda-meta").mkdir()
    assert str(tmp_path / "home/tools") in shown(sandbox)


def test_installed_software_that_a_link_on_the_path_leads_to_is_shown(sandbox, tmp_path):
    software = tmp_path / "home/share/tool"
    (software / "bin").mkdir(parents=True)
    (software / "bin/tool").touch()
    (software / "pyvenv.cfg").touch()
    (tmp_path / "home/scripts/tool").symlink_to(software / "bin/tool")
    assert str(software) in shown(sandbox)


def test_a_folder_of_programs_that_is_a_link_is_shown_by_both_names(sandbox, tmp_path):
    (tmp_path / "linked").symlink_to(tmp_path / "env/bin")
    linked = replace(sandbox, programs=tmp_path / "linked")
    assert {str(tmp_path / "linked"), str(tmp_path / "env/bin")} <= set(shown(linked))


def test_a_home_on_the_path_stays_hidden(sandbox, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "home"))
    assert str(tmp_path / "home") not in shown(sandbox)


def test_shown_folders_come_after_the_folders_that_hide_them(sandbox, tmp_path):
    command = isolation(sandbox)
    assert command.index(str(tmp_path / "home")) < command.index(str(tmp_path / "home/tools/bin"))


def test_another_count_of_processors_is_shown_in_place_of_the_machines(sandbox):
    command = isolation(sandbox, online_cpus=sandbox.work / "online")
    assert arguments(command, "--ro-bind")[-1] == str(sandbox.work / "online")


def test_the_checkout_the_cache_and_the_home_are_hidden(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    hidden = hidden_folders(tmp_path / "checkout", tmp_path / "cache")
    assert hidden[:3] == (tmp_path / "checkout", tmp_path / "cache", tmp_path / "home")


def test_the_root_of_the_machine_cannot_be_hidden(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/")
    assert Path("/") not in hidden_folders(tmp_path, tmp_path)


def test_a_machine_without_bubblewrap_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert allowed_limits() == ((), "bubblewrap is not installed")


@pytest.fixture
def refused(sandbox, tmp_path, monkeypatch) -> Sandbox:
    """A sandbox on a machine whose bubblewrap may not do anything."""
    program = tmp_path / "refused/bwrap"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho no namespaces for you >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return sandbox


@pytest.mark.usefixtures("refused")
def test_a_machine_that_does_not_allow_bubblewrap_says_why():
    assert allowed_limits() == ((), "bubblewrap is not allowed here (no namespaces for you)")


def test_without_bubblewrap_the_sandbox_is_a_folder(refused):
    made, isolation = make_sandbox(refused.work, refused.programs, refused.user_top, refused.work, {})
    assert not made.limits
    assert isolation.startswith("folders only, a stage can read and write what you can: ")


def test_params_are_cut_to_the_declared_keys():
    values = {"train": {"lr": 0.1, "depth": 3}, "seed": 1}
    keep_only(values, [["train", "lr"]])
    assert values == {"train": {"lr": 0.1}}


def test_a_declared_section_is_kept_whole():
    values = {"train": {"lr": 0.1, "depth": 3}, "seed": 1}
    keep_only(values, [["train"], ["train", "lr"]])
    assert values == {"train": {"lr": 0.1, "depth": 3}}


def test_a_key_that_is_a_number_in_yaml_is_found():
    values = {1: "one", 2: "two"}
    keep_only(values, [["1"]])
    assert values == {1: "one"}


PARAMS = "train:\n  country: 'no'  # Norway\n  at: '12:30'\n  rate: 1.085592917212183e-08\nother: 1\n"
STAGE = {
    "cmd": "cp params.yaml seen.yaml; cp more.py seen.py",
    "params": ["train", {"more.py": ["DEPTH"]}],
    "outs": [{"seen.yaml": {"cache": False}}, {"seen.py": {"cache": False}}],
}


def test_a_stage_sees_the_committed_text_of_what_it_declares(tmp_path):
    root = tmp_path / "project"
    tiny_dvc.init(root)
    more = "DEPTH = 1e-05\nOTHER = 1\n"
    tiny_git.write(
        root, {"params.yaml": PARAMS, "more.py": more, "dvc.yaml": yaml.dump({"stages": {"make": STAGE}})}
    )
    with tiny_dvc.dvc(root) as repo:
        repo.reproduce()
    # As a stage wrote it that saw no more than it declares.
    tiny_git.write(root, {"seen.yaml": PARAMS.removesuffix("other: 1\n")})
    with tiny_dvc.dvc(root) as repo:
        repo.commit("make", force=True)
    tiny_dvc.commit(root)
    report = proof(root)
    assert report.proven
    assert report.seen_whole == {"make": ["more.py"]}
