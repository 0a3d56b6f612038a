"""The packages of a revision's locks as files, for machines without a package index."""

import platform
import sys
from pathlib import Path

from ..errors import CannotTryError
from ..proof.environment import plan_installation, run_installer

# What pip must not do: take another version, or what the lock does not name.
_DOWNLOAD = ("-m", "pip", "download", "--quiet", "--disable-pip-version-check")
_AS_LOCKED = ("--require-hashes", "--no-deps")


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
    problem = "the packages cannot be downloaded"
    # The environment that we run in can be without pip.
    run_installer(plan_installation(environment, version, uv=None).make, project, environment, problem)
    requirements = [part for lock in locks for part in ("--requirement", lock)]
    command = [str(environment / "bin/python"), *_DOWNLOAD, *_AS_LOCKED, "--dest", str(place), *requirements]
    run_installer(command, project, environment, problem)
    wheels = sorted(place.iterdir())
    if not wheels:
        raise CannotTryError(f"{problem}: {', '.join(locks)} names none for this machine")
    return wheels


def platform_of_wheels(version: str | None) -> str:
    """For which Python and platform packages are that are downloaded here, in words."""
    python = version or f"{sys.version_info.major}.{sys.version_info.minor}"
    return f"Python {python} on {platform.system()} {platform.machine()}"
