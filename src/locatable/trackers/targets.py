"""Where `locatable mirror --to` writes. Each tracker is imported when it is asked for."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import ProjectError, UsageError
from ..git import main_checkout
from .failures import tracker_errors
from .run import Tracker

FORMS = "wandb[:entity/project], tensorboard:FOLDER, aim:FOLDER or comet[:workspace/project]"
HIDDEN = "*\n"


@dataclass(frozen=True)
class Kind:
    """A tracker that `--to` knows.

    Attributes:
        title: how it is called in a sentence.
        package: what to install.
        module: what that is imported as.
        open: opens it, from the project's root, its name, and what comes after the colon.
        has_folder: a folder has to come after the colon.
    """

    title: str
    package: str
    module: str
    open: Callable[[Path, str, str], Tracker]
    has_folder: bool = False


def open_tracker(target: str, root: Path, project: str) -> Tracker:
    """The tracker that `--to` names.

    Args:
        target: as it was typed.
        root: the DVC root.
        project: what the project is called where the target names none.

    Raises:
        UsageError: there is no such tracker.
        ProjectError: it is not installed.
        StoreError: it cannot be opened.
    """
    name, _, place = target.partition(":")
    kind = KINDS.get(name)
    if kind is None or (kind.has_folder and not place):
        raise UsageError(f"--to {target}: give it {FORMS}")
    try:
        importlib.import_module(kind.module)
    except ModuleNotFoundError as error:
        if error.name != kind.module:
            raise
        raise ProjectError(f"--to {name} needs {kind.title}: pip install {kind.package}") from None
    with tracker_errors():
        return kind.open(root, project, place)


def new_folder(folder: Path) -> Path:
    """A folder of a view, which is neither Git's business nor DVC's if it was not there before."""
    if not folder.exists():
        folder.mkdir(parents=True)
        for name in (".gitignore", ".dvcignore"):
            (folder / name).write_text(HIDDEN)
    return folder


def _open_tensorboard(root: Path, project: str, place: str) -> Tracker:
    from .tensorboard import TensorBoard

    return TensorBoard(new_folder(Path(place)))


def _open_aim(root: Path, project: str, place: str) -> Tracker:
    from .aim import Aim

    return Aim(new_folder(Path(place)), project)


def _open_wandb(root: Path, project: str, place: str) -> Tracker:
    from .wandb import WandB

    entity, _, name = place.rpartition("/")
    return WandB(new_folder(main_checkout(root) / "wandb"), entity, name or project)


def _open_comet(root: Path, project: str, place: str) -> Tracker:
    from .comet import Comet

    workspace, _, name = place.rpartition("/")
    return Comet(new_folder(main_checkout(root) / ".cometml-runs"), workspace, name or project)


KINDS = {
    "wandb": Kind("W&B", "wandb", "wandb", _open_wandb),
    "tensorboard": Kind("TensorBoard", "tensorboard", "tensorboard", _open_tensorboard, has_folder=True),
    "aim": Kind("Aim", "aim", "aim", _open_aim, has_folder=True),
    "comet": Kind("Comet", "comet-ml", "comet_ml", _open_comet),
}
