"""What Git and DVC call the content of a file or folder."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_CHUNK = 1 << 20  # bytes that are read at a time
_FIRST_BLOCK = 512  # bytes that tell DVC whether a file is a text


def md5_of(path: Path) -> str:
    """The hash by which DVC knows a file, or a folder: then it ends with `.dir`."""
    return _md5_of(path, lambda file: hash_of(file, "md5"))


def older_md5_of(path: Path) -> str:
    """The same as DVC 1 and 2 computed it, which gave texts the line breaks of Unix first."""
    return _md5_of(path, _older_file_hash)


def recorded_md5_of(path: Path, entry: Mapping[str, Any]) -> str:
    """The hash by which the DVC that wrote an entry of a lock or a `.dvc` file knows a file or folder."""
    return md5_of(path) if "hash" in entry else older_md5_of(path)


def _md5_of(path: Path, file_hash: Callable[[Path], str]) -> str:
    if path.is_file():
        return file_hash(path)
    files = [file for file in path.rglob("*") if file.is_file()]
    return folder_hash({file.relative_to(path).as_posix(): file_hash(file) for file in files})


def _older_file_hash(path: Path) -> str:
    with path.open("rb") as file:
        is_binary = b"\0" in file.read(_FIRST_BLOCK)
        file.seek(0)
        chunks = iter(lambda: file.read(_CHUNK), b"")
        has_other_breaks = any(b"\r" in chunk for chunk in chunks)
    if is_binary or not has_other_breaks:
        return hash_of(path, "md5")
    from ..dvc.hashing import older_md5  # takes a tenth of a second

    return older_md5(path)


def git_hash(path: Path, id_length: int) -> str:
    """What Git calls a file or folder, in a repository whose ids have so many characters."""
    if path.is_file():
        return hash_of(path, _algorithm(id_length), b"blob %d\0" % path.stat().st_size)
    entries = {}
    for child in path.iterdir():
        if child.is_file():
            mode = "100755" if child.stat().st_mode & 0o100 else "100644"
            entries[child.name] = f"{mode} {child.name}"
        elif any(file.is_file() for file in child.rglob("*")):  # Git keeps no empty folder
            entries[f"{child.name}/"] = f"40000 {child.name}"
    tree = b""
    for name in sorted(entries, key=os.fsencode):  # as Git sorts them: a folder's name ends with a slash
        tree += os.fsencode(entries[name]) + b"\0" + bytes.fromhex(git_hash(path / name, id_length))
    return bytes_hash(tree, id_length, "tree")


def bytes_hash(content: bytes, id_length: int, kind: str = "blob") -> str:
    """What Git calls an object, in a repository whose ids have so many characters."""
    header = f"{kind} {len(content)}\0".encode()
    return hashlib.new(_algorithm(id_length), header + content, usedforsecurity=False).hexdigest()


def _algorithm(id_length: int) -> str:
    return "sha256" if id_length == 64 else "sha1"


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
