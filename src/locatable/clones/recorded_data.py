"""Recorded data, from the user's cache or the remote, every byte checked against its hash.

Never through DVC's own fetch into the user's cache: that deletes objects that it finds damaged.
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
class CachedObjects:
    """What the user's cache holds of some objects.

    Attributes:
        intact: path of each object by its hash, where the bytes are those that the hash names.
        damaged: one line for each object whose bytes are others.
    """

    intact: dict[str, Path]
    damaged: list[str]


def fetch(checkout: Checkout, output: Output, target: Path | None = None) -> list[str]:
    """Put a recorded output into the clone, at its own place or at `target`.

    Returns:
        One line per object that the user's cache holds with other bytes; good ones came from the remote.

    Raises:
        CannotTryError: an object is in neither cache nor remote.
    """
    out = checkout.dvc_output(output)
    objects, entries = _with_entries(checkout, output, _objects)
    place = target or checkout.path_of(output.path)
    if not out.hash_info.isdir:
        entries = {"": out.hash_info.value}  # a file is the only entry of itself
    for name, oid in entries.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        copy_file(objects.intact[oid], path)
        path.chmod(0o755 if out.meta.isexec else 0o644)
    return objects.damaged


def stored_objects(checkout: Checkout, output: Output) -> dict[str, Path]:
    """Return the objects of a recorded output: files by their place in a cache or a remote of DVC's.

    Raises:
        CannotTryError: an object is in neither cache nor remote.
    """
    out = checkout.dvc_output(output)
    objects, _ = _with_entries(checkout, output, _objects)
    return {_place_in_cache(out, oid).as_posix(): path for oid, path in objects.intact.items()}


def damaged_objects(checkout: Checkout, output: Output) -> list[str]:
    """Return one line per object of an output that the user's cache holds with other bytes than recorded."""
    objects, _ = _with_entries(checkout, output, _cached)
    return objects.damaged


# Looks for objects of an output.
Find = Callable[[Checkout, Output, Iterable[str]], CachedObjects]


def _with_entries(checkout: Checkout, output: Output, find: Find) -> tuple[CachedObjects, dict[str, str]]:
    """Return the objects of an output; of a folder, those of its files too, and their hashes by name."""
    info = checkout.dvc_output(output).hash_info
    found = find(checkout, output, [info.value])
    if not info.isdir or info.value not in found.intact:
        return found, {}
    # DVC lists what is in a folder in an object of its own.
    entries = {}
    for entry in json.loads(found.intact[info.value].read_text()):
        entries[entry["relpath"]] = entry["md5"]
    files = find(checkout, output, entries.values())
    return CachedObjects(found.intact | files.intact, found.damaged + files.damaged), entries


def _objects(checkout: Checkout, output: Output, oids: Iterable[str]) -> CachedObjects:
    """Return objects of the user's cache; from the remote, those that it lacks or holds damaged."""
    wanted = list(dict.fromkeys(oids))
    cached = _cached(checkout, output, wanted)
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
            hint = _where_to_look(out, name)
            if cached.damaged:
                hint = ": " + cached.damaged[-1].split(": ", 1)[1]
            remote = f"remote '{name}'" if name else "a remote (none is set)"
            what = f"{output.path} ({out.hash_name} {oid})"
            raise CannotTryError(f"{what} is in neither the DVC cache nor {remote}{reason}{hint}")
        if not _holds(path, oid, out.hash_name):
            raise CannotTryError(f"{output.path}: the remote holds other bytes than its hash {oid} says")
        downloaded[oid] = path
    return CachedObjects(cached.intact | downloaded, cached.damaged)


def _cached(checkout: Checkout, output: Output, oids: Iterable[str]) -> CachedObjects:
    out = checkout.dvc_output(output)
    intact = {}
    damaged = []
    for oid in dict.fromkeys(oids):
        path = checkout.user_cache / _place_in_cache(out, oid)
        if not path.is_file():
            continue
        if _holds(path, oid, out.hash_name):
            intact[oid] = path
        else:
            damaged.append(
                f"{output.path}: the DVC cache holds other bytes than its hash {oid} says ({path})"
            )
    return CachedObjects(intact, damaged)


def _place_in_cache(out: Any, oid: str) -> Path:
    return Path(out.cache.oid_to_path(oid)).relative_to(out.repo.cache.local_cache_dir)


def _download(checkout: Checkout, out: Any, oids: list[str]) -> str:
    """Bring objects from the remote into the clone's own cache; returns what went wrong, or nothing."""
    places = list(map(out.cache.oid_to_path, oids))
    try:
        remote = out.repo.cloud.get_remote_odb(out.remote, "reproduce", out.hash_name)
        remote.fs.get(list(map(remote.oid_to_path, oids)), places, batch_size=remote.fs.jobs)
    except (FileNotFoundError, NoRemoteError, RemoteConfigError):
        # Imports and cloud-versioned data have no address by hash; DVC fetches these.
        _fetch_by_dvc(checkout, out)
    except Exception as error:
        # Each kind of remote has errors of its own.
        lines = str(error).splitlines() or ["no reason given"]
        return f"{type(error).__name__}: {lines[0]}"
    return ""


def _fetch_by_dvc(checkout: Checkout, out: Any) -> None:
    if not (out.stage.is_import or out.files or out.meta.version_id):
        return
    try:
        checkout.check_imports(out.stage)
        out.repo.fetch([out.fs_path])
    except DvcException as error:
        raise CannotTryError(f"{out}: DVC cannot fetch it: {with_causes(error)}") from None


def _where_to_look(out: Any, remote_name: str | None) -> str:
    """Return what to do about an object that the remote of this name does not give."""
    if not remote_name:
        return "; add one (`dvc remote add --default NAME URL`) and `dvc push` where the data is"
    try:
        remote = out.repo.cloud.get_remote(out.remote)
    except DvcException:
        return ""  # the reason why not is told
    if remote.fs.protocol == "local" and not Path(remote.path).is_dir():
        return f"; that remote is the folder {remote.path}, which this machine does not have"
    return "; run `dvc push` where it is"


def _holds(path: Path, oid: str, algorithm: str) -> bool:
    """Return whether the bytes of a file are those that a hash names."""
    return bool(hash_file(str(path), localfs, algorithm)[1].value == oid.removesuffix(".dir"))
