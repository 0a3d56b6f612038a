"""Params of many files as one mapping, on the keys of `dvc exp run -S`."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from ..keys import Key, flatten


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
