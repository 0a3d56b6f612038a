"""Changes the `deps` of stages in the text of a dvc.yaml, and leaves every other byte as it is."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from ..errors import ProjectError
from .pipeline_edits import additions, apply_edits, removals


def listed_dependencies(text: str, entry: str) -> list[str]:
    """The `deps` of an entry below `stages`, as they are written there, `${}` included."""
    return _contents(text, entry).dependencies


def edit_dependencies(text: str, entry: str, added: Sequence[str], removed: Collection[str]) -> str:
    """The text of a dvc.yaml with other `deps` for one entry.

    A new dependency goes to its place in a list that is sorted, and to the end of any other.

    Args:
        text: a valid dvc.yaml.
        entry: a key below `stages`; of a `foreach`, its template is meant.
        added: paths that are not listed yet.
        removed: listed dependencies, as they are written; others have to be left.

    Raises:
        ProjectError: the list cannot be changed without changing anything else: a YAML anchor shares it.
    """
    edited = text
    if added:
        edited = apply_edits(edited, additions(edited, entry, sorted(added)))
    if removed:
        edited = apply_edits(edited, removals(edited, entry, removed))
    if not _is_as_intended(text, edited, entry, added, removed):
        raise ProjectError(
            f"{entry}: its deps in dvc.yaml are shared by a YAML anchor, or written in an unusual way; "
            f"change them by hand: {', '.join([*added, *removed])}"
        )
    return edited


def _is_as_intended(
    before: str, after: str, entry: str, added: Sequence[str], removed: Collection[str]
) -> bool:
    """Whether the new text says the same as the old one but for the dependencies of one entry."""
    try:
        old = _contents(before, entry)
        new = _contents(after, entry)
    except YAMLError:
        return False
    remaining = [name for name in old.dependencies if name not in removed]
    untouched = [name for name in new.dependencies if name not in added]
    is_complete = remaining == untouched and len(new.dependencies) == len(untouched) + len(added)
    return is_complete and old.rest == new.rest


@dataclass(frozen=True)
class Contents:
    """What a dvc.yaml says: the dependencies of one entry, and everything else."""

    dependencies: list[str]
    rest: list[Any]


def _contents(text: str, entry: str) -> Contents:
    data = YAML(typ="safe", pure=True).load(text)
    # Copies: what an anchor shares with other entries has to stay there.
    stage = dict(data["stages"].pop(entry))
    body = dict(stage.pop("do")) if "do" in stage else stage
    dependencies = body.pop("deps", [])
    return Contents(dependencies, [data, stage, body])
