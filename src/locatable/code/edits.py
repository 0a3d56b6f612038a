"""Changes the `deps` of stages in the text of a dvc.yaml, and leaves every other byte as it is."""

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from ..errors import ProjectError

Pair = tuple[ScalarNode, Node]


@dataclass(frozen=True)
class Edit:
    """Text that takes the place of what is between two positions."""

    start: int
    end: int
    text: str


def apply_edits(text: str, edits: list[Edit]) -> str:
    """Return the text after edits that do not overlap; those of one position are made in their order."""
    parts = []
    position = 0
    for edit in sorted(edits, key=_start):
        parts += [text[position : edit.start], edit.text]
        position = edit.end
    return "".join([*parts, text[position:]])


def _start(edit: Edit) -> int:
    return edit.start


def additions(text: str, entry: str, added: list[str]) -> list[Edit]:
    """Return the edits that add dependencies."""
    root = _compose(text)
    stage = _stage_node(root, entry)
    pair = _pair(stage, "deps")
    if pair is None:
        return [_new_list(text, root, stage, added)]
    listed = pair[1]
    if not isinstance(listed, SequenceNode):
        return []
    if not listed.value:
        position = listed.start_mark.index + 1
        return [Edit(position, position, _comma_separated(added))]
    place = _in_flow if listed.flow_style else _in_block
    names = [str(item.value) for item in listed.value]
    return [place(text, listed, _index(names, name), name) for name in added]


def removals(text: str, entry: str, removed: Collection[str]) -> list[Edit]:
    """Return the edits that remove dependencies."""
    pair = _pair(_stage_node(_compose(text), entry), "deps")
    if pair is None or not isinstance(pair[1], SequenceNode):
        return []
    items = pair[1].value
    edits = []
    is_first = True
    for index, item in enumerate(items):
        start = item.start_mark.index
        if item.value not in removed:
            is_first = False
        elif not pair[1].flow_style:
            edits.append(Edit(_line_start(text, start), _line_end(text, _end(item)), ""))
        elif is_first:
            edits.append(Edit(start, items[index + 1].start_mark.index, ""))
        else:
            edits.append(Edit(_end(items[index - 1]), _end(item), ""))
    return edits


def _in_block(text: str, listed: SequenceNode, index: int, name: str) -> Edit:
    """Return a new line in a list with a line for each item."""
    items = listed.value
    line = f"{' ' * listed.start_mark.column}- {_scalar(name)}"
    # Comments between two items are left with the one that the new item has less in common with.
    before_next = index == 0 or (
        index < len(items)
        and _common_parts(name, items[index].value) > _common_parts(name, items[index - 1].value)
    )
    if before_next:
        position = _line_start(text, items[index].start_mark.index)
    else:
        position = _line_end(text, _end(items[index - 1]))
    return Edit(position, position, _as_line(text, position, line))


def _in_flow(text: str, listed: SequenceNode, index: int, name: str) -> Edit:
    """Return a new item between brackets."""
    items = listed.value
    if index:
        position = _end(items[index - 1])
        return Edit(position, position, f", {_scalar(name)}")
    position = items[0].start_mark.index
    return Edit(position, position, f"{_scalar(name)}, ")


def _new_list(text: str, root: MappingNode, stage: MappingNode, added: list[str]) -> Edit:
    """Return a list where there was none: after `cmd`, or `wdir` where that is next, as DVC orders them."""
    keys = [str(key.value) for key, _ in stage.value]
    index = keys.index("cmd")
    if keys[index + 1 : index + 2] == ["wdir"]:
        index += 1
    if stage.flow_style:
        position = _end(stage.value[index][1])
        return Edit(position, position, f", deps: [{_comma_separated(added)}]")
    column = stage.value[0][0].start_mark.column
    following = stage.value[index + 1 :]
    limit = following[0][0].start_mark.index if following else _end(stage)
    position = _after_content(text, limit, column)
    newline = _newline(text)
    lines = [f"{' ' * column}deps:"]
    lines += [f"{' ' * (column + _list_offset(root))}- {_scalar(name)}" for name in added]
    return Edit(position, position, _as_line(text, position, newline.join(lines)))


def _after_content(text: str, limit: int, column: int) -> int:
    """Return the start of the blank lines and comments before `limit` that do not belong to the value before.

    Args:
        text: the file.
        limit: where the next key starts, or the end.
        column: of the keys; what is indented more can be part of a value of several lines.
    """
    position = limit if limit == len(text) else _line_start(text, limit)
    while position:
        start = _line_start(text, position - 1)
        line = text[start:position]
        content = line.lstrip(" ")
        is_comment = content.startswith("#") and len(line) - len(content) <= column
        if content.strip() and not is_comment:
            break
        position = start
    return position


def _list_offset(root: MappingNode) -> int:
    """Return how many columns lists are indented below their key in this file; 2, if it has none."""
    for key, value in _pairs(root):
        if isinstance(value, SequenceNode) and not value.flow_style:
            return int(value.start_mark.column - key.start_mark.column)
    return 2


def _pairs(node: Node) -> Iterator[Pair]:
    """Yield all keys and values of a mapping and of the mappings in it, each with its node."""
    if isinstance(node, MappingNode):
        for key, value in node.value:
            yield key, value
            yield from _pairs(value)


def _index(names: list[str], name: str) -> int:
    """Return where a name goes in a list: to its place if the list is sorted, or else to the end."""
    if names != sorted(names):
        return len(names)
    return len([other for other in names if other < name])


def _common_parts(first: str, second: str) -> int:
    """Return how many folders two paths have in common."""
    count = 0
    for one, other in zip(PurePosixPath(first).parts, PurePosixPath(second).parts, strict=False):
        if one != other:
            break
        count += 1
    return count


def _comma_separated(names: list[str]) -> str:
    """Return the items of a list between brackets."""
    return ", ".join(_scalar(name) for name in names)


def _scalar(name: str) -> str:
    """Return a path as YAML; in quotes only where it must be."""
    try:
        plain = YAML(typ="safe", pure=True).load(f"[{name}]") == [name]
    except YAMLError:
        plain = False
    return name if plain else json.dumps(name, ensure_ascii=False)


def _as_line(text: str, position: int, line: str) -> str:
    """Return a line to insert at the start of another, or after a last one that has no line break."""
    newline = _newline(text)
    if position and text[position - 1] not in "\r\n":
        return newline + line
    return line + newline


def _newline(text: str) -> str:
    """Return the line break of a file, by its first line."""
    return "\r\n" if text.partition("\n")[0].endswith("\r") else "\n"


def _line_start(text: str, position: int) -> int:
    return text.rfind("\n", 0, position) + 1


def _line_end(text: str, position: int) -> int:
    """Return the position after the next line break."""
    found = text.find("\n", position)
    return len(text) if found < 0 else found + 1


def _end(node: Node) -> int:
    return int(node.end_mark.index)


def _compose(text: str) -> MappingNode:
    """Return the nodes of a dvc.yaml, with their positions."""
    root = YAML(typ="safe", pure=True).compose(text)
    assert isinstance(root, MappingNode)
    return root


def _stage_node(root: MappingNode, entry: str) -> MappingNode:
    """Return the mapping that holds `cmd` and `deps` of an entry: its own, or the template of a `foreach`."""
    node: Node = root
    for key in ("stages", entry):
        pair = _pair(node, key)
        assert pair
        node = pair[1]
    template = _pair(node, "do")
    found = template[1] if template else node
    assert isinstance(found, MappingNode)
    return found


def _pair(node: Node, key: str) -> Pair | None:
    """Return the nodes of a key and of its value."""
    if isinstance(node, MappingNode):
        for pair in node.value:
            if pair[0].value == key:
                return pair  # type: ignore[no-any-return]
    return None


def listed_dependencies(text: str, entry: str) -> list[str]:
    """Return the `deps` of an entry below `stages`, as they are written there, `${}` included."""
    return _contents(text, entry).dependencies


def edit_dependencies(text: str, entry: str, added: Sequence[str], removed: Collection[str]) -> str:
    """Return the text of a dvc.yaml with other `deps` for one entry.

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
    """Return whether the new text says the same as the old one but for the dependencies of one entry."""
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
