"""Writes a ZIP file whose bytes follow from what is in it, and from nothing else."""

import contextlib
import hashlib
import os
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO

from ..errors import ProjectError
from .format import MANIFEST, Entry, Manifest

_CHUNK = 1 << 20  # bytes that are copied at a time
_FILE_MODE = 0o100644
_UNIX = 3
# ZIP knows no earlier time.
_FIRST_TIME = 315_532_800

Content = Path | bytes
Progress = Callable[[int], object]


def write_archive(
    target: Path, manifest: Manifest, members: Mapping[str, Content], when: int, progress: Progress
) -> Manifest:
    """Write an archive; the target is there as a whole or not at all.

    Args:
        target: the file; one that is there is replaced.
        manifest: what it says beside the list of members.
        members: content, or a file with it, by path in the archive.
        when: the time that all members have, in seconds since 1970.
        progress: is called with each number of bytes that was written.

    Returns:
        The manifest with its list of members.

    Raises:
        ProjectError: the file cannot be written, or one of the members cannot be read.
    """
    try:
        with _replacing(target) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            entries = {}
            for path in sorted(members):
                entries[path] = _add(archive, path, members[path], when, progress)
            complete = replace(manifest, members=entries)
            # Last, so that every byte is read only once.
            _add(archive, MANIFEST, complete.to_bytes(), when, progress)
    except OSError as error:
        place = error.filename or target
        raise ProjectError(f"the archive cannot be written: {error.strerror or error} ({place})") from None
    return complete


@contextlib.contextmanager
def _replacing(target: Path) -> Iterator[IO[bytes]]:
    """A file that takes the place of the target when everything in it is on the disk."""
    number, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    try:
        with open(number, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # As the user's other files: a temporary one is for its owner alone.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _add(archive: zipfile.ZipFile, path: str, content: Content, when: int, progress: Progress) -> Entry:
    """Add a member as it is: compressed bytes would depend on the version of zlib."""
    info = zipfile.ZipInfo(path, time.gmtime(max(when, _FIRST_TIME))[:6])
    info.create_system = _UNIX
    info.external_attr = _FILE_MODE << 16
    # ZIP writes large files in another way, and has to know that beforehand.
    info.file_size = len(content) if isinstance(content, bytes) else content.stat().st_size
    hashed = hashlib.sha256()
    size = 0
    with archive.open(info, "w") as member:
        for chunk in _chunks(content):
            member.write(chunk)
            hashed.update(chunk)
            size += len(chunk)
            progress(len(chunk))
    return Entry(hashed.hexdigest(), size)


def _chunks(content: Content) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk
