"""Files that Git keeps by Git LFS: in a commit, each is a short text that points to its content."""

import contextlib
import hashlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from ..errors import GitError, ProjectError
from . import clone_git, first_remote, git
from .objects import bytes_hash, hash_of

_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:[\w.-]+ .*\n)*"
    rb"oid sha256:(?P<oid>[0-9a-f]{64})\n(?:[\w.-]+ .*\n)*"
)
_LONGEST_POINTER = 1024  # bytes; as Git LFS has it
# Git LFS does not run where its filter is empty.
NO_FILTER = {"filter.lfs.process": "", "filter.lfs.required": "false", "filter.lfs.smudge": ""}


def storage(repo: Path, *options: str) -> Path:
    """Return the folder in which Git LFS keeps the contents of a repository's files."""
    common = repo / git(repo, *options, "rev-parse", "--git-common-dir")
    named = git(repo, *options, "config", "--default", "lfs", "lfs.storage")
    return common / named


def object_id(content: bytes) -> str | None:
    """Return the id of the content that a pointer stands for; None if it is no pointer."""
    if len(content) > _LONGEST_POINTER or not content.startswith(b"version https://git-lfs"):
        return None
    pointer = _POINTER.fullmatch(content)
    return pointer["oid"].decode() if pointer else None


def fetch_command(top: Path, commit: str) -> str:
    """Return the command that gets what Git LFS keeps of a commit; `pull` gets the current one alone."""
    if git(top, "rev-parse", "HEAD") == commit:
        return "git lfs pull"
    return f"git lfs fetch {first_remote(top) or 'origin'} {commit[:10]}"


@contextlib.contextmanager
def needing_contents(top: Path | None, commit: str) -> Iterator[None]:
    """Say how to get a content that Git LFS does not find while a commit is checked out in a clone.

    Where the repository is not on this machine, `top` is None, and Git's own error is all that is known.

    Raises:
        ProjectError: Git LFS does not find one.
    """
    try:
        yield
    except GitError as error:
        missing = re.search(r"(?P<file>[^\n]+): smudge filter lfs failed", error.message)
        if not missing or not top:
            raise
        file = missing["file"].rpartition("fatal: ")[2]
        get = fetch_command(top, commit)
        raise ProjectError(f"this machine has only a Git LFS pointer to {file}: `{get}`") from error


def stored_file(folder: Path, oid: str) -> Path | None:
    """Return content by its id, None when this machine does not have it."""
    place = folder / "objects" / oid[:2] / oid[2:4] / oid
    return place if place.is_file() else None


def fill_in(clone: Path, storage_folder: Path) -> list[Path]:
    """Put the contents that this machine has in place of pointers in a clone; Git LFS need not be installed.

    Returns:
        Files that stay pointers, since this machine does not have their contents.
    """
    missing = []
    for name in clone_git(clone, "ls-files", "-z", ":(attr:filter=lfs)").split("\0"):
        path = clone / name
        if not name or not path.is_file() or path.is_symlink():
            continue
        oid = object_id(path.read_bytes()) if path.stat().st_size <= _LONGEST_POINTER else None
        stored = stored_file(storage_folder, oid) if oid else None
        if stored:
            shutil.copyfile(stored, path)
        elif oid:
            missing.append(path)
    return missing


def pointer_hash(path: Path, id_length: int) -> str:
    """Return what Git calls the pointer to a file, in a repository whose ids have so many characters."""
    return _pointer_hash(hash_of(path, "sha256"), path.stat().st_size, id_length)


def pointer_hash_of(content: bytes, id_length: int) -> str:
    """Return the same of a file with this content."""
    return _pointer_hash(hashlib.sha256(content).hexdigest(), len(content), id_length)


def _pointer_hash(oid: str, size: int, id_length: int) -> str:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n".encode()
    return bytes_hash(pointer, id_length)
