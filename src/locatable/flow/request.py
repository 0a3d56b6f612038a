"""What a user asks a rebuild for."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ..errors import UsageError
from ..repository import parsing


@dataclass(frozen=True)
class RebuildRequest:
    """Parameters of the flow `rebuild`, which explains them."""

    rev: str = "HEAD"
    targets: list[str] | None = None
    params: dict[str, Any] = field(default_factory=dict)
    retries: int = 2
    timeout: float | None = None


def parse_params(pairs: Iterable[str]) -> dict[str, Any]:
    """Params from the command line, value by key.

    Args:
        pairs: texts like `train.lr=1e-5`; the value is YAML, as in a params file.

    Raises:
        UsageError: one has no value.
    """
    params = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator:
            raise UsageError(f"-S {pair}: write it as KEY=VALUE")
        params[key] = parsing.load_yaml(value)
    return params
