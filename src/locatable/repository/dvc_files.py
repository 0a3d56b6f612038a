"""A fast reader of dvc.yaml, dvc.lock and .dvcignore, for thousands of revisions.

Equal files are parsed once for all revisions. Importing DVC takes a fifth of a second, so DVC is only asked
if a dvc.yaml has templates or an unusual form, or if a rule of a .dvcignore may hide one of DVC's own files.
`tests/unit/test_against_dvc.py` compares the results with those of DVC's own loader.
"""

import fnmatch
import posixpath
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from itertools import chain
from typing import Any, TypeVar

import yaml

from ..errors import UnreadableError
from ..model import (
    PARAMS_FILE,
    Artifact,
    Output,
    PipelineFile,
    Record,
    Stage,
    address_of,
    command_fault,
    folders,
    join,
)
from .hashes import with_hash
from .parsing import MOST_CACHED, cached_by_text, load_plain, load_yaml, parse_yaml

# Reads the content of a file of the revision by its path relative to the Git root; None if there is no file.
ReadFile = Callable[[str], bytes | None]

# The part of DVC's schema that most files use, in the form that `_fits` checks. DVC accepts every file that
# fits, so it need not be asked.
_ANY_KEY = ""
_REQUIRED_KEYS = {"cmd", "path"}
_OUT_OPTIONS = {"cache": bool, "persist": bool, "push": bool, "remote": str, "desc": str, "type": str}
_PLOT_OPTIONS = {"x": str, "y": str, "x_label": str, "y_label": str, "title": str, "template": str}
_OUTS = [(str, {_ANY_KEY: _OUT_OPTIONS})]
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
    "plots": [(str, {_ANY_KEY: _OUT_OPTIONS | _PLOT_OPTIONS})],
}
_TOP_LEVEL_PLOT = {
    **_PLOT_OPTIONS,
    "x": (str, {_ANY_KEY: str}),
    "y": (str, [str], {_ANY_KEY: (str, [str])}),
}
_FILE = {
    "stages": {_ANY_KEY: _STAGE},
    "params": [str],
    "metrics": [str],
    "plots": [(str, {_ANY_KEY: (_TOP_LEVEL_PLOT, type(None))})],
    "artifacts": {_ANY_KEY: {"path": str, "type": str, "desc": str, "labels": [str]}},
}


class Pipelines:
    """Reads dvc.yaml files, and remembers what it read; DVC resolves the templates of files that have any.

    Args:
        prefix: path from the Git root to the DVC root; empty if they are the same.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        # The key is the folder and content of the file, with the contents of all files its templates read.
        self._cache: dict[tuple[tuple[str, bytes], tuple[bytes | None, ...]], PipelineFile] = {}
        # The paths of the files that the templates of a dvc.yaml have read, by its folder and content.
        self._files_read: dict[tuple[str, bytes], tuple[str, ...]] = {}
        self._size = 0

    def read(self, folder: str, content: bytes, read_file: ReadFile) -> PipelineFile:
        """Return the declarations of a dvc.yaml.

        Args:
            folder: the folder of the file, relative to the DVC root.
            content: the content of the file.
            read_file: reads other files of the same revision.

        Raises:
            UnreadableError: DVC refuses the file.
            AttributeError, KeyError, TypeError, ValueError or yaml.YAMLError: its structure is wrong.
        """
        source = (folder, content)
        # The result stays valid as long as the files that the templates read have the same content.
        paths = self._files_read.get(source, ())
        key = (source, tuple(map(read_file, paths)))
        if key in self._cache:
            return self._cache[key]
        self._size += len(content)
        if self._size > MOST_CACHED:
            self._cache.clear()
            self._files_read.clear()
            self._size = len(content)
        new_paths: list[str] = []

        def read_and_record(path: str) -> bytes | None:
            new_paths.append(path)
            return read_file(path)

        pipeline = self._parse(folder, content, read_and_record)
        # The values in one file can decide which other files the templates read, so that revisions may read
        # different files. Remember all of them.
        paths = tuple(dict.fromkeys([*paths, *new_paths]))
        self._files_read[source] = paths
        self._cache[source, tuple(map(read_file, paths))] = pipeline
        return pipeline

    def _parse(self, folder: str, content: bytes, read_file: ReadFile) -> PipelineFile:
        """Parse a dvc.yaml, check it against DVC's schema, and resolve its templates if it has any."""
        definition = load_yaml(content) or {}
        if not isinstance(definition, dict):
            raise ValueError(f"expected keys and values, found {definition!r:.60}")
        fault = ""
        if not _fits(definition, _FILE):
            # Import DVC only if it is needed.
            from .dvc_repo import schema_fault

            fault = schema_fault(definition)
        try:
            variables: dict[str, dict[str, Any]] = {}
            if has_templates(content, definition):
                from .dvc_repo import resolve_pipeline

                place = posixpath.join(self._prefix, folder).rstrip("/")
                resolved = resolve_pipeline(definition, place, read_file)
                definition = resolved.definition
                for file, values in resolved.variables.items():
                    variables[posixpath.relpath(file, self._prefix or ".")] = values
            pipeline = _pipeline(definition, folder, variables)
        except (AttributeError, KeyError, TypeError, ValueError):
            if fault:
                raise UnreadableError(fault) from None
            raise
        return replace(pipeline, fault=fault or _fault_of_commands(pipeline))


def _fits(value: Any, form: Any) -> bool:
    """Return whether a value has a form.

    A form is a type, a list with the form of all items, a tuple of alternative forms, or a dictionary with
    the form of the value of each key, or of all other keys under `_ANY_KEY`.
    """
    match form:
        case dict():
            if not isinstance(value, dict) or not form.keys() & _REQUIRED_KEYS <= value.keys():
                return False
            if _ANY_KEY not in form and not value.keys() <= form.keys():
                return False
            return all(_fits(item, form.get(key, form.get(_ANY_KEY))) for key, item in value.items())
        case list():
            return isinstance(value, list) and all(_fits(item, form[0]) for item in value)
        case tuple():
            return any(_fits(value, alternative) for alternative in form)
        case _:
            return isinstance(value, form)


def _fault_of_commands(pipeline: PipelineFile) -> str:
    """Return an error message with the key of a command that is not a string; empty if all are."""
    for name, stage in pipeline.stages.items():
        fault = command_fault(stage.cmd)
        if fault:
            return f"stages.{name}.cmd: {fault}"
    return ""


def _pipeline(
    definition: Mapping[str, Any], folder: str, variables: dict[str, dict[str, Any]]
) -> PipelineFile:
    """Build the model of a dvc.yaml from its content after templates are resolved."""
    stages: dict[str, Stage] = {}
    metrics = _joined(folder, definition.get("metrics"))
    top_level_plots = _plot_definitions(definition, folder)
    plots = [*_plotted_files(top_level_plots)]
    plot_definitions: dict[str, dict[str, Any]] = {}
    for name, section in (definition.get("stages") or {}).items():
        stages[name] = stage = _stage(name, section, folder)
        metrics += _joined(stage.folder, section.get("metrics"))
        stage_plots = _plot_definitions(section, stage.folder)
        plots += _plotted_files(stage_plots)
        plot_definitions |= stage_plots
    artifacts = []
    for name, entry in (definition.get("artifacts") or {}).items():
        path = join(folder, entry.get("path", ""))
        artifacts.append(Artifact(name, path, entry.get("type") or "", entry.get("desc") or ""))
    return PipelineFile(
        stages=stages,
        metrics=tuple(dict.fromkeys(metrics)),
        plots=tuple(dict.fromkeys(plots)),
        plot_definitions=plot_definitions | top_level_plots,
        params=tuple(_joined(folder, definition.get("params"))),
        artifacts=tuple(artifacts),
        variables=variables,
    )


def _stage(name: str, definition: Mapping[str, Any], folder: str) -> Stage:
    """Build a stage, without its record, from its section in the dvc.yaml of a folder."""
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
        deps=tuple(_joined(wdir, definition.get("deps"))),
        params=_declared_params(definition, wdir),
        outs=outs,
        frozen=bool(definition.get("frozen")),
        always_changed=bool(definition.get("always_changed")),
    )


def _declared_params(stage: Mapping[str, Any], wdir: str) -> dict[str, list[str]]:
    """Return the names in a stage's `params` by file; an empty list means the whole file.

    An item is a name in params.yaml, or a mapping from a file to its names.
    """
    params: dict[str, list[str]] = {}
    whole_files = set()
    for item in stage.get("params") or ():
        names_by_file = item if isinstance(item, dict) else {PARAMS_FILE: [item]}
        for file, names in names_by_file.items():
            path = join(wdir, file)
            params.setdefault(path, []).extend(names or [])
            if not names:
                whole_files.add(path)
    # If the whole file is named once, single names do not matter.
    return params | {path: [] for path in whole_files}


def _with_options(items: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each path in a list of paths with its options; an item is `PATH` or `PATH: OPTIONS`."""
    for item in items or ():
        settings = item if isinstance(item, dict) else {item: {}}
        for path, options in settings.items():
            yield path, options or {}


def _joined(folder: str, items: Any) -> list[str]:
    """Return the paths in a list, which are relative to a folder, as paths relative to the DVC root."""
    return [join(folder, path) for path, _ in _with_options(items)]


def _plot_definitions(section: Mapping[str, Any], folder: str) -> dict[str, dict[str, Any]]:
    """Return the settings of each plot in the `plots` of a pipeline or a stage, with all paths joined.

    An entry is `PATH`, `PATH: OPTIONS`, or `NAME: {y: {PATH: COLUMN}}`.
    """
    definitions = {}
    for name, options in _with_options(section.get("plots")):
        settings = dict(options)
        # DVC takes the name for a path unless the settings name the files with the values.
        key = name if isinstance(settings.get("y"), dict) else join(folder, name)
        for axis in ("x", "y"):
            if isinstance(settings.get(axis), dict):
                settings[axis] = {join(folder, path): column for path, column in settings[axis].items()}
        definitions[key] = settings
    return definitions


def _plotted_files(definitions: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield the paths of the files that contain the values of plots."""
    for key, settings in definitions.items():
        if not isinstance(settings.get("y"), dict):
            yield key
        for axis in ("y", "x"):
            if isinstance(settings.get(axis), dict):
                yield from settings[axis]


def is_written(folder: str, pipelines: Mapping[str, PipelineFile]) -> bool:
    """Return whether a folder is, or lies in, a stage's output: there DVC looks for no files of its own."""
    around = (".", *folders(folder), folder)
    return any(not pipeline.outs.isdisjoint(around) for pipeline in pipelines.values())


def has_templates(text: bytes, definition: dict[str, Any]) -> bool:
    """Return whether DVC must resolve templates in a dvc.yaml: `${...}`, `vars`, `foreach` or `matrix`."""
    if b"${" in text or "vars" in definition:
        return True
    stages = definition.get("stages")
    if not isinstance(stages, dict):
        return False
    for stage in stages.values():
        if isinstance(stage, dict) and ("foreach" in stage or "matrix" in stage):
            return True
    return False


# A lock is split at its indentation into stages, fields, and entries of files. Each part is parsed by itself,
# and only once for all revisions that contain it. Nearly all entries and params are so simple that a regular
# expression can parse them; other parts go to the YAML parser. If a part by itself is not valid YAML, the
# whole lock goes to the parser.

# An entry in a stage's `deps` or `outs`, as DVC writes nearly all of them. Paths and hashes that YAML would
# read as a number, a boolean or null do not match.
_ENTRY = re.compile(
    r"( +)- path: ((?!(?i:true|false|null)\n)[A-Za-z][\w./@-]*|[\w.-][\w.@-]*/[\w./@-]*)"
    r"(?:\n\1  hash: (md5))?\n\1  md5: ((?=[0-9e]*[a-df])[0-9a-f]{32}(?:\.dir)?)"
    r"\n\1  size: (\d+)(?:\n\1  nfiles: (\d+))?"
)


class LockedStage(dict[str, Any]):
    """The fields of a stage in a lock. Revisions with the same text share the object, so do not change it."""

    def __init__(self, fields: dict[str, Any]) -> None:
        super().__init__(fields)
        self._records: dict[str, Record] = {}

    def record(self, wdir: str) -> Record:
        """Return the record of the stage, whose paths are relative to its working folder `wdir`.

        Raises:
            AttributeError, KeyError, TypeError or ValueError: the fields are not as DVC writes them.
        """
        if wdir not in self._records:
            record = Record(self.get("cmd") or "")
            for dep in self.get("deps") or ():
                record.deps[join(wdir, dep["path"])] = with_hash(dep)
            for out in self.get("outs") or ():
                record.outs[join(wdir, out["path"])] = with_hash(out)
            for file, values in (self.get("params") or {}).items():
                record.params[join(wdir, file)] = dict(values or {})
            self._records[wdir] = record
        return self._records[wdir]


@cached_by_text
def lock_stages(content: bytes) -> Any:
    """Return the stages of a `dvc.lock`, a `LockedStage` by name. Callers share the result: do not change it.

    Raises:
        ValueError or yaml.YAMLError: the text is not YAML.
    """
    text = content.decode()
    try:
        return _parse_by_parts(text.removesuffix("\n"))
    except (ValueError, yaml.YAMLError):
        pass  # there is an alias of another part, or the file is edited or broken: parse the whole text
    lock = parse_yaml(text) or {}
    if isinstance(lock, dict) and "schema" in lock:
        lock = lock.get("stages") or {}
    return _locked_stages(lock) if isinstance(lock, dict) else lock


def _locked_stages(stages: dict[str, Any]) -> dict[str, Any]:
    """Turn the fields of each stage into a `LockedStage`; a value that is not a mapping is left as it is."""
    locked: dict[str, Any] = {}
    for name, fields in stages.items():
        is_stage = fields is None or isinstance(fields, dict)
        locked[name] = LockedStage(fields or {}) if is_stage else fields
    return locked


def _parse_by_parts(text: str) -> dict[str, Any]:
    """Parse a lock part by part; raise ValueError or yaml.YAMLError if it is not as DVC writes it."""
    blocks = re.split(r"\n(?=[^\s-])", text)  # before DVC 2, stages were at the top level
    if "schema: '2.0'" in blocks:
        blocks.remove("schema: '2.0'")
        blocks = list(chain.from_iterable(map(_stage_texts, blocks)))
    stages: dict[str, Any] = {}
    for block in blocks:
        stages.update(_parse_stage(block))
    return stages


def _stage_texts(block: str) -> list[str]:
    """Return the text of each stage in a top-level block; empty for a block other than `stages`."""
    key, *stages = re.split(r"\n(?=  \S)", block)
    if key == "stages:":
        return stages
    if not isinstance(load_yaml(block), dict) or block.startswith("stages"):
        raise ValueError(block)
    return []


@cached_by_text
def _parse_stage(text: str) -> dict[str, Any]:
    """Parse the text of one stage into a mapping with its name as the only key."""
    indent = " " * (len(text) - len(text.lstrip(" ")) + 2)
    head, *blocks = re.split(rf"\n(?={indent}[a-z])", text)
    heading = load_yaml(head)
    if not isinstance(heading, dict) or len(heading) != 1:
        raise ValueError(head)
    if not blocks:
        return _locked_stages(heading)
    ((name, value),) = heading.items()
    if value is not None:
        raise ValueError(head)
    fields: dict[str, Any] = {}
    for block in blocks:
        fields.update(_parse_field(block, indent))
    return _locked_stages({name: fields})


def _parse_field(text: str, indent: str) -> dict[str, Any]:
    """Parse the text of one field of a stage into a mapping with its name as the only key."""
    name, _, _ = text.strip().partition(":")
    if name in ("deps", "outs"):
        # The dash of each entry is in the column of the first letter of the field's name.
        heading, *entries = text.split(f"\n{indent}- ")
        if entries and heading == f"{indent}{name}:":
            return {name: [_parse_entry(f"{indent}- {entry}") for entry in entries]}
    field = load_plain(text)
    if not isinstance(field, dict):
        raise ValueError(text)
    return field


@cached_by_text
def _parse_entry(text: str) -> Any:
    """Parse an entry of a file or folder in `deps` or `outs`."""
    match = _ENTRY.fullmatch(text)
    if not match:
        (parsed,) = parse_yaml(text)
        return parsed
    _, path, kind, md5, size, nfiles = match.groups()
    entry: dict[str, Any] = {"path": path}
    if kind:
        entry["hash"] = kind
    entry |= {"md5": md5, "size": int(size)}
    if nfiles:
        entry["nfiles"] = int(nfiles)
    return entry


IGNORE_FILE = ".dvcignore"


Content = TypeVar("Content")


def split_rules(files: Mapping[str, Content]) -> tuple[dict[str, Content], list[Content], list[str]]:
    """Separate `.dvcignore` files from DVC's other files.

    Returns:
        The other files, the contents of the `.dvcignore` files, and the paths that these could hide.
    """
    others: dict[str, Content] = {}
    rules: list[Content] = []
    hideable: list[str] = []
    for path, content in files.items():
        if path.endswith(IGNORE_FILE):
            rules.append(content)
            continue
        others[path] = content
        # environment.json is not one of DVC's files, so `.dvcignore` has no effect on it.
        if not path.endswith("environment.json"):
            hideable.append(path)
    return others, rules, hideable


def may_hide(rules: Iterable[bytes], paths: Collection[str]) -> bool:
    """Return whether a rule might match one of the paths or a folder around it.

    The test is fast and errs on the safe side; if it returns true, DVC's own filter must decide.
    """
    names: set[str] = set()
    for path in paths:
        names.update(path.split("/"))
    for pattern in chain.from_iterable(map(_name_patterns, rules)):
        # fnmatch does not understand escapes and classes such as [[:alpha:]].
        if not pattern or "\\" in pattern or "[:" in pattern or pattern in names:
            return True
        if re.search(r"[*?\[]", pattern) and fnmatch.filter(names, pattern):
            return True
    return False


@lru_cache(1_000)
def _name_patterns(text: bytes) -> tuple[str, ...]:
    """Return the last part of each rule's pattern, which matches a file's or folder's name; empty for any."""
    patterns = []
    for line in text.decode(errors="replace").splitlines():
        rule = line.strip()
        # Skip comments, and rules with an exclamation mark: these only make files visible.
        if rule and not rule.startswith(("#", "!")):
            parts = [part for part in rule.split("/") if part not in ("", "**")]
            patterns.append(parts[-1] if parts else "")
    return tuple(patterns)
