"""What a snapshot must know of its repository."""

from collections.abc import Collection, Mapping
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
