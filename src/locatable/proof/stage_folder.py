"""Fill the folder of a run with what a stage declares, and nothing else."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from ..clones.checkout import Checkout, copy_file
from ..clones.params_files import cut_to
from ..model import Stage
from .inputs import Input, InputKind, files_below

# In place of keys: the whole file.
WHOLE_FILE = ""


def fill_folder(
    stage: Stage, checkout: Checkout, folder: Path, inputs: Iterable[Input], last_file_first: bool
) -> None:
    """Copy the dependencies of a stage, and params files cut to the declared keys.

    Args:
        stage: a stage of the checkout.
        checkout: the clean clone, with every dependency of the stage in place.
        folder: what the stage will take for the Git root.
        inputs: what it gets beyond its declarations.
        last_file_first: create files in reverse order.
    """
    extra = list(inputs)
    keys_by_file = _params_files(stage, checkout, extra)
    files = _declared_files(stage, checkout) | _extra_files(extra)
    for path in keys_by_file:
        files.setdefault(path.relative_to(checkout.tree), path)
    for name in sorted(files, reverse=last_file_first):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        copy_file(files[name], target)
        shutil.copymode(files[name], target)
    declared = {checkout.path_of(path) for path in stage.deps}
    for path, keys in keys_by_file.items():
        if WHOLE_FILE in keys or path in declared:
            continue
        left = _declared_part(path, keys)
        if left is not None:
            (folder / path.relative_to(checkout.tree)).write_bytes(left)
    _make_folders(stage, checkout, folder)


def seen_whole(stage: Stage, checkout: Checkout) -> list[str]:
    """Return the params files of which a stage declares a part, and that cannot be cut to it."""
    whole = []
    for file, keys in stage.params.items():
        path = checkout.path_of(file)
        if keys and path.is_file() and file not in stage.deps and _declared_part(path, keys) is None:
            whole.append(file)
    return whole


def _declared_part(path: Path, keys: Iterable[str]) -> bytes | None:
    """Return a params file without the lines of what is not declared; None where it has to stay whole."""
    left = cut_to(path.read_bytes().decode(), path.name, [key.split(".") for key in keys])
    return None if left is None else left.encode()


def _params_files(stage: Stage, checkout: Checkout, extra: list[Input]) -> dict[Path, list[str]]:
    """Return the keys that a stage sees of each params file there is."""
    keys_by_file: dict[Path, list[str]] = {}
    for name, keys in stage.params.items():
        keys_by_file.setdefault(checkout.path_of(name), []).extend(keys or [WHOLE_FILE])
    for item in extra:
        if item.kind is InputKind.PARAM and item.source:
            keys_by_file.setdefault(item.source, []).append(item.name)
    return {path: keys for path, keys in keys_by_file.items() if path.is_file()}


def _declared_files(stage: Stage, checkout: Checkout) -> dict[Path, Path]:
    """Return each file of the dependencies, by its path from the Git root."""
    files = {}
    for path in map(checkout.path_of, stage.deps):
        if path.is_dir():
            for file in checkout.files_in(path):
                files[file.relative_to(checkout.tree)] = file
        elif path.exists():
            files[path.relative_to(checkout.tree)] = path
    return files


def _extra_files(extra: list[Input]) -> dict[Path, Path]:
    files = {}
    for item in extra:
        if item.kind is not InputKind.FILE or not item.source:
            continue
        for file in files_below(item.source):
            files[Path(item.name) / file.relative_to(item.source)] = file
    return files


def _make_folders(stage: Stage, checkout: Checkout, folder: Path) -> None:
    """Make the folders that a checkout has without any file of them being declared."""
    wanted = [checkout.path_of(stage.folder)]
    wanted += [path for path in map(checkout.path_of, stage.deps) if path.is_dir()]
    # A checkout has the folder of an output if anything in Git lies in it.
    parents = [checkout.path_of(path).parent for path in stage.outs]
    wanted += [parent for parent in parents if parent.is_dir()]
    for path in wanted:
        (folder / path.relative_to(checkout.tree)).mkdir(parents=True, exist_ok=True)
