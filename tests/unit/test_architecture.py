"""The package is built as docs/architecture.md says: its modules, and imports that go one way."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from itertools import pairwise, product
from pathlib import Path

import networkx as nx
import pytest
import tiny_dvc

REPOSITORY = Path(__file__).parents[2]
PACKAGE = REPOSITORY / "src/locatable"
PAGE = (REPOSITORY / "docs/architecture.md").read_text()
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))
ELSEWHERE = ("scripts/", "tests/")
ASK_DVC = ("repository", "clones")
DVC_INTERNALS = {"dvc", "dvc_data", "dvc_objects", "dvc_render", "dvc_task", "scmrepo"}


def named_modules(text: str) -> list[str]:
    """Modules and packages of ours in code spans, such as `search/run.py` and `search/`."""
    names = re.findall(r"`((?:\w+/)*(?:\w+/|\w+\.py))`", text)
    return [name for name in names if not name.startswith(ELSEWHERE)]


def order() -> list[str]:
    """The modules and packages in the first column of the table of layers, from top to bottom."""
    section = PAGE.partition("\n## Layers\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`.*?`) \|", section, re.MULTILINE)
    return named_modules(" ".join(cells))


def imported(module: Path) -> Iterator[tuple[str, int]]:
    """Absolute names of what a module imports, anywhere in it, each with the line."""
    for node in ast.walk(ast.parse((PACKAGE / module).read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            folders = ("locatable", *module.parent.parts)
            parts = folders[: len(folders) + 1 - node.level] if node.level else ()
            start = ".".join([*parts, node.module] if node.module else parts)
            for alias in node.names:
                yield f"{start}.{alias.name}", node.lineno


def module_of(name: str) -> Path | None:
    """The module of ours that has this absolute name, or that defines it; None for others'."""
    parts = name.split(".")
    if parts[0] != "locatable":
        return None
    for length in (len(parts), len(parts) - 1):
        place = Path(*parts[1:length])
        for candidate in (place.with_suffix(".py") if place.name else None, place / "__init__.py"):
            if candidate in MODULES:
                return candidate
    return Path("__init__.py")


def part_of(module: Path) -> str:
    """What the table of layers calls a module: its package, or itself."""
    return f"{module.parts[0]}/" if len(module.parts) > 1 else module.name


def drawn() -> nx.DiGraph:
    """The picture on the page: an arrow from what imports to what is imported."""
    graph = nx.DiGraph()
    picture = PAGE.partition("flowchart TD\n")[2].partition("```")[0]
    for line in picture.splitlines():
        groups = [group.split(" & ") for group in line.strip().split(" --> ")]
        for sources, targets in pairwise(groups):
            graph.add_edges_from(product(sources, targets))
    return graph


def imports_between(parts: set[str]) -> nx.DiGraph:
    """Which of some packages and modules of the root imports which."""
    graph = nx.DiGraph()
    for module in MODULES:
        importer = Path(part_of(module)).stem
        for name, _ in imported(module):
            target = module_of(name)
            if target and target != Path("__init__.py") and importer in parts:
                graph.add_edge(importer, Path(part_of(target)).stem)
    graph.remove_edges_from(list(nx.selfloop_edges(graph)))
    return graph.subgraph(parts).copy()


def test_the_picture_shows_what_imports_what():
    picture = drawn()
    # Without arrows to what other arrows lead to.
    assert set(picture.edges) == set(nx.transitive_reduction(imports_between(set(picture.nodes))).edges)


def test_the_picture_shows_every_package():
    packages = {module.parts[0] for module in MODULES if len(module.parts) > 1}
    assert packages <= set(drawn().nodes)


def test_the_root_holds_few_modules():
    assert len([module for module in MODULES if len(module.parts) == 1]) <= 8


@pytest.mark.parametrize("name", sorted(set(named_modules(PAGE))))
def test_every_module_that_the_page_names_exists(name):
    assert (PACKAGE / name).exists()


@pytest.mark.parametrize("part", sorted({part_of(module) for module in MODULES} - {"__init__.py"}))
def test_every_part_of_the_package_has_one_layer(part):
    assert order().count(part) == 1


@pytest.mark.parametrize("module", [str(module) for module in MODULES if module != Path("__init__.py")])
def test_a_module_imports_only_from_layers_below_its_own(module):
    part = part_of(Path(module))
    upwards = []
    for name, line in imported(Path(module)):
        target = module_of(name)
        # The root of the package holds the version, and public names that are imported on first use.
        if target is None or target == Path("__init__.py") or part_of(target) == part:
            continue
        if order().index(part_of(target)) < order().index(part):
            upwards.append(f"line {line}: {name}")
    assert upwards == []


def test_no_modules_import_each_other_in_a_circle():
    graph: dict[Path, set[Path]] = {}
    for module in MODULES:
        targets = {module_of(name) for name, _ in imported(module)}
        graph[module] = {target for target in targets if target and target.name != "__init__.py"} - {module}
    # Raises CycleError, which names the modules.
    assert list(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("module", [str(module) for module in MODULES if module.parts[0] not in ASK_DVC])
def test_only_readers_and_clones_import_the_internals_of_dvc(module):
    names = [name for name, _ in imported(Path(module)) if name.split(".")[0] in DVC_INTERNALS]
    assert names == []


@pytest.mark.parametrize("module", [str(module) for module in MODULES if module != Path("git/__init__.py")])
def test_one_module_runs_git(module):
    commands = []
    for node in ast.walk(ast.parse((PACKAGE / module).read_text())):
        if isinstance(node, ast.List | ast.Tuple) and node.elts:
            first = node.elts[0]
            if isinstance(first, ast.Constant) and first.value == "git":
                commands.append(node.lineno)
    assert commands == []


# A command, and what it imported of ours, printed when it ends.
RUN = """
import sys
from locatable.cli import main
main(sys.argv[1:])
print(*(name for name in sys.modules if name.split(".")[0] == "locatable"))
"""


def test_locate_passes_few_modules(tmp_path: Path) -> None:
    pipeline = "stages: {measure: {cmd: echo 1 > m.json, metrics: [m.json: {cache: false}]}}"
    tiny_dvc.with_results(tmp_path / "project", {"dvc.yaml": pipeline})
    command = (sys.executable, "-c", RUN, "locate", "m.json")
    done = subprocess.run(command, cwd=tmp_path / "project", text=True, capture_output=True, check=True)
    *report, modules = done.stdout.splitlines()
    assert "m.json (output of measure)" in report[0]
    assert len(modules.split()) <= 24
