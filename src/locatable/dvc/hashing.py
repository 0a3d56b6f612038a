"""Hashes as DVC before version 3 computed them."""

from pathlib import Path

from dvc_data.hashfile.hash import file_md5


def older_md5(path: Path) -> str:
    """The hash by which DVC 1 and 2 know a file: of a text, with the line breaks of Unix."""
    md5: str = file_md5(str(path), name="md5-dos2unix")
    return md5
