"""Optional dependencies: what to install when a command needs one that is missing."""

from dataclasses import dataclass
from pathlib import Path

from .errors import ProjectError


@dataclass(frozen=True)
class Extra:
    """An optional dependency of this package: `pip install 'locatable[name]'`.

    Attributes:
        name: of the extra.
        package: the Python package that commands import.
        title: how the package is called in a sentence.
    """

    name: str
    package: str
    title: str


EXTRAS = (
    Extra("mlflow", "mlflow", "MLflow"),
    Extra("search", "optuna", "Optuna"),
    Extra("prefect", "prefect", "Prefect"),
    Extra("ray", "ray", "Ray"),
)


def find_extra(error: ModuleNotFoundError) -> Extra | None:
    """The extra that would have brought a missing module; None where it belongs to none."""
    package = (error.name or "").partition(".")[0]
    for extra in EXTRAS:
        if extra.package == package:
            return extra
    return None


def missing_extra(needed_by: str, extra: Extra, project: Path) -> ProjectError:
    """The error for a command that cannot run without an extra.

    Args:
        needed_by: what needs it, for example `locatable flow`.
        extra: what is missing.
        project: root of the user's project.
    """
    # A generated project has a lock for each extra, and installs it from there.
    in_lock = (project / "extras" / f"{extra.name}.lock").is_file()
    install = f"make setup EXTRAS={extra.name}" if in_lock else f"pip install 'locatable[{extra.name}]'"
    return ProjectError(f"{needed_by} needs {extra.title}: {install}")
