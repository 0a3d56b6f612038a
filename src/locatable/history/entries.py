"""Entries of files and folders in `dvc.lock` and `.dvc` files, as DVC understands them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .hashes import folder_hash


def with_hash(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry with its hash.

    After a push to a remote that keeps versions, a folder has a list of its files instead: DVC computes the
    hash from that, and so the same data has the same hash before and after.
    """
    if "files" not in entry or "md5" in entry:
        return entry
    hashes = listed_hashes(entry)
    return {**entry, "md5": folder_hash(hashes)} if hashes else entry


def listed_hashes(entry: Mapping[str, Any]) -> dict[str, str]:
    """Hash of each file that a folder's entry lists; none if one of them has no md5."""
    files = entry.get("files") or ()
    if not all("md5" in file for file in files):
        return {}
    return {file["relpath"]: str(file["md5"]) for file in files}


def files_of(path: str, entry: Mapping[str, Any], listing: Path | None) -> dict[str, str]:
    """Hashes by path of a file, or of a folder's files; of the folder itself, where nothing lists these.

    Args:
        path: of the file or folder.
        entry: of it.
        listing: DVC's list of the folder's files, None where there is none on this machine.
    """
    hashes = listed_hashes(entry)
    if not hashes and listing:
        hashes = {file["relpath"]: file["md5"] for file in json.loads(listing.read_bytes())}
    if not hashes:
        return {path: str(entry.get("md5", ""))}
    return {f"{path}/{name}": md5 for name, md5 in hashes.items()}
