"""Stages as `dvc.lock` records them."""

from dataclasses import dataclass
from typing import Any

from .hashes import with_hash
from .pipelines import join


@dataclass(frozen=True)
class Stage:
    """What `dvc.lock` says of a stage; all paths are relative to the DVC root.

    Attributes:
        cmd: a command or a list of them.
        deps: entry of the lock (`md5`, `size`, and `nfiles` of a folder) by path.
        outs: the same for outputs.
        params: values by file, nested as the lock has them.
    """

    cmd: str | list[str]
    deps: dict[str, dict[str, Any]]
    outs: dict[str, dict[str, Any]]
    params: dict[str, dict[str, Any]]


def stage_of(entry: dict[str, Any], wdir: str) -> Stage:
    """A stage of a lock, whose paths are seen from the folder that it runs in."""
    params = {file: dict(values or {}) for file, values in (entry.get("params") or {}).items()}
    return Stage(
        cmd=entry.get("cmd") or "",
        deps={join(wdir, dep["path"]): with_hash(dep) for dep in entry.get("deps") or ()},
        outs={join(wdir, out["path"]): with_hash(out) for out in entry.get("outs") or ()},
        params={join(wdir, file): values for file, values in params.items()},
    )
