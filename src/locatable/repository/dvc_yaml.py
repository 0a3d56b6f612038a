"""What each dvc.yaml of a revision declares: read once for all revisions that have the same.

To import DVC takes a fifth of a second, so it is only asked where a dvc.yaml has templates.
`tests/unit/test_against_dvc.py` compares what is read with what DVC's own loader says.
"""

import io
import posixpath
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

from ..errors import UnreadableError
from ..model import PARAMS_FILE, Artifact, Output, PipelineFile, Stage, address_of, folders, join
from . import parsing
from .dvc_repo import dvc_errors, no_text

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
        self._size += len(content)
        if self._size > parsing.MOST_REMEMBERED:
            self._read.clear()
            self._named_files.clear()
            self._size = len(content)
        asked: dict[str, bytes | None] = {}

        def read_and_record(path: str) -> bytes | None:
            asked[path] = read(path)
            return asked[path]

        pipeline = self._resolve(folder, content, read_and_record)
        # Which files the templates name can depend on values in these: another revision may have named more.
        named = tuple(dict.fromkeys([*named, *asked]))
        self._named_files[source] = named
        self._read[source, tuple(read(path) for path in named)] = pipeline
        return pipeline

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


def _pipeline(
    definition: Mapping[str, Any], folder: str, variables: dict[str, dict[str, Any]]
) -> PipelineFile:
    stages: dict[str, Stage] = {}
    metrics = [join(folder, path) for path in definition.get("metrics") or ()]
    of_top = _plot_definitions(definition, folder)
    plots = [*_plotted_files(of_top)]
    plot_definitions: dict[str, dict[str, Any]] = {}
    for name, section in (definition.get("stages") or {}).items():
        stages[name] = stage = _stage(name, section, folder)
        metrics += [join(stage.folder, path) for path, _ in _with_options(section.get("metrics"))]
        of_stage = _plot_definitions(section, stage.folder)
        plots += _plotted_files(of_stage)
        plot_definitions |= of_stage
    return PipelineFile(
        stages=stages,
        metrics=tuple(dict.fromkeys(metrics)),
        plots=tuple(dict.fromkeys(plots)),
        plot_definitions=plot_definitions | of_top,
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


def _plot_definitions(section: Mapping[str, Any], folder: str) -> dict[str, dict[str, Any]]:
    """Return `plots` of a pipeline or a stage: settings by name, with paths relative to the DVC root.

    An entry is `PATH`, `PATH: OPTIONS`, or `NAME: {y: {PATH: COLUMN}}`.
    """
    definitions = {}
    for name, options in _with_options(section.get("plots")):
        settings = dict(options)
        # DVC takes the name for a path, unless the settings say where the values are.
        place = name if isinstance(settings.get("y"), dict) else join(folder, name)
        for axis in ("x", "y"):
            if isinstance(settings.get(axis), dict):
                settings[axis] = {join(folder, path): column for path, column in settings[axis].items()}
        definitions[place] = settings
    return definitions


def _plotted_files(definitions: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield the files that plots are drawn from."""
    for place, settings in definitions.items():
        if not isinstance(settings.get("y"), dict):
            yield place
        for axis in ("y", "x"):
            if isinstance(settings.get(axis), dict):
                yield from settings[axis]


def _artifacts(definition: Mapping[str, Any], folder: str) -> Iterator[Artifact]:
    for name, entry in (definition.get("artifacts") or {}).items():
        path = join(folder, entry.get("path", ""))
        yield Artifact(name, path, entry.get("type") or "", entry.get("desc") or "")


def is_written(folder: str, pipelines: Mapping[str, PipelineFile]) -> bool:
    """Return whether a stage of some pipelines writes a folder: DVC looks for no pipelines and data in it."""
    around = (".", *folders(folder), folder)
    return any(not pipeline.outs.isdisjoint(around) for pipeline in pipelines.values())


def schema_fault(definition: dict[str, Any]) -> str:
    """Return what DVC's schema refuses in a dvc.yaml, by its key; empty where DVC takes it."""
    from dvc.dvcfile import ProjectFile

    try:
        with dvc_errors(UnreadableError):
            ProjectFile.validate(definition)
    except UnreadableError as error:
        return error.message.removeprefix(": ")
    return ""


def has_templates(text: bytes, definition: dict[str, Any]) -> bool:
    """Return whether DVC must resolve a dvc.yaml: it holds `${...}`, `foreach` or `matrix`."""
    if b"${" in text or "vars" in definition:
        return True
    stages = definition.get("stages")
    if not isinstance(stages, dict):
        return False
    for stage in stages.values():
        if isinstance(stage, dict) and ("foreach" in stage or "matrix" in stage):
            return True
    return False


@dataclass(frozen=True)
class ResolvedPipeline:
    """A dvc.yaml whose templates are resolved.

    Attributes:
        definition: its content.
        variables: values that the templates name, by file and dotted key; the file as seen from the Git root.
    """

    definition: dict[str, Any]
    variables: dict[str, dict[str, Any]]


def resolve_pipeline(definition: dict[str, Any], folder: str, read: Read) -> ResolvedPipeline:
    """Have DVC resolve the templates of a dvc.yaml.

    Args:
        definition: content of the file, parsed.
        folder: where the file is, seen from the Git root; empty for the root itself.
        read: content of a file, by its path as seen from the Git root; None where there is none.

    Raises:
        UnreadableError: DVC refuses it; the message is what DVC says.
    """
    from dvc.parsing import DataResolver

    with dvc_errors(UnreadableError):
        resolver = DataResolver(SimpleNamespace(fs=_Files(read), config={}), folder, definition)
        resolved = {
            "stages": resolver.resolve()["stages"],
            "metrics": resolver.resolve_metrics(),
            "params": resolver.resolve_params(),
            "plots": resolver.resolve_plots(),
            "artifacts": resolver.resolve_artifacts(),
        }
        variables = _variables(resolver, definition)
    return ResolvedPipeline({**definition, **resolved}, variables)


class _Files:
    """As much of a file system as DVC asks for to resolve templates."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self.join = posixpath.join
        self.normpath = posixpath.normpath

    def suffix(self, path: str) -> str:
        return posixpath.splitext(path)[1]

    def exists(self, path: str) -> bool:
        return self._read(path) is not None

    def isdir(self, path: str) -> bool:
        return False

    def open(self, path: str, encoding: str = "utf-8") -> io.TextIOWrapper:
        return io.TextIOWrapper(io.BytesIO(self._read(path) or b""), encoding)


def _variables(resolver: Any, definition: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return values of files that templates name.

    DVC keeps track of those in stages, but not of sections, of what `foreach` and `matrix` name, and of what
    templates outside of stages do: it shows all of params.yaml.
    """
    from dvc.parsing.context import ContextError

    found: dict[str, dict[str, Any]] = {}
    for tracked in resolver.tracked_vars.values():
        for file, values in tracked.items():
            found.setdefault(file, {}).update(values)
    for name in _named_by_templates(definition):
        try:
            node = resolver.context.select(name)
        except ContextError:
            continue  # of a loop, or of a stage's own `vars`
        for file, dotted, value in _leaves(node):
            found.setdefault(file, {})[dotted] = value
    return {file: _outermost(values) for file, values in found.items()}


def _outermost(values: dict[str, Any]) -> dict[str, Any]:
    """Return values by dotted key, without those that are items of a list that is there as a whole."""
    lists = tuple(f"{dotted}." for dotted, value in values.items() if isinstance(value, list))
    return {dotted: value for dotted, value in values.items() if not dotted.startswith(lists)}


def _named_by_templates(value: Any) -> Iterator[str]:
    """Yield what stands between the braces of each `${...}` in a value."""
    from dvc.parsing.interpolate import get_matches

    match value:
        case str():
            for found in get_matches(value):
                yield found["inner"].strip()
        case dict():
            for item in value.values():
                yield from _named_by_templates(item)
        case list():
            for item in value:
                yield from _named_by_templates(item)


def _leaves(node: Any) -> Iterator[tuple[str, str, Any]]:
    """Yield file, dotted key and value of what a name of DVC's stands for, if a file says it."""
    from dvc.parsing.context import CtxDict

    if isinstance(node, CtxDict):
        for item in node.values():
            yield from _leaves(item)
    elif node.meta.source and not node.meta.local:
        yield node.meta.source, node.meta.path(), node.value
