"""Files that DVC reads, understood as DVC does, and quickly for thousands of revisions.

No file takes all memory, whoever wrote it: what is too large, or nested too deeply, is refused.
PyYAML follows YAML 1.1, where `1e-05` is a string and `no` is false; DVC follows 1.2.
"""

import json
import posixpath
import re
import tomllib
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, TypeVar

import yaml

from ..model import named_values

# Bytes of a params, metrics or pipeline file; those of large projects have one million.
MOST_TEXT = 50_000_000
# Values of such a file, each counted wherever an alias repeats it, and how deep they are nested.
MOST_VALUES = 2_000_000
MOST_DEPTH = 200
# How a line begins that is within so many others.
_DEEP_LINE = re.compile(rf"^[ \t?:-]{{{MOST_DEPTH}}}", re.MULTILINE)
TOO_LONG = f"larger than {MOST_TEXT // 1_000_000} MB"
TOO_DEEP = f"nested more than {MOST_DEPTH} deep"


class TooLargeError(ValueError):
    """A text is beyond a bound."""


def is_doubtful_yaml(text: str | bytes) -> bool:
    """Return whether a YAML text could be refused; most can be seen not to be, which is quicker.

    What is nested deeply would end the process: the loader is written in C.
    """
    decoded = text.decode("latin-1") if isinstance(text, bytes) else text
    if len(decoded) > MOST_TEXT or "*" in decoded:
        return True
    return decoded.count("[") + decoded.count("{") > MOST_DEPTH or bool(_DEEP_LINE.search(decoded))


def require_bounded_yaml(text: str | bytes) -> None:
    """Refuse a YAML text that is too large, too deep, or expands to too much by its aliases.

    Only the parser's events are looked at: nothing is expanded here.

    Raises:
        TooLargeError: it is one of these.
        yaml.YAMLError: it is not YAML.
    """
    if len(text) > MOST_TEXT:
        raise TooLargeError(TOO_LONG)
    size = _ExpandedSize()
    for event in yaml.parse(text, yaml.CSafeLoader):
        if isinstance(event, yaml.NodeEvent):
            size.begin(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            size.end()


def require_bounded_depth(value: Any) -> None:
    """Refuse values that are nested too deeply to be walked through.

    Raises:
        TooLargeError: they are.
    """
    level = [value]
    for _ in range(MOST_DEPTH):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below += item.values()
            elif isinstance(item, list | tuple):
                below += item
        level = below
        if not level:
            return
    raise TooLargeError(TOO_DEEP)


def parse_toml(text: str) -> dict[str, Any]:
    """Parse TOML.

    Raises:
        ValueError: it is not TOML, too large, or nested too deeply.
    """
    if len(text) > MOST_TEXT:
        raise TooLargeError(TOO_LONG)
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise TooLargeError(TOO_DEEP) from None


class _ExpandedSize:
    """Counts values, those below an alias wherever it stands."""

    def __init__(self) -> None:
        self._values = 0
        self._by_anchor: dict[str, int] = {}
        # Of each collection that has not ended: its anchor, and how many values came before it.
        self._open: list[tuple[str | None, int]] = []

    def begin(self, event: yaml.NodeEvent) -> None:
        """Count a value, or what an alias repeats."""
        if isinstance(event, yaml.AliasEvent):
            name = str(event.anchor)
            if any(anchor == name for anchor, _ in self._open):
                raise TooLargeError(f"the anchor {name} holds itself")
            self._values += self._by_anchor.get(name, 0)
        else:
            self._open.append((event.anchor, self._values))
            self._values += 1
            if isinstance(event, yaml.ScalarEvent):
                self.end()
        if self._values > MOST_VALUES:
            raise TooLargeError(f"more than {MOST_VALUES:,} values")
        if len(self._open) > MOST_DEPTH:
            raise TooLargeError(TOO_DEEP)

    def end(self) -> None:
        """Remember how many values are below the anchor of the value that ends."""
        anchor, before = self._open.pop()
        if anchor:
            self._by_anchor[anchor] = self._values - before


# Characters of the texts whose answers a function remembers: many small files, or a few large ones.
MOST_REMEMBERED = 8_000_000

Text = TypeVar("Text", bound=str | bytes)
Answer = TypeVar("Answer")


def remembered(read: Callable[[Text], Answer]) -> Callable[[Text], Answer]:
    """Have a function answer once for each text, as long as these are not too large; answers are shared."""
    answers: dict[Text, Answer] = {}
    size = 0

    @wraps(read)
    def read_once(text: Text) -> Answer:
        nonlocal size
        if text not in answers:
            answer = read(text)
            size += len(text)
            if size > MOST_REMEMBERED:
                answers.clear()
                size = len(text)
            answers[text] = answer
        return answers[text]

    return read_once


class Loader(yaml.CSafeLoader):
    """PyYAML's quick loader with the plain scalars of YAML 1.2."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 (not shared: the parent's would be changed otherwise)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse a key that is there twice, as DVC does; those that are merged (`<<`) may be replaced."""
        seen = set()
        for key, _ in node.value:
            if (key.tag, str(key.value)) in seen:
                what = f"duplicate key {key.value}"
                raise yaml.constructor.ConstructorError(None, None, what, key.start_mark)
            seen.add((key.tag, str(key.value)))
        return super().construct_mapping(node, deep)


# What a plain scalar looks like, by the tag of its type, and the characters that it can begin with.
_SCALARS = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9][0-9_]*|0o[0-7]+|0x[0-9a-fA-F]+|0b[01]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", r"<<", "<"),
)


def _integer(loader: Loader, node: yaml.ScalarNode) -> int:
    text = node.value.replace("_", "")
    has_base = re.match(r"[-+]?0[xob]", text)
    return int(text, 0) if has_base else int(text)


for _tag, _pattern, _first in _SCALARS:
    Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))
Loader.add_constructor("tag:yaml.org,2002:int", _integer)


def parse_yaml(text: str | bytes) -> Any:
    """Parse YAML 1.2.

    Raises:
        TooLargeError: it is too large, or expands to too much.
        yaml.YAMLError: the text is not YAML.
    """
    if is_doubtful_yaml(text):
        require_bounded_yaml(text)
    return yaml.load(text, Loader)  # noqa: S506 (a safe loader)


@remembered
def load_yaml(text: str | bytes) -> Any:
    """Parse YAML 1.2 once; the answer is shared by all who ask, so do not change it.

    Raises:
        yaml.YAMLError: the text is not YAML.
    """
    return parse_yaml(text)


# A line with a key, and no value, one word, or brackets with nothing in them.
_KEY_LINE = re.compile(r"^( *)(\w[\w.-]*):(?: +([\w.+-]*\w|\[\]|\{\}))? *(?: #.*)?$", re.MULTILINE)
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?(e[-+]?[0-9]+)?")


def number(text: str) -> int | float | None:
    """Return a number as DVC and most people write it.

    None where it is another word, or written otherwise.
    """
    if not _NUMBER.fullmatch(text):
        return None
    return int(text) if text.lstrip("-").isdigit() else float(text)


def load_plain(text: str) -> Any:
    """Parse YAML 1.2, three times as quickly where each line is a key, with one word for a value or none.

    Raises:
        ValueError or yaml.YAMLError: the text is not YAML.
    """
    lines = [line for line in text.split("\n") if line and not line.lstrip(" ").startswith("#")]
    found = _KEY_LINE.findall(text)
    try:
        return _nested(found) if found and len(found) == len(lines) else load_yaml(text)
    except ValueError:
        return load_yaml(text)


def _nested(lines: list[tuple[str, str, str]]) -> dict[Any, Any]:
    """Return mappings out of the indentation, key and value of each line.

    ValueError if they are not nested.
    """
    content: dict[Any, Any] = {}
    levels = [(lines[0][0], content)]
    parent: tuple[dict[Any, Any], Any] | None = None
    for indent, word, value in lines:
        if len(indent) > len(levels[-1][0]):
            if parent is None:
                raise ValueError(word)
            inside: dict[Any, Any] = {}
            parent[0][parent[1]] = inside
            levels.append((indent, inside))
        while levels and len(indent) < len(levels[-1][0]):
            levels.pop()
        if not levels or indent != levels[-1][0]:
            raise ValueError(word)
        key = _word(word)
        mapping = levels[-1][1]
        if key in mapping:
            raise ValueError(word)
        mapping[key] = _word(value) if value else None
        parent = None if value else (mapping, key)
    return content


@lru_cache(10_000)
def _word(text: str) -> Any:
    value = number(text)
    return load_yaml(text) if value is None else value


def parse(path: str, content: bytes) -> Any:
    """Parse a metrics or params file by the ending of its name: JSON, TOML, Python, or YAML.

    Raises:
        ValueError or yaml.YAMLError: it is not what its name says, or too large.
    """
    if len(content) > MOST_TEXT:
        raise TooLargeError(TOO_LONG)
    try:
        values = _parse(posixpath.splitext(path)[1].lower(), path, content)
    except (RecursionError, MemoryError):
        # Python's own parsers say either.
        raise TooLargeError(TOO_DEEP) from None
    require_bounded_depth(values)
    return values


def _parse(ending: str, path: str, content: bytes) -> Any:
    if ending == ".json":
        return json.loads(content)
    if ending == ".toml":
        return parse_toml(content.decode())
    if ending == ".py":
        return python_params(path, content)
    return load_plain(content.decode())


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

    A file that cannot be read at all, or is too large to be, is told elsewhere.
    """
    try:
        json.dumps(named_values(_parse_as_dvc(path, content), names))
    except (ValueError, yaml.YAMLError):
        return ""
    except TypeError as error:
        return str(error)
    return ""


@lru_cache(20)  # the stages of a revision declare parts of the same few files
def _parse_as_dvc(path: str, content: bytes) -> Any:
    from dvc.utils.serialize import PARSERS, ParseError

    # DVC would expand what has no end.
    parse(path, content)
    try:
        return PARSERS[posixpath.splitext(path)[1].lower()](content.decode(), path)
    except ParseError as error:
        raise ValueError(str(error)) from None


def as_recorded(value: Any) -> Any:
    """Return a value of a params file as `dvc.lock` has it, which knows no tuples."""
    if isinstance(value, dict):
        return {key: as_recorded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_recorded(item) for item in value]
    return value
