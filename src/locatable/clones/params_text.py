"""Edits the text of a params file: replaces one value, or takes keys out; every other character stays.

A round trip through a parser would change numbers and quotes, and other readers than DVC would take them for
something else. So the text is parsed for nothing but the places of its values.
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

# In no TOML file: it marks where a value would be written.
MARK = "\0"


@dataclass(frozen=True)
class Node:
    """A value in a text, and its key in the mapping that it is in.

    Attributes:
        start: where the text of the value begins.
        end: where that text ends.
        items: of a mapping or a list, in their order.
        is_mapping: whether `items` are those of a mapping.
        is_block: whether it is laid out by indentation, one item on a line.
        is_tuple: whether it is a tuple of Python.
        anchor: the name that it defines in YAML.
        alias: the name that it stands for in YAML.
        name: the key; the position in a list.
        key_start: where the key begins; in a list, where the value does.
        key_end: where the key ends.
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

    def called(self, name: str, key_start: int, key_end: int) -> "Node":
        """Return the same value with its key."""
        return replace(self, name=name, key_start=key_start, key_end=key_end)

    def item(self, name: str) -> "Node":
        """Return the item of that name; the last one, as for parsers, where there are several.

        Raises:
            LookupError: no text of its own stands for it.
        """
        for item in reversed(self.items):
            if item.name == name:
                return item
        raise LookupError(f"no text of its own stands for {name}")

    @property
    def names(self) -> list[str]:
        """The names of the items."""
        return [item.name for item in self.items]


@dataclass(frozen=True)
class Format:
    """How values are found and written in files of one kind.

    Attributes:
        tree: the values of a text, with their places; None where `place` asks a library for each.
        render: the text of a value, given what is to be replaced by it.
    """

    tree: Callable[[str], Node] | None
    render: Callable[[Any, Node], str]


def set_value(text: str, suffix: str, parts: Sequence[str], value: Any) -> str:
    """Return the text of a params file whose name ends so with another value at a key, given as its parts.

    A list keeps its layout where its length stays.

    Raises:
        LookupError: no text stands for this key alone.
        ValueError: the file does not follow its format, or cannot hold such a value.
    """
    kind = FORMATS.get(suffix, YAML)
    if kind.tree is None:
        place = _place_in_toml(text, parts)
        return text[: place.start] + kind.render(value, place) + text[place.end :]
    container = kind.tree(text)
    for part in parts[:-1]:
        container = container.item(part)
    if container.alias or parts[-1] not in container.names:
        return _override(text, container, parts[-1], kind.render(value, container))
    old = container.item(parts[-1])
    is_list = bool(old.items) and not old.is_mapping
    if is_list and isinstance(value, list | tuple) and len(value) == len(old.items):
        for position, each in enumerate(value):
            text = set_value(text, suffix, [*parts, str(position)], each)
        return text
    return _replaced(text, container, old, kind.render(value, old))


def cut(text: str, suffix: str, keys: Sequence[Sequence[str]]) -> str | None:
    """Return the text without all values but those under some keys; None where none may be taken out.

    Keys are given as their parts, which can have the wildcards that DVC knows.
    """
    kind = FORMATS.get(suffix, YAML)
    if suffix == ".py":
        return None  # what is left out can be what the rest is computed from
    try:
        if kind.tree is None:
            return _cut_toml(text, keys)
        spans = list(_undeclared(text, kind.tree(text), keys))
    except ValueError:
        return None
    for start, end in sorted(spans, reverse=True):
        text = text[:start] + text[end:]
    return text


def keep_only(values: dict[Any, Any], keys: Sequence[Sequence[str]]) -> None:
    """Delete all values but those under some keys, each given as its parts."""
    for name in list(values):
        below = keys_below(keys, str(name))
        if not below:
            del values[name]
        elif isinstance(values[name], dict) and [] not in below:
            keep_only(values[name], below)


def keys_below(keys: Iterable[Sequence[str]], name: str) -> list[list[str]]:
    """Return the rest of those keys that begin with a name, or with a wildcard for it."""
    return [list(key[1:]) for key in keys if fnmatchcase(name, key[0])]


def _replaced(text: str, container: Node, old: Node, new: str) -> str:
    """Return the text with a new one for the value of an item."""
    before, written, after = text[: old.start], text[old.start : old.end], text[old.end :]
    if not written:  # nothing, which YAML reads as null
        if container.is_mapping and ":" not in text[old.key_end : old.start]:
            new = f": {new}"
        elif not before[-1].isspace():
            new = f" {new}"
        return before + new + after
    if old.anchor:
        return _replaced_anchor(text, old, new)
    line = _line_start(text, old.start)
    if old.is_block and line > old.key_start:
        # The value comes to the line of its key, before a comment there.
        colon = text.index(":", old.key_end) + 1
        comment = text[colon:line].rstrip()
        return f"{text[:colon]} {new}{comment}{after}"
    header = re.match(r"[|>][-+0-9]*(.*)", written)
    if header and not old.items and not old.alias:
        new += header[1].rstrip("\r")  # a comment
    return before + new + after


def _replaced_anchor(text: str, old: Node, new: str) -> str:
    """Return the text with a new value under an anchor: the first alias of it gets the old one."""
    before, written, after = text[: old.start], text[old.start : old.end], text[old.end :]
    for event in yaml.parse(text):
        start, end = span(event)
        if start <= old.start or getattr(event, "anchor", None) != old.anchor:
            continue
        if not isinstance(event, yaml.AliasEvent):
            break  # another value has that name from there on
        if "\n" in written:
            raise LookupError(f"*{old.anchor} stands for it, too")
        return before + new + text[old.end : start] + written + text[end:]
    return before + new + after


def _override(text: str, container: Node, name: str, new: str) -> str:
    """Return the text with an item for a value that a mapping of YAML has from another one."""
    key = yaml_text(name)
    if container.alias:
        new = f"{{<<: {text[container.start : container.end]}, {key}: {new}}}"
        return text[: container.start] + new + text[container.end :]
    if "<<" not in container.names:
        raise LookupError(f"no text of its own stands for {name}")
    start = container.items[0].key_start
    separator = ", "
    if container.is_block:
        separator = _newline(text) + " " * (start - _line_start(text, start))
    return f"{text[:start]}{key}: {new}{separator}{text[start:]}"


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _line_start(text: str, place: int) -> int:
    return text.rfind("\n", 0, place) + 1


def _undeclared(text: str, mapping: Node, keys: Sequence[Sequence[str]]) -> Iterator[tuple[int, int]]:
    """Yield where to cut: each as start and end."""
    kept_end = None
    item_end = 0
    for position, item in enumerate(mapping.items):
        item_end = max(item.key_end, item.end)
        below = keys_below(keys, item.name)
        if below:
            kept_end = item_end
            if item.is_mapping and [] not in below:
                yield from _undeclared(text, item, below)
        elif mapping.is_block:
            yield _lines(text, item.key_start, item_end)
        elif position + 1 < len(mapping.items):
            yield item.key_start, mapping.items[position + 1].key_start
        else:
            yield item.key_start, item_end
    if kept_end and item_end > kept_end and not mapping.is_block:
        # The comma after what is kept, which stands before the first one taken out.
        following = [item.key_start for item in mapping.items if item.key_start > kept_end]
        yield kept_end, min(following)


def _lines(text: str, item_start: int, item_end: int) -> tuple[int, int]:
    """Return where the lines of an item are.

    Raises:
        ValueError: there is more in them.
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
    """Return where the value of a key is: where tomlkit would write another one.

    Raises:
        LookupError: it has no place of its own.
        ValueError: the file does not follow its format.
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
        raise LookupError("no one text stands for it")
    return Node(len(before), len(text) - len(after))


def _cut_toml(text: str, keys: Sequence[Sequence[str]]) -> str | None:
    import tomlkit

    document = tomlkit.parse(text)
    keep_only(document, keys)
    left = document.as_string()
    # Each line that is left is one of the file's, in the same order.
    lines = iter(text.splitlines(keepends=True))
    for line in left.splitlines(keepends=True):
        if line not in lines:
            return None
    return left


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
    start, end = span(event)
    if isinstance(event, yaml.AliasEvent):
        return Node(start, end, alias=event.anchor)
    if isinstance(event, yaml.ScalarEvent):
        # Blank lines after a block of text are none of it, as far as can be seen.
        return Node(start, start + len(text[start:end].rstrip()), anchor=event.anchor)
    is_mapping = isinstance(event, yaml.MappingStartEvent)
    is_block = not event.flow_style
    items: list[Node] = []
    end = start
    while not isinstance(inner := next(events), yaml.CollectionEndEvent):
        node = _yaml_node(text, inner, events)
        if is_mapping:
            value = _yaml_node(text, next(events), events)
            items.append(value.called(getattr(inner, "value", ""), node.start, node.end))
        else:
            items.append(node.called(str(len(items)), node.start, node.start))
        end = max(end, items[-1].key_end, items[-1].end)
    if not is_block:
        end = span(inner)[1]
    return Node(start, end, tuple(items), is_mapping, is_block, anchor=event.anchor)


def span(event: Any) -> tuple[int, int]:
    """Return where the text of an event of PyYAML's begins and ends."""
    return event.start_mark.index, event.end_mark.index


def yaml_text(value: Any, old: Node | None = None) -> str:
    """Return a value that readers of YAML 1.1 (PyYAML) and 1.2 (DVC) take for the same: `1.0e-05`, `"no"`."""
    match value:
        case None:
            return "null"
        case str() if _is_plain_word(value):
            return value
        case list() | tuple():
            return f"[{', '.join(map(yaml_text, value))}]"
        case dict():
            items = [f"{yaml_text(key)}: {yaml_text(item)}" for key, item in value.items()]
            return f"{{{', '.join(items)}}}"
    style = '"' if isinstance(value, str) else None
    try:
        dumped = yaml.safe_dump(value, default_style=style, allow_unicode=True, width=float("inf"))
    except yaml.YAMLError:
        raise ValueError(f"YAML has no values of the type {type(value).__name__}") from None
    return dumped.removesuffix("...\n").rstrip("\n")


def _is_plain_word(text: str) -> bool:
    """Return whether YAML reads a text as itself without quotes."""
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
        name, begun, key_end = str(len(items)), at, at
        if text[start] == "{":
            name, key_end = json.JSONDecoder().raw_decode(text, at)
            at = _after_space(text, _after_space(text, key_end) + 1)
        value = _json_node(text, at)
        items.append(value.called(name, begun, key_end))
        at = _after_space(text, _after_space(text, value.end) + 1)
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
    """A text of Python, whose parser counts lines and bytes in them."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.starts = [0]
        for line_end in re.finditer(r"\r\n|\r|\n", text):
            self.starts.append(line_end.end())

    def place(self, line: int, column: int) -> int:
        """Return the place that the parser of Python calls so."""
        start = self.starts[line - 1]
        return start + len(self.text[start : start + column].encode()[:column].decode(errors="ignore"))

    def node(self, value: ast.expr) -> Node:
        """Return where a value is."""
        start = self.place(value.lineno, value.col_offset)
        end = self.place(value.end_lineno or 0, value.end_col_offset or 0)
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
        """Return a value with its name."""
        place = self.node(key)
        return self.node(value).called(name, place.start, place.end)

    def items(self, body: list[ast.stmt], of_self: bool = False) -> Iterator[Node]:
        """Yield what DVC reads as params: literals in modules, classes, and what `__init__` sets."""
        for statement in body:
            match statement:
                case ast.ClassDef():
                    start = self.place(statement.lineno, statement.col_offset)
                    inside = tuple(self.items(statement.body))
                    yield Node(start, start, inside, is_mapping=True).called(statement.name, start, start)
                case ast.FunctionDef(name="__init__"):
                    yield from self.items(statement.body, of_self=True)
                case (
                    ast.Assign(targets=[target], value=value)
                    | ast.AnnAssign(target=target, value=ast.expr() as value)
                ):
                    name = _assigned(target, of_self)
                    if name and _is_literal(value):
                        yield self.item(name, target, value)


def _assigned(target: ast.expr, of_self: bool) -> str:
    match target:
        case ast.Name(id=name) if not of_self:
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
        return "1e999" if value > 0 else "-1e999"  # literals, which `inf` is not
    written = repr(value)
    if not _is_literal(written):
        raise ValueError("no literal of Python says that")
    return written


YAML = Format(_yaml_tree, yaml_text)
FORMATS = {
    ".json": Format(_json_tree, _json_text),
    ".py": Format(_python_tree, _python_text),
    ".toml": Format(None, _toml_text),
}
