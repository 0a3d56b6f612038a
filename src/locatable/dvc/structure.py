"""What only DVC's own parsers can read: templates in dvc.yaml, and params in Python files.

DVC is imported when one of them is met: that takes half a second, and few projects need it.
"""

import posixpath
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ..errors import UnreadableError


def has_templates(text: bytes, definition: dict[str, Any]) -> bool:
    """Whether DVC must resolve a dvc.yaml: it holds `${...}`, `foreach` or `matrix`.

    Args:
        text: content of the file.
        definition: the same, parsed.
    """
    if b"${" in text:
        return True
    stages = definition.get("stages")
    if not isinstance(stages, dict):
        return False
    keys = {key for stage in stages.values() if isinstance(stage, dict) for key in stage}
    return not keys.isdisjoint(("foreach", "matrix"))


def resolve_pipeline(definition: dict[str, Any], repo: Path, rev: str, folder: str) -> dict[str, Any]:
    """A dvc.yaml of a revision with its templates resolved, as DVC resolves them.

    Args:
        definition: content of the file, parsed.
        repo: root of the Git repository.
        rev: commit of the revision.
        folder: where the file is, seen from `repo`; empty for the root itself.

    Raises:
        UnreadableError: DVC refuses it; the message is the first line of what DVC says.
    """
    from dvc.exceptions import DvcException
    from dvc.fs import GitFileSystem
    from dvc.parsing import DataResolver

    revision = SimpleNamespace(fs=GitFileSystem(path=str(repo), rev=rev), config={})
    try:
        resolver = DataResolver(revision, posixpath.join("/", folder), definition)
        resolved = {
            "stages": resolver.resolve()["stages"],
            "metrics": resolver.resolve_metrics(),
            "params": resolver.resolve_params(),
            "plots": resolver.resolve_plots(),
            "artifacts": resolver.resolve_artifacts(),
        }
    except DvcException as error:
        raise UnreadableError(str(error).splitlines()[0]) from None
    except (AttributeError, TypeError) as error:
        raise UnreadableError(f"not as DVC writes it: {error!r}") from None
    return {**definition, **resolved}


def python_params(path: str, content: bytes) -> dict[str, Any]:
    """Values that a Python file assigns, as DVC reads them as params.

    Raises:
        ValueError: it is not Python.
    """
    from dvc.utils.serialize import ParseError, parse_py

    try:
        values: dict[str, Any] = parse_py(content.decode(), path)
    except ParseError as error:
        raise ValueError(str(error)) from None
    return values
