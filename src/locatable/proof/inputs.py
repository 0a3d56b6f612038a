"""Fills the folder of a run with the declared inputs of a stage, and lists its undeclared inputs."""

import os
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ..clones.checkout import Checkout, copy_file, load_values
from ..clones.params_files import cut_to
from ..errors import CannotTryError, UnreadableError
from ..git import clone_git, untracked_names
from ..model import Stage, flatten, overlaps

# Every run sets these variables anew, and no result may depend on them.
PRIVATE_VARIABLES = frozenset(
    {"HOME", "PATH", "PWD", "OLDPWD", "TMPDIR", "SHLVL", "_", "DVC_ROOT", "DVC_STAGE", "VIRTUAL_ENV"}
)
# Larger files are taken for data, not code, and are not searched for names.
MOST_BYTES_OF_TEXT = 1_000_000
# How code in Python and in a shell reads an environment variable.
_PYTHON_VARIABLE = re.compile(r"""(?:environ(?:\.get)?|getenv)[\[(]\s*['"](\w+)""")
_SHELL_VARIABLE = re.compile(r"\$\{?([A-Z_][A-Z0-9_]{2,})")
# Stands for the whole params file, in place of keys.
WHOLE_FILE = ""


class InputKind(StrEnum):
    """The kinds of inputs of a stage."""

    FILE = "file"
    PARAM = "param"
    VARIABLE = "variable"


@dataclass(frozen=True)
class Input:
    """An input that a stage does not declare.

    Attributes:
        kind: a file or folder, a param, or an environment variable.
        name: a path from the Git root, a dotted key, or the name of a variable.
        source: the file or folder to copy, the params file with the key, or None for a variable.
    """

    kind: InputKind
    name: str
    source: Path | None = None


def fill_folder(
    stage: Stage, checkout: Checkout, folder: Path, extra: Sequence[Input], last_file_first: bool
) -> None:
    """Copy the inputs of a stage into a folder that stands for the Git root.

    Args:
        stage: a stage of the checkout.
        checkout: the clean clone, with every dependency of the stage in place.
        folder: the folder to fill.
        extra: undeclared inputs to copy as well.
        last_file_first: true to copy the files in the reverse order of their paths.
    """
    files = _files(stage, checkout, extra)
    keys_by_file = _declared_keys(stage, checkout, extra)
    for path in keys_by_file:
        files.setdefault(path.relative_to(checkout.tree), path)
    for name in sorted(files, reverse=last_file_first):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        copy_file(files[name], target)
        shutil.copymode(files[name], target)
    # Reduce params files to the declared keys, unless the stage depends on the file as a whole.
    whole_files = [checkout.path_of(path) for path in stage.deps]
    for path, keys in keys_by_file.items():
        if path in whole_files:
            continue
        declared_part = _declared_part(path, keys)
        if declared_part is not None:
            target = folder / path.relative_to(checkout.tree)
            target.write_text(declared_part, encoding="utf-8", newline="")
    _make_folders(stage, checkout, folder)


def _files(stage: Stage, checkout: Checkout, extra: Sequence[Input]) -> dict[Path, Path]:
    """Return the declared dependencies and extra files of a stage, by the path from the Git root."""
    files: dict[Path, Path] = {}
    for dependency in stage.deps:
        place = checkout.path_of(dependency)
        candidates = checkout.files_in(place) if place.is_dir() else [place]
        for file in candidates:
            if file.exists():
                files[file.relative_to(checkout.tree)] = file
    for item in extra:
        if item.kind is InputKind.FILE and item.source:
            for file in files_below(item.source):
                files[Path(item.name) / file.relative_to(item.source)] = file
    return files


def _declared_keys(stage: Stage, checkout: Checkout, extra: Sequence[Input]) -> dict[Path, list[str]]:
    """Return the declared and extra keys of a stage, by existing params file."""
    keys_by_file: dict[Path, list[str]] = defaultdict(list)
    for name, keys in stage.params.items():
        place = checkout.path_of(name)
        if place.is_file():
            keys_by_file[place] += keys or [WHOLE_FILE]
    for item in extra:
        if item.kind is InputKind.PARAM and item.source:
            keys_by_file[item.source].append(item.name)
    return keys_by_file


def _declared_part(path: Path, keys: Sequence[str]) -> str | None:
    """Return the text of a params file reduced to some keys, or None if it cannot be reduced."""
    if WHOLE_FILE in keys:
        return None
    text = path.read_bytes().decode()
    return cut_to(text, path.name, [key.split(".") for key in keys])


def _make_folders(stage: Stage, checkout: Checkout, folder: Path) -> None:
    """Create folders that exist in every checkout, although the stage may declare no file in them."""
    candidates = [checkout.path_of(path) for path in stage.deps]
    # The folder of an output exists in the checkout if Git has any file in it.
    candidates += [checkout.path_of(path).parent for path in stage.outs]
    for path in (checkout.path_of(stage.folder), *filter(Path.is_dir, candidates)):
        place = folder / path.relative_to(checkout.tree)
        place.mkdir(parents=True, exist_ok=True)


def seen_whole(stage: Stage, checkout: Checkout) -> list[str]:
    """Return the params files that a stage sees whole, since they cannot be reduced to the declared keys."""
    whole = []
    for file, keys in stage.params.items():
        path = checkout.path_of(file)
        is_to_be_reduced = keys and path.is_file() and file not in stage.deps
        if is_to_be_reduced and _declared_part(path, keys) is None:
            whole.append(file)
    return whole


def undeclared_inputs(stage: Stage, checkout: Checkout, text: str) -> list[Input]:
    """Return all inputs that a stage could use without declaring them.

    These are files that Git or DVC stores, params, environment variables, and those untracked files of the
    user that `text` mentions.

    Raises:
        CannotTryError: a params file cannot be read.
    """
    return [
        *_undeclared_files(stage, checkout),
        *_untracked_files(checkout, text),
        *_undeclared_params(stage, checkout),
        *_undeclared_variables(checkout.user_top),
    ]


def _undeclared_files(stage: Stage, checkout: Checkout) -> Iterator[Input]:
    """Yield the files and folders that Git or DVC stores and the stage does not declare."""
    declared = [checkout.path_of(path) for path in (*stage.deps, *stage.outs)]
    in_git = clone_git(checkout.tree, "ls-files", "-z", "--cached").split("\0")
    # The keys of a dictionary are unique and keep their order, so every run tries the same inputs.
    paths = {checkout.tree / name: None for name in in_git if name}
    for output in checkout.outputs:
        paths[checkout.path_of(output.path)] = None
    for path in paths:
        if path in checkout.params_files or not path.exists():
            continue
        if not any(path.is_relative_to(folder) for folder in declared):
            name = path.relative_to(checkout.tree)
            yield Input(InputKind.FILE, str(name), path)


def _untracked_files(checkout: Checkout, text: str) -> Iterator[Input]:
    """Yield files in the user's checkout that neither Git nor DVC tracks and that a text mentions."""
    top = checkout.user_top
    outputs = {str(checkout.path_of(output.path)) for output in checkout.outputs}
    for name in untracked_names(top):
        path = checkout.tree / name
        if path.exists() or overlaps(str(path), outputs):
            continue
        item = Input(InputKind.FILE, name.rstrip("/"), top / name)
        if is_mentioned(item, text):
            yield item


def _undeclared_params(stage: Stage, checkout: Checkout) -> Iterator[Input]:
    """Yield the keys of params files that the stage does not declare.

    Raises:
        CannotTryError: a params file cannot be read.
    """
    declared = _declared_keys(stage, checkout, ())
    for path in sorted(checkout.params_files):
        keys = declared.get(path, [])
        # A params file in Python is code: `_undeclared_files` yields it as a whole.
        if WHOLE_FILE in keys or path.suffix == ".py" or not path.is_file():
            continue
        try:
            content = load_values(path)
        except UnreadableError as error:
            raise CannotTryError(f"DVC: {error}") from None
        if not isinstance(content, Mapping):
            continue
        sections = tuple(f"{key}." for key in keys)
        for key in flatten(content):
            if not f"{key}.".startswith(sections):
                yield Input(InputKind.PARAM, key, path)


def _undeclared_variables(user_top: Path) -> Iterator[Input]:
    """Yield the user's environment variables, without private ones and those with a path in the checkout."""
    for name, value in sorted(os.environ.items()):
        if name in PRIVATE_VARIABLES or name.startswith(("GIT_", "DVC_")):
            continue
        if str(user_top) not in value:
            yield Input(InputKind.VARIABLE, name)


def declared_files(stage: Stage, root: Path) -> Iterator[Path]:
    """Yield the files in a stage's dependencies, without files of a megabyte or more, which are data."""
    for path in stage.deps:
        for file in files_below(root / path):
            if file.stat().st_size < MOST_BYTES_OF_TEXT:
                yield file


def files_below(path: Path) -> list[Path]:
    """Return all files below a folder, sorted by path. For a file, return the file itself."""
    below = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [file for file in below if file.is_file()]


def text_of(stage: Stage, root: Path) -> str:
    """Return the commands of a stage and the text of its declared files, see `declared_files`."""
    texts = list(stage.commands)
    for file in declared_files(stage, root):
        texts.append(file.read_bytes().decode(errors="ignore"))
    return "\n".join(texts)


def is_mentioned(item: Input, text: str) -> bool:
    """Return whether a text contains the words that code would use to name an input."""
    path = Path(item.name)
    words = [path.name]
    if item.kind is InputKind.PARAM:
        words = item.name.split(".")
    # An import names a package by its folder, and a module without `.py`.
    elif path.name == "__init__.py":
        words = [path.parent.name]
    elif path.suffix == ".py":
        words = [path.stem]
    return all(re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text) for word in words)


def undeclared_finding(stage: Stage, item: Input, tree: Path, root: Path) -> str:
    """Return the finding about an undeclared input.

    Args:
        stage: the stage that needs the input.
        item: the input.
        tree: the Git root of the clone.
        root: the DVC root of the clone.
    """
    address = stage.address
    if item.source is None:
        return f"{address} depends on the environment variable {item.name}, which nothing records"
    pipeline = (root / stage.pipeline).relative_to(tree)
    undeclared = f"which {pipeline} does not declare"
    if item.kind is InputKind.PARAM:
        return f"{address} reads {item.name} in {item.source.relative_to(tree)}, {undeclared}"
    verb = "imports" if item.name.endswith(".py") else "reads"
    note = "" if item.source.is_relative_to(tree) else ", nor does Git or DVC hold it"
    return f"{address} {verb} {item.name}, {undeclared}{note}"


def unset_variables(stage: Stage, text: str) -> str:
    """Return a remark on the environment variables that a stage reads and that are not set here.

    Args:
        stage: the stage, whose commands are searched.
        text: code of the stage to search as well.

    Returns:
        An empty text if all of them are set.
    """
    variables = _PYTHON_VARIABLE.findall(text)
    for command in stage.commands:
        variables += _SHELL_VARIABLE.findall(command)
    unset = set(variables) - os.environ.keys() - PRIVATE_VARIABLES
    if not unset:
        return ""
    return f"; it asks for {', '.join(sorted(unset))}, which is not set here"
