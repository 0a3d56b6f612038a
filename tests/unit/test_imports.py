"""What a stage's command starts and imports, as read from the sources of tiny projects."""

import sys
from pathlib import Path

import pytest

from locatable.code.entry_points import entry_points
from locatable.code.imports import ImportClosure, ImportReader
from locatable.errors import ProjectError


def write(project: Path, sources: dict[str, str]) -> None:
    """Write these files, with the folders that they are in."""
    for name, text in sources.items():
        file = project / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


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


def test_each_of_several_commands_starts_in_the_stages_folder(project: Path) -> None:
    assert files(project, "cd src", "python src/fit.py") == FIT


def test_commands_start_in_the_stages_folder(project: Path) -> None:
    assert files(project, "python fit.py", folder="src") == FIT


def test_a_package_runs_its_main_module(project: Path) -> None:
    write(project, {"pkg/__main__.py": "from . import models\n"})
    assert files(project, "python -m pkg") == {"pkg/__init__.py", "pkg/__main__.py", "pkg/models.py"}


def test_pythonpath_in_a_command_is_searched(project: Path) -> None:
    write(project, {"src/fit.py": "import pkg.models\n"})
    assert files(project, "PYTHONPATH=. python src/fit.py") == {
        "src/fit.py",
        "pkg/__init__.py",
        "pkg/models.py",
    }


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


@pytest.mark.parametrize("name", ["json", "pytest"])
def test_an_installed_package_is_not_taken_for_a_folder_elsewhere_in_the_project(
    project: Path, name: str
) -> None:
    write(project, {"src/fit.py": f"import {name}\n", f"{name}/__init__.py": ""})
    assert files(project, "python src/fit.py") == {"src/fit.py"}


def test_a_module_beside_a_script_comes_before_an_installed_package(project: Path) -> None:
    write(project, {"src/fit.py": "import pytest\n", "src/pytest.py": ""})
    assert files(project, "python src/fit.py") == {"src/fit.py", "src/pytest.py"}


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


def test_imports_of_imports_are_followed(project: Path) -> None:
    write(project, {"pkg/train.py": "from . import models", "pkg/models.py": "import far", "far.py": ""})
    assert "far.py" in files(project, "python -m pkg.train")


def test_modules_may_import_each_other(project: Path) -> None:
    write(project, {"pkg/train.py": "from . import models", "pkg/models.py": "from . import train"})
    assert files(project, "python -m pkg.train") == TRAIN | {"pkg/models.py"}


def test_what_a_package_imports_is_followed(project: Path) -> None:
    write(project, {"pkg/__init__.py": "from . import models\n"})
    assert "pkg/models.py" in files(project, "python -m pkg.train")


def test_a_relative_import_starts_at_its_package(project: Path) -> None:
    write(project, {"pkg/sub/__init__.py": "", "pkg/sub/fit.py": "from .. import models\n"})
    assert "pkg/models.py" in files(project, "python -m pkg.sub.fit")


def test_imports_for_type_checkers_are_not_dependencies(project: Path) -> None:
    source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from . import models\n"
    write(project, {"pkg/train.py": source})
    assert files(project, "python -m pkg.train") == TRAIN


def test_a_module_hides_a_folder_of_its_name(project: Path) -> None:
    write(project, {"pkg/train.py": "import plain.x", "plain.py": "", "plain/x.py": ""})
    assert files(project, "python -m pkg.train") == TRAIN | {"plain.py"}


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


def test_a_syntax_error_in_a_file_that_is_not_imported_does_no_harm(project: Path) -> None:
    write(project, {"pkg/models.py": "def (\n"})
    assert files(project, "python -m pkg.train") == TRAIN


def test_bytes_that_are_no_python_are_named(project: Path) -> None:
    (project / "pkg/train.py").write_bytes(b"x = 1\x00\n")
    with pytest.raises(ProjectError, match=r"^pkg/train\.py"):
        closure(project, "python -m pkg.train")


@pytest.mark.filterwarnings("error")
def test_an_invalid_escape_sequence_is_no_error(project: Path) -> None:
    write(project, {"pkg/train.py": "pattern = '\\d'\n"})
    assert files(project, "python -m pkg.train") == TRAIN


def test_a_source_may_have_an_encoding_of_its_own(project: Path) -> None:
    (project / "pkg/train.py").write_bytes("# coding: latin-1\nname = 'é'\n".encode("latin-1"))
    assert files(project, "python -m pkg.train") == TRAIN


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
