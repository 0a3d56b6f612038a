"""Params of many files as one mapping, on the keys of `dvc exp run -S`."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from ..model import PATTERN, Key, flatten


def flat_params(files: Iterable[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """Values of params files by the keys of `dvc exp run -S`."""
    values = {}
    for file, content in files:
        for dotted, value in flatten(content).items():
            values[_key(file, dotted)] = value
    return values


@lru_cache(10_000)
def _key(file: str, dotted: str) -> str:
    return str(Key(file, dotted))


def named_values(content: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Values of a params file by their dotted names, of all of the file where there are no names."""
    values = {}
    for name in names:
        try:
            values[name] = named_value(content, name)
        except (LookupError, TypeError, ValueError):
            continue  # the stage would fail
    return values if names else dict(content)


def named_value(content: Any, name: str) -> Any:
    """The value that a stage's `params` name, which may be a pattern such as `models.rf*`, as for DVC.

    Raises:
        LookupError, TypeError or ValueError: there is none, or several values match.
    """
    try:
        return Key("", name).value_in(content)
    except (LookupError, TypeError, ValueError):
        if PATTERN.isdisjoint(name):
            raise
        from dpath import get  # DVC's own

        return get(content, name, separator=".")
