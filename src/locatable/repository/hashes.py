"""DVC's hashes of files and folders, and its cache, which stores files under their hashes.

An entry is the record of one file or folder in a lock or a `.dvc` file: its hash, its size, and more.

DVC's own `Config` takes a quarter of a second to import. So the settings of the cache are read here, from the
same files and with the same parser as DVC's; a unit test compares the two.
"""

import hashlib
import io
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import IO, Any

from ..errors import ProjectError, joined_lines
from ..git.objects import GitObjects
from ..git.pointers import annex_key

# The number of bytes to hash at a time. It must be the same as in DVC, which decides for each chunk
# whether it is text.
_CHUNK = 1 << 20
# DVC takes a chunk for text if at most 30 % of its first 512 bytes are not characters of a text.
_TEXT_BLOCK = 512
_TEXT = bytes(range(32, 127)) + b"\n\r\t\f\b"
_MOST_OTHERS = 0.3
# The folder inside the cache under which DVC stores a file: for DVC 3, and for DVC 2.
_LAYOUTS = ("files/md5", "")
# The length of an md5. A shorter hash comes from another tool, and is not in the cache.
_SHORTEST_HASH = 32


class HashKind(Enum):
    """How DVC hashes a file: DVC 3 hashes its bytes; DVC 2 hashed text with CRLF replaced by LF."""

    MD5 = "md5"
    MD5_OF_TEXT = "md5-dos2unix"

    @classmethod
    def of_entry(cls, entry: Mapping[str, Any]) -> "HashKind":
        """Return the kind of the hash in an entry. Only entries of DVC 3 have the key `hash`."""
        return cls.MD5 if "hash" in entry else cls.MD5_OF_TEXT


def md5_of(path: Path, kind: HashKind = HashKind.MD5) -> str:
    """Return DVC's hash of a file or folder; that of a folder ends with `.dir`."""
    if path.is_file():
        return _file_hash(path, kind)
    hashes = {}
    for file in path.rglob("*"):
        if file.is_file():
            hashes[file.relative_to(path).as_posix()] = _file_hash(file, kind)
    return folder_hash(hashes)


def _file_hash(path: Path, kind: HashKind) -> str:
    with path.open("rb") as file:
        return _stream_hash(file, kind)


def content_hash(content: bytes, kind: HashKind = HashKind.MD5) -> str:
    """Return DVC's hash of a file with this content."""
    return _stream_hash(io.BytesIO(content), kind)


def _stream_hash(stream: IO[bytes], kind: HashKind) -> str:
    """Return DVC's hash of the content of a stream."""
    hashed = hashlib.md5(usedforsecurity=False)
    while chunk := stream.read(_CHUNK):
        if kind is HashKind.MD5_OF_TEXT and _is_text(chunk[:_TEXT_BLOCK]):
            chunk = chunk.replace(b"\r\n", b"\n")
        hashed.update(chunk)
    return hashed.hexdigest()


def _is_text(block: bytes) -> bool:
    """Return whether DVC takes a chunk for text that starts with this block."""
    others = block.translate(None, _TEXT)
    return b"\0" not in block and len(others) <= _MOST_OTHERS * len(block)


def differs_in_line_ends(content: bytes, recorded: str) -> bool:
    """Return whether a text has the recorded hash after its line ends are converted to LF, or to CRLF."""
    unix = content.replace(b"\r\n", b"\n")
    windows = unix.replace(b"\n", b"\r\n")
    return recorded in (content_hash(unix), content_hash(windows))


def folder_hash(files: Mapping[str, str]) -> str:
    """Return DVC's hash of a folder.

    Args:
        files: the hash of each file, by its path relative to the folder.
    """
    listing = [{"md5": files[name], "relpath": name} for name in sorted(files)]
    text = json.dumps(listing, sort_keys=True)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() + ".dir"


class BlobHashes:
    """Computes DVC's hashes of files that Git tracks, once for each blob.

    Args:
        objects: the Git objects; a blob can be a pointer of Git LFS or git-annex.
        full_content: returns the content of the file whose blob is given; None if this machine lacks it.
    """

    def __init__(self, objects: GitObjects, full_content: Callable[[bytes], bytes | None]) -> None:
        self._objects = objects
        self._full_content = full_content
        self._hashes: dict[tuple[str, HashKind], str | None] = {}

    def of_blob(self, blob: str, kind: HashKind) -> str | None:
        """Return the hash of a file by the id of its blob.

        The result is None if git-annex keeps the file, or if Git LFS does and this machine lacks its content.
        """
        self.load([blob], kind)
        return self._hashes[blob, kind]

    def load(self, blobs: Iterable[str], kind: HashKind) -> None:
        """Compute the hashes of many files in advance: reading them together is far faster."""
        unread = [blob for blob in blobs if (blob, kind) not in self._hashes]
        for blob, content in self._objects.blobs(unread).items():
            file_hash = None
            if annex_key(content) is None and (full := self._full_content(content)) is not None:
                file_hash = content_hash(full, kind)
            self._hashes[blob, kind] = file_hash


def with_hash(entry: dict[str, Any]) -> dict[str, Any]:
    """Add the hash to the entry of a folder that lists its files instead; return other entries unchanged.

    DVC replaces the hash by a list of files when it pushes a folder to a version-aware remote. The hash is
    computed from the list, as DVC does, so that the same data has the same hash before and after the push.
    """
    if "files" not in entry or "md5" in entry:
        return entry
    hashes = _listed_hashes(entry["files"])
    return {**entry, "md5": folder_hash(hashes)} if hashes else entry


def files_of(path: str, entry: Mapping[str, Any], listing: Path | None) -> dict[str, str]:
    """Return the hashes of a tracked file, or of the files in a tracked folder, by path.

    If neither the entry nor `listing` lists the files of a folder, the result has the folder itself.

    Args:
        path: path of the file or folder.
        entry: its entry.
        listing: the file in DVC's cache that lists the files of the folder; None if the cache lacks it.
    """
    hashes = _listed_hashes(entry.get("files"))
    if not hashes and listing:
        hashes = _listed_hashes(json.loads(listing.read_bytes()))
    if not hashes:
        return {path: str(entry.get("md5", ""))}
    return {f"{path}/{name}": md5 for name, md5 in hashes.items()}


def _listed_hashes(files: Iterable[Mapping[str, Any]] | None) -> dict[str, str]:
    """Return the hashes in the list of a folder's files; empty without a list, or if a file has no md5."""
    hashes = {}
    for file in files or ():
        if "md5" not in file:
            return {}
        hashes[file["relpath"]] = str(file["md5"])
    return hashes


def cache_folder(root: Path) -> Path:
    """Return the folder of a project's DVC cache.

    Raises:
        ProjectError: one of DVC's configuration files is broken.
    """
    folder = root / ".dvc/cache"
    for file in _config_files(root):
        section = _cache_section(file)
        if section.get("local"):
            # Projects from DVC's first years name a remote as their cache. DVC itself resolves that.
            from .dvc_repo import open_repo

            with open_repo(root) as repo:
                return Path(repo.cache.local_cache_dir)
        if "dir" in section:
            setting = str(section["dir"])
            folder = Path(setting)
            if not re.match(r"\w+://", setting):
                # The path is relative to the folder of the configuration file.
                folder = Path(os.path.abspath(file.parent / os.path.expanduser(setting)))
    return folder


def cached_file(cache: Path, md5: str) -> Path | None:
    """Return the path of a file in a cache by its hash; None if the cache does not contain it.

    Links inside the cache are not followed: a repository can contain its own cache, and a link in there could
    lead to any file of the user.
    """
    if len(md5) < _SHORTEST_HASH:
        return None
    for layout in _LAYOUTS:
        place = os.path.join(layout, md5[:2], md5[2:])
        file = os.path.join(cache, place)
        # Most files of other experiments are not in the cache, and this test is 20 times as fast as
        # `realpath`.
        if not os.path.isfile(file):
            continue
        real_path = os.path.realpath(file)
        if real_path == os.path.join(os.path.realpath(cache), place):
            return Path(real_path)
    return None


def _config_files(root: Path) -> list[Path]:
    """Return DVC's configuration files; the settings of a later file override those of an earlier one."""
    import platformdirs

    system = os.environ.get("DVC_SYSTEM_CONFIG_DIR") or platformdirs.site_config_dir("dvc", "iterative")
    user = os.environ.get("DVC_GLOBAL_CONFIG_DIR") or platformdirs.user_config_dir("dvc", "iterative")
    project = root / ".dvc"
    return [Path(system, "config"), Path(user, "config"), project / "config", project / "config.local"]


def _cache_section(file: Path) -> dict[str, Any]:
    """Return the settings in the `cache` section of a configuration file, with names in lower case."""
    from configobj import ConfigObj, ConfigObjError

    try:
        lines = file.read_text(encoding="utf-8").splitlines()
        settings = ConfigObj(lines).dict()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (ConfigObjError, UnicodeDecodeError) as error:
        reason = joined_lines(error)
        raise ProjectError(f"{file}: {reason}") from None
    cache: dict[str, Any] = {}
    for title, section in settings.items():
        if title.lower() == "cache":
            for name, value in section.items():
                cache[name.lower()] = value
    return cache
