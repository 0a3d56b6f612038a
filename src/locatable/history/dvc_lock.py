"""Reads `dvc.lock`, quickly for thousands of revisions.

DVC writes its lock in a small part of YAML, one key, value or item of a list a line. That part is read here,
ten times as quickly as a YAML parser would, and a block of it that is the same in many revisions only once.
Whatever is more than that part, or broken, is left to the YAML parser.
"""

import re
from functools import lru_cache
from typing import Any

import yaml

from .formats import load_yaml, number, parse_yaml

# A file or folder in a stage's `deps` or `outs`, as DVC writes nearly all of them.
_ENTRY = re.compile(
    r"\n    - path: ([\w./@-]+)\n      hash: md5\n      md5: ([0-9a-f]{32}(?:\.dir)?)\n      size: (\d+)"
    r"(?:\n      nfiles: (\d+))?(?![^\n])"
)
# Any line: indentation, dash of a list's item, key, value.
_LINE = re.compile(r"^( *)(- )?(?:([\w./@-]+):(?: |$))?(.*)$", re.MULTILINE)
_HASH = re.compile(r"[0-9a-f]{32}(\.dir)?")
_SHORTEST_HASH = 32
# Columns of a stage's fields (`cmd`, `deps`, ...), and from a list's dash to what follows it.
_FIELD_INDENT = 4
_DASH = 2
# What begins a scalar of several lines, an anchor, an alias or a tag.
_NOT_PLAIN = ("|", ">", "&", "*", "!")


def lock_stages(content: bytes) -> Any:
    """Stages of a `dvc.lock`: name to cmd, deps, params, outs; shared, so do not change them.

    Raises:
        ValueError or yaml.YAMLError: the text is not YAML.
    """
    text = content.decode()
    schema, _, body = text.removesuffix("\n").partition("\nstages:")
    if schema == "schema: '2.0'":
        try:
            return _quickly(body)
        except (ValueError, yaml.YAMLError):
            pass  # more of YAML than DVC usually writes, or broken: the whole text tells
    lock = parse_yaml(text) or {}
    if isinstance(lock, dict) and "schema" in lock:
        return lock.get("stages") or {}
    return lock  # before DVC 2, a lock held nothing but stages


def _quickly(body: str) -> dict[str, Any]:
    """Stages in what comes after `stages:`; raises ValueError or yaml.YAMLError if there is more in it."""
    inline, *blocks = re.split(r"\n(?=  \S)", body)
    if inline.strip():
        raise ValueError(inline)
    stages: dict[str, Any] = {}
    for block in blocks:
        name, fields = _stage(block)
        stages[name] = fields
    return stages


@lru_cache(2_000)
def _stage(text: str) -> tuple[str, dict[str, Any]]:
    head, *blocks = re.split(r"\n(?=    [a-z])", text)
    heading = load_yaml(head)
    if not isinstance(heading, dict) or list(heading.values()) != [None]:
        raise ValueError(head)
    (name,) = heading
    fields: dict[str, Any] = {}
    for block in blocks:
        fields.update(_field(block))
    return name, fields


# From revision to revision most fields repeat; those that do not must not fill the memory.
@lru_cache(5_000)
def _field(text: str) -> dict[str, Any]:
    name, _, entries = text.partition(":")
    has_files = name in ("    deps", "    outs")
    if has_files and not _ENTRY.sub("", entries):
        return {name.strip(): [_file(*match) for match in _ENTRY.findall(entries)]}
    block = _Block()
    for spaces, dash, key, value in _LINE.findall(text):
        block.add(len(spaces), bool(dash), key, value)
    return block.content


def _file(path: str, md5: str, size: str, nfiles: str) -> dict[str, Any]:
    entry = {"path": path, "hash": "md5", "md5": md5, "size": int(size)}
    return entry | {"nfiles": int(nfiles)} if nfiles else entry


class _Block:
    """Nested mappings and lists, put together line by line.

    Attributes:
        content: what the lines so far say.
    """

    def __init__(self) -> None:
        self.content: dict[str, Any] = {}
        # The containers that a next line can add to, outermost first, each with its column.
        self._levels: list[tuple[int, Any]] = [(_FIELD_INDENT, self.content)]
        # The last key where it had no value, with its mapping and column: the next line may be inside of it.
        self._open: tuple[dict[str, Any], str, int] | None = None

    def add(self, indent: int, dash: bool, key: str, value: str) -> None:
        """Add a line.

        Args:
            indent: how many spaces it begins with.
            dash: whether it is an item of a list.
            key: before the colon; empty where there is none.
            value: the rest.

        Raises:
            ValueError or yaml.YAMLError: it is more than this class understands.
        """
        if not dash and not key:
            raise ValueError(value)
        if self._open:
            self._enter(*self._open, indent, dash)
            self._open = None
        column, container = self._levels[-1]
        if column != indent or isinstance(container, list) != dash:
            container = self._leave(indent, dash)
        if dash and not key:
            container.append(_scalar(value))
            return
        if dash:
            indent += _DASH
            item: dict[str, Any] = {}
            container.append(item)
            container = item
            self._levels.append((indent, item))
        container[key] = _scalar(value)
        if not value:
            self._open = (container, key, indent)

    def _enter(self, mapping: dict[str, Any], key: str, column: int, indent: int, dash: bool) -> None:
        """Make a key without a value a list or a mapping, where the next line is inside of it."""
        # DVC does not indent the items of a list.
        if indent > column or (dash and indent == column):
            mapping[key] = [] if dash else {}
            self._levels.append((indent, mapping[key]))

    def _leave(self, indent: int, dash: bool) -> Any:
        """Close the containers that end before a line; return the one that the line belongs to."""
        while len(self._levels) > 1:
            column, container = self._levels[-1]
            ends_list = isinstance(container, list) and not dash
            if column <= indent and not ends_list:
                break
            self._levels.pop()
        column, container = self._levels[-1]
        if column != indent or isinstance(container, list) != dash:
            raise ValueError(f"a line at column {indent}")
        return container


@lru_cache(10_000)
def _plain(text: str) -> Any:
    value = number(text)
    if value is not None:
        return value
    if text.startswith(_NOT_PLAIN) or (": " in text and text[0] not in "'\""):
        raise ValueError(text)
    return parse_yaml(text)


def _scalar(text: str) -> Any:
    # Hashes are not remembered: there are too many.
    if len(text) >= _SHORTEST_HASH and _HASH.fullmatch(text):
        return text
    return _plain(text)
