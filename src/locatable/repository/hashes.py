"""Hashes by which DVC knows files and folders, and its cache, which holds them under their hashes.

An entry is what a lock or a `.dvc` file says of one file or folder: its hash, its size, and more.

DVC's own `Config` takes a quarter of a second to import. Settings of the cache are read here as it reads
them, with the same parser, from the same files; a unit test compares the two.
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

# Bytes that are hashed at a time. DVC looks anew in each whether it is text.
_CHUNK = 1 << 20
# DVC takes a chunk for text if at most three in ten of its first 512 bytes are no characters of a text.
_TEXT_BLOCK = 512
_TEXT = bytes(range(32, 127)) + b"\n\r\t\f\b"
_MOST_OTHERS = 0.3
# DVC 3 keeps a file at the first of these places below its cache, DVC 2 at the second.
_LAYOUTS = ("files/md5", "")
# The length of an md5. Other tools' hashes can be shorter; the cache does not know them.
_SHORTEST_HASH = 32


class HashKind(Enum):
    """How DVC hashes a file: since DVC 3 its bytes; before, text as if its lines ended with LF."""

    MD5 = "md5"
    MD5_OF_TEXT = "md5-dos2unix"

    @classmethod
    def of_entry(cls, entry: Mapping[str, Any]) -> "HashKind":
        """Return the kind of the hash in an entry: since DVC 3, entries name it."""
        return cls.MD5 if "hash" in entry else cls.MD5_OF_TEXT


def md5_of(path: Path, kind: HashKind = HashKind.MD5) -> str:
    """Return the hash by which DVC knows a file, or a folder: then it ends with `.dir`."""
    if path.is_file():
        return _file_hash(path, kind)
    hashes = {}
    for file in path.rglob("*"):
        if file.is_file():
            hashes[file.relative_to(path).as_posix()] = _file_hash(file, kind)
    return folder_hash(hashes)


def _file_hash(path: Path, kind: HashKind) -> str:
    with path.open("rb") as file:
        return _hash_of_file(file, kind)


def content_hash(content: bytes, kind: HashKind = HashKind.MD5) -> str:
    """Return the hash by which DVC knows this content of a file."""
    return _hash_of_file(io.BytesIO(content), kind)


def _hash_of_file(file: IO[bytes], kind: HashKind) -> str:
    hashed = hashlib.md5(usedforsecurity=False)
    while chunk := file.read(_CHUNK):
        if kind is HashKind.MD5_OF_TEXT:
            block = chunk[:_TEXT_BLOCK]
            others = block.translate(None, _TEXT)
            if b"\0" not in block and len(others) <= _MOST_OTHERS * len(block):
                chunk = chunk.replace(b"\r\n", b"\n")
        hashed.update(chunk)
    return hashed.hexdigest()


def differs_in_line_ends(content: bytes, recorded: str) -> bool:
    """Return whether a text has a recorded hash once its lines end as on Unix, or as on Windows."""
    unix = content.replace(b"\r\n", b"\n")
    windows = unix.replace(b"\n", b"\r\n")
    return recorded in (content_hash(unix), content_hash(windows))


def folder_hash(files: Mapping[str, str]) -> str:
    """Return the hash by which DVC knows a folder."""
    listing = [{"md5": files[name], "relpath": name} for name in sorted(files)]
    text = json.dumps(listing, sort_keys=True)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() + ".dir"


class BlobHashes:
    """Hashes files that Git keeps, each once.

    Args:
        objects: Git's own, of which some can be pointers.
        full_content: returns the content of a file by its blob's; None where this machine lacks it.
    """

    def __init__(self, objects: GitObjects, full_content: Callable[[bytes], bytes | None]) -> None:
        self._objects = objects
        self._full_content = full_content
        self._known: dict[tuple[str, HashKind], str | None] = {}

    def of_blob(self, blob: str, kind: HashKind) -> str | None:
        """Return the hash of a file by the id of its blob.

        None where git-annex keeps the file, or Git LFS does and this machine lacks its content.
        """
        self.load([blob], kind)
        return self._known[blob, kind]

    def load(self, blobs: Iterable[str], kind: HashKind) -> None:
        """Hash files that will be asked for: together, they are read far quicker than one by one."""
        unread = [blob for blob in blobs if (blob, kind) not in self._known]
        for blob, content in self._objects.blobs(unread).items():
            full = None if annex_key(content) is not None else self._full_content(content)
            self._known[blob, kind] = None if full is None else content_hash(full, kind)


def with_hash(entry: dict[str, Any]) -> dict[str, Any]:
    """Return an entry with its hash.

    After a push to a remote that keeps versions, a folder has a list of its files instead: DVC computes the
    hash from that, and so the same data has the same hash before and after.
    """
    if "files" not in entry or "md5" in entry:
        return entry
    hashes = _listed_hashes(entry)
    return {**entry, "md5": folder_hash(hashes)} if hashes else entry


def files_of(path: str, entry: Mapping[str, Any], listing: Path | None) -> dict[str, str]:
    """Return hashes by path of a file, or of a folder's files; of the folder itself if nothing lists them."""
    hashes = _listed_hashes(entry)
    if not hashes and listing:
        hashes = _listed_hashes({"files": json.loads(listing.read_bytes())})
    if not hashes:
        return {path: str(entry.get("md5", ""))}
    return {f"{path}/{name}": md5 for name, md5 in hashes.items()}


def _listed_hashes(entry: Mapping[str, Any]) -> dict[str, str]:
    """Return the hash of each file that a folder's entry lists; none if one of them has no md5."""
    hashes = {}
    for file in entry.get("files") or ():
        if "md5" not in file:
            return {}
        hashes[file["relpath"]] = str(file["md5"])
    return hashes


def cache_folder(root: Path) -> Path:
    """Return the folder in which DVC keeps objects of a project.

    Raises:
        ProjectError: one of DVC's configuration files is broken.
    """
    folder = root / ".dvc/cache"
    for file in _config_files(root):
        section = _cache_section(file)
        if section.get("local"):
            # Projects of DVC's first years name a remote as their cache.
            from .dvc_repo import open_repo

            with open_repo(root) as repo:
                return Path(repo.cache.local_cache_dir)
        if "dir" in section:
            named = str(section["dir"])
            folder = Path(named)
            if not re.match(r"\w+://", named):
                # Seen from the folder of the file that says so.
                place = file.parent / os.path.expanduser(named)
                folder = Path(os.path.abspath(place))
    return folder


def cached_file(cache: Path, md5: str) -> Path | None:
    """Return a file in a cache by its hash, None when the cache does not hold it.

    A repository can bring its own cache: a link in there could lead to any file of the user's.
    """
    if len(md5) < _SHORTEST_HASH:
        return None
    for layout in _LAYOUTS:
        place = os.path.join(layout, md5[:2], md5[2:])
        named = os.path.join(cache, place)
        # Most files of other experiments are not here, which takes a twentieth of the time to find out.
        if not os.path.isfile(named):
            continue
        found = os.path.realpath(named)
        if found == os.path.join(os.path.realpath(cache), place):
            return Path(found)
    return None


def _config_files(root: Path) -> list[Path]:
    """Return DVC's configuration files; settings in a later one replace those in an earlier one."""
    import platformdirs

    system = os.environ.get("DVC_SYSTEM_CONFIG_DIR") or platformdirs.site_config_dir("dvc", "iterative")
    user = os.environ.get("DVC_GLOBAL_CONFIG_DIR") or platformdirs.user_config_dir("dvc", "iterative")
    own = root / ".dvc"
    return [Path(system, "config"), Path(user, "config"), own / "config", own / "config.local"]


def _cache_section(file: Path) -> dict[str, Any]:
    """Return settings of a configuration file that are about the cache, by their names in lower case."""
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
