"""The format of an archive: a ZIP file, its members, and the manifest that lists them.

The bytes of the file depend on its content alone. A reader checks every byte against the manifest before it
unpacks anything.
"""

import hashlib
import json
import re
import shutil
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..clones.config import use_cache
from ..errors import CannotTryError, GitError, ProjectError
from ..git import clone_git, make_clone
from ..output import mode_of_new_files, replacing
from ..repository import require_regular

# The version of the format. A reader refuses archives of a later version.
FORMAT = 1

MANIFEST = "manifest.json"
README = "README.md"
CRATE = "ro-crate-metadata.json"
CITATION = "CITATION.cff"
ZENODO = ".zenodo.json"
BUNDLE = "repository.bundle"
# The folder for objects of DVC, with the layout of its caches and remotes.
OBJECTS = "dvc"
WHEELS = "wheels"
# The folder for copies of files of the revision, for people without Git.
FILES = "files"

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
# The number of bytes to copy at a time.
_CHUNK = 1 << 20
# Members are marked as regular files of Unix that their owner can write and everybody can read.
_FILE_MODE = 0o100644
_UNIX = 3
# The earliest time that ZIP can store: 1 January 1980.
_FIRST_TIME = 315_532_800
# The largest manifest that is read, in bytes. One with a million members fits.
_LARGEST_MANIFEST = 1 << 28
# The bit for encryption in the flags of a ZIP member.
_ENCRYPTED = 0x1
# The errors that Python raises if a file is not a ZIP file, is damaged, or has unsupported features.
_ZIP_ERRORS = (zipfile.BadZipFile, EOFError, NotImplementedError, UnicodeDecodeError)

Content = Path | bytes
Progress = Callable[[int], object]


@dataclass(frozen=True)
class Entry:
    """A member in the manifest: the hash of its bytes, and its size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """The manifest of an archive.

    Attributes:
        revision: the commit to rebuild.
        project: the path from the Git root to the DVC root, empty if they are the same.
        experiment: the name of the DVC experiment, None if the commit is not archived as an experiment.
        baseline: the commit that the experiment started from.
        wheels_for: the Python and the platform of the wheels, None if there are no wheels.
        members: the members by path, without the manifest itself.
    """

    revision: str
    project: str = ""
    experiment: str | None = None
    baseline: str | None = None
    wheels_for: str | None = None
    members: dict[str, Entry] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """The size of all members together, in bytes."""
        return sum(entry.size for entry in self.members.values())

    def to_bytes(self) -> bytes:
        """Return the content of the member `manifest.json`."""
        content = {"format": FORMAT, **asdict(self)}
        return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()


def read_manifest(content: bytes) -> Manifest:
    """Parse the content of the member `manifest.json`.

    Raises:
        ValueError: the content is not a manifest of this format. The message says why.
    """
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None
    version = values.get("format") if isinstance(values, dict) else None
    if not isinstance(version, int):
        raise ValueError("it names no format")
    if version > FORMAT:
        raise ValueError(f"format {version} is newer than {FORMAT}, the newest known here: upgrade locatable")
    try:
        return _checked_manifest(values)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"not as locatable writes it: {error!r}") from None


def _checked_manifest(values: dict[str, Any]) -> Manifest:
    """Return the manifest with these values, after checking that its paths and hashes are safe to use."""
    if not _COMMIT.fullmatch(values["revision"]):
        raise ValueError(f"{values['revision']!r:.80} is no commit")
    if values["project"] and not is_safe(values["project"]):
        raise ValueError(f"{values['project']!r:.80} is no folder of a repository")
    members = {}
    for path, member in values["members"].items():
        if not is_safe(path):
            raise ValueError(f"{path!r:.80} is no path within an archive")
        entry = Entry(member["sha256"], member["size"])
        if not _SHA256.fullmatch(entry.sha256) or not isinstance(entry.size, int):
            raise ValueError(f"{path!r:.80} has no hash and size")
        members[path] = entry
    return Manifest(
        revision=values["revision"],
        project=values["project"],
        experiment=values["experiment"],
        baseline=values["baseline"],
        wheels_for=values["wheels_for"],
        members=members,
    )


def is_safe(path: str) -> bool:
    """Return whether a path, joined to a folder, stays inside this folder on every operating system."""
    if path.startswith("/") or any(character in path for character in "\\:\0"):
        return False
    parts = path.split("/")
    return not any(part in ("", ".", "..") for part in parts)


def size_of(content: Content) -> int:
    """Return the size of a member in bytes."""
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def write_archive(
    target: Path, manifest: Manifest, members: Mapping[str, Content], mtime: int, progress: Progress
) -> Manifest:
    """Write an archive. If this fails, the target is left as it was.

    Args:
        target: the file to write. An existing file is replaced.
        manifest: the manifest without its list of members.
        members: the members, as content or a file with it, by path in the archive.
        mtime: the modification time of all members, in seconds since 1970.
        progress: called with the number of bytes written since the last call.

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
                entries[path] = _add(archive, path, members[path], mtime, progress)
            complete = replace(manifest, members=entries)
            # The manifest comes last, because the hashes are computed while the members are written.
            _add(archive, MANIFEST, complete.to_bytes(), mtime, progress)
    except OSError as error:
        place = error.filename or target
        raise ProjectError(f"the archive cannot be written: {error.strerror or error} ({place})") from None
    return complete


def _add(archive: zipfile.ZipFile, path: str, content: Content, mtime: int, progress: Progress) -> Entry:
    """Add a member without compression, because compressed bytes would depend on the version of zlib."""
    modified = time.gmtime(max(mtime, _FIRST_TIME))
    info = zipfile.ZipInfo(path, modified[:6])
    info.create_system = _UNIX
    info.external_attr = _FILE_MODE << 16
    # `zipfile` must know the size beforehand, because it writes the header of large files differently.
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


def _chunks(content: Content) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


class Archive:
    """An open archive whose list of members was checked against its manifest, see `open_archive`.

    Attributes:
        path: the file.
        manifest: the manifest of the archive.
    """

    def __init__(self, path: Path, file: zipfile.ZipFile, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest
        self._file = file

    def check(self, progress: Progress) -> None:
        """Compare the bytes of each member with its hash.

        Raises:
            CannotTryError: a member was altered. The message names it.
        """
        for path, entry in self.manifest.members.items():
            hashed = hashlib.sha256()
            with _reading(self.path, path, (*_ZIP_ERRORS, OSError)), self._file.open(path) as member:
                while chunk := member.read(_CHUNK):
                    hashed.update(chunk)
                    progress(len(chunk))
            if hashed.hexdigest() != entry.sha256:
                raise _problem(self.path, f"{path} was altered: it has other bytes than {MANIFEST} says")

    def unpack(self, folder: Path) -> None:
        """Write all members into a folder. To be called after `check`."""
        for path in self.manifest.members:
            place = folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            with _reading(self.path, path), self._file.open(path) as member, place.open("xb") as file:
                shutil.copyfileobj(member, file, _CHUNK)


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open an archive, and check its list of members.

    Raises:
        CannotTryError: `locatable archive` did not write the file, or a later version did, or its members are
            not those of the manifest.
        UnreadableError: the file is a device or a pipe.
    """
    require_regular(path)
    with ExitStack() as stack:
        # The `yield` is outside `try`, so that errors of the caller are not reported as faults of the file.
        try:
            file = stack.enter_context(zipfile.ZipFile(path))
            manifest = _check_members(path, file)
        except _ZIP_ERRORS as error:
            raise _problem(path, f"it is damaged, or no ZIP file: {error}") from None
        except OSError as error:
            raise _problem(path, error.strerror or str(error)) from None
        yield Archive(path, file, manifest)


def _check_members(path: Path, file: zipfile.ZipFile) -> Manifest:
    """Compare the manifest with the list of members, and return it. No other member is read."""
    infos = _members(path, file)
    if MANIFEST not in infos:
        raise _problem(path, f"it has no {MANIFEST}: `locatable archive` did not write it")
    if infos.pop(MANIFEST).file_size > _LARGEST_MANIFEST:
        raise _problem(path, f"{MANIFEST} is too large")
    with _reading(path, MANIFEST):
        content = file.read(MANIFEST)
    try:
        manifest = read_manifest(content)
    except ValueError as error:
        raise _problem(path, f"{MANIFEST}: {error}") from None
    for name, info in infos.items():
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
    """Return the members by name. Refuse files that `locatable archive` never writes, such as ZIP bombs."""
    infos: dict[str, zipfile.ZipInfo] = {}
    size = 0
    for info in file.infolist():
        if info.filename in infos:
            raise _problem(path, f"{info.filename} is in it twice")
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise _problem(path, f"{info.filename} is compressed, and `locatable archive` compresses nothing")
        if info.flag_bits & _ENCRYPTED:
            raise _problem(path, f"{info.filename} is encrypted")
        infos[info.filename] = info
        size += info.file_size
    # In a ZIP bomb, members share the same bytes, and unpack to more than the file has.
    if size > path.stat().st_size:
        raise _problem(path, "its members are larger than the file")
    return infos


@contextmanager
def _reading(path: Path, member: str, errors: tuple[type[Exception], ...] = _ZIP_ERRORS) -> Iterator[None]:
    """Raise an error that names the member if reading it fails.

    Args:
        path: the path of the archive.
        member: the name of the member.
        errors: the exceptions that mean that the member is damaged. If the context only reads the archive
            and does not write files, `OSError` is one of them.
    """
    try:
        yield
    except errors:
        raise _problem(path, f"{member} is damaged") from None


def _problem(path: Path, reason: str) -> CannotTryError:
    """Return the error about a problem of an archive."""
    return CannotTryError(f"{path}: {reason}")


@dataclass(frozen=True)
class UnpackedArchive:
    """An archive that is unpacked into a temporary folder.

    Attributes:
        manifest: the manifest of the archive.
        project: the DVC root in a clone of the bundle. Its DVC cache is the folder of the archive's objects.
        wheels: the folder with the packages of the locks, None if the archive has none.
    """

    manifest: Manifest
    project: Path
    wheels: Path | None


@contextmanager
def unpacked(
    path: Path, progress: Callable[[int], AbstractContextManager[Progress]]
) -> Iterator[UnpackedArchive]:
    """Check an archive, and unpack it into a folder that exists until the context ends.

    Args:
        path: the path of the archive.
        progress: returns a progress bar for a number of bytes.

    Raises:
        CannotTryError: the file is not an archive, was altered, or is from a later version.
    """
    with TemporaryDirectory(prefix="archive-", ignore_cleanup_errors=True) as folder:
        place = Path(folder).resolve() / "archive"
        with open_archive(path) as archive:
            with progress(archive.manifest.size) as checked:
                archive.check(checked)
            archive.unpack(place)
            manifest = archive.manifest
        clone = place.parent / "project"
        try:
            make_clone(place / BUNDLE, clone)
            # Fetch the refs of experiments as well, so that the experiment can be addressed by its name.
            clone_git(clone, "fetch", "--quiet", "origin", "+refs/exps/*:refs/exps/*")
            clone_git(clone, "checkout", "--quiet", "--detach", manifest.revision)
        except GitError as error:
            raise _problem(path, f"{BUNDLE} cannot be used: {error.message}") from None
        project = clone / manifest.project
        if not (project / ".dvc").is_dir():
            raise _problem(path, f"{BUNDLE} has no DVC project in {manifest.project or 'its root'}")
        use_cache(project, place / OBJECTS)
        yield UnpackedArchive(manifest, project, place / WHEELS if manifest.wheels_for else None)
