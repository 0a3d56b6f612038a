"""Gathers the members of an archive that hold the result: its history, and the packages of its locks.

The history is a bundle of Git: a file to clone from, with the same bytes in every clone. It is complete. Git
can write a bundle of the last commits alone, but that claims to be complete, and a clone of it is a broken
repository: `git log` and `git fsck` end with an error.
"""

import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from ..errors import ProjectError
from ..git import git
from ..git.partial_clone import fetch_history
from ..git.working_clone import SETTINGS
from ..proof.environment import Step, run_installer
from ..proof.lock_files import make_step, wheels_alone
from ..repository.clone_limits import shallow_history
from .manifest import FILES, Content

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
_DOWNLOAD = ("-m", "pip", "download", "--quiet", "--disable-pip-version-check")
_PROBLEM = "the packages cannot be downloaded"
# A package that is published as source alone is built where it is installed. The pip of Python 3.11 builds by
# setuptools, which the locks have, and by this, which no lock knows of; later ones and uv do without.
BUILDER = """wheel==0.45.1 \\
    --hash=sha256:708e7481cc80179af0e556bbf0cc00b8444c7321e2700b8d8580231d13017248
"""
# Keeps pip from another version, and from packages that the lock does not name.
_AS_LOCKED = ("--require-hashes", "--no-deps")


@dataclass(frozen=True)
class Gathered:
    """The members of an archive that hold the result itself.

    Attributes:
        members: content, or a file with it, by path in the archive.
        places: path in the archive by path of a file or folder of the project.
    """

    members: Mapping[str, Content]
    places: Mapping[str, str]

    def text(self, path: str) -> str:
        """Return a file that Git keeps; an empty text where the archive has no copy of it."""
        content = self.members.get(f"{FILES}/{path}", b"")
        return content.decode(errors="replace") if isinstance(content, bytes) else ""


def check_history(repo: Path, commit: str) -> None:
    """Check that a repository has all of a commit's history; a partial clone fetches what it lacks.

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
        lines = ""
        for ref, commit_id in named.items():
            lines += f"create {ref} {commit_id}\n"
        # The user's hooks are for the user's own work.
        git(alone, "update-ref", "--stdin", text=lines, settings=SETTINGS)
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


def download_wheels(project: Path, locks: list[str], version: str | None, folder: Path) -> list[Path]:
    """Download the packages that locks pin, each with the hash that its lock has.

    Args:
        project: a checkout of the revision.
        locks: their names.
        version: of Python, None for the one that runs.
        folder: for files of pip; the packages are in a folder of it.

    Raises:
        CannotTryError: pip cannot get one of them.
    """
    environment = folder / "pip"
    place = folder / "wheels"
    place.mkdir(parents=True)
    # The environment that we run in can be without pip.
    make = make_step(environment, version, uv=None)
    run_installer(Step(make.command, _PROBLEM), environment)

    def download(requirements: Sequence[Path]) -> None:
        command = [str(environment / "bin/python"), *_DOWNLOAD, *_AS_LOCKED, "--dest", str(place)]
        for file in requirements:
            command += ["--requirement", str(file), *wheels_alone(file.read_text())]
        run_installer(Step(command, _PROBLEM), environment)

    download([project / lock for lock in locks])
    if any(file.suffix != ".whl" for file in place.iterdir()):
        builder = folder / "builder.txt"
        builder.write_text(BUILDER)
        download([builder])
    return sorted(place.iterdir())


def platform_of_wheels(version: str | None) -> str:
    """Say for which Python and platform packages are that are downloaded here."""
    python = version or f"{sys.version_info.major}.{sys.version_info.minor}"
    return f"Python {python} on {platform.system()} {platform.machine()}"
