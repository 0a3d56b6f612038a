"""Runs Git, wherever it is called from."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import tiny_git

from locatable import git as git_module
from locatable.errors import GitError
from locatable.git import git, ignore_locally, main_checkout, refs_stamp, remote_url, top_folder


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A Git repository with one commit."""
    folder = tmp_path / "repo"
    tiny_git.commit(folder, {"a/b.txt": "text\n"})
    return folder


def test_a_command_answers_without_its_last_line_break(repo: Path) -> None:
    (repo / "c").write_text("text\n\n")
    git(repo, "add", "c")
    assert (git(repo, "ls-files"), git(repo, "show", "HEAD:a/b.txt")) == ("a/b.txt\nc", "text")
    assert git(repo, "show", ":c") == "text\n"


def test_a_command_reads_text(repo: Path) -> None:
    assert git(repo, "hash-object", "--stdin", text="") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"


def test_names_that_are_not_utf8_survive(repo: Path) -> None:
    name = b"\xff.txt".decode(errors="surrogateescape")
    blob = git(repo, "rev-parse", "HEAD:a/b.txt")
    git(repo, "update-index", "--index-info", text=f"100644 {blob}\t{name}\n")
    assert name in git(repo, "ls-files", "-z").split("\0")


def test_a_refusal_says_which_command_and_why_and_keeps_all_that_git_said(tmp_path: Path) -> None:
    expected = r"^git rev-parse: fatal: not a git repository \(or any of the parent directories\): .git$"
    with pytest.raises(GitError, match=expected) as refusal:
        git(tmp_path, "rev-parse", "HEAD")
    assert refusal.value.stderr.startswith("fatal: ")


def test_a_silent_refusal_tells_its_exit_code(repo: Path) -> None:
    with pytest.raises(GitError, match=r"^git rev-parse: exit code 1$"):
        git(repo, "rev-parse", "--verify", "--quiet", "nowhere")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            "fatal: detected dubious ownership\nTo add an exception, call:\n\n\tgit config ...\nhint: no\n",
            "fatal: detected dubious ownership",
        ),
        (
            "fatal: write error: No space left on device\nerror: pack-objects died\n",
            "fatal: write error: No space left on device",
        ),
    ],
    ids=["advice after it", "a full disk"],
)
def test_of_all_that_git_says_the_reason_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str, reason: str
) -> None:
    refused = subprocess.CompletedProcess((), 128, b"", said.encode())
    monkeypatch.setattr(git_module.subprocess, "run", lambda *_, **__: refused)
    with pytest.raises(GitError, match=rf"^git status: {reason}$"):
        git(tmp_path, "status")


def test_a_reason_is_whole_where_it_goes_on_in_the_next_line(repo: Path) -> None:
    tiny_git.git(repo, "config", "core.repositoryFormatVersion", "1")
    tiny_git.git(repo, "config", "extensions.neverKnown", "true")
    with pytest.raises(
        GitError, match=r"^git status: fatal: unknown repository extension found: neverknown$"
    ):
        git(repo, "status")


def test_a_machine_without_git_is_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GitError, match=r"^Git is not installed, or not on the PATH$"):
        git(tmp_path, "status")


def test_a_hook_of_another_repository_does_not_mislead(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", "/nowhere/.git")
    monkeypatch.setenv("GIT_INDEX_FILE", "/nowhere/index")
    assert git(repo, "status", "--porcelain") == ""


def test_no_variable_that_names_a_repository_reaches_git(repo: Path) -> None:
    local = set(git(repo, "rev-parse", "--local-env-vars").split())
    # These hold settings, which a user may want for every repository.
    settings = {name for name in local if name.startswith("GIT_CONFIG")}
    assert local - settings <= set(git_module.REPOSITORY_VARIABLES)


def test_other_variables_reach_git_but_for_what_hides_contents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Grace")
    monkeypatch.setenv("GIT_LFS_SKIP_SMUDGE", "1")
    assert git_module.environment()["GIT_AUTHOR_NAME"] == "Grace"
    assert "GIT_LFS_SKIP_SMUDGE" not in git_module.environment()


def test_a_folder_in_a_repository_is_in_its_main_checkout(repo: Path) -> None:
    assert (top_folder(repo / "a"), main_checkout(repo / "a")) == (repo, repo / "a")


def test_the_main_checkout_of_a_folder_in_a_linked_worktree(repo: Path, tmp_path: Path) -> None:
    tiny_git.git(repo, "worktree", "add", "--quiet", str(tmp_path / "linked"))
    assert main_checkout(tmp_path / "linked/a") == repo / "a"


def test_the_main_checkout_where_a_bare_repository_has_none(repo: Path, tmp_path: Path) -> None:
    tiny_git.git(tmp_path, "clone", "--quiet", "--bare", str(repo), "bare.git")
    tiny_git.git(tmp_path / "bare.git", "worktree", "add", "--quiet", str(tmp_path / "linked"))
    assert main_checkout(tmp_path / "linked") == tmp_path / "linked"


@pytest.mark.parametrize(
    ("remotes", "shown"),
    [((), None), (("another", "origin"), "origin"), (("another",), "another")],
)
def test_the_url_is_that_of_origin_or_of_the_only_remote(
    repo: Path, remotes: tuple[str, ...], shown: str | None
) -> None:
    for name in remotes:
        tiny_git.git(repo, "remote", "add", name, f"https://example.org/{name}.git")
    assert remote_url(repo) == (shown and f"https://example.org/{shown}.git")


def test_objects_are_read_from_the_repository_around(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", os.devnull)
    process = git_module.start_object_reader(repo / "a")
    answer, _ = process.communicate(b"HEAD:a/b.txt\n")
    assert answer.endswith(b" blob 5\ntext\n\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a checkout to another user")
def test_the_checkout_of_another_user_is_refused_with_gits_advice(tmp_path, monkeypatch):
    folder = tmp_path / "theirs"
    tiny_git.commit(folder, {"file.txt": "text"})
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SUDO_UID", raising=False)
    for path in (folder, folder / ".git"):
        os.chown(path, 12345, 12345)
    advice = re.escape(f"; git config --global --add safe.directory {folder}")
    with pytest.raises(GitError, match=rf"^git rev-parse: fatal: detected dubious ownership .*{advice}$"):
        git(folder, "rev-parse", "HEAD")


@pytest.mark.parametrize("name", ["optuna.db", "a/mlflow.db", "a/[b]*.db", "a/b c.db"])
def test_git_ignores_a_file_of_ours_in_this_clone_alone(repo: Path, name: str) -> None:
    (repo / name).touch()
    (repo / f"{name}-journal").touch()
    ignore_locally(repo / name)
    assert git(repo, "status", "--porcelain") == ""


def test_a_file_is_left_out_once(repo: Path) -> None:
    (repo / "new.db").touch()
    for _ in range(2):
        ignore_locally(repo / "new.db")
    assert (repo / ".git/info/exclude").read_text().count("new.db") == 1


def test_a_file_that_git_tracks_stays_tracked(repo: Path) -> None:
    (repo / "a/b.txt").write_text("changed\n")
    ignore_locally(repo / "a/b.txt")
    assert git(repo, "status", "--porcelain") == " M a/b.txt"


def test_a_file_is_left_out_of_a_linked_worktree(repo: Path, tmp_path: Path) -> None:
    git(repo, "worktree", "add", "--quiet", str(tmp_path / "linked"))
    (tmp_path / "linked/new.db").touch()
    ignore_locally(tmp_path / "linked/new.db")
    assert git(tmp_path / "linked", "status", "--porcelain") == ""


def test_a_file_outside_of_repositories_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "new.db").touch()
    ignore_locally(tmp_path / "new.db")
    assert [path.name for path in tmp_path.iterdir()] == ["new.db"]


@pytest.mark.parametrize(
    "command",
    [
        ("commit", "--quiet", "--allow-empty", "-m", "Next"),
        ("tag", "v1"),
        ("checkout", "--quiet", "--detach"),
        ("update-ref", "refs/exps/aa/bb/forest", "HEAD"),
        ("update-ref", "-d", "refs/exps/aa/cc/gone"),
        ("pack-refs", "--all"),
    ],
    ids=" ".join,
)
def test_the_stamp_of_refs_changes_with_each_of_them(tmp_path: Path, command: tuple[str, ...]) -> None:
    tiny_git.commit(tmp_path, {"a": ""})
    tiny_git.git(tmp_path, "update-ref", "refs/exps/aa/cc/gone", "HEAD")
    before = refs_stamp(tmp_path)
    assert refs_stamp(tmp_path) == before
    tiny_git.git(tmp_path, *command)
    assert refs_stamp(tmp_path) != before
