"""The format of an archive: its members, the manifest that lists them, and the ZIP file that holds them.

The bytes of the file follow from its content, and from nothing else.
"""

import hashlib
import json
import re
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import ProjectError
from ..repository.replacing import mode_of_new_files, replacing

# A reader refuses archives of a higher one.
FORMAT = 1

MANIFEST = "manifest.json"
README = "README.md"
CRATE = "ro-crate-metadata.json"
BUNDLE = "repository.bundle"
# Objects of DVC, laid out as in its caches and remotes.
OBJECTS = "dvc"
WHEELS = "wheels"
# Copies of files of the revision, for readers without Git.
FILES = "files"

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
# Bytes that are copied at a time.
_CHUNK = 1 << 20
# How members are marked: files of Unix that their owner can write.
_FILE_MODE = 0o100644
_UNIX = 3
# ZIP knows no earlier time.
_FIRST_TIME = 315_532_800

Content = Path | bytes
Progress = Callable[[int], object]


class ManifestError(ValueError):
    """A manifest is not as `locatable archive` writes it; the message says in what."""


@dataclass(frozen=True)
class Entry:
    """A member in the manifest: the hash of its bytes, and how many there are."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """The manifest of an archive.

    Attributes:
        revision: the commit to be rebuilt.
        project: path from the Git root to the DVC root, empty where they are the same.
        experiment: name of the DVC experiment that the commit is, None where it is an ordinary one.
        baseline: the commit that the experiment started from.
        wheels_for: Python and platform that the wheels are for, None where there are none.
        members: by path, without the manifest itself.
    """

    revision: str
    project: str = ""
    experiment: str | None = None
    baseline: str | None = None
    wheels_for: str | None = None
    members: dict[str, Entry] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Return the content of the member `manifest.json`."""
        content = {"format": FORMAT, **asdict(self)}
        return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()


def read_manifest(content: bytes) -> Manifest:
    """Return the manifest that the member `manifest.json` is.

    Raises:
        ManifestError: it is not as this version writes it.
    """
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        raise ManifestError("it is not JSON") from None
    written = values.get("format") if isinstance(values, dict) else None
    if not isinstance(written, int):
        raise ManifestError("it names no format")
    if written > FORMAT:
        raise ManifestError(
            f"format {written} is newer than {FORMAT}, the newest known here: upgrade locatable"
        )
    try:
        return _manifest(values)
    except (AttributeError, KeyError, TypeError) as error:
        raise ManifestError(f"not as locatable writes it: {error!r}") from None


def _manifest(values: dict[str, Any]) -> Manifest:
    revision = values["revision"]
    if not _COMMIT.fullmatch(revision):
        raise ManifestError(f"{revision!r:.80} is no commit")
    project = values["project"]
    if project and not is_safe(project):
        raise ManifestError(f"{project!r:.80} is no folder of a repository")
    members = {}
    for path, entry in values["members"].items():
        if not is_safe(path):
            raise ManifestError(f"{path!r:.80} is no path within an archive")
        if not _SHA256.fullmatch(entry["sha256"]) or not isinstance(entry["size"], int):
            raise ManifestError(f"{path!r:.80} has no hash and size")
        members[path] = Entry(entry["sha256"], entry["size"])
    return Manifest(
        revision=revision,
        project=project,
        experiment=values["experiment"],
        baseline=values["baseline"],
        wheels_for=values["wheels_for"],
        members=members,
    )


def is_safe(path: str) -> bool:
    """Return true where a path stays inside of the folder that it is joined to, on every system."""
    if not path or "\\" in path or ":" in path or "\0" in path:
        return False
    parts = PurePosixPath(path).parts
    return "/".join(parts) == path and ".." not in parts and not path.startswith("/")


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
        with (
            replacing(target, mode_of_new_files()) as file,
            zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive,
        ):
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


def _add(archive: zipfile.ZipFile, path: str, content: Content, when: int, progress: Progress) -> Entry:
    """Add a member as it is: compressed bytes would depend on the version of zlib."""
    info = zipfile.ZipInfo(path, time.gmtime(max(when, _FIRST_TIME))[:6])
    info.create_system = _UNIX
    info.external_attr = _FILE_MODE << 16
    # ZIP writes large files in another way, and has to know that beforehand.
    info.file_size = size_of(content)
    hashed = hashlib.sha256()
    size = 0
    with archive.open(info, "w") as member:
        for chunk in _chunks(content):
            member.write(chunk)
            hashed.update(chunk)
            size += len(chunk)
            progress(len(chunk))
    return Entry(hashed.hexdigest(), size)


def size_of(content: Content) -> int:
    """Return the number of bytes of a member."""
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _chunks(content: Content) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk
