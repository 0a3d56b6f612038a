"""Read the imports in the source of one Python file.

A source can be written for a newer Python than the running one. Then other Pythons on this machine read it:
they run this module as a script. It imports only the standard library, so that any of them can run it.
"""

import ast
import json
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

# Functions that import a module whose name is their argument.
IMPORTING_FUNCTIONS = frozenset({"__import__", "import_module"})
# Functions that import modules in any way.
DYNAMIC_FUNCTIONS = IMPORTING_FUNCTIONS | {
    "iter_modules",
    "run_module",
    "run_path",
    "spec_from_file_location",
    "walk_packages",
}
# Where the Python of a project's virtual environment is.
PROJECT_PYTHON = (".venv/bin/python", ".venv/Scripts/python.exe")
# Other Pythons that may be able to read the sources: those that usually run stages, then newer ones.
OTHER_PYTHONS = ("python", "python3", "python3.14", "python3.13", "python3.12")
MODULE_NAME = re.compile(r"\.*\w+(\.\w+)*")


@dataclass(frozen=True)
class SourceImports:
    """The imports in the source of one file.

    Attributes:
        names: the imported names, with a leading dot for each level of a relative import. `from a import b`
            gives `a.b`, whether `b` is a submodule of `a` or something that `a` defines.
        dynamic: true if the file also imports modules with names that are computed at run time.
    """

    names: tuple[str, ...]
    dynamic: bool


def read_imports(file: Path, project: Path) -> SourceImports:
    """Return the imports in a file of a project, including those inside functions.

    Raises:
        SyntaxError: no Python on this machine can read the file.
        OSError or ValueError: the file is not text.
    """
    try:
        return _read(file)
    except SyntaxError:
        for python in _other_pythons(project):
            command = (python, "-I", __file__, str(file))
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
            if done.returncode == 0:
                imports = json.loads(done.stdout)
                return SourceImports(tuple(imports["names"]), imports["dynamic"])
        raise


def _other_pythons(project: Path) -> Iterator[str]:
    """Yield Pythons that may be able to read the sources of a project, the most likely ones first.

    A repository can contain an environment with a manipulated Python. So a Python inside the project is never
    run, only one outside that the environment links to.
    """
    for place in PROJECT_PYTHON:
        python = (project / place).resolve()
        if python.is_file() and not python.is_relative_to(project.resolve()):
            yield str(python)
    yield from filter(None, map(shutil.which, OTHER_PYTHONS))


def _read(file: Path) -> SourceImports:
    with warnings.catch_warnings():
        # A warning about the source, such as an invalid escape sequence, concerns only the project. Where
        # warnings are errors, it would stop the reading.
        warnings.simplefilter("ignore")
        try:
            return _source_imports(ast.parse(file.read_bytes()))
        except (RecursionError, MemoryError):
            raise ValueError("nested too deeply") from None


def _source_imports(tree: ast.Module) -> SourceImports:
    """Return the imports in a syntax tree that a run can reach."""
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
    """Yield all nodes except those below `if TYPE_CHECKING:`, which no run reaches."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If) and _is_type_checking(node.test):
            waiting += reversed(node.orelse)
        else:
            waiting += reversed(list(ast.iter_child_nodes(node)))


def _is_type_checking(test: ast.expr) -> bool:
    """Return whether a condition is `TYPE_CHECKING` or `typing.TYPE_CHECKING`."""
    if isinstance(test, ast.Attribute):
        return test.attr == "TYPE_CHECKING"
    return isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"


def _names_of_from(node: ast.ImportFrom) -> list[str]:
    """Return the names that `from module import a, b` imports; each can be a module or an attribute."""
    module = "." * node.level + (node.module or "")
    separator = "." if node.module else ""
    return [f"{module}{separator}{alias.name}" for alias in node.names]


def _function_name(call: ast.Call) -> str:
    """Return the last part of the name of the called function, or an empty string if it has no name."""
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _literal_name(call: ast.Call) -> str:
    """Return the module that `import_module("pkg.module")` imports; an empty string for a computed name."""
    if _function_name(call) not in IMPORTING_FUNCTIONS or not call.args:
        return ""
    argument = call.args[0]
    if not isinstance(argument, ast.Constant) or not isinstance(argument.value, str):
        return ""
    return argument.value if MODULE_NAME.fullmatch(argument.value) else ""


if __name__ == "__main__":
    print(json.dumps(asdict(_read(Path(sys.argv[1])))))
