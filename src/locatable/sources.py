"""What the source of one Python file imports."""

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .errors import ProjectError

# Functions that import a module whose name, or file, is their argument.
IMPORTING_FUNCTIONS = frozenset({"__import__", "import_module"})
DYNAMIC_FUNCTIONS = IMPORTING_FUNCTIONS | {
    "iter_modules",
    "run_module",
    "run_path",
    "spec_from_file_location",
    "walk_packages",
}
MODULE_NAME = re.compile(r"\.*\w+(\.\w+)*")


@dataclass(frozen=True)
class SourceImports:
    """What the source of one file imports.

    Attributes:
        names: dotted names with a leading dot for each level of a relative import. `from a import b` gives
            `a.b`, where `b` is a submodule or anything else of `a`.
        dynamic: whether it also imports modules whose names only a run can tell.
    """

    names: tuple[str, ...]
    dynamic: bool


def read_imports(file: Path, name: str) -> SourceImports:
    """What a file imports, inside functions too.

    Args:
        file: the source.
        name: what to call it in messages.

    Raises:
        ProjectError: it cannot be read as Python; names file and line.
    """
    try:
        with warnings.catch_warnings():
            # An invalid escape sequence is the project's to mend, and may be an error where tests run.
            warnings.simplefilter("ignore")
            return _source_imports(ast.parse(file.read_bytes()))
    except SyntaxError as error:
        line = f":{error.lineno}" if error.lineno else ""
        raise ProjectError(f"{name}{line}: {error.msg}") from error
    except (OSError, ValueError) as error:
        raise ProjectError(f"{name}: cannot be read as Python: {error}") from error


def _source_imports(tree: ast.Module) -> SourceImports:
    """What a syntax tree imports when it runs."""
    names: list[str] = []
    dynamic = False
    for node in _executed(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += _names_of_from(node)
        elif isinstance(node, ast.Call) and _function_name(node) in DYNAMIC_FUNCTIONS:
            name = _literal_name(node)
            if name:
                names.append(name)
            else:
                dynamic = True
    return SourceImports(tuple(dict.fromkeys(names)), dynamic)


def _executed(tree: ast.Module) -> Iterator[ast.AST]:
    """All nodes but those below `if TYPE_CHECKING:`, which no run ever reaches."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If) and _is_type_checking(node.test):
            waiting += reversed(node.orelse)
        else:
            waiting += reversed(list(ast.iter_child_nodes(node)))


def _is_type_checking(test: ast.expr) -> bool:
    """Whether a condition is `TYPE_CHECKING` or `typing.TYPE_CHECKING`."""
    if isinstance(test, ast.Attribute):
        return test.attr == "TYPE_CHECKING"
    return isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"


def _names_of_from(node: ast.ImportFrom) -> list[str]:
    """The names that `from module import a, b` may stand for."""
    module = "." * node.level + (node.module or "")
    separator = "." if node.module else ""
    return [f"{module}{separator}{alias.name}" for alias in node.names]


def _function_name(call: ast.Call) -> str:
    """The last part of the name of the function that is called."""
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _literal_name(call: ast.Call) -> str:
    """The module that `import_module("pkg.module")` imports; empty if only a run can tell."""
    if _function_name(call) not in IMPORTING_FUNCTIONS or not call.args:
        return ""
    argument = call.args[0]
    if not isinstance(argument, ast.Constant) or not isinstance(argument.value, str):
        return ""
    return argument.value if MODULE_NAME.fullmatch(argument.value) else ""
