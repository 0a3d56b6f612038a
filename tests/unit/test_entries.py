"""Entries of files and folders, as DVC understands them."""

import json
from pathlib import Path
from typing import Any

import pytest
from dvc_data.hashfile.tree import Tree

from locatable.repository.hashes import files_of, with_hash

FILES = [
    {"relpath": "b.txt", "md5": "b" * 32, "size": 1, "cloud": {"r": {"etag": "x", "version_id": "1"}}},
    {"relpath": "a/c.txt", "md5": "c" * 32, "size": 2},
    {"relpath": "a.txt", "md5": "a" * 32},
    {"relpath": "\u00fc", "md5": "d" * 32},
]


def test_a_folder_that_lists_its_files_has_the_hash_that_dvc_computes() -> None:
    tree = Tree.from_list(FILES, hash_name="md5")
    tree.digest()
    assert with_hash({"path": "data", "hash": "md5", "files": FILES})["md5"] == tree.oid


@pytest.mark.parametrize(
    "entry",
    [
        {"path": "a", "md5": "a" * 32},
        {"path": "a", "md5": "a" * 32 + ".dir", "files": FILES},
        {"path": "a", "files": [{"relpath": "b", "etag": "x"}]},
        {"path": "a", "files": []},
        {"path": "a"},
    ],
)
def test_other_entries_stay_as_they_are(entry: dict[str, Any]) -> None:
    assert with_hash(entry) == entry


def test_the_files_of_a_folder_are_those_that_its_entry_lists(tmp_path: Path) -> None:
    assert files_of("data", {"files": FILES[:2]}, None) == {"data/b.txt": "b" * 32, "data/a/c.txt": "c" * 32}


def test_the_files_of_a_folder_are_those_that_the_cache_lists(tmp_path: Path) -> None:
    listing = tmp_path / "list"
    listing.write_text(json.dumps(FILES[2:3]))
    assert files_of("data", {"md5": "e" * 32 + ".dir"}, listing) == {"data/a.txt": "a" * 32}
