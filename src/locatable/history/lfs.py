"""How Git names what Git LFS keeps for it."""

import hashlib
from pathlib import Path

from .hashes import bytes_hash, hash_of


def pointer_hash(path: Path, id_length: int) -> str:
    """What Git calls the pointer to a file, in a repository whose ids have so many characters."""
    return _pointer_hash(hash_of(path, "sha256"), path.stat().st_size, id_length)


def pointer_hash_of(content: bytes, id_length: int) -> str:
    """The same of a file with this content."""
    return _pointer_hash(hashlib.sha256(content).hexdigest(), len(content), id_length)


def _pointer_hash(oid: str, size: int, id_length: int) -> str:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n".encode()
    return bytes_hash(pointer, id_length)
