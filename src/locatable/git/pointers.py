"""Files that Git keeps by a pointer, a short text or a link: Git LFS or git-annex has the content."""

import contextlib
import hashlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from ..errors import GitError, ProjectError
from . import clone_git, first_remote, git
from .objects import bytes_hash, hash_of

_LFS_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:[\w.-]+ .*\n)*"
    rb"oid sha256:(?P<oid>[0-9a-f]{64})\n(?:[\w.-]+ .*\n)*"
)
_LONGEST_LFS_POINTER = 1024  # bytes; as Git LFS has it
# Git LFS does not run where its filter is empty.
NO_LFS_FILTER = {"filter.lfs.process": "", "filter.lfs.required": "false", "filter.lfs.smudge": ""}
# As git-annex has it; of a file that is unlocked, Git has the text, of any other the link.
_ANNEX_POINTER = re.compile(rb"/annex/objects/(?P<key>[^/\n]+)\n?(/annex/[^\n]*\n)*")
_ANNEX_LINK = re.compile(rb"(?:[^\n]*/)?\.git/annex/objects/(?:[^/\n]+/)*(?P<key>[^/\n]+)")
_LONGEST_ANNEX_POINTER = 32 * 1024  # bytes
# Characters of the names of folders.
_ANNEX_CHARACTERS = "0123456789zqjxkmvwgpfZQJXKMVWGPF"


def lfs_storage(repo: Path, *options: str) -> Path:
    """Return the folder in which Git LFS keeps the contents of a repository's files."""
    common = repo / git(repo, *options, "rev-parse", "--git-common-dir")
    named = git(repo, *options, "config", "--default", "lfs", "lfs.storage")
    return common / named


def lfs_id(content: bytes) -> str | None:
    """Return the id of the content that a pointer stands for; None if it is no pointer."""
    if len(content) > _LONGEST_LFS_POINTER or not content.startswith(b"version https://git-lfs"):
        return None
    pointer = _LFS_POINTER.fullmatch(content)
    return pointer["oid"].decode() if pointer else None


def lfs_size(pointer: bytes) -> int | None:
    """Return the number of bytes that a pointer stands for; None if it is no pointer, or does not say."""
    size = re.search(rb"^size (\d+)$", pointer, re.MULTILINE) if lfs_id(pointer) else None
    return int(size[1]) if size else None


def lfs_fetch_command(top: Path, commit: str) -> str:
    """Return the command that gets what Git LFS keeps of a commit; `pull` gets the current one alone."""
    if git(top, "rev-parse", "HEAD") == commit:
        return "git lfs pull"
    return f"git lfs fetch {first_remote(top) or 'origin'} {commit[:10]}"


@contextlib.contextmanager
def needing_lfs_contents(top: Path | None, commit: str) -> Iterator[None]:
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
        get = lfs_fetch_command(top, commit)
        raise ProjectError(f"this machine has only a Git LFS pointer to {file}: `{get}`") from error


def lfs_file(folder: Path, oid: str) -> Path | None:
    """Return content by its id, None when this machine does not have it."""
    place = folder / "objects" / oid[:2] / oid[2:4] / oid
    return place if place.is_file() else None


def fill_in_lfs(clone: Path, storage_folder: Path) -> list[Path]:
    """Put the contents that this machine has in place of pointers in a clone; Git LFS need not be installed.

    Returns:
        Files that stay pointers, since this machine does not have their contents.
    """
    missing = []
    for name in clone_git(clone, "ls-files", "-z", ":(attr:filter=lfs)").split("\0"):
        path = clone / name
        if not name or not path.is_file() or path.is_symlink():
            continue
        oid = lfs_id(path.read_bytes()) if path.stat().st_size <= _LONGEST_LFS_POINTER else None
        stored = lfs_file(storage_folder, oid) if oid else None
        if stored:
            shutil.copyfile(stored, path)
        elif oid:
            missing.append(path)
    return missing


def lfs_pointer_hash(path: Path, id_length: int) -> str:
    """Return what Git calls the pointer to a file, in a repository whose ids have so many characters."""
    return _lfs_pointer_hash(hash_of(path, "sha256"), path.stat().st_size, id_length)


def lfs_pointer_hash_of(content: bytes, id_length: int) -> str:
    """Return the same of a file with this content."""
    return _lfs_pointer_hash(hashlib.sha256(content).hexdigest(), len(content), id_length)


def _lfs_pointer_hash(oid: str, size: int, id_length: int) -> str:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n".encode()
    return bytes_hash(pointer, id_length)


def annex_key(content: bytes) -> str | None:
    """Return the key that a blob names, as a link's target or as text; None if it is neither."""
    if len(content) > _LONGEST_ANNEX_POINTER or b"annex/objects/" not in content:
        return None
    found = _ANNEX_POINTER.fullmatch(content) or _ANNEX_LINK.fullmatch(content)
    return found["key"].decode(errors="surrogateescape") if found else None


def annex_file(common: Path, key: str) -> Path | None:
    """Return content by its key, None when this machine does not have it."""
    name = key.encode(errors="surrogateescape")
    hashed = hashlib.md5(name, usedforsecurity=False)
    lower = hashed.hexdigest()
    # Work trees have folders of mixed case, bare repositories those of lower case.
    for folder in (_annex_folders(hashed.digest()), f"{lower[:3]}/{lower[3:6]}"):
        place = common / "annex/objects" / folder / key / key
        if place.is_file():
            return place
    return None


def _annex_folders(digest: bytes) -> str:
    """Return the folders of mixed case, as `git annex examinekey --format='${hashdirmixed}'` has them."""
    word = int.from_bytes(digest[:4], "little")
    first, second, third, fourth = (_ANNEX_CHARACTERS[(word >> shift) & 31] for shift in (0, 6, 12, 18))
    return f"{second}{first}/{fourth}{third}"


def fill_in_annex(clone: Path, common: Path) -> dict[Path, str]:
    """Put the contents that this machine has in place of links and pointers; git-annex need not be installed.

    Returns:
        The key of each file whose content this machine does not have.
    """
    missing = {}
    for path, key in _annexed(clone).items():
        stored = annex_file(common, key)
        if stored:
            path.unlink()
            shutil.copyfile(stored, path)
        else:
            missing[path] = key
    return missing


def fill_in_annex_for_trials(clone: Path, source: Path | None) -> None:
    """Do the same in a clone whose changes are committed: Git is to leave the contents alone.

    A file whose content is not here is taken away, so that DVC misses it: a pointer is no input of a stage.

    Args:
        clone: Git root of a clone.
        source: a folder of the repository that it is a clone of, None where that is on another machine.
    """
    annexed = _annexed(clone)
    if annexed:
        repo = source or clone
        common = repo / git(repo, "rev-parse", "--git-common-dir")
        for path in fill_in_annex(clone, common):
            path.unlink()
        names = [str(path.relative_to(clone)) for path in annexed]
        clone_git(clone, "update-index", "--skip-worktree", "--", *names)


def _annexed(clone: Path) -> dict[Path, str]:
    """Return key by path of what git-annex keeps of a clone."""
    keys = {}
    for name in filter(None, clone_git(clone, "ls-files", "-z").split("\0")):
        key = _annex_key_at(clone / name)
        if key is not None:
            keys[clone / name] = key
    return keys


def _annex_key_at(path: Path) -> str | None:
    if path.is_symlink():
        return annex_key(bytes(path.readlink()))
    if not path.is_file() or path.stat().st_size > _LONGEST_ANNEX_POINTER:
        return None
    with path.open("rb") as file:
        first = file.read(1)
        return annex_key(first + file.read()) if first == b"/" else None
