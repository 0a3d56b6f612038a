"""Edits the text of a params file: replaces one value or cuts keys, and leaves all other text as it is.

Parsing a file and dumping it again would change how numbers and quotes are written, so that programs other
than DVC could read different values. Therefore the text is parsed only to find the positions of its values.
"""

import ast
import datetime
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

import yaml

from ..errors import joined_lines

# Written in place of a TOML value to find its position. No valid TOML file contains this character.
MARK = "\0"


@dataclass(frozen=True)
class Node:
    """The position of a value in a text, and of its key if it is in a mapping.

    Attributes:
        start: the offset at which the text of the value begins.
        end: the offset at which that text ends.
        items: the items of a mapping or a list, in the order of the text.
        is_mapping: true for a mapping, false for a list or a scalar.
        is_block: true for a YAML collection that is laid out by indentation, with one item per line.
        is_tuple: true for a Python tuple.
        anchor: the YAML anchor that the value defines.
        alias: the name of the YAML anchor, if the value is an alias.
        name: the key of the value in its mapping, or the position in its list.
        key_start: the offset at which the key begins; in a list, at which the value begins.
        key_end: the offset at which the key ends.
    """

    start: int
    end: int
    items: tuple["Node", ...] = ()
    is_mapping: bool = False
    is_block: bool = False
    is_tuple: bool = False
    anchor: str | None = None
    alias: str | None = None
    name: str = ""
    key_start: int = 0
    key_end: int = 0

    def with_key(self, name: str, key_start: int, key_end: int) -> "Node":
        """Return a copy that knows its key."""
        return replace(self, name=name, key_start=key_start, key_end=key_end)

    def item(self, name: str) -> "Node":
        """Return the item with this key. If a key is repeated, parsers use the last one, and so does this.

        Raises:
            LookupError: the text has no such item, for example because it comes from a YAML merge.
        """
        for item in reversed(self.items):
            if item.name == name:
                return item
        raise LookupError(f"the file has no separate text for {name}")

    @property
    def names(self) -> list[str]:
        """The names of the items."""
        return [item.name for item in self.items]


@dataclass(frozen=True)
class Format:
    """How values are found and written in one file format.

    Attributes:
        tree: parses a text into the positions of its values; None for TOML, which a library edits.
        render: returns the text of a new value. Its second argument is the value that is replaced, or the
            mapping to which the new value is added.
    """

    tree: Callable[[str], Node] | None
    render: Callable[[Any, Node], str]


def set_value(text: str, suffix: str, parts: Sequence[str], value: Any) -> str:
    """Return the text of a params file with a new value.

    A list keeps its layout if the new list has the same length.

    Args:
        text: the content of the file.
        suffix: the file's extension in lower case, which decides the format.
        parts: the key, split into its parts.
        value: the new value.

    Raises:
        LookupError: no part of the text belongs to this key alone.
        ValueError: the file is not valid in its format, or the format has no such value.
    """
    kind = FORMATS.get(suffix, YAML)
    if kind.tree is None:
        place = _place_in_toml(text, parts)
        return _splice(text, place.start, place.end, kind.render(value, place))
    container = kind.tree(text)
    for part in parts[:-1]:
        container = container.item(part)
    if container.alias or parts[-1] not in container.names:
        return _override(text, container, parts[-1], kind.render(value, container))
    old = container.item(parts[-1])
    is_list = bool(old.items) and not old.is_mapping
    if is_list and isinstance(value, list | tuple) and len(value) == len(old.items):
        for position, item in enumerate(value):
            text = set_value(text, suffix, [*parts, str(position)], item)
        return text
    return _replaced(text, container, old, kind.render(value, old))


def cut(text: str, suffix: str, keys: Sequence[Sequence[str]]) -> str | None:
    """Return the text without the values of all other keys; None if they cannot be cut.

    Args:
        text: the content of the file.
        suffix: the file's extension in lower case, which decides the format.
        keys: the keys to keep, each split into its parts, which can contain DVC's wildcards.
    """
    kind = FORMATS.get(suffix, YAML)
    if suffix == ".py":
        return None  # the remaining code could use the names that are cut
    try:
        if kind.tree is None:
            return _cut_toml(text, keys)
        spans = list(_spans_to_cut(text, kind.tree(text), keys))
    except ValueError:
        return None
    for start, end in sorted(spans, reverse=True):
        text = _splice(text, start, end, "")
    return text


def keep_only(values: dict[Any, Any], keys: Sequence[Sequence[str]]) -> None:
    """Delete all values that are not at or below one of these keys, each split into its parts."""
    for name in list(values):
        subkeys = _subkeys(keys, str(name))
        if not subkeys:
            del values[name]
        elif isinstance(values[name], dict) and [] not in subkeys:
            keep_only(values[name], subkeys)


def _subkeys(keys: Iterable[Sequence[str]], name: str) -> list[list[str]]:
    """Return the remaining parts of the keys whose first part, possibly a wildcard, matches a name.

    An empty list of parts stands for the whole value of that name.
    """
    return [list(key[1:]) for key in keys if fnmatchcase(name, key[0])]


def _splice(text: str, start: int, end: int, new: str) -> str:
    """Return the text with the part between two offsets replaced."""
    return text[:start] + new + text[end:]


def _replaced(text: str, container: Node, old: Node, new: str) -> str:
    """Return the text with the value `old` of a container replaced by the text `new`."""
    written = text[old.start : old.end]
    if not written:  # a key without a value, which YAML reads as null
        if container.is_mapping and ":" not in text[old.key_end : old.start]:
            new = f": {new}"
        elif not text[old.start - 1].isspace():
            new = f" {new}"
        return _splice(text, old.start, old.end, new)
    if old.anchor:
        return _replaced_anchor(text, old, new)
    line = _line_start(text, old.start)
    if old.is_block and line > old.key_start:
        # The old value is an indented block below its key. Put the new one on the line of the key, before a
        # comment there.
        colon = text.index(":", old.key_end) + 1
        comment = text[colon:line].rstrip()
        return _splice(text, colon, old.end, f" {new}{comment}")
    header = re.match(r"[|>][-+0-9]*(.*)", written)
    if header and not old.items and not old.alias:
        new += header[1].rstrip("\r")  # keep the comment after the header of a block scalar
    return _splice(text, old.start, old.end, new)


def _replaced_anchor(text: str, old: Node, new: str) -> str:
    """Return the text with a new value in place of an anchored one.

    The first alias of the anchor is replaced by the anchor and the old value, so that no alias changes.
    """
    written = text[old.start : old.end]
    for event in yaml.parse(text):
        start, end = _span(event)
        if start <= old.start or getattr(event, "anchor", None) != old.anchor:
            continue
        if not isinstance(event, yaml.AliasEvent):
            break  # the anchor is defined again, and later aliases refer to the new definition
        if "\n" in written:
            raise LookupError(f"*{old.anchor} refers to it, too")
        # Edit the later part first, so that the offsets of the earlier one stay valid.
        text = _splice(text, start, end, written)
        break
    return _splice(text, old.start, old.end, new)


def _override(text: str, container: Node, name: str, new: str) -> str:
    """Return the text with a new item that overrides a value which a YAML mapping merges from another one."""
    key = _yaml_text(name)
    if container.alias:
        # The mapping itself is an alias: replace it by one that merges the anchor and adds the item.
        new = f"{{<<: {text[container.start : container.end]}, {key}: {new}}}"
        return _splice(text, container.start, container.end, new)
    if "<<" not in container.names:
        raise LookupError(f"the file has no separate text for {name}")
    start = container.items[0].key_start
    separator = ", "
    if container.is_block:
        newline = "\r\n" if "\r\n" in text else "\n"
        separator = newline + " " * (start - _line_start(text, start))
    return _splice(text, start, start, f"{key}: {new}{separator}")


def _line_start(text: str, offset: int) -> int:
    return text.rfind("\n", 0, offset) + 1


def _spans_to_cut(text: str, mapping: Node, keys: Sequence[Sequence[str]]) -> Iterator[tuple[int, int]]:
    """Yield the start and the end of each part of the text that does not belong to one of the keys."""
    kept_end = None
    item_end = 0
    for position, item in enumerate(mapping.items):
        item_end = max(item.key_end, item.end)
        subkeys = _subkeys(keys, item.name)
        if subkeys:
            kept_end = item_end
            if item.is_mapping and [] not in subkeys:
                yield from _spans_to_cut(text, item, subkeys)
        elif mapping.is_block:
            yield _whole_lines(text, item.key_start, item_end)
        elif position + 1 < len(mapping.items):
            yield item.key_start, mapping.items[position + 1].key_start
        else:
            yield item.key_start, item_end
    if kept_end and item_end > kept_end and not mapping.is_block:
        # The last items are cut, so cut the comma after the last one that is kept, too.
        following = [item.key_start for item in mapping.items if item.key_start > kept_end]
        yield kept_end, min(following)


def _whole_lines(text: str, item_start: int, item_end: int) -> tuple[int, int]:
    """Return the start and the end of the lines of an item, with the comment behind it.

    Raises:
        ValueError: the lines contain other values, too.
    """
    start = _line_start(text, item_start)
    before = text[start:item_start]
    if before.startswith("\ufeff"):
        start += 1
    rest = re.compile(r"[ \t]*(#[^\n]*|\r)?(\n|$)").match(text, item_end)
    if before.strip(" \ufeff") or not rest:
        raise ValueError("other values are in these lines")
    return start, rest.end()


def _place_in_toml(text: str, parts: Sequence[str]) -> Node:
    """Return the position of the value of a key: the place at which tomlkit writes a new value.

    Raises:
        LookupError: no single part of the text belongs to this key.
        ValueError: the file is not valid TOML.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError
    from tomlkit.items import AoT, Float, Table, Trivia

    try:
        document = tomlkit.parse(text)
        container: Any = document
        for part in parts[:-1]:
            container = container[int(part) if isinstance(container, list) else part]
        name = int(parts[-1]) if isinstance(container, list) else parts[-1]
        if isinstance(container[name], AoT | Table):
            raise LookupError(f"{parts[-1]} is a table")
        container[name] = Float(0.0, Trivia(), MARK)
    except TOMLKitError as error:
        raise ValueError(str(error)) from None
    before, _, after = document.as_string().partition(MARK)
    if not text.startswith(before) or not text.endswith(after):
        raise LookupError("no single part of the file belongs to it")
    return Node(len(before), len(text) - len(after))


def _cut_toml(text: str, keys: Sequence[Sequence[str]]) -> str | None:
    import tomlkit

    document = tomlkit.parse(text)
    keep_only(document, keys)
    remaining = document.as_string()
    # Check that tomlkit only removed lines: the remaining ones must occur in the file, in the same order.
    lines = iter(text.splitlines(keepends=True))
    for line in remaining.splitlines(keepends=True):
        if line not in lines:
            return None
    return remaining


def _yaml_tree(text: str) -> Node:
    events: Iterator[Any] = yaml.parse(text)
    try:
        for event in events:
            if isinstance(event, yaml.NodeEvent):
                return _yaml_node(text, event, events)
    except yaml.YAMLError as error:
        raise ValueError(joined_lines(error)) from None
    return Node(len(text), len(text))


def _yaml_node(text: str, event: Any, events: Iterator[Any]) -> Node:
    start, end = _span(event)
    if isinstance(event, yaml.AliasEvent):
        return Node(start, end, alias=event.anchor)
    if isinstance(event, yaml.ScalarEvent):
        # PyYAML counts blank lines after a block scalar as part of it, but a reader of the file does not.
        return Node(start, start + len(text[start:end].rstrip()), anchor=event.anchor)
    is_mapping = isinstance(event, yaml.MappingStartEvent)
    is_block = not event.flow_style
    items: list[Node] = []
    end = start
    while not isinstance(inner := next(events), yaml.CollectionEndEvent):
        node = _yaml_node(text, inner, events)
        if is_mapping:
            value = _yaml_node(text, next(events), events)
            items.append(value.with_key(getattr(inner, "value", ""), node.start, node.end))
        else:
            items.append(node.with_key(str(len(items)), node.start, node.start))
        end = max(end, items[-1].key_end, items[-1].end)
    if not is_block:
        end = _span(inner)[1]
    return Node(start, end, tuple(items), is_mapping, is_block, anchor=event.anchor)


def _span(event: Any) -> tuple[int, int]:
    """Return the offsets at which the text of a PyYAML event begins and ends."""
    return event.start_mark.index, event.end_mark.index


def _yaml_text(value: Any, old: Node | None = None) -> str:
    """Return a value as YAML that means the same in version 1.1 (PyYAML) and 1.2 (DVC): `1.0e-05`, `"no"`."""
    match value:
        case None:
            return "null"
        case str() if _is_plain_word(value):
            return value
        case list() | tuple():
            return f"[{', '.join(map(_yaml_text, value))}]"
        case dict():
            items = [f"{_yaml_text(key)}: {_yaml_text(item)}" for key, item in value.items()]
            return f"{{{', '.join(items)}}}"
    style = '"' if isinstance(value, str) else None
    try:
        dumped = yaml.safe_dump(value, default_style=style, allow_unicode=True, width=float("inf"))
    except yaml.YAMLError:
        raise ValueError(f"YAML has no values of the type {type(value).__name__}") from None
    return dumped.removesuffix("...\n").rstrip("\n")


def _is_plain_word(text: str) -> bool:
    """Return whether YAML reads the text as a string even without quotes."""
    return text.isidentifier() and text not in {*"yYnN"} and isinstance(yaml.safe_load(text), str)


def _json_tree(text: str) -> Node:
    return _json_node(text, _after_space(text, 0))


def _json_node(text: str, start: int) -> Node:
    end = json.JSONDecoder().raw_decode(text, start)[1]
    if text[start] not in "{[":
        return Node(start, end)
    items: list[Node] = []
    at = _after_space(text, start + 1)
    while at < end - 1:
        name, key_start, key_end = str(len(items)), at, at
        if text[start] == "{":
            name, key_end = json.JSONDecoder().raw_decode(text, at)
            at = _after_space(text, _after_space(text, key_end) + 1)  # skip the colon
        value = _json_node(text, at)
        items.append(value.with_key(name, key_start, key_end))
        at = _after_space(text, _after_space(text, value.end) + 1)  # skip the comma
    return Node(start, end, tuple(items), is_mapping=text[start] == "{")


def _after_space(text: str, start: int) -> int:
    while text[start : start + 1].isspace():
        start += 1
    return start


def _json_text(value: Any, old: Node) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except TypeError as error:
        raise ValueError(str(error)) from None


def _toml_text(value: Any, old: Node | None = None) -> str:
    match value:
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case datetime.date() | datetime.time():
            return value.isoformat()
        case list() | tuple():
            return f"[{', '.join(map(_toml_text, value))}]"
        case dict():
            items = [f"{_toml_text(str(key))} = {_toml_text(item)}" for key, item in value.items()]
            return f"{{{', '.join(items)}}}"
    raise ValueError(f"TOML has no {value!r}")


class _PythonText:
    """The text of a Python params file.

    Python's parser reports positions as a line and a byte in it; this class converts them to offsets.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.starts = [0]
        for line_end in re.finditer(r"\r\n|\r|\n", text):
            self.starts.append(line_end.end())

    def offset(self, line: int, column: int) -> int:
        """Return the offset in the text of a position that Python's parser reports."""
        start = self.starts[line - 1]
        line_bytes = self.text[start : start + column].encode()
        return start + len(line_bytes[:column].decode(errors="ignore"))

    def node(self, value: ast.expr) -> Node:
        """Return the position of a value."""
        start = self.offset(value.lineno, value.col_offset)
        end = self.offset(value.end_lineno or 0, value.end_col_offset or 0)
        items = []
        if isinstance(value, ast.Dict):
            for key, item in zip(value.keys, value.values, strict=True):
                if key:
                    items.append(self.item(str(ast.literal_eval(key)), key, item))
        elif isinstance(value, ast.List | ast.Tuple):
            for position, item in enumerate(value.elts):
                items.append(self.item(str(position), item, item))
        is_tuple = isinstance(value, ast.Tuple)
        return Node(start, end, tuple(items), isinstance(value, ast.Dict), is_tuple=is_tuple)

    def item(self, name: str, key: ast.expr, value: ast.expr) -> Node:
        """Return the position of a value and of its key."""
        key_node = self.node(key)
        return self.node(value).with_key(name, key_node.start, key_node.end)

    def items(self, body: list[ast.stmt], in_init: bool = False) -> Iterator[Node]:
        """Yield the assignments that DVC reads as params.

        These are literals that are assigned in a module or a class, or to attributes of `self` in `__init__`.
        """
        for statement in body:
            match statement:
                case ast.ClassDef():
                    start = self.offset(statement.lineno, statement.col_offset)
                    inside = tuple(self.items(statement.body))
                    yield Node(start, start, inside, is_mapping=True).with_key(statement.name, start, start)
                case ast.FunctionDef(name="__init__"):
                    yield from self.items(statement.body, in_init=True)
                case (
                    ast.Assign(targets=[target], value=value)
                    | ast.AnnAssign(target=target, value=ast.expr() as value)
                ):
                    name = _assigned_name(target, in_init)
                    if name and _is_literal(value):
                        yield self.item(name, target, value)


def _assigned_name(target: ast.expr, in_init: bool) -> str:
    match target:
        case ast.Name(id=name) if not in_init:
            return name
        case ast.Attribute(value=ast.Name(id="self"), attr=name):
            return name
    return ""


def _is_literal(value: ast.expr | str) -> bool:
    try:
        ast.literal_eval(value)
    except (ValueError, TypeError):
        return False
    return True


def _python_tree(text: str) -> Node:
    items = _PythonText(text).items(ast.parse(text).body)
    return Node(0, len(text), tuple(items), is_mapping=True)


def _python_text(value: Any, old: Node) -> str:
    if old.is_tuple and isinstance(value, list):
        return repr(tuple(value))
    if value in (float("inf"), float("-inf")):
        return "1e999" if value > 0 else "-1e999"  # literals that overflow to infinity; `inf` is a name
    written = repr(value)
    if not _is_literal(written):
        raise ValueError("no literal of Python says that")
    return written


YAML = Format(_yaml_tree, _yaml_text)
FORMATS = {
    ".json": Format(_json_tree, _json_text),
    ".py": Format(_python_tree, _python_text),
    ".toml": Format(None, _toml_text),
}
