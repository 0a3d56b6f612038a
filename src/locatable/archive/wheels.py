"""The packages of a revision's locks as files, for machines without a package index."""

import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from ..proof.hashed_lock import make_step, wheels_alone
from ..proof.installer import Step, run_installer

# What pip must not do: take another version, or what the lock does not name.
_DOWNLOAD = ("-m", "pip", "download", "--quiet", "--disable-pip-version-check")
_PROBLEM = "the packages cannot be downloaded"
# A package that is published as source alone is built where it is installed. The pip of Python 3.11 builds by
# setuptools, which the locks have, and by this, which no lock knows of; later ones and uv do without.
BUILDER = """wheel==0.45.1 \\
    --hash=sha256:708e7481cc80179af0e556bbf0cc00b8444c7321e2700b8d8580231d13017248
"""
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
    # The environment that we run in can be without pip.
    make = make_step(environment, version, uv=None)
    run_installer(Step(make.command, _PROBLEM), environment)

    def download(requirements: Sequence[Path]) -> None:
        command = [str(environment / "bin/python"), *_DOWNLOAD, *_AS_LOCKED, "--dest", str(place)]
        for file in requirements:
            command += ["--requirement", str(file), *wheels_alone(file.read_text())]
        run_installer(Step(command, _PROBLEM), environment)

    download([project / lock for lock in locks])
    if any(not is_wheel(file) for file in place.iterdir()):
        builder = folder / "builder.txt"
        builder.write_text(BUILDER)
        download([builder])
    return sorted(place.iterdir())


def is_wheel(file: Path) -> bool:
    """Whether a package needs not be built before it is installed."""
    return file.suffix == ".whl"


def platform_of_wheels(version: str | None) -> str:
    """For which Python and platform packages are that are downloaded here, in words."""
    python = version or f"{sys.version_info.major}.{sys.version_info.minor}"
    return f"Python {python} on {platform.system()} {platform.machine()}"
