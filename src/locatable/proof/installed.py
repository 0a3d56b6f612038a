"""Which packages an environment holds, and how those here differ from the locked ones."""

import re
import sys
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path

from .conda_prefix import conda_packages

# Without a package that the stage imports, so many of those that differ are named.
MOST_PACKAGES = 5


def distributions(folder: Path) -> Iterable[metadata.Distribution]:
    """Return the Python packages that are installed in an environment."""
    site_packages = [str(path) for path in folder.glob("lib/python*/site-packages")]
    return metadata.distributions(path=site_packages)


def packages_not_as_locked(programs: Path, text: str) -> str:
    """Return packages installed here that the locked environment has not, or in another version.

    Args:
        programs: folder of programs of the locked environment.
        text: what the stage printed, and its code; packages that it imports are named rather than others.
    """
    folder = programs.parent
    locked = installed_versions(folder, distributions(folder))
    here = installed_versions(Path(sys.prefix), metadata.distributions())
    return name_packages(here, locked, metadata.packages_distributions(), text)


def installed_versions(folder: Path, packages: Iterable[metadata.Distribution]) -> dict[str, str]:
    """Version by name of each package, those that are not Python's included.

    Args:
        folder: the environment.
        packages: the Python packages in it.
    """
    # An interrupted installation leaves folders that name no package.
    of_python = {package.name: package.version for package in packages if package.name}
    known = {_normalized(name) for name in of_python}
    # conda's version of a package of Python can be written in another way; Python's own word counts.
    of_conda = conda_packages(folder)
    others = {name: version for name, version in of_conda.items() if _normalized(name) not in known}
    return {**others, **of_python}


def name_packages(
    here: Mapping[str, str], locked: Mapping[str, str], owners: Mapping[str, list[str]], text: str
) -> str:
    """Return the names of the packages that are most likely the reason why a stage does better here.

    Args:
        here: version by name of each package installed here.
        locked: the same, of the locked environment.
        owners: names of the packages that a module can come from, by name of the module.
        text: what the stage printed, and its code.

    Returns:
        Names and versions, joined by commas.
    """
    locked_versions = {_normalized(name): version for name, version in locked.items()}
    differing = {
        name: version for name, version in here.items() if locked_versions.get(_normalized(name)) != version
    }
    suspects: set[str] = set()
    for module, packages in owners.items():
        if not re.search(rf"(?:import|from|module named)\s+'?{re.escape(module)}\b", text):
            continue
        found = [name for name in packages if name in differing]
        # Several packages can share a module; the one of its name brings the others.
        namesakes = [name for name in found if _normalized(name) == _normalized(module)]
        suspects.update(namesakes or found)
    named = sorted(suspects) or sorted(differing)[:MOST_PACKAGES]
    return ", ".join(f"{name} {differing[name]}" for name in named)


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
