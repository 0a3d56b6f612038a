"""The deployments that docs/how-to/prefect.md shows name flows that an installed package has."""

import ast
import importlib.util
from pathlib import Path

import pytest
import yaml

PAGE = (Path(__file__).parents[2] / "docs/how-to/prefect.md").read_text()
DEPLOYMENTS = yaml.safe_load(PAGE.partition("```yaml\n")[2].partition("```\n")[0])["deployments"]


def functions(module: str) -> dict[str, ast.FunctionDef]:
    """Functions of a module by name, read without importing it: Prefect is installed on request only."""
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    body = ast.parse(Path(spec.origin).read_text()).body
    return {node.name: node for node in body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda deployment: deployment["name"])
def test_an_entry_point_is_a_flow(deployment: dict[str, str]) -> None:
    module, _, name = deployment["entrypoint"].rpartition(".")
    assert [ast.unparse(decorator) for decorator in functions(module)[name].decorator_list] == ["flow"]
