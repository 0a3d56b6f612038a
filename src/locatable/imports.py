"""Which files of a project a stage's command imports, directly or through others.

The closure is read from the sources; nothing is executed. It is our own walk over syntax trees because both
libraries for this miss what stages do. `modulefinder` fails on packages without `__init__.py` and passes over
syntax errors. `grimp` wants importable packages (a stage may be a script among scripts, in a folder of its
own), fails for a file of the package that the stage never imports, and leaves out the `__init__.py` of
parent packages.

What Python decides only while it runs (`importlib.import_module` of a computed name, plug-ins, code given by
`-c`) cannot be seen. `ImportClosure.dynamic` names the files that do the first.
"""

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
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
class Module:
    """A Python file, as one command imports it.

    Attributes:
        file: the source.
        root: the folder of the search path that it was found under.
        search_path: the folders that its own imports are looked for in, in order.
    """

    file: Path
    root: Path
    search_path: tuple[Path, ...]

    @property
    def package(self) -> tuple[str, ...]:
        """The names that a relative import starts from."""
        return self.file.parent.relative_to(self.root).parts


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


@dataclass
class ImportClosure:
    """All files that a stage runs or imports.

    Attributes:
        importers: by file, the file that imports it; None for what the command itself starts.
        packages: the top-level packages that files are in.
        folders: the folders of files that are in no package.
        dynamic: files that also import modules whose names only a run can tell.
    """

    importers: dict[Path, Path | None] = field(default_factory=dict)
    packages: set[Path] = field(default_factory=set)
    folders: set[Path] = field(default_factory=set)
    dynamic: list[Path] = field(default_factory=list)

    def add(self, module: Module, imports: SourceImports) -> None:
        """Note what a module belongs to, and whether only a run can tell what it imports."""
        if module.package:
            self.packages.add(module.root / module.package[0])
        else:
            self.folders.add(module.root)
        if imports.dynamic and module.file not in self.dynamic:
            self.dynamic.append(module.file)

    def covers(self, file: Path) -> bool:
        """Whether a file is in a package, or beside a module, that the stage imports."""
        return file.parent in self.folders or any(file.is_relative_to(package) for package in self.packages)


class ImportReader:
    """Reads the sources of a project, each once."""

    def __init__(self, project: Path) -> None:
        self.project = project
        self._read: dict[Path, SourceImports] = {}

    def closure(self, started: list[Module]) -> ImportClosure:
        """All files that these modules import, with themselves.

        Raises:
            ProjectError: a file cannot be read as Python.
        """
        closure = ImportClosure(importers={module.file: None for module in started})
        waiting = list(started)
        visited: set[Module] = set()
        while waiting:
            module = waiting.pop()
            if module in visited:
                continue
            visited.add(module)
            imports = self._imports(module.file)
            closure.add(module, imports)
            for name in imports.names:
                for imported in self._resolve(name, module):
                    closure.importers.setdefault(imported.file, module.file)
                    waiting.append(imported)
        return closure

    def find(self, name: str, search_path: tuple[Path, ...]) -> list[Module]:
        """The modules of the project that `import name` executes: packages on the way and the module.

        Args:
            name: dotted, absolute; trailing parts that are no module are passed over.
            search_path: the folders to look in. As in Python, the first that has the module decides.
        """
        for root in search_path:
            files = [file for file in _files(name, root) if file.is_relative_to(self.project)]
            if files:
                return [Module(file, root, search_path) for file in files]
        return []

    def _resolve(self, name: str, module: Module) -> list[Module]:
        """The modules that a name in the source of `module` stands for."""
        relative = name.lstrip(".")
        level = len(name) - len(relative)
        if not level:
            return self.find(name, module.search_path)
        if level > len(module.package) + 1:
            return []
        start = module.package[: len(module.package) + 1 - level]
        files = _files(".".join([*start, relative]).strip("."), module.root)
        return [Module(file, module.root, module.search_path) for file in files]

    def _imports(self, file: Path) -> SourceImports:
        """What a file imports itself, inside functions too.

        Raises:
            ProjectError: it cannot be read as Python; names file and line.
        """
        if file not in self._read:
            self._read[file] = _source_imports(self._parse(file))
        return self._read[file]

    def _parse(self, file: Path) -> ast.Module:
        """The syntax tree of a file."""
        name = file.relative_to(self.project).as_posix()
        try:
            with warnings.catch_warnings():
                # An invalid escape sequence is the project's to mend, and may be an error where tests run.
                warnings.simplefilter("ignore")
                return ast.parse(file.read_bytes())
        except SyntaxError as error:
            line = f":{error.lineno}" if error.lineno else ""
            raise ProjectError(f"{name}{line}: {error.msg}") from error
        except (OSError, ValueError) as error:
            raise ProjectError(f"{name}: cannot be read as Python: {error}") from error


def _files(name: str, root: Path) -> Iterator[Path]:
    """The files below `root` that `import name` executes, as far as there are any."""
    place = root
    for part in name.split("."):
        place = place / part
        package = place / "__init__.py"
        # Without a source file, a folder is still a package: a namespace.
        source = place.with_name(f"{part}.py")
        if package.is_file():
            yield package
        elif source.is_file():
            yield source
            return
        elif not place.is_dir():
            return


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
