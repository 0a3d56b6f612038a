"""Hashes of a file that DVC would compute elsewhere."""

import hashlib
from pathlib import Path

from dvc_data.hashfile.hash import file_md5


def older_md5(path: Path) -> str:
    """The hash by which DVC 1 and 2 know a file: of a text, with the line breaks of Unix."""
    md5: str = file_md5(str(path), name="md5-dos2unix")
    return md5


def md5s_of_line_ends(path: Path) -> list[str]:
    """The hashes of a text with the line breaks of Unix and of Windows."""
    unix = path.read_bytes().replace(b"\r\n", b"\n")
    contents = (unix, unix.replace(b"\n", b"\r\n"))
    return [hashlib.md5(content, usedforsecurity=False).hexdigest() for content in contents]
