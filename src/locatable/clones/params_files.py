"""Changes values in params files, of every kind that DVC reads, and sees that nothing else changes.

Where DVC's setting `hydra.enabled` is on, Hydra composes params.yaml, as `dvc exp run` has it do.
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
# Stands for a value that is not there.
ABSENT = object()


@dataclass(frozen=True)
class Composition:
    """Where Hydra finds a project's configuration.

    Attributes:
        folder: of the configuration, absolute; None where it is in a module.
        module: that holds the configuration; None where it is in a folder.
        name: of the file to begin with, without its ending.
        plugins: folder of Hydra's plug-ins, absolute.
    """

    folder: str | None
    module: str | None
    name: str
    plugins: str

    def write(self, params_file: Path, values: Mapping[str, Any]) -> None:
        """Compose, and write the result.

        Args:
            params_file: where to.
            values: what is to be other than the configuration says, by dotted key.

        Raises:
            ProjectError: Hydra refuses; the message is the first line of what it says.
        """
        from dvc.utils.hydra import compose_and_dump

        overrides = [f"{key}={_override(value)}" for key, value in values.items()]
        with _hydra_errors():
            compose_and_dump(str(params_file), self.folder, self.module, self.name, self.plugins, overrides)

    def compose(self, values: Mapping[str, Any] | None = None) -> Any:
        """Return what `write` would write with these values.

        Raises:
            ProjectError: see `write`.
        """
        from dvc.utils.serialize import load_yaml

        with TemporaryDirectory(prefix="hydra-") as folder:
            path = Path(folder) / PARAMS_FILE
            self.write(path, values or {})
            return load_yaml(str(path))

    def groups(self) -> dict[str, list[str]]:
        """Return what can be chosen of each group of the configuration: `model`, `model/optimizer`.

        Raises:
            ProjectError: see `write`.
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
                waiting += [f"{name}/{below}" for below in loader.list_groups(name)]
            return groups


def composition_of(repo: "Repo") -> Composition | None:
    """Return how Hydra composes params.yaml of a repository, None where it does not; read as DVC reads it."""
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


def _override(value: Any) -> str:
    """Return a value in the grammar of Hydra's overrides, where text without quotes can mean other things."""
    from hydra.core.override_parser.types import Quote, QuotedString

    match value:
        case str():
            return QuotedString(value, Quote.single).with_quotes()
        case list():
            return f"[{','.join(map(_override, value))}]"
        case dict():
            items = [f"{_override(key)}:{_override(item)}" for key, item in value.items()]
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
    """Change params files; where Hydra composes params.yaml, it does that anew, as in `dvc exp run`.

    Returns:
        Files that were composed: Git may not know them yet.

    Raises:
        ProjectError: Hydra refuses, or see `write`.
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
    # Hydra leaves out quotes that YAML 1.2 needs. The key of a group names a section, or nothing.
    written = {}
    for text, key in keys.items():
        found = _value_at(key, content)
        if key.file == PARAMS_FILE and (found is ABSENT or isinstance(found, dict)):
            continue
        written[text] = params[text]
    write(root, written)
    return [PARAMS_FILE]


def write(root: Path, params: Mapping[str, Any]) -> None:
    """Replace the text of values in params files; every other byte stays.

    Args:
        root: the DVC root, which the files' paths start from.
        params: value by key, as after `dvc exp run -S`.

    Raises:
        ProjectError: a file has no such value, or cannot hold the new one alone.
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
        path.write_bytes(changed(text, file, values).encode())


def changed(text: str, file: str, values: Mapping[Key, Any]) -> str:
    """Return the text of a params file with other values, as every reader of it takes them.

    Raises:
        ProjectError: see `write`.
    """
    suffix = Path(file).suffix.lower()
    readings = list(_readings(text, file))
    new = text
    for key, value in values.items():
        found = [_value_at(key, before) for _, before in readings]
        if same(found, [value] * len(found)):
            continue
        if found[0] is ABSENT:
            raise ProjectError(f"{key}: there is no such value in {key.file}")
        try:
            new = set_value(new, suffix, key.parts, value)
        except (LookupError, ValueError) as error:
            reason = error.args[0]
            raise ProjectError(f"{key}: cannot be set to {value!r} in {key.file}: {reason}") from None
    for parse, before in readings:
        # A copy, in which no two places share a value, as those of aliases do.
        expected = as_recorded(before)
        try:
            for key, value in values.items():
                _set(expected, key, value)
        except (LookupError, TypeError):
            continue  # for YAML 1.1, `on` is no text, and no name of a section either
        if not same(_parsed(parse, new), expected):
            keys = ", ".join(map(str, values))
            raise ProjectError(f"{keys}: cannot be set to {list(values.values())!r} and nothing else with it")
    return new


def _value_at(key: Key, content: Any) -> Any:
    """Return the value that a key names in the content of its file; ABSENT where there is none."""
    try:
        return key.value_in(content)
    except (LookupError, TypeError, ValueError):
        return ABSENT


def _parsed(parse: Parse, text: str) -> Any:
    """Return what a text says; None where it follows its format no more."""
    from dvc.exceptions import DvcException

    try:
        return parse(text)
    except (DvcException, ValueError, yaml.YAMLError):
        return None


def cut_to(text: str, file: str, keys: Sequence[Sequence[str]]) -> str | None:
    """Return the text of a params file without the lines of all but some keys.

    None where it has to stay whole.
    """
    left = cut(text, Path(file).suffix.lower(), keys)
    if left is None:
        return None
    for parse, before in _readings(text, file):
        keep_only(before, keys)
        if not same(_parsed(parse, left) or {}, before):
            return None  # for instance where an anchor is gone that what is left refers to
    return left


def _readings(text: str, file: str) -> Iterator[tuple[Parse, Any]]:
    """Yield what can read a text: DVC, and the usual readers of YAML and TOML; each with what it reads."""
    from dvc.utils.serialize import PARSERS

    suffix = Path(file).suffix.lower()
    parse_dvc = PARSERS[suffix]
    with dvc_errors():
        before = parse_dvc(text, file)
    yield lambda one: parse_dvc(one, file), before
    if suffix in (".json", ".py"):
        return
    other: Parse = parse_toml if suffix == ".toml" else _load_yaml
    read = _parsed(other, text)
    if read is not None:
        yield other, read


def _load_yaml(text: str) -> Any:
    # The same as `safe_load`, and quicker.
    return yaml.load(text.encode(), yaml.CSafeLoader)


def _set(content: Any, key: Key, value: Any) -> None:
    *sections, name = key.parts
    container = content
    for section in sections:
        container = container[index(container, section)]
    container[index(container, name)] = value


def same(one: Any, other: Any) -> bool:
    """Return whether two values are equal and of the same types; a list can be a tuple."""
    if isinstance(one, dict) and isinstance(other, dict):
        if one.keys() != other.keys():
            return False
        return all(same(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    # As text, since 1, 1.0 and true are equal in Python, and nan is not.
    return repr(one) == repr(other)
