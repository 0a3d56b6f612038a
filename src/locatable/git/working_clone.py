"""Clones of a repository to work in, where nothing that a user has set up for their own commits acts."""

import os
from collections.abc import Mapping
from pathlib import Path

from ..errors import GitError
from . import git

# Hooks, signatures and daemons are meant for the user's own work. In a clone they could stop what we do, or
# change what is in it. DVC's Git library reads no split index, and none without a checksum.
SETTINGS = {
    "commit.gpgSign": "false",
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.splitIndex": "false",
    "index.skipHash": "false",
    "push.gpgSign": "false",
    "push.recurseSubmodules": "no",
    "submodule.recurse": "false",
}
# How Git converts files; a user can have set it for one checkout alone.
CONVERSIONS = r"^(core\.(autocrlf|eol)|filter\.lfs\.(clean|process|required|smudge))$"


def make_clone(source: Path | str, folder: Path, *options: str) -> None:
    """Clone a repository, and check nothing out yet.

    Args:
        source: a folder of this machine, or a URL.
        folder: where to; it is empty, or not there.
        options: of `git clone`.

    Raises:
        GitError: Git refused.
    """
    settings = {**SETTINGS, **_conversions(source)}
    # They are also written into the clone: DVC, and stages, can use Git there.
    written = [f"--config={name}={value}" for name, value in settings.items()]
    command = ["clone", "--quiet", "--no-checkout", "--template=", *written, *options]
    git(folder.parent, *command, str(source), str(folder), settings=_allowing(source))


def clone_git(
    folder: Path, *command: str, text: str | None = None, settings: Mapping[str, str] | None = None
) -> str:
    """Return what a Git command prints that runs in a clone.

    Variables of the environment can hold settings, too, and they count more than those of a repository.

    Args:
        folder: of the clone.
        command: what comes after `git`.
        text: what it reads from its standard input.
        settings: more of Git's settings, for this command alone.

    Raises:
        GitError: Git refused.
    """
    return git(folder, *command, text=text, settings={**_allowing(folder), **(settings or {})})


def _allowing(source: Path | str) -> dict[str, str]:
    """Return the settings for a command that reads from, or pushes to, a repository."""
    # A user can forbid Git to clone from folders, as submodules of strangers may ask it to.
    return {**SETTINGS, "protocol.file.allow": "always"} if isinstance(source, Path) else SETTINGS


def _conversions(source: Path | str) -> dict[str, str]:
    """Return settings of a checkout without which files of a clone would have other bytes."""
    if not isinstance(source, Path):
        return {}
    try:
        listed = git(source, "config", "-z", "--get-regexp", CONVERSIONS)
    except GitError:
        return {}  # there are none
    entries = [entry.partition("\n") for entry in listed.split("\0") if entry]
    # Of several files that say something, the last one counts.
    return {name: value for name, _, value in entries}
