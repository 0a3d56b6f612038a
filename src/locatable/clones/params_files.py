"""Sets values in params files of every format that DVC reads, and verifies that nothing else changes.

If DVC's setting `hydra.enabled` is on, Hydra composes params.yaml first, as in `dvc exp run`.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import yaml

from ..errors import ProjectError
from ..model import PARAMS_FILE, Key, index
from ..repository.dvc_repo import dvc_errors
from ..repository.parsing import as_recorded, parse_toml
from .params_text import cut, keep_only, set_value

if TYPE_CHECKING:
    from dvc.repo import Repo

Parse = Callable[[str], Any]
# Marks a key that has no value in the file.
ABSENT = object()


@dataclass(frozen=True)
class Composition:
    """The places from which Hydra composes a project's params.yaml.

    Attributes:
        folder: the absolute path of the configuration's folder; None if the configuration is in a module.
        module: the Python module with the configuration; None if the configuration is in a folder.
        name: the name of the primary configuration file, without its extension.
        plugins: the absolute path of the folder with Hydra's plugins.
    """

    folder: str | None
    module: str | None
    name: str
    plugins: str

    def write(self, params_file: Path, values: Mapping[str, Any]) -> None:
        """Compose the configuration and write the result to a file.

        Args:
            params_file: the file to write.
            values: the values that override the configuration, by dotted key.

        Raises:
            ProjectError: Hydra cannot compose it; the message is the first line of Hydra's.
        """
        from dvc.utils.hydra import compose_and_dump

        overrides = [f"{key}={_hydra_text(value)}" for key, value in values.items()]
        with _hydra_errors():
            compose_and_dump(str(params_file), self.folder, self.module, self.name, self.plugins, overrides)

    def compose(self, values: Mapping[str, Any] | None = None) -> Any:
        """Return the content that `write` would write with these values.

        Raises:
            ProjectError: Hydra cannot compose it.
        """
        from dvc.utils.serialize import load_yaml

        with TemporaryDirectory(prefix="hydra-") as folder:
            path = Path(folder) / PARAMS_FILE
            self.write(path, values or {})
            return load_yaml(str(path))

    def groups(self) -> dict[str, list[str]]:
        """Return the options of each config group, by the group's name: `model`, `model/optimizer`.

        Raises:
            ProjectError: Hydra cannot read the configuration.
        """
        from hydra import initialize_config_dir, initialize_config_module
        from hydra.core.global_hydra import GlobalHydra

        with _hydra_errors(), ExitStack() as stack:
            if self.folder:
                stack.enter_context(initialize_config_dir(self.folder, version_base=None))
            else:
                stack.enter_context(initialize_config_module(self.module or "", version_base=None))
            loader = GlobalHydra.instance().config_loader()
            groups: dict[str, list[str]] = {}
            waiting = [name for name in loader.list_groups("") if name != "hydra"]
            while waiting:
                name = waiting.pop(0)
                groups[name] = loader.get_group_options(name)
                waiting += [f"{name}/{subgroup}" for subgroup in loader.list_groups(name)]
            return groups


def composition_of(repo: "Repo") -> Composition | None:
    """Return how Hydra composes params.yaml, from the same DVC settings as `dvc exp run`.

    None if Hydra is not enabled in this repository.
    """
    settings = repo.config.get("hydra", {})
    if not settings.get("enabled"):
        return None
    root = Path(repo.root_dir)
    module = settings.get("config_module")
    return Composition(
        folder=None if module else str(root / settings.get("config_dir", "conf")),
        module=module,
        name=settings.get("config_name", "config"),
        plugins=str(root / settings.get("plugins_path", "")),
    )


def _hydra_text(value: Any) -> str:
    """Return a value in the grammar of Hydra's overrides.

    Strings are always quoted, since Hydra could read an unquoted one as a number, a list or an interpolation.
    """
    from hydra.core.override_parser.types import Quote, QuotedString

    match value:
        case str():
            return QuotedString(value, Quote.single).with_quotes()
        case list():
            return f"[{','.join(map(_hydra_text, value))}]"
        case dict():
            items = [f"{_hydra_text(key)}:{_hydra_text(item)}" for key, item in value.items()]
            return f"{{{','.join(items)}}}"
        case float():
            return repr(value)
    return json.dumps(value)


@contextmanager
def _hydra_errors() -> Iterator[None]:
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        yield
    except (HydraException, OmegaConfBaseException, ImportError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ProjectError(f"Hydra cannot compose {PARAMS_FILE}: {reason}") from None


def write_composed(repo: "Repo", params: Mapping[str, Any]) -> list[str]:
    """Set values in params files. If Hydra is enabled, compose params.yaml with them, as in `dvc exp run`.

    Args:
        repo: the project, as DVC's repository.
        params: value by key, as in `dvc exp run -S`.

    Returns:
        The files that Hydra composed. Git may not track them yet.

    Raises:
        ProjectError: Hydra cannot compose params.yaml, or `write` raises it.
    """
    from dvc.utils.serialize import load_yaml

    root = Path(repo.root_dir)
    composition = composition_of(repo)
    if composition is None:
        write(root, params)
        return []
    keys = {text: Key.parse(text) for text in params}
    composed = {}
    for text, key in keys.items():
        if key.file == PARAMS_FILE:
            composed[key.dotted] = params[text]
    composition.write(root / PARAMS_FILE, composed)
    content = load_yaml(str(root / PARAMS_FILE))
    # Hydra leaves out quotes that YAML 1.2 needs, so set the values once more. A key that chooses an option
    # of a config group has no value in params.yaml: there is a section of that name, or nothing.
    values = {}
    for text, key in keys.items():
        composed_value = _value_at(key, content)
        is_group = composed_value is ABSENT or isinstance(composed_value, dict)
        if key.file != PARAMS_FILE or not is_group:
            values[text] = params[text]
    write(root, values)
    return [PARAMS_FILE]


def write(root: Path, params: Mapping[str, Any]) -> None:
    """Replace the text of values in params files, and leave every other byte as it is.

    Args:
        root: the DVC root, to which the files' paths are relative.
        params: value by key, as in `dvc exp run -S`.

    Raises:
        ProjectError: a file does not have the value, or the value cannot be changed without changing others.
    """
    by_file: dict[str, dict[Key, Any]] = {}
    for text, value in params.items():
        key = Key.parse(text)
        by_file.setdefault(key.file, {})[key] = value
    for file, values in by_file.items():
        path = root / file
        try:
            text = path.read_bytes().decode()
        except (OSError, UnicodeDecodeError) as error:
            raise ProjectError(f"{file}: {error}") from None
        path.write_bytes(_changed(text, file, values).encode())


def _changed(text: str, file: str, values: Mapping[Key, Any]) -> str:
    """Return the text of a params file with new values, which every parser of the file reads alike.

    Raises:
        ProjectError: the file does not have a value, or it cannot be changed without changing others.
    """
    suffix = Path(file).suffix.lower()
    readings = list(_readings(text, file))
    new = text
    for key, value in values.items():
        current = [_value_at(key, before) for _, before in readings]
        if same(current, [value] * len(current)):
            continue
        if current[0] is ABSENT:
            raise ProjectError(f"{key}: there is no such value in {key.file}")
        try:
            new = set_value(new, suffix, key.parts, value)
        except (LookupError, ValueError) as error:
            reason = error.args[0]
            raise ProjectError(f"{key}: cannot be set to {value!r} in {key.file}: {reason}") from None
    for parse, before in readings:
        # Parsed YAML aliases share one object. Copy them, so that setting one does not set the others.
        expected = as_recorded(before)
        try:
            for key, value in values.items():
                _set(expected, key, value)
        except (LookupError, TypeError):
            # This parser does not see the key: for YAML 1.1, a section called `on` is called True.
            continue
        if not same(_parsed(parse, new), expected):
            keys = ", ".join(map(str, values))
            raise ProjectError(f"{keys}: cannot be set to {list(values.values())!r} and nothing else with it")
    return new


def _value_at(key: Key, content: Any) -> Any:
    """Return the value of a key in the content of its file; ABSENT if there is none."""
    try:
        return key.value_in(content)
    except (LookupError, TypeError, ValueError):
        return ABSENT


def _parsed(parse: Parse, text: str) -> Any:
    """Return the parsed text; None if it is not valid in its format."""
    from dvc.exceptions import DvcException

    try:
        return parse(text)
    except (DvcException, ValueError, yaml.YAMLError):
        return None


def cut_to(text: str, file: str, keys: Sequence[Sequence[str]]) -> str | None:
    """Return the text of a params file without the lines of all keys that are not in `keys`.

    None if the file cannot be cut without changing the values of the remaining keys.
    """
    remaining = cut(text, Path(file).suffix.lower(), keys)
    if remaining is None:
        return None
    for parse, before in _readings(text, file):
        keep_only(before, keys)
        if not same(_parsed(parse, remaining) or {}, before):
            return None  # for example, a remaining alias refers to an anchor that was cut
    return remaining


def _readings(text: str, file: str) -> Iterator[tuple[Parse, Any]]:
    """Yield the parsers that may read a params file, each with the content that it reads.

    The first one is DVC's. For YAML and TOML the second one is the usual Python library, unless it cannot
    parse the text.
    """
    from dvc.utils.serialize import PARSERS

    suffix = Path(file).suffix.lower()
    parse_dvc = PARSERS[suffix]
    with dvc_errors():
        before = parse_dvc(text, file)
    yield lambda new: parse_dvc(new, file), before
    if suffix in (".json", ".py"):
        return
    usual_parser: Parse = parse_toml if suffix == ".toml" else _load_yaml
    read = _parsed(usual_parser, text)
    if read is not None:
        yield usual_parser, read


def _load_yaml(text: str) -> Any:
    # The C loader reads the same as `safe_load`, and is faster.
    return yaml.load(text.encode(), yaml.CSafeLoader)


def _set(content: Any, key: Key, value: Any) -> None:
    *sections, name = key.parts
    container = content
    for section in sections:
        container = container[index(container, section)]
    container[index(container, name)] = value


def same(left: Any, right: Any) -> bool:
    """Return whether two values are equal and of the same types. A list and a tuple count as the same."""
    if isinstance(left, dict) and isinstance(right, dict):
        if left.keys() != right.keys():
            return False
        return all(same(left[name], right[name]) for name in left)
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    # Compare the text, because 1, 1.0 and True are equal in Python, and NaN is not equal to itself.
    return repr(left) == repr(right)
