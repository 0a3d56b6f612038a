"""Find the files of a project that a stage's command imports, directly or through others.

The closure is read from the sources; nothing is executed. It is our own walk over syntax trees because both
libraries for this miss what stages do. `modulefinder` fails on packages without `__init__.py` and passes over
syntax errors. `grimp` wants importable packages (a stage may be a script among scripts, in a folder of its
own), fails for a file of the package that the stage never imports, and leaves out the `__init__.py` of
parent packages.

What Python decides only while it runs (`importlib.import_module` of a computed name, plug-ins) cannot be
seen. `ImportClosure.dynamic` names the files that do the first.
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
    """Where the modules of one command are looked for.

    Attributes:
        folders: those that Python looks in, in order.
        fallback: those that are usually added in ways that cannot be seen: by PYTHONPATH in a user's
            environment, by `sys.path` in a source, by an editable installation. They count for names that no
            installed package has.
    """

    folders: tuple[Path, ...]
    fallback: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Module:
    """A Python file, as one command imports it.

    Attributes:
        file: the source.
        root: the folder of the search path that it was found under.
        search_path: where its own imports are looked for.
    """

    file: Path
    root: Path
    search_path: SearchPath

    @property
    def package(self) -> tuple[str, ...]:
        """The names that a relative import starts from."""
        return self.file.parent.relative_to(self.root).parts


@dataclass
class ImportClosure:
    """The files that a stage runs or imports.

    Attributes:
        importers: by file, the file that imports it; None for what the command itself starts.
        packages: the top-level packages that files are in.
        folders: the folders of files that are in no package.
        dynamic: files that also import modules whose names only a run can tell.
        unresolved: first parts of imported names that are not of the project, by the file that imports them.
    """

    importers: dict[Path, Path | None] = field(default_factory=dict)
    packages: set[Path] = field(default_factory=set)
    folders: set[Path] = field(default_factory=set)
    dynamic: list[Path] = field(default_factory=list)
    unresolved: dict[str, Path] = field(default_factory=dict)

    def add(self, module: Module, imports: SourceImports) -> None:
        """Note what a module belongs to, and whether only a run can tell what it imports."""
        if module.package:
            self.packages.add(module.root / module.package[0])
        else:
            self.folders.add(module.root)
        if imports.dynamic and module.file not in self.dynamic:
            self.dynamic.append(module.file)

    def covers(self, file: Path) -> bool:
        """Return whether a file is in a package, or beside a module, that the stage imports."""
        return file.parent in self.folders or any(file.is_relative_to(package) for package in self.packages)


class ImportReader:
    """Reads the sources of a project, each once.

    Attributes:
        project: the root; files outside of it are never looked at.
    """

    def __init__(self, project: Path) -> None:
        self.project = project
        self._read: dict[Path, SourceImports] = {}
        self._installed: dict[str, bool] = {}

    def closure(self, started: list[Module]) -> ImportClosure:
        """Return all files that these modules import, with themselves.

        Raises:
            ProjectError: a file cannot be read as Python.
        """
        closure = ImportClosure(importers={module.file: None for module in started})
        waiting = list(started)
        # A file can be imported under two names, from two search paths, and then imports different files.
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
        """Return the modules of the project that `import name` executes: packages on the way and the module.

        Args:
            name: dotted, absolute; trailing parts that are no module are passed over.
            search_path: as in Python, the first folder that has the module decides.
        """
        found = self._find(name, search_path.folders, search_path)
        # A folder `tests` or `data` beside a script must not hide an installed package of that name.
        if found or self._is_installed(name.partition(".")[0]):
            return found
        return self._find(name, search_path.fallback, search_path)

    def _find(self, name: str, folders: tuple[Path, ...], search_path: SearchPath) -> list[Module]:
        """Return the modules of the project that `import name` executes, if these folders have them."""
        for root in folders:
            found = []
            for file in _files(name, root):
                if file.is_relative_to(self.project):
                    found.append(Module(file, root, search_path))
            if found:
                return found
        return []

    def _resolve(self, name: str, module: Module) -> list[Module]:
        """Return the modules that a name in the source of `module` stands for."""
        relative = name.lstrip(".")
        level = len(name) - len(relative)
        if not level:
            return self.find(name, module.search_path)
        if level > len(module.package) + 1:
            return []
        start = module.package[: len(module.package) + 1 - level]
        return self._find(".".join([*start, relative]).strip("."), (module.root,), module.search_path)

    def _is_installed(self, name: str) -> bool:
        """Return whether a top-level name is a package of this environment, and none of the project."""
        if name not in self._installed:
            self._installed[name] = name in sys.stdlib_module_names or self._is_elsewhere(name)
        return self._installed[name]

    def _is_elsewhere(self, name: str) -> bool:
        """Return whether Python would find a top-level name, and outside of the project's own sources."""
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError):
            return False
        if spec is None:
            return False
        places = [spec.origin] if spec.origin else list(spec.submodule_search_locations or [])
        for place in map(Path, places):
            # An environment can be inside of the project.
            if not place.is_relative_to(self.project) or "site-packages" in place.parts:
                return True
        return False

    def _imports(self, file: Path) -> SourceImports:
        """Return what a file imports itself, inside functions too.

        Raises:
            ProjectError: it cannot be read as Python; names file and line.
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
    """Yield the files below `root` that `import name` executes, as far as there are any."""
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
