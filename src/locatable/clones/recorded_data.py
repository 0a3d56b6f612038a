"""Reads recorded data from the user's cache or the remote, and verifies it against its hash.

DVC's own fetch is not used on the user's cache, because it deletes the objects that it finds damaged.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.config import NoRemoteError, RemoteConfigError
from dvc.exceptions import DvcException
from dvc.fs import localfs
from dvc_data.hashfile.hash import hash_file

from ..errors import CannotTryError
from ..model import Output
from ..repository.dvc_repo import with_causes
from .checkout import Checkout, copy_file


@dataclass(frozen=True)
class FoundObjects:
    """The objects that were found, sorted into intact and damaged ones.

    Attributes:
        intact: the path of each object whose content matches its hash, by hash.
        damaged: a line about each object of the user's cache whose content does not match its hash, by hash.
    """

    intact: dict[str, Path]
    damaged: dict[str, str]


# A function that finds the objects of an output with these hashes.
Find = Callable[[Checkout, Output, Iterable[str]], FoundObjects]


def fetch(checkout: Checkout, output: Output, target: Path | None = None) -> list[str]:
    """Copy a recorded output into the clone, to its own path or to `target`.

    Returns:
        One line about each object that is damaged in the user's cache. It was taken from the remote instead.

    Raises:
        CannotTryError: an object is in neither the cache nor the remote, or damaged in the remote.
    """
    out = checkout.dvc_output(output)
    objects, entries = _with_entries(checkout, output, _from_cache_or_remote)
    place = target or checkout.path_of(output.path)
    if not out.hash_info.isdir:
        # Treat a file like a folder whose only entry is the file itself.
        entries = {"": out.hash_info.value}
    for name, oid in entries.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        copy_file(objects.intact[oid], path)
        path.chmod(0o755 if out.meta.isexec else 0o644)
    return list(objects.damaged.values())


def stored_objects(checkout: Checkout, output: Output) -> dict[str, Path]:
    """Return the objects of a recorded output, by their path relative to a DVC cache or remote.

    Raises:
        CannotTryError: an object is in neither the cache nor the remote, or damaged in the remote.
    """
    out = checkout.dvc_output(output)
    objects, _ = _with_entries(checkout, output, _from_cache_or_remote)
    return {_path_in_cache(out, oid).as_posix(): path for oid, path in objects.intact.items()}


def damaged_objects(checkout: Checkout, output: Output) -> list[str]:
    """Return one line about each object of an output that is damaged in the user's cache."""
    objects, _ = _with_entries(checkout, output, _from_cache)
    return list(objects.damaged.values())


def _with_entries(checkout: Checkout, output: Output, find: Find) -> tuple[FoundObjects, dict[str, str]]:
    """Return the objects of an output, and the hash of each file by name if the output is a folder.

    The objects of a folder are its listing and its files.
    """
    info = checkout.dvc_output(output).hash_info
    found = find(checkout, output, [info.value])
    if not info.isdir or info.value not in found.intact:
        return found, {}
    # The object of a folder is a JSON list of the files in it.
    entries = {}
    for entry in json.loads(found.intact[info.value].read_text()):
        entries[entry["relpath"]] = entry["md5"]
    files = find(checkout, output, entries.values())
    return FoundObjects(found.intact | files.intact, found.damaged | files.damaged), entries


def _from_cache_or_remote(checkout: Checkout, output: Output, oids: Iterable[str]) -> FoundObjects:
    """Find objects in the user's cache, and in the remote if the cache lacks them or has them damaged."""
    wanted = list(dict.fromkeys(oids))
    cached = _from_cache(checkout, output, wanted)
    missing = sorted(set(wanted) - cached.intact.keys())
    if not missing:
        return cached
    out = checkout.dvc_output(output)
    checkout.check_login(out.remote)
    problem = _download(checkout, out, missing)
    downloaded = {}
    for oid in missing:
        path = Path(out.cache.oid_to_path(oid))
        if problem or not path.is_file():
            reason = f" ({problem})" if problem else ""
            name = checkout.remote_name(output)
            hint = _hint(out, name)
            if oid in cached.damaged:
                hint = ": " + cached.damaged[oid].split(": ", 1)[1]
            remote = f"remote '{name}'" if name else "a remote (none is set)"
            what = f"{output.path} ({out.hash_name} {oid})"
            raise CannotTryError(f"{what} is in neither the DVC cache nor {remote}{reason}{hint}")
        if not _is_intact(path, oid, out.hash_name):
            raise CannotTryError(f"{output.path}: the remote holds other bytes than its hash {oid} says")
        downloaded[oid] = path
    return FoundObjects(cached.intact | downloaded, cached.damaged)


def _from_cache(checkout: Checkout, output: Output, oids: Iterable[str]) -> FoundObjects:
    out = checkout.dvc_output(output)
    intact = {}
    damaged = {}
    for oid in dict.fromkeys(oids):
        path = checkout.user_cache / _path_in_cache(out, oid)
        if not path.is_file():
            continue
        if _is_intact(path, oid, out.hash_name):
            intact[oid] = path
        else:
            problem = f"the DVC cache holds other bytes than its hash {oid} says ({path})"
            damaged[oid] = f"{output.path}: {problem}"
    return FoundObjects(intact, damaged)


def _path_in_cache(out: Any, oid: str) -> Path:
    return Path(out.cache.oid_to_path(oid)).relative_to(out.repo.cache.local_cache_dir)


def _download(checkout: Checkout, out: Any, oids: list[str]) -> str:
    """Copy objects from the remote into the clone's own cache.

    Returns:
        One line that says what went wrong; empty on success.
    """
    places = list(map(out.cache.oid_to_path, oids))
    try:
        remote = out.repo.cloud.get_remote_odb(out.remote, "reproduce", out.hash_name)
        remote.fs.get(list(map(remote.oid_to_path, oids)), places, batch_size=remote.fs.jobs)
    except (FileNotFoundError, NoRemoteError, RemoteConfigError):
        _fetch_by_dvc(checkout, out)
    except Exception as error:
        # Every kind of remote raises its own types of errors.
        lines = str(error).splitlines() or ["no reason given"]
        return f"{type(error).__name__}: {lines[0]}"
    return ""


def _fetch_by_dvc(checkout: Checkout, out: Any) -> None:
    """Have DVC fetch an output that the remote does not store by its hash; do nothing for other outputs.

    Such outputs are imports, and data in a cloud-versioned remote.
    """
    if not (out.stage.is_import or out.files or out.meta.version_id):
        return
    try:
        checkout.check_imports(out.stage)
        out.repo.fetch([out.fs_path])
    except DvcException as error:
        raise CannotTryError(f"{out}: DVC cannot fetch it: {with_causes(error)}") from None


def _hint(out: Any, remote_name: str | None) -> str:
    """Return a hint on what to do if the remote does not have an object; empty if there is none."""
    if not remote_name:
        return "; add one (`dvc remote add --default NAME URL`) and `dvc push` where the data is"
    try:
        remote = out.repo.cloud.get_remote(out.remote)
    except DvcException:
        return ""  # the error message already says why the remote cannot be used
    if remote.fs.protocol == "local" and not Path(remote.path).is_dir():
        return f"; that remote is the folder {remote.path}, which this machine does not have"
    return "; run `dvc push` where it is"


def _is_intact(path: Path, oid: str, algorithm: str) -> bool:
    """Return whether the content of a file matches a hash."""
    _, actual = hash_file(str(path), localfs, algorithm)
    return bool(actual.value == oid.removesuffix(".dir"))
