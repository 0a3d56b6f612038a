"""What Git and DVC call the content of a file or folder."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

_CHUNK = 1 << 20  # bytes that are read at a time


def md5_of(path: Path) -> str:
    """The hash by which DVC knows a file, or a folder: then it ends with `.dir`."""
    if path.is_file():
        return hash_of(path, "md5")
    files = [file for file in path.rglob("*") if file.is_file()]
    return folder_hash({file.relative_to(path).as_posix(): hash_of(file, "md5") for file in files})


def folder_hash(files: Mapping[str, str]) -> str:
    """The hash by which DVC knows a folder.

    Args:
        files: hash of each file, by its path as seen from the folder.
    """
    listing = [{"md5": files[name], "relpath": name} for name in sorted(files)]
    text = json.dumps(listing, sort_keys=True)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() + ".dir"


def hash_of(path: Path, algorithm: str, header: bytes = b"") -> str:
    """Hash of a file of any size.

    Args:
        path: of the file.
        algorithm: as `hashlib` calls it.
        header: what is hashed before the content, as Git does for blobs.
    """
    hashed = hashlib.new(algorithm, header, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            hashed.update(chunk)
    return hashed.hexdigest()
