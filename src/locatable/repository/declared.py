"""What dvc.yaml files declare of stages, beside what `dvc.lock` records of them."""

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import UnreadableError
from .pipelines import address, join
from .snapshot import Snapshot


@dataclass(frozen=True)
class DeclaredStage:
    """What a dvc.yaml says of a stage, templates resolved; all paths are relative to the DVC root.

    Attributes:
        cmd: a command or a list of them.
        deps: paths.
        params: names by file; none for all that the file has.
        outs: for each path, whether DVC (not Git) keeps it.
        is_frozen: DVC does not look at its deps and params.
        persistent: paths at which it finds its own last output (`persist: true`), and may go on from there.
    """

    cmd: str | list[str]
    deps: list[str]
    params: dict[str, list[str]]
    outs: dict[str, bool]
    is_frozen: bool
    persistent: list[str]


def declared_stages(snapshot: Snapshot) -> dict[str, DeclaredStage]:
    """Stages of each dvc.yaml of a revision, by their DVC address.

    Raises:
        UnreadableError: a dvc.yaml is broken.
    """
    declared = {}
    for folder, pipeline in snapshot.pipelines.items():
        path = posixpath.join(folder, "dvc.yaml")
        try:
            for stage, definition in pipeline.definitions.items():
                params = pipeline.declared_params[stage]
                declared[address(folder, stage)] = _declared(definition, pipeline.folders[stage], params)
        except (AttributeError, KeyError, TypeError) as error:
            raise UnreadableError(f"{snapshot.rev[:7]}:{path}: not as DVC writes it: {error!r}") from None
    return declared


def _declared(definition: Mapping[str, Any], wdir: str, params: dict[str, list[str]]) -> DeclaredStage:
    outs: dict[str, bool] = {}
    persistent = []
    for section in ("outs", "metrics", "plots"):
        for path, options in _with_options(definition.get(section)):
            outs[join(wdir, path)] = options.get("cache", True)
            # What DVC runs every time is a check or a download: it replaces what it wrote.
            if options.get("persist") and not definition.get("always_changed"):
                persistent.append(join(wdir, path))
    return DeclaredStage(
        cmd=definition["cmd"],
        deps=[join(wdir, path) for path, _ in _with_options(definition.get("deps"))],
        params=params,
        outs=outs,
        is_frozen=bool(definition.get("frozen")),
        persistent=persistent,
    )


def _with_options(items: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Paths in a list of a stage: each a path, or a path with its settings."""
    for item in items or ():
        settings = item if isinstance(item, dict) else {item: {}}
        for path, options in settings.items():
            yield path, options or {}
