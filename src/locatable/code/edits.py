"""Change the `deps` of a stage in the text of a dvc.yaml, and leave every other byte as it is.

ruamel.yaml gives the position of each node in the file, and the text is changed there. The new text is parsed
again and only returned if it says exactly what was intended.
"""

import json
from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from ..errors import ProjectError


def listed_dependencies(text: str, entry: str) -> list[str]:
    """Return the `deps` of an entry below `stages`, as they are written in the file, including `${}`."""
    return _split_dependencies(text, entry)[0]


def edit_dependencies(text: str, entry: str, added: Collection[str], removed: Sequence[str]) -> str:
    """Return the text of a dvc.yaml with changed `deps` for one entry.

    In a sorted list, a new dependency is inserted in order. In any other list, it is appended.

    Args:
        text: a valid dvc.yaml.
        entry: a key below `stages`. For a `foreach`, its template is changed.
        added: paths that are not listed yet.
        removed: listed dependencies, as they are written in the file. At least one dependency has to remain.

    Raises:
        ProjectError: the list cannot be changed without changing anything else, for example because a YAML
            anchor shares it.
    """
    edited = text
    try:
        for name in sorted(added):
            edited = _add(edited, entry, name)
        for name in removed:
            edited = _remove(edited, entry, name)
        listed, rest = _split_dependencies(edited, entry)
    except YAMLError:
        listed, rest = [], None
    listed_before, rest_before = _split_dependencies(text, entry)
    expected = [name for name in listed_before if name not in removed]
    kept = [name for name in listed if name not in added]
    if rest != rest_before or kept != expected or len(listed) != len(expected) + len(added):
        raise ProjectError(
            f"{entry}: its deps in dvc.yaml are shared by a YAML anchor, or written in an unusual way; "
            f"change them by hand: {', '.join([*added, *removed])}"
        )
    return edited


def _split_dependencies(text: str, entry: str) -> tuple[list[str], Any]:
    """Return the dependencies of one entry, and the rest of a dvc.yaml without them."""
    data = YAML(typ="safe", pure=True).load(text)
    # Copy the mappings before changing them, because an anchor can share them with other entries.
    stage = dict(data["stages"].pop(entry))
    body = dict(stage.pop("do")) if "do" in stage else stage
    dependencies = body.pop("deps", [])
    return dependencies, [data, stage, body]


def _add(text: str, entry: str, name: str) -> str:
    """Return the text with one dependency added."""
    root, stage = _nodes(text, entry)
    listed = _value(stage, "deps")
    if listed is None:
        return _add_list(text, root, stage, name)
    if not isinstance(listed, SequenceNode):
        return text
    names = [str(item.value) for item in listed.value]
    is_sorted = names == sorted(names)
    index = bisect_left(names, name) if is_sorted else len(names)
    if listed.flow_style:
        return _add_between_brackets(text, listed, index, name)
    return _add_line(text, listed, index, name)


def _add_between_brackets(text: str, listed: SequenceNode, index: int, name: str) -> str:
    """Return the text with an item inserted in a list that is written as `[a, b]`."""
    if index:
        return _insert(text, _end(listed.value[index - 1]), f", {_scalar(name)}")
    if listed.value:
        return _insert(text, _start(listed.value[0]), f"{_scalar(name)}, ")
    return _insert(text, _start(listed) + len("["), _scalar(name))


def _add_line(text: str, listed: SequenceNode, index: int, name: str) -> str:
    """Return the text with an item inserted in a list that has one item on each line."""
    items = listed.value
    line = f"{' ' * listed.start_mark.column}- {_scalar(name)}"
    # There can be comments between the previous and the next item. Insert the line directly beside the item
    # that shares more folders with it, so that the comments stay with the other item.
    before = _common_folders(name, items[index - 1].value) if index else -1
    after = _common_folders(name, items[index].value) if index < len(items) else -1
    if after > before:
        return _insert_line(text, _line_start(text, _start(items[index])), line)
    return _insert_line(text, _line_end(text, _end(items[index - 1])), line)


def _add_list(text: str, root: MappingNode, stage: MappingNode, name: str) -> str:
    """Return the text with a new `deps` list after `cmd` and `wdir`, which is DVC's order of keys."""
    keys = [str(key.value) for key, _ in stage.value]
    index = keys.index("cmd") + 1
    if keys[index : index + 1] == ["wdir"]:
        index += 1
    if stage.flow_style:
        _, last = stage.value[index - 1]
        return _insert(text, _end(last), f", deps: [{_scalar(name)}]")
    first, _ = stage.value[0]
    column = first.start_mark.column
    limit = _end(stage)
    if index < len(keys):
        following, _ = stage.value[index]
        limit = _start(following)
    key = " " * column + "deps:"
    item = " " * (column + _list_indent(root)) + f"- {_scalar(name)}"
    # Insert the list before any comments that belong to the next key.
    position = _after_content(text, limit, column)
    return _insert_line(text, position, f"{key}{_newline(text)}{item}")


def _remove(text: str, entry: str, name: str) -> str:
    """Return the text without the dependency that is written as `name`."""
    _, stage = _nodes(text, entry)
    listed = _value(stage, "deps")
    if not isinstance(listed, SequenceNode):
        return text
    items = listed.value
    for index, item in enumerate(items):
        if item.value != name:
            continue
        start, end = _start(item), _end(item)
        if not listed.flow_style:
            start, end = _line_start(text, start), _line_end(text, end)
        elif index:
            start = _end(items[index - 1])
        elif len(items) > 1:
            end = _start(items[1])
        return text[:start] + text[end:]
    return text


def _after_content(text: str, limit: int, column: int) -> int:
    """Return the position after the last value before `limit`, where blank lines and comments start.

    Args:
        text: the text of the file.
        limit: the start of the next key, or the end of the entry.
        column: the column of the keys. A comment that is indented more can be part of a multi-line value.
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


def _list_indent(root: MappingNode) -> int:
    """Return by how many columns this file indents lists below their keys; 2 if it has no lists."""
    for key, value in _pairs(root):
        if isinstance(value, SequenceNode) and not value.flow_style:
            return int(value.start_mark.column - key.start_mark.column)
    return 2


def _pairs(node: Node) -> Iterator[tuple[Node, Node]]:
    """Yield the nodes of all keys and values of a mapping and of the mappings in it."""
    if isinstance(node, MappingNode):
        for key, value in node.value:
            yield key, value
            yield from _pairs(value)


def _common_folders(first: str, second: str) -> int:
    """Return how many leading parts two paths have in common."""
    count = 0
    for part, other_part in zip(PurePosixPath(first).parts, PurePosixPath(second).parts, strict=False):
        if part != other_part:
            break
        count += 1
    return count


def _scalar(name: str) -> str:
    """Return a path as YAML, quoted only if it has to be."""
    try:
        is_plain = YAML(typ="safe", pure=True).load(f"[{name}]") == [name]
    except YAMLError:
        is_plain = False
    return name if is_plain else json.dumps(name, ensure_ascii=False)


def _insert(text: str, position: int, inserted: str) -> str:
    return text[:position] + inserted + text[position:]


def _insert_line(text: str, position: int, line: str) -> str:
    """Insert a line before the line at `position`, or at the end of a text without a final line break."""
    newline = _newline(text)
    if position and text[position - 1] not in "\r\n":
        return _insert(text, position, newline + line)
    return _insert(text, position, line + newline)


def _newline(text: str) -> str:
    """Return the line break of the file's first line, which is used for new lines."""
    return "\r\n" if text.partition("\n")[0].endswith("\r") else "\n"


def _line_start(text: str, position: int) -> int:
    return text.rfind("\n", 0, position) + 1


def _line_end(text: str, position: int) -> int:
    """Return the position after the next line break."""
    found = text.find("\n", position)
    return len(text) if found < 0 else found + 1


def _start(node: Node) -> int:
    return int(node.start_mark.index)


def _end(node: Node) -> int:
    return int(node.end_mark.index)


def _nodes(text: str, entry: str) -> tuple[MappingNode, MappingNode]:
    """Return the mappings of a whole dvc.yaml and of one entry; for a `foreach`, of its template."""
    root = YAML(typ="safe", pure=True).compose(text)
    stages = _value(root, "stages")
    assert stages
    stage = _value(stages, entry)
    assert stage
    body = _value(stage, "do") or stage
    assert isinstance(root, MappingNode)
    assert isinstance(body, MappingNode)
    return root, body


def _value(node: Node, key: str) -> Node | None:
    """Return the node of a key's value, or None if the node is no mapping with this key."""
    if isinstance(node, MappingNode):
        for name, value in node.value:
            if name.value == key:
                return value
    return None
