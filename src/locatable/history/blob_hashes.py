"""What DVC calls the files that Git keeps."""

import hashlib
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

from ..git_annex import key_of
from .objects import GitObjects

_CHUNK = 1 << 20  # bytes that are hashed at a time
# DVC takes a file for text if in so many bytes at its beginning, or of each chunk, few are none of text.
_TEXT_BLOCK = 512
_TEXT = bytes(range(32, 127)) + b"\n\r\t\f\b"
_MOST_OTHERS = 0.3
# What Git LFS commits in place of a file.
_LFS_POINTER = b"version https://git-lfs"


class HashKind(Enum):
    """How DVC hashes a file: since DVC 3 its bytes; before, text as if its lines ended with LF."""

    MD5 = "md5"
    MD5_OF_TEXT = "md5-dos2unix"

    @classmethod
    def of_entry(cls, entry: Mapping[str, Any]) -> "HashKind":
        """The kind of the hash in an entry of a lock or a `.dvc` file."""
        return cls.MD5 if "hash" in entry else cls.MD5_OF_TEXT


class BlobHashes:
    """What DVC calls the files that Git keeps; each is hashed once.

    Args:
        objects: of the Git repository.
    """

    def __init__(self, objects: GitObjects) -> None:
        self._objects = objects
        self._known: dict[tuple[str, HashKind], str | None] = {}

    def of_blob(self, blob: str, kind: HashKind) -> str | None:
        """Hash of a file by the id of its blob; None where Git LFS or git-annex keeps the file."""
        self.load([blob], kind)
        return self._known[blob, kind]

    def load(self, blobs: Iterable[str], kind: HashKind) -> None:
        """Hash files that will be asked for: together, they are read far quicker than one by one."""
        unread = [blob for blob in blobs if (blob, kind) not in self._known]
        if unread:
            for blob, content in self._objects.blobs(unread).items():
                is_pointer = content.startswith(_LFS_POINTER) or key_of(content) is not None
                self._known[blob, kind] = None if is_pointer else content_hash(content, kind)


def content_hash(content: bytes, kind: HashKind) -> str:
    """The hash by which DVC knows this content of a file."""
    hashed = hashlib.md5(usedforsecurity=False)
    for start in range(0, len(content), _CHUNK):
        chunk = content[start : start + _CHUNK]
        if kind is HashKind.MD5_OF_TEXT and _is_text(chunk[:_TEXT_BLOCK]):
            chunk = chunk.replace(b"\r\n", b"\n")
        hashed.update(chunk)
    return hashed.hexdigest()


def _is_text(block: bytes) -> bool:
    others = block.translate(None, _TEXT)
    return b"\0" not in block and len(others) <= _MOST_OTHERS * len(block)
