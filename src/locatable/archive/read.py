"""Reads archives: every byte is checked against the manifest before anything is unpacked."""

import hashlib
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ..errors import CannotTryError
from ..repository.bounds import require_regular
from .format import MANIFEST, Manifest, ManifestError, read_manifest

_CHUNK = 1 << 20  # bytes that are read at a time
_LARGEST_MANIFEST = 1 << 28  # bytes; that is a million members
_ENCRYPTED = 0x1
# What Python says of bytes that are no ZIP file, or one of a kind that it does not read.
_NO_ZIP = (zipfile.BadZipFile, EOFError, NotImplementedError, UnicodeDecodeError)

Progress = Callable[[int], object]


class Archive:
    """An open archive whose list of members is as its manifest says; see `open_archive`.

    Attributes:
        path: the file.
        manifest: what it says.
    """

    def __init__(self, path: Path, file: zipfile.ZipFile, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest
        self._file = file

    @property
    def size(self) -> int:
        """Bytes in all members."""
        return sum(entry.size for entry in self.manifest.members.values())

    def check(self, progress: Progress) -> None:
        """Compare the bytes of each member with its hash.

        Args:
            progress: is called with each number of bytes that was read.

        Raises:
            CannotTryError: a member was altered; the message names it.
        """
        for path, entry in self.manifest.members.items():
            hashed = hashlib.sha256()
            with _reading(self.path, path), self._file.open(path) as member:
                for chunk in _chunks(member):
                    hashed.update(chunk)
                    progress(len(chunk))
            if hashed.hexdigest() != entry.sha256:
                raise _problem(self.path, f"{path} was altered: it has other bytes than {MANIFEST} says")

    def unpack(self, folder: Path) -> None:
        """Write all members, which were checked, into a folder."""
        for path in self.manifest.members:
            place = folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            with _reading(self.path, path), self._file.open(path) as member, place.open("xb") as file:
                shutil.copyfileobj(member, file, _CHUNK)


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open an archive.

    Raises:
        CannotTryError: `locatable archive` did not write it, or a newer one did; or it has other members
            than its manifest says.
        UnreadableError: it is a device or a pipe.
    """
    require_regular(path)
    try:
        with zipfile.ZipFile(path) as file:
            yield Archive(path, file, _check_list(path, file))
    except _NO_ZIP as error:
        raise _problem(path, f"it is damaged, or no ZIP file: {error}") from None
    except OSError as error:
        raise _problem(path, error.strerror or str(error)) from None


def _check_list(path: Path, file: zipfile.ZipFile) -> Manifest:
    """Compare the list of members with the manifest; nothing of them is read."""
    infos = _members(path, file)
    manifest = _manifest_of(path, file, infos)
    for name, info in infos.items():
        if name == MANIFEST:
            continue
        entry = manifest.members.get(name)
        if entry is None:
            raise _problem(path, f"{MANIFEST} does not know {name!r:.80}")
        if entry.size != info.file_size:
            raise _problem(path, f"{name} was altered: it has another size than {MANIFEST} says")
    missing = manifest.members.keys() - infos.keys()
    if missing:
        raise _problem(path, f"{min(missing)} is missing")
    return manifest


def _members(path: Path, file: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The members by name; refuses what `locatable archive` does not write, and ZIP bombs are made of."""
    infos: dict[str, zipfile.ZipInfo] = {}
    for info in file.infolist():
        if info.filename in infos:
            raise _problem(path, f"{info.filename} is in it twice")
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise _problem(path, f"{info.filename} is compressed, and `locatable archive` compresses nothing")
        if info.flag_bits & _ENCRYPTED:
            raise _problem(path, f"{info.filename} is encrypted")
        infos[info.filename] = info
    # Members can share their bytes.
    if sum(info.file_size for info in infos.values()) > path.stat().st_size:
        raise _problem(path, "its members are larger than the file")
    return infos


def _manifest_of(path: Path, file: zipfile.ZipFile, infos: dict[str, zipfile.ZipInfo]) -> Manifest:
    if MANIFEST not in infos:
        raise _problem(path, f"it has no {MANIFEST}: `locatable archive` did not write it")
    if infos[MANIFEST].file_size > _LARGEST_MANIFEST:
        raise _problem(path, f"{MANIFEST} is too large")
    with _reading(path, MANIFEST):
        content = file.read(MANIFEST)
    try:
        return read_manifest(content)
    except ManifestError as error:
        raise _problem(path, f"{MANIFEST}: {error}") from None


@contextmanager
def _reading(path: Path, member: str) -> Iterator[None]:
    """Name the member whose bytes are not those that the ZIP file itself has a checksum of."""
    try:
        yield
    except _NO_ZIP:
        raise _problem(path, f"{member} is damaged") from None


def _chunks(member: IO[bytes]) -> Iterator[bytes]:
    while chunk := member.read(_CHUNK):
        yield chunk


def _problem(path: Path, reason: str) -> CannotTryError:
    return CannotTryError(f"{path}: {reason}")
