"""Files that Git keeps by Git LFS: in a commit, each is a short text that points to its content."""

import re
from pathlib import Path

from ..git import git
from .hashes import bytes_hash, hash_of

_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:[\w.-]+ .*\n)*"
    rb"oid sha256:(?P<oid>[0-9a-f]{64})\n(?:[\w.-]+ .*\n)*"
)
_LONGEST_POINTER = 1024  # bytes; as Git LFS has it


def storage(repo: Path) -> Path:
    """The folder in which Git LFS keeps the contents of a repository's files."""
    common = repo / git(repo, "rev-parse", "--git-common-dir")
    named = git(repo, "config", "--default", "lfs", "lfs.storage")
    return common / named


def object_id(content: bytes) -> str | None:
    """The id of the content that a pointer stands for; None if it is no pointer."""
    if len(content) > _LONGEST_POINTER or not content.startswith(b"version https://git-lfs"):
        return None
    pointer = _POINTER.fullmatch(content)
    return pointer["oid"].decode() if pointer else None


def stored_file(folder: Path, oid: str) -> Path | None:
    """Content by its id, None when this machine does not have it.

    Args:
        folder: see `storage`.
        oid: the id.
    """
    place = folder / "objects" / oid[:2] / oid[2:4] / oid
    return place if place.is_file() else None


def pointer_hash(path: Path, id_length: int) -> str:
    """What Git calls the pointer to a file, in a repository whose ids have so many characters."""
    size = path.stat().st_size
    oid = hash_of(path, "sha256")
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n".encode()
    return bytes_hash(pointer, id_length)
