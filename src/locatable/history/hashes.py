"""What Git and DVC call the content of a file."""

import hashlib
import json
from pathlib import Path


def md5_of(path: Path) -> str:
    """What DVC calls a file or a folder."""
    if path.is_file():
        return hash_of(path, "md5")
    names = sorted(
        (file.relative_to(path).as_posix(), md5_of(file)) for file in path.rglob("*") if file.is_file()
    )
    listed = json.dumps([{"md5": md5, "relpath": name} for name, md5 in names], sort_keys=True)
    return hashlib.md5(listed.encode(), usedforsecurity=False).hexdigest() + ".dir"


def hash_of(path: Path, kind: str, before: bytes = b"") -> str:
    """Of a file of any size, with something before it."""
    hashed = hashlib.new(kind, before, usedforsecurity=False)
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            hashed.update(part)
    return hashed.hexdigest()
