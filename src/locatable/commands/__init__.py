"""One module for each command: `add_arguments(parser)`, and `run(arguments)`, which returns the exit code.

Their docstrings are what `locatable COMMAND --help` shows. Here is what they share: how they end, and what to
install when one needs an optional dependency that is missing.
"""

import argparse
import signal
from dataclasses import dataclass
from pathlib import Path

from ..errors import ProjectError


def end_as_by_ctrl_c() -> None:
    """Have a command that another process ends, or that loses its terminal, clean up as after Ctrl-C."""
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)


def add_index_option(parser: argparse.ArgumentParser) -> None:
    """Add `--index`, of commands that read many repositories."""
    parser.add_argument("--index", metavar="FILE", type=Path, help="the file of the index")


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
    Extra(
        "documents",
        "Pillow and pypdf",
        ("PIL", "pypdf", "pypdfium2", "resvg_py", "numpy"),
        ("locate", "diff"),
    ),
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
    import tomllib  # needed for an error alone

    try:
        settings = tomllib.loads((project / "pyproject.toml").read_text())
    except (OSError, ValueError):
        return False
    declared = settings.get("project", {}).get("optional-dependencies", {})
    # Projects of 0.2.0 have a lock for each extra.
    locks = (project / "extras.lock", project / f"extras/{name}.lock")
    return name in declared and any(lock.is_file() for lock in locks)
