"""Changes values in params files, of every kind that DVC reads."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml


def write(root: Path, params: Mapping[str, Any]) -> None:
    """Change params files, and leave their comments and order as they are."""
    from dvc.utils.serialize import MODIFIERS

    files: dict[str, dict[str, Any]] = {}
    for key, value in params.items():
        path, _, dotted = key.rpartition(":")
        files.setdefault(str(root / (path or "params.yaml")), {})[dotted] = value
    for path, values in files.items():
        plain = path.endswith((".json", ".toml", ".py"))
        with MODIFIERS[Path(path).suffix](path) as place:
            for dotted, value in values.items():
                *above, last = dotted.split(".")
                inside = functools.reduce(lambda at, part: at[index(at, part)], above, place)
                inside[index(inside, last)] = value if plain else _portable(value)


def index(place: Any, part: str) -> int | str:
    """A part of a dotted key, as what indexes `place`."""
    return int(part) if isinstance(place, list) else part


def _portable(value: Any) -> Any:
    """The same to readers of YAML 1.1 (PyYAML) and 1.2 (DVC): `1.0e-05`, not `1e-05`; `"no"`, not `no`."""
    from ruamel.yaml import YAML
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    match value:
        case str() if not value.isidentifier() or not isinstance(yaml.safe_load(value), str):
            return DoubleQuotedScalarString(value)
        case float():
            return YAML().load(yaml.safe_dump(value))
        case list():
            return [_portable(item) for item in value]
        case dict():
            return {key: _portable(item) for key, item in value.items()}
    return value
