"""Fast parsers for the files that DVC reads, with the same results as DVC's own.

A file that is too large or too deeply nested is refused, so that no file can exhaust the memory. PyYAML
follows YAML 1.1, where `1e-05` is a string and `no` is false. DVC follows YAML 1.2, and so do these parsers.
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

# The largest params, metrics or pipeline file to read, in bytes. Large projects have files of one million.
MOST_TEXT = 50_000_000
# The most values in such a file, counted again for each alias that repeats them, and their deepest nesting.
MOST_VALUES = 2_000_000
MOST_DEPTH = 200
# The start of a line that may be nested too deeply.
_DEEP_LINE = re.compile(rf"^[ \t?:-]{{{MOST_DEPTH}}}", re.MULTILINE)
TOO_LONG = f"larger than {MOST_TEXT // 1_000_000} MB"
TOO_DEEP = f"nested more than {MOST_DEPTH} deep"


class TooLargeError(ValueError):
    """A text exceeds one of the bounds above."""


def _may_exceed_bounds(text: str | bytes) -> bool:
    """Return whether a YAML text might exceed a bound; for most texts, this fast test shows that it cannot.

    A text that is nested too deeply must not reach the loader, which is written in C and would crash.
    """
    decoded = text.decode("latin-1") if isinstance(text, bytes) else text
    if len(decoded) > MOST_TEXT or "*" in decoded:  # `*` begins an alias
        return True
    brackets = decoded.count("[") + decoded.count("{")
    return brackets > MOST_DEPTH or bool(_DEEP_LINE.search(decoded))


def require_bounded_yaml(text: str | bytes) -> None:
    """Refuse a YAML text that is too large, nested too deeply, or expands to too many values.

    The check only uses the parser's events, so it expands no aliases itself.

    Raises:
        TooLargeError: the text exceeds a bound.
        yaml.YAMLError: the text is not YAML.
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
    """Refuse values that are nested too deeply for recursive functions.

    Raises:
        TooLargeError: they are nested too deeply.
    """
    level = [value]
    for _ in range(MOST_DEPTH):
        next_level: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                next_level += item.values()
            elif isinstance(item, list | tuple):
                next_level += item
        level = next_level
        if not level:
            return
    raise TooLargeError(TOO_DEEP)


def parse_toml(text: str) -> dict[str, Any]:
    """Parse TOML.

    Raises:
        ValueError: the text is not TOML, is too large, or is nested too deeply.
    """
    if len(text) > MOST_TEXT:
        raise TooLargeError(TOO_LONG)
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise TooLargeError(TOO_DEEP) from None


class _ExpandedSize:
    """Counts the values of a YAML text from the parser's events, repeated for each alias."""

    def __init__(self) -> None:
        self._values = 0
        self._by_anchor: dict[str, int] = {}
        # For each collection that is still open: its anchor, and the number of values before it.
        self._open: list[tuple[str | None, int]] = []

    def begin(self, event: yaml.NodeEvent) -> None:
        """Count a value, or the values that an alias repeats."""
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
        """Close a value, and remember the number of values in it if it has an anchor."""
        anchor, before = self._open.pop()
        if anchor:
            self._by_anchor[anchor] = self._values - before


# The total size of the texts whose results are cached: many small texts, or a few large ones.
MOST_CACHED = 8_000_000

Text = TypeVar("Text", bound=str | bytes)
Result = TypeVar("Result")


def cached_by_text(parse: Callable[[Text], Result]) -> Callable[[Text], Result]:
    """Cache the results of a function by its text, within a bound on the total size of the texts.

    Callers share the results, so they must not change them.
    """
    cache: dict[Text, Result] = {}
    size = 0

    @wraps(parse)
    def parse_once(text: Text) -> Result:
        nonlocal size
        if text not in cache:
            result = parse(text)
            size += len(text)
            if size > MOST_CACHED:
                cache.clear()
                size = len(text)
            cache[text] = result
        return cache[text]

    return parse_once


class Loader(yaml.CSafeLoader):
    """PyYAML's fast loader, with the plain scalars of YAML 1.2."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 (a new dictionary: the parent's must not change)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse a duplicate key, as DVC does; only a key that is merged in (`<<`) may be overridden."""
        seen = set()
        for key, _ in node.value:
            if (key.tag, str(key.value)) in seen:
                problem = f"duplicate key {key.value}"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add((key.tag, str(key.value)))
        return super().construct_mapping(node, deep)


# The plain scalars of each type: its tag, a pattern, and the characters that such a scalar can begin with.
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
        TooLargeError: the text is too large or nested too deeply, or it expands to too many values.
        yaml.YAMLError: the text is not YAML.
    """
    if _may_exceed_bounds(text):
        require_bounded_yaml(text)
    return yaml.load(text, Loader)  # noqa: S506 (a safe loader)


@cached_by_text
def load_yaml(text: str | bytes) -> Any:
    """Parse YAML 1.2, and cache the result. Callers share it, so they must not change it.

    Raises:
        yaml.YAMLError: the text is not YAML.
    """
    return parse_yaml(text)


# A line with a key, whose value is a single word, an empty list or mapping, or on the lines below.
_KEY_LINE = re.compile(r"^( *)(\w[\w.-]*):(?: +([\w.+-]*\w|\[\]|\{\}))? *(?: #.*)?$", re.MULTILINE)
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?(e[-+]?[0-9]+)?")


def number(text: str) -> int | float | None:
    """Parse a number in its usual form, as DVC writes it; return None for any other text."""
    if not _NUMBER.fullmatch(text):
        return None
    return int(text) if text.lstrip("-").isdigit() else float(text)


def load_plain(text: str) -> Any:
    """Parse YAML 1.2, three times as fast if each line is a key with a single word or nothing for a value.

    Raises:
        ValueError or yaml.YAMLError: the text is not YAML.
    """
    lines = [line for line in text.split("\n") if line and not line.lstrip(" ").startswith("#")]
    key_lines = _KEY_LINE.findall(text)
    if key_lines and len(key_lines) == len(lines):
        try:
            return _nested(key_lines)
        except ValueError:
            pass  # the indentation is unusual, or the text is broken: YAML's own parser knows
    return load_yaml(text)


def _nested(lines: list[tuple[str, str, str]]) -> dict[Any, Any]:
    """Build nested mappings from the indentation, key and value of each line.

    Raises:
        ValueError: the indentation is inconsistent, or a key is there twice.
    """
    content: dict[Any, Any] = {}
    # The open mappings with their indentation, outermost first.
    levels = [(lines[0][0], content)]
    # The mapping and key of the line before, if that line has no value, so that a mapping may follow.
    parent: tuple[dict[Any, Any], Any] | None = None
    for indent, name, value in lines:
        if len(indent) > len(levels[-1][0]):
            if parent is None:
                raise ValueError(name)
            inside: dict[Any, Any] = {}
            parent[0][parent[1]] = inside
            levels.append((indent, inside))
        while levels and len(indent) < len(levels[-1][0]):
            levels.pop()
        if not levels or indent != levels[-1][0]:
            raise ValueError(name)
        key = _scalar(name)
        mapping = levels[-1][1]
        if key in mapping:
            raise ValueError(name)
        mapping[key] = _scalar(value) if value else None
        parent = None if value else (mapping, key)
    return content


@lru_cache(10_000)
def _scalar(text: str) -> Any:
    """Parse a plain scalar: a number directly, any other word with the YAML parser."""
    value = number(text)
    return load_yaml(text) if value is None else value


def parse(path: str, content: bytes) -> Any:
    """Parse a metrics or params file as JSON, TOML, Python or YAML, according to its file extension.

    Raises:
        ValueError or yaml.YAMLError: the content does not fit the extension, or exceeds a bound.
    """
    if len(content) > MOST_TEXT:
        raise TooLargeError(TOO_LONG)
    extension = posixpath.splitext(path)[1].lower()
    values: Any
    try:
        if extension == ".json":
            values = json.loads(content)
        elif extension == ".toml":
            values = parse_toml(content.decode())
        elif extension == ".py":
            values = python_params(path, content)
        else:
            values = load_plain(content.decode())
    except (RecursionError, MemoryError):
        # Python's own parsers raise either one if a text is nested too deeply.
        raise TooLargeError(TOO_DEEP) from None
    require_bounded_depth(values)
    return values


def python_params(path: str, content: bytes) -> dict[str, Any]:
    """Return the values that a Python file assigns, as DVC records them in `dvc.lock`: a tuple as a list.

    Raises:
        ValueError: the file is not Python.
    """
    from dvc.utils.serialize import ParseError, parse_py

    try:
        values: dict[str, Any] = as_recorded(parse_py(content.decode(), path))
    except ParseError as error:
        raise ValueError(str(error)) from None
    return values


def unrecordable_params(path: str, content: bytes, names: list[str]) -> str:
    """Return why DVC cannot record params of a file, or an empty text if it can.

    DVC writes params as JSON to hash them, and JSON lacks some types. A file that cannot be read at all, or
    is too large, is not reported here: other code does that.
    """
    try:
        json.dumps(named_values(_parse_as_dvc(path, content), names))
    except (ValueError, yaml.YAMLError):
        return ""
    except TypeError as error:
        return str(error)
    return ""


@lru_cache(20)  # the stages of a revision declare params from the same few files
def _parse_as_dvc(path: str, content: bytes) -> Any:
    """Parse a params file with DVC's own parser for its extension."""
    from dvc.utils.serialize import PARSERS, ParseError

    # Check the bounds first: DVC's own parser has none.
    parse(path, content)
    try:
        return PARSERS[posixpath.splitext(path)[1].lower()](content.decode(), path)
    except ParseError as error:
        raise ValueError(str(error)) from None


def as_recorded(value: Any) -> Any:
    """Return a value of a params file as `dvc.lock` records it: with lists for tuples."""
    if isinstance(value, dict):
        return {key: as_recorded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_recorded(item) for item in value]
    return value
