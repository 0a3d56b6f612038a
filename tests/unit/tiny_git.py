"""Tiny Git repositories for unit tests."""

import hashlib
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

IDENTITY = {
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
}


def git(folder: Path, *command: str) -> str:
    """Run a Git command as Ada, with no settings of this machine, and return what it prints."""
    settings = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    done = subprocess.run(
        ("git", "-C", str(folder), *command),
        env={**os.environ, **settings, **IDENTITY},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )
    return done.stdout.decode(errors="surrogateescape").strip()


def md5(content: str | bytes) -> str:
    """The hash that DVC knows a file of this content by."""
    data = content if isinstance(content, bytes) else content.encode()
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def write(folder: Path, files: Mapping[str, str | bytes]) -> None:
    """Write files by their path below a folder."""
    for path, content in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content if isinstance(content, bytes) else content.encode())


def commit(folder: Path, files: Mapping[str, str | bytes], message: str = "Next") -> str:
    """Commit files beside what is there already, in a new repository where needed; return the commit."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / ".git").exists():
        git(folder, "init", "--quiet", "--template=")
    write(folder, files)
    git(folder, "add", "--all", "--force")
    git(folder, "commit", "--quiet", "--allow-empty", "-m", message)
    return git(folder, "rev-parse", "HEAD")


def experiment(folder: Path, files: Mapping[str, str | bytes], name: str) -> str:
    """Make a commit of these files an experiment of the current commit, under its name; return its commit."""
    head = git(folder, "rev-parse", "HEAD")
    rev = commit(folder, files, name)
    git(folder, "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/{name}", rev)
    git(folder, "reset", "--quiet", "--hard", head)
    return rev


def identify(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Git know Ada as the user, by a file in a folder and no other settings of this machine."""
    write(folder, {"gitconfig": "[user]\nname = Ada\nemail = ada@example.org\n"})
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(folder / "gitconfig"))
