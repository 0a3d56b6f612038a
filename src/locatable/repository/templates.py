"""What only DVC's own parsers can say: templates and faults of dvc.yaml, and params in Python files.

DVC is imported when one of them is met: that takes half a second, and few projects need it.
"""

import io
import json
import posixpath
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from ..errors import UnreadableError
from ..model import named_values
from .dvc_repo import dvc_errors


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
    """Return whether DVC must resolve a dvc.yaml: it holds `${...}`, `vars`, `foreach` or `matrix`.

    Args:
        text: content of the file.
        definition: the same, parsed.
    """
    if b"${" in text or "vars" in definition:
        return True
    stages = definition.get("stages")
    if not isinstance(stages, dict):
        return False
    keys = {key for stage in stages.values() if isinstance(stage, dict) for key in stage}
    return not keys.isdisjoint(("foreach", "matrix"))


@dataclass(frozen=True)
class ResolvedPipeline:
    """A dvc.yaml whose templates are resolved.

    Attributes:
        definition: its content.
        variables: values that the templates name, by file and dotted key; the file as seen from the Git root.
    """

    definition: dict[str, Any]
    variables: dict[str, dict[str, Any]]


def resolve_pipeline(
    definition: dict[str, Any], folder: str, read: Callable[[str], bytes | None]
) -> ResolvedPipeline:
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
    """As much of a file system as DVC asks for to resolve templates.

    Args:
        read: see `resolve_pipeline`.
    """

    def __init__(self, read: Callable[[str], bytes | None]) -> None:
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
    """File, dotted key and value of what a name of DVC's stands for, if a file says it."""
    from dvc.parsing.context import CtxDict

    if isinstance(node, CtxDict):
        for item in node.values():
            yield from _leaves(item)
    elif node.meta.source and not node.meta.local:
        yield node.meta.source, node.meta.path(), node.value


def python_params(path: str, content: bytes) -> dict[str, Any]:
    """Return values that a Python file assigns, as DVC records them as params: a tuple as a list.

    Raises:
        ValueError: it is not Python.
    """
    from dvc.utils.serialize import ParseError, parse_py

    try:
        values: dict[str, Any] = as_recorded(parse_py(content.decode(), path))
    except ParseError as error:
        raise ValueError(str(error)) from None
    return values


def unrecordable_params(path: str, content: bytes, names: list[str]) -> str:
    """Return why DVC cannot record params of a file, which it hashes as JSON; empty where it can.

    Args:
        path: of the file.
        content: of the file.
        names: of the params; all, if there are none.
    """
    from dvc.utils.serialize import PARSERS, ParseError

    try:
        json.dumps(named_values(PARSERS[posixpath.splitext(path)[1]](content.decode(), path), names))
    except ParseError:
        return ""
    except TypeError as error:
        return str(error)
    return ""


def as_recorded(value: Any) -> Any:
    """Return a value of a params file as `dvc.lock` has it, which knows no tuples."""
    if isinstance(value, dict):
        return {key: as_recorded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_recorded(item) for item in value]
    return value
