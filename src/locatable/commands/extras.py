"""Optional dependencies: what to install when a command needs one that is missing."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from ..errors import ProjectError


@dataclass(frozen=True)
class Extra:
    """An optional dependency of this package: `pip install 'locatable[name]'`.

    Attributes:
        name: of the extra.
        title: how its main package is called in a sentence.
        packages: what it installs for commands to import.
        commands: those that do not run without it.
    """

    name: str
    title: str
    packages: tuple[str, ...]
    commands: tuple[str, ...] = ()


EXTRAS = (
    Extra("mlflow", "MLflow", ("mlflow", "sqlalchemy"), ("mirror", "ui")),
    Extra(
        "search",
        "Optuna",
        ("optuna", "filelock", "matplotlib", "pydantic", "sklearn", "sqlalchemy"),
        ("search",),
    ),
    Extra("archive", "ro-crate-py", ("rocrate",), ("archive",)),
    Extra("prefect", "Prefect", ("prefect",), ("flow",)),
    Extra("ray", "Ray", ("ray",)),
    Extra("documents", "Pillow and pypdf", ("PIL", "pypdf", "pypdfium2", "numpy"), ("locate", "diff")),
    Extra("page", "matplotlib", ("matplotlib",), ("locate", "diff")),
)


def find_extra(module: str, command: str) -> Extra | None:
    """Return the extra that would have brought a module; None where it belongs to none.

    Args:
        module: name of a module that is missing.
        command: the one that needs it; where two extras bring the module, its own counts.
    """
    package = module.partition(".")[0]
    suitable = [extra for extra in EXTRAS if package in extra.packages]
    for extra in suitable:
        if command in extra.commands:
            return extra
    return suitable[0] if suitable else None


def missing_extra(needed_by: str, extra: Extra, project: Path) -> ProjectError:
    """Return the error for a command, for example `locatable flow`, that cannot run without an extra."""
    command = f"pip install 'locatable[{extra.name}]'"
    if _is_locked(project, extra.name):
        command = f"make setup EXTRAS={extra.name}"
    return ProjectError(f"{needed_by} needs {extra.title}: {command}")


def _is_locked(project: Path, name: str) -> bool:
    """Return true where a generated project has the versions of an extra in its lock."""
    try:
        settings = tomllib.loads((project / "pyproject.toml").read_text())
    except (OSError, ValueError):
        return False
    declared = settings.get("project", {}).get("optional-dependencies", {})
    # Projects of 0.2.0 have a lock for each extra.
    locks = (project / "extras.lock", project / f"extras/{name}.lock")
    return name in declared and any(lock.is_file() for lock in locks)
