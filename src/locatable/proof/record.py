"""What a revision records about its stages, checked against itself and against a rebuild.

Used by `locatable reproduce`. Nothing here runs a stage.
"""

import math
import re
from pathlib import Path
from typing import Any

from dvc.dependency import ParamsDependency
from dvc.fs import localfs
from dvc.output import Output
from dvc.stage import Stage
from dvc.utils.serialize import LOADERS, ParseError

FINE = ("identical", "within rtol")
VALUES = {".json", ".yaml", ".yml", ".toml"}


def contradictions(stage: Stage) -> list[str]:
    """Where the lock says other than the revision's own dvc.yaml, params files and outputs kept in Git."""
    name, lock, faults = stage.addressing, Path(stage.path).with_suffix(".lock").name, []
    if stage.cmd_changed:
        faults.append(f"{name}: {lock} records another command than dvc.yaml has")
    for dep in stage.deps:
        if isinstance(dep, ParamsDependency):
            now = flat(dep.read_params())
            recorded = flat(dep.hash_info.value or {})
            for key in sorted(now.keys() | recorded.keys()):
                if now.get(key) != recorded.get(key):
                    values = f"{key} = {recorded.get(key)!r}, {dep} has {now.get(key)!r}"
                    faults.append(f"{name}: {lock} records {values}")
    for out in stage.outs:
        if not out.hash_info:
            faults.append(f"{name}: {lock} does not record {out}")
        elif not out.use_cache and not out.exists:
            faults.append(f"{name}: {lock} records {out}, which this revision does not hold")
        elif not out.use_cache and out.get_hash() != out.hash_info:
            faults.append(f"{name}: {out} in Git is not the one that {lock} records")
    return faults


def wrong_inputs(stage: Stage, differing: list[Path]) -> list[str]:
    """Dependencies that are not what the lock records, leaving out what differs from an earlier stage on."""
    lock, faults = Path(stage.path).with_suffix(".lock").name, []
    for dep in stage.deps:
        if isinstance(dep, ParamsDependency) or overlaps(Path(dep.fs_path), differing):
            continue
        recorded = dep.hash_info.value
        actual = dep.get_hash().value if dep.exists else "missing"
        if actual != recorded:
            faults.append(f"{stage.addressing}: {lock} records {dep} as {recorded}, and it is {actual}")
    return faults


def overlaps(path: Path, others: list[Path]) -> bool:
    """Whether a path lies in one of the others, or one of them in it."""
    return any(path.is_relative_to(other) or other.is_relative_to(path) for other in others)


def foreign_paths(stage: Stage, top: Path) -> list[str]:
    """Where the command of a stage, or a file that it declares, names the user's own checkout."""
    name = re.compile(rf"(?<![\w.:/-]){re.escape(str(top))}(?![\w.-])")
    paths = [Path(dep.fs_path) for dep in stage.deps if not isinstance(dep, ParamsDependency)]
    places = ["its command"] if name.search(str(stage.cmd)) else []
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if (
                file.is_file()
                and file.stat().st_size < 1_000_000
                and name.search(file.read_text(errors="ignore"))
            ):
                places.append(str(file.relative_to(stage.repo.root_dir)))
    return [
        f"{stage.addressing}: {place} names {top}, a folder that only this machine has" for place in places
    ]


def values(out: Output) -> dict[str, Any] | None:
    """What a JSON, YAML or TOML output says, by dotted key; None for any other output."""
    path = Path(out.fs_path)
    if path.suffix.lower() not in VALUES or not path.is_file():
        return None
    try:
        return flat(LOADERS[path.suffix.lower()](str(path), fs=localfs))
    except ParseError:
        return None


def flat(content: Any, before: str = "") -> dict[str, Any]:
    """Nested values by dotted key, those of lists by their position."""
    if isinstance(content, list):
        content = dict(enumerate(content)) or content
    if isinstance(content, dict) and content:
        parts = [flat(value, f"{before}.{key}" if before else str(key)) for key, value in content.items()]
        return {key: value for part in parts for key, value in part.items()}
    return {before: content}


def changes(recorded: dict[str, Any], rebuilt: dict[str, Any], rtol: float) -> list[str]:
    """The values that differ, numbers by more than `rtol` times the larger one."""

    def same(one: Any, other: Any) -> bool:
        numbers = all(
            isinstance(value, int | float) and not isinstance(value, bool) for value in (one, other)
        )
        # What is not a number equals nothing, not even itself.
        both_nan = one != one and other != other
        return both_nan or (math.isclose(one, other, rel_tol=rtol) if numbers else one == other)

    return [
        f"{key} {recorded.get(key, 'nothing')} -> {rebuilt.get(key, 'nothing')}"
        for key in sorted(recorded.keys() | rebuilt.keys())
        if not same(recorded.get(key), rebuilt.get(key))
    ]


def verdicts(
    stage: Stage, rebuilt: dict[str, str | None], kept: dict[str, Any], rtol: float
) -> list[dict[str, Any]]:
    """One row per output of a stage.

    Args:
        stage: with its rebuilt outputs in place.
        rebuilt: hash by path, None where there is no output; empty if the stage did not run.
        kept: the recorded `values` by path.
        rtol: see `changes`.

    Returns:
        Rows of stage, output, path, recorded, rebuilt, verdict and changed values.
    """
    rows = []
    for out in stage.outs:
        hashed, changed = rebuilt.get(out.fs_path), []
        if not rebuilt:
            verdict = "not tried"
        elif hashed is None:
            verdict = "missing"
        elif hashed == out.hash_info.value:
            verdict = "identical"
        else:
            now, then = values(out), kept.get(out.fs_path)
            changed = changes(then, now, rtol) if now is not None and then is not None else []
            comparable = now is not None and then is not None
            verdict = "within rtol" if rtol and comparable and not changed else "differs"
        rows.append(
            {
                "stage": stage.addressing,
                "output": str(out),
                "path": out.fs_path,
                "recorded": out.hash_info.value,
                "rebuilt": hashed,
                "verdict": verdict,
                "changed": changed,
            }
        )
    return rows
