"""Compare what this package and DVC read from a commit, with one check for each kind of value."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from locatable.locate.by_content import Hashes, roles_of
from locatable.locate.result import RoleKind
from locatable.mlflow.content import RunContent
from locatable.mlflow.limits import slashed
from locatable.mlflow.plan import WantedRun
from locatable.mlflow.revision import revision_content
from locatable.model import Key, flatten, is_in
from locatable.output import redact_urls
from locatable.repository.snapshot import Snapshot
from locatable.results.coordinates import Coordinates, coordinates_of
from locatable.results.staleness import Kind, differences
from locatable.results.values import number, read_metrics, read_outputs

from .dvc_side import DvcRevision, DvcStage, Recorded

# Stands for a value that one side does not have.
NOTHING = "(nothing)"

# Tuples of a key, DVC's value, and our value.
_Values = Iterator[tuple[str, Any, Any]]


def _unequal(what: str, dvc: Mapping[str, Any], ours: Mapping[str, Any]) -> _Values:
    for name in dict.fromkeys([*dvc, *ours]):
        theirs, own = dvc.get(name, NOTHING), ours.get(name, NOTHING)
        if not _same(theirs, own):
            yield f"{what} {name}", theirs, own


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, tuple | list) and isinstance(other, tuple | list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    # Here, NaN equals NaN.
    return bool(one == other) or (one != one and other != other)


def _stages(snapshot: Snapshot, revision: DvcRevision) -> _Values:
    """Compare what each dvc.yaml declares."""
    declared = snapshot.stages
    yield from _unequal("stage", dict.fromkeys(revision.stages, "there"), dict.fromkeys(declared, "there"))
    for address, stage in revision.stages.items():
        if address not in declared:
            continue
        ours = declared[address]
        yield from _unequal(address, {"cmd": stage.cmd}, {"cmd": ours.cmd})
        yield from _unequal(address, {"frozen": stage.frozen}, {"frozen": ours.frozen})
        yield from _unequal(
            f"{address} deps", dict.fromkeys(stage.deps, True), dict.fromkeys(ours.deps, True)
        )
        cached = {path: out.is_cached for path, out in stage.outs.items()}
        yield from _unequal(
            f"{address} outs, cached:", cached, {path: out.cached for path, out in ours.outs.items()}
        )
        names = {file: sorted(set(keys)) for file, keys in stage.params.items()}
        our_names = {file: sorted(set(map(str, keys))) for file, keys in ours.params.items()}
        yield from _unequal(f"{address} params", names, our_names)


def _records(snapshot: Snapshot, revision: DvcRevision) -> _Values:
    """Compare what locks record about stages, and .dvc files about sources."""
    recorded = {address: stage for address, stage in revision.stages.items() if stage.is_recorded}
    commands = {address: stage.recorded_cmd for address, stage in recorded.items()}
    yield from _unequal("recorded cmd", commands, {name: one.cmd for name, one in snapshot.records.items()})
    for address, stage in recorded.items():
        ours = snapshot.records.get(address)
        if ours is None:
            continue
        for section, files, entries in (("deps", stage.deps, ours.deps), ("outs", stage.outs, ours.outs)):
            hashes = {path: entry.hash for path, entry in files.items() if entry.hash}
            # DVC ignores the record of a file that is no longer declared.
            own = {path: _hash(entry) for path, entry in entries.items() if path in files}
            yield from _unequal(f"{address} recorded {section}", hashes, own)
    sources = {path: entry.hash for path, entry in revision.sources.items()}
    yield from _unequal("source", sources, {path: _hash(entry) for path, entry in snapshot.sources.items()})


def _hash(entry: Mapping[str, Any]) -> str | None:
    values = (entry.get(kind) for kind in ("md5", "etag", "checksum"))
    return next((str(value) for value in values if value), None)


def _params(snapshot: Snapshot, revision: DvcRevision) -> _Values:
    """Compare params: the values in the lock, or in the params file if the lock has none."""
    ours = snapshot.params
    recorded: dict[str, list[Any]] = {}
    for stage in revision.stages.values():
        for file, values in stage.recorded_params.items():
            for dotted, value in flatten(values).items():
                recorded.setdefault(str(Key(file, dotted)), []).append(value)
    # DVC shows the values in files, which can be newer than the record.
    changed = {
        Key(file, name)
        for stage in revision.stages.values()
        for file, names in stage.changed_params.items()
        for name in names
    }
    for key in dict.fromkeys([*revision.params, *recorded]):
        if key in ours:
            possible = [*recorded.get(key, []), *([revision.params[key]] if key in revision.params else [])]
            if not any(_same(value, ours[key]) for value in possible):
                yield f"param {key}", possible[0], ours[key]
        elif key in recorded or not (key in revision.default_params or _is_in(changed, key)):
            yield f"param {key}", recorded.get(key, [revision.params.get(key)])[0], NOTHING
    for key in ours.keys() - revision.params.keys() - recorded.keys():
        is_unread = f"params {Key.parse(key).file}" in revision.unread
        if not is_unread and not _named_by_templates(snapshot, key):
            yield f"param {key}", NOTHING, ours[key]


def _is_in(changed: set[Key], text: str) -> bool:
    key = Key.parse(text)
    return any(
        one.file == key.file and (not one.dotted or f"{key.dotted}.".startswith(f"{one.dotted}."))
        for one in changed
    )


def _named_by_templates(snapshot: Snapshot, text: str) -> bool:
    """Return whether a value is from a file in `vars`, which DVC does not show unless a stage names it."""
    key = Key.parse(text)
    named = [pipeline.variables.get(key.file, {}) for pipeline in snapshot.pipelines.values()]
    return any(key.dotted in flatten(values) for values in named)


def _coordinates(snapshot: Snapshot, revision: DvcRevision) -> _Values:
    """Check that each hash that DVC records is in the coordinate that it belongs to."""
    found = coordinates_of(snapshot)
    sources = {path: entry.hash for path, entry in revision.sources.items() if entry.hash}
    own = {**found.data.content, **found.environment.content["files"]}
    yield from _unequal("data", sources, {path: own[path] for path in sources if path in own})
    executed = {
        f"{address} {path}": entry.hash
        for address, stage in revision.stages.items()
        for path, entry in stage.outs.items()
        if stage.is_recorded and entry.hash
    }
    ours = {
        f"{address} {path}": value
        for address, stage in found.execution.content["stages"].items()
        for path, value in stage["outs"].items()
    }
    yield from _unequal("execution", executed, {name: ours[name] for name in executed if name in ours})
    yield from _inputs(found, revision)
    yield from _unequal("params", snapshot.params, found.params.content)


def _inputs(found: Coordinates, revision: DvcRevision) -> _Values:
    """Check that everything that stages read and no stage wrote is code, data or environment."""
    content = [found.code.content["files"], found.data.content, found.environment.content["files"]]
    known = {path: str(value) for part in content for path, value in part.items()}
    outs = {path for stage in revision.stages.values() for path in stage.outs}
    params = {file for stage in revision.stages.values() for file in stage.params} | {"params.yaml"}
    for address, stage in revision.stages.items():
        for path, entry in stage.deps.items():
            is_written = any(_overlap(path, out) for out in outs)
            if not stage.is_recorded or not entry.hash or is_written or path in params:
                continue
            if entry.hash not in known.get(path, "").split("+"):
                yield f"input {path} of {address}", entry.hash, known.get(path, NOTHING)


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")


def _located(snapshot: Snapshot, revision: DvcRevision) -> _Values:
    """Check that a file with a recorded hash is located at the path for which DVC records it."""
    expected: dict[tuple[str, str], dict[str, set[str]]] = {}

    def expect(path: str, entry: Recorded, role: str, replacing: bool = False) -> None:
        # Etags and versions of servers are not hashes of a file's content, so no file can be located by them.
        if entry.hash and entry.kind in ("md5", "md5-dos2unix"):
            places = expected.setdefault((entry.hash, entry.kind), {})
            places[path] = {role} if replacing else places.get(path, set()) | {role}

    recorded = {address: stage for address, stage in revision.stages.items() if stage.is_recorded}
    for address, stage in recorded.items():
        for path, entry in stage.deps.items():
            expect(path, entry, _role(RoleKind.INPUT, address))
    # For a file that one stage wrote and others read, `locate` reports the writer.
    for path, entry in revision.sources.items():
        named = [address for address, (place, _) in revision.artifacts.items() if is_in(place, path)]
        name = named[0].rpartition(":")[2] if named else ""
        role = _role(RoleKind.ARTIFACT, name) if name else _role(RoleKind.SOURCE)
        expect(path, entry, role, replacing=True)
    for address, stage in recorded.items():
        for path, entry in stage.outs.items():
            expect(path, entry, _role(RoleKind.OUTPUT, address), replacing=True)
    for (md5, kind), places in expected.items():
        names = {"md5": set[str](), "md5-dos2unix": set[str](), kind: {md5}}
        roles = roles_of(snapshot, [], Hashes(names["md5"], names["md5-dos2unix"]))
        for path, wanted in places.items():
            ours = _role(roles[path].kind, roles[path].stage) if path in roles else NOTHING
            if ours not in wanted:
                yield f"located {path}", " or ".join(sorted(wanted)), ours


def _role(kind: RoleKind, stage: str | None = None) -> str:
    return f"{kind.name} {stage or ''}".strip()


def _metrics(snapshot: Snapshot, revision: DvcRevision) -> _Values:
    """Compare metrics by file, and check that the run in MLflow has each number."""
    contents = read_outputs(snapshot).contents
    ours: dict[str, Any] = {}
    for path, content in contents.items():
        if revision.metrics.get(path):
            values = read_metrics(path, content)
            ours |= {f"{path}:{name}": value for name, value in values.items()}
    run = revision_content(snapshot, WantedRun(snapshot.rev, snapshot.rev))
    for path, values in revision.metrics.items():
        for dotted, value in values.items():
            key = f"{path}:{dotted}"
            name = slashed(dotted) or Path(path).stem
            if isinstance(value, int | float | str) and not _same(value, ours.get(key, NOTHING)):
                yield f"metric {key}", value, ours.get(key, NOTHING)
            elif number(value) is not None and not _is_shown(run, name, value):
                yield f"metric {path}:{dotted} in MLflow", value, NOTHING


def _is_shown(run: RunContent, name: str, value: Any) -> bool:
    """Return whether a run has a metric with this name and value, or a series that ends with the value."""
    ends = {key: points[-1].value for key, points in run.series.items() if points}
    for key, shown in [*run.metrics.items(), *ends.items()]:
        is_named = key.endswith(name) or f"/{name} " in f"/{key}"
        if is_named and _same(number(shown), number(value)):
            return True
    return False


def _plots(snapshot: Snapshot, revision: DvcRevision) -> _Values:
    """Check that the files that DVC draws are among the outputs from which MLflow's run is made."""
    contents = read_outputs(snapshot).contents
    ours = {path: _excerpt(contents[path]) for path in revision.plots if path in contents}
    yield from _unequal("plot", {path: _excerpt(text) for path, text in revision.plots.items()}, ours)


def _excerpt(content: bytes) -> tuple[int, int]:
    return len(content), hash(content)


def _artifacts(snapshot: Snapshot, revision: DvcRevision) -> _Values:
    ours = {f"{one.name} {one.path}": one.type for one in snapshot.artifacts}
    theirs = {f"{name.partition(':')[2]} {path}": kind for name, (path, kind) in revision.artifacts.items()}
    yield from _unequal("artifact", theirs, ours)


def _stale(snapshot: Snapshot, revision: DvcRevision) -> _Values:
    """Compare which commands and params have changed since the lock was written."""
    found = differences(snapshot)
    dvc: dict[str, bool] = {}
    ours: dict[str, bool] = {}
    for address, stage in revision.stages.items():
        if stage.is_recorded and revision.stages:
            dvc |= {f"{address} {what}": True for what in _changes(stage)}
    for one in found:
        if one.kind is Kind.COMMAND:
            ours[f"{one.stage} cmd"] = True
        if one.kind is Kind.PARAM:
            key = Key.parse(one.name)
            file = one.name if one.name in revision.stages[one.stage].params else key.file
            ours[f"{one.stage} params of {file}"] = True
    yield from _unequal("changed since:", dvc, ours)


def _changes(stage: DvcStage) -> Iterator[str]:
    if stage.cmd != stage.recorded_cmd:
        yield "cmd"
    if not stage.frozen:
        yield from (f"params of {file}" for file in stage.changed_params)


def _datasets(snapshot: Snapshot, revision: DvcRevision) -> _Values:
    """Check that the run in MLflow has all sources as datasets, and all params."""
    run = revision_content(snapshot, WantedRun(snapshot.rev, snapshot.rev))
    shown = {dataset.name: dataset.digest for dataset in run.datasets}
    sources = {redact_urls(path): one.hash for path, one in revision.sources.items() if one.hash}
    environment = coordinates_of(snapshot).environment.content["files"]
    sources = {path: value for path, value in sources.items() if path not in environment}
    yield from _unequal("dataset", sources, {path: shown[path] for path in sources if path in shown})
    yield from _unequal("run's param", dict.fromkeys(snapshot.params), dict.fromkeys(run.params))


CHECKS: tuple[Callable[[Snapshot, DvcRevision], _Values], ...] = (
    _stages,
    _records,
    _params,
    _coordinates,
    _located,
    _metrics,
    _plots,
    _artifacts,
    _stale,
    _datasets,
)
