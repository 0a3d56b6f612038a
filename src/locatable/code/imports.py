"""Find the files of a project that a stage's command imports, directly or through other modules.

The imports are read from the sources; no code is executed. This package walks syntax trees itself, because
the two libraries for this purpose do not fit stages. `modulefinder` fails on packages without `__init__.py`
and ignores syntax errors. `grimp` needs importable packages, while a stage can be one of many scripts in a
folder. It also fails for a file of the package that the stage never imports, and leaves out the `__init__.py`
of parent packages.

Imports that Python resolves only at run time cannot be found: `importlib.import_module` with a computed name,
and plug-ins. `ImportClosure.dynamic` names the files with computed names.
"""

import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import ProjectError
from .sources import SourceImports, read_imports


@dataclass(frozen=True)
class SearchPath:
    """The folders that are searched for the modules of one command.

    Attributes:
        folders: the folders that Python searches, in order.
        fallback: folders that projects usually add to the path in ways that cannot be seen: by PYTHONPATH in
            the user's environment, by `sys.path` in a source, or by an editable installation. They are
            searched only for names that no installed package has.
    """

    folders: tuple[Path, ...]
    fallback: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Module:
    """A Python file that one command imports.

    Attributes:
        file: the source.
        root: the folder of the search path that it was found in.
        search_path: the search path for its own imports.
    """

    file: Path
    root: Path
    search_path: SearchPath

    @property
    def package(self) -> tuple[str, ...]:
        """The package of the module, as names; a relative import starts from it."""
        return self.file.parent.relative_to(self.root).parts


@dataclass
class ImportClosure:
    """The files that a stage runs or imports.

    Attributes:
        importers: for each file, the file that imports it; None for a file that the command itself starts.
        packages: the top-level packages of the files.
        folders: the folders of files that are in no package.
        dynamic: the files that also import modules with names that are computed at run time.
        unresolved: for each top-level name that is not found in the project, a file that imports it.
    """

    importers: dict[Path, Path | None] = field(default_factory=dict)
    packages: set[Path] = field(default_factory=set)
    folders: set[Path] = field(default_factory=set)
    dynamic: list[Path] = field(default_factory=list)
    unresolved: dict[str, Path] = field(default_factory=dict)

    def add(self, module: Module, imports: SourceImports) -> None:
        """Record the package or folder of a module, and whether it imports computed names."""
        if module.package:
            self.packages.add(module.root / module.package[0])
        else:
            self.folders.add(module.root)
        if imports.dynamic and module.file not in self.dynamic:
            self.dynamic.append(module.file)

    def covers(self, file: Path) -> bool:
        """Return whether a file is in a package, or beside a module, that the stage imports."""
        if file.parent in self.folders:
            return True
        return any(file.is_relative_to(package) for package in self.packages)


class ImportReader:
    """Reads the imports of a project's sources, each file only once.

    Attributes:
        project: the root of the project. Files outside of it are never read.
    """

    def __init__(self, project: Path) -> None:
        self.project = project
        self._read: dict[Path, SourceImports] = {}
        self._installed: dict[str, bool] = {}

    def closure(self, started: list[Module]) -> ImportClosure:
        """Return these modules and all files that they import, directly or through others.

        Raises:
            ProjectError: a file cannot be read as Python.
        """
        closure = ImportClosure(importers={module.file: None for module in started})
        waiting = list(started)
        # The same file can be found through two search paths, and can then import different files. So visit
        # each module, and not each file, once.
        visited: set[Module] = set()
        while waiting:
            module = waiting.pop()
            if module in visited:
                continue
            visited.add(module)
            imports = self._imports(module.file)
            closure.add(module, imports)
            for name in imports.names:
                resolved = self._resolve(name, module)
                for imported in resolved:
                    closure.importers.setdefault(imported.file, module.file)
                    waiting.append(imported)
                if not resolved:
                    closure.unresolved.setdefault(name.strip(".").partition(".")[0], module.file)
        return closure

    def find(self, name: str, search_path: SearchPath) -> list[Module]:
        """Return the modules of the project that `import name` executes: parent packages and the module.

        Args:
            name: an absolute dotted name. Trailing parts that are not a module are ignored.
            search_path: the folders to search. As in Python, the first one that has the module is used.
        """
        found = self._find(name, search_path.folders, search_path)
        # A subfolder such as `tests` or `data` of a fallback folder must not hide an installed package.
        if found or self._is_installed(name.partition(".")[0]):
            return found
        return self._find(name, search_path.fallback, search_path)

    def _find(self, name: str, folders: tuple[Path, ...], search_path: SearchPath) -> list[Module]:
        """Return the modules of the project that `import name` executes, from the first folder with any."""
        for root in folders:
            found = []
            for file in _files(name, root):
                if file.is_relative_to(self.project):
                    found.append(Module(file, root, search_path))
            if found:
                return found
        return []

    def _resolve(self, name: str, module: Module) -> list[Module]:
        """Return the modules that an absolute or relative name stands for in the source of `module`."""
        relative = name.lstrip(".")
        level = len(name) - len(relative)
        if not level:
            return self.find(name, module.search_path)
        if level > len(module.package) + 1:
            return []
        start = module.package[: len(module.package) + 1 - level]
        return self._find(".".join([*start, relative]).strip("."), (module.root,), module.search_path)

    def _is_installed(self, name: str) -> bool:
        """Return whether a top-level name is an installed package, and not a package of the project."""
        if name not in self._installed:
            self._installed[name] = name in sys.stdlib_module_names or self._is_elsewhere(name)
        return self._installed[name]

    def _is_elsewhere(self, name: str) -> bool:
        """Return whether Python finds a top-level name outside of the project's own sources."""
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError):
            return False
        if spec is None:
            return False
        # A namespace package has folders instead of a file.
        places = [spec.origin] if spec.origin else list(spec.submodule_search_locations or [])
        for place in map(Path, places):
            # A virtual environment can be inside the project.
            if not place.is_relative_to(self.project) or "site-packages" in place.parts:
                return True
        return False

    def _imports(self, file: Path) -> SourceImports:
        """Return the imports in a file, including those inside functions.

        Raises:
            ProjectError: the file cannot be read as Python; the message names the file and the line.
        """
        if file not in self._read:
            name = file.relative_to(self.project).as_posix()
            try:
                self._read[file] = read_imports(file, self.project)
            except SyntaxError as error:
                line = f":{error.lineno}" if error.lineno else ""
                raise ProjectError(f"{name}{line}: {error.msg}") from error
            except (OSError, ValueError) as error:
                raise ProjectError(f"{name}: cannot be read as Python: {error}") from error
        return self._read[file]


def _files(name: str, root: Path) -> Iterator[Path]:
    """Yield the files below `root` that `import name` executes: `__init__.py` of packages, and the module."""
    folder = root
    for part in name.split("."):
        folder = folder / part
        package = folder / "__init__.py"
        source = folder.with_name(f"{part}.py")
        if package.is_file():
            yield package
        elif source.is_file():
            yield source
            return
        # A folder without `__init__.py` is a namespace package: it executes no file, but can contain modules.
        elif not folder.is_dir():
            return
