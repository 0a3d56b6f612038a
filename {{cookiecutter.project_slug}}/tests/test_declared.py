"""Every stage declares every module of ours that it imports, directly or through others.

Otherwise DVC would not notice that the code of a result has changed. What Python decides only
while it runs (`importlib.import_module`) is not seen here; `locatable reproduce` sees it.
"""

import ast
import re
from pathlib import Path

import pytest
from dvc.repo import Repo
from dvc.stage import Stage

ROOT = Path(__file__).parents[1]
# `python -m package.module` or `python folder/script.py`, options before them allowed.
PYTHON = re.compile(r"\bpython[\d.]*(?:\s+-[WX]\s+\S+|\s+-(?!m\b)\S+)*\s+(?:-m\s+([\w.]+)|([\w./-]+\.py))")
STAGES = [stage for stage in Repo(str(ROOT)).index.stages if stage.cmd]


def started(stage: Stage) -> list[tuple[Path, Path]]:
    """The files of ours that a stage's command starts, each with the folder that it imports from."""
    place, found = Path(stage.wdir), []
    for module, script in PYTHON.findall(str(stage.cmd)):
        if script:
            found.append((place / script, (place / script).parent))
        else:
            main = place.joinpath(*module.split("."), "__main__.py")
            found += [(path, place) for path in [*files(module, place), main] if path.is_file()]
    return found


def files(name: str, base: Path) -> list[Path]:
    """The files below `base` that `import name` executes: every package on the way, and the module."""
    parts, found = name.split("."), []
    for depth in range(1, len(parts) + 1):
        place = base.joinpath(*parts[:depth])
        found += [path for path in (place / "__init__.py", place.with_suffix(".py")) if path.is_file()][:1]
    return found


def imported(file: Path, base: Path) -> set[Path]:
    """The files that one file imports itself, inside functions too."""
    package, names = file.parent.relative_to(base).parts, set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) + 1 - node.level] if node.level else ()
            module = ".".join([*start, *filter(None, [node.module])])
            names |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return {path for name in names if name for path in files(name, base)}


def closure(stage: Stage) -> set[Path]:
    """All files of ours that a stage's command imports, with those that it starts."""
    todo, seen = started(stage), set()
    while todo:
        file, base = todo.pop()
        if file not in seen:
            seen.add(file)
            todo += [(path, base) for path in imported(file, base)]
    return seen


@pytest.mark.parametrize("stage", STAGES, ids=[stage.addressing for stage in STAGES])
def test_a_stage_declares_what_it_imports(stage: Stage) -> None:
    """The message holds the lines to add to dvc.yaml."""
    if not started(stage):
        pytest.skip(f"no Python file to be seen in `{stage.cmd}`: only `make reproduce` can check it")
    declared = [Path(dep.fs_path) for dep in stage.deps]
    missing = sorted(
        file for file in closure(stage) if not any(file.is_relative_to(path) for path in declared)
    )
    lines = "\n".join(f"      - {file.relative_to(stage.wdir)}" for file in missing)
    assert not missing, f"{Path(stage.path).name}, stage {stage.name}: add to its deps\n{lines}"
