"""Edits the text of a params file: replaces one value, or takes keys out; every other character stays."""

import re
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any

import yaml

from .params_formats import FORMATS, YAML, Item, Node, span, yaml_text

# In no TOML file: it marks where a value would be written.
MARK = "\0"


def set_value(text: str, suffix: str, parts: Sequence[str], value: Any) -> str:
    """Return the text with another value at a key; a list keeps its layout where its length stays.

    Args:
        text: of a params file.
        suffix: the ending of its name.
        parts: of the key.
        value: to be there.

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
        container = _item(container, part).value
    if container.alias or not _has(container, parts[-1]):
        return _override(text, container, parts[-1], kind.render(value, container))
    item = _item(container, parts[-1])
    old = item.value
    names = [each.name for each in old.items]
    if isinstance(value, list | tuple) and names and not old.is_mapping and len(names) == len(value):
        for name, each in zip(names, value, strict=True):
            text = set_value(text, suffix, [*parts, name], each)
        return text
    return _replaced(text, container, item, kind.render(value, old))


def cut(text: str, suffix: str, keys: Sequence[Sequence[str]]) -> str | None:
    """Return the text without all values but those under some keys; None where none may be taken out.

    Args:
        text: of a params file.
        suffix: the ending of its name.
        keys: each as its parts, which can have the wildcards that DVC knows.
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


def _has(container: Node, name: str) -> bool:
    return any(item.name == name for item in container.items)


def _item(container: Node, name: str) -> Item:
    """Return the item of that name; the last one, as for parsers, where there are several."""
    found = [item for item in container.items if item.name == name]
    if not found:
        raise LookupError(f"no text of its own stands for {name}")
    return found[-1]


def _replaced(text: str, container: Node, item: Item, new: str) -> str:
    """Return the text with a new one for the value of an item."""
    old = item.value
    if old.start == old.end:  # nothing, which YAML reads as null
        if container.is_mapping and ":" not in text[item.key_end : old.start]:
            new = f": {new}"
        elif not text[old.start - 1].isspace():
            new = f" {new}"
        return text[: old.start] + new + text[old.end :]
    if old.anchor:
        return _replaced_anchor(text, old, new)
    line = _line_start(text, old.start)
    if old.is_block and line > item.start:
        colon = text.index(":", item.key_end) + 1
        return f"{text[:colon]} {new}{text[colon:line].rstrip()}{text[old.end :]}"
    header = re.match(r"[|>][-+0-9]*(.*)", text[old.start : old.end])
    if header and not old.items and not old.alias:
        new += header[1].rstrip("\r")  # a comment
    return text[: old.start] + new + text[old.end :]


def _replaced_anchor(text: str, old: Node, new: str) -> str:
    """The text with a new one for a value that aliases can stand for: the first of them gets the old one."""
    named = [event for event in yaml.parse(text) if getattr(event, "anchor", None) == old.anchor]
    later = [event for event in named if span(event)[0] > old.start]
    first = later[0] if later and isinstance(later[0], yaml.AliasEvent) else None
    written = text[old.start : old.end]
    if first is None:
        return text[: old.start] + new + text[old.end :]
    if "\n" in written:
        raise LookupError(f"*{old.anchor} stands for it, too")
    start, end = span(first)
    return text[: old.start] + new + text[old.end : start] + written + text[end:]


def _override(text: str, container: Node, name: str, new: str) -> str:
    """Return the text with an item for a value that a mapping of YAML has from another one."""
    key = yaml_text(name)
    if container.alias:
        new = f"{{<<: {text[container.start : container.end]}, {key}: {new}}}"
        return text[: container.start] + new + text[container.end :]
    if not _has(container, "<<"):
        raise LookupError(f"no text of its own stands for {name}")
    start = container.items[0].start
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
    for position, item in enumerate(mapping.items):
        below = keys_below(keys, item.name)
        if below:
            kept_end = item.end
            if item.value.is_mapping and [] not in below:
                yield from _undeclared(text, item.value, below)
        elif mapping.is_block:
            yield _lines(text, item)
        elif position + 1 < len(mapping.items):
            yield item.start, mapping.items[position + 1].start
        else:
            yield item.start, item.end
    last = mapping.items[-1] if mapping.items else None
    if last and kept_end and last.end > kept_end and not mapping.is_block:
        # The comma after what is kept, which stands before the first one taken out.
        following = min(item.start for item in mapping.items if item.start > kept_end)
        yield kept_end, following


def _lines(text: str, item: Item) -> tuple[int, int]:
    """Return where the lines of an item are.

    Raises:
        ValueError: there is more in them.
    """
    start = _line_start(text, item.start)
    before = text[start : item.start]
    if before.startswith("\ufeff"):
        start += 1
    rest = re.compile(r"[ \t]*(#[^\n]*|\r)?(\n|$)").match(text, item.end)
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
    return left if all(line in lines for line in left.splitlines(keepends=True)) else None
