"""What each dvc.yaml of a revision declares: read once for all revisions that have the same.

To import DVC takes a fifth of a second, so a dvc.yaml without templates is read here.
`tests/unit/test_against_dvc.py` compares what is read with what DVC's own loader says.
"""

import posixpath
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from ..errors import UnreadableError
from ..model import PARAMS_FILE, Artifact, Output, PipelineFile, Stage, address_of, folders, join
from . import parsing
from .dvc_repo import no_text
from .templates import has_templates, resolve_pipeline, schema_fault

# Content of a file by its path as seen from the Git root; None where there is none.
Read = Callable[[str], bytes | None]

# As much of DVC's schema as most files need: what is of this form, DVC takes, and it is not asked.
_ANY, _REQUIRED = "", {"cmd", "path"}
_OPTIONS = {"cache": bool, "persist": bool, "push": bool, "remote": str, "desc": str, "type": str}
_STYLE = {"x": str, "y": str, "x_label": str, "y_label": str, "title": str, "template": str}
_OUTS = [(str, {_ANY: _OPTIONS})]
_STAGE = {
    "cmd": (str, [str]),
    "wdir": str,
    "deps": [str],
    "params": [(str, dict)],
    "frozen": bool,
    "always_changed": bool,
    "desc": str,
    "outs": _OUTS,
    "metrics": _OUTS,
    "plots": [(str, {_ANY: _OPTIONS | _STYLE})],
}
_DRAWN = {**_STYLE, "x": (str, {_ANY: str}), "y": (str, [str], {_ANY: (str, [str])})}
_FILE = {
    "stages": {_ANY: _STAGE},
    "params": [str],
    "metrics": [str],
    "plots": [(str, {_ANY: (_DRAWN, type(None))})],
    "artifacts": {_ANY: {"path": str, "type": str, "desc": str, "labels": [str]}},
}


class Pipelines:
    """Reads dvc.yaml files; asks DVC where one has templates.

    Args:
        prefix: path from the Git root to the DVC root, empty where they are the same.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        # By folder and content of the file, and by the contents of the files that its templates name.
        self._read: dict[tuple[tuple[str, bytes], tuple[bytes | None, ...]], PipelineFile] = {}
        self._named_files: dict[tuple[str, bytes], tuple[str, ...]] = {}
        self._size = 0

    def read(self, folder: str, content: bytes, read: Read) -> PipelineFile:
        """Return what a dvc.yaml declares.

        Args:
            folder: that it is in, as seen from the DVC root.
            content: of the file.
            read: reads other files of the revision.

        Raises:
            UnreadableError: DVC refuses it.
            AttributeError, KeyError, TypeError, ValueError or yaml.YAMLError: it is not as DVC writes it.
        """
        source = (folder, content)
        # A dvc.yaml says the same as long as the files that its templates name do.
        named = self._named_files.get(source, ())
        key = (source, tuple(read(path) for path in named))
        if key in self._read:
            return self._read[key]
        self._forget_if_many(len(content))
        asked: dict[str, bytes | None] = {}
        pipeline = self._resolve(folder, content, _recording(read, asked))
        # Which files the templates name can depend on values in these: another revision may have named more.
        named = tuple(dict.fromkeys([*named, *asked]))
        self._named_files[source] = named
        self._read[source, tuple(read(path) for path in named)] = pipeline
        return pipeline

    def _forget_if_many(self, size: int) -> None:
        """Make room for a dvc.yaml of so many characters."""
        self._size += size
        if self._size > parsing.MOST_REMEMBERED:
            self._read.clear()
            self._named_files.clear()
            self._size = size

    def _resolve(self, folder: str, content: bytes, read: Read) -> PipelineFile:
        definition = parsing.load_yaml(content) or {}
        if not isinstance(definition, dict):
            raise ValueError(f"expected keys and values, found {definition!r:.60}")
        fault = "" if _fits(definition, _FILE) else schema_fault(definition)
        try:
            pipeline = self._declared(folder, content, definition, read)
        except (AttributeError, KeyError, TypeError, ValueError):
            if fault:
                raise UnreadableError(fault) from None
            raise
        return replace(pipeline, fault=fault or _command_fault(pipeline))

    def _declared(self, folder: str, content: bytes, definition: dict[str, Any], read: Read) -> PipelineFile:
        if not has_templates(content, definition):
            return _pipeline(definition, folder, {})
        place = posixpath.join(self._prefix, folder)
        resolved = resolve_pipeline(definition, place.rstrip("/"), read)
        start = self._prefix or "."
        variables = {posixpath.relpath(file, start): values for file, values in resolved.variables.items()}
        return _pipeline(resolved.definition, folder, variables)


def _fits(value: Any, form: Any) -> bool:
    """Return whether a value has a form: of a type, a list of a form, one of several, or of known keys."""
    match form:
        case dict():
            if not isinstance(value, dict) or not form.keys() & _REQUIRED <= value.keys():
                return False
            known = _ANY in form or value.keys() <= form.keys()
            return known and all(_fits(item, form.get(key, form.get(_ANY))) for key, item in value.items())
        case list():
            return isinstance(value, list) and all(_fits(item, form[0]) for item in value)
        case tuple():
            return any(_fits(value, one) for one in form)
        case _:
            return isinstance(value, form)


def _command_fault(pipeline: PipelineFile) -> str:
    """Return what is no command, which DVC only sees when it is to run it; empty where all are."""
    for name, stage in pipeline.stages.items():
        wrong = no_text(stage.cmd)
        if wrong:
            return f"stages.{name}.cmd: {wrong}"
    return ""


def _recording(read: Read, named: dict[str, bytes | None]) -> Read:
    """Reads files, and adds them to `named`."""

    def read_and_record(path: str) -> bytes | None:
        named[path] = read(path)
        return named[path]

    return read_and_record


def _pipeline(
    definition: Mapping[str, Any], folder: str, variables: dict[str, dict[str, Any]]
) -> PipelineFile:
    stages = {name: _stage(name, stage, folder) for name, stage in (definition.get("stages") or {}).items()}
    metrics = [join(folder, path) for path in definition.get("metrics") or ()]
    plots = [join(folder, path) for path in _plots(definition)]
    plot_definitions: dict[str, dict[str, Any]] = {}
    for name, stage in (definition.get("stages") or {}).items():
        wdir = stages[name].folder
        plot_definitions |= _plot_definitions(stage, wdir)
        metrics += [join(wdir, path) for path, _ in _with_options(stage.get("metrics"))]
        plots += [join(wdir, path) for path in _plots(stage)]
    return PipelineFile(
        stages=stages,
        metrics=tuple(dict.fromkeys(metrics)),
        plots=tuple(dict.fromkeys(plots)),
        plot_definitions=plot_definitions | _plot_definitions(definition, folder),
        params=tuple(join(folder, path) for path in definition.get("params") or ()),
        artifacts=tuple(_artifacts(definition, folder)),
        variables=variables,
    )


def _stage(name: str, definition: Mapping[str, Any], folder: str) -> Stage:
    wdir = join(folder, definition.get("wdir") or ".")
    outs = {}
    for section in ("outs", "metrics", "plots"):
        for path, options in _with_options(definition.get(section)):
            place = join(wdir, path)
            outs[place] = Output(place, options.get("cache", True), bool(options.get("persist")))
    return Stage(
        address=address_of(folder, name),
        folder=wdir,
        cmd=definition["cmd"],
        deps=tuple(join(wdir, path) for path, _ in _with_options(definition.get("deps"))),
        params=_declared_params(definition, wdir),
        outs=outs,
        frozen=bool(definition.get("frozen")),
        always_changed=bool(definition.get("always_changed")),
    )


def _declared_params(stage: Mapping[str, Any], wdir: str) -> dict[str, list[str]]:
    """Return names by file in `params` of a stage: each a name in params.yaml, or a file with its names."""
    params: dict[str, list[str]] = {}
    whole = set()
    for item in stage.get("params") or ():
        named = item if isinstance(item, dict) else {PARAMS_FILE: [item]}
        for file, names in named.items():
            path = join(wdir, file)
            params.setdefault(path, []).extend(names or [])
            if not names:
                whole.add(path)
    return {path: [] if path in whole else names for path, names in params.items()}


def _with_options(items: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the paths in a list of a stage, each with its settings, if it has any."""
    for item in items or ():
        settings = item if isinstance(item, dict) else {item: {}}
        for path, options in settings.items():
            yield path, options or {}


def _plots(section: Mapping[str, Any]) -> Iterator[str]:
    """Paths in `plots` of a pipeline or a stage: `PATH`, `PATH: OPTIONS`, or `NAME: {y: {PATH: COLUMN}}`."""
    for plot in section.get("plots") or ():
        options = plot if isinstance(plot, dict) else {plot: None}
        for name, drawn in options.items():
            axes = [drawn.get("y"), drawn.get("x")] if isinstance(drawn, dict) else [None]
            # DVC takes the name for a path, unless the settings say where the values are.
            if not isinstance(axes[0], dict):
                yield name
            for axis in axes:
                yield from axis if isinstance(axis, dict) else ()


def _plot_definitions(section: Mapping[str, Any], folder: str) -> dict[str, dict[str, Any]]:
    """Return settings of plots of a pipeline or a stage, with paths as seen from the DVC root."""
    definitions = {}
    for plot in section.get("plots") or ():
        settings = plot if isinstance(plot, dict) else {plot: None}
        for name, options in settings.items():
            drawn = dict(options or {})
            is_path = not isinstance(drawn.get("y"), dict)
            for axis in ("x", "y"):
                if isinstance(drawn.get(axis), dict):
                    drawn[axis] = {join(folder, path): column for path, column in drawn[axis].items()}
            definitions[join(folder, name) if is_path else name] = drawn
    return definitions


def _artifacts(definition: Mapping[str, Any], folder: str) -> Iterator[Artifact]:
    for name, entry in (definition.get("artifacts") or {}).items():
        path = join(folder, entry.get("path", ""))
        yield Artifact(name, path, entry.get("type") or "", entry.get("desc") or "")


def is_written(folder: str, pipelines: Mapping[str, PipelineFile]) -> bool:
    """Return whether a stage of some pipelines writes a folder: DVC looks for no pipelines and data in it."""
    around = (".", *folders(folder), folder)
    return any(not pipeline.outs.isdisjoint(around) for pipeline in pipelines.values())
