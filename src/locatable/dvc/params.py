"""Changes values in params files, of every kind that DVC reads."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ..keys import PARAMS_FILE, Key, index
from .hydra import composition_of

if TYPE_CHECKING:
    from dvc.repo import Repo

# Files of these kinds have one syntax; YAML has two versions that read some plain values differently.
UNAMBIGUOUS = (".json", ".toml", ".py")


def write_composed(repo: "Repo", params: Mapping[str, Any]) -> list[str]:
    """Change params files; where Hydra composes params.yaml, it does that anew, as in `dvc exp run`.

    Args:
        repo: DVC's repository.
        params: value by key, as after `dvc exp run -S`, but plain.

    Returns:
        Files that were composed: Git may not know them yet.

    Raises:
        ProjectError: Hydra refuses.
        LookupError, TypeError or ValueError: a section that a key names is not there.
    """
    root = Path(repo.root_dir)
    composition = composition_of(repo)
    if composition is None:
        write(root, params)
        return []
    keys = {text: Key.parse(text) for text in params}
    composition.write(
        root / PARAMS_FILE,
        {key.dotted: params[text] for text, key in keys.items() if key.file == PARAMS_FILE},
    )
    write(root, {text: params[text] for text, key in keys.items() if key.file != PARAMS_FILE})
    return [PARAMS_FILE]


def write(root: Path, params: Mapping[str, Any]) -> None:
    """Change params files, and leave their comments and order as they are.

    Args:
        root: the DVC root, which the files' paths start from.
        params: value by key, as after `dvc exp run -S`.

    Raises:
        LookupError, TypeError or ValueError: a section that a key names is not there.
    """
    from dvc.utils.serialize import MODIFIERS

    by_file: dict[str, dict[Key, Any]] = {}
    for text, value in params.items():
        key = Key.parse(text)
        by_file.setdefault(key.file, {})[key] = value
    for file, values in by_file.items():
        path = root / file
        with MODIFIERS[path.suffix.lower()](str(path)) as content:
            for key, value in values.items():
                _set(content, key, value if path.suffix.lower() in UNAMBIGUOUS else _portable(value))


def _set(content: Any, key: Key, value: Any) -> None:
    *sections, name = key.parts
    container = content
    for section in sections:
        container = container[index(container, section)]
    container[index(container, name)] = value


def _portable(value: Any) -> Any:
    """The same to readers of YAML 1.1 (PyYAML) and 1.2 (DVC): `1.0e-05`, not `1e-05`; `"no"`, not `no`."""
    from ruamel.yaml import YAML
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    match value:
        case str():
            return value if _is_plain_word(value) else DoubleQuotedScalarString(value)
        case float():
            return YAML().load(yaml.safe_dump(value))
        case list():
            return [_portable(item) for item in value]
        case dict():
            return {key: _portable(item) for key, item in value.items()}
    return value


def _is_plain_word(text: str) -> bool:
    """Whether YAML reads a text as itself without quotes."""
    return text.isidentifier() and isinstance(yaml.safe_load(text), str)
