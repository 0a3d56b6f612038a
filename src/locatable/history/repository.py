"""What a snapshot must know of its repository, and how it reads its files."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from .blob_hashes import BlobHashes
from .objects import GitObjects
from .pipelines import Pipelines


class Repository(Protocol):
    """What a snapshot must know of its repository; a `Reader` is one."""

    top: Path
    root: Path
    prefix: str
    objects: GitObjects
    hashes: BlobHashes
    pipelines: Pipelines

    @property
    def lfs(self) -> Path:
        """Folder of Git LFS."""

    @property
    def has_annex(self) -> bool:
        """Whether git-annex keeps files."""

    def cached_file(self, md5: str) -> Path | None:
        """A file of the DVC cache by its hash."""

    def folder_files(self, path: str, entry: Mapping[str, Any]) -> dict[str, str]:
        """Hashes by path of the files of a cached folder."""

    def hidden_files(self, rev: str, tree: str, paths: Collection[str]) -> frozenset[str]:
        """Those of some files that `.dvcignore` hides."""


class BlobContents(Mapping[str, bytes]):
    """Content of files by path, read when it is asked for.

    Args:
        objects: to read from.
        blobs: ids by path.
    """

    def __init__(self, objects: GitObjects, blobs: Mapping[str, str]) -> None:
        self._objects = objects
        self._blobs = blobs

    def __getitem__(self, path: str) -> bytes:
        return self._objects.blob(self._blobs[path])

    def __iter__(self) -> Iterator[str]:
        return iter(self._blobs)

    def __len__(self) -> int:
        return len(self._blobs)
