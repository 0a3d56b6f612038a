"""What a proof starts from: the clean clone of a revision and its source data.

Used by `locatable reproduce`. The user's repository, cache and remote are only ever
read, and never through DVC's own fetch: that deletes objects it finds damaged.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from dvc.config import Config, NoRemoteError, RemoteConfigError
from dvc.dependency import Dependency
from dvc.exceptions import DvcException
from dvc.fs import localfs
from dvc.output import Output
from dvc.repo import Repo
from dvc_data.hashfile.hash import hash_file
from dvc_objects.fs.generic import transfer

from ..dvc.cache import cache_folder
from ..errors import CannotTryError, GitError
from ..git import git, top_folder


def resolve(rev: str) -> str:
    """Commit of a Git revision, or of the DVC experiment of that name.

    Raises:
        CannotTryError: there is no such revision, or several experiments have the name.
    """
    here = Path.cwd()
    try:
        return git(here, "rev-parse", "--verify", "--quiet", rev + "^{commit}")
    except GitError:
        pass  # not a revision: an experiment, perhaps
    found = git(here, "for-each-ref", "--format=%(objectname)", f"refs/exps/*/*/{rev}").split()
    if not found:
        raise CannotTryError(
            f"{rev}: neither a Git revision nor an experiment here (dvc exp list --all-commits)"
        )
    if len(set(found)) > 1:
        raise CannotTryError(
            f"{rev}: {len(found)} experiments have this name; give the commit of one of them"
        )
    return found[0]


def clone(root: Path, commit: str, folder: Path, site: Path) -> Repo:
    """Check a commit out into a folder of its own.

    Args:
        root: the DVC project in the user's checkout; it may be a subfolder of the Git repository.
        commit: what to check out.
        folder: where to; it must not exist.
        site: a folder for DVC's own notes and for objects from the remote.
    """
    top = top_folder(root)
    # `--shared`: no object is copied, and experiments are found although a clone has no refs of them.
    git(root, "clone", "--quiet", "--shared", "--no-checkout", "--template=", str(top), str(folder))
    git(folder, "checkout", "--quiet", "--detach", commit)
    # Where data is, the user's own settings say best: credentials, a shared cache, a remote that has moved.
    mine = Config(str(root / ".dvc"))
    settings = {key: dict(mine[key]) for key in ("core", "remote")}
    settings["core"] |= {"site_cache_dir": str(site), "analytics": False, "autostage": False}
    return Repo(
        str(folder / root.relative_to(top)), config=settings | {"cache": {"dir": str(site / "cache")}}
    )


def user_cache(root: Path) -> Path:
    """The folder in which the user's DVC keeps objects."""
    return cache_folder(root)


def inside(dep: Dependency) -> None:
    """Refuse a dependency that leads out of the clone: a link's target is in no revision.

    Raises:
        CannotTryError: it is, or holds, a symbolic link to somewhere else.
    """
    path, tree = Path(dep.fs_path), Path(dep.repo.scm.root_dir).resolve()
    for each in (path, *path.rglob("*")):
        if not each.resolve().is_relative_to(tree):
            name = each.relative_to(dep.repo.root_dir)
            raise CannotTryError(f"{name} is a link to {each.resolve()}, which is outside the project")


def fetch(out: Output, cache: Path) -> list[str]:
    """Put recorded data into the clone, every byte checked against its hash.

    Args:
        out: an output as DVC loaded it from the clone.
        cache: the user's cache, see `user_cache`.

    Returns:
        One line per object that the cache holds with other bytes; good ones came from the remote.

    Raises:
        CannotTryError: an object is in neither cache nor remote.
    """
    place, faults = Path(out.fs_path), []
    objects = _objects(out, [out.hash_info.value], cache, faults)
    files = {place: objects[out.hash_info.value]}
    if out.hash_info.isdir:
        entries = json.loads(files[place].read_text())
        objects = _objects(out, [entry["md5"] for entry in entries], cache, faults)
        files = {place / entry["relpath"]: objects[entry["md5"]] for entry in entries}
    for path, source in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        transfer(localfs, str(source), localfs, str(path), links=["reflink", "copy"])
        path.chmod(0o755 if out.meta.isexec else 0o644)
    return faults


def damaged(out: Output, cache: Path) -> list[str]:
    """One line per object of an output that the user's cache holds with other bytes than recorded."""
    oid, faults = out.hash_info.value, []
    kept = _kept(out, [oid], cache, faults)
    if out.hash_info.isdir and oid in kept:
        _kept(out, [entry["md5"] for entry in json.loads(kept[oid].read_text())], cache, faults)
    return faults


def _kept(out: Output, oids: Iterable[str], cache: Path, faults: list[str]) -> dict[str, Path]:
    kept = {}
    for oid in dict.fromkeys(oids):
        path = cache / Path(out.cache.oid_to_path(oid)).relative_to(out.repo.cache.local_cache_dir)
        if not path.is_file():
            continue
        if _holds(path, oid, out.hash_name):
            kept[oid] = path
        else:
            faults.append(f"{out}: the DVC cache holds other bytes than its hash {oid} says ({path})")
    return kept


def _objects(out: Output, oids: list[str], cache: Path, faults: list[str]) -> dict[str, Path]:
    objects = _kept(out, oids, cache, faults)
    missing = sorted(set(oids) - objects.keys())
    if not missing:
        return objects
    here = [out.cache.oid_to_path(oid) for oid in missing]
    problem = ""
    try:
        remote = out.repo.cloud.get_remote_odb(out.remote, "reproduce", out.hash_name)
        remote.fs.get([remote.oid_to_path(oid) for oid in missing], here, batch_size=remote.fs.jobs)
    except (FileNotFoundError, NoRemoteError, RemoteConfigError):
        # Imports and cloud-versioned data have no address by hash; DVC fetches these into the clone's cache.
        _fetch_by_dvc(out)
    except Exception as error:
        problem = (
            f" ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason given'})"
        )
    for oid, path in zip(missing, map(Path, here), strict=True):
        if not path.is_file() or problem:
            name = out.remote or out.repo.config["core"].get("remote")
            where = f"remote '{name}'" if name else "a remote (none is set)"
            hint = f": {faults[-1].split(': ', 1)[1]}" if faults else "; run `dvc push` where it is"
            raise CannotTryError(
                f"{out} ({out.hash_name} {oid}) is in neither the DVC cache nor {where}{problem}{hint}"
            )
        if not _holds(path, oid, out.hash_name):
            raise CannotTryError(f"{out}: the remote holds other bytes than its hash {oid} says")
        objects[oid] = path
    return objects


def _fetch_by_dvc(out: Output) -> None:
    if not (out.stage.is_import or out.files or out.meta.version_id):
        return
    try:
        out.repo.fetch([out.fs_path])
    except DvcException as error:
        raise CannotTryError(f"{out}: DVC cannot fetch it: {str(error).splitlines()[0]}") from None


def _holds(path: Path, oid: str, algorithm: str) -> bool:
    return hash_file(str(path), localfs, algorithm)[1].value == oid.removesuffix(".dir")
