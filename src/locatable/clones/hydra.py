"""Hydra's composition of params.yaml, which `dvc exp run` does where DVC's setting `hydra.enabled` is on."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ..errors import ProjectError
from ..model import PARAMS_FILE

if TYPE_CHECKING:
    from dvc.repo import Repo


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
        """Return what `write` would write.

        Args:
            values: see `write`.

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
            names = [name for name in loader.list_groups("") if name != "hydra"]
            for name in names:
                # The list grows while it is gone through.
                names += [f"{name}/{below}" for below in loader.list_groups(name)]
            return {name: loader.get_group_options(name) for name in names}


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
    """A value in the grammar of Hydra's overrides, where texts without quotes can mean something else."""
    from hydra.core.override_parser.types import Quote, QuotedString

    match value:
        case str():
            return QuotedString(value, Quote.single).with_quotes()
        case list():
            return "[" + ",".join(_override(item) for item in value) + "]"
        case dict():
            return "{" + ",".join(f"{_override(key)}:{_override(item)}" for key, item in value.items()) + "}"
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
