"""Reads an archive: every byte is checked against the manifest before anything is unpacked."""

import contextlib
import hashlib
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from ..clones.config import use_cache
from ..errors import CannotTryError, GitError
from ..git import clone_git, make_clone
from ..repository.bounds import require_regular
from .manifest import BUNDLE, MANIFEST, OBJECTS, WHEELS, Manifest, ManifestError, Progress, read_manifest

# Bytes that are read at a time.
_CHUNK = 1 << 20
# Bytes of a manifest of a million members.
_LARGEST_MANIFEST = 1 << 28
# The bit of a ZIP member's flags that says so.
_ENCRYPTED = 0x1
# Errors of Python for bytes that are no ZIP file, or one of a kind that it does not read.
_NO_ZIP = (zipfile.BadZipFile, EOFError, NotImplementedError, UnicodeDecodeError)


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
        """The number of bytes of all members."""
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
            with _reading(self.path, path, OSError), self._file.open(path) as member:
                while chunk := member.read(_CHUNK):
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
    with contextlib.ExitStack() as stack:
        # What goes wrong while it is used is not told as a fault of the file.
        try:
            file = stack.enter_context(zipfile.ZipFile(path))
            manifest = _check_list(path, file)
        except _NO_ZIP as error:
            raise _problem(path, f"it is damaged, or no ZIP file: {error}") from None
        except OSError as error:
            raise _problem(path, error.strerror or str(error)) from None
        yield Archive(path, file, manifest)


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
    """Return the members by name; refuse what `locatable archive` does not write, such as ZIP bombs."""
    infos: dict[str, zipfile.ZipInfo] = {}
    for info in file.infolist():
        if info.filename in infos:
            raise _problem(path, f"{info.filename} is in it twice")
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise _problem(path, f"{info.filename} is compressed, and `locatable archive` compresses nothing")
        if info.flag_bits & _ENCRYPTED:
            raise _problem(path, f"{info.filename} is encrypted")
        infos[info.filename] = info
    # Members that share their bytes can unpack to more than any disk holds.
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
def _reading(path: Path, member: str, *kinds: type[Exception]) -> Iterator[None]:
    """Name the member where its bytes have another checksum than the ZIP file itself says.

    Args:
        path: of the archive.
        member: its name.
        kinds: other errors that mean the same, where nothing but the archive is read.
    """
    errors: tuple[type[Exception], ...] = (*_NO_ZIP, *kinds)
    try:
        yield
    except errors:
        raise _problem(path, f"{member} is damaged") from None


def _problem(path: Path, reason: str) -> CannotTryError:
    return CannotTryError(f"{path}: {reason}")


@dataclass(frozen=True)
class UnpackedArchive:
    """An archive in a temporary folder.

    Attributes:
        manifest: what it says.
        project: a clone of its bundle, whose DVC cache is the archive's objects: the DVC root in it.
        wheels: a folder with the packages of the locks, None where the archive has none.
    """

    manifest: Manifest
    project: Path
    wheels: Path | None


@contextmanager
def unpacked(
    path: Path, progress: Callable[[int], AbstractContextManager[Progress]]
) -> Iterator[UnpackedArchive]:
    """Check an archive, and unpack it into a folder that is there as long as the context.

    Args:
        path: of the file.
        progress: a bar for so many bytes, as a function that moves it by a number of them.

    Raises:
        CannotTryError: the archive was altered, is of a newer version, or is none at all.
    """
    with TemporaryDirectory(prefix="archive-", ignore_cleanup_errors=True) as folder:
        place = Path(folder).resolve() / "archive"
        with open_archive(path) as archive:
            with progress(archive.size) as checked:
                archive.check(checked)
            archive.unpack(place)
            manifest = archive.manifest
        clone = place.parent / "project"
        _clone(path, place / BUNDLE, manifest.revision, clone)
        project = clone / manifest.project
        if not (project / ".dvc").is_dir():
            raise CannotTryError(f"{path}: {BUNDLE} has no DVC project in {manifest.project or 'its root'}")
        use_cache(project, place / OBJECTS)
        yield UnpackedArchive(manifest, project, place / WHEELS if manifest.wheels_for else None)


def _clone(path: Path, bundle: Path, revision: str, folder: Path) -> None:
    try:
        make_clone(bundle, folder)
        # The name of an experiment is how its reader knows it.
        clone_git(folder, "fetch", "--quiet", "origin", "+refs/exps/*:refs/exps/*")
        clone_git(folder, "checkout", "--quiet", "--detach", revision)
    except GitError as error:
        raise CannotTryError(f"{path}: {BUNDLE} cannot be used: {error.message}") from None
