"""How Git names what Git LFS keeps for it."""

from pathlib import Path

from .hashes import bytes_hash, hash_of


def pointer_hash(path: Path, id_length: int) -> str:
    """What Git calls the pointer to a file, in a repository whose ids have so many characters."""
    size = path.stat().st_size
    oid = hash_of(path, "sha256")
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n".encode()
    return bytes_hash(pointer, id_length)
