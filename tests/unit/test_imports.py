"""What a stage's command starts and imports, as read from the sources of tiny projects."""

import sys
from pathlib import Path

import pytest
from tiny_git import write

from locatable.code.entry_points import entry_points
from locatable.code.imports import ImportClosure, ImportReader
from locatable.errors import ProjectError


def closure(project: Path, *commands: str, folder: str = ".") -> ImportClosure:
    """What a stage with these commands runs and imports."""
    reader = ImportReader(project)
    points = entry_points(commands, (project / folder).resolve(), reader)
    return reader.closure(points.modules)


def files(project: Path, *commands: str, folder: str = ".") -> set[str]:
    """The files of `closure`, relative to the project."""
    importers = closure(project, *commands, folder=folder).importers
    return {file.relative_to(project).as_posix() for file in importers}


def missing(project: Path, *commands: str) -> list[str]:
    """What Python is told to run, and the project does not have."""
    return entry_points(commands, project, ImportReader(project)).missing


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A package of two modules, and two scripts side by side."""
    write(
        tmp_path,
        {
            "pkg/__init__.py": "",
            "pkg/train.py": "import json\n",
            "pkg/models.py": "",
            "src/fit.py": "import helpers\n",
            "src/helpers.py": "",
        },
    )
    return tmp_path


TRAIN = {"pkg/__init__.py", "pkg/train.py"}
FIT = {"src/fit.py", "src/helpers.py"}
COMMANDS = {
    "python -m pkg.train": TRAIN,
    "python3 -m pkg.train --epochs 3": TRAIN,
    "python3.11 -m pkg.train": TRAIN,
    ".venv/bin/python -m pkg.train": TRAIN,
    "python -W ignore -X dev -u -m pkg.train": TRAIN,
    "uv run python -m pkg.train": TRAIN,
    "CUDA_VISIBLE_DEVICES=0 nice python -m pkg.train > log.txt 2>&1": TRAIN,
    "torchrun --nproc-per-node 2 -m pkg.train": TRAIN,
    "mkdir -p out && python -m pkg.train": TRAIN,
    "mkdir -p out\npython -m pkg.train": TRAIN,
    "for seed in 1 2; do python -m pkg.train $seed; done": TRAIN,
    "bash -c 'set -e; python -m pkg.train'": TRAIN,
    "python \\\n  -m pkg.train": TRAIN,
    "python -m pkg.train # not pkg/models.py": TRAIN,
    "python src/fit.py": FIT,
    "python ./src/../src/fit.py": FIT,
    "python 'src/fit.py'": FIT,
    "uv run src/fit.py": FIT,
    "src/fit.py": FIT,
    "cd src && python fit.py": FIT,
    "(cd src && true) && python src/fit.py": FIT,
    "calkit xenv -n main --wdir src -- python fit.py": FIT,
    "uv run --directory=src python fit.py": FIT,
    "env -C src python fit.py && python -m pkg.train": FIT | TRAIN,
    "python -m pkg.train && python src/fit.py": FIT | TRAIN,
    "python -m json.tool data.json": set(),
    "bash train.sh": set(),
    "python $SCRIPT": set(),
    "cd $FOLDER && python fit.py": set(),
    "echo 'it's": set(),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_starts_python_files_of_the_project(project: Path, command: str) -> None:
    assert files(project, command) == COMMANDS[command]


def test_commands_start_in_the_stages_folder_each_of_several_too(project: Path) -> None:
    assert files(project, "cd src", "python src/fit.py") == FIT
    assert files(project, "python fit.py", folder="src") == FIT


# Folders that a project adds to the search path in its own ways: what is imported, and from where.
FALLBACKS = {
    "import pkg.models": "pkg/models.py",
    "import other": "sub/other.py",
    "import installed": "src/installed/__init__.py",
}


@pytest.mark.parametrize("source", FALLBACKS)
def test_modules_are_also_found_in_the_usual_folders(project: Path, source: str) -> None:
    write(project, {"sub/deep/fit.py": f"{source}\n", "sub/other.py": "", "src/installed/__init__.py": ""})
    assert FALLBACKS[source] in files(project, "python deep/fit.py", folder="sub")


IMPORTS = {
    "import pkg.models": "pkg/models.py",
    "import os, pkg.models as m": "pkg/models.py",
    "from pkg import models": "pkg/models.py",
    "from pkg.models import Model": "pkg/models.py",
    "from . import models": "pkg/models.py",
    "from .models import Model": "pkg/models.py",
    "from .sub import late": "pkg/sub/late.py",
    "from .sub.late import x": "pkg/sub/__init__.py",
    "import pkg.sub": "pkg/sub/__init__.py",
    "import plain": "plain.py",
    "import space.inner.module": "space/inner/module.py",
    "def late():\n    from pkg import models": "pkg/models.py",
    "try:\n    import pkg.models\nexcept ImportError:\n    pass": "pkg/models.py",
    "import importlib\nimportlib.import_module('pkg.models')": "pkg/models.py",
    "from importlib import import_module\nimport_module('.models', __package__)": "pkg/models.py",
}


@pytest.mark.parametrize("source", IMPORTS)
def test_every_kind_of_import_is_followed(project: Path, source: str) -> None:
    write(
        project,
        {
            "pkg/train.py": f"{source}\n",
            "pkg/sub/__init__.py": "",
            "pkg/sub/late.py": "",
            "plain.py": "",
            "space/inner/module.py": "",
        },
    )
    assert IMPORTS[source] in files(project, "python -m pkg.train")


MAIN = {"pkg/__init__.py", "pkg/__main__.py", "pkg/models.py"}
MODELS = TRAIN | {"pkg/models.py"}
# Files, a command, and all that it runs and imports.
CLOSURES: dict[str, tuple[dict[str, str | bytes], str, set[str]]] = {
    "the main module of a package": ({"pkg/__main__.py": "from . import models\n"}, "python -m pkg", MAIN),
    "PYTHONPATH in a command": (
        {"src/fit.py": "import pkg.models\n"},
        "PYTHONPATH=. python src/fit.py",
        {"src/fit.py", "pkg/__init__.py", "pkg/models.py"},
    ),
    "a package of Python's, not a folder elsewhere in the project": (
        {"src/fit.py": "import json\n", "json/__init__.py": ""},
        "python src/fit.py",
        {"src/fit.py"},
    ),
    "an installed package, not a folder elsewhere in the project": (
        {"src/fit.py": "import pytest\n", "pytest/__init__.py": ""},
        "python src/fit.py",
        {"src/fit.py"},
    ),
    "a module beside a script before an installed package": (
        {"src/fit.py": "import pytest\n", "src/pytest.py": ""},
        "python src/fit.py",
        {"src/fit.py", "src/pytest.py"},
    ),
    "imports of imports": (
        {"pkg/train.py": "from . import models", "pkg/models.py": "import far", "far.py": ""},
        "python -m pkg.train",
        MODELS | {"far.py"},
    ),
    "modules that import each other": (
        {"pkg/train.py": "from . import models", "pkg/models.py": "from . import train"},
        "python -m pkg.train",
        MODELS,
    ),
    "what a package imports": ({"pkg/__init__.py": "from . import models\n"}, "python -m pkg.train", MODELS),
    "a relative import, from its package": (
        {"pkg/sub/__init__.py": "", "pkg/sub/fit.py": "from .. import models\n"},
        "python -m pkg.sub.fit",
        {"pkg/__init__.py", "pkg/models.py", "pkg/sub/__init__.py", "pkg/sub/fit.py"},
    ),
    "nothing for type checkers": (
        {
            "pkg/train.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from . import models\n",
        },
        "python -m pkg.train",
        TRAIN,
    ),
    "a module that hides a folder of its name": (
        {"pkg/train.py": "import plain.x", "plain.py": "", "plain/x.py": ""},
        "python -m pkg.train",
        TRAIN | {"plain.py"},
    ),
    "nothing of a file that is not imported": (
        {"pkg/models.py": "def (\n"},
        "python -m pkg.train",
        TRAIN,
    ),
    "a source of an encoding of its own": (
        {"pkg/train.py": "# coding: latin-1\nname = 'é'\n".encode("latin-1")},
        "python -m pkg.train",
        TRAIN,
    ),
    "an invalid escape sequence": ({"pkg/train.py": "pattern = '\\d'\n"}, "python -m pkg.train", TRAIN),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("what", CLOSURES)
def test_what_a_command_runs_and_imports(project: Path, what: str) -> None:
    sources, command, expected = CLOSURES[what]
    write(project, sources)
    assert files(project, command) == expected


def test_the_file_that_imports_a_module_is_known(project: Path) -> None:
    write(project, {"pkg/train.py": "from . import models\n"})
    importers = closure(project, "python -m pkg.train").importers
    assert importers[project / "pkg/models.py"] == project / "pkg/train.py"


def test_nothing_is_executed(project: Path) -> None:
    write(project, {"pkg/train.py": "open('ran', 'w')\nraise SystemExit\n"})
    closure(project, "python -m pkg.train")
    assert not (project / "ran").exists()


@pytest.mark.parametrize(
    "source",
    ["import_module(name)", "__import__(f'pkg.{name}')", "runpy.run_path('x.py')", "walk_packages(path)"],
)
def test_imports_of_computed_names_are_noticed(project: Path, source: str) -> None:
    write(project, {"pkg/train.py": f"{source}\n"})
    assert closure(project, "python -m pkg.train").dynamic == [project / "pkg/train.py"]


def test_a_syntax_error_is_named_with_its_line(project: Path) -> None:
    write(project, {"pkg/train.py": "from . import models\n", "pkg/models.py": "x = 1\ndef (\n"})
    with pytest.raises(ProjectError, match=r"^pkg/models\.py:2: invalid syntax$"):
        closure(project, "python -m pkg.train")


def test_a_source_for_a_newer_python_is_read_by_the_python_that_the_environment_was_made_from(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What this Python takes for a syntax error, that one reads: here, by replacing it before."""
    installed = tmp_path_factory.mktemp("installed")
    write(project, {"src/fit.py": "type Number = int\nimport helpers\n"})
    read = f'sed \'s/^type.*//\' "$3" > "$3.old"; exec {sys.executable} "$1" "$2" "$3.old"'
    write(installed, {"python": f"#!/bin/sh\n{read}\n"})
    (installed / "python").chmod(0o755)
    (project / ".venv/bin").mkdir(parents=True)
    (project / ".venv/bin/python").symlink_to(installed / "python")
    assert files(project, "python src/fit.py") == FIT


def test_bytes_that_are_no_python_are_named(project: Path) -> None:
    (project / "pkg/train.py").write_bytes(b"x = 1\x00\n")
    with pytest.raises(ProjectError, match=r"^pkg/train\.py"):
        closure(project, "python -m pkg.train")


MISSING = {
    "python -m pkg.nothing": ["pkg.nothing"],
    "python -W ignore -m space.nothing": ["space.nothing"],
    "python src/nothing.py": ["src/nothing.py"],
    "uv run python -u src/nothing.py": ["src/nothing.py"],
    "python -m nothing": [],
    "python -m pytest tests/nothing.py": [],
    "pytest -m pkg.nothing": [],
    "python src/fit.py --out nothing.py": [],
    "python /elsewhere/nothing.py": [],
    "python $FOLDER/nothing.py": [],
    "python src/*.py": [],
}


@pytest.mark.parametrize("command", MISSING)
def test_what_python_should_run_and_does_not_exist_is_named(project: Path, command: str) -> None:
    write(project, {"space/module.py": ""})
    assert missing(project, command) == MISSING[command]
