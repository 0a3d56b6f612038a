"""Pointers of Git LFS and git-annex.

For some files, Git only tracks a pointer, which is a short text or a link, and Git LFS or git-annex keeps the
content.
"""

import contextlib
import hashlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from ..errors import GitError, ProjectError
from . import clone_git, first_remote, git, split_items
from .objects import bytes_hash, hash_of

_LFS_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:[\w.-]+ .*\n)*"
    rb"oid sha256:(?P<oid>[0-9a-f]{64})\n(?:[\w.-]+ .*\n)*"
)
_LONGEST_LFS_POINTER = 1024  # bytes; Git LFS has the same bound
# With these settings, Git LFS does not run, because its filter is empty.
NO_LFS_FILTER = {"filter.lfs.process": "", "filter.lfs.required": "false", "filter.lfs.smudge": ""}
# The pointer of an unlocked file is a text, and that of any other file is a link with this target.
_ANNEX_POINTER = re.compile(rb"/annex/objects/(?P<key>[^/\n]+)\n?(/annex/[^\n]*\n)*")
_ANNEX_LINK = re.compile(rb"(?:[^\n]*/)?\.git/annex/objects/(?:[^/\n]+/)*(?P<key>[^/\n]+)")
_LONGEST_ANNEX_POINTER = 32 * 1024  # bytes
# The characters in the names of git-annex's folders.
_ANNEX_CHARACTERS = "0123456789zqjxkmvwgpfZQJXKMVWGPF"


def lfs_storage(repo: Path, *options: str) -> Path:
    """Return the folder in which Git LFS keeps the contents of a repository's files.

    Args:
        repo: a folder of the repository.
        options: options of Git, such as `WITHOUT_CHECKOUT`.
    """
    common = repo / git(repo, *options, "rev-parse", "--git-common-dir")
    return common / git(repo, *options, "config", "--default", "lfs", "lfs.storage")


def lfs_id(content: bytes) -> str | None:
    """Return the id of the content that a Git LFS pointer stands for; None if `content` is not a pointer."""
    if len(content) > _LONGEST_LFS_POINTER or not content.startswith(b"version https://git-lfs"):
        return None
    pointer = _LFS_POINTER.fullmatch(content)
    return pointer["oid"].decode() if pointer else None


def lfs_size(pointer: bytes) -> int | None:
    """Return the size in a Git LFS pointer, in bytes; None if it has none, or `pointer` is not a pointer."""
    if not lfs_id(pointer):
        return None
    size = re.search(rb"^size (\d+)$", pointer, re.MULTILINE)
    return int(size[1]) if size else None


def lfs_fetch_command(top: Path, commit: str) -> str:
    """Return the command that fetches a commit's files from Git LFS; `pull` only gets those of HEAD."""
    if git(top, "rev-parse", "HEAD") == commit:
        return "git lfs pull"
    return f"git lfs fetch {first_remote(top) or 'origin'} {commit[:10]}"


@contextlib.contextmanager
def needing_lfs_contents(top: Path | None, commit: str) -> Iterator[None]:
    """Wrap the checkout of a commit in a clone: if Git LFS cannot find a file, say how to get it.

    Args:
        top: the root of the user's checkout; None if that is not on this machine, and then Git's own error is
            raised.
        commit: the commit that is checked out.

    Raises:
        ProjectError: Git LFS cannot find a file.
    """
    try:
        yield
    except GitError as error:
        missing = re.search(r"(?P<file>[^\n]+): smudge filter lfs failed", error.message)
        if not missing or not top:
            raise
        file = missing["file"].rpartition("fatal: ")[2]
        command = lfs_fetch_command(top, commit)
        raise ProjectError(f"this machine has only a Git LFS pointer to {file}: `{command}`") from error


def lfs_file(folder: Path, oid: str) -> Path | None:
    """Return the file with a content by its id in Git LFS; None if this machine does not have it.

    Args:
        folder: the folder of Git LFS, as from `lfs_storage`.
        oid: the id, as from `lfs_id`.
    """
    file = folder / "objects" / oid[:2] / oid[2:4] / oid
    return file if file.is_file() else None


def fill_in_lfs(clone: Path, storage_folder: Path) -> list[Path]:
    """Replace the pointers in a clone by the contents that this machine has. Git LFS need not be installed.

    Returns:
        The files that are still pointers, because this machine does not have their contents.
    """
    missing = []
    for name in split_items(clone_git(clone, "ls-files", "-z", ":(attr:filter=lfs)")):
        path = clone / name
        if not path.is_file() or path.is_symlink():
            continue
        oid = lfs_id(path.read_bytes()) if path.stat().st_size <= _LONGEST_LFS_POINTER else None
        stored = lfs_file(storage_folder, oid) if oid else None
        if stored:
            shutil.copyfile(stored, path)
        elif oid:
            missing.append(path)
    return missing


def lfs_pointer_hash(path: Path, id_length: int) -> str:
    """Return the id that Git would give the LFS pointer to a file, for ids of this length."""
    return _lfs_pointer_hash(hash_of(path, "sha256"), path.stat().st_size, id_length)


def lfs_pointer_hash_of(content: bytes, id_length: int) -> str:
    """Return the id that Git would give the LFS pointer to a file with this content."""
    return _lfs_pointer_hash(hashlib.sha256(content).hexdigest(), len(content), id_length)


def _lfs_pointer_hash(oid: str, size: int, id_length: int) -> str:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n".encode()
    return bytes_hash(pointer, id_length)


def annex_key(content: bytes) -> str | None:
    """Return the git-annex key in a blob that is a pointer or a link's target; None for any other blob."""
    if len(content) > _LONGEST_ANNEX_POINTER or b"annex/objects/" not in content:
        return None
    match = _ANNEX_POINTER.fullmatch(content) or _ANNEX_LINK.fullmatch(content)
    return match["key"].decode(errors="surrogateescape") if match else None


def annex_file(common: Path, key: str) -> Path | None:
    """Return the file with a content by its git-annex key; None if this machine does not have it.

    Args:
        common: the `.git` folder that all checkouts of the repository share.
        key: the key, as from `annex_key`.
    """
    hashed = hashlib.md5(key.encode(errors="surrogateescape"), usedforsecurity=False)
    lower = hashed.hexdigest()
    # In a repository with a checkout, the names of the folders are in mixed case; in a bare one, in lower
    # case.
    for folder in (_annex_folders(hashed.digest()), f"{lower[:3]}/{lower[3:6]}"):
        file = common / "annex/objects" / folder / key / key
        if file.is_file():
            return file
    return None


def _annex_folders(digest: bytes) -> str:
    """Return the folders that `git annex examinekey --format='${hashdirmixed}'` prints, from a key's md5."""
    word = int.from_bytes(digest[:4], "little")
    first, second, third, fourth = (_ANNEX_CHARACTERS[(word >> shift) & 31] for shift in (0, 6, 12, 18))
    return f"{second}{first}/{fourth}{third}"


def fill_in_annex(clone: Path, common: Path) -> dict[Path, str]:
    """Replace git-annex's links and pointers in a clone by the contents that this machine has.

    git-annex need not be installed.

    Args:
        clone: Git root of the clone.
        common: the `.git` folder that all checkouts of the original repository share.

    Returns:
        The key of each file whose content this machine does not have.
    """
    missing = {}
    for path, key in _annex_keys(clone).items():
        stored = annex_file(common, key)
        if stored:
            path.unlink()
            shutil.copyfile(stored, path)
        else:
            missing[path] = key
    return missing


def fill_in_annex_for_trials(clone: Path, source: Path | None) -> None:
    """Replace git-annex's links and pointers in a clone for trials, whose changes will be committed.

    Git is told to skip these files, so that it does not commit their contents. A file whose content this
    machine lacks is deleted, because a stage must not read a pointer as its input. DVC then reports the file
    as missing.

    Args:
        clone: Git root of the clone.
        source: a folder of the repository that it was cloned from; None if that is on another machine.
    """
    keys = _annex_keys(clone)
    if keys:
        repo = source or clone
        common = repo / git(repo, "rev-parse", "--git-common-dir")
        for path in fill_in_annex(clone, common):
            path.unlink()
        names = [str(path.relative_to(clone)) for path in keys]
        clone_git(clone, "update-index", "--skip-worktree", "--", *names)


def _annex_keys(clone: Path) -> dict[Path, str]:
    """Return the keys of the files in a clone that git-annex keeps, by path."""
    keys = {}
    for name in split_items(clone_git(clone, "ls-files", "-z")):
        key = _annex_key_at(clone / name)
        if key is not None:
            keys[clone / name] = key
    return keys


def _annex_key_at(path: Path) -> str | None:
    """Return the git-annex key of a link or pointer file; None for any other file."""
    if path.is_symlink():
        return annex_key(bytes(path.readlink()))
    if not path.is_file() or path.stat().st_size > _LONGEST_ANNEX_POINTER:
        return None
    with path.open("rb") as file:
        first = file.read(1)
        return annex_key(first + file.read()) if first == b"/" else None
