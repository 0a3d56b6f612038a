"""What a stage can need: which of it is not declared, and how that is said."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ..clones.checkout import Checkout, load_values
from ..errors import CannotTryError, UnreadableError
from ..git import untracked_names
from ..git.working_clone import clone_git
from ..model import Stage, flatten, overlaps

# Every run has its own of these, and no result may depend on them.
PRIVATE_VARIABLES = frozenset(
    {"HOME", "PATH", "PWD", "OLDPWD", "TMPDIR", "SHLVL", "_", "DVC_ROOT", "DVC_STAGE", "VIRTUAL_ENV"}
)
# Larger files are not searched for words.
MOST_BYTES_OF_TEXT = 1_000_000


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


def undeclared_inputs(stage: Stage, checkout: Checkout, text: str) -> list[Input]:
    """Return everything around a stage that it does not declare.

    Args:
        stage: a stage of the checkout.
        checkout: the clean clone; files that only the user's checkout has count if `text` mentions them.
        text: see `text_of`.

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
    declared = [checkout.path_of(path) for path in (*stage.deps, *stage.outs)]
    listed = clone_git(checkout.tree, "ls-files", "-z", "--cached").split("\0")
    in_git = [checkout.tree / name for name in listed if name]
    in_dvc = [checkout.path_of(output.path) for output in checkout.outputs]
    for path in dict.fromkeys(in_git + in_dvc):
        if path in checkout.params_files or not path.exists():
            continue
        if not any(path.is_relative_to(folder) for folder in declared):
            yield Input(InputKind.FILE, str(path.relative_to(checkout.tree)), path)


def _files_of_the_user(checkout: Checkout, text: str) -> Iterator[Input]:
    """Yield files that lie in the user's checkout, and that neither Git nor DVC holds."""
    top = checkout.user_top
    outputs = [str(checkout.path_of(output.path)) for output in checkout.outputs]
    for name in untracked_names(top):
        path = checkout.tree / name
        if path.exists() or overlaps(str(path), outputs):
            continue
        item = Input(InputKind.FILE, name.rstrip("/"), top / name)
        if mentioned(item, text):
            yield item


def _undeclared_params(stage: Stage, checkout: Checkout) -> Iterator[Input]:
    declared = {checkout.path_of(file): names for file, names in stage.params.items()}
    for path in sorted(checkout.params_files):
        keys = declared.get(path, [])
        declared_whole = path in declared and not keys
        if declared_whole or path.suffix == ".py" or not path.is_file():
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
    """Yield all files that a stage declares to read, those in folders included, up to a megabyte each.

    Args:
        stage: the stage.
        root: the DVC root.
    """
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
    texts = [file.read_bytes().decode(errors="ignore") for file in declared_files(stage, root)]
    return "\n".join([*stage.commands, *texts])


def mentioned(item: Input, text: str) -> bool:
    """Return whether a text has all the words by which an input is usually named."""
    return all(re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text) for word in _words(item))


def _words(item: Input) -> list[str]:
    if item.kind is InputKind.PARAM:
        return item.name.split(".")
    if item.kind is InputKind.VARIABLE:
        return [item.name]
    path = Path(item.name)
    # Python imports a module without its ending, and a package by its folder.
    if path.stem == "__init__":
        return [path.parent.name]
    return [path.stem if path.suffix == ".py" else path.name]


def undeclared_sentence(stage: Stage, item: Input, tree: Path, root: Path) -> str:
    """Return what the user reads about an undeclared input.

    Args:
        stage: the stage that needs it.
        item: what it needs.
        tree: Git root of the clone.
        root: the DVC root in it.
    """
    if item.source is None:
        return f"{stage.address} depends on the environment variable {item.name}, which nothing records"
    verb = "imports" if item.name.endswith(".py") else "reads"
    where = ""
    if item.kind is InputKind.PARAM:
        where = f" in {item.source.relative_to(tree)}"
    note = "" if item.source.is_relative_to(tree) else ", nor does Git or DVC hold it"
    pipeline = (root / stage.pipeline).relative_to(tree)
    return f"{stage.address} {verb} {item.name}{where}, which {pipeline} does not declare{note}"


def unset_variables(stage: Stage, text: str) -> str:
    """A remark on environment variables that a stage asks for by name and that are not set here, if any."""
    asked = re.findall(r"""(?:environ(?:\.get)?|getenv)[\[(]\s*['"](\w+)""", text)
    asked += re.findall(r"\$\{?([A-Z_][A-Z0-9_]{2,})", "\n".join(stage.commands))
    names = sorted(set(asked) - os.environ.keys() - PRIVATE_VARIABLES)
    return f"; it asks for {', '.join(names)}, which is not set here" if names else ""
