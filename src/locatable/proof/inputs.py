"""Knows what a stage reads: what it declares, to fill the folder of a run, and what it could read besides."""

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ..clones.checkout import Checkout, copy_file, load_values
from ..clones.params_files import cut_to
from ..errors import CannotTryError, UnreadableError
from ..git import clone_git, untracked_names
from ..model import Stage, flatten, overlaps

# Every run has its own of these, and no result may depend on them.
PRIVATE_VARIABLES = frozenset(
    {"HOME", "PATH", "PWD", "OLDPWD", "TMPDIR", "SHLVL", "_", "DVC_ROOT", "DVC_STAGE", "VIRTUAL_ENV"}
)
# Larger files are data rather than code, and are not searched for words.
MOST_BYTES_OF_TEXT = 1_000_000
# In place of keys: the whole file.
WHOLE_FILE = ""


class InputKind(StrEnum):
    """Kinds of things that a stage can need."""

    FILE = "file"
    PARAM = "param"
    VARIABLE = "variable"


@dataclass(frozen=True)
class Input:
    """Something that a stage can need.

    Attributes:
        kind: a file or folder, a param, or an environment variable.
        name: path from the Git root, dotted key, or name of the variable.
        source: the file or folder to copy, the params file, or None for a variable.
    """

    kind: InputKind
    name: str
    source: Path | None = None


def fill_folder(
    stage: Stage, checkout: Checkout, folder: Path, extra: Sequence[Input], last_file_first: bool
) -> None:
    """Copy the dependencies of a stage, and params files cut to the declared keys."""
    files = _files(stage, checkout, extra)
    keys_by_file = _params_files(stage, checkout, extra)
    for path in keys_by_file:
        files.setdefault(path.relative_to(checkout.tree), path)
    for name in sorted(files, reverse=last_file_first):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        copy_file(files[name], target)
        shutil.copymode(files[name], target)
    declared = set(map(checkout.path_of, stage.deps))
    for path, keys in keys_by_file.items():
        if WHOLE_FILE in keys or path in declared:
            continue
        left = _declared_part(path, keys)
        if left is not None:
            (folder / path.relative_to(checkout.tree)).write_bytes(left)
    _make_folders(stage, checkout, folder)


def _files(stage: Stage, checkout: Checkout, extra: Sequence[Input]) -> dict[Path, Path]:
    """Return the files that a stage sees beside params files, by the path from the Git root."""
    files: dict[Path, Path] = {}
    for path in map(checkout.path_of, stage.deps):
        if path.is_dir():
            files.update((file.relative_to(checkout.tree), file) for file in checkout.files_in(path))
        elif path.exists():
            files[path.relative_to(checkout.tree)] = path
    for item in extra:
        if item.kind is InputKind.FILE and item.source:
            for file in files_below(item.source):
                files[Path(item.name) / file.relative_to(item.source)] = file
    return files


def _params_files(stage: Stage, checkout: Checkout, extra: Sequence[Input]) -> dict[Path, list[str]]:
    """Return the keys that a stage sees of each params file there is: those that it declares, and more."""
    keys_by_file: dict[Path, list[str]] = {}
    for name, keys in stage.params.items():
        keys_by_file.setdefault(checkout.path_of(name), []).extend(keys or [WHOLE_FILE])
    for item in extra:
        if item.kind is InputKind.PARAM and item.source:
            keys_by_file.setdefault(item.source, []).append(item.name)
    return {path: keys for path, keys in keys_by_file.items() if path.is_file()}


def _declared_part(path: Path, keys: Iterable[str]) -> bytes | None:
    """Return a params file without the lines of what is not declared; None where it has to stay whole."""
    left = cut_to(path.read_bytes().decode(), path.name, [key.split(".") for key in keys])
    return None if left is None else left.encode()


def _make_folders(stage: Stage, checkout: Checkout, folder: Path) -> None:
    """Make the folders that a checkout has without any file of them being declared."""
    wanted = list(map(checkout.path_of, stage.deps))
    for path in map(checkout.path_of, stage.outs):
        # A checkout has the folder of an output if anything in Git lies in it.
        wanted.append(path.parent)
    working = checkout.path_of(stage.folder)
    for path in (working, *wanted):
        if path.is_dir() or path == working:
            (folder / path.relative_to(checkout.tree)).mkdir(parents=True, exist_ok=True)


def seen_whole(stage: Stage, checkout: Checkout) -> list[str]:
    """Return the params files of which a stage declares a part, and that cannot be cut to it."""
    whole = []
    for file, keys in stage.params.items():
        path = checkout.path_of(file)
        if keys and path.is_file() and file not in stage.deps and _declared_part(path, keys) is None:
            whole.append(file)
    return whole


def undeclared_inputs(stage: Stage, checkout: Checkout, text: str) -> list[Input]:
    """Return everything around a stage that it does not declare; of the user's files, what `text` mentions.

    Raises:
        CannotTryError: a params file cannot be read.
    """
    return [
        *_undeclared_files(stage, checkout),
        *_files_of_the_user(checkout, text),
        *_undeclared_params(stage, checkout),
        *_variables(checkout.user_top),
    ]


def _undeclared_files(stage: Stage, checkout: Checkout) -> Iterator[Input]:
    declared = list(map(checkout.path_of, (*stage.deps, *stage.outs)))
    listed = clone_git(checkout.tree, "ls-files", "-z", "--cached").split("\0")
    paths = [checkout.tree / name for name in listed if name]
    paths += [checkout.path_of(output.path) for output in checkout.outputs]
    for path in dict.fromkeys(paths):
        if path in checkout.params_files or not path.exists():
            continue
        if not any(path.is_relative_to(folder) for folder in declared):
            yield Input(InputKind.FILE, str(path.relative_to(checkout.tree)), path)


def _files_of_the_user(checkout: Checkout, text: str) -> Iterator[Input]:
    """Yield files that lie in the user's checkout, and that neither Git nor DVC holds."""
    top = checkout.user_top
    outputs = {str(checkout.path_of(output.path)) for output in checkout.outputs}
    for name in untracked_names(top):
        path = checkout.tree / name
        if path.exists() or overlaps(str(path), outputs):
            continue
        item = Input(InputKind.FILE, name.rstrip("/"), top / name)
        if mentioned(item, text):
            yield item


def _undeclared_params(stage: Stage, checkout: Checkout) -> Iterator[Input]:
    declared = _params_files(stage, checkout, ())
    for path in sorted(checkout.params_files):
        keys = declared.get(path, [])
        # A params file in Python is code, and is found among the files.
        if WHOLE_FILE in keys or path.suffix == ".py" or not path.is_file():
            continue
        sections = tuple(f"{key}." for key in keys)
        for key in _keys_in(path):
            if not f"{key}.".startswith(sections):
                yield Input(InputKind.PARAM, key, path)


def _keys_in(path: Path) -> list[str]:
    try:
        content = load_values(path)
    except UnreadableError as error:
        raise CannotTryError(f"DVC: {error}") from None
    return list(flatten(content)) if isinstance(content, Mapping) else []


def _variables(user_top: Path) -> Iterator[Input]:
    for name, value in sorted(os.environ.items()):
        private = name in PRIVATE_VARIABLES or name.startswith(("GIT_", "DVC_"))
        if not private and str(user_top) not in value:
            yield Input(InputKind.VARIABLE, name)


def declared_files(stage: Stage, root: Path) -> Iterator[Path]:
    """Yield all files that a stage declares to read, those in folders included, up to a megabyte each."""
    for path in stage.deps:
        for file in files_below(root / path):
            if file.stat().st_size < MOST_BYTES_OF_TEXT:
                yield file


def files_below(path: Path) -> list[Path]:
    """Return all files in a folder, sorted by path; or the file itself."""
    below = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [file for file in below if file.is_file()]


def text_of(stage: Stage, root: Path) -> str:
    """Return the commands of a stage and the text of all files that it declares; see `declared_files`."""
    texts = list(stage.commands)
    for file in declared_files(stage, root):
        texts.append(file.read_bytes().decode(errors="ignore"))
    return "\n".join(texts)


def mentioned(item: Input, text: str) -> bool:
    """Return whether a text has all the words by which an input is usually named."""
    path = Path(item.name)
    if item.kind is InputKind.PARAM:
        words = item.name.split(".")
    elif item.kind is InputKind.VARIABLE:
        words = [item.name]
    # Python imports a module without its ending, and a package by its folder.
    elif path.stem == "__init__":
        words = [path.parent.name]
    else:
        words = [path.stem if path.suffix == ".py" else path.name]
    return all(re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text) for word in words)


def undeclared_sentence(stage: Stage, item: Input, tree: Path, root: Path) -> str:
    """Return what the user reads about an undeclared input."""
    if item.source is None:
        return f"{stage.address} depends on the environment variable {item.name}, which nothing records"
    verb = "imports" if item.name.endswith(".py") else "reads"
    where = f" in {item.source.relative_to(tree)}" if item.kind is InputKind.PARAM else ""
    note = "" if item.source.is_relative_to(tree) else ", nor does Git or DVC hold it"
    pipeline = (root / stage.pipeline).relative_to(tree)
    return f"{stage.address} {verb} {item.name}{where}, which {pipeline} does not declare{note}"


def unset_variables(stage: Stage, text: str) -> str:
    """Return a remark on environment variables that a stage asks for by name and that are not set here."""
    asked = re.findall(r"""(?:environ(?:\.get)?|getenv)[\[(]\s*['"](\w+)""", text)
    asked += re.findall(r"\$\{?([A-Z_][A-Z0-9_]{2,})", "\n".join(stage.commands))
    names = sorted(set(asked) - os.environ.keys() - PRIVATE_VARIABLES)
    return f"; it asks for {', '.join(names)}, which is not set here" if names else ""
