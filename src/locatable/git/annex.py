"""Files that git-annex keeps: a commit has a link or a short text in place of each, which names its key."""

import hashlib
import re
import shutil
from pathlib import Path

from . import clone_git, git

# As git-annex has it; of a file that is unlocked, Git has the text, of any other the link.
_POINTER = re.compile(rb"/annex/objects/(?P<key>[^/\n]+)\n?(/annex/[^\n]*\n)*")
_LINK = re.compile(rb"(?:[^\n]*/)?\.git/annex/objects/(?:[^/\n]+/)*(?P<key>[^/\n]+)")
_LONGEST_POINTER = 32 * 1024  # bytes
# Characters of the names of folders.
_CHARACTERS = "0123456789zqjxkmvwgpfZQJXKMVWGPF"


def key_of(content: bytes) -> str | None:
    """Return the key that a blob names, as a link's target or as text; None if it is neither."""
    if len(content) > _LONGEST_POINTER or b"annex/objects/" not in content:
        return None
    found = _POINTER.fullmatch(content) or _LINK.fullmatch(content)
    return found["key"].decode(errors="surrogateescape") if found else None


def stored_file(common: Path, key: str) -> Path | None:
    """Return content by its key, None when this machine does not have it.

    Args:
        common: Git's folder of a repository, the one that all its work trees share.
        key: see `key_of`.
    """
    name = key.encode(errors="surrogateescape")
    hashed = hashlib.md5(name, usedforsecurity=False)
    lower = hashed.hexdigest()
    # Work trees have folders of mixed case, bare repositories those of lower case.
    for folder in (_mixed(hashed.digest()), f"{lower[:3]}/{lower[3:6]}"):
        place = common / "annex/objects" / folder / key / key
        if place.is_file():
            return place
    return None


def _mixed(digest: bytes) -> str:
    """Return the folders of mixed case, as `git annex examinekey --format='${hashdirmixed}'` has them."""
    word = int.from_bytes(digest[:4], "little")
    first, second, third, fourth = (_CHARACTERS[(word >> shift) & 31] for shift in (0, 6, 12, 18))
    return f"{second}{first}/{fourth}{third}"


def fill_in(clone: Path, common: Path) -> dict[Path, str]:
    """Put the contents that this machine has in place of links and pointers; git-annex need not be installed.

    Returns:
        The key of each file whose content this machine does not have.
    """
    missing = {}
    for path, key in _annexed(clone).items():
        stored = stored_file(common, key)
        if stored:
            path.unlink()
            shutil.copyfile(stored, path)
        else:
            missing[path] = key
    return missing


def fill_in_for_trials(clone: Path, source: Path | None) -> None:
    """Do the same in a clone whose changes are committed: Git is to leave the contents alone.

    A file whose content is not here is taken away, so that DVC misses it: a pointer is no input of a stage.

    Args:
        clone: Git root of a clone.
        source: a folder of the repository that it is a clone of, None where that is on another machine.
    """
    annexed = _annexed(clone)
    if annexed:
        repo = source or clone
        common = repo / git(repo, "rev-parse", "--git-common-dir")
        for path in fill_in(clone, common):
            path.unlink()
        names = [str(path.relative_to(clone)) for path in annexed]
        clone_git(clone, "update-index", "--skip-worktree", "--", *names)


def _annexed(clone: Path) -> dict[Path, str]:
    """Return key by path of what git-annex keeps of a clone."""
    names = clone_git(clone, "ls-files", "-z").split("\0")
    keys = {clone / name: _key_at(clone / name) for name in names if name}
    return {path: key for path, key in keys.items() if key is not None}


def _key_at(path: Path) -> str | None:
    if path.is_symlink():
        return key_of(bytes(path.readlink()))
    if not path.is_file() or path.stat().st_size > _LONGEST_POINTER:
        return None
    with path.open("rb") as file:
        first = file.read(1)
        return key_of(first + file.read()) if first == b"/" else None
