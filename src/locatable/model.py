"""Keys of params and metrics, and the values that they name.

DVC writes a key as `file:dotted.key`, or as `dotted.key` where the file is params.yaml.
"""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

PARAMS_FILE = "params.yaml"
# Characters of a name in a stage's `params` that make DVC take it for a pattern.
PATTERN = frozenset("*?[")


@dataclass(frozen=True)
class Key:
    """The place of a value.

    Attributes:
        file: path of the file, as seen from the DVC root.
        dotted: names of the sections around the value, and its own, joined by dots.
    """

    file: str
    dotted: str

    @classmethod
    def parse(cls, text: str) -> "Key":
        """Read a key as `dvc exp run -S` takes it."""
        file, _, dotted = text.rpartition(":")
        return cls(file or PARAMS_FILE, dotted)

    def __str__(self) -> str:
        return self.dotted if self.file == PARAMS_FILE else f"{self.file}:{self.dotted}"

    @property
    def parts(self) -> list[str]:
        """The names that `dotted` joins."""
        return self.dotted.split(".")

    def value_in(self, content: Any) -> Any:
        """The value that the key names in the content of its file.

        Raises:
            LookupError, TypeError or ValueError: there is none.
        """
        value = content
        for part in self.parts:
            value = value[index(value, part)]
        return value


def index(container: Any, part: str) -> int | str:
    """A part of a dotted key, as what indexes `container`: a position where that is a list."""
    return int(part) if isinstance(container, list) else part


def flatten(values: Mapping[Any, Any], *, lists: bool = False) -> dict[str, Any]:
    """Nested mappings as one, with dotted keys; an empty mapping stays, as a value.

    Args:
        values: what to flatten.
        lists: flatten lists, too; their keys are positions.
    """
    return dict(_leaves(values, lists))


def flatten_all(values: Mapping[Any, Any], *, lists: bool = False) -> dict[str, Any]:
    """Return what `flatten` does, and lose no value: of `{"a.b": 1, "a": {"b": 2}}`, `a.b` and `a.b 2`."""
    flat: dict[str, Any] = {}
    times: Counter[str] = Counter()
    for dotted, leaf in _leaves(values, lists):
        times[dotted] += 1
        flat[f"{dotted} {times[dotted]}" if times[dotted] > 1 else dotted] = leaf
    return flat


def _leaves(values: Mapping[Any, Any], lists: bool) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        inside = _items(value, lists)
        if not inside:
            yield str(key), value
        for dotted, leaf in _leaves(inside, lists):
            yield f"{key}.{dotted}", leaf


def _items(value: Any, lists: bool) -> Mapping[Any, Any]:
    """What is inside of a value, by key; empty where nothing is."""
    if isinstance(value, Mapping):
        return value
    if lists and isinstance(value, list):
        return dict(enumerate(value))
    return {}


def json_text(content: Any, **layout: Any) -> str:
    """Return content as JSON that every parser reads.

    JSON has no NaN and no infinities: they become the texts `"NaN"`, `"Infinity"` and `"-Infinity"`. What
    else it does not have, such as dates, becomes the text of the value.

    Args:
        content: mappings, lists and values.
        layout: `indent` and `ensure_ascii`, as of `json.dumps`.
    """
    return json.dumps(_strict(content), default=str, allow_nan=False, **layout)


def _strict(value: Any) -> Any:
    match value:
        case Mapping():
            return {_strict_key(key): _strict(item) for key, item in value.items()}
        case list() | tuple():
            return [_strict(item) for item in value]
        case float() if not math.isfinite(value):
            return json.dumps(value)
    return value


def _strict_key(key: Any) -> Any:
    """A key of a mapping; YAML has dates, floats and lists for keys, too."""
    return key if isinstance(key, str | int | None) else str(key)


def same_value(one: Any, other: Any) -> bool:
    """Return whether two values are equal, as Python compares them, and a NaN equal to any other NaN."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same_value(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_value, one, other))
    both_nan = one != one and other != other
    return both_nan or bool(one == other)
