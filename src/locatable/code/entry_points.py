"""Find the Python files of a project that the shell command of a stage starts.

`python -m package.module` and `python folder/script.py` are recognized with any options, after
`cd folder &&` or an option such as `--wdir folder`, and within `bash -c "…"`. Programs other than `python`
(`uv run`, `torchrun`, `coverage run -m`) are recognized too, because any `.py` file of the project in a
command counts, whatever program runs it.
"""

import itertools
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from .imports import ImportReader, Module, SearchPath

OPERATORS = "();<>|&\n"
QUOTED_OR_COMMENT = re.compile(r"""('[^']*'|"(?:\\.|[^"\\])*")|(?<!\S)#.*""")
CONTINUED_LINE = re.compile(r"\\\r?\n")
PYTHON = re.compile(r"python[\d.]*(\.exe)?")
MODULE = re.compile(r"\w+(\.\w+)*")
# Characters of variables and patterns, which only a shell can expand. A word with one of them is unknown.
UNKNOWN = frozenset("$`*?[{~")
# Options with which uv, Poetry, conda, calkit, env and other programs run a command in a folder.
FOLDER_OPTIONS = frozenset(
    "-C --chdir --cwd --directory --wdir --workdir --working-dir --working-directory".split()
)
OPTIONS_WITH_VALUE = frozenset({"-W", "-X", "--check-hash-based-pycs"})


@dataclass
class EntryPoints:
    """The files that the commands of a stage start.

    Attributes:
        modules: the started files of the project, and the `__init__.py` of their packages.
        missing: the scripts and modules that Python is to run, but that the project does not have.
    """

    modules: list[Module] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class SimpleCommand:
    """A program and its arguments, between two operators of the shell.

    Attributes:
        words: the program and its arguments, without quotes.
        folder: the folder that it runs in.
        python_path: the folders that PYTHONPATH adds.
    """

    words: tuple[str, ...]
    folder: Path
    python_path: tuple[Path, ...]


def entry_points(commands: tuple[str, ...], folder: Path, reader: ImportReader) -> EntryPoints:
    """Return the files that the commands of a stage start.

    Args:
        commands: the shell commands.
        folder: the folder that they run in, as an absolute path.
        reader: reads the project that the files must belong to.
    """
    found = EntryPoints()
    for text in commands:
        for command in _simple_commands(text, folder):
            previous = ""
            for index, word in enumerate(command.words):
                option, separator, value = word.partition("=")
                if previous in FOLDER_OPTIONS:
                    command = replace(command, folder=_absolute(command.folder, word))
                elif separator and option in FOLDER_OPTIONS:
                    command = replace(command, folder=_absolute(command.folder, value))
                elif previous == "-m":
                    _add_module(found, index, command, reader)
                elif word.endswith(".py"):
                    _add_script(found, index, command, reader.project)
                previous = word
    return found


def _add_module(found: EntryPoints, index: int, command: SimpleCommand, reader: ImportReader) -> None:
    """Add the module after `-m`, the word at `index`, if it belongs to the project."""
    name = command.words[index]
    if not MODULE.fullmatch(name):
        return
    search_path = _search_path(command.folder, command, reader.project)
    # Parent packages are found even if the module itself does not exist.
    modules = reader.find(f"{name}.__main__", search_path)
    files = {module.file.relative_to(module.root).as_posix() for module in modules}
    path = name.replace(".", "/")
    if not files.isdisjoint((f"{path}.py", f"{path}/__init__.py", f"{path}/__main__.py")):
        found.modules += modules
        return
    is_package_of_project = bool(modules) or _has_namespace(name, search_path)
    if is_package_of_project and _is_run_by_python(command.words, index - 1):
        found.missing.append(name)


def _has_namespace(name: str, search_path: SearchPath) -> bool:
    """Return whether a folder with Python files, but without `__init__.py`, has the module's package name."""
    package = name.rpartition(".")[0].replace(".", "/")
    if not package:
        return False
    return any(list((root / package).glob("*.py")) for root in search_path.folders)


def _add_script(found: EntryPoints, index: int, command: SimpleCommand, project: Path) -> None:
    """Add a script, the word at `index`, if it belongs to the project."""
    name = command.words[index]
    file = _absolute(command.folder, name)
    if UNKNOWN & set(name) or not file.is_relative_to(project):
        return
    if file.is_file():
        search_path = _search_path(file.parent, command, project)
        found.modules.append(Module(file, file.parent, search_path))
    elif _is_run_by_python(command.words, index):
        found.missing.append(file.relative_to(project).as_posix())


def _search_path(first: Path, command: SimpleCommand, project: Path) -> SearchPath:
    """Return the search path for the modules of a command, which starts with the folder `first`."""
    return SearchPath((first, *command.python_path), (command.folder, project, project / "src"))


def _is_run_by_python(words: tuple[str, ...], index: int) -> bool:
    """Return whether the word at `index` follows a Python interpreter, with only options in between."""
    before = index - 1
    while before > 0 and (words[before].startswith("-") or words[before - 1] in OPTIONS_WITH_VALUE):
        before -= 1
    return before >= 0 and bool(PYTHON.fullmatch(Path(words[before]).name))


def _simple_commands(text: str, folder: Path) -> Iterator[SimpleCommand]:
    """Yield the simple commands of a shell command.

    After a `cd` to a folder that only the shell can tell, commands are left out, because their files are
    unknown.
    """
    current: Path | None = folder
    # The folders outside of each open parenthesis: a subshell's `cd` has no effect after it.
    outer: list[Path | None] = []
    python_path: tuple[Path, ...] = ()
    for part in _parts(text):
        if isinstance(part, str):
            if part == "(":
                outer.append(current)
            elif part == ")" and outer:
                current = outer.pop()
            continue
        if current is None:
            continue
        python_path = _python_path(part, current, python_path)
        yield SimpleCommand(part, current, python_path)
        for option, word in itertools.pairwise(part):
            if option.startswith("-") and option.endswith("c"):
                yield from _simple_commands(word, current)
        current = _folder_after(part, current)


def _parts(text: str) -> Iterator[tuple[str, ...] | str]:
    """Yield the words of each simple command as a tuple, and each character of the operators as a string."""
    words: list[str] = []
    for word in _words(text):
        if not set(word) <= set(OPERATORS):
            words.append(word)
            continue
        if words:
            yield tuple(words)
        words = []
        yield from word
    if words:
        yield tuple(words)


def _words(text: str) -> list[str]:
    """Return the words and operators of a shell command, without quotes and comments."""
    text = QUOTED_OR_COMMENT.sub(r"\1", CONTINUED_LINE.sub(" ", text))
    lexer = shlex.shlex(text, posix=True, punctuation_chars=OPERATORS)
    lexer.whitespace = " \t\r"
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        return list(filter(None, lexer))
    except ValueError:
        # Quotes do not match, for example in a here-document.
        return text.split()


def _python_path(words: tuple[str, ...], folder: Path, before: tuple[Path, ...]) -> tuple[Path, ...]:
    """Return the folders that a command sets with `PYTHONPATH=…`; `before` if it sets none."""
    for word in words:
        name, _, value = word.partition("=")
        if name == "PYTHONPATH":
            entries = []
            for entry in value.split(":"):
                if entry and not UNKNOWN & set(entry):
                    entries.append(_absolute(folder, entry))
            return tuple(entries)
    return before


def _folder_after(words: tuple[str, ...], folder: Path) -> Path | None:
    """Return the folder that the next command runs in, or None if only the shell can tell."""
    if "cd" not in words[:-1]:
        return folder
    target = words[words.index("cd") + 1]
    if target == "-" or UNKNOWN & set(target):
        return None
    return _absolute(folder, target)


def _absolute(folder: Path, name: str) -> Path:
    """Return an absolute path without `.` and `..`. Like DVC, do not follow symbolic links."""
    return Path(os.path.normpath(folder / name))
