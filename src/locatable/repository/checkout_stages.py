"""The stages of a checkout as DVC understands them, as plain typed values.

Whoever reasons about stages needs these values and not DVC; `locatable.clones.checkout` makes them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Dependency:
    """A file or folder that a stage reads.

    Attributes:
        path: where it is, absolute.
        name: how DVC calls it, a path relative to the DVC root.
        recorded: its hash in dvc.lock, None where dvc.lock has none.
        in_project: whether it lies inside the DVC project.
    """

    path: Path
    name: str
    recorded: str | None = None
    in_project: bool = True


@dataclass(frozen=True)
class DeclaredParams:
    """The params of one file that a stage declares.

    Attributes:
        path: of the params file, absolute.
        name: how DVC calls the file, a path relative to the DVC root.
        keys: dotted keys of what is declared; none where it is the whole file.
        recorded: values in dvc.lock by key; a value can hold further values.
        current: the same, as the file has them.
        in_project: whether the file lies inside the DVC project.
    """

    path: Path
    name: str
    keys: tuple[str, ...] = ()
    recorded: Mapping[str, Any] = field(default_factory=dict)
    current: Mapping[str, Any] = field(default_factory=dict)
    in_project: bool = True


@dataclass(frozen=True)
class Output:
    """A file or folder that a stage writes, or that a .dvc file tracks.

    Attributes:
        path: where it is, absolute.
        name: how DVC calls it, a path relative to the DVC root.
        recorded: its hash in dvc.lock or the .dvc file, None where there is none.
        cached: whether DVC keeps it in its cache; otherwise Git keeps it.
        in_project: whether it lies inside the DVC project.
        persistent: whether a stage finds its own last output there (`persist: true`).
        size: bytes in it as recorded, None where that is not.
    """

    path: Path
    name: str
    recorded: str | None = None
    cached: bool = True
    in_project: bool = True
    persistent: bool = False
    size: int | None = None


@dataclass(frozen=True)
class Stage:
    """A stage with its commands; all paths are absolute.

    Attributes:
        address: what DVC calls it: `train`, `pipelines/a/dvc.yaml:train@x`.
        name: the last part of the address.
        commands: to be run by a shell, one after the other.
        folder: where they run.
        pipeline: the dvc.yaml that declares it.
        dependencies: files and folders that it reads.
        params: params that it reads, by file.
        outputs: what it writes.
        frozen: whether DVC never runs it again.
        command_changed: whether dvc.lock records other commands.
    """

    address: str
    name: str
    commands: tuple[str, ...]
    folder: Path
    pipeline: Path
    dependencies: tuple[Dependency, ...] = ()
    params: tuple[DeclaredParams, ...] = ()
    outputs: tuple[Output, ...] = ()
    frozen: bool = False
    command_changed: bool = False

    @property
    def lock_name(self) -> str:
        """Name of the lock file that records the stage, for messages."""
        return self.pipeline.with_suffix(".lock").name

    @property
    def input_paths(self) -> list[Path]:
        """Files and folders that the stage declares to read, params files aside."""
        return [dependency.path for dependency in self.dependencies]
