"""The history of a revision as a bundle of Git: a file to clone from, with the same bytes in every clone.

All of the history is in it. Git can write a bundle of the last commits alone, but that says of itself that it
is complete, and what is cloned from it is a broken repository: `git log` and `git fsck` end with an error.
"""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from ..errors import ProjectError
from ..git import git
from ..git.partial_clone import fetch_history
from ..git.working_clone import SETTINGS
from ..repository.clone_limits import shallow_history

# A clone of the bundle has this branch checked out.
BRANCH = "refs/heads/result"
# How objects are packed must not depend on who packs them: not on how many processors there are, which
# settings a user has, or how the repository has packed them before.
PACKING = {
    "core.bigFileThreshold": "512m",
    "core.compression": "6",
    "pack.compression": "6",
    "pack.depth": "50",
    "pack.deltaCacheSize": "256m",
    "pack.indexVersion": "2",
    "pack.packSizeLimit": "0",
    "pack.threads": "1",
    "pack.useSparse": "true",
    "pack.window": "10",
    "pack.windowMemory": "0",
    "repack.useDeltaIslands": "false",
    "repack.writeBitmaps": "false",
}


def check_history(repo: Path, commit: str) -> None:
    """See that a repository has all of a commit's history; a partial clone fetches what it lacks.

    Raises:
        ProjectError: the clone is shallow.
        GitError: the remote of a partial clone does not give what it lacks.
    """
    problem = shallow_history(repo)
    if problem:
        raise ProjectError(f"an archive holds all of the history, and {problem}")
    fetch_history(repo, commit)


def write_bundle(repo: Path, commit: str, refs: Mapping[str, str], target: Path) -> None:
    """Write a bundle of a commit.

    Args:
        repo: a folder of the repository.
        commit: what a clone of the bundle checks out.
        refs: commits by the names of more refs that are to be in it.
        target: the file.

    Raises:
        GitError: Git refuses; an object may be damaged.
    """
    with TemporaryDirectory(prefix="bundle-", dir=target.parent) as folder:
        alone = Path(folder, "alone.git")
        _init(repo, alone)
        named = {BRANCH: commit, **refs}
        lines = [f"create {ref} {commit_id}\n" for ref, commit_id in named.items()]
        # The user's hooks are for the user's own work.
        git(alone, "update-ref", "--stdin", text="".join(lines), settings=SETTINGS)
        git(alone, "symbolic-ref", "HEAD", BRANCH, settings=SETTINGS)
        # Packed anew, not as the repository has it. Only what the refs reach is there to be packed.
        git(alone, "repack", "--quiet", "-a", "-d", "-F", settings=PACKING)
        git(alone, "bundle", "create", "--quiet", str(target.resolve()), "HEAD", *named, settings=PACKING)


def _init(repo: Path, folder: Path) -> None:
    """Make a repository without refs that can read the objects of another one."""
    object_format = git(repo, "rev-parse", "--show-object-format")
    options = ("--quiet", "--bare", "--template=", f"--object-format={object_format}")
    git(folder.parent, "init", *options, str(folder))
    objects = git(repo, "rev-parse", "--path-format=absolute", "--git-path", "objects")
    alternates = folder / "objects/info/alternates"
    alternates.parent.mkdir(exist_ok=True)
    alternates.write_text(f"{objects}\n", errors="surrogateescape")
